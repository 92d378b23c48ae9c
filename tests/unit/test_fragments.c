/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "fragments.h"

enum { LEN = 3000, PIECE = 1480 };

static guint8 datagram[LEN];

/* Piece number @i of datagram @id, cut to PIECE bytes. */
static Piece piece_of(guint32 id, guint i)
{
    guint offset = i * PIECE;
    gsize len = MIN((gsize)PIECE, LEN - (gsize)offset);
    for (guint k = 0; k < LEN; k++)
        datagram[k] = (guint8)(k * 7 + id);
    return (Piece){.sender = pst_addr_v4(1),
                   .receiver = pst_addr_v4(2),
                   .id = id,
                   .offset = offset,
                   .more = offset + len < LEN,
                   .bytes = datagram + offset,
                   .len = len};
}

/* TRUE: it made a whole, and that is what was cut. */
static gboolean take(Fragments *fragments, Piece piece)
{
    const guint8 *bytes;
    gsize len;
    if (!fragments_take(fragments, &piece, &bytes, &len))
        return FALSE;
    cr_assert_eq(len, LEN);
    cr_assert_eq(memcmp(bytes, datagram, LEN), 0);
    return TRUE;
}

Test(fragments, make_a_whole_in_any_order_and_twice)
{
    static const guint orders[][4] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {0, 0, 2, 1}};
    static const guint counts[] = {3, 3, 3, 4};
    Fragments *fragments = fragments_new();
    for (guint32 i = 0; i < G_N_ELEMENTS(orders); i++) {
        for (guint k = 0; k + 1 < counts[i]; k++)
            cr_assert_not(take(fragments, piece_of(i, orders[i][k])), "order %u", i);
        cr_assert(take(fragments, piece_of(i, orders[i][counts[i] - 1])), "order %u", i);
    }
    cr_assert_not(fragments_lost(fragments, TRUE));
    fragments_free(fragments);
}

Test(fragments, of_two_senders_are_told_apart)
{
    Fragments *fragments = fragments_new();
    Piece other = piece_of(1, 0);
    other.sender = pst_addr_v4(9);
    cr_assert_not(take(fragments, other));
    cr_assert_not(take(fragments, piece_of(1, 1)));
    cr_assert_not(take(fragments, piece_of(1, 2)));
    cr_assert(take(fragments, piece_of(1, 0)));
    cr_assert(fragments_lost(fragments, TRUE));
    cr_assert_not(fragments_lost(fragments, TRUE));
    fragments_free(fragments);
}

Test(fragments, without_end_are_bounded_and_counted)
{
    Fragments *fragments = fragments_new();
    guint lost = 0;
    for (guint32 id = 0; id < FRAGMENTS_MAX + 10; id++) {
        cr_assert_not(take(fragments, piece_of(id, 0)));
        lost += (guint)fragments_lost(fragments, FALSE);
    }
    cr_assert_eq(lost, 10);
    cr_assert_not(take(fragments, piece_of(20, 1)));
    cr_assert(take(fragments, piece_of(20, 2)), "the newer ones wait on");
    while (fragments_lost(fragments, TRUE))
        lost++;
    cr_assert_eq(lost, FRAGMENTS_MAX + 9);
    fragments_free(fragments);
}

Test(fragments, that_cannot_be_are_lost)
{
    Fragments *fragments = fragments_new();
    Piece odd = piece_of(1, 0), far = piece_of(2, 0), cut = piece_of(3, 0), empty = piece_of(4, 0);
    odd.len = 1001;
    far.offset = FRAGMENTS_DATAGRAM_MAX - 8;
    cut.bytes = NULL;
    empty.len = 0;
    const Piece *pieces[] = {&odd, &far, &cut, &empty};
    for (guint i = 0; i < G_N_ELEMENTS(pieces); i++) {
        cr_assert_not(take(fragments, *pieces[i]));
        cr_assert(fragments_lost(fragments, FALSE), "piece %u", i);
    }
    cr_assert_not(fragments_lost(fragments, TRUE));
    fragments_free(fragments);
}
