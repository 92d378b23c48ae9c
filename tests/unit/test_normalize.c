/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "flow_builder.h"
#include "normalize.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)
#define NOW_S    G_GINT64_CONSTANT(1790000000)
#define NTP_S(s) ((guint64)((s) + 2208988800) << 32)

static FlowContext context(void)
{
    return (FlowContext){.export_ns = NOW_S * NS_PER_S, .received_ns = NOW_S * NS_PER_S};
}

/* A record with up to two raw values. */
static Record with(Raw raw, guint64 value)
{
    Record record = {.seen = 1u << raw};
    record.raw[raw] = value;
    return record;
}

static void also(Record *record, Raw raw, guint64 value)
{
    record->seen |= 1u << raw;
    record->raw[raw] = value;
}

Test(times, of_every_form_mean_the_same)
{
    static const struct {
        Raw start, end;
        guint64 start_value, end_value;
    } forms[] = {
        {RAW_START_S, RAW_END_S, NOW_S - 20, NOW_S - 10},
        {RAW_START_MS, RAW_END_MS, (NOW_S - 20) * 1000, (NOW_S - 10) * 1000},
        {RAW_START_US, RAW_END_US, NTP_S(NOW_S - 20), NTP_S(NOW_S - 10)},
        {RAW_START_NS, RAW_END_NS, NTP_S(NOW_S - 20), NTP_S(NOW_S - 10)},
        {RAW_START_US, RAW_END_US, (NOW_S - 20) * 1000000, (NOW_S - 10) * 1000000},
        {RAW_START_NS, RAW_END_NS, (NOW_S - 20) * NS_PER_S, (NOW_S - 10) * NS_PER_S},
        {RAW_START_NS, RAW_END_NS, (guint64)(NOW_S - 20) << 32, (guint64)(NOW_S - 10) << 32},
        {RAW_START_DELTA_US, RAW_END_DELTA_US, 20000000, 10000000},
        {RAW_START_S, RAW_DURATION_MS, NOW_S - 20, 10000},
        {RAW_START_S, RAW_DURATION_US, NOW_S - 20, 10000000},
        {RAW_DURATION_MS, RAW_END_S, 10000, NOW_S - 10},
        {RAW_START_S, RAW_SEEN_MS, NOW_S - 20, (NOW_S - 10) * 1000},
        {RAW_DURATION_MS, RAW_SEEN_S, 10000, NOW_S - 10},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        Record record = with(forms[i].start, forms[i].start_value);
        also(&record, forms[i].end, forms[i].end_value);
        FlowContext c = context();
        NormalizeCounts counts = {0};
        normalize_record(&record, &c, &counts);
        cr_assert_eq(record.flow.start_ns, (NOW_S - 20) * NS_PER_S, "form %zu", i);
        cr_assert_eq(record.flow.end_ns, (NOW_S - 10) * NS_PER_S, "form %zu", i);
        cr_assert_eq(counts.times_left_out, 0);
    }
}

Test(times, ntp_fraction_is_of_a_second)
{
    Record record = with(RAW_START_NS, NTP_S(NOW_S) | 0x80000000u);
    FlowContext c = context();
    NormalizeCounts counts = {0};
    normalize_record(&record, &c, &counts);
    cr_assert_eq(record.flow.start_ns, NOW_S * NS_PER_S + NS_PER_S / 2);
}

Test(times, that_cannot_be_true_are_left_out_and_counted)
{
    static const struct {
        Raw raw;
        guint64 value;
    } cases[] = {
        {RAW_START_S, 1},
        {RAW_START_S, G_MAXUINT32},
        {RAW_START_S, G_MAXUINT64},
        {RAW_START_MS, G_MAXUINT64},
        {RAW_START_MS, (NOW_S + 90000) * 1000},
        {RAW_START_NS, G_MAXUINT64},
        {RAW_START_US, 1},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Record record = with(cases[i].raw, cases[i].value);
        FlowContext c = context();
        NormalizeCounts counts = {0};
        normalize_record(&record, &c, &counts);
        cr_assert_eq(record.flow.has & PST_HAS_START, 0, "case %zu", i);
        cr_assert_eq(counts.times_left_out, 1, "case %zu", i);
        cr_assert_eq(pst_flow_event_ns(&record.flow), c.received_ns);
    }
}

Test(times, end_before_the_start_becomes_the_start)
{
    Record record = with(RAW_START_S, NOW_S - 10);
    also(&record, RAW_END_S, NOW_S - 20);
    FlowContext c = context();
    NormalizeCounts counts = {0};
    normalize_record(&record, &c, &counts);
    cr_assert_eq(record.flow.end_ns, record.flow.start_ns);
    cr_assert_eq(counts.times_backwards, 1);
}

Test(times, uptime_wraps_by_signed_subtraction)
{
    static const struct {
        guint32 now, first;
        gint64 ago_ms;
    } cases[] = {
        {100000, 90000, 10000},   {100000, 100000, 0},  {0, 0xffffffff, 1},
        {1000, 0xfffffc18, 2000}, {100000, 100005, -5}, {0x80000000, 0x7fffffff, 1},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Record record = with(RAW_START_UPTIME_MS, cases[i].first);
        FlowContext c = context();
        c.has_uptime = TRUE;
        c.uptime_ms = cases[i].now;
        NormalizeCounts counts = {0};
        normalize_record(&record, &c, &counts);
        cr_assert_eq(record.flow.start_ns, NOW_S * NS_PER_S - cases[i].ago_ms * 1000000, "case %zu",
                     i);
    }
}

static Record icmp_record(guint8 proto)
{
    Record record = {0};
    record.flow.proto = proto;
    return record;
}

Test(icmp, type_and_code_come_in_three_ways)
{
    FlowContext c = context();
    NormalizeCounts counts = {0};
    Record by_port = icmp_record(1);
    by_port.flow.has = PST_HAS_DST_PORT;
    by_port.flow.dst_port = 0x0303;
    Record by_one = icmp_record(1);
    by_one.flow.has = PST_HAS_ICMP;
    by_one.icmp = 0x0303;
    Record by_two = icmp_record(58);
    by_two.flow.has = PST_HAS_ICMP;
    by_two.flow.icmp_type = by_two.flow.icmp_code = 3;
    Record *forms[] = {&by_port, &by_one, &by_two};
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        normalize_record(forms[i], &c, &counts);
        cr_assert_eq(forms[i]->flow.icmp_type, 3, "form %zu", i);
        cr_assert_eq(forms[i]->flow.icmp_code, 3, "form %zu", i);
        cr_assert_eq(forms[i]->flow.dst_port, 0x0303, "form %zu", i);
        cr_assert(forms[i]->flow.has & PST_HAS_ICMP);
    }
}

Test(icmp, fields_of_a_tcp_record_mean_nothing)
{
    FlowContext c = context();
    NormalizeCounts counts = {0};
    Record record = icmp_record(6);
    record.flow.has = PST_HAS_ICMP;
    record.flow.icmp_type = 8;
    normalize_record(&record, &c, &counts);
    cr_assert_eq(record.flow.has & PST_HAS_ICMP, 0);
    cr_assert_eq(record.flow.icmp_type, 0);
}

/* Direction: our network is 198.18.0.0/15, mail ports are 25 and 587. */
static PstDirection direct(const char *src, guint16 src_port, const char *dst, guint16 dst_port,
                           guint16 flags, gboolean networks_known, gboolean *out_ours,
                           const char **out_customer)
{
    static PortSet ports;
    portset_add(&ports, 25);
    portset_add(&ports, 587);
    g_autoptr(GError) error = NULL;
    g_autoptr(PstPrefixMap) networks =
        networks_known ? pst_networks_load("198.18.0.0/15", &error) : NULL;
    PstFlow flow = test_flow(src, dst, dst_port, NOW_S * NS_PER_S);
    flow.src_port = src_port;
    flow.tcp_flags = flags;
    const PstAddr *customer = normalize_direction(&flow, networks, &ports, out_ours);
    *out_customer = customer == &flow.src_addr ? "src" : "dst";
    return flow.direction;
}

Test(direction, follows_networks_mail_ports_and_the_syn)
{
    static const char ours[] = "198.18.0.1", other[] = "198.19.0.1", theirs[] = "203.0.113.5",
                      far[] = "192.0.2.9";
    static const struct {
        const char *src;
        guint16 src_port;
        const char *dst;
        guint16 dst_port;
        guint16 flags;
        PstDirection direction;
        const char *customer;
    } cases[] = {
        {ours, 40000, theirs, 25, 0x1b, PST_DIR_OUT, "src"},
        {theirs, 25, ours, 40000, 0x1b, PST_DIR_OUT_REPLY, "dst"},
        {theirs, 40000, ours, 25, 0x1b, PST_DIR_IN, "dst"},
        {ours, 25, theirs, 40000, 0x1b, PST_DIR_IN_REPLY, "src"},
        {ours, 40000, other, 587, 0x1b, PST_DIR_INSIDE, "src"},
        {other, 587, ours, 40000, 0x1b, PST_DIR_INSIDE_REPLY, "dst"},
        {theirs, 40000, far, 25, 0x1b, PST_DIR_TRANSIT, "src"},
        {ours, 25, theirs, 25, 0x02, PST_DIR_OUT, "src"},
        {theirs, 25, ours, 587, 0x02, PST_DIR_IN, "dst"},
        {ours, 25, theirs, 25, 0x12, PST_DIR_UNKNOWN, "src"},
        {ours, 25, theirs, 25, 0x1b, PST_DIR_UNKNOWN, "src"},
        {theirs, 25, ours, 25, 0x10, PST_DIR_UNKNOWN, "dst"},
        {ours, 25, other, 25, 0x02, PST_DIR_INSIDE, "src"},
        {ours, 40000, theirs, 80, 0x1b, PST_DIR_OUT, "src"},
        {theirs, 80, ours, 40000, 0x1b, PST_DIR_IN, "dst"},
        {ours, 40000, other, 80, 0x1b, PST_DIR_INSIDE, "src"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        gboolean is_ours;
        const char *customer;
        PstDirection found = direct(cases[i].src, cases[i].src_port, cases[i].dst,
                                    cases[i].dst_port, cases[i].flags, TRUE, &is_ours, &customer);
        cr_assert_eq(found, cases[i].direction, "case %zu: %s", i, pst_direction_name(found));
        cr_assert_str_eq(customer, cases[i].customer, "case %zu", i);
        cr_assert_eq(is_ours, cases[i].direction != PST_DIR_TRANSIT);
    }
}

Test(direction, is_unknown_without_networks)
{
    gboolean is_ours;
    const char *customer;
    cr_assert_eq(direct("198.18.0.1", 40000, "203.0.113.5", 25, 2, FALSE, &is_ours, &customer),
                 PST_DIR_UNKNOWN);
    cr_assert_not(is_ours);
    cr_assert_str_eq(customer, "src");
}
