/* SPDX-License-Identifier: Apache-2.0 */
#include "packet.h"

enum { ETYPE_IPV4 = 0x0800, ETYPE_IPV6 = 0x86dd };
enum { ETYPE_VLAN = 0x8100, ETYPE_QINQ = 0x88a8, ETYPE_QINQ_OLD = 0x9100, VLAN_TAGS_MAX = 4 };
enum {
    PROTO_HOPOPTS = 0,
    PROTO_UDP = 17,
    PROTO_ROUTING = 43,
    PROTO_FRAGMENT = 44,
    PROTO_DSTOPTS = 60
};
enum { IPV4_MORE = 0x2000, IPV4_OFFSET = 0x1fff, IPV6_HEADERS_MAX = 8, UDP_HEADER = 8 };

gboolean packet_link_known(int link)
{
    switch (link) {
    case LINK_NULL:
    case LINK_ETHERNET:
    case LINK_RAW_OLD:
    case LINK_RAW:
    case LINK_LOOP:
    case LINK_LINUX_SLL:
    case LINK_IPV4:
    case LINK_IPV6:
    case LINK_LINUX_SLL2:
        return TRUE;
    default:
        return FALSE;
    }
}

static guint16 skip_vlans(PstCursor *c, guint16 etype)
{
    for (guint i = 0; i < VLAN_TAGS_MAX; i++) {
        if (etype != ETYPE_VLAN && etype != ETYPE_QINQ && etype != ETYPE_QINQ_OLD)
            break;
        pst_cursor_skip(c, 2);
        etype = pst_cursor_u16(c);
    }
    return etype;
}

/* Raw IP: the version tells. */
static guint16 etype_of_version(const PstCursor *c)
{
    if (pst_cursor_left(c) == 0)
        return 0;
    return *c->at >> 4 == 4 ? ETYPE_IPV4 : *c->at >> 4 == 6 ? ETYPE_IPV6 : 0;
}

static guint16 read_link(int link, PstCursor *c)
{
    guint16 etype;
    switch (link) {
    case LINK_ETHERNET:
        pst_cursor_skip(c, 12);
        return skip_vlans(c, pst_cursor_u16(c));
    case LINK_LINUX_SLL:
        pst_cursor_skip(c, 14);
        return skip_vlans(c, pst_cursor_u16(c));
    case LINK_LINUX_SLL2:
        etype = pst_cursor_u16(c);
        pst_cursor_skip(c, 18);
        return skip_vlans(c, etype);
    case LINK_NULL: /* an address family in the byte order of who captured: the version is surer */
    case LINK_LOOP:
        pst_cursor_skip(c, 4);
        break;
    default:
        break;
    }
    return etype_of_version(c);
}

static PacketKind read_udp(PstCursor *c, Datagram *out)
{
    out->port = pst_cursor_u16(c);
    pst_cursor_skip(c, 2);
    guint16 len = pst_cursor_u16(c);
    pst_cursor_skip(c, 2);
    if (!pst_cursor_ok(c) || len < UDP_HEADER)
        return PACKET_OTHER;
    gsize wanted = len - (gsize)UDP_HEADER;
    out->len = MIN(wanted, pst_cursor_left(c));
    out->truncated = out->len < wanted;
    out->payload = pst_cursor_take(c, out->len);
    return PACKET_UDP;
}

static PacketKind give_piece(PstCursor *c, gsize len, Piece *out)
{
    out->len = len;
    out->bytes = pst_cursor_take(c, len);
    return PACKET_FRAGMENT;
}

static PacketKind read_ipv4(PstCursor *c, Datagram *out, Piece *out_piece)
{
    gsize header = (gsize)(pst_cursor_u8(c) & 0x0f) * 4;
    pst_cursor_skip(c, 1);
    guint16 total = pst_cursor_u16(c);
    guint16 id = pst_cursor_u16(c);
    guint16 fragment = pst_cursor_u16(c);
    pst_cursor_skip(c, 1);
    guint8 proto = pst_cursor_u8(c);
    pst_cursor_skip(c, 2);
    const guint8 *source = pst_cursor_take(c, 4);
    const guint8 *destination = pst_cursor_take(c, 4);
    if (header < 20)
        return PACKET_OTHER;
    pst_cursor_skip(c, header - 20);
    if (!pst_cursor_ok(c) || proto != PROTO_UDP)
        return PACKET_OTHER;
    if ((fragment & (IPV4_MORE | IPV4_OFFSET)) != 0) {
        *out_piece = (Piece){.sender = pst_addr_v4_bytes(source),
                             .receiver = pst_addr_v4_bytes(destination),
                             .id = id,
                             .offset = (fragment & IPV4_OFFSET) * 8u,
                             .more = (fragment & IPV4_MORE) != 0};
        return give_piece(c, total > header ? total - header : 0, out_piece);
    }
    out->sender = pst_addr_v4_bytes(source);
    return read_udp(c, out);
}

static gboolean is_extension(guint8 header)
{
    return header == PROTO_HOPOPTS || header == PROTO_ROUTING || header == PROTO_DSTOPTS;
}

/* Behind the headers that come before the fragment's. @end: of the packet. */
static PacketKind read_ipv6_piece(PstCursor *c, const guint8 *source, const guint8 *destination,
                                  const guint8 *end, Piece *out)
{
    guint8 next = pst_cursor_u8(c);
    pst_cursor_skip(c, 1);
    guint16 fragment = pst_cursor_u16(c);
    *out = (Piece){.sender = pst_addr_v6_bytes(source),
                   .receiver = pst_addr_v6_bytes(destination),
                   .id = pst_cursor_u32(c),
                   .offset = fragment & ~7u,
                   .more = (fragment & 1) != 0};
    if (!pst_cursor_ok(c) || next != PROTO_UDP)
        return PACKET_OTHER;
    return give_piece(c, end > c->at ? (gsize)(end - c->at) : 0, out);
}

static PacketKind read_ipv6(PstCursor *c, Datagram *out, Piece *out_piece)
{
    pst_cursor_skip(c, 4);
    guint16 payload = pst_cursor_u16(c);
    guint8 next = pst_cursor_u8(c);
    pst_cursor_skip(c, 1);
    const guint8 *source = pst_cursor_take(c, 16);
    const guint8 *destination = pst_cursor_take(c, 16);
    PstCursor rest = *c;
    gboolean whole = pst_cursor_left(&rest) >= payload;
    for (guint i = 0; i < IPV6_HEADERS_MAX && is_extension(next); i++) {
        next = pst_cursor_u8(c);
        gsize len = pst_cursor_u8(c);
        pst_cursor_skip(c, len * 8 + 6);
    }
    if (!pst_cursor_ok(c))
        return PACKET_OTHER;
    if (next == PROTO_FRAGMENT)
        return read_ipv6_piece(c, source, destination, whole ? rest.at + payload : NULL, out_piece);
    if (next != PROTO_UDP)
        return PACKET_OTHER;
    out->sender = pst_addr_v6_bytes(source);
    return read_udp(c, out);
}

PacketKind packet_read_udp(const guint8 *bytes, gsize len, Datagram *out)
{
    PstCursor c = pst_cursor(bytes, len);
    return read_udp(&c, out);
}

PacketKind packet_read(int link, const guint8 *bytes, gsize len, Datagram *out, Piece *out_piece)
{
    PstCursor c = pst_cursor(bytes, len);
    switch (read_link(link, &c)) {
    case ETYPE_IPV4:
        return read_ipv4(&c, out, out_piece);
    case ETYPE_IPV6:
        return read_ipv6(&c, out, out_piece);
    default:
        return PACKET_OTHER;
    }
}
