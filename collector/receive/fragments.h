/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Pieces of IP datagrams, as they stand in a capture, until they make a whole (RFC 791 §3.2,
 * RFC 8200 §4.5). At most FRAGMENTS_MAX datagrams wait for pieces; the oldest makes room. Thread:
 * its owner's. */
#include "postern/addr.h"

enum { FRAGMENTS_MAX = 64, FRAGMENTS_DATAGRAM_MAX = 65535 };

typedef struct {
    PstAddr sender;
    PstAddr receiver;
    guint32 id;
    guint32 offset;      /* in the datagram */
    gboolean more;       /* it is not the last */
    const guint8 *bytes; /* borrowed; NULL: the capture has not all of it */
    gsize len;
} Piece;

typedef struct Fragments Fragments;

Fragments *fragments_new(void);
/* Accepts NULL. */
void fragments_free(Fragments *fragments);

/* TRUE: @piece was the last that was missing; the datagram (UDP header and payload) is in
 * @out_bytes, borrowed until the next call. */
gboolean fragments_take(Fragments *fragments, const Piece *piece, const guint8 **out_bytes,
                        gsize *out_len);

/* One datagram that made room, or cannot become whole: TRUE once for each. @end: no more pieces
 * will come. */
gboolean fragments_lost(Fragments *fragments, gboolean end);
