/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <string.h>

enum { VERSION = 10, HEADER = 16, LENGTH_KNOWN = 4 };

/* What the first @n bytes of a message say. MORE: not yet how long it is. */
static FrameResult judge(const guint8 *bytes, gsize n, gsize *out_len)
{
    if (n >= 1 && bytes[0] != 0)
        return FRAME_VERSION;
    if (n >= 2 && bytes[1] != VERSION)
        return FRAME_VERSION;
    if (n < LENGTH_KNOWN)
        return FRAME_MORE;
    *out_len = pst_load_be16(bytes + 2);
    return *out_len < HEADER ? FRAME_LENGTH : FRAME_MESSAGE;
}

static void reserve(Frame *frame, gsize size)
{
    frame->bytes = g_realloc(frame->bytes, size);
    frame->size = size;
}

/* Adds as much of @piece as the message needs. */
static FrameResult collect(Frame *frame, PstCursor *piece, PstCursor *out_message)
{
    if (frame->size == 0)
        reserve(frame, LENGTH_KNOWN);
    for (;;) {
        gsize n = MIN(frame->size - frame->len, pst_cursor_left(piece));
        memcpy(frame->bytes + frame->len, pst_cursor_take(piece, n), n);
        frame->len += n;
        gsize len = LENGTH_KNOWN;
        FrameResult result = judge(frame->bytes, frame->len, &len);
        if (result != FRAME_MESSAGE)
            return result;
        if (frame->size < len) {
            reserve(frame, len);
            continue;
        }
        if (frame->len < len)
            return FRAME_MORE;
        frame->given = TRUE;
        *out_message = pst_cursor(frame->bytes, len);
        return FRAME_MESSAGE;
    }
}

FrameResult frame_next(Frame *frame, PstCursor *piece, PstCursor *out_message)
{
    if (frame->given)
        frame_clear(frame);
    gsize left = pst_cursor_left(piece);
    if (left == 0)
        return FRAME_MORE;
    if (frame->len > 0)
        return collect(frame, piece, out_message);
    gsize len = 0;
    FrameResult result = judge(piece->at, left, &len);
    if (result == FRAME_VERSION || result == FRAME_LENGTH)
        return result;
    if (result == FRAME_MORE || len > left)
        return collect(frame, piece, out_message);
    *out_message = pst_cursor(pst_cursor_take(piece, len), len);
    return FRAME_MESSAGE;
}

gsize frame_waiting(const Frame *frame)
{
    return frame->given ? 0 : frame->len;
}

void frame_clear(Frame *frame)
{
    g_free(frame->bytes);
    *frame = (Frame){0};
}
