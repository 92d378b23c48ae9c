/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The fields of FlowMessage (flow.proto), in the order of their numbers: the one list from which
 * the protobuf writer, its reader and both JSON directions are made.
 *
 * X(number, kind, member of PstFlow, has bit or 0, name as in flow.proto and JSON)
 * Kinds: U unsigned number of any width, A address, T time (UTC ns), M hardware address,
 *        N prefix length, P protocol number, E ether type, R rate source, D direction, Y flow type,
 *        H the has bits (not in JSON), Z a number of which zero says nothing. On the bus all but A
 *        are varints.
 *
 * Fields of PstFlowRare have a list of their own: a flow without them is written after one look.
 */
#include <glib.h>
#include <string.h>

#define PST_FLOW_FIELDS(X)                                                                         \
    X(1, Y, type, 0, "type")                                                                       \
    X(3, U, sampling_rate, 0, "sampling_rate")                                                     \
    X(4, U, sequence_num, 0, "sequence_num")                                                       \
    X(6, A, src_addr, 0, "src_addr")                                                               \
    X(7, A, dst_addr, 0, "dst_addr")                                                               \
    X(9, U, bytes, PST_HAS_BYTES, "bytes")                                                         \
    X(10, U, packets, PST_HAS_PACKETS, "packets")                                                  \
    X(11, A, sampler, 0, "sampler_address")                                                        \
    X(12, A, next_hop, 0, "next_hop")                                                              \
    X(14, U, src_as, PST_HAS_SRC_AS, "src_as")                                                     \
    X(15, U, dst_as, PST_HAS_DST_AS, "dst_as")                                                     \
    X(16, N, src_net, PST_HAS_SRC_NET, "src_net")                                                  \
    X(17, N, dst_net, PST_HAS_DST_NET, "dst_net")                                                  \
    X(18, U, in_if, PST_HAS_IN_IF, "in_if")                                                        \
    X(19, U, out_if, PST_HAS_OUT_IF, "out_if")                                                     \
    X(20, P, proto, PST_HAS_PROTO, "proto")                                                        \
    X(21, U, src_port, PST_HAS_SRC_PORT, "src_port")                                               \
    X(22, U, dst_port, PST_HAS_DST_PORT, "dst_port")                                               \
    X(23, U, tos, PST_HAS_TOS, "ip_tos")                                                           \
    X(24, U, forwarding, PST_HAS_FORWARDING, "forwarding_status")                                  \
    X(25, U, ip_ttl, PST_HAS_MIN_TTL, "ip_ttl")                                                    \
    X(26, U, tcp_flags, PST_HAS_TCP_FLAGS, "tcp_flags")                                            \
    X(27, M, src_mac, PST_HAS_MAC, "src_mac")                                                      \
    X(28, M, dst_mac, PST_HAS_MAC, "dst_mac")                                                      \
    X(29, U, vlan_id, PST_HAS_VLAN, "vlan_id")                                                     \
    X(30, E, etype, 0, "etype")                                                                    \
    X(31, U, icmp_type, PST_HAS_ICMP, "icmp_type")                                                 \
    X(32, U, icmp_code, PST_HAS_ICMP, "icmp_code")                                                 \
    X(34, U, dst_vlan, PST_HAS_DST_VLAN, "dst_vlan")                                               \
    X(37, U, flow_label, PST_HAS_FLOW_LABEL, "ipv6_flow_label")                                    \
    X(70, U, domain, 0, "observation_domain_id")                                                   \
    X(110, T, received_ns, 0, "time_received_ns")                                                  \
    X(111, T, start_ns, PST_HAS_START, "time_flow_start_ns")                                       \
    X(112, T, end_ns, PST_HAS_END, "time_flow_end_ns")                                             \
    X(1000, R, rate_source, 0, "rate_source")                                                      \
    X(1001, D, direction, 0, "direction")                                                          \
    X(1002, U, reverse_bytes, PST_HAS_REVERSE, "reverse_bytes")                                    \
    X(1003, U, reverse_packets, PST_HAS_REVERSE, "reverse_packets")                                \
    X(1004, U, reverse_tcp_flags, PST_HAS_REVERSE, "reverse_tcp_flags")                            \
    X(1005, U, end_reason, PST_HAS_END_REASON, "flow_end_reason")                                  \
    X(1006, U, fw_event, PST_HAS_FW_EVENT, "firewall_event")                                       \
    X(1007, H, has, 0, "has")                                                                      \
    X(1008, U, flow_direction, PST_HAS_FLOW_DIRECTION, "flow_direction")

#define PST_FLOW_RARE_FIELDS(X)                                                                    \
    X(1010, A, rare.nat_src_addr, PST_HAS_RARE, "nat_src_addr")                                    \
    X(1011, A, rare.nat_dst_addr, PST_HAS_RARE, "nat_dst_addr")                                    \
    X(1012, Z, rare.nat_src_port, PST_HAS_RARE, "nat_src_port")                                    \
    X(1013, Z, rare.nat_dst_port, PST_HAS_RARE, "nat_dst_port")                                    \
    X(1014, Z, rare.nat_event, PST_HAS_RARE, "nat_event")                                          \
    X(1015, Z, rare.biflow_direction, PST_HAS_RARE, "biflow_direction")                            \
    X(1016, Z, rare.flow_id, PST_HAS_RARE, "flow_id")                                              \
    X(1017, U, rare.tcp_sequence, PST_HAS_RARE | PST_HAS_TCP_SEQUENCE, "tcp_sequence_number")      \
    X(1018, U, rare.mpls_label, PST_HAS_RARE | PST_HAS_MPLS, "mpls_top_label")                     \
    X(1019, A, rare.told_exporter, PST_HAS_RARE, "told_exporter_address")

/* The number of @width 1, 2, 4 or 8 bytes that stands at @at, aligned or not. */
static inline guint64 pst_flow_get_number(const guint8 *at, guint8 width)
{
    guint16 v16;
    guint32 v32;
    guint64 v64;
    switch (width) {
    case 1:
        return *at;
    case 2:
        memcpy(&v16, at, 2);
        return v16;
    case 4:
        memcpy(&v32, at, 4);
        return v32;
    default:
        memcpy(&v64, at, 8);
        return v64;
    }
}

/* FALSE: @value does not fit. */
static inline gboolean pst_flow_put_number(guint8 *at, guint8 width, guint64 value)
{
    if (width < 8 && value >> (width * 8) != 0)
        return FALSE;
    switch (width) {
    case 1:
        *at = (guint8)value;
        break;
    case 2:
        memcpy(at, &(guint16){(guint16)value}, 2);
        break;
    case 4:
        memcpy(at, &(guint32){(guint32)value}, 4);
        break;
    default:
        memcpy(at, &value, 8);
        break;
    }
    return TRUE;
}
