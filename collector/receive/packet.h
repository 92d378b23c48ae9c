/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A captured packet: from its link layer to the UDP payload. Thread: any. */
#include "cursor.h"
#include "fragments.h"
#include "listener.h"

/* Link layers, numbered as in capture files (LINKTYPE_…, https://www.tcpdump.org/linktypes.html) */
typedef enum {
    LINK_NULL = 0,
    LINK_ETHERNET = 1,
    LINK_RAW_OLD = 12,
    LINK_RAW = 101,
    LINK_LOOP = 108,
    LINK_LINUX_SLL = 113,
    LINK_IPV4 = 228,
    LINK_IPV6 = 229,
    LINK_LINUX_SLL2 = 276
} LinkType;

typedef enum { PACKET_UDP, PACKET_FRAGMENT, PACKET_OTHER } PacketKind;

gboolean packet_link_known(int link);

/* Fills payload, len, truncated, sender and port of @out if the packet is UDP. truncated: the
 * capture holds less of the payload than was on the wire. FRAGMENT: @out_piece is filled instead,
 * of a datagram that is UDP. */
PacketKind packet_read(int link, const guint8 *bytes, gsize len, Datagram *out, Piece *out_piece);

/* The same of a UDP header and payload that were put together; the sender is the caller's. */
PacketKind packet_read_udp(const guint8 *bytes, gsize len, Datagram *out);
