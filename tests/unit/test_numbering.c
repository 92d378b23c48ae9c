/* SPDX-License-Identifier: Apache-2.0 */
/* How exporters number their messages, other than the protocols say: nothing is lost by that. */
#include <criterion/criterion.h>

#include "export_builder.h"

static void take_flows(Bench *bench, guint16 version, guint32 sequence, guint n)
{
    Export e = version == VERSION_V9 ? export_v9(.domain = 0, .sequence = sequence)
                                     : export_ipfix(.domain = 0, .sequence = sequence);
    export_data(&e, 256);
    while (n-- > 0)
        export_u32(&e, SRC);
    bench_take(bench, &e);
    bench->now_ns += 2 * NS_PER_S;
    guint64 none = 0;
    ledger_settle(bench_domain(bench, 0)->ledger, bench->now_ns, &none);
}

static void expect_nothing_lost(Bench *bench)
{
    const Ledger *ledger = bench_domain(bench, 0)->ledger;
    for (guint i = 0; i < PST_LOSS_COUNT; i++)
        cr_assert_eq(ledger->lost[i], 0, "%s", pst_loss_name((PstLoss)i));
    cr_assert_eq(ledger->duplicates, 0);
    cr_assert_eq(ledger->restarts, 0);
}

/* pfSense's softflowd does not count options data; others, by the book, do. */
Test(softflowd, that_does_not_count_options_data_loses_nothing)
{
    for (guint counted = 0; counted < 2; counted++) {
        g_auto(Bench) bench;
        bench_init(&bench, FALSE);
        guint32 sequence = 1000;
        Export e = export_ipfix(.domain = 0, .sequence = sequence);
        export_template(&e, 256, F(8, 4));
        export_options(&e, 300, 1, F(144, 4), F(34, 4));
        bench_take(&bench, &e);
        for (guint round = 0; round < 20; round++) {
            take_flows(&bench, VERSION_IPFIX, sequence, 10);
            sequence += 10;
            if (round % 4 != 0)
                continue;
            e = export_ipfix(.domain = 0, .sequence = sequence);
            export_data(&e, 300);
            for (guint i = 0; i < 3; i++)
                export_u64(&e, (guint64)i << 32 | 100);
            bench_take(&bench, &e);
            sequence += counted ? 3 : 0;
        }
        expect_nothing_lost(&bench);
        take_flows(&bench, VERSION_IPFIX, sequence + 7, 10); /* and what is lost is seen */
        take_flows(&bench, VERSION_IPFIX, sequence + 17, 10);
        cr_assert_eq(bench_domain(&bench, 0)->ledger->lost[PST_LOSS_NETWORK], 7);
    }
}

Test(exporter, whose_ports_share_a_numbering_loses_nothing)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    guint32 sequence = 1000;
    for (guint round = 0; round < 60; round++) {
        if (round % 20 == 0) {
            bench.port = 50001;
            Export e = export_v9(.domain = 0, .sequence = sequence++);
            export_template(&e, 256, F(8, 4));
            bench_take(&bench, &e);
        }
        bench.port = 50002;
        take_flows(&bench, VERSION_V9, sequence++, 10);
    }
    expect_nothing_lost(&bench);
}

/* Two processes behind one address: numberings that meet by chance are still two. */
Test(exporter, whose_ports_have_numberings_of_their_own_is_not_confused)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 0, .sequence = 99);
    export_template(&e, 256, F(8, 4));
    bench.port = 50001;
    bench_take(&bench, &e);
    for (guint32 round = 0; round < 20; round++) {
        bench.port = 50002; /* begins with what 50001 is expected to go on with */
        take_flows(&bench, VERSION_V9, 100 + round, 10);
        bench.port = 50001;
        take_flows(&bench, VERSION_V9, 100 + round, 10);
    }
    const Ledger *ledger = bench_domain(&bench, 0)->ledger;
    cr_assert_eq(ledger->lost[PST_LOSS_NETWORK], 0);
    cr_assert_leq(ledger->duplicates, 1);
}
