/* SPDX-License-Identifier: Apache-2.0 */
#include "fragments.h"

#include <string.h>

enum { BLOCK = 8, BLOCKS_MAX = (FRAGMENTS_DATAGRAM_MAX + BLOCK - 1) / BLOCK };

/* A datagram that waits. */
typedef struct {
    gboolean used;
    PstAddr sender;
    PstAddr receiver;
    guint32 id;
    guint32 total; /* bytes; 0: the last piece has not come */
    guint blocks;  /* that are there */
    guint64 order; /* when its first piece came */
    GByteArray *bytes;
    guint8 got[BLOCKS_MAX]; /* by block */
} Partial;

struct Fragments {
    Partial partials[FRAGMENTS_MAX];
    guint64 pieces;
    guint lost;
};

Fragments *fragments_new(void)
{
    return g_new0(Fragments, 1);
}

void fragments_free(Fragments *fragments)
{
    if (fragments == NULL)
        return;
    for (guint i = 0; i < FRAGMENTS_MAX; i++)
        g_clear_pointer(&fragments->partials[i].bytes, g_byte_array_unref);
    g_free(fragments);
}

static gboolean is_of(const Partial *partial, const Piece *piece)
{
    return partial->used && partial->id == piece->id &&
           pst_addr_equal(&partial->sender, &piece->sender) &&
           pst_addr_equal(&partial->receiver, &piece->receiver);
}

static void begin(Partial *partial, const Piece *piece, guint64 order)
{
    GByteArray *bytes = partial->bytes != NULL ? partial->bytes : g_byte_array_new();
    g_byte_array_set_size(bytes, 0);
    *partial = (Partial){.used = TRUE,
                         .sender = piece->sender,
                         .receiver = piece->receiver,
                         .id = piece->id,
                         .order = order,
                         .bytes = bytes};
}

static Partial *partial_for(Fragments *fragments, const Piece *piece)
{
    Partial *best = &fragments->partials[0];
    for (guint i = 0; i < FRAGMENTS_MAX; i++) {
        Partial *partial = &fragments->partials[i];
        if (is_of(partial, piece))
            return partial;
        if (best->used && (!partial->used || partial->order < best->order))
            best = partial;
    }
    fragments->lost += best->used;
    begin(best, piece, fragments->pieces);
    return best;
}

static gboolean is_whole(const Partial *partial)
{
    return partial->total > 0 && partial->blocks == (partial->total + BLOCK - 1) / BLOCK;
}

static void put(Partial *partial, const Piece *piece)
{
    guint end = piece->offset + (guint)piece->len;
    if (partial->bytes->len < end)
        g_byte_array_set_size(partial->bytes, end);
    memcpy(partial->bytes->data + piece->offset, piece->bytes, piece->len);
    for (guint block = piece->offset / BLOCK; block * BLOCK < end; block++) {
        partial->blocks += !partial->got[block];
        partial->got[block] = TRUE;
    }
    if (!piece->more)
        partial->total = end;
}

static gboolean is_possible(const Piece *piece)
{
    return piece->bytes != NULL && piece->len > 0 && (!piece->more || piece->len % BLOCK == 0) &&
           piece->offset + piece->len <= FRAGMENTS_DATAGRAM_MAX;
}

gboolean fragments_take(Fragments *fragments, const Piece *piece, const guint8 **out_bytes,
                        gsize *out_len)
{
    fragments->pieces++;
    if (!is_possible(piece)) {
        fragments->lost++;
        return FALSE;
    }
    Partial *partial = partial_for(fragments, piece);
    put(partial, piece);
    if (!is_whole(partial))
        return FALSE;
    partial->used = FALSE;
    *out_bytes = partial->bytes->data;
    *out_len = MIN(partial->total, partial->bytes->len);
    return TRUE;
}

gboolean fragments_lost(Fragments *fragments, gboolean end)
{
    for (guint i = 0; end && fragments->lost == 0 && i < FRAGMENTS_MAX; i++) {
        fragments->lost += fragments->partials[i].used;
        fragments->partials[i].used = FALSE;
    }
    if (fragments->lost == 0)
        return FALSE;
    fragments->lost--;
    return TRUE;
}
