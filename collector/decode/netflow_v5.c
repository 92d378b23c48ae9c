/* SPDX-License-Identifier: Apache-2.0 */
#include "netflow_v5.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

/* The two high bits are the sampling mode, the rest the interval. */
enum { SAMPLING_INTERVAL_MASK = 0x3fff };

Drop netflow_v5_message(PstCursor *payload, Message *out)
{
    pst_cursor_skip(payload, 2);
    guint16 count = pst_cursor_u16(payload);
    out->uptime_ms = pst_cursor_u32(payload);
    guint32 unix_s = pst_cursor_u32(payload);
    guint32 unix_ns = pst_cursor_u32(payload);
    out->sequence = pst_cursor_u32(payload);
    out->domain = pst_cursor_u16(payload);
    out->header_rate = pst_cursor_u16(payload) & SAMPLING_INTERVAL_MASK;
    if (!pst_cursor_ok(payload))
        return DROP_SHORT;
    if (count == 0)
        return DROP_COUNT_LIES;
    out->has_uptime = TRUE;
    out->export_ns = unix_s * NS_PER_S + (unix_ns < NS_PER_S ? unix_ns : 0);
    out->records = count;
    out->body = pst_cursor_sub(payload, (gsize)count * NETFLOW_V5_RECORD);
    return pst_cursor_ok(payload) ? DROP_NONE : DROP_COUNT_LIES;
}

static const Field v5_fields[] = {
    {.id = 8, .len = 4},   /* sourceIPv4Address */
    {.id = 12, .len = 4},  /* destinationIPv4Address */
    {.id = 15, .len = 4},  /* ipNextHopIPv4Address */
    {.id = 10, .len = 2},  /* ingressInterface */
    {.id = 14, .len = 2},  /* egressInterface */
    {.id = 2, .len = 4},   /* packetDeltaCount */
    {.id = 1, .len = 4},   /* octetDeltaCount */
    {.id = 22, .len = 4},  /* flowStartSysUpTime */
    {.id = 21, .len = 4},  /* flowEndSysUpTime */
    {.id = 7, .len = 2},   /* sourceTransportPort */
    {.id = 11, .len = 2},  /* destinationTransportPort */
    {.id = 210, .len = 1}, /* paddingOctets */
    {.id = 6, .len = 1},   /* tcpControlBits */
    {.id = 4, .len = 1},   /* protocolIdentifier */
    {.id = 5, .len = 1},   /* ipClassOfService */
    {.id = 16, .len = 2},  /* bgpSourceAsNumber */
    {.id = 17, .len = 2},  /* bgpDestinationAsNumber */
    {.id = 9, .len = 1},   /* sourceIPv4PrefixLength */
    {.id = 13, .len = 1},  /* destinationIPv4PrefixLength */
    {.id = 210, .len = 2}, /* paddingOctets */
};

const Field *netflow_v5_fields(gsize *out_n)
{
    *out_n = G_N_ELEMENTS(v5_fields);
    return v5_fields;
}
