/* SPDX-License-Identifier: Apache-2.0 */
/* What few exporters tell: both sides of a NAT, proxies, labels, numbers of connections. */
#include <criterion/criterion.h>

#include "codec.h"
#include "export_builder.h"
#include "flow_builder.h"

/* One record of the five-tuple and @fields, whose bytes are @values. */
static const PstFlow *read_one(Bench *bench, const Field *fields, gsize n, const guint8 *values,
                               gsize len)
{
    Field all[32] = {FIVE_TUPLE};
    memcpy(all + 5, fields, n * sizeof *fields);
    Export e = export_ipfix(.domain = 0);
    export_template_of(&e, 256, all, n + 5);
    export_data(&e, 256);
    export_five_tuple(&e, 25);
    g_byte_array_append(e.bytes, values, (guint)len);
    bench_take(bench, &e);
    return bench_only(bench);
}

static void assert_addr(const PstAddr *addr, const char *text)
{
    char found[PST_ADDR_TEXT_MAX];
    cr_assert_str_eq(pst_addr_format(addr, found), text);
}

static char *json_of(const PstFlow *flow)
{
    GString *out = g_string_new(NULL);
    pst_codec_flow_json(flow, out);
    return g_string_free(out, FALSE);
}

/* ---- fields ---- */

Test(rare, fields_are_read_and_printed)
{
    static const Field fields[] = {F(31, 4),  F(60, 1),  F(61, 1),  F(70, 3), F(130, 4),
                                   F(148, 8), F(184, 4), F(239, 1), F(230, 1)};
    static const guint8 values[] = {0, 1, 2, 3, 4, 1, 0x12, 0x34, 0x51, 192, 0, 2, 77, 0,
                                    0, 0, 0, 0, 0, 1, 0,    0,    0,    0,   0, 1, 4};
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    const PstFlow *flow = read_one(&bench, fields, G_N_ELEMENTS(fields), values, sizeof values);
    cr_assert_eq(flow->flow_label, 0x10203);
    cr_assert_eq(flow->flow_direction, 1);
    cr_assert_eq(flow->rare.mpls_label, 0x12345);
    cr_assert_eq(flow->rare.flow_id, 256);
    cr_assert_eq(flow->rare.tcp_sequence, 0);
    g_autofree char *json = json_of(flow);
    static const char *const texts[] = {"\"ipv6_flow_label\":66051",
                                        "\"flow_direction\":1",
                                        "\"mpls_top_label\":74565",
                                        "\"told_exporter_address\":\"192.0.2.77\"",
                                        "\"flow_id\":256",
                                        "\"tcp_sequence_number\":0",
                                        "\"biflow_direction\":1",
                                        "\"nat_event\":4",
                                        "\"sampler_address\":\"192.0.2.1\""};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        cr_assert_not_null(strstr(json, texts[i]), "%s in %s", texts[i], json);
}

Test(rare, record_without_such_fields_is_not_longer_for_them)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    const PstFlow *flow = read_one(&bench, (const Field[]){{0}}, 0, (const guint8[]){0}, 0);
    cr_assert_eq(flow->has & PST_HAS_RARE, 0);
    PstFlow garbage = *flow;
    memset(&garbage.rare, 0xff, sizeof garbage.rare);
    guint8 out[PST_CODEC_FLOW_MAX], other[PST_CODEC_FLOW_MAX];
    gsize len = pst_codec_put_flow(out, flow);
    cr_assert_eq(pst_codec_put_flow(other, &garbage), len, "its bit alone lets them through");
    g_autofree char *json = json_of(flow);
    cr_assert_null(strstr(json, "nat_"));
    cr_assert_null(strstr(json, "told_"));
    cr_assert_null(strstr(json, "flow_direction"));
}

Test(rare, zeros_of_an_exporter_without_nat_say_nothing)
{
    static const Field fields[] = {F(225, 4), F(226, 4), F(227, 2), F(228, 2), F(130, 4)};
    static const guint8 values[16] = {0};
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    const PstFlow *flow = read_one(&bench, fields, G_N_ELEMENTS(fields), values, sizeof values);
    g_autofree char *json = json_of(flow);
    cr_assert_null(strstr(json, "nat_"), "%s", json);
    cr_assert_null(strstr(json, "told_"), "%s", json);
}

/* Open vSwitch, VMware: frames that are no IP have records, too. */
Test(record_without_addresses, says_what_it_is_of_all_the_same)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(256, 2), F(60, 1), F(1, 4));
    export_data(&e, 256);
    export_u16(&e, 0x0806);
    export_u8(&e, 0);
    export_u32(&e, 60);
    export_u16(&e, 0);
    export_u8(&e, 6);
    export_u32(&e, 60);
    bench_take(&bench, &e);
    cr_assert_eq(bench_flow_at(&bench, 0)->etype, 0x0806);
    cr_assert_eq(bench_flow_at(&bench, 1)->etype, 0x86dd);
}

/* RFC 6728 and mediators: 403 names whom 130 passed on. */
Test(proxy, original_exporter_is_told_and_never_a_key)
{
    static const Field fields[] = {F(130, 4), F(403, 4)};
    static const guint8 values[] = {192, 0, 2, 77, 192, 0, 2, 78};
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    const PstFlow *flow = read_one(&bench, fields, 2, values, sizeof values);
    assert_addr(&flow->rare.told_exporter, "192.0.2.78");
    assert_addr(&flow->sampler, "192.0.2.1");
    cr_assert_eq(exporters_count(bench.exporters), 1);
}

Test(asa, tells_both_sides_of_its_nat_in_old_and_new_numbers)
{
    static const Field dialects[2][4] = {
        {F(225, 4), F(226, 4), F(227, 2), F(228, 2)},
        {F(40001, 4), F(40002, 4), F(40003, 2), F(40004, 2)},
    };
    for (guint i = 0; i < 2; i++) {
        g_auto(Bench) bench;
        bench_init(&bench, FALSE);
        Export e = export_v9(.domain = 0);
        const Field *nat = dialects[i];
        export_template(&e, 263, FIVE_TUPLE, nat[0], nat[1], nat[2], nat[3], F(148, 4), F(231, 4),
                        F(232, 4));
        export_data(&e, 263);
        export_five_tuple(&e, 25);
        export_u32(&e, 0xcb007263);
        export_u32(&e, DST);
        export_u16(&e, 1024);
        export_u16(&e, 25);
        export_u32(&e, 396833355);
        export_u32(&e, 69);
        export_u32(&e, 14178);
        bench_take(&bench, &e);
        const PstFlow *flow = bench_only(&bench);
        assert_addr(&flow->src_addr, "198.18.0.1");
        assert_addr(&flow->rare.nat_src_addr, "203.0.114.99");
        assert_addr(&flow->rare.nat_dst_addr, "203.0.113.5");
        cr_assert_eq(flow->rare.nat_src_port, 1024);
        cr_assert_eq(flow->rare.nat_dst_port, 25);
        cr_assert_eq(flow->rare.flow_id, 396833355);
        cr_assert_eq(flow->reverse_bytes, 14178);
    }
}

/* Its flags stand in enterprise elements: those of the first packet, and of all others. */
Test(yaf, flags_of_the_first_and_of_other_packets_are_joined)
{
    static const Field fields[] = {FE(6871, 14, 1), FE(6871, 15, 1), FE(6871, 16398, 1),
                                   FE(6871, 16399, 1)};
    static const guint8 values[] = {0x02, 0x19, 0x12, 0x11};
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    const PstFlow *flow = read_one(&bench, fields, 4, values, sizeof values);
    cr_assert_eq(flow->tcp_flags, 0x1b);
    cr_assert_eq(flow->reverse_tcp_flags, 0x13);
}

/* ipt_NETFLOW and other RFC 7014 selectors: one flow of ten stands for ten. */
Test(flow_sampling, is_a_rate_like_any)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_options(&e, 300, 1, F(144, 4), F(396, 4), F(397, 4));
    export_data(&e, 300);
    export_u32(&e, 1);
    export_u32(&e, 1);
    export_u32(&e, 9);
    export_template(&e, 256, FIVE_TUPLE);
    export_data(&e, 256);
    export_five_tuple(&e, 25);
    bench_take(&bench, &e);
    cr_assert_eq(bench_only(&bench)->sampling_rate, 10);
    cr_assert_eq(bench_only(&bench)->rate_source, PST_RATE_OPTIONS);
}

/* Catalyst 9000 and Extreme VSP, if told to: the Ethernet header is among the bytes. */
Test(catalyst, bytes_of_frames_stand_in_where_there_are_no_others)
{
    static const struct {
        Field fields[2];
        guint64 bytes;
    } cases[] = {
        {{F(352, 4), F(2, 4)}, 1500}, {{F(352, 4), F(1, 4)}, 1400}, {{F(353, 4), F(23, 4)}, 1400}};
    static const guint8 values[] = {0, 0, 1500 >> 8, 1500 & 0xff, 0, 0, 1400 >> 8, 1400 & 0xff};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(Bench) bench;
        bench_init(&bench, FALSE);
        const PstFlow *flow = read_one(&bench, cases[i].fields, 2, values, sizeof values);
        cr_assert_eq(flow->bytes, cases[i].bytes, "case %zu", i);
    }
}

/* ---- whose a flow through a NAT is ---- */

typedef struct {
    PstPrefixMap *networks;
    PortSet ports;
} Hoster;

static Hoster hoster_of(const char *network)
{
    Hoster hoster = {.networks = pst_prefix_map_new()};
    PstPrefix prefix;
    cr_assert(pst_prefix_parse(network, strlen(network), TRUE, &prefix));
    pst_prefix_map_add(hoster.networks, &prefix, 1);
    pst_prefix_map_seal(hoster.networks);
    portset_add(&hoster.ports, 25);
    return hoster;
}

/* Returns the customer's address; @flow is as it goes on. */
static char *customer_of(const char *network, PstFlow *flow)
{
    static char text[PST_ADDR_TEXT_MAX];
    Hoster hoster = hoster_of(network);
    gboolean ours;
    const PstAddr *customer = normalize_direction(flow, hoster.networks, &hoster.ports, &ours);
    pst_prefix_map_free(hoster.networks);
    return ours ? pst_addr_format(customer, text) : NULL;
}

static PstFlow through_nat(const char *src, const char *dst, const char *nat_src,
                           const char *nat_dst)
{
    PstFlow flow = test_flow(src, dst, 25, 0);
    flow.has |= PST_HAS_RARE;
    flow.rare.nat_src_addr = nat_src != NULL ? test_addr(nat_src) : (PstAddr){0};
    flow.rare.nat_dst_addr = nat_dst != NULL ? test_addr(nat_dst) : (PstAddr){0};
    flow.rare.nat_src_port = nat_src != NULL ? 1024 : 0;
    flow.rare.nat_dst_port = nat_dst != NULL ? 25 : 0;
    return flow;
}

Test(nat, customer_behind_our_address_is_that_address)
{
    PstFlow flow = through_nat("10.0.0.5", "203.0.113.5", "198.51.100.7", "203.0.113.5");
    cr_assert_str_eq(customer_of("198.51.100.0/24", &flow), "198.51.100.7");
    cr_assert_eq(flow.direction, PST_DIR_OUT);
    assert_addr(&flow.src_addr, "198.51.100.7");
    assert_addr(&flow.rare.nat_src_addr, "10.0.0.5");
    cr_assert_eq(flow.src_port, 1024);
    cr_assert_eq(flow.rare.nat_src_port, 40000);
    cr_assert_eq(flow.dst_port, 25);
}

Test(nat, answer_to_our_address_is_that_of_the_customer)
{
    PstFlow flow = through_nat("203.0.113.5", "10.0.0.5", NULL, "198.51.100.7");
    flow.src_port = 25;
    flow.dst_port = 40000;
    flow.rare.nat_dst_port = 1024;
    cr_assert_str_eq(customer_of("198.51.100.0/24", &flow), "198.51.100.7");
    cr_assert_eq(flow.direction, PST_DIR_OUT_REPLY);
    cr_assert_eq(flow.dst_port, 1024);
}

Test(nat, our_address_before_it_stays_where_it_is)
{
    PstFlow flow = through_nat("198.51.100.7", "203.0.113.5", "198.51.100.99", NULL);
    cr_assert_str_eq(customer_of("198.51.100.0/24", &flow), "198.51.100.7");
    assert_addr(&flow.rare.nat_src_addr, "198.51.100.99");
    flow = through_nat("198.51.100.7", "203.0.113.5", "192.0.2.9", NULL);
    cr_assert_str_eq(customer_of("198.51.100.0/24", &flow), "198.51.100.7");
    cr_assert_eq(flow.src_port, 40000);
}

Test(nat, of_others_is_nobody_of_ours)
{
    PstFlow flow = through_nat("10.0.0.5", "203.0.113.5", "192.0.2.9", "203.0.113.5");
    cr_assert_null(customer_of("198.51.100.0/24", &flow));
    cr_assert_eq(flow.direction, PST_DIR_TRANSIT);
    assert_addr(&flow.src_addr, "10.0.0.5");
}

/* The hoster knows the inner addresses, the stranger talks to the outer one. */
Test(nat, server_behind_a_forwarded_port_is_ours)
{
    PstFlow flow = through_nat("203.0.113.5", "192.0.2.9", NULL, "10.0.0.5");
    flow.rare.nat_dst_port = 2525;
    cr_assert_str_eq(customer_of("10.0.0.0/8", &flow), "10.0.0.5");
    cr_assert_eq(flow.direction, PST_DIR_IN);
    cr_assert_eq(flow.dst_port, 25, "the port by which it is mail");
    cr_assert_eq(flow.rare.nat_dst_port, 2525);
}

Test(nat, from_ipv6_to_ipv4_takes_both_ends_along)
{
    PstFlow flow = through_nat("2001:db8::5", "64:ff9b::cb00:7105", "198.51.100.7", "203.0.113.5");
    flow.etype = 0x86dd;
    cr_assert_str_eq(customer_of("198.51.100.0/24", &flow), "198.51.100.7");
    assert_addr(&flow.dst_addr, "203.0.113.5");
    assert_addr(&flow.rare.nat_dst_addr, "64:ff9b::cb00:7105");
    cr_assert_eq(flow.etype, 0x0800);
}

Test(biflow, exporter_knows_who_began_where_both_sides_are_on_mail_ports)
{
    static const struct {
        guint8 told;
        PstDirection direction;
    } cases[] = {
        {0, PST_DIR_UNKNOWN}, {1, PST_DIR_OUT}, {2, PST_DIR_IN_REPLY}, {3, PST_DIR_UNKNOWN}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        PstFlow flow = test_flow("198.51.100.7", "203.0.113.5", 25, 0);
        flow.src_port = 25;
        flow.has |= PST_HAS_RARE;
        flow.rare.biflow_direction = cases[i].told;
        cr_assert_not_null(customer_of("198.51.100.0/24", &flow));
        cr_assert_eq(flow.direction, cases[i].direction, "case %zu: %d", i, flow.direction);
    }
}
