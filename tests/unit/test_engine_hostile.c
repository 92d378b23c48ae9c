/* SPDX-License-Identifier: Apache-2.0 */
/* Bad input: bounded, counted, and nobody blocked for it. Generated traffic, seeds fixed. */
#include <criterion/criterion.h>
#include <math.h>

#include "engine_maker.h"

#define A_DAY 86400.0

/* An address that mails a little, all day: it must not stand out whatever routers say. */
static void little_mail(Trial *trial, double at, guint n, const char *router, guint64 rate)
{
    for (guint i = 0; i < n; i++)
        trial_tell(trial, (Told){.at = at + i * 300.0,
                                 .router = router,
                                 .to = server(i % 12),
                                 .rate = rate,
                                 .client_port = (guint16)(1024 + i)});
}

Test(engine_hostile, exporter_with_a_clock_ahead_moves_nobodys_windows)
{
    /* Four good routers; the fifth is a day ahead, and all of a day's mail seems to come at once.
     */
    Trial trial;
    trial_begin(&trial, NULL);
    static const char *const good[] = {A_ROUTER, B_ROUTER, "198.51.100.3", "198.51.100.4"};
    for (guint i = 0; i < 2000; i++) {
        trial_beat(&trial, good[i % 4], i * 10);
        Told told = {.at = i * 10 + A_DAY,
                     .router = "198.51.100.66",
                     .to = server(i),
                     .client_port = (guint16)(1024 + i)};
        PstFlow flow = flow_told(&told);
        flow.received_ns = ns_at(i * 10 + 1);
        cr_assert_eq(trial_flow(&trial, &flow), ENGINE_CLOCK_AHEAD);
    }
    cr_assert_eq(fate(&trial, ENGINE_CLOCK_AHEAD), 2000);
    cr_assert_eq(trial.rows->len, 0);
    cr_assert_leq(engine_stats(trial.engine)->newest_ns, ns_at(20000));
    trial_end(&trial);
}

Test(engine_hostile, exporter_whose_clock_stands_makes_no_burst)
{
    /* A stuck clock puts all into one second; its records are late and judge nobody. */
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 3000; i++) {
        trial_beat(&trial, A_ROUTER, 10000 + i);
        trial_tell(&trial, (Told){.at = 5000,
                                  .router = "198.51.100.66",
                                  .to = server(i),
                                  .client_port = (guint16)(1024 + i)});
    }
    cr_assert_eq(trial.rows->len, 0);
    cr_assert_gt(fate(&trial, ENGINE_LATE), 2900);
    trial_end(&trial);
}

Test(engine_hostile, sampling_rates_that_lie_block_nobody)
{
    /* What is said of N moves floors and the shown size. Whoever claims 1:1000 for all packets, and
     * all packets for 1:1000, by turns or for good, blocks no light sender. */
    static const guint64 claims[][2] = {{1, 1},    {1000, 1000},       {1, 1000},
                                        {1, 4096}, {100, G_MAXUINT64}, {0, 1}};
    for (guint c = 0; c < G_N_ELEMENTS(claims); c++) {
        Trial trial;
        trial_begin(&trial, NULL);
        for (guint day = 0; day < 10; day++)
            for (guint i = 0; i < 12; i++)
                trial_tell(&trial, (Told){.at = day * A_DAY + 7000.0 * i,
                                          .to = server((day * 12 + i) % 9),
                                          .rate = claims[c][i % 2],
                                          .client_port = (guint16)(1024 + i)});
        cr_assert_eq(trial.band_at[PST_BAND_BLOCK], 0, "claim %u", c);
        trial_end(&trial);
    }
}

Test(engine_hostile, rate_that_flaps_does_not_pump_envelopes_up)
{
    /* A mail server under a router that claims 1:1 and 1:100 by turns, for weeks: spam on top of it
     * is still found. */
    Trial trial;
    trial_begin(&trial, NULL);
    Dice dice = {4711};
    for (guint i = 0; i < 30 * 480; i++)
        trial_tell(&trial, (Told){.at = i * 180.0,
                                  .to = server((guint32)(dice_next(&dice) % 400)),
                                  .rate = i / 480 % 2 ? 1 : 100,
                                  .client_port = (guint16)(1024 + i % 60000)});
    guint64 flags = engine_stats(trial.engine)->flags;
    burst(&trial, 30 * A_DAY, 5, 3000, 25);
    cr_assert_gt(engine_stats(trial.engine)->flags, flags);
    trial_end(&trial);
}

Test(engine_hostile, session_told_by_three_routers_is_one)
{
    static const char *const routers[] = {A_ROUTER, B_ROUTER, "198.51.100.3"};
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 40; i++)
        for (guint r = 0; r < 6; r++)
            trial_tell(&trial, (Told){.at = 1000 + i + r * 0.3,
                                      .router = routers[r % 3],
                                      .to = server(i),
                                      .client_port = (guint16)(1024 + i),
                                      .reply = r >= 3});
    cr_assert_eq(fate(&trial, ENGINE_NEW), 40);
    cr_assert_eq(fate(&trial, ENGINE_KNOWN), 200);
    cr_assert_eq(trial.band_at[PST_BAND_FLAG], 0, "forty mails are forty mails");
    trial_end(&trial);
}

Test(engine_hostile, replayed_file_of_last_week_judges_nobody)
{
    /* Somebody replays a recording with a burst into a live stream. */
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 100; i++)
        trial_beat(&trial, A_ROUTER, 7 * A_DAY + i * 10);
    gsize before = engine_stats(trial.engine)->state_bytes;
    for (guint again = 0; again < 3; again++)
        burst(&trial, 1000, 20, 5000, 25);
    cr_assert_eq(fate(&trial, ENGINE_LATE), 15000);
    cr_assert_eq(trial.rows->len, 0);
    cr_assert_eq(engine_stats(trial.engine)->units, 0);
    cr_assert_eq(engine_stats(trial.engine)->state_bytes, before);
    trial_end(&trial);
}

/* One packet each from every address of a /16 of ours, as a spoofing stranger would send them. */
static void spoof(Trial *trial, double at, guint n, Dice *dice)
{
    for (guint i = 0; i < n; i++) {
        char unit[40];
        guint host = (guint)(dice_next(dice) % 65536);
        g_snprintf(unit, sizeof unit, "10.1.%u.%u", host >> 8, host & 255);
        Told told = {.at = at + i * 1e-3,
                     .unit = unit,
                     .to = server((guint32)dice_next(dice)),
                     .client_port = (guint16)dice_next(dice)};
        PstFlow flow = flow_told(&told);
        flow.packets = 1;
        flow.tcp_flags = 0x02;
        engine_flow(trial->engine, &flow, ++trial->position);
    }
    trial_take(trial);
}

Test(engine_hostile, spoofed_sources_are_bounded_and_do_not_push_out_who_is_known)
{
    EngineConf conf = small_conf();
    conf.max_units = 2000;
    Trial trial;
    trial_begin(&trial, &conf);
    for (guint day = 0; day < 6; day++)
        little_mail(&trial, day * A_DAY, 20, NULL, 1);
    Dice dice = {99};
    spoof(&trial, 6 * A_DAY, 50000, &dice);
    const EngineStats *stats = engine_stats(trial.engine);
    cr_assert_leq(stats->units, 2000);
    cr_assert_gt(stats->units_evicted, 20000);
    cr_assert_leq(stats->state_bytes, (gsize)4 << 20);
    cr_assert_eq(trial.band_at[PST_BAND_BLOCK], 0, "a few packets each");
    /* The mail server of before is still known: its burst waits for the higher gate. */
    burst(&trial, 6 * A_DAY + 200, 5, 900, 25);
    cr_assert_eq(trial.band_at[PST_BAND_BLOCK], 0);
    trial_end(&trial);
}

Test(engine_hostile, sweep_of_the_address_space_only_blinds)
{
    /* One address touches two hundred thousand servers to fill the filter: it is blocked itself,
     * memory stays, and others' novelty is missed, never invented. */
    Trial trial;
    trial_begin(&trial, NULL);
    gsize before = 0;
    for (guint i = 0; i < 200000; i++) {
        if (i == 2000)
            before = engine_stats(trial.engine)->state_bytes;
        Told told = {.at = 1000 + i * 2.5e-3,
                     .unit = "192.0.2.66",
                     .to = pst_addr_v4(0x0b000000u + i),
                     .client_port = (guint16)i};
        PstFlow flow = flow_told(&told);
        engine_flow(trial.engine, &flow, ++trial.position);
    }
    trial_take(&trial);
    cr_assert_gt(trial.rows->len, 0);
    for (guint i = 0; i < trial.rows->len; i++) {
        PstUnit sweeper = unit_named("192.0.2.66");
        cr_assert(pst_prefix_equal(&g_array_index(trial.rows, PstVerdict, i).unit, &sweeper));
    }
    cr_assert_lt(engine_stats(trial.engine)->state_bytes, before + (1 << 18));
    guint64 told = fate(&trial, ENGINE_NEW);
    little_mail(&trial, 1600, 5, NULL, 1);
    cr_assert_leq(fate(&trial, ENGINE_NEW) - told, 5, "no session is new twice");
    trial_end(&trial);
}

Test(engine_hostile, event_times_that_jump_cost_no_time)
{
    /* A recording of 1999, then today, then 2038: each is far from the others. */
    Trial trial;
    trial_begin(&trial, NULL);
    static const double years[] = {-27 * 365 * A_DAY, 0, 12 * 365 * A_DAY};
    for (guint y = 0; y < G_N_ELEMENTS(years); y++) {
        for (guint i = 0; i < 20; i++)
            trial_beat(&trial, A_ROUTER, years[y] + i);
        burst(&trial, years[y] + 1000, 5, 20, 25);
    }
    cr_assert_eq(trial.band_at[PST_BAND_FLAG], 0);
    trial_end(&trial);
}
