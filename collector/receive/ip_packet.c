/* SPDX-License-Identifier: Apache-2.0 */
#include "ip_packet.h"

enum { ETYPE_IPV4 = 0x0800, ETYPE_IPV6 = 0x86dd, ETYPE_PPPOE = 0x8864 };
enum { ETYPE_VLAN = 0x8100, ETYPE_QINQ = 0x88a8, ETYPE_QINQ_OLD = 0x9100 };
enum { ETYPE_MPLS = 0x8847, ETYPE_MPLS_MULTICAST = 0x8848 };
enum { TAGS_MAX = 8, MPLS_BOTTOM = 0x100, PPP_IPV4 = 0x0021, PPP_IPV6 = 0x0057 };
enum { PROTO_HOPOPTS = 0, PROTO_ROUTING = 43, PROTO_FRAGMENT = 44, PROTO_DSTOPTS = 60 };
enum { IPV4_HEADER = 20, IPV4_MORE = 0x2000, IPV4_OFFSET = 0x1fff };
enum { IPV6_HEADER = 40, EXTENSIONS_MAX = 8 };

gboolean ip_link_known(int link)
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

/* Raw IP: the version tells. 0: no IP. */
static guint16 etype_of_version(const PstCursor *c)
{
    if (pst_cursor_left(c) == 0)
        return 0;
    return *c->at >> 4 == 4 ? ETYPE_IPV4 : *c->at >> 4 == 6 ? ETYPE_IPV6 : 0;
}

/* Behind VLAN tags, MPLS labels and PPPoE. 0: no IP. */
static guint16 skip_tags(PstCursor *c, guint16 etype)
{
    for (guint i = 0; i < TAGS_MAX; i++) {
        if (etype != ETYPE_VLAN && etype != ETYPE_QINQ && etype != ETYPE_QINQ_OLD)
            break;
        pst_cursor_skip(c, 2);
        etype = pst_cursor_u16(c);
    }
    if (etype == ETYPE_PPPOE) {
        pst_cursor_skip(c, 6);
        guint16 ppp = pst_cursor_u16(c);
        return ppp == PPP_IPV4 ? ETYPE_IPV4 : ppp == PPP_IPV6 ? ETYPE_IPV6 : 0;
    }
    if (etype != ETYPE_MPLS && etype != ETYPE_MPLS_MULTICAST)
        return etype;
    for (guint i = 0; i < TAGS_MAX && (pst_cursor_u32(c) & MPLS_BOTTOM) == 0; i++)
        continue;
    return etype_of_version(c);
}

static guint16 read_link(int link, PstCursor *c)
{
    guint16 etype;
    switch (link) {
    case LINK_ETHERNET:
        pst_cursor_skip(c, 12);
        return skip_tags(c, pst_cursor_u16(c));
    case LINK_LINUX_SLL:
        pst_cursor_skip(c, 14);
        return skip_tags(c, pst_cursor_u16(c));
    case LINK_LINUX_SLL2:
        etype = pst_cursor_u16(c);
        pst_cursor_skip(c, 18);
        return skip_tags(c, etype);
    case LINK_NULL: /* an address family in the byte order of who captured: the version is surer */
    case LINK_LOOP:
        pst_cursor_skip(c, 4);
        break;
    default:
        break;
    }
    return etype_of_version(c);
}

static IpResult read_ipv4(PstCursor *c, IpPacket *out)
{
    const guint8 *h = pst_cursor_take(c, IPV4_HEADER);
    if (h == NULL)
        return IP_CUT;
    gsize header = (gsize)(h[0] & 0x0f) * 4;
    guint16 total = pst_load_be16(h + 2);
    guint16 fragment = pst_load_be16(h + 6);
    if (h[0] >> 4 != 4 || header < IPV4_HEADER || (total != 0 && total < header))
        return IP_BROKEN;
    pst_cursor_skip(c, header - IPV4_HEADER);
    *out = (IpPacket){.src = pst_addr_v4_bytes(h + 12),
                      .dst = pst_addr_v4_bytes(h + 16),
                      .proto = h[9],
                      .bytes = total,
                      .piece = (fragment & (IPV4_MORE | IPV4_OFFSET)) != 0,
                      .more = (fragment & IPV4_MORE) != 0,
                      .offset = (fragment & IPV4_OFFSET) * 8u,
                      .id = pst_load_be16(h + 4),
                      .piece_proto = h[9],
                      .behind = total != 0 ? total - (guint32)header : 0};
    return IP_PACKET;
}

static gboolean is_extension(guint8 header)
{
    return header == PROTO_HOPOPTS || header == PROTO_ROUTING || header == PROTO_DSTOPTS;
}

static guint8 skip_extensions(PstCursor *c, guint8 next)
{
    for (guint i = 0; i < EXTENSIONS_MAX && is_extension(next); i++) {
        next = pst_cursor_u8(c);
        gsize len = pst_cursor_u8(c);
        pst_cursor_skip(c, len * 8 + 6);
    }
    return next;
}

static IpResult read_ipv6(PstCursor *c, IpPacket *out)
{
    const guint8 *h = pst_cursor_take(c, IPV6_HEADER);
    if (h == NULL)
        return IP_CUT;
    if (h[0] >> 4 != 6)
        return IP_BROKEN;
    guint16 payload = pst_load_be16(h + 4);
    *out = (IpPacket){.src = pst_addr_v6_bytes(h + 8),
                      .dst = pst_addr_v6_bytes(h + 24),
                      .proto = skip_extensions(c, h[6]),
                      .bytes = payload != 0 ? payload + IPV6_HEADER : 0};
    if (out->proto == PROTO_FRAGMENT) {
        out->proto = out->piece_proto = pst_cursor_u8(c);
        pst_cursor_skip(c, 1);
        guint16 fragment = pst_cursor_u16(c);
        out->id = pst_cursor_u32(c);
        out->piece = TRUE;
        out->more = (fragment & 1) != 0;
        out->offset = fragment & ~7u;
        if (out->offset == 0)
            out->proto = skip_extensions(c, out->proto);
    }
    if (!pst_cursor_ok(c))
        return IP_CUT;
    gsize headers = (gsize)(c->at - h) - IPV6_HEADER;
    if (payload != 0 && payload < headers)
        return IP_BROKEN;
    out->behind = payload != 0 ? payload - (guint32)headers : 0;
    return IP_PACKET;
}

IpResult ip_packet_read(int link, const guint8 *bytes, gsize len, IpPacket *out)
{
    PstCursor c = pst_cursor(bytes, len);
    IpResult result = IP_NONE;
    guint16 etype = read_link(link, &c);
    gsize at = (gsize)(c.at - bytes);
    switch (etype) {
    case ETYPE_IPV4:
        result = read_ipv4(&c, out);
        break;
    case ETYPE_IPV6:
        result = read_ipv6(&c, out);
        break;
    default:
        return pst_cursor_ok(&c) ? IP_NONE : IP_CUT;
    }
    if (result == IP_PACKET && !pst_cursor_ok(&c))
        return IP_CUT;
    if (result != IP_PACKET)
        return result;
    out->rest = c;
    out->at = at;
    return IP_PACKET;
}
