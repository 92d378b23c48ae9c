/* SPDX-License-Identifier: Apache-2.0 */
#include "section.h"

enum { LAYER2_SECTION = 104, IP_HEADER_SECTION = 313, DATA_LINK_FRAME_SECTION = 315 };
enum { ETYPE_IPV4 = 0x0800, ETYPE_IPV6 = 0x86dd, ETYPE_PPPOE = 0x8864 };
enum { ETYPE_VLAN = 0x8100, ETYPE_QINQ = 0x88a8, ETYPE_QINQ_OLD = 0x9100 };
enum { ETYPE_MPLS = 0x8847, ETYPE_MPLS_MULTICAST = 0x8848 };
enum { PROTO_HOPOPTS = 0, PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ROUTING = 43 };
enum { PROTO_FRAGMENT = 44, PROTO_ICMP6 = 58, PROTO_DSTOPTS = 60, PROTO_SCTP = 132 };
enum {
    TAGS_MAX = 8,
    HEADERS_MAX = 8,
    VLAN_MASK = 0x0fff,
    OFFSET_MASK = 0x1fff,
    FLAGS_MASK = 0x01ff
};
enum { IPV4_HEADER = 20, IPV6_HEADER = 40, MPLS_BOTTOM = 0x100 };

Section section_of(guint16 id)
{
    switch (id) {
    case LAYER2_SECTION:
    case DATA_LINK_FRAME_SECTION:
        return SECTION_FRAME;
    case IP_HEADER_SECTION:
        return SECTION_IP;
    default:
        return SECTION_NONE;
    }
}

static gboolean is_vlan(guint16 etype)
{
    return etype == ETYPE_VLAN || etype == ETYPE_QINQ || etype == ETYPE_QINQ_OLD;
}

/* To the IP header. */
static void read_link(PstCursor *c, PstFlow *flow)
{
    pst_cursor_skip(c, 12);
    guint16 etype = pst_cursor_u16(c);
    for (guint i = 0; i < TAGS_MAX && is_vlan(etype); i++) {
        guint16 tag = pst_cursor_u16(c) & VLAN_MASK;
        if (!(flow->has & PST_HAS_VLAN)) {
            flow->vlan_id = tag;
            flow->has |= PST_HAS_VLAN;
        }
        etype = pst_cursor_u16(c);
    }
    if (etype == ETYPE_PPPOE)
        pst_cursor_skip(c, 8);
    if (etype == ETYPE_MPLS || etype == ETYPE_MPLS_MULTICAST) {
        for (guint i = 0; i < TAGS_MAX && !(pst_cursor_u32(c) & MPLS_BOTTOM); i++)
            continue;
    } else if (etype != ETYPE_IPV4 && etype != ETYPE_IPV6 && etype != ETYPE_PPPOE) {
        c->failed = TRUE; /* no IP in it */
    }
}

static void set_ports(PstCursor *c, PstFlow *flow)
{
    guint16 src = pst_cursor_u16(c);
    guint16 dst = pst_cursor_u16(c);
    if (!pst_cursor_ok(c))
        return;
    flow->src_port = src;
    flow->dst_port = dst;
    flow->has |= PST_HAS_SRC_PORT | PST_HAS_DST_PORT;
}

static void read_transport(PstCursor *c, PstFlow *flow)
{
    const guint8 *icmp;
    guint16 flags;
    switch (flow->proto) {
    case PROTO_TCP:
        set_ports(c, flow);
        pst_cursor_skip(c, 8);
        flags = pst_cursor_u16(c) & FLAGS_MASK;
        if (pst_cursor_ok(c) && !(flow->has & PST_HAS_TCP_FLAGS)) {
            flow->tcp_flags = flags;
            flow->has |= PST_HAS_TCP_FLAGS;
        }
        break;
    case PROTO_UDP:
    case PROTO_SCTP:
        set_ports(c, flow);
        break;
    case PROTO_ICMP:
    case PROTO_ICMP6:
        icmp = pst_cursor_take(c, 2);
        if (icmp == NULL)
            break;
        flow->icmp_type = icmp[0];
        flow->icmp_code = icmp[1];
        flow->has |= PST_HAS_ICMP;
        break;
    default:
        break;
    }
}

static void set_ip(PstFlow *flow, guint8 proto, guint8 tos, guint8 ttl, guint64 bytes)
{
    flow->proto = proto;
    flow->tos = tos;
    flow->ip_ttl = ttl;
    flow->has |= PST_HAS_PROTO | PST_HAS_TOS | PST_HAS_MIN_TTL;
    if (!(flow->has & PST_HAS_PACKETS))
        flow->packets = 1;
    if (!(flow->has & PST_HAS_BYTES))
        flow->bytes = bytes;
    flow->has |= PST_HAS_PACKETS | PST_HAS_BYTES;
}

static void read_ipv4(PstCursor *c, PstFlow *flow)
{
    const guint8 *h = pst_cursor_take(c, IPV4_HEADER);
    if (h == NULL || (h[0] & 0x0f) * 4 < IPV4_HEADER)
        return;
    flow->src_addr = pst_addr_v4_bytes(h + 12);
    flow->dst_addr = pst_addr_v4_bytes(h + 16);
    set_ip(flow, h[9], h[1], h[8], pst_load_be16(h + 2));
    pst_cursor_skip(c, (gsize)(h[0] & 0x0f) * 4 - IPV4_HEADER);
    if ((pst_load_be16(h + 6) & OFFSET_MASK) == 0)
        read_transport(c, flow);
}

static void read_ipv6(PstCursor *c, PstFlow *flow)
{
    const guint8 *h = pst_cursor_take(c, IPV6_HEADER);
    if (h == NULL)
        return;
    guint8 next = h[6];
    flow->src_addr = pst_addr_v6_bytes(h + 8);
    flow->dst_addr = pst_addr_v6_bytes(h + 24);
    gboolean later = FALSE; /* a fragment that is not the first */
    for (guint i = 0; i < HEADERS_MAX && (next == PROTO_HOPOPTS || next == PROTO_ROUTING ||
                                          next == PROTO_DSTOPTS || next == PROTO_FRAGMENT);
         i++) {
        gboolean fragment = next == PROTO_FRAGMENT;
        next = pst_cursor_u8(c);
        gsize len = pst_cursor_u8(c);
        guint16 offset = pst_cursor_u16(c);
        later |= fragment && (offset & ~7u) != 0;
        pst_cursor_skip(c, fragment ? 4 : len * 8 + 4);
    }
    set_ip(flow, next, (guint8)(pst_load_be16(h) >> 4), h[7],
           (guint64)pst_load_be16(h + 4) + IPV6_HEADER);
    if (!later && pst_cursor_ok(c))
        read_transport(c, flow);
}

void section_fill(Section section, const guint8 *bytes, gsize len, Record *record)
{
    PstFlow *flow = &record->flow;
    PstCursor c = pst_cursor(bytes, len);
    if (pst_addr_present(&flow->src_addr) || pst_addr_present(&flow->dst_addr))
        return;
    if (section == SECTION_FRAME)
        read_link(&c, flow);
    if (pst_cursor_left(&c) == 0)
        return;
    if (*c.at >> 4 == 4)
        read_ipv4(&c, flow);
    else if (*c.at >> 4 == 6)
        read_ipv6(&c, flow);
}
