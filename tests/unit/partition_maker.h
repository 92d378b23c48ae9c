/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A partition and what it needs: a sink in memory that keeps what was committed, can fail, and is
 * all that survives when the partition is dropped ("killed"); a log of generated traffic. */
#include <criterion/criterion.h>
#include <string.h>

#include "codec.h"
#include "engine_maker.h"
#include "log.h"
#include "partition.h"
#include "postern/unit.h"

/* ---- the sink in memory ---- */

typedef struct {
    PstSink sink;
    PstHold *hold;        /* the rows bus_offset and bus_producer */
    GArray *inputs;       /* PstInput: scorer_input with scorer_input_applied */
    GHashTable *verdicts; /* "unit episode band" → JSON of the crossing */
    GHashTable *sessions; /* "unit bucket" → sum, as text */
    GArray *envelopes;    /* PstEnvelope: unit_envelope */
    GArray *waiting;      /* PstWaitingDay: unit_waiting */
    guint complaints, received, commits;
    GHashTable *new_verdicts; /* of the open transaction */
    GArray *new_activity;
    guint new_complaints, new_received;
    int fail_commits;     /* so many commits fail with AWAY */
    Snapshots *snapshots; /* borrowed, or NULL */
} Fake;

static inline Fake *fake_of(PstSink *sink)
{
    return (Fake *)sink;
}

static inline PstHold *fake_take(PstSink *sink, guint32 partition, guint32 partitions,
                                 const char *owner, GError **error)
{
    fake_of(sink)->hold->epoch++;
    return pst_hold_copy(fake_of(sink)->hold);
}

static inline GArray *fake_inputs(PstSink *sink, guint32 partition, gint64 after, guint max,
                                  GError **error)
{
    GArray *found = g_array_new(FALSE, FALSE, sizeof(PstInput));
    for (guint i = 0; i < fake_of(sink)->inputs->len && found->len < max; i++) {
        const PstInput *input = &g_array_index(fake_of(sink)->inputs, PstInput, i);
        if (input->id > after)
            g_array_append_val(found, *input);
    }
    return found;
}

static inline gboolean fake_begin(PstSink *sink, const PstHold *hold, GError **error)
{
    Fake *fake = fake_of(sink);
    g_hash_table_remove_all(fake->new_verdicts);
    g_array_set_size(fake->new_activity, 0);
    fake->new_complaints = fake->new_received = 0;
    return TRUE;
}

static inline gboolean fake_activity(PstSink *sink, const PstActivity *rows, gsize n,
                                     GError **error)
{
    if (n > 0)
        g_array_append_vals(fake_of(sink)->new_activity, rows, (guint)n);
    return TRUE;
}

static inline gboolean fake_verdict(PstSink *sink, const PstVerdict *v, GError **error)
{
    char unit[PST_PREFIX_TEXT_MAX];
    if (v->ended)
        return TRUE;
    g_hash_table_insert(fake_of(sink)->new_verdicts,
                        g_strdup_printf("%s %" G_GINT64_FORMAT " %s",
                                        pst_prefix_format(&v->unit, unit), v->episode_ns,
                                        pst_band_name(v->band)),
                        pst_verdict_to_json(v));
    return TRUE;
}

static inline gboolean fake_evidence(PstSink *sink, guint32 partition, const PstEvidence *evidence,
                                     gint64 position, GError **error)
{
    fake_of(sink)->new_complaints++;
    return TRUE;
}

/* All at once: pages are the writer's to test. */
static inline GArray *fake_envelopes(PstSink *sink, guint32 partition, guint32 partitions,
                                     const PstEnvelope *after, guint max, GError **error)
{
    return g_array_copy(fake_of(sink)->envelopes);
}

static inline GArray *fake_waiting(PstSink *sink, guint32 partition, guint32 partitions,
                                   const PstWaitingDay *after, guint max, GError **error)
{
    return g_array_copy(fake_of(sink)->waiting);
}

static inline gboolean fake_add_envelopes(PstSink *sink, guint32 partition, const PstEnvelope *rows,
                                          gsize n, GError **error)
{
    GArray *held = fake_of(sink)->envelopes;
    for (gsize i = 0; i < n; i++) {
        for (guint k = held->len; k-- > 0;)
            if (pst_prefix_equal(&g_array_index(held, PstEnvelope, k).unit, &rows[i].unit))
                g_array_remove_index(held, k);
        if (!rows[i].gone)
            g_array_append_val(held, rows[i]);
    }
    return TRUE;
}

static inline gboolean fake_add_waiting(PstSink *sink, guint32 partition, const PstWaitingDay *rows,
                                        gsize n, GError **error)
{
    if (n > 0)
        g_array_append_vals(fake_of(sink)->waiting, rows, (guint)n);
    return TRUE;
}

static inline gboolean fake_loss(PstSink *sink, const PstHeartbeat *beats, gsize n, GError **error)
{
    for (gsize i = 0; i < n; i++)
        fake_of(sink)->new_received += (guint)beats[i].received;
    return TRUE;
}

static inline void add_sessions(Fake *fake, const PstActivity *row)
{
    char unit[PST_PREFIX_TEXT_MAX];
    char *key =
        g_strdup_printf("%s %" G_GINT64_FORMAT, pst_prefix_format(&row->unit, unit), row->bucket_s);
    const char *old = g_hash_table_lookup(fake->sessions, key);
    guint64 sum = row->sessions + (old != NULL ? g_ascii_strtoull(old, NULL, 10) : 0);
    g_hash_table_insert(fake->sessions, key, g_strdup_printf("%" G_GUINT64_FORMAT, sum));
}

static inline void note_applied(Fake *fake, const PstHold *hold, const PstHold *next)
{
    for (guint i = 0; i < fake->inputs->len; i++) {
        PstInput *input = &g_array_index(fake->inputs, PstInput, i);
        if (input->id > hold->input_id && input->id <= next->input_id)
            input->applied_at_position = hold->smtp_position;
        if (next->another_log && input->id <= next->input_id)
            input->applied_at_position = PST_BUS_OLDEST;
    }
}

static inline gboolean fake_commit(PstSink *sink, const PstHold *hold, const PstHold *next,
                                   GError **error)
{
    Fake *fake = fake_of(sink);
    if (fake->hold->epoch != hold->epoch || fake->hold->smtp_position != hold->smtp_position) {
        g_set_error(error, PST_ERROR, PST_ERROR_FENCED, "taken over");
        return FALSE;
    }
    if (fake->fail_commits > 0) {
        fake->fail_commits--;
        g_set_error(error, PST_ERROR, PST_ERROR_AWAY, "server closed the connection");
        return FALSE;
    }
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, fake->new_verdicts);
    while (g_hash_table_iter_next(&iter, &key, &value))
        if (!g_hash_table_contains(fake->verdicts, key))
            g_hash_table_insert(fake->verdicts, g_strdup(key), g_strdup(value));
    for (guint i = 0; i < fake->new_activity->len; i++)
        add_sessions(fake, &g_array_index(fake->new_activity, PstActivity, i));
    fake->complaints += fake->new_complaints;
    fake->received += fake->new_received;
    note_applied(fake, hold, next);
    pst_hold_free(fake->hold);
    fake->hold = pst_hold_copy(next);
    fake->commits++;
    return TRUE;
}

static inline void fake_rollback(PstSink *sink)
{
}

static inline Fake *fake_new(void)
{
    Fake *fake = g_new0(Fake, 1);
    fake->sink = (PstSink){.take = fake_take,
                           .inputs = fake_inputs,
                           .envelopes = fake_envelopes,
                           .waiting = fake_waiting,
                           .begin = fake_begin,
                           .add_activity = fake_activity,
                           .add_verdict = fake_verdict,
                           .add_evidence = fake_evidence,
                           .add_envelopes = fake_add_envelopes,
                           .add_waiting = fake_add_waiting,
                           .add_loss = fake_loss,
                           .commit = fake_commit,
                           .rollback = fake_rollback};
    fake->envelopes = g_array_new(FALSE, FALSE, sizeof(PstEnvelope));
    fake->waiting = g_array_new(FALSE, FALSE, sizeof(PstWaitingDay));
    fake->hold = pst_hold_new(3);
    fake->inputs = g_array_new(FALSE, FALSE, sizeof(PstInput));
    fake->verdicts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    fake->sessions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    fake->new_verdicts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    fake->new_activity = g_array_new(FALSE, FALSE, sizeof(PstActivity));
    return fake;
}

static inline void fake_free(Fake *fake)
{
    pst_hold_free(fake->hold);
    g_array_unref(fake->inputs);
    g_array_unref(fake->new_activity);
    g_array_unref(fake->envelopes);
    g_array_unref(fake->waiting);
    g_hash_table_unref(fake->verdicts);
    g_hash_table_unref(fake->sessions);
    g_hash_table_unref(fake->new_verdicts);
    g_free(fake);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fake, fake_free)

/* The rows of a table as one sorted text. */
static inline char *rows_of(GHashTable *table)
{
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(table), (GCompareFunc)strcmp);
    GString *out = g_string_new(NULL);
    for (GList *key = keys; key != NULL; key = key->next)
        g_string_append_printf(out, "%s: %s\n", (char *)key->data,
                               (char *)g_hash_table_lookup(table, key->data));
    return g_string_free(out, FALSE);
}

/* ---- the log ---- */

enum { SESSIONS = 300, PER_MESSAGE = 10, MESSAGES = SESSIONS / PER_MESSAGE };

/* A burst of one unit and one more session of others each second: watch, flag, block. */
static inline void fill(GByteArray *out, guint message)
{
    guint8 bytes[PST_CODEC_FLOW_MAX];
    for (guint i = 0; i < PER_MESSAGE; i++) {
        guint n = message * PER_MESSAGE + i;
        PstFlow flow = flow_told(&(Told){.at = n * 0.2,
                                         .unit = n % 10 == 9 ? "192.0.2.77" : A_UNIT,
                                         .to = server(n),
                                         .client_port = (guint16)(20000 + n)});
        g_byte_array_append(out, bytes, (guint)pst_codec_put_flow(bytes, &flow));
    }
    PstHeartbeat beat = {.sampler = addr_of(A_ROUTER),
                         .newest_event_ns = ns_at(message * PER_MESSAGE * 0.2),
                         .received_ns = ns_at(message * PER_MESSAGE * 0.2 + 5),
                         .received = PER_MESSAGE};
    g_byte_array_append(out, bytes, (guint)pst_codec_put_heartbeat(bytes, &beat));
}

/* Gives the partition the message at @offset of the log, as the consumer would. */
static inline void give(Partition *p, gint64 offset, guint64 sequence)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    fill(data, (guint)sequence - 1);
    PstBusMessage m = {.topic = PST_TOPIC_SMTP,
                       .partition = 3,
                       .offset = offset,
                       .stamp = {"collector", 1, sequence},
                       .data = data->data,
                       .len = data->len};
    if (partition_needs_tick(p, &m))
        cr_assert(partition_open_tick(p, NULL));
    partition_message(p, &m);
}

static Meters meters;
static PstStats *stats;

static inline void setup(void)
{
    pst_log_open("postern-scorer", PST_LOG_ERR);
    stats = pst_stats_new();
    meters_init(&meters, stats);
}

static inline void teardown(void)
{
    pst_stats_free(stats);
}

static EngineConf engine_conf;
static PartitionConf partition_conf;

static inline Partition *take(Fake *fake)
{
    engine_conf = small_conf();
    partition_conf = (PartitionConf){.sink = &fake->sink,
                                     .engine = &engine_conf,
                                     .snapshots = fake->snapshots,
                                     .partitions = 8,
                                     .owner = "test:1",
                                     .meters = &meters};
    Partition *p = partition_take(&partition_conf, 3, NULL);
    cr_assert_not_null(p);
    return p;
}

static inline gint64 assigned(Partition *p, const char *topic, gint64 first, gint64 end)
{
    gint64 from = -1;
    cr_assert(partition_assigned(p, topic, first, end, &from, NULL));
    return from;
}

static inline void release(Fake *fake, gint64 id)
{
    PstInput input = {.id = id,
                      .kind = PST_INPUT_RELEASED,
                      .unit = unit_named(A_UNIT),
                      .applied_at_position = PST_INPUT_NOT_APPLIED};
    g_array_append_val(fake->inputs, input);
}

static inline void commit(Partition *p)
{
    g_autoptr(GError) error = NULL;
    cr_assert(partition_commit(p, &error), "%s", error != NULL ? error->message : "");
}

/* Reads the whole log from where the sink stands; a tick every 3 messages; a release arrives before
 * message 12. Killed before the commit of message @kill_at (−1: never); starts again after it. */
static inline void live(Fake *fake, gint64 kill_at)
{
    g_autoptr(Partition) p = take(fake);
    gint64 from = assigned(p, PST_TOPIC_SMTP, 0, MESSAGES);
    for (gint64 offset = MAX(from, 0); offset < MESSAGES; offset++) {
        if (offset == 12 && fake->inputs->len == 0)
            release(fake, 1);
        give(p, offset, (guint64)offset + 1);
        if (offset == kill_at)
            return;
        if (partition_tick_is_open(p) && (offset % 3 == 2 || offset == MESSAGES - 1))
            commit(p);
    }
}
