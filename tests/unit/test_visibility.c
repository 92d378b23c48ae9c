/* SPDX-License-Identifier: Apache-2.0 */
/* What a sampled exporter lets us know of a session's length. Packets are drawn, seeds are fixed.
 */
#include "visibility.h"

#include <criterion/criterion.h>
#include <math.h>

#include "engine_maker.h"

static EngineConf conf;

static void make(void)
{
    engine_conf_init(&conf);
}

TestSuite(visibility, .init = make);

/* One session of @there packets from the client and @back from the server, sampled 1:@rate packet
 * by packet; each direction that is told becomes a record. */
static void session(Visibility *v, Dice *dice, guint64 rate, guint there, guint back)
{
    const guint packets[] = {there, back};
    for (guint reply = 0; reply < 2; reply++) {
        PstFlow flow = {.has = PST_HAS_TCP_FLAGS | PST_HAS_PACKETS, .sampling_rate = rate};
        for (guint i = 0; i < packets[reply]; i++)
            if (dice_unit(dice) * (double)rate < 1) {
                flow.packets++;
                flow.tcp_flags |= i == 0 ? (reply ? 0x12 : 0x02) : 0x18;
            }
        Session s = {.pair = PST_PAIR_SMTP, .reply = reply != 0};
        if (flow.packets > 0)
            visibility_tell(v, &conf, &flow, &s, TRUE);
    }
}

static double learned(guint64 rate, guint there, guint back, guint sessions)
{
    Visibility v = {0};
    Dice dice = {rate + there};
    visibility_rate(&v, &conf, rate);
    for (guint i = 0; i < sessions; i++)
        session(&v, &dice, rate, there, back);
    return visibility_packets(&v, &conf, PST_PAIR_SMTP);
}

Test(visibility, starts_from_what_is_configured)
{
    Visibility v = {0};
    visibility_rate(&v, &conf, 100);
    cr_assert_eq(visibility_packets(&v, &conf, PST_PAIR_SMTP), 14);
    cr_assert_float_eq(v.q[PST_PAIR_SMTP], 1 - pow(0.99, 14), 1e-12);
    cr_assert_float_eq(v.q[PST_PAIR_SUBMISSION], 1 - pow(0.99, 23), 1e-12);
    visibility_rate(&v, &conf, 1);
    cr_assert_eq(v.q[PST_PAIR_SMTP], 1);
    visibility_rate(&v, &conf, 0);
    cr_assert_eq(v.q[PST_PAIR_SMTP], 1, "no rate is every packet");
}

Test(visibility, learns_the_packets_of_a_session_in_one_direction)
{
    cr_assert_float_eq(learned(100, 14, 0, 100000), 14, 1);
    cr_assert_float_eq(learned(100, 30, 0, 100000), 30, 2);
    cr_assert_float_eq(learned(1000, 10, 0, 1000000), 10, 1);
}

Test(visibility, learns_them_in_both_directions)
{
    cr_assert_float_eq(learned(100, 14, 13, 100000), 27, 1.5);
    cr_assert_float_eq(learned(100, 25, 15, 100000), 40, 2.5);
}

Test(visibility, is_bounded_whatever_it_is_told)
{
    /* A flood of single SYNs, and records of a million packets without any. */
    cr_assert_eq(learned(100, 1, 0, 100000), 7);
    Visibility v = {0};
    visibility_rate(&v, &conf, 100);
    PstFlow flow = {.has = PST_HAS_TCP_FLAGS, .packets = G_MAXUINT64 / 2};
    Session s = {.pair = PST_PAIR_SMTP};
    for (guint i = 0; i < 100000; i++) {
        flow.tcp_flags = i % 100 ? 0x10 : 0x02;
        visibility_tell(&v, &conf, &flow, &s, TRUE);
    }
    cr_assert_eq(visibility_packets(&v, &conf, PST_PAIR_SMTP), 56);
}

Test(visibility, keeps_the_start_where_flags_say_nothing)
{
    Visibility v = {0};
    visibility_rate(&v, &conf, 100);
    PstFlow flow = {.packets = 3};
    Session s = {.pair = PST_PAIR_SMTP};
    for (guint i = 0; i < 1000; i++)
        visibility_tell(&v, &conf, &flow, &s, TRUE);
    flow.has = PST_HAS_TCP_FLAGS; /* … or are always zero */
    for (guint i = 0; i < 1000; i++)
        visibility_tell(&v, &conf, &flow, &s, TRUE);
    cr_assert_eq(visibility_packets(&v, &conf, PST_PAIR_SMTP), 14);
}

Test(visibility, finds_out_whether_both_directions_are_told)
{
    Visibility v = {0};
    visibility_rate(&v, &conf, 100);
    PstFlow flow = {.packets = 1};
    for (guint i = 0; i < 15; i++)
        visibility_tell(&v, &conf, &flow, &(Session){.reply = i % 2 != 0}, FALSE);
    cr_assert_not(v.both, "too early to tell");
    visibility_tell(&v, &conf, &flow, &(Session){.reply = TRUE}, FALSE);
    cr_assert(v.both);
    cr_assert_float_eq(v.q[PST_PAIR_SMTP], 1 - pow(0.99, 27), 1e-3);
    for (guint i = 0; i < 200; i++)
        visibility_tell(&v, &conf, &flow, &(Session){.reply = FALSE}, FALSE);
    cr_assert_not(v.both, "and it may change");
}
