/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Flows for tests: a small one, and one in which every field has a value of its own. */
#include <string.h>

#include "postern/flow.h"

static inline PstAddr test_addr(const char *text)
{
    PstAddr addr = {0};
    gboolean ok = pst_addr_parse(text, strlen(text), &addr);
    g_assert(ok);
    return addr;
}

/* A SYN from a customer to a mail server. */
static inline PstFlow test_flow(const char *src, const char *dst, guint16 dst_port, gint64 start_ns)
{
    return (PstFlow){
        .type = PST_FLOW_IPFIX,
        .has = PST_HAS_BYTES | PST_HAS_PACKETS | PST_HAS_SRC_PORT | PST_HAS_DST_PORT |
               PST_HAS_PROTO | PST_HAS_TCP_FLAGS | PST_HAS_START | PST_HAS_END,
        .src_addr = test_addr(src),
        .dst_addr = test_addr(dst),
        .sampler = test_addr("198.51.100.254"),
        .src_port = 40000,
        .dst_port = dst_port,
        .proto = 6,
        .etype = 0x0800,
        .tcp_flags = 0x1b,
        .bytes = 1200,
        .packets = 12,
        .sampling_rate = 1,
        .direction = PST_DIR_OUT,
        .received_ns = start_ns + G_GINT64_CONSTANT(5000000000),
        .start_ns = start_ns,
        .end_ns = start_ns + G_GINT64_CONSTANT(2000000000),
    };
}

/* Every field at its largest: the longest encoding. */
static inline PstFlow test_flow_full(void)
{
    PstFlow flow;
    memset(&flow, 0, sizeof flow);
    flow.has = 0x1fffffff;
    flow.type = PST_FLOW_IPFIX;
    flow.rate_source = PST_RATE_OPERATOR;
    flow.direction = PST_DIR_TRANSIT;
    flow.src_addr = test_addr("2001:db8::1");
    flow.dst_addr = test_addr("2001:db8::2");
    flow.next_hop = test_addr("2001:db8::3");
    flow.sampler = test_addr("2001:db8::4");
    flow.src_port = flow.dst_port = 0xffff;
    flow.proto = flow.tos = 0xff;
    flow.etype = 0x86dd;
    flow.bytes = flow.packets = flow.reverse_bytes = flow.reverse_packets = G_MAXUINT64;
    flow.tcp_flags = flow.reverse_tcp_flags = 0xffff;
    flow.sampling_rate = G_MAXUINT64;
    flow.received_ns = flow.start_ns = flow.end_ns = G_MAXINT64;
    flow.in_if = flow.out_if = flow.src_as = flow.dst_as = G_MAXUINT32;
    flow.src_net = flow.dst_net = 128;
    flow.end_reason = flow.fw_event = flow.icmp_type = flow.icmp_code = 0xff;
    flow.forwarding = flow.ip_ttl = 0xff;
    flow.vlan_id = flow.dst_vlan = 0xffff;
    flow.src_mac = flow.dst_mac = G_GUINT64_CONSTANT(0xffffffffffff);
    flow.sequence_num = flow.domain = G_MAXUINT32;
    flow.flow_direction = 0xff;
    flow.rare.nat_src_addr = test_addr("2001:db8::5");
    flow.rare.nat_dst_addr = test_addr("2001:db8::6");
    flow.rare.told_exporter = test_addr("2001:db8::7");
    flow.rare.nat_src_port = flow.rare.nat_dst_port = 0xffff;
    flow.rare.nat_event = flow.rare.biflow_direction = 0xff;
    flow.flow_label = flow.rare.mpls_label = flow.rare.tcp_sequence = G_MAXUINT32;
    flow.rare.flow_id = G_MAXUINT64;
    return flow;
}
