/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "export_builder.h"

/* One flow whose record has no sampling of its own, after options data. */
static void take_flow(Bench *bench, guint32 domain, guint32 in_if, guint32 selector)
{
    Export e = export_v9(.domain = domain);
    export_template(&e, 300, F(8, 4), F(10, 4), F(48, 4));
    export_data(&e, 300);
    export_u32(&e, 0xc6120001);
    export_u32(&e, in_if);
    export_u32(&e, selector);
    bench_take(bench, &e);
}

static void take_plain_flow(Bench *bench, guint32 domain)
{
    Export e = export_v9(.domain = domain);
    export_template(&e, 301, F(8, 4));
    export_data(&e, 301);
    export_u32(&e, 0xc6120001);
    bench_take(bench, &e);
}

static void take_rate(Bench *bench, guint32 domain, guint32 selector, guint32 rate)
{
    Export e = export_v9(.domain = domain);
    export_options(&e, 256, 1, F(1, 4), F(48, 4), F(49, 1), F(50, 4));
    export_data(&e, 256);
    export_u32(&e, 0);
    export_u32(&e, selector);
    export_u8(&e, 2);
    export_u32(&e, rate);
    bench_take(bench, &e);
}

static void expect_last(const Bench *bench, guint64 rate, PstRateSource source)
{
    const PstFlow *flow = bench_flow_at(bench, bench->flows->len - 1);
    cr_assert_eq(flow->sampling_rate, rate, "rate %" G_GUINT64_FORMAT, flow->sampling_rate);
    cr_assert_eq(flow->rate_source, source);
}

Test(sampling, of_several_samplers_is_told_by_the_selector)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    take_rate(&bench, 1, 7, 100);
    take_rate(&bench, 1, 8, 2000);
    take_flow(&bench, 1, 1, 7);
    expect_last(&bench, 100, PST_RATE_OPTIONS);
    take_flow(&bench, 1, 1, 8);
    expect_last(&bench, 2000, PST_RATE_OPTIONS);
    take_flow(&bench, 1, 1, 9);
    expect_last(&bench, 1, PST_RATE_NONE);
    take_plain_flow(&bench, 1); /* which of the two? */
    expect_last(&bench, 1, PST_RATE_NONE);
}

Test(sampling, of_the_only_sampler_holds_for_records_that_name_none)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    take_rate(&bench, 1, 7, 100);
    take_plain_flow(&bench, 1);
    expect_last(&bench, 100, PST_RATE_OPTIONS);
}

Test(sampling, of_another_domain_of_the_exporter_holds_if_it_is_the_only_one)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    take_rate(&bench, 512, 7, 100);
    take_plain_flow(&bench, 1);
    expect_last(&bench, 100, PST_RATE_OPTIONS);
}

Test(sampling, can_be_told_for_one_interface)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 1);
    export_options(&e, 256, 1, F(2, 4), F(34, 4), F(35, 1)); /* scope 2: interface */
    export_data(&e, 256);
    for (guint i = 1; i <= 2; i++) {
        export_u32(&e, i);
        export_u32(&e, i * 1000);
        export_u8(&e, 1);
    }
    bench_take(&bench, &e);
    take_flow(&bench, 1, 2, 0);
    expect_last(&bench, 2000, PST_RATE_OPTIONS);
    take_flow(&bench, 1, 1, 0);
    expect_last(&bench, 1000, PST_RATE_OPTIONS);
    take_flow(&bench, 1, 3, 0);
    expect_last(&bench, 1, PST_RATE_NONE);
}

Test(sampling, survives_a_change_of_port)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    take_rate(&bench, 1, 7, 100);
    bench.port = 50000;
    take_flow(&bench, 1, 1, 7);
    expect_last(&bench, 100, PST_RATE_OPTIONS);
}

/* Options template, options data and flows in one datagram, in this order. */
Test(sampling, told_earlier_in_the_datagram_holds_later_in_it)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 1);
    export_options(&e, 256, 1, F(302, 8), F(305, 4), F(306, 4));
    export_data(&e, 256);
    export_u64(&e, 3);
    export_u32(&e, 1);
    export_u32(&e, 499);
    export_template(&e, 257, F(8, 4), F(302, 8));
    export_data(&e, 257);
    export_u32(&e, 0xc6120001);
    export_u64(&e, 3);
    bench_take(&bench, &e);
    expect_last(&bench, 500, PST_RATE_OPTIONS);
}

Test(sampling, of_the_record_wins_over_options_and_the_operator_over_both)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    take_rate(&bench, 1, 7, 100);
    for (guint32 in_record = 0; in_record < 2; in_record++) {
        Export e = export_v9(.domain = 1);
        export_template(&e, 302, F(8, 4), F(34, 4));
        export_data(&e, 302);
        export_u32(&e, 0xc6120001);
        export_u32(&e, in_record * 64); /* 0 is never accepted (Huawei) */
        bench_take(&bench, &e);
        expect_last(&bench, in_record ? 64 : 100, in_record ? PST_RATE_RECORD : PST_RATE_OPTIONS);
    }
    bench_domain(&bench, 1)->exporter->operator_rate = 4096;
    take_plain_flow(&bench, 1);
    expect_last(&bench, 4096, PST_RATE_OPERATOR);
}

static Record options_record(Raw raw, guint64 value, Raw other, guint64 other_value)
{
    Record record = {.seen = 1u << raw | 1u << other};
    record.raw[raw] = value;
    record.raw[other] = other_value;
    return record;
}

Test(sampling, is_kept_as_two_integers)
{
    Rate rate;
    Record record = options_record(RAW_SIZE, 2, RAW_POPULATION, 5);
    cr_assert(sampling_of_record(&record, &rate));
    cr_assert_eq(rate.population, 5);
    cr_assert_eq(rate.size, 2);
    cr_assert_eq(rate_n(&rate), 3);
    record = options_record(RAW_SIZE, 0, RAW_POPULATION, 5);
    cr_assert_not(sampling_of_record(&record, &rate));
    record = options_record(RAW_SIZE, 6, RAW_POPULATION, 5);
    cr_assert_not(sampling_of_record(&record, &rate));
    record = options_record(RAW_PACKET_INTERVAL, G_MAXUINT64, RAW_PACKET_SPACE, 1);
    cr_assert_not(sampling_of_record(&record, &rate));
}

Test(sampling, probability_comes_as_float64_or_float32)
{
    double p = 0.001;
    float q = 0.01F;
    guint64 bits = 0;
    guint32 narrow = 0;
    memcpy(&bits, &p, sizeof bits);
    memcpy(&narrow, &q, sizeof narrow);
    Rate rate;
    Record record = {.seen = 1u << RAW_PROBABILITY};
    record.raw[RAW_PROBABILITY] = bits;
    cr_assert(sampling_of_record(&record, &rate));
    cr_assert_eq(rate_n(&rate), 1000);
    record.raw[RAW_PROBABILITY] = narrow;
    cr_assert(sampling_of_record(&record, &rate));
    cr_assert_eq(rate_n(&rate), 100);
    record.raw[RAW_PROBABILITY] = 0;
    cr_assert_not(sampling_of_record(&record, &rate));
}

Test(sampling, entries_are_bounded_and_the_oldest_goes)
{
    Sampling sampling = {0};
    for (guint i = 0; i < 10 * SAMPLING_MAX; i++) {
        Record record = options_record(RAW_INTERVAL, i + 1, RAW_SELECTOR, i);
        cr_assert(sampling_learn(&sampling, &record, i));
    }
    cr_assert_eq(sampling.n, SAMPLING_MAX);
    Record record = {.seen = 1u << RAW_SELECTOR};
    record.raw[RAW_SELECTOR] = 10 * SAMPLING_MAX - 1;
    Rate rate;
    cr_assert(sampling_find(&sampling, &record, &rate));
    cr_assert_eq(rate_n(&rate), 10 * SAMPLING_MAX);
    sampling_clear(&sampling);
}
