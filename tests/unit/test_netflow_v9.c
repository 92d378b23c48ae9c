/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "export_builder.h"

Test(netflow_v9, decodes_records_by_their_template)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 5, .uptime_ms = 60000);
    export_template(&e, 260, F(8, 4), F(12, 4), F(22, 4), F(21, 4), F(1, 4), F(2, 4), F(7, 2),
                    F(11, 2), F(4, 1), F(6, 1));
    export_data(&e, 260);
    export_u32(&e, 0xc6120001);
    export_u32(&e, 0xcb007105);
    export_u32(&e, 50000);
    export_u32(&e, 55000);
    export_u32(&e, 1500);
    export_u32(&e, 10);
    export_u16(&e, 40000);
    export_u16(&e, 25);
    export_u8(&e, 6);
    export_u8(&e, 2);
    bench_take(&bench, &e);
    const PstFlow *flow = bench_only(&bench);
    cr_assert_not_null(flow);
    cr_assert_eq(flow->type, PST_FLOW_NETFLOW_V9);
    cr_assert_eq(flow->domain, 5);
    cr_assert_eq(flow->bytes, 1500);
    cr_assert_eq(flow->packets, 10);
    cr_assert_eq(flow->tcp_flags, 2);
    cr_assert_eq(flow->start_ns, EXPORT_S * NS_PER_S - 10 * NS_PER_S);
    cr_assert_eq(flow->end_ns, EXPORT_S * NS_PER_S - 5 * NS_PER_S);
}

/* Types from 32768 on are a vendor's, not the enterprise bit of IPFIX: no number follows. */
Test(netflow_v9, vendor_types_take_four_bytes_in_a_template)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 1);
    export_set(&e, 0);
    export_u16(&e, 263);
    export_u16(&e, 3);
    export_u16(&e, 33000); /* ACL id: skipped */
    export_u16(&e, 12);
    export_u16(&e, 40005); /* firewall event of ASA 8.x */
    export_u16(&e, 1);
    export_u16(&e, 11);
    export_u16(&e, 2);
    export_data(&e, 263);
    export_zeros(&e, 12);
    export_u8(&e, 2);
    export_u16(&e, 587);
    bench_take(&bench, &e);
    const PstFlow *flow = bench_only(&bench);
    cr_assert_not_null(flow);
    cr_assert_eq(flow->fw_event, 2);
    cr_assert_eq(flow->dst_port, 587);
}

/* H3C sends variable length in v9, too. */
Test(netflow_v9, variable_length_is_read_as_in_ipfix)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 1);
    export_template(&e, 3281, F(8, 4), F(82, FIELD_VARIABLE), F(11, 2));
    export_data(&e, 3281);
    for (guint i = 0; i < 2; i++) {
        export_u32(&e, 0xc6120001 + i);
        export_u8(&e, 3);
        export_text(&e, "ge0");
        export_u16(&e, (guint16)(25 + i));
    }
    bench_take(&bench, &e);
    cr_assert_eq(bench.flows->len, 2);
    cr_assert_eq(bench_flow_at(&bench, 1)->dst_port, 26);
}

Test(netflow_v9, options_template_of_scope_length_zero_is_taken)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 1);
    export_options(&e, 256, 0, F(34, 4), F(35, 1));
    export_data(&e, 256);
    export_u32(&e, 512);
    export_u8(&e, 1);
    bench_take(&bench, &e);
    cr_assert_eq(decoder_counts(bench.decoder)->options, 1);
    cr_assert_eq(bench_domain(&bench, 1)->sampling.n, 1);
}

Test(netflow_v9, template_cut_short_loses_only_itself)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_v9(.domain = 1);
    export_template(&e, 256, F(11, 2));
    export_set(&e, 0);
    export_u16(&e, 257);
    export_u16(&e, 20);
    export_u32(&e, 0x00080004);
    export_data(&e, 256);
    export_u16(&e, 25);
    bench_take(&bench, &e);
    cr_assert_eq(bench_dropped(&bench, DROP_TEMPLATE_SHORT), 1);
    cr_assert_eq(bench.flows->len, 1);
}

Test(netflow_v9, glued_messages_are_decoded_in_turn)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    GByteArray *all = g_byte_array_new();
    for (guint32 domain = 1; domain <= 3; domain++) {
        Export e = export_v9(.domain = domain);
        export_template(&e, 256, F(11, 2), F(7, 2));
        export_data(&e, 256);
        export_u32(&e, domain);
        export_end(&e);
        g_byte_array_append(all, e.bytes->data, e.bytes->len);
        g_byte_array_unref(e.bytes);
    }
    bench_bytes(&bench, all->data, all->len);
    g_byte_array_unref(all);
    cr_assert_eq(bench.flows->len, 3);
    for (guint i = 0; i < 3; i++) {
        cr_assert_eq(bench_flow_at(&bench, i)->domain, i + 1);
        cr_assert_eq(bench_flow_at(&bench, i)->src_port, i + 1);
    }
}
