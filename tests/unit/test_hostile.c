/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile exporter can make the decoder do: bounded, counted, and nobody else's loss. */
#include <criterion/criterion.h>

#include "export_builder.h"

/* One field; @number and @width say which template. */
static void tell(Bench *bench, guint16 number, guint16 width)
{
    Export e = export_ipfix();
    export_template(&e, number, F(8, 4), F(12, 4), F(1, width));
    bench_take(bench, &e);
}

static void data_of(Bench *bench, guint16 number, gsize len)
{
    Export e = export_ipfix();
    export_data(&e, number);
    export_zeros(&e, len);
    bench_take(bench, &e);
}

Test(hostile, template_storm_ends_when_its_purse_is_empty)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    for (guint i = 0; i < 5000; i++)
        tell(&bench, 300, 4 + i % 2 * 4);
    guint64 taken = decoder_counts(bench.decoder)->templates;
    cr_assert_leq(taken, EXPORTER_WORK_MAX / 4 + 1);
    cr_assert_eq(taken + bench_dropped(&bench, DROP_TEMPLATE_STORM), 5000);
    data_of(&bench, 300, 12);
    cr_assert_eq(bench.flows->len, 0, "data must not be read by a layout that was replaced");
    bench.now_ns += 10 * NS_PER_S;
    tell(&bench, 300, 4);
    cr_assert_eq(decoder_counts(bench.decoder)->templates, taken + 1);
}

Test(hostile, template_storm_leaves_templates_in_force_to_their_session)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    tell(&bench, 256, 8);
    bench.port = 6666;
    for (guint i = 0; i < 5000; i++)
        tell(&bench, (guint16)(256 + i % 3000), 4 + i % 2 * 4);
    bench.port = 2055;
    tell(&bench, 256, 8); /* told again, as it is every minute */
    data_of(&bench, 256, 16);
    cr_assert_eq(bench.flows->len, 1);
    tell(&bench, 256, 4); /* and a new one */
    data_of(&bench, 256, 12);
    cr_assert_eq(bench.flows->len, 2);
}

Test(hostile, starting_exporter_with_hundreds_of_templates_is_none)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    for (guint i = 0; i < TEMPLATES_MAX; i++) {
        Export e = export_ipfix();
        export_set(&e, 2);
        export_u16(&e, (guint16)(256 + i));
        export_u16(&e, 30);
        for (guint16 n = 0; n < 30; n++) {
            export_u16(&e, n + 1);
            export_u16(&e, 4);
        }
        bench_take(&bench, &e);
    }
    cr_assert_eq(decoder_counts(bench.decoder)->templates, TEMPLATES_MAX);
    cr_assert_eq(bench_dropped(&bench, DROP_TEMPLATE_STORM), 0);
}

Test(hostile, options_storm_ends_and_what_is_known_stays)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix();
    export_options(&e, 300, 1, F(302, 4), F(34, 4));
    bench_take(&bench, &e);
    for (guint i = 0; i < 200; i++) {
        e = export_ipfix();
        export_data(&e, 300);
        for (guint32 n = 0; n < 100; n++) {
            export_u32(&e, i * 100 + n);
            export_u32(&e, 1000);
        }
        bench_take(&bench, &e);
    }
    cr_assert_eq(decoder_counts(bench.decoder)->options, 20000);
    cr_assert_gt(bench_dropped(&bench, DROP_OPTIONS_STORM), 10000);
    Domain *domain = bench_domain(&bench, 0);
    cr_assert(domain->sampling.n == SAMPLING_MAX && domain->sampling.agree);
}

Test(hostile, withdrawals_without_end_are_refused)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    for (guint i = 0; i < 5000; i++) {
        Export e = export_ipfix();
        export_set(&e, 2);
        export_u16(&e, 2);
        export_u16(&e, 0);
        bench_take(&bench, &e);
    }
    cr_assert_gt(bench_dropped(&bench, DROP_TEMPLATE_STORM), 0);
    cr_assert_leq(decoder_counts(bench.decoder)->withdrawals, EXPORTER_WORK_MAX);
}

Test(hostile, records_of_one_byte_are_decoded_in_part_only)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix();
    export_template(&e, 256, F(4, 1));
    export_data(&e, 256);
    export_zeros(&e, 8000);
    bench_take(&bench, &e);
    cr_assert_leq(bench.flows->len, 8000 / 12 + 64);
    cr_assert_eq(bench.flows->len + bench_dropped(&bench, DROP_RECORD_TINY), 8000);
    cr_assert_eq(bench_domain(&bench, 0)->ledger->received, 8000, "what was sent was received");
}

Test(hostile, sets_of_a_few_bytes_are_read_in_part_only)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix();
    export_template(&e, 256, F(4, 1));
    for (guint i = 0; i < 8000; i++) {
        export_data(&e, 256);
        export_u8(&e, 6);
    }
    bench_take(&bench, &e);
    cr_assert_leq(bench.flows->len, 8000 * 5 / 24 + 32);
    cr_assert_eq(bench_dropped(&bench, DROP_SETS), 1);
    cr_assert_eq(bench.drops->len, 0);
}

Test(message, of_one_short_record_in_each_set_is_read_to_its_end)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix();
    export_template(&e, 256, F(8, 4), F(12, 4), F(7, 2), F(11, 2), F(4, 1), F(1, 4), F(2, 4));
    for (guint i = 0; i < 2000; i++) {
        export_data(&e, 256);
        export_zeros(&e, 21);
    }
    bench_take(&bench, &e);
    cr_assert_eq(bench.flows->len, 2000);
}

Test(hostile, held_data_of_a_few_greedy_domains_leaves_room_for_another)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    HoldBudget *budget = exporters_budget(bench.exporters);
    budget->bytes_max = 100000;
    budget->domain_max = 50000;
    for (guint i = 0; i < 200; i++) {
        for (guint32 domain = 1; domain <= 20; domain++) {
            Export e = export_ipfix(.domain = domain);
            export_data(&e, 999);
            export_zeros(&e, 400);
            bench_take(&bench, &e);
        }
    }
    cr_assert_leq(budget->bytes, 100000);
    for (guint i = 0; i < 3; i++)
        data_of(&bench, 256, 16);
    tell(&bench, 256, 8);
    cr_assert_eq(bench.flows->len, 3);
}

Test(hostile, held_sets_of_many_templates_come_out_in_order_each)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    for (guint32 i = 0; i < 6; i++) {
        Export e = export_ipfix();
        export_data(&e, (guint16)(256 + i % 2));
        export_u32(&e, 100 + i);
        export_u32(&e, 1);
        export_u64(&e, 1);
        bench_take(&bench, &e);
    }
    tell(&bench, 257, 8);
    tell(&bench, 256, 8);
    static const guint8 order[] = {101, 103, 105, 100, 102, 104};
    cr_assert_eq(bench.flows->len, G_N_ELEMENTS(order));
    for (guint i = 0; i < G_N_ELEMENTS(order); i++)
        cr_assert_eq(bench_flow_at(&bench, i)->src_addr.bytes[3], order[i]);
    cr_assert_eq(exporters_budget(bench.exporters)->bytes, 0);
}

/* An exporter at @addr tells @n templates of 1,000 fields in domain @id. */
static void tell_wide(Bench *bench, guint32 addr, guint32 id, guint n)
{
    Drop drop = DROP_NONE;
    PstAddr sender = pst_addr_v4(addr);
    Domain *domain = exporters_domain(bench->exporters, &sender, id, bench->now_ns, &drop);
    for (guint i = 0; domain != NULL && i < n; i++) {
        Export e = export_ipfix(.domain = id);
        export_set(&e, 2);
        export_u16(&e, (guint16)(256 + i));
        export_u16(&e, 1000);
        for (guint field = 0; field < 1000; field++)
            export_u32(&e, 8u << 16 | 4);
        export_end(&e);
        PstCursor payload = pst_cursor(e.bytes->data, e.bytes->len);
        Message message;
        cr_assert_eq(datagram_next(&payload, &message), DROP_NONE);
        decoder_message(bench->decoder, domain, &message, 2055, bench->now_ns);
        g_byte_array_unref(e.bytes);
    }
}

Test(hostile, templates_of_all_exporters_are_bounded_and_one_more_finds_room)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    for (guint32 i = 0; i < 15; i++) {
        for (guint32 id = 0; id < 10; id++)
            tell_wide(&bench, 0x7f000001 + i, id, 8);
    }
    guint64 taken = decoder_counts(bench.decoder)->templates;
    cr_assert(taken > 8 && taken <= 128 * 256 / 1000, "%" G_GUINT64_FORMAT, taken);
    cr_assert_gt(bench_dropped(&bench, DROP_TEMPLATE_BOUND), 0);
    tell(&bench, 256, 8);
    data_of(&bench, 256, 16);
    cr_assert_eq(bench.flows->len, 1);
}

Test(hostile, domains_of_all_exporters_are_bounded_and_each_has_one)
{
    g_autoptr(Exporters) exporters = exporters_new(&(ExportersOptions){.exporters_max = 128});
    guint refused = 0;
    for (guint32 i = 0; i < 128; i++) {
        PstAddr sender = pst_addr_v4(0x7f000001 + i);
        for (guint32 id = 0; id < 100; id++) {
            Drop drop = DROP_NONE;
            gboolean taken = exporters_domain(exporters, &sender, id, NS_PER_S, &drop) != NULL;
            cr_assert(taken || (id > 0 && drop == DROP_EXPORTERS_BOUND));
            refused += !taken;
        }
    }
    cr_assert_geq(refused, 128 * 100 - 128 * 4 - 128);
}
