/* SPDX-License-Identifier: Apache-2.0 */
#include "meters.h"

#include "postern/unit.h"

static PstCell *counter(PstStats *stats, const char *name, const char *label, const char *value,
                        const char *help)
{
    g_autofree char *labels = label != NULL ? g_strdup_printf("%s=\"%s\"", label, value) : NULL;
    return pst_stats_cell(stats, PST_COUNTER, name, labels, help);
}

static PstCell *gauge(PstStats *stats, const char *name, const char *help)
{
    return pst_stats_cell(stats, PST_GAUGE, name, NULL, help);
}

static void init_flows(Meters *m)
{
    for (guint i = 0; i < ENGINE_FATES; i++)
        m->flows[i] = counter(m->stats, "postern_scorer_flows_total", "fate",
                              engine_fate_name((EngineFate)i), "Flows by what became of them.");
    m->heartbeats = counter(m->stats, "postern_scorer_heartbeats_total", NULL, NULL,
                            "Heartbeats of exporters taken.");
    for (guint i = 0; i < PST_BAND_COUNT; i++)
        m->verdicts[i] = counter(m->stats, "postern_scorer_verdicts_total", "band",
                                 pst_band_name((PstBand)i), "Crossings of a band, committed.");
}

void meters_init(Meters *m, PstStats *stats)
{
    m->stats = stats;
    static const char *const topics[] = {PST_TOPIC_SMTP, PST_TOPIC_EVIDENCE};
    for (guint i = 0; i < G_N_ELEMENTS(topics); i++)
        m->messages[i] = counter(stats, "postern_scorer_messages_total", "topic", topics[i],
                                 "Messages taken from the bus, copies included.");
    m->duplicates = counter(stats, "postern_scorer_duplicates_total", NULL, NULL,
                            "Batches that came a second time and were dropped.");
    m->malformed = counter(stats, "postern_scorer_malformed_total", NULL, NULL,
                           "Batches and complaints on the bus that break their format.");
    init_flows(m);
    m->complaints = counter(stats, "postern_scorer_complaints_total", NULL, NULL,
                            "Complaints handed to the database.");
    m->inputs = counter(stats, "postern_scorer_inputs_total", NULL, NULL,
                        "Decisions of people and of the state machine applied to scoring.");
    m->holes = counter(stats, "postern_scorer_missed_messages_total", NULL, NULL,
                       "Messages that the bus threw away before they were read.");
    m->rebuilt = counter(stats, "postern_scorer_rebuild_messages_total", NULL, NULL,
                         "Messages read again to rebuild the state after a start.");
    m->snapshots = counter(stats, "postern_scorer_snapshots_total", "result", "written",
                           "Snapshots of partitions' states.");
    m->snapshots_failed = counter(stats, "postern_scorer_snapshots_total", "result", "failed",
                                  "Snapshots of partitions' states.");
    m->ticks = counter(stats, "postern_scorer_ticks_total", NULL, NULL, "Ticks committed.");
    m->tick_us = pst_stats_cell(stats, PST_COUNTER_MICROS, "postern_scorer_tick_seconds_total",
                                NULL, "Time spent committing ticks.");
    m->retries = counter(stats, "postern_scorer_tick_retries_total", NULL, NULL,
                         "Ticks that found the database away, each try.");
    m->fenced = counter(stats, "postern_scorer_fenced_total", NULL, NULL,
                        "Partitions given up because another scorer took them over.");
    m->partitions = gauge(stats, "postern_scorer_partitions", "Partitions held.");
    m->rebuilding = gauge(stats, "postern_scorer_partitions_rebuilding",
                          "Partitions whose state is being rebuilt.");
    m->database_away = gauge(stats, "postern_scorer_database_away", "1 while PostgreSQL is away.");
    m->bus_away = gauge(stats, "postern_scorer_bus_away", "1 while the bus is away.");
}

void meters_away(Meters *m, PstCell *which, const char *why)
{
    char **held = which == m->bus_away ? &m->bus_why : &m->database_why;
    pst_cell_set(which, why != NULL);
    g_mutex_lock(&m->lock);
    g_free(*held);
    *held = why != NULL ? g_strdelimit(g_strdup(why), "\n", ' ') : NULL;
    g_mutex_unlock(&m->lock);
}

void meters_why(Meters *m, char *const *which, const char *what, GString *out)
{
    g_mutex_lock(&m->lock);
    if (*which != NULL)
        g_string_append_printf(out, "%s: %s\n", what, *which);
    g_mutex_unlock(&m->lock);
}

void meters_lag(Meters *m, const char *topic, guint32 partition, guint64 messages)
{
    g_autofree char *labels = g_strdup_printf("topic=\"%s\",partition=\"%u\"", topic, partition);
    pst_cell_set(pst_stats_cell(m->stats, PST_GAUGE, "postern_scorer_lag_messages", labels,
                                "Messages on the bus that are not committed yet."),
                 messages);
}

void meters_snapshot(Meters *m, const SnapshotDone *done)
{
    g_autofree char *labels = g_strdup_printf("partition=\"%u\"", done->partition);
    pst_cell_add_owned(done->written ? m->snapshots : m->snapshots_failed, 1);
    if (!done->written)
        return;
    const struct {
        PstStatKind kind;
        const char *name, *help;
        guint64 value;
    } rows[] = {
        {PST_GAUGE, "postern_scorer_snapshot_time_seconds",
         "When the newest snapshot was taken, UTC seconds.", (guint64)done->taken_s},
        {PST_GAUGE, "postern_scorer_snapshot_bytes", "Size of the newest snapshot.", done->bytes},
        {PST_GAUGE_MICROS, "postern_scorer_snapshot_pause_seconds",
         "So long the stream stood for the newest snapshot.", (guint64)done->pause_us},
        {PST_GAUGE_MICROS, "postern_scorer_snapshot_write_seconds",
         "So long the newest snapshot was written beside.", (guint64)done->write_us},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        pst_cell_set(pst_stats_cell(m->stats, rows[i].kind, rows[i].name, labels, rows[i].help),
                     rows[i].value);
}

void meters_engine(Meters *m, guint32 partition, const EngineStats *engine)
{
    g_autofree char *labels = g_strdup_printf("partition=\"%u\"", partition);
    const struct {
        PstStatKind kind;
        const char *name, *help;
        guint64 value;
    } rows[] = {
        {PST_GAUGE, "postern_scorer_units", "Units held in memory.", engine->units},
        {PST_GAUGE, "postern_scorer_episodes", "Episodes open.", engine->episodes},
        {PST_GAUGE, "postern_scorer_state_bytes", "Memory of a partition's state.",
         engine->state_bytes},
        {PST_GAUGE, "postern_scorer_watermark_seconds", "Event time that is complete, UTC seconds.",
         (guint64)(engine->watermark_ns / G_GINT64_CONSTANT(1000000000))},
        {PST_GAUGE_MICROS, "postern_scorer_novelty_fill_ratio",
         "Part of the novelty filter in use; above 0.67 it is too small and misses sessions.",
         (guint64)(1e6 * engine->novelty_fill)},
        {PST_COUNTER, "postern_scorer_units_evicted_total",
         "Units forgotten early because max_units was reached.", engine->units_evicted},
        {PST_COUNTER, "postern_scorer_episodes_evicted_total",
         "Episodes ended early because max_episodes was reached.", engine->episodes_evicted},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        pst_cell_set(pst_stats_cell(m->stats, rows[i].kind, rows[i].name, labels, rows[i].help),
                     rows[i].value);
}
