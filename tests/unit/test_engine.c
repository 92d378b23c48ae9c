/* SPDX-License-Identifier: Apache-2.0 */
/* What the detector promises about units, told as traffic. All of it is generated. */
#include <criterion/criterion.h>
#include <math.h>

#include "engine_maker.h"

/* @n sessions to ever new servers, @per_s a second, from @at on. */
static void burst(Trial *trial, double at, double per_s, guint n, guint16 port)
{
    for (guint i = 0; i < n; i++) {
        trial->told++;
        trial_tell(trial, (Told){.at = at + i / per_s,
                                 .to = server(i),
                                 .port = port,
                                 .client_port = (guint16)(1024 + i)});
    }
}

static const PstVerdict *row(const Trial *trial, PstBand band, gboolean ended)
{
    for (guint i = 0; i < trial->rows->len; i++) {
        const PstVerdict *v = &g_array_index(trial->rows, PstVerdict, i);
        if (v->band == band && v->ended == ended)
            return v;
    }
    cr_assert_fail("no %s row", pst_band_name(band));
    return NULL;
}

static const char *reason(const PstVerdict *v, const char *name)
{
    for (guint i = 0; i < v->n_reasons; i++)
        if (g_str_equal(v->reasons[i].name, name))
            return v->reasons[i].text;
    return NULL;
}

static guint64 fate(const Trial *trial, EngineFate f)
{
    return engine_stats(trial->engine)->fates[f];
}

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
        trial_tell(&trial, (Told){.at = 1000 + (i / 5) * 10 + i % 5,
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

/* --- evidence ----------------------------------------------------------------------------- */

Test(engine, evidence_is_said_in_words)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 60; i++) {
        Told told = {.at = 1000 + i * 0.1, .to = server(i), .client_port = (guint16)(1024 + i)};
        PstFlow flow = flow_told(&told);
        if (i % 4 == 0)
            flow.tcp_flags = 0x02;
        trial_flow(&trial, &flow);
    }
    const PstVerdict *flag = row(&trial, PST_BAND_FLAG, FALSE);
    cr_assert_str_eq(reason(flag, "burst"),
                     "50 new destinations on port 25 within 10 s; an address without a history of "
                     "mail is allowed up to 1.1");
    cr_assert_str_eq(reason(flag, "magnitude"),
                     "50 sessions to 50 new destinations in this and the last 3 hours");
    cr_assert_str_eq(reason(flag, "ports"), "destination port 25");
    cr_assert_str_eq(reason(flag, "exporters"), "reported by router 198.51.100.1 (sampling 1:1)");
    cr_assert_not_null(strstr(reason(flag, "failed-openings"), "were not answered"));
    cr_assert_gt(flag->failed, 0);
    trial_end(&trial);
}

Test(engine, points_of_the_reasons_add_up_to_the_score)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 400, 25);
    engine_finish(trial.engine);
    trial_take(&trial);
    for (guint i = 0; i < trial.rows->len; i++) {
        const PstVerdict *v = &g_array_index(trial.rows, PstVerdict, i);
        double sum = 0;
        for (guint r = 0; r < v->n_reasons; r++)
            sum += v->reasons[r].points;
        cr_assert_eq((int)sum, v->score);
    }
    trial_end(&trial);
}

Test(engine, samples_are_the_first_the_last_and_some_between)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 1000, 25);
    engine_finish(trial.engine);
    trial_take(&trial);
    const PstVerdict *v = row(&trial, PST_BAND_BLOCK, TRUE);
    cr_assert_eq(v->n_samples, PST_VERDICT_SAMPLES);
    for (guint i = 1; i < v->n_samples; i++)
        cr_assert_gt(v->samples[i].at_ns, v->samples[i - 1].at_ns);
    cr_assert_eq(v->samples[0].at_ns, v->first_ns);
    cr_assert_eq(v->samples[15].at_ns, v->last_ns);
    cr_assert_eq(v->last_ns, ns_at(1000 + 999 / 5.0));
    trial_end(&trial);
}

/* --- episodes ----------------------------------------------------------------------------- */

Test(engine, episode_ends_after_half_an_hour_of_quiet_and_completes_its_rows)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 400, 25);
    cr_assert_eq(engine_stats(trial.engine)->episodes, 1);
    guint before = trial.rows->len;
    for (double at = 1100; trial.rows->len == before; at += 30) {
        cr_assert_lt(at, 30000, "the episode never ends");
        trial_beat(&trial, A_ROUTER, at);
    }
    cr_assert_geq(engine_stats(trial.engine)->watermark_ns, ns_at(1080 + 1800 - 120));
    for (guint band = 0; band < PST_BAND_COUNT; band++) {
        const PstVerdict *given = row(&trial, (PstBand)band, FALSE);
        const PstVerdict *ended = row(&trial, (PstBand)band, TRUE);
        cr_assert_eq(ended->episode_ns, given->episode_ns);
        cr_assert_eq(ended->time_ns, given->time_ns);
        cr_assert_eq(ended->position, given->position);
        cr_assert_eq(ended->sessions_seen, 400);
        cr_assert_eq(ended->destinations_seen, 400);
        cr_assert_eq(ended->last_ns, ns_at(1000 + 399 / 5.0));
        cr_assert_geq(ended->evidence, given->evidence);
    }
    cr_assert_eq(engine_stats(trial.engine)->episodes, 0);
    trial_end(&trial);
}

Test(engine, attention_that_leads_to_nothing_leaves_no_trace)
{
    /* At 1:4096 one sighting is attention. A burst two hours later is told from its own start. */
    Trial trial;
    trial_begin(&trial, NULL);
    trial_tell(&trial, (Told){.at = 1000, .to = server(1), .client_port = 1, .rate = 4096});
    for (double at = 1000; at < 8000; at += 60)
        trial_beat(&trial, A_ROUTER, at);
    for (guint i = 0; i < 10; i++)
        trial_tell(&trial, (Told){.at = 8000 + i * 10,
                                  .to = server(9000 + i),
                                  .client_port = (guint16)(1024 + i),
                                  .rate = 4096});
    cr_assert_eq(row(&trial, PST_BAND_FLAG, FALSE)->first_ns, ns_at(8000));
    trial_end(&trial);
}

Test(engine, next_burst_is_a_new_episode)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 400, 25);
    for (double at = 1100; at < 40000; at += 60)
        trial_beat(&trial, A_ROUTER, at);
    for (guint i = 0; i < 400; i++)
        trial_tell(&trial, (Told){.at = 40000 + i * 0.2,
                                  .to = server(9000 + i),
                                  .client_port = (guint16)(1024 + i)});
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, FALSE), 2);
    trial_end(&trial);
}

static PstInput input(PstInputKind kind, const char *unit)
{
    return (PstInput){.id = 1, .kind = kind, .unit = unit_named(unit)};
}

Test(engine, release_ends_the_episode_and_first_honest_mail_is_quiet)
{
    /* Sampled, where M would stay high for days. */
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 60; i++)
        trial_tell(&trial, (Told){.at = 1000 + i * 5,
                                  .to = server(i),
                                  .rate = 4096,
                                  .client_port = (guint16)(1024 + i)});
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, FALSE), 1);
    PstInput release = input(PST_INPUT_RELEASED, A_UNIT);
    engine_input(trial.engine, &release);
    trial_take(&trial);
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, TRUE), 1);
    for (guint i = 0; i < 2; i++)
        trial_tell(&trial, (Told){.at = 1400 + i * 3600,
                                  .to = server(7000 + i),
                                  .rate = 4096,
                                  .client_port = (guint16)(9024 + i)});
    cr_assert_eq(trial_count(&trial, PST_BAND_FLAG, FALSE), 1, "no new flag");
    trial_end(&trial);
}

Test(engine, release_of_another_unit_changes_nothing)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 100, 25);
    g_autofree char *before = engine_digest(trial.engine);
    PstInput release = input(PST_INPUT_RELEASED, "192.0.2.11");
    engine_input(trial.engine, &release);
    g_autofree char *after = engine_digest(trial.engine);
    cr_assert_str_eq(before, after);
    trial_end(&trial);
}

Test(engine, exemption_holds_up_to_its_ceiling_and_no_further)
{
    Trial trial;
    trial_begin(&trial, NULL);
    PstInput exempt = input(PST_INPUT_EXEMPTED, A_UNIT);
    exempt.ceiling = 500;
    engine_input(trial.engine, &exempt);
    burst(&trial, 1000, 20, 450, 25);
    cr_assert_eq(trial.band_at[PST_BAND_FLAG], 0);
    for (guint i = 0; i < 20000; i++)
        trial_tell(&trial, (Told){.at = 1100 + i / 20.0,
                                  .to = server(1000 + i),
                                  .client_port = (guint16)(1024 + i)});
    cr_assert_eq(trial_count(&trial, PST_BAND_FLAG, FALSE), 1);
    cr_assert_str_eq(reason(row(&trial, PST_BAND_FLAG, FALSE), "exemption"),
                     "exempted up to 500 sessions an hour");
    trial_end(&trial);
}

Test(engine, exemption_of_a_net_holds_for_units_seen_before_and_after)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 1, 5, 25);
    PstInput exempt = input(PST_INPUT_EXEMPTED, A_UNIT);
    exempt.unit = pst_prefix_of(&exempt.unit.addr, 24);
    exempt.ceiling = 500;
    engine_input(trial.engine, &exempt);
    burst(&trial, 1010, 20, 440, 25);
    cr_assert_eq(trial.band_at[PST_BAND_FLAG], 0);
    trial_end(&trial);
}

Test(engine, end_of_an_exemption_does_not_judge_the_past)
{
    Trial trial;
    trial_begin(&trial, NULL);
    PstInput exempt = input(PST_INPUT_EXEMPTED, A_UNIT);
    exempt.ceiling = 500;
    engine_input(trial.engine, &exempt);
    burst(&trial, 1000, 20, 450, 25);
    exempt.ceiling = 0;
    engine_input(trial.engine, &exempt);
    burst(&trial, 1030, 1, 5, 25);
    cr_assert_eq(trial.band_at[PST_BAND_WATCH], 0);
    trial_end(&trial);
}

Test(engine, unit_length_cuts_units_anew)
{
    Trial trial;
    trial_begin(&trial, NULL);
    PstInput cut = input(PST_INPUT_UNIT_LEN, "2001:db8:1::/48");
    cut.unit_len = 56;
    engine_input(trial.engine, &cut);
    for (guint i = 0; i < 200; i++) {
        char client[40];
        g_snprintf(client, sizeof client, "2001:db8:1:2%02x::1", i);
        trial_tell(&trial, (Told){.at = 1000 + i * 0.2,
                                  .unit = client,
                                  .to = server(i),
                                  .client_port = (guint16)(1024 + i)});
    }
    cr_assert_eq(engine_stats(trial.engine)->units, 1);
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, FALSE), 1);
    cut.unit_len = 64;
    engine_input(trial.engine, &cut);
    trial_take(&trial);
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, TRUE), 1, "the old unit's episode ended");
    cr_assert_eq(engine_stats(trial.engine)->units, 0);
    trial_end(&trial);
}

Test(engine, reassigned_address_starts_from_nothing)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 400, 25);
    PstInput reassigned = input(PST_INPUT_REASSIGNED, A_UNIT);
    engine_input(trial.engine, &reassigned);
    trial_take(&trial);
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, TRUE), 1);
    cr_assert_eq(engine_stats(trial.engine)->units, 0);
    trial_end(&trial);
}

/* --- bad input ---------------------------------------------------------------------------- */

Test(engine, late_record_is_counted_and_shown_but_not_scored)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 100, 25);
    trial_beat(&trial, A_ROUTER, 1400);
    cr_assert_eq(trial_tell(&trial, (Told){.at = 1010, .to = server(5000), .client_port = 5}),
                 ENGINE_LATE);
    engine_finish(trial.engine);
    trial_take(&trial);
    const PstVerdict *ended = row(&trial, PST_BAND_FLAG, TRUE);
    cr_assert_eq(ended->sessions_seen, 100);
    cr_assert_not_null(reason(ended, "late-records"));
    trial_end(&trial);
}

Test(engine, impossible_times_are_refused)
{
    static const gint64 times[] = {0, -5, G_MININT64, G_MAXINT64, 86399 * PST_NS_PER_S};
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(times); i++)
        for (guint j = 0; j < G_N_ELEMENTS(times); j++) {
            Told told = {.at = 1000, .to = server(1)};
            PstFlow flow = flow_told(&told);
            flow.start_ns = flow.end_ns = times[i];
            flow.received_ns = times[j];
            EngineFate f = trial_flow(&trial, &flow);
            cr_assert(f == ENGINE_NO_TIME || f == ENGINE_CLOCK_AHEAD, "%s", engine_fate_name(f));
            PstHeartbeat beat = {.newest_event_ns = times[i], .received_ns = times[j]};
            engine_heartbeat(trial.engine, &beat);
        }
    cr_assert_eq(engine_stats(trial.engine)->watermark_ns, 0);
    trial_end(&trial);
}

Test(engine, exporter_far_ahead_is_set_aside)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 100; i++) {
        trial_tell(&trial, (Told){.at = 1000 + i, .to = server(i % 3), .client_port = 7});
        Told told = {.at = 90000 + i, .router = B_ROUTER, .to = server(i), .client_port = 9};
        PstFlow flow = flow_told(&told);
        cr_assert_eq(trial_flow(&trial, &flow), ENGINE_CLOCK_AHEAD);
    }
    trial_end(&trial);
}

Test(engine, lying_sampling_rates_break_nothing)
{
    static const guint64 rates[] = {0, 1, G_MAXUINT64, 4096, G_MAXUINT32};
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 2000; i++) {
        Told told = {.at = 1000 + i * 0.1, .to = server(i), .client_port = (guint16)i};
        PstFlow flow = flow_told(&told);
        flow.sampling_rate = rates[i % G_N_ELEMENTS(rates)];
        trial_flow(&trial, &flow);
    }
    for (guint i = 0; i < trial.rows->len; i++) {
        const PstVerdict *v = &g_array_index(trial.rows, PstVerdict, i);
        cr_assert(v->evidence >= 0 && v->evidence <= 1000);
        cr_assert(v->sessions_low >= 0 && v->sampling >= 1);
    }
    trial_end(&trial);
}

Test(engine, flood_of_sources_is_bounded_and_flags_nobody)
{
    EngineConf conf = small_conf();
    conf.max_units = 1000;
    conf.max_episodes = 16;
    Trial trial;
    trial_begin(&trial, &conf);
    for (guint i = 0; i < 20000; i++) {
        char client[40];
        g_snprintf(client, sizeof client, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        trial_tell(&trial, (Told){.at = 1000 + i * 0.01,
                                  .unit = client,
                                  .to = server(i),
                                  .client_port = (guint16)(1024 + i % 60000)});
    }
    const EngineStats *stats = engine_stats(trial.engine);
    cr_assert_eq(stats->units, 1000);
    cr_assert_eq(stats->units_evicted, 19000);
    cr_assert_eq(trial.rows->len, 0);
    trial_end(&trial);
}

Test(engine, many_episodes_at_once_end_early_but_none_is_silent)
{
    EngineConf conf = small_conf();
    conf.max_episodes = 16;
    Trial trial;
    trial_begin(&trial, &conf);
    for (guint i = 0; i < 200; i++)
        for (guint u = 0; u < 40; u++) {
            char client[40];
            g_snprintf(client, sizeof client, "192.0.2.%u", u);
            trial_tell(&trial, (Told){.at = 1000 + i * 0.2,
                                      .unit = client,
                                      .to = server(i),
                                      .client_port = (guint16)(1024 + i)});
        }
    cr_assert_leq(engine_stats(trial.engine)->episodes, 16);
    cr_assert_gt(engine_stats(trial.engine)->episodes_evicted, 0);
    engine_finish(trial.engine);
    trial_take(&trial);
    for (guint band = 0; band < PST_BAND_COUNT; band++)
        cr_assert_eq(trial_count(&trial, (PstBand)band, FALSE),
                     trial_count(&trial, (PstBand)band, TRUE), "every row is completed");
    trial_end(&trial);
}

Test(engine, idle_units_are_forgotten)
{
    Trial trial;
    trial_begin(&trial, NULL);
    trial_tell(&trial, (Told){.at = 1000, .to = server(1), .client_port = 1});
    for (double at = 1000; at < 4 * 86400; at += 60)
        trial_beat(&trial, A_ROUTER, at);
    cr_assert_eq(engine_stats(trial.engine)->units, 0);
    cr_assert_eq(engine_stats(trial.engine)->units_forgotten, 1);
    trial_end(&trial);
}

/* --- activity ----------------------------------------------------------------------------- */

Test(engine, activity_is_told_in_buckets_of_five_minutes)
{
    EngineConf conf = small_conf();
    g_autoptr(Engine) engine = engine_new(&conf, 0);
    for (guint i = 0; i < 10; i++) {
        Told told = {.at = 295 + i,
                     .to = server(i % 2),
                     .client_port = (guint16)(1024 + i),
                     .port = i == 9 ? 587 : 25};
        PstFlow flow = flow_told(&told);
        engine_flow(engine, &flow, i);
        engine_flow(engine, &flow, i);
    }
    g_autoptr(GArray) rows = engine_take_activity(engine);
    cr_assert_eq(rows->len, 2);
    const PstActivity *first = &g_array_index(rows, PstActivity, 0);
    const PstActivity *second = &g_array_index(rows, PstActivity, 1);
    cr_assert_eq(first->bucket_s, DAY_S);
    cr_assert_eq(second->bucket_s, DAY_S + 300);
    cr_assert_eq(first->sessions, 5);
    cr_assert_eq(first->destinations, 2);
    cr_assert_eq(first->packets, 2 * 5 * 14);
    cr_assert_eq(first->ports, 1);
    cr_assert_eq(second->sessions, 5);
    cr_assert_eq(second->destinations, 1, "587 is a channel of its own");
    cr_assert_eq(second->ports, 5);
    g_autoptr(GArray) none = engine_take_activity(engine);
    cr_assert_eq(none->len, 0);
}

Test(engine, activity_of_many_units_is_ordered_and_whole)
{
    EngineConf conf = small_conf();
    g_autoptr(Engine) engine = engine_new(&conf, 0);
    for (guint i = 0; i < 20000; i++) {
        char client[40];
        g_snprintf(client, sizeof client, "10.0.%u.%u", i % 5000 >> 8, i & 255);
        Told told = {.at = 300 + i * 0.01, .unit = client, .to = server(i)};
        PstFlow flow = flow_told(&told);
        engine_flow(engine, &flow, i);
    }
    g_autoptr(GArray) rows = engine_take_activity(engine);
    guint64 packets = 0;
    for (guint i = 0; i < rows->len; i++) {
        const PstActivity *row = &g_array_index(rows, PstActivity, i);
        packets += row->packets;
        if (i > 0)
            cr_assert_lt(pst_addr_compare(&row[-1].unit.addr, &row->unit.addr), 0);
    }
    cr_assert_eq(packets, 20000 * 14);
}
