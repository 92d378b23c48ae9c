/* SPDX-License-Identifier: Apache-2.0 */
#include "writer.h"

#include <string.h>

#include "writer_envelope.h"
#include "writer_loss.h"

typedef struct {
    PstSink sink; /* first: a Writer is a PstSink */
    PstPg *pg;
} Writer;

static Writer *writer_of(PstSink *sink)
{
    return (Writer *)sink;
}

/* ---- taking a partition ---- */

static gboolean load_producers(PstPg *pg, PstHold *hold, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, hold->partition);
    g_autoptr(PstPgRows) rows = pst_pg_query(pg,
                                             "SELECT topic, producer, epoch, sequence"
                                             "  FROM postern.bus_producer WHERE partition = $1",
                                             &p, error);
    if (rows == NULL)
        return FALSE;
    for (int i = 0; i < pst_pg_count(rows); i++) {
        PstProducerMark *mark = g_new(PstProducerMark, 1);
        mark->epoch = (guint64)pst_pg_int(rows, i, 2);
        mark->sequence = (guint64)pst_pg_int(rows, i, 3);
        g_hash_table_insert(hold->producers,
                            pst_hold_producer_key(pst_pg_text(rows, i, 0), pst_pg_text(rows, i, 1)),
                            mark);
    }
    return TRUE;
}

/* A partition count that differs, or a database without (all of) our schema, is the operator's to
 * set right, not the data's. */
static void blame_configuration(PstPg *pg, GError **error)
{
    static const char *const no_schema[] = {"3F000", "42883", "42P01", NULL};
    const char *state = pst_pg_sqlstate(pg);
    gboolean unprepared = g_strv_contains(no_schema, state);
    if (error == NULL || *error == NULL || (!unprepared && strcmp(state, "PT001") != 0))
        return;
    (*error)->code = PST_ERROR_USAGE;
    if (unprepared)
        g_prefix_error(error,
                       "run \"postern schema install\" or \"postern schema upgrade\" on this "
                       "database first: ");
}

static PstHold *writer_take(PstSink *sink, guint32 partition, guint32 partitions, const char *owner,
                            GError **error)
{
    PstPg *pg = writer_of(sink)->pg;
    if (!pst_pg_reconnect(pg, error))
        return NULL;
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, partition);
    pst_pg_add_int(&p, partitions);
    pst_pg_add_text(&p, owner);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg,
                     "SELECT epoch, smtp_position, evidence_position, input_id"
                     "  FROM postern.take_partition($1, $2, $3)",
                     &p, error);
    if (rows == NULL) {
        blame_configuration(pg, error);
        g_prefix_error(error, "taking partition %u: ", partition);
        return NULL;
    }
    g_autoptr(PstHold) hold = pst_hold_new(partition);
    hold->epoch = (guint64)pst_pg_int(rows, 0, 0);
    hold->smtp_position = pst_pg_int(rows, 0, 1);
    hold->evidence_position = pst_pg_int(rows, 0, 2);
    hold->input_id = pst_pg_int(rows, 0, 3);
    /* After the epoch is ours no one else can commit, so this cannot be stale. */
    if (!load_producers(pg, hold, error))
        return NULL;
    return g_steal_pointer(&hold);
}

/* ---- decisions of people ---- */

static const struct {
    const char *name;
    PstInputKind kind;
} input_kinds[] = {
    {"released", PST_INPUT_RELEASED},
    {"exempted", PST_INPUT_EXEMPTED},
    {"false_positive", PST_INPUT_FALSE_POSITIVE},
    {"unit_len", PST_INPUT_UNIT_LEN},
    {"reassigned", PST_INPUT_REASSIGNED},
    {"confirmed", PST_INPUT_CONFIRMED},
    {"assigned", PST_INPUT_ASSIGNED},
};

static gboolean input_kind(const char *name, PstInputKind *out)
{
    for (gsize i = 0; i < G_N_ELEMENTS(input_kinds); i++) {
        if (strcmp(name, input_kinds[i].name) == 0) {
            *out = input_kinds[i].kind;
            return TRUE;
        }
    }
    return FALSE;
}

/* An exemption without a ceiling holds for any number of sessions; the engine wants a number. */
#define NO_CEILING 1e12

static gboolean read_input(const PstPgRows *rows, int row, PstInput *out, GError **error)
{
    *out = (PstInput){
        .id = pst_pg_int(rows, row, 0),
        .ceiling = pst_pg_is_null(rows, row, 3) ? NO_CEILING : pst_pg_real(rows, row, 3),
        .unit_len = (guint8)pst_pg_int(rows, row, 4),
        .owner = (guint64)pst_pg_int(rows, row, 6),
        .applied_at_position =
            pst_pg_is_null(rows, row, 5) ? PST_INPUT_NOT_APPLIED : pst_pg_int(rows, row, 5),
    };
    if (!input_kind(pst_pg_text(rows, row, 1), &out->kind) ||
        !pst_pg_prefix(rows, row, 2, &out->unit)) {
        g_set_error(error, PST_ERROR, PST_ERROR_DATA,
                    "scorer_input %" G_GINT64_FORMAT " of kind \"%s\" is from a newer version of "
                    "postern: upgrade the scorer",
                    out->id, pst_pg_text(rows, row, 1));
        return FALSE;
    }
    return TRUE;
}

static GArray *writer_inputs(PstSink *sink, guint32 partition, gint64 after, guint max,
                             GError **error)
{
    PstPg *pg = writer_of(sink)->pg;
    if (!pst_pg_reconnect(pg, error))
        return NULL;
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, partition);
    pst_pg_add_int(&p, after);
    pst_pg_add_int(&p, max);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg,
                     "SELECT i.id, i.kind, i.unit, i.ceiling, coalesce(i.unit_len, 0), a.position,"
                     "       coalesce(i.owner, 0)"
                     "  FROM postern.scorer_input i"
                     "  LEFT JOIN postern.scorer_input_applied a"
                     "    ON a.input_id = i.id AND a.partition = $1"
                     " WHERE i.id > $2 ORDER BY i.id LIMIT $3",
                     &p, error);
    if (rows == NULL)
        return NULL;
    g_autoptr(GArray) inputs = g_array_new(FALSE, FALSE, sizeof(PstInput));
    for (int i = 0; i < pst_pg_count(rows); i++) {
        PstInput input;
        if (!read_input(rows, i, &input, error))
            return NULL;
        g_array_append_val(inputs, input);
    }
    return g_steal_pointer(&inputs);
}

/* ---- one tick ---- */

static gboolean writer_begin(PstSink *sink, const PstHold *hold, GError **error)
{
    PstPg *pg = writer_of(sink)->pg;
    return pst_pg_reconnect(pg, error) && pst_pg_begin(pg, error);
}

/* Exporters count in 64 bits, and a broken one fills them. What no line can carry in a tick is cut,
 * so that no sum of them leaves a bigint and stops the stream. */
static gint64 counted(guint64 value)
{
    return (gint64)MIN(value, G_GUINT64_CONSTANT(1) << 50);
}

static gboolean writer_add_activity(PstSink *sink, const PstActivity *rows, gsize n, GError **error)
{
    PstPgArray columns[8];
    pst_pg_arrays(columns, G_N_ELEMENTS(columns));
    for (gsize i = 0; i < n; i++) {
        pst_pg_array_prefix(&columns[0], &rows[i].unit);
        pst_pg_array_time(&columns[1], rows[i].bucket_s * G_GINT64_CONSTANT(1000000000));
        pst_pg_array_int(&columns[2], counted(rows[i].sessions));
        pst_pg_array_int(&columns[3], counted(rows[i].destinations));
        pst_pg_array_int(&columns[4], counted(rows[i].bytes));
        pst_pg_array_int(&columns[5], counted(rows[i].packets));
        pst_pg_array_int(&columns[6], counted(rows[i].failed));
        pst_pg_array_int(&columns[7], rows[i].ports);
    }
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_arrays_take(&p, columns, G_N_ELEMENTS(columns));
    return n == 0 ||
           pst_pg_run(writer_of(sink)->pg,
                      "INSERT INTO postern.smtp_activity AS a (unit, bucket, sessions,"
                      "    destinations, bytes, packets, failed, ports)"
                      " SELECT unit, bucket, sum(sessions), sum(destinations), sum(bytes),"
                      "        sum(packets), sum(failed), bit_or(ports)"
                      "   FROM unnest($1::inet[], $2::timestamptz[], $3::bigint[], $4::bigint[],"
                      "               $5::bigint[], $6::bigint[], $7::bigint[], $8::int[])"
                      "        AS t (unit, bucket, sessions, destinations, bytes, packets, failed,"
                      "              ports)"
                      "  GROUP BY unit, bucket ORDER BY unit, bucket"
                      " ON CONFLICT (unit, bucket) DO UPDATE SET"
                      "    sessions = a.sessions + excluded.sessions,"
                      "    destinations = a.destinations + excluded.destinations,"
                      "    bytes = least(a.bytes, 1::bigint << 61) + excluded.bytes,"
                      "    packets = least(a.packets, 1::bigint << 61) + excluded.packets,"
                      "    failed = a.failed + excluded.failed,"
                      "    ports = a.ports | excluded.ports",
                      &p, NULL, error);
}

static void add_ports(PstPgParams *p, const PstVerdict *verdict)
{
    g_auto(PstPgArray) ports = pst_pg_array();
    for (gsize i = 0; i < G_N_ELEMENTS(verdict->ports) && verdict->ports[i] != 0; i++)
        pst_pg_array_int(&ports, verdict->ports[i]);
    pst_pg_add_array(p, &ports);
}

static void add_exporters(PstPgParams *p, const PstVerdict *verdict)
{
    g_auto(PstPgArray) exporters = pst_pg_array();
    for (gsize i = 0; i < PST_VERDICT_EXPORTERS && pst_addr_present(&verdict->exporters[i]); i++)
        pst_pg_array_addr(&exporters, &verdict->exporters[i]);
    pst_pg_add_array(p, &exporters);
}

/* $1 … $18: what names the verdict, and what the end of its episode may complete. */
static void add_common(PstPgParams *p, const PstVerdict *v)
{
    const char channel[2] = {v->channel, '\0'};
    g_autofree char *reasons = pst_verdict_reasons_json(v);
    g_autofree char *samples = pst_verdict_samples_json(v);
    pst_pg_add_prefix(p, &v->unit);
    pst_pg_add_time(p, v->episode_ns);
    pst_pg_add_text(p, pst_band_name(v->band));
    pst_pg_add_time(p, v->last_ns);
    pst_pg_add_real(p, v->evidence);
    pst_pg_add_int(p, v->score);
    pst_pg_add_real(p, v->sessions_seen);
    pst_pg_add_real(p, v->sessions_low);
    pst_pg_add_real(p, v->destinations_seen);
    pst_pg_add_real(p, v->usual);
    pst_pg_add_int(p, v->window_s);
    pst_pg_add_text(p, channel);
    pst_pg_add_text(p, v->pair == PST_PAIR_SMTP ? "smtp" : "submission");
    pst_pg_add_int(p, v->failed);
    add_ports(p, v);
    pst_pg_add_real(p, v->sampling);
    add_exporters(p, v);
    pst_pg_add_text(p, reasons);
    pst_pg_add_text(p, samples);
}

/* The same (unit, episode, band) a second time is a rebuild's repetition: nothing happens. */
static gboolean insert_verdict(PstPg *pg, const PstVerdict *v, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    add_common(&p, v);
    pst_pg_add_int(&p, v->partition);
    pst_pg_add_int(&p, v->position);
    pst_pg_add_time(&p, v->time_ns);
    pst_pg_add_time(&p, v->received_ns);
    pst_pg_add_time(&p, v->first_ns);
    pst_pg_add_bool(&p, v->cold);
    pst_pg_add_text(&p, PST_MODEL);
    return pst_pg_run(
        pg,
        "INSERT INTO postern.verdict (unit, episode, band, last_at, evidence, score,"
        "    sessions_seen, sessions_low, destinations_seen, usual, window_s, channel, pair,"
        "    failed, ports, sampling, exporters, reasons, samples, partition, position,"
        "    crossed_at, received_at, first_at, cold, model)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::int[], $16,"
        "    $17::inet[], $18::jsonb, $19::jsonb, $20, $21, $22::timestamptz,"
        "    coalesce($23, $22::timestamptz), $24, $25, $26)"
        " ON CONFLICT (unit, episode, band) DO NOTHING",
        &p, NULL, error);
}

static gboolean complete_verdict(PstPg *pg, const PstVerdict *v, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    add_common(&p, v);
    return pst_pg_run(
        pg,
        "UPDATE postern.verdict SET last_at = $4, ended_at = $4, evidence = $5, score = $6,"
        "    sessions_seen = $7, sessions_low = $8, destinations_seen = $9, usual = $10,"
        "    window_s = $11, channel = $12, pair = $13, failed = $14, ports = $15::int[],"
        "    sampling = $16, exporters = $17::inet[], reasons = $18::jsonb, samples = $19::jsonb"
        " WHERE unit = $1 AND episode = $2 AND band = $3 AND ended_at IS NULL",
        &p, NULL, error);
}

static gboolean writer_add_verdict(PstSink *sink, const PstVerdict *verdict, GError **error)
{
    PstPg *pg = writer_of(sink)->pg;
    return verdict->ended ? complete_verdict(pg, verdict, error)
                          : insert_verdict(pg, verdict, error);
}

static gboolean writer_add_evidence(PstSink *sink, guint32 partition, const PstEvidence *e,
                                    gint64 position, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, partition);
    pst_pg_add_int(&p, position);
    pst_pg_add_text(&p, pst_evidence_outcome_name(e->outcome));
    pst_pg_add_text(&p, e->format);
    pst_pg_add_text(&p, e->feedback_type);
    pst_pg_add_text(&p, e->category);
    pst_pg_add_addr(&p, &e->source_ip);
    pst_pg_add_int(&p, e->source_port);
    pst_pg_add_time(&p, e->arrived_ns);
    pst_pg_add_time(&p, e->received_ns);
    pst_pg_add_text(&p, e->message_id);
    pst_pg_add_text(&p, e->reported_domain);
    pst_pg_add_text(&p, e->reporter);
    pst_pg_add_bool(&p, e->authenticated);
    pst_pg_add_text(&p, e->report_id);
    pst_pg_add_text(&p, e->reason);
    pst_pg_add_int(&p, e->incidents);
    pst_pg_add_int(&p, e->size_bytes);
    pst_pg_add_bytes(&p, e->sha256, sizeof e->sha256);
    pst_pg_add_text(&p, e->mail_token);
    pst_pg_add_text(&p, e->case_ref);
    pst_pg_add_text(&p, e->sender);
    pst_pg_add_text(&p, e->said);
    return pst_pg_run(
        writer_of(sink)->pg,
        "SELECT postern.record_evidence($1, $2, $3, $4, $5, $6, $7, nullif($8, 0),"
        "    $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)",
        &p, NULL, error);
}

static GArray *writer_envelopes(PstSink *sink, guint32 partition, guint32 partitions,
                                const PstEnvelope *after, guint max, GError **error)
{
    PstPg *pg = writer_of(sink)->pg;
    return pst_pg_reconnect(pg, error)
               ? writer_read_envelopes(pg, partition, partitions, after, max, error)
               : NULL;
}

static GArray *writer_waiting(PstSink *sink, guint32 partition, guint32 partitions,
                              const PstWaitingDay *after, guint max, GError **error)
{
    PstPg *pg = writer_of(sink)->pg;
    return pst_pg_reconnect(pg, error)
               ? writer_read_waiting(pg, partition, partitions, after, max, error)
               : NULL;
}

static gboolean writer_add_envelopes(PstSink *sink, guint32 partition, const PstEnvelope *rows,
                                     gsize n, GError **error)
{
    return writer_write_envelopes(writer_of(sink)->pg, partition, rows, n, error);
}

static gboolean writer_add_waiting(PstSink *sink, guint32 partition, const PstWaitingDay *rows,
                                   gsize n, GError **error)
{
    return writer_write_waiting(writer_of(sink)->pg, partition, rows, n, error);
}

static gboolean writer_add_loss(PstSink *sink, const PstHeartbeat *beats, gsize n, GError **error)
{
    return writer_write_loss(writer_of(sink)->pg, beats, n, error);
}

/* ---- the end of a tick ---- */

static gboolean move_position(PstPg *pg, const PstHold *hold, const char *topic, gint64 old,
                              gint64 next, gint64 input_id, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, topic);
    pst_pg_add_int(&p, hold->partition);
    pst_pg_add_int(&p, (gint64)hold->epoch);
    pst_pg_add_int(&p, old);
    pst_pg_add_int(&p, next);
    pst_pg_add_int(&p, input_id);
    gint64 changed = 0;
    if (!pst_pg_run(pg,
                    "UPDATE postern.bus_offset"
                    "   SET position = $5, input_id = $6, updated_at = postern.now()"
                    " WHERE topic = $1 AND partition = $2 AND epoch = $3 AND position = $4",
                    &p, &changed, error))
        return FALSE;
    if (changed == 1)
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_FENCED,
                "partition %u of %s was taken over by another scorer", hold->partition, topic);
    return FALSE;
}

/* Inputs are applied at the start of a tick: before the first message at the old position, or of
 * another log. */
static gboolean note_inputs(PstPg *pg, const PstHold *hold, const PstHold *next, GError **error)
{
    if (next->input_id == hold->input_id)
        return TRUE;
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, hold->partition);
    pst_pg_add_int(&p, next->another_log ? PST_BUS_OLDEST : hold->smtp_position);
    pst_pg_add_int(&p, hold->input_id);
    pst_pg_add_int(&p, next->input_id);
    return pst_pg_run(pg,
                      "INSERT INTO postern.scorer_input_applied (partition, input_id, position)"
                      " SELECT $1, id, $2 FROM postern.scorer_input WHERE id > $3 AND id <= $4",
                      &p, NULL, error);
}

static gboolean note_producers(PstPg *pg, const PstHold *hold, const PstHold *next, GError **error)
{
    g_auto(PstPgArray) topics = pst_pg_array();
    g_auto(PstPgArray) producers = pst_pg_array();
    g_auto(PstPgArray) epochs = pst_pg_array();
    g_auto(PstPgArray) sequences = pst_pg_array();
    GHashTableIter iter;
    gpointer key, value;
    guint n = 0;
    g_hash_table_iter_init(&iter, next->producers);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const PstProducerMark *mark = value;
        const PstProducerMark *old = g_hash_table_lookup(hold->producers, key);
        if (old != NULL && old->epoch == mark->epoch && old->sequence == mark->sequence)
            continue;
        const char *producer = strchr(key, PST_HOLD_KEY_SEPARATOR);
        g_assert(producer != NULL);
        g_autofree char *topic = g_strndup(key, (gsize)(producer - (const char *)key));
        pst_pg_array_text(&topics, topic);
        pst_pg_array_text(&producers, producer + 1);
        pst_pg_array_int(&epochs, (gint64)mark->epoch);
        pst_pg_array_int(&sequences, (gint64)mark->sequence);
        n++;
    }
    if (n == 0)
        return TRUE;
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, hold->partition);
    pst_pg_add_array(&p, &topics);
    pst_pg_add_array(&p, &producers);
    pst_pg_add_array(&p, &epochs);
    pst_pg_add_array(&p, &sequences);
    return pst_pg_run(pg,
                      "INSERT INTO postern.bus_producer (topic, partition, producer, epoch,"
                      "    sequence, seen_at)"
                      " SELECT topic, $1, producer, epoch, sequence, postern.now()"
                      "   FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[])"
                      "        AS t (topic, producer, epoch, sequence)"
                      " ON CONFLICT (topic, partition, producer) DO UPDATE SET"
                      "    epoch = excluded.epoch, sequence = excluded.sequence,"
                      "    seen_at = excluded.seen_at",
                      &p, NULL, error);
}

/* TRUE: the database stands where @next says and the epoch is still ours. Only our own commit can
 * have done that: its answer was lost with the connection. */
static gboolean is_committed(PstPg *pg, const PstHold *next)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, next->partition);
    pst_pg_add_int(&p, (gint64)next->epoch);
    pst_pg_add_int(&p, next->smtp_position);
    pst_pg_add_int(&p, next->input_id);
    pst_pg_add_int(&p, next->evidence_position);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg,
                     "SELECT FROM postern.bus_offset WHERE partition = $1 AND epoch = $2"
                     "   AND (topic = 'postern.smtp' AND position = $3 AND input_id = $4"
                     "        OR topic = 'postern.evidence' AND position = $5)",
                     &p, NULL);
    return rows != NULL && pst_pg_count(rows) == 2;
}

/* No position of before means anything in another log. */
static gboolean leave_the_log(PstPg *pg, guint32 partition, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, partition);
    return writer_envelopes_outlive(pg, partition, error) &&
           pst_pg_run(pg,
                      "UPDATE postern.scorer_input_applied SET position = -2 WHERE partition = $1",
                      &p, NULL, error);
}

/* Positions first: what comes after them is ours to write. */
static gboolean write_end(PstPg *pg, const PstHold *hold, const PstHold *next, GError **error)
{
    return move_position(pg, hold, PST_TOPIC_EVIDENCE, hold->evidence_position,
                         next->evidence_position, 0, error) &&
           move_position(pg, hold, PST_TOPIC_SMTP, hold->smtp_position, next->smtp_position,
                         next->input_id, error) &&
           note_inputs(pg, hold, next, error) && note_producers(pg, hold, next, error) &&
           (!next->another_log || leave_the_log(pg, hold->partition, error)) &&
           pst_pg_commit(pg, error);
}

static gboolean writer_commit(PstSink *sink, const PstHold *hold, const PstHold *next,
                              GError **error)
{
    PstPg *pg = writer_of(sink)->pg;
    g_autoptr(GError) why = NULL;
    if (write_end(pg, hold, next, &why))
        return TRUE;
    if (g_error_matches(why, PST_ERROR, PST_ERROR_FENCED) && is_committed(pg, next)) {
        pst_pg_rollback(pg); /* the tick is in the database already; this was its second copy */
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static void writer_rollback(PstSink *sink)
{
    pst_pg_rollback(writer_of(sink)->pg);
}

static void writer_free(PstSink *sink)
{
    Writer *writer = writer_of(sink);
    pst_pg_close(writer->pg);
    g_free(writer);
}

PstSink *writer_new_take(PstPg *pg)
{
    Writer *writer = g_new0(Writer, 1);
    writer->pg = pg;
    writer->sink = (PstSink){
        .take = writer_take,
        .inputs = writer_inputs,
        .begin = writer_begin,
        .add_activity = writer_add_activity,
        .add_verdict = writer_add_verdict,
        .add_evidence = writer_add_evidence,
        .add_loss = writer_add_loss,
        .envelopes = writer_envelopes,
        .waiting = writer_waiting,
        .add_envelopes = writer_add_envelopes,
        .add_waiting = writer_add_waiting,
        .commit = writer_commit,
        .rollback = writer_rollback,
        .free = writer_free,
    };
    return &writer->sink;
}
