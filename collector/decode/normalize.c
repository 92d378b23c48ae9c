/* SPDX-License-Identifier: Apache-2.0 */
#include "normalize.h"

#define NS_PER_S  G_GINT64_CONSTANT(1000000000)
#define NS_PER_MS G_GINT64_CONSTANT(1000000)
#define NS_PER_US G_GINT64_CONSTANT(1000)

#define NTP_EPOCH_S  G_GINT64_CONSTANT(2208988800)             /* 1900 to 1970 */
#define OLDEST_NS    (G_GINT64_CONSTANT(631152000) * NS_PER_S) /* 1990-01-01 */
#define AHEAD_NS_MAX (86400 * NS_PER_S)
#define MS_MAX       ((guint64)G_MAXINT64 / NS_PER_MS)

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_ICMP6 = 58 };
enum { TCP_SYN = 0x02, TCP_ACK = 0x10 };
enum { ETYPE_IPV4 = 0x0800, ETYPE_IPV6 = 0x86dd };

/* The elements that can tell one end of a flow. */
typedef struct {
    Raw ns, us, ms, s, delta_us, uptime_ms;
} EndElements;

static const EndElements start_elements = {RAW_START_NS, RAW_START_US,       RAW_START_MS,
                                           RAW_START_S,  RAW_START_DELTA_US, RAW_START_UPTIME_MS};
static const EndElements end_elements = {RAW_END_NS, RAW_END_US,       RAW_END_MS,
                                         RAW_END_S,  RAW_END_DELTA_US, RAW_END_UPTIME_MS};

/* A value with several readings: the one nearest to when the record was exported. */
static gint64 nearest(const FlowContext *context, const gint64 *candidates, gsize n)
{
    gint64 reference = context->export_ns > OLDEST_NS ? context->export_ns : context->received_ns;
    gint64 best = candidates[0];
    for (gsize i = 1; i < n; i++) {
        if (ABS(candidates[i] - reference) < ABS(best - reference))
            best = candidates[i];
    }
    return best;
}

/* RFC 7011 §6.1.9: seconds and fraction since 1900. Some exporters count from 1970, and some of
 * these in µs or ns. */
static gint64 from_ntp(guint64 value, gint64 unit_ns, const FlowContext *context)
{
    gint64 fraction_ns = (gint64)((value & G_MAXUINT32) * (guint64)NS_PER_S >> 32);
    gint64 s = (gint64)(value >> 32);
    gint64 readings[] = {(s - NTP_EPOCH_S) * NS_PER_S + fraction_ns, s * NS_PER_S + fraction_ns, 0};
    gsize n = 2;
    if (value <= (guint64)(G_MAXINT64 / unit_ns))
        readings[n++] = (gint64)value * unit_ns;
    return nearest(context, readings, n);
}

/* @now_ms is the exporter's uptime at export, modulo 2^32; wraps by signed subtraction. */
static gint64 from_uptime(guint64 value, guint32 now_ms, const FlowContext *context)
{
    gint32 ago_ms = (gint32)(now_ms - (guint32)value);
    return context->export_ns - ago_ms * NS_PER_MS;
}

/* Milliseconds in four bytes: seconds, the low half of the number, or uptime. */
static gint64 from_narrow_ms(guint32 value, const FlowContext *context)
{
    gint64 export_ms = context->export_ns / NS_PER_MS;
    gint32 ago_ms = (gint32)((guint32)export_ms - value);
    gint64 readings[] = {(gint64)value * NS_PER_S, (export_ms - ago_ms) * NS_PER_MS, 0};
    gsize n = 2;
    if (context->has_uptime)
        readings[n++] = from_uptime(value, context->uptime_ms, context);
    return nearest(context, readings, n);
}

static gint64 from_ms(const Record *record, Raw raw, const FlowContext *context)
{
    if ((record->narrow >> raw & 1) != 0)
        return from_narrow_ms((guint32)record->raw[raw], context);
    return record->raw[raw] <= MS_MAX ? (gint64)record->raw[raw] * NS_PER_MS : G_MAXINT64;
}

static gboolean told(const Record *record, Raw raw)
{
    return record_saw(record, raw) && record->raw[raw] != 0;
}

static gboolean wide(const Record *record, Raw raw)
{
    return told(record, raw) && (record->narrow >> raw & 1) == 0;
}

static gboolean uptime_now(const Record *record, const FlowContext *context, guint32 *out_ms)
{
    if (context->has_uptime) {
        *out_ms = context->uptime_ms;
        return TRUE;
    }
    guint64 init_ms = context->init_ms;
    if (wide(record, RAW_INIT_MS))
        init_ms = record->raw[RAW_INIT_MS];
    *out_ms = (guint32)((guint64)(context->export_ns / NS_PER_MS) - init_ms);
    return init_ms != 0;
}

/* The finest element that is there and not zero. */
static gboolean one_end(const Record *record, const EndElements *e, const FlowContext *context,
                        gint64 *out_ns)
{
    guint32 now_ms;
    if (wide(record, e->ns))
        *out_ns = from_ntp(record->raw[e->ns], 1, context);
    else if (wide(record, e->us))
        *out_ns = from_ntp(record->raw[e->us], NS_PER_US, context);
    else if (told(record, e->ms))
        *out_ns = from_ms(record, e->ms, context);
    else if (told(record, e->s))
        *out_ns = (gint64)MIN(record->raw[e->s], G_MAXUINT32) * NS_PER_S;
    else if (record_saw(record, e->delta_us) && context->export_ns != 0)
        *out_ns =
            context->export_ns - (gint64)MIN(record->raw[e->delta_us], G_MAXUINT32) * NS_PER_US;
    else if (record_saw(record, e->uptime_ms) && uptime_now(record, context, &now_ms))
        *out_ns = from_uptime(record->raw[e->uptime_ms], now_ms, context);
    else
        return FALSE;
    return TRUE;
}

/* When the event of an event record was (ASA: 323). */
static gboolean event_time(const Record *record, const FlowContext *context, gint64 *out_ns)
{
    if (wide(record, RAW_SEEN_NS))
        *out_ns = from_ntp(record->raw[RAW_SEEN_NS], 1, context);
    else if (wide(record, RAW_SEEN_US))
        *out_ns = from_ntp(record->raw[RAW_SEEN_US], NS_PER_US, context);
    else if (told(record, RAW_SEEN_MS))
        *out_ns = from_ms(record, RAW_SEEN_MS, context);
    else if (told(record, RAW_SEEN_S))
        *out_ns = (gint64)MIN(record->raw[RAW_SEEN_S], G_MAXUINT32) * NS_PER_S;
    else
        return FALSE;
    return TRUE;
}

static gboolean duration(const Record *record, gint64 *out_ns)
{
    if (record_saw(record, RAW_DURATION_US))
        *out_ns = (gint64)MIN(record->raw[RAW_DURATION_US], G_MAXUINT32) * NS_PER_US;
    else if (record_saw(record, RAW_DURATION_MS))
        *out_ns = (gint64)MIN(record->raw[RAW_DURATION_MS], G_MAXUINT32) * NS_PER_MS;
    else
        return FALSE;
    return TRUE;
}

static gboolean is_true_time(gint64 ns, const FlowContext *context, NormalizeCounts *counts)
{
    if (ns >= OLDEST_NS && ns <= context->received_ns + AHEAD_NS_MAX)
        return TRUE;
    counts->times_left_out++;
    return FALSE;
}

static void set_times(Record *record, const FlowContext *context, NormalizeCounts *counts)
{
    PstFlow *flow = &record->flow;
    gint64 start = 0, end = 0, length = 0, event = 0;
    gboolean has_start =
        one_end(record, &start_elements, context, &start) && is_true_time(start, context, counts);
    gboolean has_end =
        one_end(record, &end_elements, context, &end) && is_true_time(end, context, counts);
    if (!has_end && event_time(record, context, &event) && is_true_time(event, context, counts)) {
        has_end = TRUE;
        end = event;
    }
    if (has_start != has_end && duration(record, &length)) {
        if (has_start)
            end = start + length;
        else
            start = end - length;
        has_start = has_end = TRUE;
    }
    if (has_start && has_end && end < start) {
        counts->times_backwards++;
        end = start;
    }
    flow->start_ns = has_start ? start : 0;
    flow->end_ns = has_end ? end : 0;
    flow->has |= (has_start ? PST_HAS_START : 0) | (has_end ? PST_HAS_END : 0);
}

static void set_rate(Record *record, const FlowContext *context)
{
    PstFlow *flow = &record->flow;
    Rate rate = {.population = 1, .size = 1};
    flow->rate_source = PST_RATE_NONE;
    if (context->operator_rate > 0) {
        rate.population = context->operator_rate;
        flow->rate_source = PST_RATE_OPERATOR;
    } else if (sampling_of_record(record, &rate)) {
        flow->rate_source = PST_RATE_RECORD;
    } else if ((context->sampling != NULL && sampling_find(context->sampling, record, &rate)) ||
               (context->elsewhere != NULL && sampling_find(context->elsewhere, record, &rate))) {
        flow->rate_source = PST_RATE_OPTIONS;
    } else if (context->header_rate > 0) {
        rate.population = context->header_rate;
        flow->rate_source = PST_RATE_HEADER;
    }
    flow->sampling_rate = rate_n(&rate);
}

/* Type and code stand in elements of their own, in one, or by NetFlow's custom in the destination
 * port. All three ways end up the same. */
static void set_icmp(Record *record)
{
    PstFlow *flow = &record->flow;
    if (flow->proto != PROTO_ICMP && flow->proto != PROTO_ICMP6) {
        flow->has &= ~(guint32)PST_HAS_ICMP;
        flow->icmp_type = flow->icmp_code = 0;
        return;
    }
    if ((flow->has & PST_HAS_ICMP) && flow->icmp_type == 0 && flow->icmp_code == 0) {
        flow->icmp_type = (guint8)(record->icmp >> 8);
        flow->icmp_code = (guint8)record->icmp;
    }
    if (!(flow->has & PST_HAS_ICMP) && (flow->has & PST_HAS_DST_PORT)) {
        flow->icmp_type = (guint8)(flow->dst_port >> 8);
        flow->icmp_code = (guint8)flow->dst_port;
        flow->has |= PST_HAS_ICMP;
    } else if ((flow->has & PST_HAS_ICMP) && flow->dst_port == 0) {
        flow->dst_port = (guint16)(flow->icmp_type << 8 | flow->icmp_code);
        flow->has |= PST_HAS_DST_PORT;
    }
}

gint64 normalize_export_ns(gint64 export_ns, gint64 received_ns)
{
    return export_ns >= OLDEST_NS ? export_ns : received_ns;
}

static gboolean is_nobody(const PstAddr *addr)
{
    static const PstAddr none6 = {.family = PST_AF_INET6};
    static const PstAddr none4 = {.family = PST_AF_INET};
    return pst_addr_equal(addr, &none4) || pst_addr_equal(addr, &none6);
}

/* A record with fields of both families says one address by leaving zeros in all of its fields
 * (0.0.0.0 to 255.255.255.255): it is of the other one's family. */
static void match_families(PstFlow *flow)
{
    static const PstAddr none6 = {.family = PST_AF_INET6};
    static const PstAddr none4 = {.family = PST_AF_INET};
    if (flow->src_addr.family == flow->dst_addr.family)
        return;
    if (flow->dst_addr.family == PST_AF_INET && pst_addr_equal(&flow->src_addr, &none6))
        flow->src_addr = none4;
    else if (flow->src_addr.family == PST_AF_INET && pst_addr_equal(&flow->dst_addr, &none6))
        flow->dst_addr = none4;
}

/* A record without addresses may say what it is of all the same. */
static guint16 etype_told(const Record *record)
{
    return record->ip_version == 4 ? ETYPE_IPV4 : record->ip_version == 6 ? ETYPE_IPV6 : 0;
}

/* 0.0.0.0 says that there was no NAT, or no proxy. */
static void leave_out_nobody(PstFlowRare *rare)
{
    PstAddr *addrs[] = {&rare->nat_src_addr, &rare->nat_dst_addr, &rare->told_exporter};
    for (gsize i = 0; i < G_N_ELEMENTS(addrs); i++) {
        if (is_nobody(addrs[i]))
            *addrs[i] = (PstAddr){0};
    }
}

void normalize_record(Record *record, const FlowContext *context, NormalizeCounts *counts)
{
    PstFlow *flow = &record->flow;
    flow->sampler = context->sampler;
    flow->domain = context->domain;
    flow->sequence_num = context->sequence;
    flow->received_ns = context->received_ns;
    match_families(flow);
    if (flow->src_addr.family == PST_AF_INET || flow->dst_addr.family == PST_AF_INET)
        flow->etype = ETYPE_IPV4;
    else if (flow->src_addr.family == PST_AF_INET6 || flow->dst_addr.family == PST_AF_INET6)
        flow->etype = ETYPE_IPV6;
    else if (flow->etype == 0)
        flow->etype = etype_told(record);
    if (G_UNLIKELY(flow->has & PST_HAS_RARE))
        leave_out_nobody(&flow->rare);
    set_times(record, context, counts);
    set_rate(record, context);
    set_icmp(record);
}

static gboolean on_port(const PstFlow *flow, guint32 has, guint16 port, const PortSet *ports)
{
    return (flow->has & has) != 0 && portset_has(ports, port);
}

gboolean flow_is_mail(const PstFlow *flow, const PortSet *ports)
{
    return flow->proto == PROTO_TCP && (on_port(flow, PST_HAS_DST_PORT, flow->dst_port, ports) ||
                                        on_port(flow, PST_HAS_SRC_PORT, flow->src_port, ports));
}

typedef enum { CLIENT_UNKNOWN, CLIENT_SRC, CLIENT_DST } Client;

/* RFC 5103 §6.3: who began, as the exporter knows it. */
static Client client_told(const PstFlow *flow)
{
    enum { INITIATOR = 1, REVERSE_INITIATOR = 2 };
    switch (flow->rare.biflow_direction) {
    case INITIATOR:
        return CLIENT_SRC;
    case REVERSE_INITIATOR:
        return CLIENT_DST;
    default:
        return CLIENT_UNKNOWN;
    }
}

static Client client_side(const PstFlow *flow, const PortSet *ports)
{
    if (!flow_is_mail(flow, ports))
        return CLIENT_SRC; /* no server known: the way of the packets counts */
    gboolean src = on_port(flow, PST_HAS_SRC_PORT, flow->src_port, ports);
    gboolean dst = on_port(flow, PST_HAS_DST_PORT, flow->dst_port, ports);
    if (!src)
        return CLIENT_SRC;
    if (!dst)
        return CLIENT_DST;
    if (!(flow->has & PST_HAS_TCP_FLAGS) || !(flow->tcp_flags & TCP_SYN))
        return client_told(flow);
    return flow->tcp_flags & TCP_ACK ? client_told(flow) : CLIENT_SRC;
}

static gboolean is_ours(const PstPrefixMap *networks, const PstAddr *addr)
{
    return pst_prefix_map_find(networks, addr, NULL, NULL);
}

/* One end of a flow, and what it is on the other side of the NAT. */
typedef struct {
    PstAddr *addr, *nat_addr;
    guint16 *port, *nat_port;
} End;

static gboolean is_ours_behind(const End *end, const PstPrefixMap *networks)
{
    return pst_addr_present(end->nat_addr) && is_ours(networks, end->nat_addr) &&
           !is_ours(networks, end->addr);
}

static gboolean is_translated(const End *end, guint8 family)
{
    return end->nat_addr->family == family && end->addr->family != family;
}

/* The port goes with its address; a mail port, by which the flow was taken for mail, stays. */
static void cross(const End *end, const PortSet *ports)
{
    PstAddr addr = *end->addr;
    guint16 port = *end->port;
    *end->addr = *end->nat_addr;
    *end->nat_addr = addr;
    if (*end->nat_port == 0 || portset_has(ports, port))
        return;
    *end->port = *end->nat_port;
    *end->nat_port = port;
}

/* Of a flow through a NAT the side counts on which we are somebody: an end that is not ours, but is
 * on the other side, changes places with it. NAT64 takes the other end along: a flow is of one
 * family. */
static void cross_nat(PstFlow *flow, const PstPrefixMap *networks, const PortSet *ports)
{
    PstFlowRare *rare = &flow->rare;
    End src = {&flow->src_addr, &rare->nat_src_addr, &flow->src_port, &rare->nat_src_port};
    End dst = {&flow->dst_addr, &rare->nat_dst_addr, &flow->dst_port, &rare->nat_dst_port};
    gboolean src_crosses = is_ours_behind(&src, networks);
    gboolean dst_crosses = is_ours_behind(&dst, networks);
    if (src_crosses && !dst_crosses)
        dst_crosses = is_translated(&dst, src.nat_addr->family);
    else if (dst_crosses && !src_crosses)
        src_crosses = is_translated(&src, dst.nat_addr->family);
    if (src_crosses)
        cross(&src, ports);
    if (dst_crosses)
        cross(&dst, ports);
    if (src_crosses || dst_crosses)
        flow->etype = flow->src_addr.family == PST_AF_INET ? ETYPE_IPV4 : ETYPE_IPV6;
}

const PstAddr *normalize_direction(PstFlow *flow, const PstPrefixMap *networks,
                                   const PortSet *ports, gboolean *out_ours)
{
    flow->direction = PST_DIR_UNKNOWN;
    *out_ours = FALSE;
    if (networks == NULL)
        return &flow->src_addr;
    if (G_UNLIKELY(flow->has & PST_HAS_RARE))
        cross_nat(flow, networks, ports);
    gboolean src_ours = is_ours(networks, &flow->src_addr);
    gboolean dst_ours = is_ours(networks, &flow->dst_addr);
    if (!src_ours && !dst_ours) {
        flow->direction = PST_DIR_TRANSIT;
        return &flow->src_addr;
    }
    *out_ours = TRUE;
    static const guint8 direction[2][3] = {
        /* src_ours && dst_ours says INSIDE below */
        {PST_DIR_UNKNOWN, PST_DIR_IN, PST_DIR_OUT_REPLY}, /* dst is ours */
        {PST_DIR_UNKNOWN, PST_DIR_OUT, PST_DIR_IN_REPLY}, /* src is ours */
    };
    Client client = client_side(flow, ports);
    if (src_ours && dst_ours) {
        flow->direction = client == CLIENT_SRC   ? PST_DIR_INSIDE
                          : client == CLIENT_DST ? PST_DIR_INSIDE_REPLY
                                                 : PST_DIR_UNKNOWN;
        return client == CLIENT_DST ? &flow->dst_addr : &flow->src_addr;
    }
    flow->direction = direction[src_ours][client];
    return src_ours ? &flow->src_addr : &flow->dst_addr;
}
