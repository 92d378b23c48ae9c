/* SPDX-License-Identifier: Apache-2.0 */
/* What vendors send, each trap by name. */
#include <criterion/criterion.h>

#include "export_builder.h"

#define EXPORT_NS (EXPORT_S * NS_PER_S)

Test(decoder, mikrotik_uptimes_and_init_time_come_in_any_order)
{
    static const Field orders[3][3] = {
        {F(160, 8), F(22, 4), F(21, 4)},
        {F(22, 4), F(21, 4), F(160, 8)},
        {F(21, 4), F(160, 8), F(22, 4)},
    };
    gint64 init_ms = (gint64)EXPORT_S * 1000 - 100000;
    for (gsize i = 0; i < 3; i++) {
        g_auto(Bench) bench;
        bench_init(&bench, FALSE);
        Export e = export_ipfix(.domain = 0);
        export_template_of(&e, 258, orders[i], 3);
        export_data(&e, 258);
        for (gsize f = 0; f < 3; f++) {
            if (orders[i][f].id == 160)
                export_u64(&e, (guint64)init_ms);
            else
                export_u32(&e, orders[i][f].id == 22 ? 80000 : 90000);
        }
        bench_take(&bench, &e);
        cr_assert_eq(bench_only(&bench)->start_ns, EXPORT_NS - 20 * NS_PER_S);
        cr_assert_eq(bench_only(&bench)->end_ns, EXPORT_NS - 10 * NS_PER_S);
    }
}

Test(decoder, init_time_may_come_in_options_data)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_options(&e, 300, 1, F(144, 4), F(160, 8));
    export_data(&e, 300);
    export_u32(&e, 1);
    export_u64(&e, (guint64)EXPORT_S * 1000 - 100000);
    export_template(&e, 258, F(22, 4));
    export_data(&e, 258);
    export_u32(&e, 80000);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->start_ns, EXPORT_NS - 20 * NS_PER_S);
}

Test(decoder, uptimes_without_init_time_give_no_time_at_all)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 258, F(8, 4), F(22, 4));
    export_data(&e, 258);
    export_u32(&e, SRC);
    export_u32(&e, 80000);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->has & PST_HAS_START, 0);
}

Test(decoder, field_of_length_zero_is_nothing)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(8, 4), F(150, 0), F(11, 2));
    export_data(&e, 256);
    export_u32(&e, SRC);
    export_u16(&e, 25);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->dst_port, 25);
    cr_assert_eq(bench_only(&bench)->has & PST_HAS_START, 0);
}

Test(decoder, asa_counts_both_directions_in_one_record)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0);
    export_template(&e, 263, FIVE_TUPLE, F(152, 8), F(323, 8), F(233, 1), F(231, 4), F(232, 4));
    export_data(&e, 263);
    export_five_tuple(&e, 25);
    export_u64(&e, (guint64)EXPORT_S * 1000 - 5000);
    export_u64(&e, (guint64)EXPORT_S * 1000);
    export_u8(&e, 2);
    export_u32(&e, 69);
    export_u32(&e, 14178);
    bench_take(&bench, &e);
    const PstFlow *flow = bench_only(&bench);
    cr_assert_eq(flow->bytes, 69);
    cr_assert(flow->has & PST_HAS_REVERSE);
    cr_assert_eq(flow->reverse_bytes, 14178);
    cr_assert_eq(flow->fw_event, 2);
    cr_assert_eq(flow->start_ns, EXPORT_NS - 5 * NS_PER_S);
    cr_assert_eq(flow->end_ns, EXPORT_NS); /* the event: the connection's end */
}

Test(decoder, asa_event_without_counters_is_a_flow)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0);
    export_template(&e, 256, FIVE_TUPLE, F(233, 1), F(323, 8));
    export_data(&e, 256);
    export_five_tuple(&e, 25);
    export_u8(&e, 1);
    export_u64(&e, (guint64)EXPORT_S * 1000);
    bench_take(&bench, &e);
    const PstFlow *flow = bench_only(&bench);
    cr_assert_eq(flow->has & (PST_HAS_BYTES | PST_HAS_PACKETS), 0);
    cr_assert_eq(flow->fw_event, 1);
    cr_assert_eq(pst_flow_event_ns(flow), EXPORT_NS);
}

Test(decoder, rfc5103_reverse_elements_are_reverse_counters)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, FIVE_TUPLE, F(2, 8), FE(29305, 2, 8), F(1, 8), FE(29305, 1, 8),
                    F(6, 1), FE(29305, 6, 1));
    export_data(&e, 256);
    export_five_tuple(&e, 25);
    export_u64(&e, 10);
    export_u64(&e, 8);
    export_u64(&e, 1000);
    export_u64(&e, 800);
    export_u8(&e, 0x1b);
    export_u8(&e, 0x13);
    bench_take(&bench, &e);
    const PstFlow *flow = bench_only(&bench);
    cr_assert_eq(flow->packets, 10);
    cr_assert_eq(flow->reverse_packets, 8);
    cr_assert_eq(flow->bytes, 1000);
    cr_assert_eq(flow->reverse_bytes, 800);
    cr_assert_eq(flow->tcp_flags, 0x1b);
    cr_assert_eq(flow->reverse_tcp_flags, 0x13);
}

/* Juniper repeats a field: the first that says something counts. */
Test(decoder, juniper_repeats_a_field)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(10, 4), F(14, 4), F(10, 4), F(14, 4));
    export_data(&e, 256);
    export_u32(&e, 0);
    export_u32(&e, 3);
    export_u32(&e, 2);
    export_u32(&e, 4);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->in_if, 2);
    cr_assert_eq(bench_only(&bench)->out_if, 3);
}

Test(decoder, nx_os_pads_more_than_three_bytes)
{
    for (gsize padding = 0; padding < 13; padding++) {
        g_auto(Bench) bench;
        bench_init(&bench, FALSE);
        Export e = export_v9(.domain = 0);
        export_template(&e, 256, FIVE_TUPLE);
        export_data(&e, 256);
        export_five_tuple(&e, 25);
        export_zeros(&e, padding);
        bench_take(&bench, &e);
        cr_assert_eq(bench.flows->len, padding < 13 ? 1 : 2);
    }
}

Test(decoder, palo_alto_fills_the_packet_with_zeros)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0);
    export_template(&e, 256, FIVE_TUPLE);
    export_data(&e, 256);
    export_five_tuple(&e, 25);
    export_end_set(&e);
    export_zeros(&e, 500);
    bench_take(&bench, &e);
    cr_assert_eq(bench.flows->len, 1);
    cr_assert_eq(bench_dropped(&bench, DROP_SET_LENGTH), 0);
}

Test(decoder, sophos_sends_times_of_four_bytes)
{
    guint64 export_ms = (guint64)EXPORT_S * 1000;
    const guint32 forms[] = {EXPORT_S - 5, (guint32)(export_ms - 5000)};
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        g_auto(Bench) bench;
        bench_init(&bench, FALSE);
        Export e = export_ipfix(.domain = 0);
        export_template(&e, 256, F(152, 4), F(153, 4));
        export_data(&e, 256);
        export_u32(&e, forms[i]);
        export_u32(&e, forms[i]);
        bench_take(&bench, &e);
        cr_assert_eq(bench_only(&bench)->start_ns, EXPORT_NS - 5 * NS_PER_S, "form %zu", i);
    }
}

/* FortiGate's counters are eight bytes wide; others send three. */
Test(decoder, reduced_and_wide_numbers_are_read_by_their_width)
{
    for (guint16 width = 1; width <= 8; width++) {
        g_auto(Bench) bench;
        bench_init(&bench, FALSE);
        Export e = export_ipfix(.domain = 0);
        export_template(&e, 256, F(1, width), F(10, width), F(17, width));
        export_data(&e, 256);
        for (guint f = 0; f < 3; f++) {
            export_zeros(&e, width - 1u);
            export_u8(&e, 0x2a);
        }
        bench_take(&bench, &e);
        cr_assert_eq(bench_only(&bench)->bytes, 0x2a);
        cr_assert_eq(bench_only(&bench)->in_if, 0x2a);
        cr_assert_eq(bench_only(&bench)->dst_as, 0x2a);
    }
}

Test(decoder, number_too_large_for_its_field_is_clamped)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(10, 8), F(5, 2));
    export_data(&e, 256);
    export_u64(&e, G_GUINT64_CONSTANT(0x100000001));
    export_u16(&e, 0x100);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->in_if, G_MAXUINT32);
    cr_assert_eq(bench_only(&bench)->tos, 255);
}

Test(decoder, enterprise_fields_of_variable_length_are_skipped)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(8, 4), FE(6876, 880, FIELD_VARIABLE), F(7, 2),
                    FE(5951, 128, FIELD_VARIABLE), FE(5951, 129, 4), F(11, 2), F(4, 1));
    export_data(&e, 256);
    static const gsize lengths[] = {0, 1, 254, 255, 300};
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        export_u32(&e, SRC);
        export_u8(&e, 2);
        export_text(&e, "vm");
        export_u16(&e, 40000);
        if (lengths[i] < 255) {
            export_u8(&e, (guint8)lengths[i]);
        } else {
            export_u8(&e, 255);
            export_u16(&e, (guint16)lengths[i]);
        }
        export_zeros(&e, lengths[i]);
        export_u32(&e, 0xffffffff);
        export_u16(&e, (guint16)(25 + i));
        export_u8(&e, 6);
    }
    bench_take(&bench, &e);
    cr_assert_eq(bench.flows->len, G_N_ELEMENTS(lengths));
    for (guint i = 0; i < bench.flows->len; i++) {
        cr_assert_eq(bench_flow_at(&bench, i)->src_port, 40000);
        cr_assert_eq(bench_flow_at(&bench, i)->dst_port, 25 + i);
    }
}

Test(decoder, variable_length_beyond_its_set_ends_the_set)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(8, 4), F(82, FIELD_VARIABLE));
    export_data(&e, 256);
    export_u32(&e, SRC);
    export_u8(&e, 0);
    export_u32(&e, SRC);
    export_u8(&e, 200);
    export_zeros(&e, 100);
    export_data(&e, 256);
    export_u32(&e, SRC);
    export_u8(&e, 0);
    bench_take(&bench, &e);
    cr_assert_eq(bench.flows->len, 2);
    cr_assert_eq(bench_dropped(&bench, DROP_RECORD_SHORT), 1);
}

Test(decoder, structured_data_is_skipped_and_the_record_kept)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(8, 4), F(293, FIELD_VARIABLE), F(11, 2));
    export_data(&e, 256);
    export_u32(&e, SRC);
    export_u8(&e, 9);
    export_u8(&e, 255); /* semantic; then whatever */
    export_zeros(&e, 8);
    export_u16(&e, 25);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->dst_port, 25);
}

Test(decoder, data_before_its_template_waits_for_it)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export early = export_ipfix(.domain = 0);
    export_data(&early, 256);
    export_five_tuple(&early, 25);
    export_five_tuple(&early, 26);
    bench_take(&bench, &early);
    cr_assert_eq(bench.flows->len, 0);
    gint64 received_ns = bench.now_ns;
    bench.now_ns += 5 * NS_PER_S;
    Export late = export_ipfix(.domain = 0);
    export_template(&late, 256, FIVE_TUPLE);
    bench_take(&bench, &late);
    cr_assert_eq(bench.flows->len, 2);
    cr_assert_eq(bench_flow_at(&bench, 0)->received_ns, received_ns);
    cr_assert_eq(decoder_counts(bench.decoder)->late, 2);
    cr_assert_eq(bench_domain(&bench, 0)->ledger->received, 2);
}

Test(decoder, data_before_its_template_in_one_datagram_is_decoded)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0);
    export_data(&e, 256);
    export_five_tuple(&e, 25);
    export_template(&e, 256, FIVE_TUPLE);
    bench_take(&bench, &e);
    cr_assert_eq(bench.flows->len, 1);
}

Test(decoder, data_whose_template_never_comes_is_counted)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_data(&e, 256);
    export_zeros(&e, 500);
    bench_take(&bench, &e);
    decoder_expire(bench.decoder, bench_domain(&bench, 0), bench.now_ns + 1);
    cr_assert_eq(bench_dropped(&bench, DROP_NO_TEMPLATE), 1);
    const Ledger *ledger = bench_domain(&bench, 0)->ledger;
    cr_assert_eq(ledger->lost[PST_LOSS_NO_TEMPLATE], 0);
    Export next = export_ipfix(.domain = 0, .sequence = 12);
    export_template(&next, 300, FIVE_TUPLE);
    bench_take(&bench, &next);
    cr_assert_eq(ledger->lost[PST_LOSS_NO_TEMPLATE], 12, "the next number tells how many");
    cr_assert_eq(exporters_budget(bench.exporters)->bytes, 0);
}

Test(decoder, held_data_is_bounded)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    for (guint i = 0; i < 1000; i++) {
        Export e = export_ipfix(.domain = i % 50);
        export_data(&e, 256);
        export_zeros(&e, 1200);
        bench_take(&bench, &e);
    }
    cr_assert_leq(exporters_budget(bench.exporters)->bytes, 50 * 4096);
    cr_assert_gt(bench_dropped(&bench, DROP_NO_TEMPLATE), 800);
}

Test(decoder, two_domains_use_one_number_for_two_templates)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    for (guint32 domain = 1; domain <= 2; domain++) {
        Export e = export_v9(.domain = domain);
        export_template(&e, 256, F(domain == 1 ? 7 : 11, 2));
        bench_take(&bench, &e);
    }
    for (guint32 domain = 1; domain <= 2; domain++) {
        Export e = export_v9(.domain = domain);
        export_data(&e, 256);
        export_u16(&e, 25);
        bench_take(&bench, &e);
    }
    cr_assert_eq(bench_flow_at(&bench, 0)->src_port, 25);
    cr_assert_eq(bench_flow_at(&bench, 1)->dst_port, 25);
}

Test(decoder, withdrawn_template_decodes_nothing_more)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(11, 2));
    export_set(&e, 2);
    export_u16(&e, 256);
    export_u16(&e, 0);
    export_data(&e, 256);
    export_u16(&e, 25);
    bench_take(&bench, &e);
    cr_assert_eq(decoder_counts(bench.decoder)->withdrawals, 1);
    cr_assert_eq(bench.flows->len, 0);
}

Test(decoder, record_of_both_families_takes_the_address_that_is_there)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(8, 4), F(27, 16), F(12, 4), F(28, 16));
    export_data(&e, 256);
    export_u32(&e, SRC);
    export_zeros(&e, 16);
    export_u32(&e, 0);
    export_u64(&e, G_GUINT64_CONSTANT(0x20010db800000000));
    export_u64(&e, 1);
    bench_take(&bench, &e);
    char text[PST_ADDR_TEXT_MAX];
    cr_assert_str_eq(pst_addr_format(&bench_only(&bench)->src_addr, text), "198.18.0.1");
    cr_assert_str_eq(pst_addr_format(&bench_only(&bench)->dst_addr, text), "2001:db8::1");
}

Test(decoder, mapped_address_is_folded)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(27, 16));
    export_data(&e, 256);
    export_u64(&e, 0);
    export_u32(&e, 0xffff);
    export_u32(&e, SRC);
    bench_take(&bench, &e);
    char text[PST_ADDR_TEXT_MAX];
    cr_assert_str_eq(pst_addr_format(&bench_only(&bench)->src_addr, text), "198.18.0.1");
    cr_assert_eq(bench_only(&bench)->etype, 0x0800);
}

Test(decoder, egress_counters_stand_in_where_there_are_no_others)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0);
    export_template(&e, 256, F(23, 4), F(24, 4));
    export_template(&e, 257, F(23, 4), F(1, 4));
    export_data(&e, 256);
    export_u32(&e, 1000);
    export_u32(&e, 10);
    export_data(&e, 257);
    export_u32(&e, 1000);
    export_u32(&e, 77);
    bench_take(&bench, &e);
    cr_assert_eq(bench_flow_at(&bench, 0)->bytes, 1000);
    cr_assert_eq(bench_flow_at(&bench, 0)->packets, 10);
    cr_assert_eq(bench_flow_at(&bench, 1)->bytes, 77);
}

Test(decoder, tcp_ports_of_their_own_elements_say_the_protocol)
{
    g_auto(Bench) bench;
    bench_init(&bench, TRUE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(182, 2), F(183, 2));
    export_template(&e, 257, F(180, 2), F(181, 2));
    export_data(&e, 256);
    export_u32(&e, 40000u << 16 | 25);
    export_data(&e, 257);
    export_u32(&e, 40000u << 16 | 25);
    bench_take(&bench, &e);
    cr_assert_eq(bench.flows->len, 1);
    cr_assert_eq(bench_only(&bench)->proto, 6);
}

/* What leaves after three loads must be what would not have been wanted anyway. */
Test(decoder, early_exit_never_loses_mail)
{
    static const struct {
        guint16 src, dst;
        guint8 proto;
        gboolean mail;
    } cases[] = {
        {40000, 25, 6, TRUE},  {25, 40000, 6, TRUE},   {587, 587, 6, TRUE},
        {40000, 587, 6, TRUE}, {40000, 25, 17, FALSE}, {40000, 80, 6, FALSE},
        {24, 26, 6, FALSE},    {0, 0, 6, FALSE},       {25, 25, 1, FALSE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(Bench) bench;
        bench_init(&bench, TRUE);
        bench_domain(&bench, 0)->probed_ns = bench.now_ns;
        Export e = export_ipfix(.domain = 0);
        export_template(&e, 256, F(7, 2), F(11, 2), F(4, 1));
        export_template(&e, 257, F(82, FIELD_VARIABLE), F(7, 2), F(11, 2), F(4, 1));
        export_template(&e, 258, F(7, 4), F(11, 4), F(4, 2)); /* odd widths */
        export_data(&e, 256);
        export_u16(&e, cases[i].src);
        export_u16(&e, cases[i].dst);
        export_u8(&e, cases[i].proto);
        export_data(&e, 257);
        export_u8(&e, 1);
        export_text(&e, "x");
        export_u16(&e, cases[i].src);
        export_u16(&e, cases[i].dst);
        export_u8(&e, cases[i].proto);
        export_data(&e, 258);
        export_u32(&e, cases[i].src);
        export_u32(&e, cases[i].dst);
        export_u16(&e, cases[i].proto);
        bench_take(&bench, &e);
        cr_assert_eq(bench.flows->len, cases[i].mail ? 3 : 0, "case %zu", i);
        cr_assert_eq(decoder_counts(bench.decoder)->records, 3);
    }
}

Test(decoder, domain_without_mail_still_tells_its_event_time)
{
    g_auto(Bench) bench;
    bench_init(&bench, TRUE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(152, 8), F(7, 2), F(11, 2), F(4, 1));
    export_data(&e, 256);
    export_u64(&e, (guint64)EXPORT_S * 1000 - 3000);
    export_u32(&e, 80u << 16 | 81);
    export_u8(&e, 6);
    bench_take(&bench, &e);
    cr_assert_eq(bench.flows->len, 0);
    cr_assert_eq(bench_domain(&bench, 0)->newest_event_ns, EXPORT_NS - 3 * NS_PER_S);
}

Test(decoder, one_record_from_the_future_does_not_move_its_domain)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(152, 8));
    export_data(&e, 256);
    export_u64(&e, (guint64)EXPORT_S * 1000 - 3000);
    export_u64(&e, (guint64)EXPORT_S * 1000 + 36000000);
    bench_take(&bench, &e);
    cr_assert_eq(bench.flows->len, 2);
    cr_assert_eq(bench_domain(&bench, 0)->newest_event_ns, EXPORT_NS - 3 * NS_PER_S);
}
