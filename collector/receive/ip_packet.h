/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A captured packet from its link layer to what is behind its IP headers. Nothing is put together
 * here, and no length is believed beyond the bytes that are there. Thread: any.
 * Source: RFC 791, RFC 8200 §4; https://www.tcpdump.org/linktypes.html */
#include "cursor.h"
#include "postern/addr.h"

/* Link layers, numbered as in capture files. */
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

gboolean ip_link_known(int link);

/* A frame of a capture file. Its bytes are borrowed. */
typedef struct {
    int link;
    const guint8 *bytes;
    gsize len;
    gsize wire_len; /* before the capture cut it, as the file says */
    gint64 time_ns; /* UTC ns; 0: none */
} CapturedFrame;

/* A value. */
typedef struct {
    PstAddr src, dst;
    guint8 proto;   /* behind the extension headers */
    guint32 bytes;  /* header and all, as it says itself; 0: it does not (offloading, jumbograms) */
    gboolean piece; /* of a datagram in fragments */
    gboolean more;  /* … and not its last */
    guint32 offset; /* … where in the datagram */
    guint32 id;     /* … of which; with it goes: */
    guint8 piece_proto; /* what all pieces say; of IPv6 a header before proto's, maybe */
    guint32 behind;     /* bytes behind the IP headers, as these say; 0: they do not */
    PstCursor rest;     /* what of that the capture holds, and maybe padding; borrowed */
    gsize at;           /* where in the frame the IP header begins */
} IpPacket;

typedef enum {
    IP_PACKET,
    IP_NONE,  /* another protocol than IP */
    IP_CUT,   /* the capture ends within its headers */
    IP_BROKEN /* its headers contradict themselves */
} IpResult;

/* @out is only good with IP_PACKET. */
IpResult ip_packet_read(int link, const guint8 *bytes, gsize len, IpPacket *out);
