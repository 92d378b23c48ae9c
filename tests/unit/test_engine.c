/* SPDX-License-Identifier: Apache-2.0 */
/* What the detector promises about units, told as traffic. All of it is generated. */
#include <criterion/criterion.h>
#include <math.h>

#include "engine_maker.h"

/* --- what must be found ------------------------------------------------------------------- */

Test(engine, burst_of_a_silent_unit_is_watched_flagged_and_blocked_in_order)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 400, 25);
    cr_assert_eq(trial.rows->len, 3, "one row per band");
    for (guint i = 0; i < 3; i++)
        cr_assert_eq(g_array_index(trial.rows, PstVerdict, i).band, (PstBand)i);
    cr_assert_leq(trial.band_at[PST_BAND_FLAG], 60);
    cr_assert_leq(trial.band_at[PST_BAND_BLOCK], 170);
    const PstVerdict *flag = row(&trial, PST_BAND_FLAG, FALSE);
    PstUnit unit = unit_named(A_UNIT);
    cr_assert(pst_prefix_equal(&flag->unit, &unit));
    cr_assert_eq(flag->partition, 3);
    cr_assert_eq(flag->position, 50);
    cr_assert_eq(flag->sessions_seen, 50);
    cr_assert_eq(flag->sessions_low, 50);
    cr_assert_eq(flag->ports[0], 25);
    cr_assert_eq(flag->ports[1], 0);
    cr_assert(flag->cold);
    trial_end(&trial);
}

Test(engine, slow_burst_is_found_too)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 0.2, 400, 25);
    cr_assert_leq(trial.band_at[PST_BAND_FLAG], 260);
    cr_assert_gt(trial.band_at[PST_BAND_FLAG], 0);
    trial_end(&trial);
}

Test(engine, stolen_account_on_587_and_465_is_one_burst)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 300; i++) {
        trial.told++;
        trial_tell(&trial, (Told){.at = 1000 + i * 0.2,
                                  .to = server(i),
                                  .port = i % 2 ? 587 : 465,
                                  .client_port = (guint16)(1024 + i)});
    }
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, FALSE), 1);
    const PstVerdict *block = row(&trial, PST_BAND_BLOCK, FALSE);
    cr_assert_eq(block->pair, PST_PAIR_SUBMISSION);
    cr_assert_eq(block->ports[0], 465);
    cr_assert_eq(block->ports[1], 587);
    cr_assert_str_eq(reason(block, "ports"), "destination ports 465, 587");
    trial_end(&trial);
}

Test(engine, list_spraying_to_one_server_each_is_told_by_destinations)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 60, 25);
    cr_assert_eq(row(&trial, PST_BAND_WATCH, FALSE)->channel, 'D');
    trial_end(&trial);
}

Test(engine, burst_at_five_big_providers_is_found_by_sessions)
{
    /* D ends at five; S counts sixteen to each. */
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 400; i++)
        trial_tell(
            &trial,
            (Told){.at = 1000 + i * 0.1, .to = server(i % 5), .client_port = (guint16)(1024 + i)});
    cr_assert_eq(trial_count(&trial, PST_BAND_FLAG, FALSE), 1);
    cr_assert_eq(row(&trial, PST_BAND_FLAG, FALSE)->channel, 'S');
    trial_end(&trial);
}

Test(engine, office_that_sends_all_to_four_relays_is_watched_at_most)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 2000; i++)
        trial_tell(&trial, (Told){.at = 1000 + i * 0.1,
                                  .to = server(i % 4),
                                  .client_port = (guint16)(1024 + i / 4)});
    cr_assert_eq(trial_count(&trial, PST_BAND_FLAG, FALSE), 0);
    const PstVerdict *watch = row(&trial, PST_BAND_WATCH, FALSE);
    cr_assert_leq(watch->score, 590);
    trial_end(&trial);
}

Test(engine, says_that_it_waits_for_more_servers)
{
    EngineConf conf = small_conf();
    conf.band_at[PST_BAND_WATCH] = 595; /* there is something to hold back … */
    conf.gate_cold = 10;                /* … and enough sessions are certain */
    Trial trial;
    trial_begin(&trial, &conf);
    for (guint i = 0; i < 2000; i++)
        trial_tell(&trial, (Told){.at = 1000 + i * 0.1,
                                  .to = server(i % 4),
                                  .client_port = (guint16)(1024 + i / 4)});
    const PstVerdict *watch = row(&trial, PST_BAND_WATCH, FALSE);
    cr_assert_str_eq(reason(watch, "few-servers"),
                     "its sessions went to 4 servers so far; it counts as mail to strangers from 5 "
                     "on");
    cr_assert_str_eq(facts(watch, "few-servers"), "\"servers\":4,\"needed\":5");
    trial_end(&trial);
}

Test(engine, day_of_a_new_mail_server_is_no_burst)
{
    /* 40 an hour to strangers all day: 240 in six hours, which no pace of a burst brings about. */
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 40.0 / 3600, 480, 25);
    cr_assert_eq(trial_count(&trial, PST_BAND_FLAG, FALSE), 0);
    trial_end(&trial);
}

Test(engine, answers_alone_are_enough)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 200; i++)
        trial_tell(&trial, (Told){.at = 1000 + i * 0.2,
                                  .to = server(i),
                                  .client_port = (guint16)(1024 + i),
                                  .reply = TRUE});
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, FALSE), 1);
    trial_end(&trial);
}

Test(engine, ipv6_unit_that_rotates_its_addresses_is_one_unit)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 200; i++) {
        char client[40];
        g_snprintf(client, sizeof client, "2001:db8:1:2::%x", i + 1);
        trial_tell(&trial, (Told){.at = 1000 + i * 0.2,
                                  .unit = client,
                                  .to = server(i),
                                  .client_port = (guint16)(1024 + i)});
    }
    PstUnit unit = unit_named("2001:db8:1:2::/64");
    cr_assert(pst_prefix_equal(&row(&trial, PST_BAND_BLOCK, FALSE)->unit, &unit));
    trial_end(&trial);
}

/* --- what must stay quiet ----------------------------------------------------------------- */

Test(engine, newsletter_to_forty_recipients_is_no_more_than_watched)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 40, 25);
    cr_assert_eq(trial.band_at[PST_BAND_FLAG], 0);
    trial_end(&trial);
}

Test(engine, monitoring_probe_is_quiet_all_day)
{
    /* Five servers over and over, a new client port each time, every ten seconds. */
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 8640 * 5; i++)
        trial_tell(&trial, (Told){.at = 1000.0 + 2 * i,
                                  .to = server(i % 5),
                                  .client_port = (guint16)(1024 + i % 60000)});
    cr_assert_eq(trial.band_at[PST_BAND_FLAG], 0);
    trial_end(&trial);
}

/* A day of @units cold mail servers, each with @per_h sessions an hour: six in ten to ten big
 * providers, the others to five hundred servers, few of them often. Returns how many flags. */
static guint64 flags_of_mail_servers(guint units, double per_h, guint64 rate)
{
    EngineConf conf = small_conf();
    conf.novelty_bytes = 8 << 20;
    g_autoptr(Engine) engine = engine_new(&conf, 0);
    Dice dice = {rate * 131 + (guint64)per_h};
    double missed = pow(1 - 1 / (double)rate, 14), at = 0;
    for (gint64 position = 1; at < 86400; position++) {
        at -= log(1 - dice_unit(&dice)) * 3600 / (per_h * units);
        guint unit = (guint)(dice_next(&dice) % units);
        double kind = dice_unit(&dice), rank = pow(500, dice_unit(&dice));
        char client[40];
        g_snprintf(client, sizeof client, "192.0.%u.%u", unit / 200, unit % 200 + 1);
        Told told = {.at = at,
                     .unit = client,
                     .rate = rate,
                     .to = server(kind < 0.6 ? (guint)(kind * 16) : 1000 + unit * 7 + (guint)rank),
                     .client_port = (guint16)(1024 + dice_next(&dice) % 60000)};
        PstFlow flow = flow_told(&told);
        if (dice_unit(&dice) >= missed)
            engine_flow(engine, &flow, position);
    }
    return engine_stats(engine)->flags;
}

Test(engine, cold_mail_servers_are_quiet_up_to_a_size)
{
    /* Busier ones are not, until envelopes are learned: docs/detector.md says so. */
    cr_assert_eq(flags_of_mail_servers(100, 60, 1), 0);
    cr_assert_eq(flags_of_mail_servers(200, 20, 100), 0);
    cr_assert_eq(flags_of_mail_servers(200, 5, 1000), 0);
}

Test(engine, stuck_queue_to_one_server_is_quiet)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 20000; i++)
        trial_tell(&trial, (Told){.at = 1000 + i * 0.5,
                                  .to = server(1),
                                  .client_port = (guint16)(1024 + i % 60000)});
    cr_assert_eq(trial.rows->len, 0, "repeats to one server are capped");
    trial_end(&trial);
}

Test(engine, inbound_server_is_no_sender)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 500; i++) {
        Told told = {.at = 1000 + i * 0.1, .to = server(i), .client_port = (guint16)(1024 + i)};
        PstFlow flow = flow_told(&told);
        flow.direction = i % 2 ? PST_DIR_IN : PST_DIR_IN_REPLY;
        cr_assert_eq(trial_flow(&trial, &flow), ENGINE_NOT_CLIENT);
    }
    cr_assert_eq(engine_stats(trial.engine)->units, 0, "and takes no room");
    trial_end(&trial);
}

Test(engine, one_session_told_many_times_counts_once)
{
    /* Active timeout repeats, both directions. */
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 500; i++)
        trial_tell(
            &trial,
            (Told){.at = 1000 + i, .to = server(1), .client_port = 4000, .reply = i % 2 != 0});
    cr_assert_eq(fate(&trial, ENGINE_NEW), 1);
    cr_assert_eq(fate(&trial, ENGINE_KNOWN), 499);
    trial_end(&trial);
}

Test(engine, second_router_at_one_to_one_changes_nothing)
{
    Trial one, two;
    trial_begin(&one, NULL);
    trial_begin(&two, NULL);
    for (guint i = 0; i < 300; i++) {
        Told told = {.at = 1000 + i * 0.2, .to = server(i), .client_port = (guint16)(1024 + i)};
        one.told++, two.told++;
        trial_tell(&one, told);
        trial_tell(&two, told);
        told.router = B_ROUTER;
        told.at += 0.05;
        cr_assert_eq(trial_tell(&two, told), ENGINE_KNOWN);
    }
    cr_assert_eq(one.rows->len, two.rows->len);
    for (guint i = 0; i < one.rows->len; i++) {
        const PstVerdict *a = &g_array_index(one.rows, PstVerdict, i);
        const PstVerdict *b = &g_array_index(two.rows, PstVerdict, i);
        cr_assert_eq(a->time_ns, b->time_ns);
        cr_assert_eq(a->evidence, b->evidence);
        cr_assert_eq(a->sessions_seen, b->sessions_seen);
        cr_assert_eq(a->sampling, b->sampling);
    }
    trial_end(&one);
    trial_end(&two);
}

Test(engine, thin_router_before_a_dense_one_makes_no_burst_of_few_mails)
{
    /* A unit first told of at 1:4096, then at 1:1: thirty mails are thirty mails. */
    Trial trial;
    trial_begin(&trial, NULL);
    trial_tell(&trial, (Told){.at = 990, .to = server(500), .client_port = 999, .rate = 4096});
    for (guint i = 0; i < 30; i++)
        trial_tell(&trial, (Told){.at = 1000 + i * 2,
                                  .to = server(i),
                                  .router = B_ROUTER,
                                  .client_port = (guint16)(1024 + i)});
    cr_assert_eq(trial.band_at[PST_BAND_FLAG], 0);
    trial_end(&trial);
}

/* --- sampling ----------------------------------------------------------------------------- */

/* Tells of a session of 14 packets there and 13 back as far as samples of 1:@rate show it. */
static void tell_thinned(Trial *trial, Told told, guint64 rate, gboolean both, Dice *dice)
{
    told.rate = rate;
    trial->told++;
    if (dice_unit(dice) < 1 - pow(1 - 1.0 / (double)rate, 14))
        trial_tell(trial, told);
    told.reply = TRUE;
    if (both && dice_unit(dice) < 1 - pow(1 - 1.0 / (double)rate, 13))
        trial_tell(trial, told);
}

/* Median over seeded runs of the true sessions until a band. */
static guint median_until(PstBand band, guint64 rate, double per_s, gboolean both)
{
    guint until[41];
    for (guint run = 0; run < G_N_ELEMENTS(until); run++) {
        Trial trial;
        Dice dice = {run * 7919 + 1};
        trial_begin(&trial, NULL);
        for (guint i = 0; i < 20000 && trial.band_at[band] == 0; i++)
            tell_thinned(&trial,
                         (Told){.at = 1000 + i / per_s,
                                .to = server(i),
                                .client_port = (guint16)(1024 + dice_next(&dice) % 60000)},
                         rate, both, &dice);
        guint at = run;
        while (at > 0 && until[at - 1] > trial.band_at[band]) {
            until[at] = until[at - 1];
            at--;
        }
        until[at] = (guint)trial.band_at[band];
        trial_end(&trial);
    }
    cr_assert_gt(until[0], 0, "every run is caught");
    return until[G_N_ELEMENTS(until) / 2];
}

Test(engine, sampled_bursts_are_found_at_about_the_stated_numbers)
{
    static const struct {
        guint64 rate;
        double per_s;
        gboolean both;
        guint flag, block; /* medians that docs/detector.md promises */
    } rows[] = {{1, 5, FALSE, 60, 170},      {100, 5, FALSE, 120, 190},
                {1000, 5, FALSE, 350, 420},  {4096, 5, FALSE, 1000, 1400},
                {100, 5, TRUE, 95, 190},     {1000, 5, TRUE, 270, 420},
                {4096, 5, TRUE, 900, 1400},  {1, 0.2, FALSE, 260, 300},
                {100, 0.2, FALSE, 260, 400}, {1000, 0.2, FALSE, 420, 600}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint flag = median_until(PST_BAND_FLAG, rows[i].rate, rows[i].per_s, rows[i].both);
        guint block = median_until(PST_BAND_BLOCK, rows[i].rate, rows[i].per_s, rows[i].both);
        cr_assert_leq(flag, rows[i].flag, "row %u: 1:%u flag %u", i, (guint)rows[i].rate, flag);
        cr_assert_leq(block, rows[i].block, "row %u: 1:%u block %u", i, (guint)rows[i].rate, block);
    }
}

Test(engine, newsletter_to_forty_is_seldom_flagged_at_one_to_a_hundred)
{
    /* Told from both directions by a router that others send through too. */
    guint flagged = 0, runs = 100;
    for (guint run = 0; run < runs; run++) {
        Trial trial;
        Dice dice = {run + 1};
        trial_begin(&trial, NULL);
        for (guint i = 0; i < 100; i++)
            tell_thinned(&trial,
                         (Told){.at = 900 + i,
                                .unit = "192.0.2.99",
                                .to = server(7),
                                .client_port = (guint16)(2000 + i)},
                         100, TRUE, &dice);
        for (guint i = 0; i < 40; i++)
            tell_thinned(
                &trial,
                (Told){.at = 1000 + i * 0.5, .to = server(i), .client_port = (guint16)(1024 + i)},
                100, TRUE, &dice);
        flagged += trial.band_at[PST_BAND_FLAG] != 0 ? 1 : 0;
        cr_assert_eq(trial.band_at[PST_BAND_BLOCK], 0);
        trial_end(&trial);
    }
    cr_assert_leq(flagged, 5, "%u of %u", flagged, runs);
}

Test(engine, bounds_are_honest_where_traffic_is_sampled)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 40; i++)
        trial_tell(&trial, (Told){.at = 1000 + i,
                                  .to = server(i),
                                  .client_port = (guint16)(1024 + i),
                                  .rate = 100});
    const PstVerdict *flag = row(&trial, PST_BAND_FLAG, FALSE);
    cr_assert_float_eq(flag->sampling, 7.6, 0.05);
    cr_assert_lt(flag->sessions_low, flag->sessions_seen * flag->sampling);
    cr_assert_geq(flag->sessions_low, 50);
    cr_assert_not_null(strstr(reason(flag, "magnitude"), "seen in samples"));
    cr_assert_null(reason(flag, "failed-openings"), "samples do not tell of failures");
    trial_end(&trial);
}
