/* SPDX-License-Identifier: Apache-2.0 */
#include "partition.h"

#include <inttypes.h>
#include <string.h>

#include "arrivals.h"
#include "codec.h"
#include "log.h"
#include "postern/bus.h"
#include "postern/unit.h"
#include "recall.h"

#define ANOTHER_LOG G_MAXINT64

enum { TICK_S = 1, TICK_SIGHTINGS = 10000, INPUTS_PAGE = 1000 };

typedef struct {
    PstEvidence *evidence;
    gint64 position;
} Complaint;

/* What happened since the last commit. */
typedef struct {
    PstHold *next; /* NULL: no tick is open */
    PstMono opened;
    guint sightings;
    Arrivals *arrivals; /* what exporters sent */
    GArray *complaints; /* Complaint */
    GArray *verdicts;   /* of the engine, taken once when the tick is closed; else NULL */
    GArray *activity;
    GArray *envelopes; /* PstEnvelope */
    GArray *waiting;   /* PstWaitingDay */
} Tick;

struct Partition {
    const PartitionConf *conf;
    Engine *engine;
    PstHold *hold; /* as PostgreSQL has it */
    char *subject; /* "partition 3", for the log */
    Tick tick;
    gint64 live_from[2]; /* messages before it were taken already: of smtp, of evidence */
    gint64 saved_position, saved_input; /* of the newest snapshot of ours; −1: none */

    gboolean rebuilding;
    gboolean starting_over;   /* on another log, and nothing of it is committed yet */
    GArray *old_inputs;       /* PstInput: decisions applied before our time, in id order */
    guint old_inputs_applied; /* how many of them the engine has been given again */
    GHashTable *old_marks;    /* producers' marks while rebuilding: as hold.producers */
    PstLogLimit malformed_limit;
};

static void complaint_clear(gpointer data)
{
    pst_evidence_free(((Complaint *)data)->evidence);
}

static void tick_clear(Tick *tick)
{
    g_clear_pointer(&tick->next, pst_hold_free);
    g_clear_pointer(&tick->verdicts, g_array_unref);
    g_clear_pointer(&tick->activity, g_array_unref);
    g_clear_pointer(&tick->envelopes, g_array_unref);
    g_clear_pointer(&tick->waiting, g_array_unref);
    arrivals_clear(tick->arrivals);
    g_array_set_size(tick->complaints, 0);
    tick->sightings = 0;
}

void partition_free(Partition *p)
{
    if (p == NULL)
        return;
    tick_clear(&p->tick);
    arrivals_free(p->tick.arrivals);
    g_array_unref(p->tick.complaints);
    g_clear_pointer(&p->hold, pst_hold_free);
    g_clear_pointer(&p->old_inputs, g_array_unref);
    g_clear_pointer(&p->old_marks, g_hash_table_unref);
    engine_free(p->engine);
    g_free(p->subject);
    g_free(p);
}

Partition *partition_take(const PartitionConf *conf, guint32 partition, GError **error)
{
    g_autoptr(Partition) p = g_new0(Partition, 1);
    p->conf = conf;
    p->subject = g_strdup_printf("partition %u", partition);
    p->engine = engine_new(conf->engine, partition);
    engine_keep_rows(p->engine);
    p->tick.arrivals = arrivals_new();
    p->tick.complaints = g_array_new(FALSE, FALSE, sizeof(Complaint));
    g_array_set_clear_func(p->tick.complaints, complaint_clear);
    p->old_marks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    p->old_inputs = g_array_new(FALSE, FALSE, sizeof(PstInput));
    p->saved_position = -1;
    p->rebuilding = TRUE; /* until postern.smtp is assigned */
    p->hold = conf->sink->take(conf->sink, partition, conf->partitions, conf->owner, error);
    return p->hold != NULL ? g_steal_pointer(&p) : NULL;
}

guint32 partition_number(const Partition *p)
{
    return p->hold->partition;
}

enum { SMTP, EVIDENCE };

static int topic_of(const char *name)
{
    return strcmp(name, PST_TOPIC_EVIDENCE) == 0 ? EVIDENCE : SMTP;
}

gint64 partition_position(const Partition *p, const char *topic)
{
    return topic_of(topic) == SMTP ? p->hold->smtp_position : p->hold->evidence_position;
}

gboolean partition_is_rebuilding(const Partition *p)
{
    return p->rebuilding;
}

/* Gives the engine again what it was given before the message at @offset. */
static void repeat_inputs(Partition *p, gint64 offset)
{
    while (p->old_inputs_applied < p->old_inputs->len) {
        const PstInput *input = &g_array_index(p->old_inputs, PstInput, p->old_inputs_applied);
        if (input->applied_at_position > offset)
            return;
        engine_input(p->engine, input);
        p->old_inputs_applied++;
    }
}

static void drop_outputs(Partition *p)
{
    g_array_unref(engine_take_verdicts(p->engine));
    g_array_unref(engine_take_activity(p->engine));
    g_array_unref(engine_take_envelopes(p->engine));
    g_array_unref(engine_take_waiting(p->engine));
}

/* What was learned before @first, the log's oldest message, comes from the database; the rest is in
 * the log. */
static gboolean restore_learned(Partition *p, gint64 first, GError **error)
{
    PstSink *sink = p->conf->sink;
    guint32 number = p->hold->partition, n = p->conf->partitions;
    g_autoptr(GArray) learned = recall_learned(sink, number, n, error);
    g_autoptr(GArray) waiting = learned != NULL ? recall_waiting(sink, number, n, error) : NULL;
    if (waiting == NULL)
        return FALSE;
    guint restored = 0;
    for (guint i = 0; i < learned->len; i++) {
        PstEnvelope *row = &g_array_index(learned, PstEnvelope, i);
        if (row->gone || row->since >= first)
            continue;
        if (first == ANOTHER_LOG)
            row->since = -1;
        engine_restore(p->engine, row);
        restored++;
    }
    for (guint i = 0; i < waiting->len; i++) {
        const PstWaitingDay *row = &g_array_index(waiting, PstWaitingDay, i);
        if (row->fate == PST_WAITING)
            engine_restore_waiting(p->engine, row);
    }
    pst_log(PST_LOG_INFO, p->subject, "learned before the log begins units=%u", restored);
    return TRUE;
}

static void finish_rebuild(Partition *p)
{
    repeat_inputs(p, G_MAXINT64);
    drop_outputs(p);
    g_hash_table_remove_all(p->old_marks);
    if (p->rebuilding)
        pst_log(PST_LOG_INFO, p->subject, "state rebuilt position=%" G_GINT64_FORMAT,
                p->hold->smtp_position);
    p->rebuilding = FALSE;
}

/* From @from on the log is read; up to the position outputs are dropped. Where to begin. */
static gint64 begin_rebuild(Partition *p, gint64 from)
{
    gint64 position = p->hold->smtp_position;
    p->live_from[SMTP] = position;
    p->rebuilding = position > from;
    if (!p->rebuilding) {
        finish_rebuild(p);
        return position;
    }
    pst_log(PST_LOG_INFO, p->subject,
            "rebuilding state messages=%" G_GINT64_FORMAT " position=%" G_GINT64_FORMAT,
            position - from, position);
    return from;
}

static void use_snapshot_take(Partition *p, Engine *engine, const PstHold *at)
{
    engine_free(p->engine);
    p->engine = engine;
    engine_keep_rows(engine);
    g_hash_table_unref(p->old_marks);
    p->old_marks = g_hash_table_ref(at->producers);
    p->saved_input = at->input_id;
    p->saved_position = at->smtp_position;
    pst_log(PST_LOG_INFO, p->subject, "snapshot loaded position=%" PRId64, p->saved_position);
}

static gboolean resume(Partition *p, gint64 first, gint64 *out_from, GError **error)
{
    const PartitionConf *conf = p->conf;
    g_autoptr(PstHold) at = NULL;
    g_autoptr(Engine) engine = NULL;
    if (conf->snapshots != NULL && p->hold->smtp_position >= 0)
        engine = snapshots_load(conf->snapshots, conf->engine, p->hold, first, &at);
    gint64 from = engine != NULL ? MAX(at->smtp_position, first) : first;
    gint64 after = engine != NULL ? at->input_id : 0;
    g_autoptr(GArray) inputs =
        recall_inputs(conf->sink, p->hold->partition, after, p->hold->input_id, error);
    if (inputs == NULL || (engine == NULL && !restore_learned(p, first, error)))
        return FALSE;
    g_array_unref(p->old_inputs);
    p->old_inputs = g_steal_pointer(&inputs);
    if (engine != NULL)
        use_snapshot_take(p, g_steal_pointer(&engine), at);
    *out_from = begin_rebuild(p, from);
    return TRUE;
}

/* All that was learned and decided before another log begins. */
static gboolean start_with_all(Partition *p, GError **error)
{
    g_autoptr(GArray) inputs =
        recall_inputs(p->conf->sink, p->hold->partition, 0, p->hold->input_id, error);
    if (inputs == NULL || !restore_learned(p, ANOTHER_LOG, error))
        return FALSE;
    if (p->conf->snapshots != NULL)
        snapshots_forget(p->conf->snapshots, p->hold->partition);
    g_array_unref(p->old_inputs);
    p->old_inputs = g_steal_pointer(&inputs);
    p->starting_over = TRUE;
    p->rebuilding = FALSE;
    finish_rebuild(p);
    return TRUE;
}

/* The database stands behind the end of the log: the file was moved away, or the topic was made
 * anew. Positions move back with the first tick; what was counted from the old log stays. */
static gboolean start_over(Partition *p, const char *topic, gint64 first, gint64 end,
                           GError **error)
{
    if (topic_of(topic) == SMTP && !start_with_all(p, error))
        return FALSE;
    pst_log(PST_LOG_ERR, p->subject,
            "%s ends before the position in PostgreSQL: this is another bus, it is read from its "
            "start end=%" G_GINT64_FORMAT " position=%" G_GINT64_FORMAT,
            topic, end, partition_position(p, topic));
    p->live_from[topic_of(topic)] = first;
    return TRUE;
}

static void note_hole(Partition *p, const char *topic, gint64 missed)
{
    pst_cell_add_owned(p->conf->meters->holes, (guint64)missed);
    pst_log(PST_LOG_ERR, p->subject,
            "the bus threw messages of %s away before they were read missed=%" G_GINT64_FORMAT,
            topic, missed);
}

gboolean partition_assigned(Partition *p, const char *topic, gint64 first, gint64 end,
                            gint64 *out_from, GError **error)
{
    gint64 position = partition_position(p, topic);
    if (position > end) {
        *out_from = PST_BUS_OLDEST;
        return start_over(p, topic, first, end, error);
    }
    if (topic_of(topic) == SMTP && !resume(p, first, out_from, error))
        return FALSE;
    if (topic_of(topic) == EVIDENCE)
        p->live_from[EVIDENCE] = *out_from = position;
    if (position >= 0 && position < first)
        note_hole(p, topic, first - position);
    return TRUE;
}

/* ---- messages ---- */

static gboolean is_live(const Partition *p, const PstBusMessage *m)
{
    return m->offset >= p->live_from[topic_of(m->topic)];
}

/* FALSE: a copy of a message that counted already. */
static gboolean is_first(GHashTable *marks, const PstBusMessage *m)
{
    if (m->stamp.producer == NULL || *m->stamp.producer == '\0')
        return TRUE;
    g_autofree char *key = pst_hold_producer_key(m->topic, m->stamp.producer);
    PstProducerMark *mark = g_hash_table_lookup(marks, key);
    if (mark != NULL &&
        !pst_bus_stamp_after(m->stamp.epoch, m->stamp.sequence, mark->epoch, mark->sequence))
        return FALSE;
    if (mark == NULL) {
        mark = g_new(PstProducerMark, 1);
        g_hash_table_insert(marks, g_steal_pointer(&key), mark);
    }
    *mark = (PstProducerMark){m->stamp.epoch, m->stamp.sequence};
    return TRUE;
}

static void count_flow(Partition *p, EngineFate fate)
{
    pst_cell_add_owned(p->conf->meters->flows[fate], 1);
    if (fate == ENGINE_NEW || fate == ENGINE_KNOWN || fate == ENGINE_LATE)
        p->tick.sightings++;
}

static void keep_beat(Partition *p, const PstHeartbeat *beat)
{
    arrivals_beat(p->tick.arrivals, beat);
    pst_cell_add_owned(p->conf->meters->heartbeats, 1);
}

static void count_malformed(Partition *p, const PstBusMessage *m)
{
    pst_cell_add_owned(p->conf->meters->malformed, 1);
    pst_log_limited(&p->malformed_limit, PST_LOG_WARN, p->subject,
                    "message breaks its format, the rest of it is dropped topic=%s "
                    "offset=%" G_GINT64_FORMAT " producer=%s",
                    m->topic, m->offset, m->stamp.producer != NULL ? m->stamp.producer : "");
}

/* Flows of a message that stand side by side, given to the engine together. */
typedef struct {
    PstFlow flow[ENGINE_FLOWS_BEST];
    guint n;
    gint64 offset;
    gboolean live;
} Run;

static void feed_run(Partition *p, Run *run)
{
    EngineFate fates[ENGINE_FLOWS_BEST];
    engine_flows(p->engine, run->flow, run->n, run->offset, fates);
    for (guint i = 0; i < run->n && run->live; i++) {
        count_flow(p, fates[i]);
        arrivals_flow(p->tick.arrivals, &run->flow[i]);
    }
    run->n = 0;
}

static void feed_beat(Partition *p, const PstHeartbeat *beat, gboolean live)
{
    if (beat->newest_event_ns != 0)
        engine_heartbeat(p->engine, beat);
    if (live)
        keep_beat(p, beat);
}

static void feed(Partition *p, const PstBusMessage *m, gboolean live)
{
    PstBatch batch = pst_batch(m->data, m->len);
    Run run;
    run.n = 0;
    run.offset = m->offset;
    run.live = live;
    PstHeartbeat beat;
    for (;;) {
        PstCodecItem item = pst_batch_next(&batch, &run.flow[run.n], &beat);
        if (item == PST_CODEC_FLOW && ++run.n < ENGINE_FLOWS_BEST)
            continue;
        feed_run(p, &run);
        if (item == PST_CODEC_HEARTBEAT)
            feed_beat(p, &beat, live);
        if (item == PST_CODEC_MALFORMED && live)
            count_malformed(p, m);
        if (item == PST_CODEC_MALFORMED || item == PST_CODEC_END)
            return;
    }
}

static void rebuild_from(Partition *p, const PstBusMessage *m)
{
    repeat_inputs(p, m->offset);
    if (is_first(p->old_marks, m))
        feed(p, m, FALSE);
    drop_outputs(p);
    pst_cell_add_owned(p->conf->meters->rebuilt, 1);
    if (m->offset + 1 >= p->live_from[SMTP])
        finish_rebuild(p);
}

static void take_smtp(Partition *p, const PstBusMessage *m)
{
    if (is_first(p->tick.next->producers, m))
        feed(p, m, TRUE);
    else
        pst_cell_add_owned(p->conf->meters->duplicates, 1);
    p->tick.next->smtp_position = m->offset + 1;
}

static void take_evidence(Partition *p, const PstBusMessage *m)
{
    p->tick.next->evidence_position = m->offset + 1;
    if (!is_first(p->tick.next->producers, m)) {
        pst_cell_add_owned(p->conf->meters->duplicates, 1);
        return;
    }
    Complaint complaint = {pst_evidence_decode(m->data, m->len), m->offset};
    if (complaint.evidence == NULL)
        count_malformed(p, m);
    else
        g_array_append_val(p->tick.complaints, complaint);
}

void partition_message(Partition *p, const PstBusMessage *m)
{
    int topic = topic_of(m->topic);
    if (!is_live(p, m)) {
        if (topic == SMTP && p->rebuilding)
            rebuild_from(p, m);
        return;
    }
    g_assert(p->tick.next != NULL);
    pst_cell_add_owned(p->conf->meters->messages[topic], 1);
    if (topic == SMTP && p->rebuilding)
        finish_rebuild(p); /* retention took what came before */
    if (topic == SMTP)
        take_smtp(p, m);
    else
        take_evidence(p, m);
    p->live_from[topic] = m->offset + 1;
}

/* ---- ticks ---- */

gboolean partition_needs_tick(const Partition *p, const PstBusMessage *m)
{
    return p->tick.next == NULL && is_live(p, m);
}

gboolean partition_tick_is_open(const Partition *p)
{
    return p->tick.next != NULL;
}

gboolean partition_open_tick(Partition *p, GError **error)
{
    g_assert(p->tick.next == NULL);
    g_autoptr(PstHold) next = pst_hold_copy(p->hold);
    if (p->starting_over) {
        next->another_log = TRUE;
        next->smtp_position = PST_BUS_OLDEST; /* until the first message of it */
    }
    if (!p->rebuilding) { /* a decision meets an engine that has seen everything before it */
        g_autoptr(GArray) inputs = p->conf->sink->inputs(p->conf->sink, p->hold->partition,
                                                         p->hold->input_id, INPUTS_PAGE, error);
        if (inputs == NULL)
            return FALSE;
        for (guint i = 0; i < inputs->len; i++) {
            const PstInput *input = &g_array_index(inputs, PstInput, i);
            engine_input(p->engine, input);
            next->input_id = input->id;
        }
        pst_cell_add_owned(p->conf->meters->inputs, inputs->len);
    }
    p->tick.next = g_steal_pointer(&next);
    p->tick.opened = pst_mono_now();
    return TRUE;
}

gboolean partition_tick_is_due(const Partition *p, PstMono now)
{
    return p->tick.next != NULL &&
           (p->tick.sightings >= TICK_SIGHTINGS ||
            pst_mono_since(now, p->tick.opened).ns >= TICK_S * PST_NS_PER_S);
}

static gboolean write_rows(Partition *p, GError **error)
{
    PstSink *sink = p->conf->sink;
    const Tick *tick = &p->tick;
    const PstActivity *activity = (const void *)tick->activity->data;
    const GArray *beats = arrivals_beats(tick->arrivals);
    if (!sink->add_activity(sink, activity, tick->activity->len, error))
        return FALSE;
    for (guint i = 0; i < tick->verdicts->len; i++)
        if (!sink->add_verdict(sink, &g_array_index(tick->verdicts, PstVerdict, i), error))
            return FALSE;
    for (guint i = 0; i < tick->complaints->len; i++) {
        const Complaint *complaint = &g_array_index(tick->complaints, Complaint, i);
        if (!sink->add_evidence(sink, p->hold->partition, complaint->evidence, complaint->position,
                                error))
            return FALSE;
    }
    const PstEnvelope *envelopes = (const void *)tick->envelopes->data;
    const PstWaitingDay *waiting = (const void *)tick->waiting->data;
    return sink->add_envelopes(sink, p->hold->partition, envelopes, tick->envelopes->len, error) &&
           sink->add_waiting(sink, p->hold->partition, waiting, tick->waiting->len, error) &&
           sink->add_loss(sink, (const void *)beats->data, beats->len, error);
}

static void count_tick(Partition *p, PstMono began)
{
    Meters *m = p->conf->meters;
    pst_cell_add_owned(m->ticks, 1);
    pst_cell_add_owned(m->tick_us, (guint64)(pst_mono_since(pst_mono_now(), began).ns / 1000));
    pst_cell_add_owned(m->complaints, p->tick.complaints->len);
    for (guint i = 0; i < p->tick.verdicts->len; i++) {
        const PstVerdict *verdict = &g_array_index(p->tick.verdicts, PstVerdict, i);
        if (!verdict->ended)
            pst_cell_add_owned(m->verdicts[verdict->band], 1);
    }
}

/* While the state is rebuilt complaints arrive, too. */
static void take_outputs(Partition *p)
{
    Tick *tick = &p->tick;
    gboolean live = !p->rebuilding;
    tick->verdicts =
        live ? engine_take_verdicts(p->engine) : g_array_new(FALSE, FALSE, sizeof(PstVerdict));
    tick->activity =
        live ? engine_take_activity(p->engine) : g_array_new(FALSE, FALSE, sizeof(PstActivity));
    tick->envelopes =
        live ? engine_take_envelopes(p->engine) : g_array_new(FALSE, FALSE, sizeof(PstEnvelope));
    tick->waiting =
        live ? engine_take_waiting(p->engine) : g_array_new(FALSE, FALSE, sizeof(PstWaitingDay));
}

gboolean partition_commit(Partition *p, GError **error)
{
    g_assert(p->tick.next != NULL);
    PstMono began = pst_mono_now();
    arrivals_close(p->tick.arrivals);
    if (p->tick.verdicts == NULL)
        take_outputs(p);
    if (!p->conf->sink->begin(p->conf->sink, p->hold, error) || !write_rows(p, error) ||
        !p->conf->sink->commit(p->conf->sink, p->hold, p->tick.next, error)) {
        p->conf->sink->rollback(p->conf->sink);
        return FALSE;
    }
    count_tick(p, began);
    pst_hold_free(p->hold);
    p->hold = g_steal_pointer(&p->tick.next);
    p->hold->another_log = p->starting_over = FALSE;
    tick_clear(&p->tick);
    return TRUE;
}

const EngineStats *partition_engine_stats(Partition *p)
{
    return engine_stats(p->engine);
}

gboolean partition_has_news(const Partition *p)
{
    return p->conf->snapshots != NULL && !p->rebuilding && p->tick.next == NULL &&
           p->hold->smtp_position >= 0 && p->live_from[SMTP] == p->hold->smtp_position &&
           (p->hold->smtp_position != p->saved_position || p->hold->input_id != p->saved_input);
}

void partition_snapshot(Partition *p)
{
    g_assert(partition_has_news(p));
    snapshots_take(p->conf->snapshots, p->hold, p->engine);
    p->saved_position = p->hold->smtp_position;
    p->saved_input = p->hold->input_id;
}
