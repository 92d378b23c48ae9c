/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "export_builder.h"

static const V5Record smtp = {.src = 0xc6120001,
                              .dst = 0xcb007105,
                              .packets = 10,
                              .bytes = 1500,
                              .first_ms = 90000,
                              .last_ms = 95000,
                              .src_port = 40000,
                              .dst_port = 25,
                              .flags = 0x1b,
                              .proto = 6};

Test(netflow_v5, carries_every_field_of_its_record)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    V5Header header = {.uptime_ms = 100000,
                       .unix_ns = 500000000,
                       .sequence = 42,
                       .engine_type = 1,
                       .engine_id = 2};
    bench_take_v5(&bench, v5_export(&header, &smtp, 1));
    const PstFlow *flow = bench_only(&bench);
    cr_assert_not_null(flow);
    cr_assert_eq(flow->type, PST_FLOW_NETFLOW_V5);
    char text[PST_ADDR_TEXT_MAX];
    cr_assert_str_eq(pst_addr_format(&flow->src_addr, text), "198.18.0.1");
    cr_assert_str_eq(pst_addr_format(&flow->dst_addr, text), "203.0.113.5");
    cr_assert_str_eq(pst_addr_format(&flow->sampler, text), "192.0.2.1");
    cr_assert_eq(flow->src_port, 40000);
    cr_assert_eq(flow->dst_port, 25);
    cr_assert_eq(flow->packets, 10);
    cr_assert_eq(flow->bytes, 1500);
    cr_assert_eq(flow->tcp_flags, 0x1b);
    cr_assert_eq(flow->in_if, 11);
    cr_assert_eq(flow->out_if, 12);
    cr_assert_eq(flow->src_as, 64500);
    cr_assert_eq(flow->dst_as, 64501);
    cr_assert_eq(flow->src_net, 24);
    cr_assert_eq(flow->dst_net, 16);
    cr_assert_eq(flow->domain, 1 << 8 | 2);
    cr_assert_eq(flow->sequence_num, 42);
    gint64 export_ns = EXPORT_S * NS_PER_S + 500000000;
    cr_assert_eq(flow->start_ns, export_ns - 10 * NS_PER_S);
    cr_assert_eq(flow->end_ns, export_ns - 5 * NS_PER_S);
}

Test(netflow_v5, times_survive_the_wrap_of_uptime)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    V5Record record = smtp;
    record.first_ms = 0xffffffff - 999; /* a second before the wrap */
    record.last_ms = 1000;
    V5Header header = {.uptime_ms = 2000};
    bench_take_v5(&bench, v5_export(&header, &record, 1));
    const PstFlow *flow = bench_only(&bench);
    cr_assert_eq(flow->start_ns, EXPORT_S * NS_PER_S - 3 * NS_PER_S);
    cr_assert_eq(flow->end_ns, EXPORT_S * NS_PER_S - NS_PER_S);
}

Test(netflow_v5, glued_messages_are_decoded_in_turn)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    V5Header header = {.uptime_ms = 100000};
    V5Record two[2] = {smtp, smtp};
    GByteArray *bytes = v5_export(&header, two, 2);
    for (guint i = 1; i < 12; i++) {
        GByteArray *next = v5_export(&header, two, 2);
        g_byte_array_append(bytes, next->data, next->len);
        g_byte_array_unref(next);
    }
    bench_take_v5(&bench, bytes);
    cr_assert_eq(bench.flows->len, 24);
}

Test(netflow_v5, is_dropped_when_its_count_lies)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    static const guint16 lies[] = {2, 31, 1000, 65535};
    for (gsize i = 0; i < G_N_ELEMENTS(lies); i++) {
        V5Header header = {.count = lies[i]};
        bench_take_v5(&bench, v5_export(&header, &smtp, 1));
    }
    V5Header header = {0};
    bench_take_v5(&bench, v5_export(&header, NULL, 0));
    cr_assert_eq(bench.flows->len, 0);
    cr_assert_eq(bench.drops->len, G_N_ELEMENTS(lies) + 1);
    for (guint i = 0; i < bench.drops->len; i++)
        cr_assert_eq(g_array_index(bench.drops, Drop, i), DROP_COUNT_LIES);
}

Test(netflow_v5, sampling_rate_is_fourteen_bits_and_never_zero)
{
    static const struct {
        guint16 header;
        guint64 rate;
        PstRateSource source;
    } cases[] = {
        {0, 1, PST_RATE_NONE},
        {0x4000, 1, PST_RATE_NONE},
        {0x4001, 1, PST_RATE_HEADER},
        {100, 100, PST_RATE_HEADER},
        {0x8000 | 1000, 1000, PST_RATE_HEADER},
        {0xffff, 16383, PST_RATE_HEADER},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(Bench) bench;
        bench_init(&bench, FALSE);
        V5Header header = {.uptime_ms = 100000, .sampling = cases[i].header};
        bench_take_v5(&bench, v5_export(&header, &smtp, 1));
        cr_assert_eq(bench_only(&bench)->sampling_rate, cases[i].rate, "case %zu", i);
        cr_assert_eq(bench_only(&bench)->rate_source, cases[i].source, "case %zu", i);
    }
}
