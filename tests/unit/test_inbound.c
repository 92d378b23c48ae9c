/* SPDX-License-Identifier: Apache-2.0 */
/* Mail that comes in and what it excuses. Generated traffic. */
#include <criterion/criterion.h>

#include "engine_maker.h"

/* A mail from the @n-th stranger to A_UNIT; @flags as its packets had them. */
static void comes_in(Trial *trial, double at, guint n, guint16 port, guint16 flags)
{
    Told told = {.at = at,
                 .to = server(50000 + n),
                 .port = port,
                 .client_port = (guint16)(1024 + n % 60000)};
    PstFlow flow = flow_told(&told);
    /* The other way round: the stranger is the client. */
    PstAddr ours = flow.src_addr;
    flow.src_addr = flow.dst_addr;
    flow.dst_addr = ours;
    flow.direction = PST_DIR_IN;
    flow.tcp_flags = flags;
    cr_assert_eq(trial_flow(trial, &flow), ENGINE_NOT_CLIENT);
}

/* A unit that mails now and then, so that it is held; then a storm of @n bounces, one a second, of
 * which each answers a mail that came in a second before if @answered. */
static void storm(Trial *trial, guint n, guint16 flags, gboolean answered)
{
    for (guint i = 0; i < 3; i++)
        trial_tell(
            trial,
            (Told){.at = 1000 + i * 1000, .to = server(i), .client_port = (guint16)(1024 + i)});
    for (guint i = 0; i < n; i++) {
        if (answered)
            comes_in(trial, 20000 + i, i, 25, flags);
        trial->told++;
        trial_tell(
            trial,
            (Told){.at = 20001 + i, .to = server(100 + i), .client_port = (guint16)(2000 + i)});
    }
}

enum { OPENED = 0x02, SPOKEN = 0x1b };

Test(inbound, two_of_three_bounces_are_excused)
{
    Trial trial;
    trial_begin(&trial, NULL);
    storm(&trial, 300, SPOKEN, TRUE);
    cr_assert_eq(engine_stats(trial.engine)->excused, 200);
    trial_end(&trial);
}

Test(inbound, small_bounce_storm_is_no_burst)
{
    Trial answered, alone;
    trial_begin(&answered, NULL);
    trial_begin(&alone, NULL);
    storm(&answered, 60, SPOKEN, TRUE);
    storm(&alone, 60, SPOKEN, FALSE);
    cr_assert_eq(answered.band_at[PST_BAND_FLAG], 0);
    cr_assert_gt(alone.band_at[PST_BAND_FLAG], 0);
    trial_end(&answered);
    trial_end(&alone);
}

Test(inbound, bought_tokens_only_delay)
{
    Trial trial;
    trial_begin(&trial, NULL);
    storm(&trial, 400, SPOKEN, TRUE);
    cr_assert_gt(trial.band_at[PST_BAND_FLAG], 0);
    cr_assert_leq(trial.band_at[PST_BAND_FLAG], 330, "%u", (guint)trial.band_at[PST_BAND_FLAG]);
    trial_end(&trial);
}

Test(inbound, flood_of_openings_excuses_nothing)
{
    /* A spoofed SYN is not a session. */
    Trial trial;
    trial_begin(&trial, NULL);
    storm(&trial, 60, OPENED, TRUE);
    cr_assert_eq(engine_stats(trial.engine)->excused, 0);
    cr_assert_gt(trial.band_at[PST_BAND_FLAG], 0);
    trial_end(&trial);
}

Test(inbound, tokens_fade_and_are_bounded)
{
    Trial trial;
    trial_begin(&trial, NULL);
    trial_tell(&trial, (Told){.at = 1000, .to = server(1), .client_port = 1});
    for (guint i = 0; i < 5000; i++)
        comes_in(&trial, 2000, i, 25, SPOKEN);
    /* 200 are held; an hour later a sixty-fourth of them. */
    for (guint i = 0; i < 30; i++)
        trial_tell(
            &trial,
            (Told){.at = 2000 + 3600, .to = server(100 + i), .client_port = (guint16)(2000 + i)});
    cr_assert_eq(engine_stats(trial.engine)->excused, 3);
    trial_end(&trial);
}

Test(inbound, mail_told_twice_is_one_token)
{
    Trial trial;
    trial_begin(&trial, NULL);
    trial_tell(&trial, (Told){.at = 1000, .to = server(1), .client_port = 1});
    for (guint i = 0; i < 10; i++)
        comes_in(&trial, 2000 + i, 7, 25, SPOKEN);
    for (guint i = 0; i < 5; i++)
        trial_tell(&trial, (Told){.at = 2010, .to = server(10 + i), .client_port = 5});
    cr_assert_eq(engine_stats(trial.engine)->excused, 1);
    trial_end(&trial);
}

Test(inbound, strangers_to_sending_take_no_room)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 100; i++)
        comes_in(&trial, 1000 + i, i, 25, SPOKEN);
    cr_assert_eq(engine_stats(trial.engine)->units, 0);
    trial_end(&trial);
}
