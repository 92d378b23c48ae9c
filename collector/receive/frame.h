/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Cuts a stream of bytes into IPFIX messages, by the length in their header. Pieces may end
 * anywhere; what is not complete yet is kept, at most one message. A stream of whole messages is
 * not copied.
 *
 *     PstCursor piece = pst_cursor(bytes, len), message;
 *     FrameResult result;
 *     while ((result = frame_next(&frame, &piece, &message)) == FRAME_MESSAGE)
 *         …
 *
 * Once it is not MORE, nothing behind it in the stream can be found: the stream is to be ended.
 * NetFlow v9 and v5 have no length in their header, and so cannot be cut out of a stream.
 * Thread: its owner's. Source: RFC 7011 §3.1, §10.4. */
#include "cursor.h"

enum { FRAME_MAX = 65535 };

/* A value; zeroed is empty. */
typedef struct {
    guint8 *bytes; /* owned; NULL if nothing is kept */
    gsize len;
    gsize size;
    gboolean given; /* it was complete, and was given with the last call */
} Frame;

typedef enum {
    FRAME_MESSAGE, /* @out_message is one */
    FRAME_MORE,    /* the piece is used up */
    FRAME_VERSION, /* no IPFIX message begins here */
    FRAME_LENGTH   /* it says that it is shorter than its header */
} FrameResult;

/* The next message of @frame and @piece. @out_message is borrowed until the next call, or until the
 * piece's bytes go. */
FrameResult frame_next(Frame *frame, PstCursor *piece, PstCursor *out_message);

/* Bytes of a message that is not complete. */
gsize frame_waiting(const Frame *frame);
void frame_clear(Frame *frame);
