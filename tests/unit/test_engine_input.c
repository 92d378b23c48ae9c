/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine makes of bad input, its bounds, and the activity it tells. Generated traffic. */
#include <criterion/criterion.h>

#include "engine_maker.h"

/* --- bad input ---------------------------------------------------------------------------- */

Test(engine_input, late_record_is_counted_and_shown_but_not_scored)
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

Test(engine_input, impossible_times_are_refused)
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

Test(engine_input, exporter_far_ahead_is_set_aside)
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

Test(engine_input, lying_sampling_rates_break_nothing)
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

Test(engine_input, flood_of_sources_is_bounded_and_flags_nobody)
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

Test(engine_input, many_episodes_at_once_end_early_but_none_is_silent)
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

Test(engine_input, idle_units_are_forgotten)
{
    Trial trial;
    trial_begin(&trial, NULL);
    trial_tell(&trial, (Told){.at = 1000, .to = server(1), .client_port = 1});
    double at = 1000;
    for (; at < 4 * 86400; at += 60)
        trial_beat(&trial, A_ROUTER, at);
    cr_assert_eq(engine_stats(trial.engine)->units, 1, "its first day counts for three weeks");
    for (; at < 23 * 86400; at += 60)
        trial_beat(&trial, A_ROUTER, at);
    cr_assert_eq(engine_stats(trial.engine)->units, 0);
    cr_assert_eq(engine_stats(trial.engine)->units_forgotten, 1);
    trial_end(&trial);
}

/* --- activity ----------------------------------------------------------------------------- */

Test(engine_input, activity_is_told_in_buckets_of_five_minutes)
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

Test(engine_input, activity_of_many_units_is_ordered_and_whole)
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
