/* SPDX-License-Identifier: Apache-2.0 */
/* Transport sessions that begin and end: TCP connections and files. */
#include <criterion/criterion.h>

#include "export_builder.h"

/* Ends, decodes and frees @e as a message of session @id. */
static void take(Bench *bench, guint32 id, Export *e)
{
    export_end(e);
    PstCursor payload = pst_cursor(e->bytes->data, e->bytes->len);
    Message message;
    Drop drop;
    cr_assert_eq(datagram_next(&payload, &message), DROP_NONE);
    Domain *domain = bench_domain(bench, message.domain);
    Stream *stream = domain_stream(domain, id, &drop);
    cr_assert_not_null(stream);
    decoder_stream_message(bench->decoder, domain, stream, &message, bench->port, bench->now_ns);
    g_clear_pointer(&e->bytes, g_byte_array_unref);
}

static void end_stream(Bench *bench, guint32 id)
{
    Drop drop;
    Domain *domain = bench_domain(bench, 0);
    decoder_expire_stream(bench->decoder, domain, domain_stream(domain, id, &drop), G_MAXINT64);
    domain_end_stream(bench->exporters, domain, id);
}

/* Source and destination, the other way round if @swapped. */
static void tell(Bench *bench, guint32 id, gboolean swapped)
{
    Export e = export_ipfix(.domain = 0);
    if (swapped)
        export_template(&e, 256, F(12, 4), F(8, 4));
    else
        export_template(&e, 256, F(8, 4), F(12, 4));
    take(bench, id, &e);
}

static void send_flow(Bench *bench, guint32 id)
{
    Export e = export_ipfix(.domain = 0);
    export_data(&e, 256);
    export_u32(&e, 0x0a000001);
    export_u32(&e, 0x0a000002);
    take(bench, id, &e);
}

static guint last_source(const Bench *bench)
{
    return bench_flow_at(bench, bench->flows->len - 1)->src_addr.bytes[3];
}

Test(stream, sessions_of_one_exporter_have_templates_of_their_own)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    for (guint id = 1; id <= 8; id++) /* more than there are ports in a template table */
        tell(&bench, id, id % 2 == 0);
    for (guint id = 1; id <= 8; id++) {
        send_flow(&bench, id);
        cr_assert_eq(last_source(&bench), id % 2 == 0 ? 2 : 1, "session %u", id);
    }
    cr_assert_eq(bench.flows->len, 8);
}

Test(stream, a_session_does_not_borrow_templates_of_another)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    tell(&bench, 1, FALSE);
    send_flow(&bench, 2);
    cr_assert_eq(bench.flows->len, 0);
    tell(&bench, 2, TRUE);
    cr_assert_eq(bench.flows->len, 1, "it was held");
    cr_assert_eq(last_source(&bench), 2);
}

Test(stream, a_withdrawal_counts_in_its_session_only)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    tell(&bench, 1, FALSE);
    tell(&bench, 2, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_set(&e, 2);
    export_u16(&e, 256);
    export_u16(&e, 0);
    take(&bench, 1, &e);
    send_flow(&bench, 1);
    cr_assert_eq(bench.flows->len, 0);
    send_flow(&bench, 2);
    cr_assert_eq(bench.flows->len, 1);
    tell(&bench, 1, TRUE);
    cr_assert_eq(bench.flows->len, 2);
    cr_assert_eq(last_source(&bench), 2);
}

Test(stream, what_waited_for_its_template_is_counted_when_the_session_ends)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    send_flow(&bench, 1);
    cr_assert_gt(exporters_budget(bench.exporters)->bytes, 0);
    end_stream(&bench, 1);
    cr_assert_eq(exporters_budget(bench.exporters)->bytes, 0);
    cr_assert_eq(bench_dropped(&bench, DROP_NO_TEMPLATE), 1);
    cr_assert_gt(bench_domain(&bench, 0)->ledger->lost[PST_LOSS_NO_TEMPLATE], 0);
    tell(&bench, 1, FALSE); /* a new session of the same number begins with nothing */
    cr_assert_eq(bench.flows->len, 0);
}

Test(stream, sampling_is_the_exporters_and_outlives_a_session)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_options(&e, 300, 1, F(149, 4), F(34, 4));
    export_data(&e, 300);
    export_u32(&e, 0);
    export_u32(&e, 500);
    take(&bench, 1, &e);
    end_stream(&bench, 1);
    tell(&bench, 2, FALSE);
    send_flow(&bench, 2);
    cr_assert_eq(bench_only(&bench)->sampling_rate, 500);
}

Test(stream, an_exporter_with_a_session_is_not_forgotten)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    tell(&bench, 1, FALSE);
    send_flow(&bench, 1);
    gint64 later_ns = bench.now_ns + 2 * EXPORTER_IDLE_S * NS_PER_S;
    cr_assert_eq(exporters_expire(bench.exporters, later_ns), 0);
    send_flow(&bench, 1);
    cr_assert_eq(bench.flows->len, 2);
    end_stream(&bench, 1);
    cr_assert_eq(exporters_expire(bench.exporters, later_ns), 1);
}

Test(stream, sessions_of_an_exporter_are_bounded)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Domain *domain = bench_domain(&bench, 0);
    Drop drop = DROP_NONE;
    for (guint id = 1; id <= EXPORTER_STREAMS_MAX; id++)
        cr_assert_not_null(domain_stream(domain, id, &drop));
    cr_assert_null(domain_stream(domain, EXPORTER_STREAMS_MAX + 1, &drop));
    cr_assert_eq(drop, DROP_EXPORTERS_BOUND);
    domain_end_stream(bench.exporters, domain, 7);
    cr_assert_not_null(domain_stream(domain, EXPORTER_STREAMS_MAX + 1, &drop));
}
