/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "direction.h"
#include "flow_builder.h"

#define OURS    "192.0.2.1"
#define OURS_2  "192.0.2.2"
#define FOREIGN "203.0.113.5"
#define OTHER   "198.51.100.7"

static PstDirection of(const char *src, guint16 src_port, const char *dst, guint16 dst_port,
                       guint16 flags)
{
    g_autoptr(PstPrefixMap) networks = pst_networks_load("192.0.2.0/24", NULL);
    PstFlow flow = test_flow(src, dst, dst_port, 1);
    flow.src_port = src_port;
    flow.tcp_flags = flags;
    return direction_of(&flow, networks);
}

Test(direction, follows_the_client)
{
    cr_assert_eq(of(OURS, 40000, FOREIGN, 25, 0x1b), PST_DIR_OUT);
    cr_assert_eq(of(FOREIGN, 25, OURS, 40000, 0x1b), PST_DIR_OUT_REPLY);
    cr_assert_eq(of(FOREIGN, 40000, OURS, 25, 0x1b), PST_DIR_IN);
    cr_assert_eq(of(OURS, 25, FOREIGN, 40000, 0x1b), PST_DIR_IN_REPLY);
    cr_assert_eq(of(OURS, 40000, OURS_2, 587, 0x1b), PST_DIR_INSIDE);
    cr_assert_eq(of(OURS, 465, OURS_2, 40000, 0x1b), PST_DIR_INSIDE_REPLY);
    cr_assert_eq(of(FOREIGN, 40000, OTHER, 25, 0x1b), PST_DIR_TRANSIT);
}

Test(direction, with_mail_ports_on_both_sides_a_syn_tells)
{
    cr_assert_eq(of(OURS, 25, FOREIGN, 25, 0x02), PST_DIR_OUT);
    cr_assert_eq(of(OURS, 25, FOREIGN, 25, 0x12), PST_DIR_UNKNOWN);
    cr_assert_eq(of(OURS, 25, FOREIGN, 25, 0x1b), PST_DIR_UNKNOWN);
}

Test(direction, with_mail_ports_on_both_sides_the_exporter_may_know_who_began)
{
    static const struct {
        guint8 told;
        PstDirection plain, syn;
    } cases[] = {{0, PST_DIR_UNKNOWN, PST_DIR_OUT},
                 {1, PST_DIR_OUT, PST_DIR_OUT},
                 {2, PST_DIR_IN_REPLY, PST_DIR_OUT},
                 {3, PST_DIR_UNKNOWN, PST_DIR_OUT}};
    g_autoptr(PstPrefixMap) networks = pst_networks_load("192.0.2.0/24", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        PstFlow flow = test_flow(OURS, FOREIGN, 25, 1);
        flow.src_port = 25;
        flow.has |= PST_HAS_RARE;
        flow.rare.biflow_direction = cases[i].told;
        flow.tcp_flags = 0x1b;
        cr_assert_eq(direction_of(&flow, networks), cases[i].plain, "case %zu", i);
        flow.tcp_flags = 0x02;
        cr_assert_eq(direction_of(&flow, networks), cases[i].syn, "case %zu", i);
        flow.src_port = 40000;
        flow.tcp_flags = 0x1b;
        cr_assert_eq(direction_of(&flow, networks), PST_DIR_OUT, "ports are surer");
    }
}

Test(direction, of_other_traffic_is_unknown)
{
    cr_assert_eq(of(OURS, 40000, FOREIGN, 443, 0x1b), PST_DIR_UNKNOWN);
    g_autoptr(PstPrefixMap) networks = pst_networks_load("192.0.2.0/24", NULL);
    PstFlow udp = test_flow(OURS, FOREIGN, 25, 1);
    udp.proto = 17;
    cr_assert_eq(direction_of(&udp, networks), PST_DIR_UNKNOWN);
}
