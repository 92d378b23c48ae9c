/* SPDX-License-Identifier: Apache-2.0 */
#include "element.h"

#include <stddef.h>

#define TARGET(member) .target = offsetof(Record, member), .size = sizeof(((Record *)NULL)->member)
#define NUMBER(number, member, bit, priority, label)                                               \
    {                                                                                              \
        .id = number, .kind = ELEMENT_NUMBER, .rank = priority, TARGET(flow.member), .has = bit,   \
        .name = label                                                                              \
    }
#define PORT(number, member, bit, protocol, label)                                                 \
    {                                                                                              \
        .id = number, .kind = ELEMENT_NUMBER, TARGET(flow.member), .has = bit, .proto = protocol,  \
        .name = label                                                                              \
    }
#define ADDRESS(number, form, member, priority, label)                                             \
    {                                                                                              \
        .id = number, .kind = ELEMENT_##form, .rank = priority, TARGET(flow.member), .name = label \
    }
#define RARE(number, form, member, bits, priority, label)                                          \
    {                                                                                              \
        .id = number, .kind = ELEMENT_##form, .rank = priority, TARGET(flow.rare.member),          \
        .has = PST_HAS_RARE | (bits), .name = label                                                \
    }
#define RAWTIME(number, index, label)                                                              \
    {                                                                                              \
        .id = number, .kind = ELEMENT_TIME, TARGET(raw[index]), .seen = 1u << (index),             \
        .name = label                                                                              \
    }
#define RAWNUMBER(number, index, priority, label)                                                  \
    {                                                                                              \
        .id = number, .kind = ELEMENT_NUMBER, .rank = priority, TARGET(raw[index]),                \
        .seen = 1u << (index), .name = label                                                       \
    }
#define CISCO_NAT(number, form, member, label)                                                     \
    {                                                                                              \
        .pen = 9, .id = number, .kind = ELEMENT_##form, TARGET(flow.rare.member),                  \
        .has = PST_HAS_RARE, .name = label                                                         \
    }
#define YAF(number, member, bit, label)                                                            \
    {                                                                                              \
        .pen = 6871, .id = number, .kind = ELEMENT_FLAGS, TARGET(flow.member), .has = bit,         \
        .name = label                                                                              \
    }
#define CISCO(number, form, member, bit, label)                                                    \
    {                                                                                              \
        .pen = 9, .id = number, .kind = ELEMENT_##form, TARGET(flow.member), .has = bit,           \
        .name = label                                                                              \
    }
#define REVERSE(number, member, priority, label)                                                   \
    {                                                                                              \
        .pen = ELEMENT_PEN_REVERSE, .id = number, .kind = ELEMENT_NUMBER, .rank = priority,        \
        TARGET(flow.member), .has = PST_HAS_REVERSE, .name = label                                 \
    }

/* clang-format off */
static const Element elements[] = {
    NUMBER(1, bytes, PST_HAS_BYTES, 4, "octetDeltaCount"),
    NUMBER(2, packets, PST_HAS_PACKETS, 3, "packetDeltaCount"),
    NUMBER(4, proto, PST_HAS_PROTO, 0, "protocolIdentifier"),
    NUMBER(5, tos, PST_HAS_TOS, 0, "ipClassOfService"),
    NUMBER(6, tcp_flags, PST_HAS_TCP_FLAGS, 0, "tcpControlBits"),
    NUMBER(7, src_port, PST_HAS_SRC_PORT, 1, "sourceTransportPort"),
    ADDRESS(8, ADDR4, src_addr, 1, "sourceIPv4Address"),
    NUMBER(9, src_net, PST_HAS_SRC_NET, 1, "sourceIPv4PrefixLength"),
    NUMBER(10, in_if, PST_HAS_IN_IF, 1, "ingressInterface"),
    NUMBER(11, dst_port, PST_HAS_DST_PORT, 1, "destinationTransportPort"),
    ADDRESS(12, ADDR4, dst_addr, 1, "destinationIPv4Address"),
    NUMBER(13, dst_net, PST_HAS_DST_NET, 1, "destinationIPv4PrefixLength"),
    NUMBER(14, out_if, PST_HAS_OUT_IF, 1, "egressInterface"),
    ADDRESS(15, ADDR4, next_hop, 3, "ipNextHopIPv4Address"),
    NUMBER(16, src_as, PST_HAS_SRC_AS, 0, "bgpSourceAsNumber"),
    NUMBER(17, dst_as, PST_HAS_DST_AS, 0, "bgpDestinationAsNumber"),
    ADDRESS(18, ADDR4, next_hop, 1, "bgpNextHopIPv4Address"),
    RAWNUMBER(21, RAW_END_UPTIME_MS, 0, "flowEndSysUpTime"),
    RAWNUMBER(22, RAW_START_UPTIME_MS, 0, "flowStartSysUpTime"),
    NUMBER(23, bytes, PST_HAS_BYTES, 1, "postOctetDeltaCount"),
    NUMBER(24, packets, PST_HAS_PACKETS, 0, "postPacketDeltaCount"),
    ADDRESS(27, ADDR6, src_addr, 0, "sourceIPv6Address"),
    ADDRESS(28, ADDR6, dst_addr, 0, "destinationIPv6Address"),
    NUMBER(29, src_net, PST_HAS_SRC_NET, 0, "sourceIPv6PrefixLength"),
    NUMBER(30, dst_net, PST_HAS_DST_NET, 0, "destinationIPv6PrefixLength"),
    NUMBER(31, flow_label, PST_HAS_FLOW_LABEL, 0, "flowLabelIPv6"),
    {.id = 32, .kind = ELEMENT_NUMBER, .rank = 1, TARGET(icmp), .has = PST_HAS_ICMP,
     .name = "icmpTypeCodeIPv4"},
    RAWNUMBER(34, RAW_INTERVAL, 0, "samplingInterval"),
    RAWNUMBER(48, RAW_SELECTOR, 0, "samplerId"),
    RAWNUMBER(50, RAW_INTERVAL, 1, "samplerRandomInterval"),
    NUMBER(52, ip_ttl, PST_HAS_MIN_TTL, 1, "minimumTTL"),
    {.id = 56, .kind = ELEMENT_MAC, .rank = 1, TARGET(flow.src_mac), .has = PST_HAS_MAC,
     .name = "sourceMacAddress"},
    {.id = 57, .kind = ELEMENT_MAC, .rank = 0, TARGET(flow.dst_mac), .has = PST_HAS_MAC,
     .name = "postDestinationMacAddress"},
    NUMBER(58, vlan_id, PST_HAS_VLAN, 1, "vlanId"),
    NUMBER(59, dst_vlan, PST_HAS_DST_VLAN, 1, "postVlanId"),
    {.id = 60, .kind = ELEMENT_NUMBER, TARGET(ip_version), .name = "ipVersion"},
    NUMBER(61, flow_direction, PST_HAS_FLOW_DIRECTION, 0, "flowDirection"),
    ADDRESS(62, ADDR6, next_hop, 2, "ipNextHopIPv6Address"),
    ADDRESS(63, ADDR6, next_hop, 0, "bgpNextHopIPv6Address"),
    RARE(70, LABEL, mpls_label, PST_HAS_MPLS, 0, "mplsTopLabelStackSection"),
    {.id = 80, .kind = ELEMENT_MAC, .rank = 1, TARGET(flow.dst_mac), .has = PST_HAS_MAC,
     .name = "destinationMacAddress"},
    {.id = 81, .kind = ELEMENT_MAC, .rank = 0, TARGET(flow.src_mac), .has = PST_HAS_MAC,
     .name = "postSourceMacAddress"},
    NUMBER(85, bytes, PST_HAS_BYTES, 3, "octetTotalCount"),
    NUMBER(86, packets, PST_HAS_PACKETS, 2, "packetTotalCount"),
    NUMBER(89, forwarding, PST_HAS_FORWARDING, 0, "forwardingStatus"),
    RARE(130, ADDR4, told_exporter, 0, 1, "exporterIPv4Address"),
    RARE(131, ADDR6, told_exporter, 0, 0, "exporterIPv6Address"),
    NUMBER(136, end_reason, PST_HAS_END_REASON, 0, "flowEndReason"),
    {.id = 139, .kind = ELEMENT_NUMBER, .rank = 0, TARGET(icmp), .has = PST_HAS_ICMP,
     .name = "icmpTypeCodeIPv6"},
    RARE(148, NUMBER, flow_id, 0, 0, "flowId"),
    RAWTIME(150, RAW_START_S, "flowStartSeconds"),
    RAWTIME(151, RAW_END_S, "flowEndSeconds"),
    RAWTIME(152, RAW_START_MS, "flowStartMilliseconds"),
    RAWTIME(153, RAW_END_MS, "flowEndMilliseconds"),
    RAWTIME(154, RAW_START_US, "flowStartMicroseconds"),
    RAWTIME(155, RAW_END_US, "flowEndMicroseconds"),
    RAWTIME(156, RAW_START_NS, "flowStartNanoseconds"),
    RAWTIME(157, RAW_END_NS, "flowEndNanoseconds"),
    RAWNUMBER(158, RAW_START_DELTA_US, 0, "flowStartDeltaMicroseconds"),
    RAWNUMBER(159, RAW_END_DELTA_US, 0, "flowEndDeltaMicroseconds"),
    RAWTIME(160, RAW_INIT_MS, "systemInitTimeMilliseconds"),
    RAWNUMBER(161, RAW_DURATION_MS, 0, "flowDurationMilliseconds"),
    RAWNUMBER(162, RAW_DURATION_US, 0, "flowDurationMicroseconds"),
    {.id = 176, .kind = ELEMENT_NUMBER, .rank = 1, TARGET(flow.icmp_type), .has = PST_HAS_ICMP,
     .name = "icmpTypeIPv4"},
    {.id = 177, .kind = ELEMENT_NUMBER, .rank = 1, TARGET(flow.icmp_code), .has = PST_HAS_ICMP,
     .name = "icmpCodeIPv4"},
    NUMBER(178, icmp_type, PST_HAS_ICMP, 0, "icmpTypeIPv6"),
    NUMBER(179, icmp_code, PST_HAS_ICMP, 0, "icmpCodeIPv6"),
    PORT(180, src_port, PST_HAS_SRC_PORT, 17, "udpSourcePort"),
    PORT(181, dst_port, PST_HAS_DST_PORT, 17, "udpDestinationPort"),
    PORT(182, src_port, PST_HAS_SRC_PORT, 6, "tcpSourcePort"),
    PORT(183, dst_port, PST_HAS_DST_PORT, 6, "tcpDestinationPort"),
    RARE(184, NUMBER, tcp_sequence, PST_HAS_TCP_SEQUENCE, 0, "tcpSequenceNumber"),
    NUMBER(192, ip_ttl, PST_HAS_MIN_TTL, 0, "ipTTL"),
    RARE(225, ADDR4, nat_src_addr, 0, 1, "postNATSourceIPv4Address"),
    RARE(226, ADDR4, nat_dst_addr, 0, 1, "postNATDestinationIPv4Address"),
    RARE(227, NUMBER, nat_src_port, 0, 1, "postNAPTSourceTransportPort"),
    RARE(228, NUMBER, nat_dst_port, 0, 1, "postNAPTDestinationTransportPort"),
    RARE(230, NUMBER, nat_event, 0, 0, "natEvent"),
    NUMBER(231, bytes, PST_HAS_BYTES, 2, "initiatorOctets"),
    NUMBER(232, reverse_bytes, PST_HAS_REVERSE, 0, "responderOctets"),
    NUMBER(233, fw_event, PST_HAS_FW_EVENT, 0, "firewallEvent"),
    RARE(239, NUMBER, biflow_direction, 0, 0, "biflowDirection"),
    NUMBER(243, vlan_id, PST_HAS_VLAN, 0, "dot1qVlanId"),
    NUMBER(252, in_if, PST_HAS_IN_IF, 0, "ingressPhysicalInterface"),
    NUMBER(253, out_if, PST_HAS_OUT_IF, 0, "egressPhysicalInterface"),
    NUMBER(254, dst_vlan, PST_HAS_DST_VLAN, 0, "postDot1qVlanId"),
    NUMBER(256, etype, 0, 0, "ethernetType"),
    RARE(281, ADDR6, nat_src_addr, 0, 0, "postNATSourceIPv6Address"),
    RARE(282, ADDR6, nat_dst_addr, 0, 0, "postNATDestinationIPv6Address"),
    NUMBER(298, packets, PST_HAS_PACKETS, 1, "initiatorPackets"),
    NUMBER(299, reverse_packets, PST_HAS_REVERSE, 0, "responderPackets"),
    RAWNUMBER(302, RAW_SELECTOR, 1, "selectorId"),
    RAWNUMBER(305, RAW_PACKET_INTERVAL, 1, "samplingPacketInterval"),
    RAWNUMBER(306, RAW_PACKET_SPACE, 1, "samplingPacketSpace"),
    RAWNUMBER(309, RAW_SIZE, 0, "samplingSize"),
    RAWNUMBER(310, RAW_POPULATION, 0, "samplingPopulation"),
    RAWNUMBER(311, RAW_PROBABILITY, 0, "samplingProbability"),
    RAWTIME(322, RAW_SEEN_S, "observationTimeSeconds"),
    RAWTIME(323, RAW_SEEN_MS, "observationTimeMilliseconds"),
    RAWTIME(324, RAW_SEEN_US, "observationTimeMicroseconds"),
    RAWTIME(325, RAW_SEEN_NS, "observationTimeNanoseconds"),
    NUMBER(352, bytes, PST_HAS_BYTES, 0, "layer2OctetDeltaCount"),
    NUMBER(353, bytes, PST_HAS_BYTES, 0, "layer2OctetTotalCount"),
    /* RFC 7014: of flows, not of packets */
    RAWNUMBER(396, RAW_PACKET_INTERVAL, 0, "samplingFlowInterval"),
    RAWNUMBER(397, RAW_PACKET_SPACE, 0, "samplingFlowSpacing"),
    RARE(403, ADDR4, told_exporter, 0, 3, "originalExporterIPv4Address"),
    RARE(404, ADDR6, told_exporter, 0, 2, "originalExporterIPv6Address"),
    /* v9 types 40001 to 40005 of ASA 8.x */
    CISCO_NAT(7233, ADDR4, nat_src_addr, "NF_F_XLATE_SRC_ADDR_IPV4"),
    CISCO_NAT(7234, ADDR4, nat_dst_addr, "NF_F_XLATE_DST_ADDR_IPV4"),
    CISCO_NAT(7235, NUMBER, nat_src_port, "NF_F_XLATE_SRC_PORT"),
    CISCO_NAT(7236, NUMBER, nat_dst_port, "NF_F_XLATE_DST_PORT"),
    {.pen = 9, .id = 7237, .kind = ELEMENT_NUMBER, .rank = 0, TARGET(flow.fw_event),
     .has = PST_HAS_FW_EVENT, .name = "NF_F_FW_EVENT"},
    CISCO(8337, NUMBER, reverse_bytes, PST_HAS_REVERSE, "ciscoServerOctets"), /* AVC; v9 + 32768 */
    CISCO(8338, NUMBER, bytes, PST_HAS_BYTES, "ciscoClientOctets"),
    CISCO(12236, ADDR4, src_addr, 0, "ciscoClientIPv4Address"),
    CISCO(12237, ADDR4, dst_addr, 0, "ciscoServerIPv4Address"),
    CISCO(12238, ADDR6, src_addr, 0, "ciscoClientIPv6Address"),
    CISCO(12239, ADDR6, dst_addr, 0, "ciscoServerIPv6Address"),
    CISCO(12240, NUMBER, src_port, PST_HAS_SRC_PORT, "ciscoClientTransportPort"),
    CISCO(12241, NUMBER, dst_port, PST_HAS_DST_PORT, "ciscoServerTransportPort"),
    YAF(14, tcp_flags, PST_HAS_TCP_FLAGS, "initialTCPFlags"),
    YAF(15, tcp_flags, PST_HAS_TCP_FLAGS, "unionTCPFlags"),
    YAF(16398, reverse_tcp_flags, PST_HAS_REVERSE, "reverseInitialTCPFlags"),
    YAF(16399, reverse_tcp_flags, PST_HAS_REVERSE, "reverseUnionTCPFlags"),
    REVERSE(1, reverse_bytes, 2, "reverseOctetDeltaCount"),
    REVERSE(2, reverse_packets, 2, "reversePacketDeltaCount"),
    REVERSE(6, reverse_tcp_flags, 0, "reverseTcpControlBits"),
    REVERSE(85, reverse_bytes, 1, "reverseOctetTotalCount"),
    REVERSE(86, reverse_packets, 1, "reversePacketTotalCount"),
};
/* clang-format on */

static int compare(guint32 pen, guint16 id, const Element *element)
{
    if (pen != element->pen)
        return pen < element->pen ? -1 : 1;
    return id < element->id ? -1 : id > element->id;
}

const Element *element_find(guint32 pen, guint16 id)
{
    gsize low = 0, high = G_N_ELEMENTS(elements);
    while (low < high) {
        gsize middle = (low + high) / 2;
        int order = compare(pen, id, &elements[middle]);
        if (order == 0)
            return &elements[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

gboolean element_len_legal(const Element *element, guint16 len)
{
    switch ((ElementKind)element->kind) {
    case ELEMENT_NUMBER:
        return len >= 1 && len <= 8;
    case ELEMENT_TIME:
        return len == 4 || len == 8;
    case ELEMENT_ADDR4:
        return len == 4;
    case ELEMENT_ADDR6:
        return len == 16;
    case ELEMENT_MAC:
        return len == 6;
    case ELEMENT_FLAGS:
        return len == 1 || len == 2;
    case ELEMENT_LABEL:
        return len == 3;
    }
    return FALSE;
}

const Element *element_rows(gsize *out_n)
{
    *out_n = G_N_ELEMENTS(elements);
    return elements;
}
