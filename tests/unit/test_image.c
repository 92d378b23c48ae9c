/* SPDX-License-Identifier: Apache-2.0 */
/* What outlives the collector: a domain as bytes, and back. */
#include <criterion/criterion.h>

#include "export_builder.h"
#include "image.h"

static TemplateSpec spec; /* scratch: 8 KiB */

/* Two templates (v9 and IPFIX), two rates, an interface's name, the start of uptime. */
static void teach(Bench *bench)
{
    Export e = export_ipfix(.domain = 7, .sequence = 100);
    export_template(&e, 256, F(8, 4), FE(6876, 890, FIELD_VARIABLE), F(11, 2));
    export_options(&e, 300, 1, F(302, 8), F(305, 4), F(306, 4));
    export_data(&e, 300);
    export_u64(&e, 1);
    export_u32(&e, 1);
    export_u32(&e, 999);
    export_u64(&e, 2);
    export_u32(&e, 1);
    export_u32(&e, 99);
    export_options(&e, 301, 1, F(10, 4), F(82, 8), F(83, FIELD_VARIABLE), F(160, 8));
    export_data(&e, 301);
    export_u32(&e, 3);
    export_text(&e, "xe-0/0/1");
    export_u8(&e, 7);
    export_text(&e, "up\nlink");
    export_u64(&e, 1700000000000);
    bench_take(bench, &e);
    Export v9 = export_v9(.domain = 7, .sequence = 5);
    export_template(&v9, 400, F(8, 4), F(40005, 1));
    bench_take(bench, &v9);
}

static Domain *copy_of(Bench *to, Domain *domain, gint64 before_ns, ImageCounts *counts)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    image_memory(domain, bytes);
    image_sequences(domain, 0, bytes);
    Domain *copy = bench_domain(to, domain->id);
    image_restore(copy, bytes->data, bytes->len, before_ns, &spec, counts);
    return copy;
}

Test(image, brings_everything_back)
{
    g_auto(Bench) bench, next;
    bench_init(&bench, FALSE);
    bench_init(&next, FALSE);
    teach(&bench);
    ImageCounts counts = {0};
    Domain *copy = copy_of(&next, bench_domain(&bench, 7), 0, &counts);
    cr_assert_eq(counts.refused, 0);
    cr_assert_eq(counts.templates, 4);
    cr_assert_eq(copy->init_ms, 1700000000000);
    cr_assert_eq(copy->sampling.n, 2);
    const NotedInterface *interface = &g_array_index(copy->notes.interfaces, NotedInterface, 0);
    cr_assert_eq(interface->number, 3);
    cr_assert_str_eq(interface->name, "xe-0/0/1");
    cr_assert_str_eq(interface->description, "up?link");
    g_autoptr(GByteArray) first = g_byte_array_new();
    g_autoptr(GByteArray) second = g_byte_array_new();
    image_memory(bench_domain(&bench, 7), first);
    image_memory(copy, second);
    cr_assert_eq(first->len, second->len);
    cr_assert_arr_eq(first->data, second->data, first->len);
}

Test(image, old_templates_are_not_trusted)
{
    g_auto(Bench) bench, next;
    bench_init(&bench, FALSE);
    bench_init(&next, FALSE);
    teach(&bench);
    ImageCounts counts = {0};
    Domain *copy = copy_of(&next, bench_domain(&bench, 7), bench.now_ns + 1, &counts);
    cr_assert_eq(counts.old, 4);
    cr_assert_eq(templates_count(&copy->templates), 0);
    cr_assert_eq(copy->sampling.n, 2);
}

Test(image, gap_behind_a_restart_is_nobodys_but_ours)
{
    g_auto(Bench) bench, next;
    bench_init(&bench, FALSE);
    bench_init(&next, FALSE);
    teach(&bench); /* 3 records from 100 on */
    ImageCounts counts = {0};
    Domain *copy = copy_of(&next, bench_domain(&bench, 7), 0, &counts);
    next.now_ns += 10 * NS_PER_S;
    Export e = export_v9(.domain = 7, .sequence = 8);
    bench_take(&next, &e);
    guint64 none = 0;
    ledger_settle(copy->ledger, G_MAXINT64, &none);
    cr_assert_eq(copy->ledger->lost[PST_LOSS_DOWN], 2); /* datagrams 6 and 7, of a record each */
    const Ledger *before = bench_domain(&bench, 7)->ledger;
    cr_assert_eq(copy->ledger->id, before->id);
    cr_assert_eq(ledger_expected(copy->ledger), ledger_expected(before) + 2);
    cr_assert_eq(ledger_expected_datagrams(copy->ledger), ledger_expected_datagrams(before) + 3);
    cr_assert_eq(copy->ledger->lost[PST_LOSS_NETWORK], 0);
    e = export_v9(.domain = 7, .sequence = 10);
    bench_take(&next, &e);
    ledger_settle(copy->ledger, G_MAXINT64, &none);
    cr_assert_eq(copy->ledger->lost[PST_LOSS_DOWN], 2);
    cr_assert_eq(copy->ledger->lost[PST_LOSS_NETWORK], 1);
}

/* What comes from a file may be anything; the sanitizers look on. */
Test(image, of_any_bytes_breaks_nothing)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    teach(&bench);
    g_autoptr(GByteArray) good = g_byte_array_new();
    image_memory(bench_domain(&bench, 7), good);
    image_sequences(bench_domain(&bench, 7), 0, good);
    g_autoptr(GRand) rand = g_rand_new_with_seed(4);
    for (guint round = 0; round < 3000; round++) {
        g_auto(Bench) next;
        bench_init(&next, FALSE);
        gsize len = (gsize)g_rand_int_range(rand, 1, (gint32)good->len + 1);
        g_autofree guint8 *bytes = g_memdup2(good->data, len);
        for (gint32 n = g_rand_int_range(rand, 0, 6); n > 0; n--)
            bytes[g_rand_int_range(rand, 0, (gint32)len)] = (guint8)g_rand_int(rand);
        ImageCounts counts = {0};
        Domain *domain = bench_domain(&next, 7);
        image_restore(domain, bytes, len, 0, &spec, &counts);
        Export e = export_ipfix(.domain = 7, .sequence = 103);
        export_data(&e, 256);
        export_zeros(&e, 32);
        bench_take(&next, &e);
        cr_assert_leq(domain->sampling.n, SAMPLING_MAX);
    }
}

Test(image, is_bounded_by_the_domains_own_bounds)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Domain *domain = bench_domain(&bench, 7);
    for (guint32 i = 0; i < NOTES_INTERFACES_MAX + 9; i++) {
        NotedInterface interface = {.number = i, .name = "if"};
        cr_assert_eq(notes_put(&domain->notes, &interface), i < NOTES_INTERFACES_MAX);
    }
    cr_assert_eq(domain->notes.interfaces->len, NOTES_INTERFACES_MAX);
}
