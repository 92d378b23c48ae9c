/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <criterion/criterion.h>

#include "engine_maker.h"

static PstFlow out_flow(void)
{
    Told told = {.at = 0, .to = server(1), .client_port = 40000};
    return flow_told(&told);
}

static PstFlow reply_flow(void)
{
    Told told = {.at = 0, .to = server(1), .client_port = 40000, .reply = TRUE};
    return flow_told(&told);
}

Test(session, is_the_same_told_from_either_side)
{
    Session a, b;
    PstFlow out = out_flow(), reply = reply_flow();
    cr_assert_eq(session_of(&out, &a), ENGINE_NEW);
    cr_assert_eq(session_of(&reply, &b), ENGINE_NEW);
    cr_assert(pst_addr_equal(&a.client, &b.client));
    cr_assert(pst_addr_equal(&a.server, &b.server));
    cr_assert_eq(a.client_port, b.client_port);
    cr_assert_eq(a.port, 25);
    cr_assert_eq(b.port, 25);
}

Test(session, inside_our_networks_belongs_to_the_client_side)
{
    Session session;
    PstFlow flow = out_flow();
    flow.direction = PST_DIR_INSIDE;
    cr_assert_eq(session_of(&flow, &session), ENGINE_NEW);
    cr_assert(pst_addr_equal(&session.client, &flow.src_addr));
    flow = reply_flow();
    flow.direction = PST_DIR_INSIDE_REPLY;
    cr_assert_eq(session_of(&flow, &session), ENGINE_NEW);
    cr_assert(pst_addr_equal(&session.client, &flow.dst_addr));
}

Test(session, inbound_transit_and_unknown_are_not_ours)
{
    static const PstDirection none[] = {PST_DIR_UNKNOWN, PST_DIR_IN, PST_DIR_IN_REPLY,
                                        PST_DIR_TRANSIT};
    Session session;
    PstFlow flow = out_flow();
    for (guint i = 0; i < G_N_ELEMENTS(none); i++) {
        flow.direction = (guint8)none[i];
        cr_assert_eq(session_of(&flow, &session), ENGINE_NOT_CLIENT);
    }
    flow.direction = 200;
    cr_assert_eq(session_of(&flow, &session), ENGINE_NOT_CLIENT);
}

Test(session, needs_a_mail_port_and_tcp)
{
    static const struct {
        guint16 port;
        EngineFate fate;
        PstPortPair pair;
    } rows[] = {
        {25, ENGINE_NEW, PST_PAIR_SMTP},
        {465, ENGINE_NEW, PST_PAIR_SUBMISSION},
        {587, ENGINE_NEW, PST_PAIR_SUBMISSION},
        {2525, ENGINE_NEW, PST_PAIR_SUBMISSION},
        {24, ENGINE_NOT_MAIL, 0},
        {443, ENGINE_NOT_MAIL, 0},
        {0, ENGINE_NOT_MAIL, 0},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Session session;
        PstFlow flow = out_flow();
        flow.dst_port = rows[i].port;
        cr_assert_eq(session_of(&flow, &session), rows[i].fate, "port %u", rows[i].port);
        if (rows[i].fate == ENGINE_NEW)
            cr_assert_eq(session.pair, rows[i].pair);
        flow.proto = 17;
        cr_assert_eq(session_of(&flow, &session), ENGINE_NOT_MAIL);
        flow.has &= ~(guint32)PST_HAS_PROTO;
        cr_assert_eq(session_of(&flow, &session), rows[i].fate, "protocol not told");
    }
}

Test(session, scan_from_a_mail_port_is_not_an_answer)
{
    Session session;
    PstFlow flow = reply_flow();
    flow.tcp_flags = 0x02;
    cr_assert_eq(session_of(&flow, &session), ENGINE_NOT_MAIL);
    flow.tcp_flags = 0x12;
    cr_assert_eq(session_of(&flow, &session), ENGINE_NEW);
}

Test(session, failed_opening_is_seen_at_one_to_one_only)
{
    Session session;
    PstFlow flow = out_flow();
    session_of(&flow, &session);
    cr_assert_not(session.failed, "answered");
    flow.tcp_flags = 0x02;
    session_of(&flow, &session);
    cr_assert(session.failed, "a SYN and no more");
    flow.sampling_rate = 2;
    session_of(&flow, &session);
    cr_assert_not(session.failed, "samples cannot tell");
    flow.sampling_rate = 1;
    flow.has &= ~(guint32)PST_HAS_TCP_FLAGS;
    session_of(&flow, &session);
    cr_assert_not(session.failed, "no flags");
    flow = reply_flow();
    flow.tcp_flags = 0x14;
    session_of(&flow, &session);
    cr_assert(session.failed, "refused by a reset");
    flow.tcp_flags = 0x1e;
    session_of(&flow, &session);
    cr_assert_not(session.failed, "a session that ended with a reset");
}

/* RFC 5103 lets an exporter begin a record of both directions with either side. */
Test(session, of_both_directions_in_one_record_is_the_same_whichever_comes_first)
{
    static const struct {
        guint16 client, server;
        guint64 answered;
        gboolean failed;
    } cases[] = {
        {0x1b, 0x1b, 9, FALSE}, {0x02, 0x14, 1, TRUE}, {0x02, 0, 0, TRUE}, {0x1e, 0x1e, 3, FALSE}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Session forward, backward;
        PstFlow out = out_flow(), reply = reply_flow();
        out.has |= PST_HAS_REVERSE;
        reply.has |= PST_HAS_REVERSE;
        out.packets = reply.reverse_packets = 10;
        out.reverse_packets = reply.packets = cases[i].answered;
        out.tcp_flags = reply.reverse_tcp_flags = cases[i].client;
        out.reverse_tcp_flags = reply.tcp_flags = cases[i].server;
        cr_assert_eq(session_of(&out, &forward), ENGINE_NEW);
        cr_assert_eq(session_of(&reply, &backward), ENGINE_NEW);
        cr_assert_eq(forward.failed, cases[i].failed, "case %zu", i);
        cr_assert_eq(backward.failed, cases[i].failed, "case %zu", i);
        cr_assert(pst_addr_equal(&forward.client, &backward.client));
        cr_assert_eq(forward.port, backward.port);
    }
}
