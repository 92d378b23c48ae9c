/* SPDX-License-Identifier: Apache-2.0 */
/* Records that carry a packet's first bytes instead of fields made of them. */
#include <criterion/criterion.h>

#include "export_builder.h"

static void put_ethernet(Export *e, guint16 etype)
{
    export_zeros(e, 12);
    export_u16(e, etype);
}

static void put_ipv4_tcp(Export *e)
{
    export_u16(e, 0x4500);
    export_u16(e, 1460); /* total length */
    export_u32(e, 0x00014000);
    export_u8(e, 60);
    export_u8(e, 6);
    export_u16(e, 0);
    export_u32(e, SRC);
    export_u32(e, DST);
    export_u16(e, 40000);
    export_u16(e, 25);
    export_u64(e, 0);
    export_u16(e, 0x5018); /* header length, PSH and ACK */
    export_zeros(e, 6);
}

static void expect_packet(const PstFlow *flow)
{
    cr_assert_not_null(flow);
    cr_assert_eq(flow->src_addr.family, PST_AF_INET);
    cr_assert_eq(flow->src_addr.bytes[0], 198);
    cr_assert_eq(flow->dst_addr.bytes[0], 203);
    cr_assert_eq(flow->src_port, 40000);
    cr_assert_eq(flow->dst_port, 25);
    cr_assert_eq(flow->proto, 6);
    cr_assert_eq(flow->tcp_flags, 0x18);
    cr_assert_eq(flow->packets, 1);
    cr_assert_eq(flow->bytes, 1460);
    cr_assert_eq(flow->ip_ttl, 60);
}

/* Inline monitoring, IPFIX 315: the record holds the packet's first bytes and nothing of the kind.
 * Also where only mail is wanted: no field says that it is mail. */
Test(packet_section, of_junipers_inline_monitoring_is_read_from_the_packet)
{
    static const guint16 links[] = {0x0800, 0x8100, 0x8847, 0x8864};
    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        g_auto(Bench) bench;
        bench_init(&bench, TRUE);
        Export e = export_ipfix(.domain = 0);
        export_template(&e, 256, F(10, 4), F(312, 2), F(315, FIELD_VARIABLE));
        export_data(&e, 256);
        export_u32(&e, 17);
        export_u16(&e, 1474);
        gsize len_at = e.bytes->len;
        export_u8(&e, 0);
        put_ethernet(&e, links[i]);
        if (links[i] == 0x8100) {
            export_u16(&e, 0x2064); /* VLAN 100 */
            export_u16(&e, 0x0800);
        } else if (links[i] == 0x8847) {
            export_u32(&e, 0x00010040);
            export_u32(&e, 0x00020140); /* bottom of the stack */
        } else if (links[i] == 0x8864) {
            export_u32(&e, 0x11000001);
            export_u32(&e, 0x05b60021);
        }
        put_ipv4_tcp(&e);
        e.bytes->data[len_at] = (guint8)(e.bytes->len - len_at - 1);
        bench_take(&bench, &e);
        expect_packet(bench_only(&bench));
        cr_assert_eq(bench_only(&bench)->in_if, 17);
        if (links[i] == 0x8100)
            cr_assert_eq(bench_only(&bench)->vlan_id, 100);
    }
}

Test(packet_section, of_fixed_length_from_the_ip_header_is_read)
{
    g_auto(Bench) bench;
    bench_init(&bench, FALSE);
    Export e = export_ipfix(.domain = 0);
    export_template(&e, 256, F(313, 44), F(10, 4));
    export_data(&e, 256);
    put_ipv4_tcp(&e);
    export_zeros(&e, 4);
    export_u32(&e, 17);
    bench_take(&bench, &e);
    expect_packet(bench_only(&bench));
}

/* Whatever is cut off or makes no sense: a flow that says what could be read, and no more. */
Test(packet_section, cut_anywhere_breaks_nothing)
{
    g_autoptr(GByteArray) packet = NULL;
    Export made = {.bytes = g_byte_array_new()};
    put_ethernet(&made, 0x86dd);
    export_u32(&made, 0x60000000);
    export_u16(&made, 28);
    export_u16(&made, 0x0040); /* hop-by-hop options, then TCP */
    export_zeros(&made, 32);
    export_u64(&made, 0x0600000000000000);
    export_u16(&made, 40000);
    export_u16(&made, 25);
    export_zeros(&made, 16);
    packet = made.bytes;
    for (guint cut = 0; cut <= packet->len; cut++) {
        g_auto(Bench) bench;
        bench_init(&bench, FALSE);
        Export e = export_ipfix(.domain = 0);
        export_template(&e, 256, F(315, FIELD_VARIABLE), F(10, 4));
        export_data(&e, 256);
        export_u8(&e, (guint8)cut);
        g_byte_array_append(e.bytes, packet->data, cut);
        export_u32(&e, 17);
        bench_take(&bench, &e);
        const PstFlow *flow = bench_only(&bench);
        cr_assert_not_null(flow);
        if (cut == packet->len)
            cr_assert_eq(flow->dst_port, 25);
        else if (cut < 14 + 40)
            cr_assert_eq(flow->has & PST_HAS_PROTO, 0);
    }
}
