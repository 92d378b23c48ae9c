/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "export_builder.h"
#include "frame.h"

enum { MESSAGES = 5 };

/* Messages of growing length, back to back; the last has the greatest that there is. */
static GByteArray *make_stream(void)
{
    GByteArray *stream = g_byte_array_new();
    for (guint i = 0; i < MESSAGES; i++) {
        Export e = export_ipfix(.sequence = i);
        export_zeros(&e, i + 1 < MESSAGES ? i * 7 : FRAME_MAX - 16);
        export_end(&e);
        g_byte_array_append(stream, e.bytes->data, e.bytes->len);
        g_byte_array_unref(e.bytes);
    }
    return stream;
}

/* Feeds @stream in pieces of @piece bytes, each in memory of its own. Returns the messages; −1: a
 * piece was refused. */
static int feed(Frame *frame, const GByteArray *stream, gsize piece_len)
{
    int n = 0;
    for (gsize at = 0; at < stream->len; at += piece_len) {
        gsize len = MIN(piece_len, stream->len - at);
        g_autofree guint8 *bytes = g_memdup2(stream->data + at, len);
        PstCursor piece = pst_cursor(bytes, len), message;
        FrameResult result;
        while ((result = frame_next(frame, &piece, &message)) == FRAME_MESSAGE) {
            cr_assert_eq(pst_load_be16(message.at + 2), pst_cursor_left(&message));
            cr_assert_eq(pst_load_be32(message.at + 8), n, "in order");
            n++;
        }
        if (result != FRAME_MORE)
            return -1;
        cr_assert_eq(pst_cursor_left(&piece), 0);
    }
    return n;
}

Test(frame, pieces_may_end_anywhere)
{
    g_autoptr(GByteArray) stream = make_stream();
    static const gsize lens[] = {1, 2, 3, 4, 5, 15, 16, 17, 23, 64, 1000, 65535, 65536, 1 << 20};
    for (gsize i = 0; i < G_N_ELEMENTS(lens); i++) {
        Frame frame = {0};
        cr_assert_eq(feed(&frame, stream, lens[i]), MESSAGES, "pieces of %zu", lens[i]);
        cr_assert_eq(frame_waiting(&frame), 0);
        frame_clear(&frame);
    }
}

Test(frame, whole_messages_are_not_copied)
{
    g_autoptr(GByteArray) stream = make_stream();
    Frame frame = {0};
    PstCursor piece = pst_cursor(stream->data, stream->len), message;
    for (guint i = 0; i < MESSAGES; i++) {
        const guint8 *at = piece.at;
        cr_assert_eq(frame_next(&frame, &piece, &message), FRAME_MESSAGE);
        cr_assert_eq(message.at, at);
    }
    cr_assert_null(frame.bytes);
}

Test(frame, keeps_no_more_than_one_message)
{
    Frame frame = {0};
    static const guint8 head[] = {0, 10, 0xff, 0xff};
    PstCursor piece = pst_cursor(head, sizeof head), message;
    cr_assert_eq(frame_next(&frame, &piece, &message), FRAME_MORE);
    cr_assert_eq(frame_waiting(&frame), sizeof head);
    cr_assert_leq(frame.size, FRAME_MAX);
    frame_clear(&frame);
}

Test(frame, what_is_no_ipfix_is_known_by_its_first_bytes)
{
    static const struct {
        guint8 bytes[4];
        gsize len;
        FrameResult result;
    } cases[] = {
        {{0, 9, 0, 1}, 4, FRAME_VERSION},
        {{0, 5}, 2, FRAME_VERSION},
        {{'G'}, 1, FRAME_VERSION},
        {{0, 10, 0, 15}, 4, FRAME_LENGTH},
        {{0, 10, 0, 0}, 4, FRAME_LENGTH},
        {{0, 10, 0, 16}, 4, FRAME_MORE},
        {{0}, 1, FRAME_MORE},
        {{0}, 0, FRAME_MORE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (gsize step = 1; step <= 4; step++) {
            Frame frame = {0};
            FrameResult result = FRAME_MORE;
            for (gsize at = 0; at < cases[i].len && result == FRAME_MORE; at += step) {
                PstCursor message,
                    piece = pst_cursor(cases[i].bytes + at, MIN(step, cases[i].len - at));
                result = frame_next(&frame, &piece, &message);
            }
            cr_assert_eq(result, cases[i].result, "case %zu in steps of %zu", i, step);
            frame_clear(&frame);
        }
    }
}

Test(frame, a_good_message_before_a_bad_one_is_given)
{
    Frame frame = {0};
    g_autoptr(GByteArray) stream = g_byte_array_new();
    Export e = export_ipfix(.sequence = 0);
    export_end(&e);
    g_byte_array_append(stream, e.bytes->data, e.bytes->len);
    g_byte_array_append(stream, (const guint8 *)"HTTP", 4);
    g_byte_array_unref(e.bytes);
    PstCursor piece = pst_cursor(stream->data, stream->len), message;
    cr_assert_eq(frame_next(&frame, &piece, &message), FRAME_MESSAGE);
    cr_assert_eq(frame_next(&frame, &piece, &message), FRAME_VERSION);
    frame_clear(&frame);
}
