/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Addresses as mail headers write them, and the trace that a mail gathered (RFC 5321 §4.4).
 *
 * A Received field says "from NAME (what the receiver saw [ADDRESS]) by …". NAME is the client's
 * claim; what stands in the comment is what the receiving server saw. Whoever added the topmost
 * field got the mail from whoever added the one below, so trust ends where the first stranger
 * wrote. Thread: any; all functions are pure.
 */
#include "postern/addr.h"
#include "prefix_map.h"
#include "text.h"

typedef struct {
    PstAddr addr; /* family NONE: the field names none */
    guint16 port; /* 0: not said */
} Hop;

/* The first address that @value shows, as Source-IP writes it (RFC 5965 §3.2): plain, in brackets,
 * with "IPv6:" before it, with comments around it. FALSE: it shows none. */
gboolean received_address(Text value, PstAddr *out);

/* The address that handed the mail over, from the value of one Received field. */
Hop received_hop(Text value);

/* Whether an address can stand for a sender in the Internet: not private, not local. */
gboolean received_is_public(const PstAddr *addr);

/* The hop through which the message with this @header left us: the topmost whose address lies in
 * @networks; where our networks are not known (NULL), the topmost public one.
 * FALSE: no hop is ours. */
gboolean received_find(Text header, const PstPrefixMap *networks, Hop *out);

/* The moment of the topmost hop: when the reporter's server took the message. UTC ns. FALSE: no
 * field has one. */
gboolean received_date(Text header, gint64 *out_ns);
