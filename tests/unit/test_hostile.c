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
    cr_assert_leq(bench.flows->len, 8000 / 8 + 64);
    cr_assert_eq(bench.flows->len + bench_dropped(&bench, DROP_RECORD_TINY), 8000);
    cr_assert_eq(bench_domain(&bench, 0)->ledger->received, 8000, "what was sent was received");
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
