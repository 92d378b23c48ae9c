/* SPDX-License-Identifier: Apache-2.0 */
/* What makers' exporters do that no document says: learnt from what broke other collectors. The
 * first traps stand in test_decoder.c; docs/collector.md lists all of them. */
#include <criterion/criterion.h>

#include "export_builder.h"

#define EXPORT_NS (EXPORT_S * NS_PER_S)

static void expect_rate(const Bench *bench, guint64 rate, PstRateSource source)
{
    cr_assert_gt(bench->flows->len, 0);
    const PstFlow *flow = bench_flow_at(bench, bench->flows->len - 1);
    cr_assert_eq(flow->sampling_rate, rate, "rate %" G_GUINT64_FORMAT, flow->sampling_rate);
    cr_assert_eq(flow->rate_source, source);
}

/* ---- sampling ---- */

Test(huawei, says_the_rate_in_each_record_and_zero_is_none)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0);
    export_template(&e, 256, FIVE_TUPLE, F(34, 4), F(35, 1));
    export_data(&e, 256);
    export_five_tuple(&e, 25);
    export_u32(&e, 2000);
    export_u8(&e, 1);
    bench_take(&bench, &e);
    expect_rate(&bench, 2000, PST_RATE_RECORD);
    e = export_v9(.domain = 0);
    export_data(&e, 256);
    export_five_tuple(&e, 25);
    export_u32(&e, 0);
    export_u8(&e, 0);
    bench_take(&bench, &e);
    expect_rate(&bench, 1, PST_RATE_NONE);
}

/* Its options count bytes and packets in 8 bytes; nfdump 1.6 read the middle of them as a rate. */
Test(fortigate, options_without_a_rate_are_no_rate)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 2);
    export_options(&e, 256, 1, F(1, 2), F(41, 8), F(42, 8), F(40, 8), F(36, 2), F(37, 2), F(82, 9));
    export_data(&e, 256);
    export_u16(&e, 0);
    export_u64(&e, 0x4500000045000000);
    export_u64(&e, 69);
    export_u64(&e, 68);
    export_u16(&e, 60);
    export_u16(&e, 15);
    export_text(&e, "fortigate");
    export_template(&e, 258, FIVE_TUPLE, F(1, 8), F(2, 8));
    export_data(&e, 258);
    export_five_tuple(&e, 25);
    export_u64(&e, 5000000000);
    export_u64(&e, 10);
    bench_take(&bench, &e);
    expect_rate(&bench, 1, PST_RATE_NONE);
    cr_assert_eq(bench_only(&bench)->bytes, 5000000000);
    const Notes *notes = &bench_domain(&bench, 2)->notes;
    cr_assert_eq(notes->counts[NOTE_SENT_RECORDS], 69);
    cr_assert_eq(notes->counts[NOTE_SENT_BYTES], 68);
}

static void take_selection(Bench *bench, guint32 domain, const Field *fields, gsize n,
                           const guint32 *values)
{
    Export e = export_ipfix(.domain = domain);
    export_options_of(&e, 300, 1, fields, n);
    export_data(&e, 300);
    for (gsize i = 0; i < n; i++)
        export_u32(&e, values[i]);
    bench_take(bench, &e);
}

static void take_plain(Bench *bench, guint32 domain)
{
    Export e = export_ipfix(.domain = domain);
    export_template(&e, 256, FIVE_TUPLE);
    export_data(&e, 256);
    export_five_tuple(&e, 25);
    bench_take(bench, &e);
}

Test(nokia, one_packet_in_so_many_is_an_interval_and_a_space)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    take_selection(&bench, 0, (Field[]){F(144, 4), F(304, 4), F(305, 4), F(306, 4)}, 4,
                   (guint32[]){1, 1, 1, 9999});
    take_plain(&bench, 0);
    expect_rate(&bench, 10000, PST_RATE_OPTIONS);
}

Test(interval_without_space, is_one_of_so_many)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    take_selection(&bench, 0, (Field[]){F(144, 4), F(305, 4)}, 2, (guint32[]){1, 512});
    take_plain(&bench, 0);
    expect_rate(&bench, 512, PST_RATE_OPTIONS);
}

/* PTX: a generic sampler of rate 0 beside the true one. */
Test(juniper, sampler_of_rate_zero_does_not_stand_for_the_true_one)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    take_selection(&bench, 0, (Field[]){F(144, 4), F(34, 4)}, 2, (guint32[]){1, 10922});
    take_selection(&bench, 0, (Field[]){F(302, 4), F(50, 4)}, 2, (guint32[]){0, 0});
    take_plain(&bench, 0);
    expect_rate(&bench, 10922, PST_RATE_OPTIONS);
}

/* Each line card is a domain; the options come in some of them. */
Test(juniper, domains_that_agree_speak_for_one_that_is_silent)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    for (guint32 card = 1; card <= 3; card++)
        take_selection(&bench, card, (Field[]){F(144, 4), F(34, 4)}, 2, (guint32[]){card, 1000});
    take_plain(&bench, 9);
    expect_rate(&bench, 1000, PST_RATE_OPTIONS);
    take_selection(&bench, 4, (Field[]){F(144, 4), F(34, 4)}, 2, (guint32[]){4, 2000});
    take_plain(&bench, 9);
    expect_rate(&bench, 1, PST_RATE_NONE);
}

Test(cisco, sampler_zero_says_that_nothing_was_sampled)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0);
    export_options(&e, 257, 1, F(1, 4), F(48, 2), F(49, 1), F(50, 4), F(84, 8));
    export_data(&e, 257);
    export_u32(&e, 0);
    export_u16(&e, 1);
    export_u8(&e, 2);
    export_u32(&e, 4000);
    export_text(&e, "SPM_4000");
    export_template(&e, 260, FIVE_TUPLE, F(48, 1));
    export_data(&e, 260);
    export_five_tuple(&e, 25);
    export_u8(&e, 1);
    export_five_tuple(&e, 25);
    export_u8(&e, 0);
    bench_take(&bench, &e);
    cr_assert_eq(bench_flow_at(&bench, 0)->sampling_rate, 4000);
    expect_rate(&bench, 1, PST_RATE_NONE);
}

/* ---- templates and options ---- */

static Domain *other_exporter(Bench *bench, guint32 last_byte)
{
    Drop drop;
    PstAddr addr = pst_addr_v4(0xc0000200 | last_byte);
    return exporters_domain(bench->exporters, &addr, 0, bench->now_ns, &drop);
}

static void take_as(Bench *bench, Domain *domain, Export *e)
{
    export_end(e);
    PstCursor payload = pst_cursor(e->bytes->data, e->bytes->len);
    Message message;
    cr_assert_eq(datagram_next(&payload, &message), DROP_NONE);
    decoder_message(bench->decoder, domain, &message, bench->port, bench->now_ns);
    g_clear_pointer(&e->bytes, g_byte_array_unref);
}

Test(two_exporters, use_one_number_for_two_templates)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0);
    export_template(&e, 256, F(8, 4), F(11, 2));
    take_as(&bench, other_exporter(&bench, 1), &e);
    e = export_v9(.domain = 0);
    export_template(&e, 256, F(11, 2), F(8, 4));
    take_as(&bench, other_exporter(&bench, 2), &e);
    e = export_v9(.domain = 0);
    export_data(&e, 256);
    export_u32(&e, SRC);
    export_u16(&e, 25);
    take_as(&bench, other_exporter(&bench, 1), &e);
    const PstFlow *flow = bench_only(&bench);
    cr_assert_eq(flow->dst_port, 25);
    cr_assert_eq(flow->src_addr.bytes[3], 1);
}

/* The same domain and number, once in v9 and once in IPFIX: the flow says which. */
Test(exporter, that_changes_its_version_is_read_by_the_new_one)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0);
    export_template(&e, 256, F(8, 4));
    bench_take(&bench, &e);
    e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(8, 4));
    export_data(&e, 256);
    export_u32(&e, SRC);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->type, PST_FLOW_IPFIX);
}

/* goflow2 #206: options from one port, flows from another. */
Test(exporter, that_sends_templates_from_another_port_is_understood)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    bench.port = 50001;
    take_selection(&bench, 0, (Field[]){F(144, 4), F(34, 4)}, 2, (guint32[]){1, 1000});
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, FIVE_TUPLE);
    bench_take(&bench, &e);
    bench.port = 50002;
    e = export_ipfix(.domain = 0);
    export_data(&e, 256);
    export_five_tuple(&e, 25);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->dst_port, 25);
    expect_rate(&bench, 1000, PST_RATE_OPTIONS);
}

/* nProbe 9.2: an options template whose options have length 0. */
Test(nprobe, options_template_of_scope_alone_loses_nothing_behind_it)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 96);
    export_options(&e, 300, 1, F(1, 4));
    export_template(&e, 258, FIVE_TUPLE, F(57652, 16), F(57590, FIELD_VARIABLE));
    export_data(&e, 258);
    export_five_tuple(&e, 25);
    export_zeros(&e, 16);
    export_u8(&e, 4);
    export_text(&e, "HTTP");
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->dst_port, 25);
}

/* Against RFC 7011 §3.4.2.2. */
Test(options_template, without_any_scope_is_taken)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_options(&e, 300, 0, F(34, 4));
    export_data(&e, 300);
    export_u32(&e, 64);
    bench_take(&bench, &e);
    take_plain(&bench, 0);
    expect_rate(&bench, 64, PST_RATE_OPTIONS);
}

/* Ixia: template sets end with 4 to 7 bytes of padding. */
Test(ixia, pads_template_sets_with_four_bytes_and_more)
{
    for (gsize padding = 1; padding < 8; padding++) {
        g_auto(Bench) bench;
        bench_init(&bench, FALSE);
        Export e = export_ipfix(.domain = 0);
        export_template(&e, 256, FIVE_TUPLE);
        export_zeros(&e, padding);
        export_data(&e, 256);
        export_five_tuple(&e, 25);
        bench_take(&bench, &e);
        cr_assert_eq(bench_only(&bench)->dst_port, 25);
        cr_assert_eq(bench_dropped(&bench, DROP_TEMPLATE_FIELDS), 0);
    }
}

/* Some Cisco: sets that follow one another without any padding. */
Test(cisco, leaves_out_padding_altogether)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0);
    export_template(&e, 256, FIVE_TUPLE);
    for (guint i = 0; i < 3; i++) {
        export_data(&e, 256);
        export_five_tuple(&e, 25); /* 13 bytes */
    }
    bench_take(&bench, &e);
    cr_assert_eq(bench.flows->len, 3);
}

/* Arista: enterprise fields and names of variable length in the scope of options. */
Test(arista, options_of_variable_and_enterprise_scope_are_walked)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 1);
    export_options(&e, 259, 3, F(149, 4), FE(30065, 300, 2), F(236, FIELD_VARIABLE), F(309, 4),
                   F(310, 4), F(10, 4), F(82, FIELD_VARIABLE));
    export_data(&e, 259);
    export_u32(&e, 1);
    export_u16(&e, 7);
    export_u8(&e, 7);
    export_text(&e, "default");
    export_u32(&e, 1);
    export_u32(&e, 16384);
    export_u32(&e, 5);
    export_u8(&e, 9);
    export_text(&e, "Ethernet5");
    export_template(&e, 256, F(8, 4), F(10, 4));
    export_data(&e, 256);
    export_u32(&e, SRC);
    export_u32(&e, 5);
    bench_take(&bench, &e);
    expect_rate(&bench, 16384, PST_RATE_OPTIONS);
    const GArray *interfaces = bench_domain(&bench, 1)->notes.interfaces;
    cr_assert_eq(interfaces->len, 1);
    cr_assert_str_eq(g_array_index(interfaces, NotedInterface, 0).name, "Ethernet5");
}

/* IOS: both interface numbers stand beside the name; padded with NUL. */
Test(cisco, interface_table_is_noted_as_it_ends_with_nul)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 6);
    export_options(&e, 256, 1, F(1, 4), F(10, 4), F(82, 8), F(83, 12), F(14, 4));
    export_data(&e, 256);
    export_u32(&e, 0);
    export_u32(&e, 7);
    export_text(&e, "Gi0/0/1");
    export_zeros(&e, 1);
    export_text(&e, "to\x1bupst\xff"
                    "ream");
    export_u32(&e, 7);
    bench_take(&bench, &e);
    const NotedInterface *noted =
        &g_array_index(bench_domain(&bench, 6)->notes.interfaces, NotedInterface, 0);
    cr_assert_eq(noted->number, 7);
    cr_assert_str_eq(noted->name, "Gi0/0/1");
    cr_assert_str_eq(noted->description, "to?upst");
}

/* ---- times ---- */

/* NX-OS 8.1: uptimes in eight bytes. */
Test(nx_os, sends_uptimes_of_eight_bytes)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0, .uptime_ms = 100000);
    export_template(&e, 256, F(8, 4), F(22, 8), F(21, 8));
    export_data(&e, 256);
    export_u32(&e, SRC);
    export_u64(&e, 70000);
    export_u64(&e, 90000);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->start_ns, EXPORT_NS - 30 * NS_PER_S);
    cr_assert_eq(bench_only(&bench)->end_ns, EXPORT_NS - 10 * NS_PER_S);
}

/* softflowd 0.9.9: the header's export time is the uptime. Boxes without a clock do the same. */
Test(softflowd, without_an_export_time_sent_it_just_now)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0, .uptime_ms = 100000, .export_s = 100);
    export_template(&e, 256, F(8, 4), F(22, 4), F(21, 4));
    export_data(&e, 256);
    export_u32(&e, SRC);
    export_u32(&e, 70000);
    export_u32(&e, 90000);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->start_ns, bench.now_ns - 30 * NS_PER_S);
    cr_assert_eq(bench_only(&bench)->end_ns, bench.now_ns - 10 * NS_PER_S);
}

/* Juniper MX: the last packet was a moment after the header's uptime. */
Test(juniper, flow_that_ends_after_its_export_ends_a_moment_later)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0, .uptime_ms = 66892000);
    export_template(&e, 256, F(8, 4), F(22, 4), F(21, 4));
    export_data(&e, 256);
    export_u32(&e, SRC);
    export_u32(&e, 66884992);
    export_u32(&e, 66892160);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->end_ns, EXPORT_NS + 160 * (NS_PER_S / 1000));
}

/* Open vSwitch: times before the export, in microseconds; enterprise fields of the tunnel. */
Test(open_vswitch, tells_times_before_the_export)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 266, F(138, 4), F(61, 1), FIVE_TUPLE, FE(6876, 891, 1),
                    FE(6876, 892, FIELD_VARIABLE), F(158, 4), F(159, 4), F(2, 8), F(352, 8),
                    F(1, 8));
    export_data(&e, 266);
    export_u32(&e, 0);
    export_u8(&e, 1);
    export_five_tuple(&e, 25);
    export_u8(&e, 1);
    export_u8(&e, 3);
    export_text(&e, "key");
    export_u32(&e, 2000000);
    export_u32(&e, 1000000);
    export_u64(&e, 3);
    export_u64(&e, 222);
    export_u64(&e, 180);
    bench_take(&bench, &e);
    const PstFlow *flow = bench_only(&bench);
    cr_assert_eq(flow->start_ns, EXPORT_NS - 2 * NS_PER_S);
    cr_assert_eq(flow->end_ns, EXPORT_NS - 1 * NS_PER_S);
    cr_assert_eq(flow->bytes, 180);
}

/* ---- addresses and counters ---- */

/* One template for both families; a packet from 0.0.0.0 is not one from "::". */
Test(record_of_both_families, from_nobody_is_of_the_other_sides_family)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(8, 4), F(12, 4), F(27, 16), F(28, 16));
    export_data(&e, 256);
    export_u32(&e, 0);
    export_u32(&e, 0xffffffff);
    export_zeros(&e, 32);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->src_addr.family, PST_AF_INET);
    cr_assert_eq(bench_only(&bench)->dst_addr.family, PST_AF_INET);
}

/* SRX: totals of the flow's life instead of deltas. FortiGate: the same counter twice, in and out.
 */
Test(srx_and_fortigate, count_each_byte_once)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(8, 4), F(85, 8), F(86, 8));
    export_data(&e, 256);
    export_u32(&e, SRC);
    export_u64(&e, 9000);
    export_u64(&e, 9);
    export_template(&e, 257, F(8, 4), F(1, 4), F(23, 4), F(2, 4), F(24, 4));
    export_data(&e, 257);
    export_u32(&e, SRC);
    export_u32(&e, 700);
    export_u32(&e, 700);
    export_u32(&e, 7);
    export_u32(&e, 7);
    bench_take(&bench, &e);
    cr_assert_eq(bench_flow_at(&bench, 0)->bytes, 9000);
    cr_assert_eq(bench_flow_at(&bench, 1)->bytes, 700);
    cr_assert_eq(bench_flow_at(&bench, 1)->packets, 7);
}

/* AVC: client and server in fields of Cisco's own; in v9 their numbers are 32768 higher. */
static void put_avc(Export *e)
{
    export_u32(e, SRC);
    export_u32(e, DST);
    export_u16(e, 40000);
    export_u16(e, 25);
    export_u8(e, 6);
    export_u64(e, 800);
    export_u64(e, 1200);
}

Test(cisco_avc, client_and_server_are_source_and_destination)
{
    g_auto(Bench) bench;
    bench_init(&bench, TRUE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, FE(9, 12236, 4), FE(9, 12237, 4), FE(9, 12240, 2), FE(9, 12241, 2),
                    F(4, 1), FE(9, 8337, 8), FE(9, 8338, 8));
    export_data(&e, 256);
    put_avc(&e);
    bench_take(&bench, &e);
    e = export_v9(.domain = 1);
    export_template(&e, 256, F(45004, 4), F(45005, 4), F(45008, 2), F(45009, 2), F(4, 1),
                    F(41105, 8), F(41106, 8));
    export_data(&e, 256);
    put_avc(&e);
    bench_take(&bench, &e);
    cr_assert_eq(bench.flows->len, 2);
    for (guint i = 0; i < 2; i++) {
        const PstFlow *flow = bench_flow_at(&bench, i);
        cr_assert_eq(flow->src_addr.bytes[0], 198);
        cr_assert_eq(flow->dst_addr.bytes[0], 203);
        cr_assert_eq(flow->dst_port, 25);
        cr_assert_eq(flow->bytes, 1200);
        cr_assert_eq(flow->reverse_bytes, 800);
    }
}

/* ---- skipped ---- */

Test(enterprise_elements, are_counted_by_number_and_bounded)
{
    g_autoptr(PstStats) stats = pst_stats_new();
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    decoder_free(bench.decoder);
    bench.decoder = decoder_new(&(DecoderOptions){.ports = &bench.ports,
                                                  .budget = exporters_budget(bench.exporters),
                                                  .stats = stats,
                                                  .flow = bench_flow,
                                                  .user = &bench});
    for (guint i = 0; i < 300; i++) {
        Export e = export_ipfix(.domain = i % 3);
        export_template(&e, 256, F(8, 4), FE(6876, i, 4), FE(9999, 1, 2));
        bench_take(&bench, &e);
    }
    g_autoptr(GString) text = g_string_new(NULL);
    pst_stats_write(stats, text);
    cr_assert_not_null(strstr(text->str, "{enterprise=\"6876\",element=\"0\"} 1\n"));
    cr_assert_not_null(strstr(text->str, "{enterprise=\"9999\",element=\"1\"} 300\n"));
    cr_assert_not_null(strstr(text->str, "{enterprise=\"other\",element=\"other\"} 45\n"));
}
