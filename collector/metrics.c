/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

/* X(name without prefix, kind, labels, value of a MetricsSource s, sentence) */
#define METRICS(X)                                                                                 \
    X("datagrams_total", PST_COUNTER, NULL, s->datagrams, "Datagrams received.")                   \
    X("bytes_total", PST_COUNTER, NULL, s->bytes, "Bytes of payload received.")                    \
    X("kernel_dropped_datagrams_total", PST_COUNTER, NULL, s->kernel_dropped,                      \
      "Datagrams that the socket's queue had no room for (SO_RXQ_OVFL).")                          \
    X("messages_total", PST_COUNTER, NULL, s->decoder->messages, "Export messages decoded.")       \
    X("records_total", PST_COUNTER, NULL, s->decoder->records, "Flow records received.")           \
    X("flows_total", PST_COUNTER, NULL, s->decoder->flows, "Flow records decoded in full.")        \
    X("options_records_total", PST_COUNTER, NULL, s->decoder->options, "Options data records.")    \
    X("templates_total", PST_COUNTER, NULL, s->decoder->templates, "Templates new or changed.")    \
    X("template_withdrawals_total", PST_COUNTER, NULL, s->decoder->withdrawals, "Withdrawals.")    \
    X("held_sets_total", PST_COUNTER, NULL, s->decoder->held, "Sets held for their template.")     \
    X("late_records_total", PST_COUNTER, NULL, s->decoder->late,                                   \
      "Records decoded after their template came late.")                                           \
    X("skipped_fields_total", PST_COUNTER, NULL, s->decoder->unknown_fields,                       \
      "Fields of new templates that are skipped by their length.")                                 \
    X("verified_records_total", PST_COUNTER, NULL, s->decoder->verified,                           \
      "Records that libfixbuf has read, too (verify).")                                            \
    X("differing_records_total", PST_COUNTER, NULL, s->decoder->differences,                       \
      "Records that libfixbuf reads differently (verify).")                                        \
    X("nonsense_times_total", PST_COUNTER, NULL, s->decoder->nonsense.times_left_out,              \
      "Times of flows that cannot be true and were left out.")                                     \
    X("backward_times_total", PST_COUNTER, NULL, s->decoder->nonsense.times_backwards,             \
      "Flows that ended before they started.")                                                     \
    X("exporters", PST_GAUGE, NULL, s->exporters, "Exporters known now.")                          \
    X("held_bytes", PST_GAUGE, NULL, s->budget->bytes, "Bytes held for late templates.")           \
    X("published_flows_total", PST_COUNTER, "topic=\"smtp\"", s->publisher->flows[TOPIC_SMTP],     \
      "Flows written.")                                                                            \
    X("published_flows_total", PST_COUNTER, "topic=\"flows\"", s->publisher->flows[TOPIC_FLOWS],   \
      "Flows written.")                                                                            \
    X("heartbeats_total", PST_COUNTER, NULL, s->publisher->heartbeats, "Heartbeats written.")      \
    X("batches_total", PST_COUNTER, NULL, s->publisher->outlet.batches, "Batches the bus took.")   \
    X("batch_bytes_total", PST_COUNTER, NULL, s->publisher->outlet.bytes,                          \
      "Bytes of these batches.")                                                                   \
    X("batches_delivered_total", PST_COUNTER, NULL, s->publisher->outlet.delivered,                \
      "Batches that the bus confirmed.")                                                           \
    X("batches_lost_total", PST_COUNTER, "by=\"bus\"", s->publisher->outlet.lost_batches,          \
      "Batches that were lost.")                                                                   \
    X("batches_lost_total", PST_COUNTER, "by=\"spool\"", s->publisher->outlet.spool.evicted,       \
      "Batches that were lost.")                                                                   \
    X("spool_batches", PST_GAUGE, NULL, s->publisher->outlet.spool.file.batches,                   \
      "Batches that the spool keeps for the bus.")                                                 \
    X("spool_bytes", PST_GAUGE, NULL, s->publisher->outlet.spool.file.bytes,                       \
      "Bytes of the spool that are in use.")                                                       \
    X("spool_unwritten_bytes", PST_GAUGE, NULL, s->publisher->outlet.spool.unwritten,              \
      "Bytes that wait for the spool's disk.")                                                     \
    X("spool_written_batches_total", PST_COUNTER, NULL, s->publisher->outlet.spool.written,        \
      "Batches that went to the spool.")                                                           \
    X("spool_replayed_batches_total", PST_COUNTER, NULL, s->publisher->outlet.spool.replayed,      \
      "Batches that went from the spool to the bus.")                                              \
    X("batches_lost_total", PST_COUNTER, "by=\"queue\"", s->publisher->outlet.queue_dropped,       \
      "Batches that were lost.")                                                                   \
    X("resumed_domains_total", PST_COUNTER, NULL, s->saver->domains,                               \
      "Domains known from before this process (state).")                                           \
    X("resumed_templates_total", PST_COUNTER, NULL, s->saver->templates,                           \
      "Templates known from before this process (state).")                                         \
    X("state_items_refused_total", PST_COUNTER, NULL, s->saver->refused,                           \
      "Items of the state file that break a rule.")                                                \
    X("queue_bytes", PST_GAUGE, NULL, s->publisher->outlet.queue_bytes,                            \
      "Bytes waiting for the bus.")                                                                \
    X("learned_exporters_total", PST_COUNTER, NULL, s->roster->learned,                            \
      "Exporters written to the list that is learned.")                                            \
    X("unlearned_exporters_total", PST_COUNTER, NULL, s->roster->failed + s->roster->refused,      \
      "Times that an exporter could not be written there (no room, no right).")                    \
    X("tcp_connections", PST_GAUGE, NULL, s->tcp->connections, "TCP connections now.")             \
    X("tcp_accepted_total", PST_COUNTER, NULL, s->tcp->accepted, "TCP connections made to us.")    \
    X("tcp_accept_failures_total", PST_COUNTER, NULL, s->tcp->accept_failures,                     \
      "Times that no TCP connection could be taken (no descriptor, no memory).")

/* The same of each worker: is one of them near its end, or are its sockets? */
#define WORKER_METRICS(X)                                                                          \
    X("worker_datagrams_total", PST_COUNTER, s->datagrams, "Datagrams received, by worker.")       \
    X("worker_exporters", PST_GAUGE, s->exporters, "Exporters known now, by worker.")              \
    X("worker_kernel_dropped_datagrams_total", PST_COUNTER, s->kernel_dropped,                     \
      "Datagrams that the sockets' queues had no room for, by worker.")                            \
    X("worker_cpu_seconds_total", PST_COUNTER_MICROS, s->cpu_us,                                   \
      "Processor time of the worker's thread: near 1 a second it is full.")                        \
    X("spool_oldest_seconds", PST_GAUGE, s->publisher->outlet.spool_age_s,                         \
      "Age of the oldest batch in the worker's spool, 0 if it is empty.")

enum {
#define METRIC_COUNT(...) +1
    SUMS_N = 0 METRICS(METRIC_COUNT),
    OWN_N = 0 WORKER_METRICS(METRIC_COUNT),
#undef METRIC_COUNT
    METRICS_N = SUMS_N + OWN_N + DROP_COUNT + TCP_END_COUNT
};

/* A cell, and what we have given it. */
typedef struct {
    PstCell *cell;
    guint64 given;
} Sum;

struct Metrics {
    Sum sums[METRICS_N]; /* METRICS, WORKER_METRICS, drops, ends */
};

Metrics *metrics_new(PstStats *stats, guint worker)
{
    Metrics *metrics = g_new0(Metrics, 1);
    Sum *sum = metrics->sums;
#define METRIC_CELL(name, kind, labels, value, help)                                               \
    (sum++)->cell = pst_stats_cell(stats, kind, "postern_collector_" name, labels, help);
    METRICS(METRIC_CELL)
#undef METRIC_CELL
    g_autofree char *whose = g_strdup_printf("worker=\"%u\"", worker);
#define METRIC_CELL(name, kind, value, help)                                                       \
    (sum++)->cell = pst_stats_cell(stats, kind, "postern_collector_" name, whose, help);
    WORKER_METRICS(METRIC_CELL)
#undef METRIC_CELL
    for (guint drop = 1; drop < DROP_COUNT; drop++) {
        g_autofree char *label = g_strdup_printf("reason=\"%s\"", drop_name((Drop)drop));
        (sum++)->cell =
            pst_stats_cell(stats, PST_COUNTER, "postern_collector_dropped_total", label,
                           "Datagrams, sets, templates and records not used, by reason.");
    }
    for (guint end = 0; end < TCP_END_COUNT; end++) {
        g_autofree char *label = g_strdup_printf("reason=\"%s\"", tcp_end_name((TcpEnd)end));
        (sum++)->cell = pst_stats_cell(stats, PST_COUNTER, "postern_collector_tcp_closed_total",
                                       label, "TCP connections closed, by reason.");
    }
    return metrics;
}

void metrics_free(Metrics *metrics)
{
    g_free(metrics);
}

/* A gauge that fell grows by the number that wraps round to it. */
static void give(Sum *sum, guint64 value)
{
    pst_cell_add(sum->cell, value - sum->given);
    sum->given = value;
}

void metrics_show(Metrics *metrics, const MetricsSource *s)
{
    Sum *sum = metrics->sums;
#define METRIC_SHOW(name, kind, labels, value, help) give(sum++, value);
    METRICS(METRIC_SHOW)
#undef METRIC_SHOW
#define METRIC_SHOW(name, kind, value, help) give(sum++, value);
    WORKER_METRICS(METRIC_SHOW)
#undef METRIC_SHOW
    for (guint drop = 1; drop < DROP_COUNT; drop++)
        give(sum++, s->decoder->drops[drop]);
    for (guint end = 0; end < TCP_END_COUNT; end++)
        give(sum++, s->tcp->ended[end]);
}
