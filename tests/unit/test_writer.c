/* SPDX-License-Identifier: Apache-2.0 */
#include "writer.h"

#include <string.h>

#include "migrate.h"
#include "pg_cluster.h"

#define SECOND  G_GINT64_CONSTANT(1000000000)
#define AT_NOON (G_GINT64_CONSTANT(1780315200) * SECOND) /* 2026-06-01T12:00:00Z */

static PstPg *database(const char *name, const char *role)
{
    g_autofree char *conninfo = g_strdup_printf("dbname=%s user=%s", name, role);
    g_autoptr(GError) error = NULL;
    PstPg *pg = pst_pg_open(conninfo, "test_writer", &error);
    cr_assert_not_null(pg, "%s", error != NULL ? error->message : "");
    return pg;
}

/* A database of its own for each test, with the real schema; the sink logs in as the scorer. Roles
 * are the cluster's, so two tests must not install at the same time: the turn is kept till then. */
static PstSink *sink_on(const char *name)
{
    g_autoptr(PstPg) admin = pst_pg_open("", "test_writer", NULL);
    cluster_turn(admin);
    g_autofree char *create = g_strdup_printf("CREATE DATABASE %s", name);
    cr_assert(pst_pg_run(admin, create, NULL, NULL, NULL));
    g_autoptr(PstPg) owner = database(name, "postgres");
    g_autoptr(GError) error = NULL;
    cr_assert(pst_migrate_upgrade(owner, pst_schema_files, NULL, NULL, NULL, &error), "%s",
              error != NULL ? error->message : "");
    return writer_new_take(database(name, "postern_ingest"));
}

static gint64 number(const char *name, const char *sql)
{
    g_autoptr(PstPg) pg = database(name, "postgres");
    g_autoptr(GError) error = NULL;
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, sql, NULL, &error);
    cr_assert_not_null(rows, "%s", error != NULL ? error->message : "");
    return pst_pg_int(rows, 0, 0);
}

static PstHold *take(PstSink *sink)
{
    g_autoptr(GError) error = NULL;
    PstHold *hold = sink->take(sink, 3, 8, "test", &error);
    cr_assert_not_null(hold, "%s", error != NULL ? error->message : "");
    return hold;
}

static void ok(gboolean done, GError *error)
{
    cr_assert(done, "%s", error != NULL ? error->message : "no message");
}
#define OK(call)                                                                                   \
    do {                                                                                           \
        GError *error = NULL;                                                                      \
        gboolean done = (call);                                                                    \
        ok(done, error);                                                                           \
    } while (0)

static PstVerdict verdict(PstBand band)
{
    PstUnit unit = pst_unit_of(&(PstAddr){{192, 0, 2, 7}, PST_AF_INET}, 64);
    return (PstVerdict){
        .unit = unit,
        .partition = 3,
        .position = 10,
        .episode_ns = AT_NOON,
        .band = band,
        .time_ns = AT_NOON + 20 * SECOND,
        .received_ns = AT_NOON + 24 * SECOND,
        .evidence = 612.5,
        .score = 612,
        .sessions_seen = 60,
        .sessions_low = 60,
        .destinations_seen = 58,
        .usual = 8,
        .window_s = 60,
        .channel = 'S',
        .ports = {25, 587},
        .sampling = 1,
        .cold = TRUE,
        .exporters = {{{10, 0, 0, 1}, PST_AF_INET}},
        .first_ns = AT_NOON,
        .last_ns = AT_NOON + 20 * SECOND,
    };
}

static PstHold *next_of(const PstHold *hold, gint64 position)
{
    PstHold *next = pst_hold_copy(hold);
    next->smtp_position = position;
    next->evidence_position = 0;
    return next;
}

static void tick(PstSink *sink, const PstHold *hold, const PstHold *next, const PstVerdict *v)
{
    OK(sink->begin(sink, hold, &error));
    if (v != NULL)
        OK(sink->add_verdict(sink, v, &error));
    OK(sink->commit(sink, hold, next, &error));
}

Test(writer, starts_a_new_partition_at_the_oldest_message)
{
    PstSink *sink = sink_on("oldest");
    g_autoptr(PstHold) hold = take(sink);
    cr_assert_eq(hold->smtp_position, PST_BUS_OLDEST);
    cr_assert_eq(hold->evidence_position, PST_BUS_OLDEST);
    cr_assert_eq(hold->epoch, 1);
    sink->free(sink);
}

Test(writer, refuses_another_number_of_partitions_as_a_configuration_error)
{
    PstSink *sink = sink_on("count");
    g_autoptr(PstHold) hold = take(sink);
    g_autoptr(GError) error = NULL;
    cr_assert_null(sink->take(sink, 3, 16, "test", &error));
    cr_assert_eq(pst_error_class(error), PST_ERROR_CLASS_CONFIG);
    cr_assert_not_null(strstr(error->message, "16"));
    sink->free(sink);
}

Test(writer, commits_results_and_position_together)
{
    PstSink *sink = sink_on("together");
    g_autoptr(PstHold) hold = take(sink);
    g_autoptr(PstHold) next = next_of(hold, 11);
    g_hash_table_insert(next->producers, pst_hold_producer_key(PST_TOPIC_SMTP, "collector@a"),
                        g_memdup2(&(PstProducerMark){5, 9}, sizeof(PstProducerMark)));
    PstVerdict v = verdict(PST_BAND_FLAG);
    tick(sink, hold, next, &v);
    g_autoptr(PstHold) again = take(sink);
    cr_assert_eq(again->smtp_position, 11);
    g_autofree char *key = pst_hold_producer_key(PST_TOPIC_SMTP, "collector@a");
    const PstProducerMark *mark = g_hash_table_lookup(again->producers, key);
    cr_assert(mark != NULL && mark->epoch == 5 && mark->sequence == 9);
    cr_assert_eq(number("together", "SELECT count(*) FROM postern.verdict WHERE unit = '192.0.2.7'"
                                    " AND ports = '{25,587}' AND exporters = '{10.0.0.1}'"),
                 1);
    sink->free(sink);
}

Test(writer, leaves_nothing_of_a_tick_that_was_rolled_back)
{
    PstSink *sink = sink_on("rolled");
    g_autoptr(PstHold) hold = take(sink);
    PstVerdict v = verdict(PST_BAND_FLAG);
    OK(sink->begin(sink, hold, &error));
    OK(sink->add_verdict(sink, &v, &error));
    sink->rollback(sink);
    cr_assert_eq(number("rolled", "SELECT count(*) FROM postern.verdict"), 0);
    sink->free(sink);
}

Test(writer, fences_a_scorer_that_lost_its_partition)
{
    PstSink *sink = sink_on("fenced");
    g_autoptr(PstHold) paused = take(sink);
    g_autoptr(PstHold) newer = take(sink);
    g_autoptr(PstHold) next = next_of(paused, 11);
    PstVerdict v = verdict(PST_BAND_BLOCK);
    g_autoptr(GError) refusal = NULL;
    OK(sink->begin(sink, paused, &error));
    OK(sink->add_verdict(sink, &v, &error));
    cr_assert_not(sink->commit(sink, paused, next, &refusal));
    cr_assert_eq(refusal->code, PST_ERROR_FENCED);
    sink->rollback(sink);
    cr_assert_eq(number("fenced", "SELECT count(*) FROM postern.verdict"), 0);
    sink->free(sink);
}

Test(writer, fences_a_commit_from_a_position_that_is_not_the_last)
{
    PstSink *sink = sink_on("stale");
    g_autoptr(PstHold) hold = take(sink);
    g_autoptr(PstHold) next = next_of(hold, 11);
    g_autoptr(PstHold) other = next_of(hold, 12);
    tick(sink, hold, next, NULL);
    g_autoptr(GError) refusal = NULL;
    OK(sink->begin(sink, hold, &error));
    cr_assert_not(sink->commit(sink, hold, other, &refusal));
    cr_assert_eq(refusal->code, PST_ERROR_FENCED);
    sink->rollback(sink);
    sink->free(sink);
}

/* The connection broke between COMMIT and its answer: the scorer tries the same tick again. */
Test(writer, writes_a_tick_once_when_the_answer_to_its_commit_was_lost)
{
    PstSink *sink = sink_on("answer");
    g_autoptr(PstPg) owner = database("answer", "postgres");
    OK(pst_pg_run(owner,
                  "INSERT INTO postern.scorer_input (kind, unit, created_at)"
                  " VALUES ('released', '192.0.2.7', postern.now())",
                  NULL, NULL, &error));
    g_autoptr(PstHold) hold = take(sink);
    g_autoptr(PstHold) next = next_of(hold, 11);
    next->input_id = 1;
    PstActivity row = {.unit = pst_unit_of(&(PstAddr){{192, 0, 2, 7}, PST_AF_INET}, 64),
                       .bucket_s = 1780315200,
                       .sessions = 3};
    for (int i = 0; i < 2; i++) {
        OK(sink->begin(sink, hold, &error));
        OK(sink->add_activity(sink, &row, 1, &error));
        OK(sink->commit(sink, hold, next, &error));
    }
    cr_assert_eq(number("answer", "SELECT sessions FROM postern.smtp_activity"), 3);
    g_autoptr(PstHold) after = next_of(hold, 12);
    after->input_id = 1;
    tick(sink, next, after, NULL);
    cr_assert_eq(number("answer", "SELECT position FROM postern.bus_offset"
                                  " WHERE topic = 'postern.smtp'"),
                 12);
    sink->free(sink);
}

Test(writer, writes_a_verdict_once_and_completes_it_at_the_episodes_end)
{
    PstSink *sink = sink_on("once");
    g_autoptr(PstHold) hold = take(sink);
    g_autoptr(PstHold) second = next_of(hold, 11);
    g_autoptr(PstHold) third = next_of(hold, 12);
    PstVerdict v = verdict(PST_BAND_FLAG);
    tick(sink, hold, second, &v);
    tick(sink, second, third, &v);
    cr_assert_eq(number("once", "SELECT count(*) FROM postern.verdict"), 1);
    cr_assert_eq(number("once", "SELECT count(*) FROM postern.verdict WHERE ended_at IS NULL"), 1);
    g_autoptr(PstHold) fourth = next_of(hold, 13);
    v.ended = TRUE;
    v.sessions_seen = 400;
    v.last_ns = AT_NOON + 600 * SECOND;
    tick(sink, third, fourth, &v);
    cr_assert_eq(number("once", "SELECT sessions_seen::bigint FROM postern.verdict"
                                " WHERE ended_at = '2026-06-01T12:10:00Z'"),
                 400);
    sink->free(sink);
}

Test(writer, adds_activity_up_within_a_tick_and_over_ticks)
{
    PstSink *sink = sink_on("activity");
    g_autoptr(PstHold) hold = take(sink);
    g_autoptr(PstHold) second = next_of(hold, 11);
    PstUnit unit = pst_unit_of(&(PstAddr){{192, 0, 2, 7}, PST_AF_INET}, 64);
    PstActivity rows[] = {
        {.unit = unit, .bucket_s = 1780315200, .sessions = 3, .packets = 30, .ports = 1},
        {.unit = unit, .bucket_s = 1780315200, .sessions = 4, .packets = 40, .ports = 4},
        {.unit = unit, .bucket_s = 1780315500, .sessions = 5, .packets = 50, .ports = 1},
    };
    OK(sink->begin(sink, hold, &error));
    OK(sink->add_activity(sink, rows, G_N_ELEMENTS(rows), &error));
    OK(sink->commit(sink, hold, second, &error));
    g_autoptr(PstHold) third = next_of(hold, 12);
    OK(sink->begin(sink, second, &error));
    OK(sink->add_activity(sink, rows, 1, &error));
    OK(sink->add_activity(sink, NULL, 0, &error));
    OK(sink->commit(sink, second, third, &error));
    cr_assert_eq(number("activity", "SELECT sessions FROM postern.smtp_activity"
                                    " WHERE bucket = '2026-06-01T12:00:00Z' AND ports = 5"),
                 10);
    cr_assert_eq(number("activity", "SELECT count(*) FROM postern.smtp_activity"), 2);
    sink->free(sink);
}

/* A broken exporter fills its 64-bit counters: cut, but never an error that stops the stream. */
Test(writer, cuts_counters_that_no_line_can_carry)
{
    PstSink *sink = sink_on("absurd");
    g_autoptr(PstHold) hold = take(sink);
    PstUnit unit = pst_unit_of(&(PstAddr){{192, 0, 2, 7}, PST_AF_INET}, 64);
    PstActivity row = {
        .unit = unit, .bucket_s = 1780315200, .bytes = G_MAXUINT64, .packets = G_MAXUINT64};
    g_autoptr(PstHold) second = next_of(hold, 11);
    OK(sink->begin(sink, hold, &error));
    OK(sink->add_activity(sink, &row, 1, &error));
    OK(sink->commit(sink, hold, second, &error));
    g_autoptr(PstPg) owner = database("absurd", "postgres");
    OK(pst_pg_run(owner, "UPDATE postern.smtp_activity SET bytes = 9223372036854775807", NULL, NULL,
                  &error));
    g_autoptr(PstHold) third = next_of(hold, 12);
    OK(sink->begin(sink, second, &error));
    OK(sink->add_activity(sink, &row, 1, &error));
    OK(sink->commit(sink, second, third, &error));
    cr_assert_gt(number("absurd", "SELECT bytes FROM postern.smtp_activity"), G_GINT64_CONSTANT(1)
                                                                                  << 60);
    sink->free(sink);
}

Test(writer, adds_loss_up_by_hour)
{
    PstSink *sink = sink_on("loss");
    g_autoptr(PstHold) hold = take(sink);
    g_autoptr(PstHold) next = next_of(hold, 11);
    PstHeartbeat beats[2] = {
        {.sampler = {{10, 0, 0, 1}, PST_AF_INET},
         .domain = 4294967295u,
         .received_ns = AT_NOON,
         .received = 100},
        {.sampler = {{10, 0, 0, 1}, PST_AF_INET},
         .domain = 4294967295u,
         .received_ns = AT_NOON + 59 * SECOND,
         .received = 50},
    };
    beats[0].lost[PST_LOSS_NETWORK] = 3;
    beats[1].lost[PST_LOSS_BUS] = 2;
    OK(sink->begin(sink, hold, &error));
    OK(sink->add_loss(sink, beats, 2, &error));
    OK(sink->commit(sink, hold, next, &error));
    cr_assert_eq(number("loss", "SELECT received FROM postern.exporter_loss"
                                " WHERE hour = '2026-06-01T12:00:00Z' AND lost_network = 3"
                                " AND lost_bus = 2 AND domain = 4294967295"),
                 150);
    sink->free(sink);
}

/* Writes one heartbeat of a ledger that has come to @expected, @sent of them since the last. */
static void tell(PstSink *sink, PstHold **hold, gint64 position, guint64 expected, guint64 sent)
{
    g_autoptr(PstHold) next = next_of(*hold, position);
    PstHeartbeat beat = {.sampler = {{10, 0, 0, 9}, PST_AF_INET},
                         .domain = 7,
                         .received_ns = AT_NOON,
                         .ledger = 4711,
                         .expected = expected,
                         .sent = sent,
                         .version = 10,
                         .sampling_rate = 1000,
                         .clock_offset_ms = -2500};
    OK(sink->begin(sink, *hold, &error));
    OK(sink->add_loss(sink, &beat, 1, &error));
    OK(sink->commit(sink, *hold, next, &error));
    pst_hold_free(*hold);
    *hold = g_steal_pointer(&next);
}

/* A collector that was killed goes on from what it had written down last. */
Test(writer, sums_of_a_ledger_count_from_where_it_stood)
{
    PstSink *sink = sink_on("ledger");
    PstHold *hold = take(sink);
    tell(sink, &hold, 11, 5000, 500); /* it is known since 4500; that was before this database */
    tell(sink, &hold, 12, 5200, 200);
    tell(sink, &hold, 13, 5300, 200); /* one that overlaps */
    tell(sink, &hold, 14, 5250, 0);   /* one that comes late */
    cr_assert_eq(number("ledger", "SELECT expected FROM api_v1.exporter_loss WHERE domain = 7"),
                 800);
    cr_assert_eq(number("ledger", "SELECT unaccounted FROM api_v1.exporter_loss WHERE domain = 7"),
                 800);
    cr_assert_eq(number("ledger", "SELECT count(*) FROM api_v1.exporters WHERE protocol = 'IPFIX'"
                                  " AND sampling_rate = 1000 AND clock_offset = '-2.5 s'"),
                 1);
    pst_hold_free(hold);
    sink->free(sink);
}

Test(writer, keeps_a_complaint_once_however_often_it_comes)
{
    PstSink *sink = sink_on("complaint");
    g_autoptr(PstHold) hold = take(sink);
    g_autoptr(PstEvidence) e = pst_evidence_new();
    e->outcome = PST_EVIDENCE_COMPLAINT;
    e->format = g_strdup("arf");
    e->category = g_strdup("spam");
    e->source_ip = (PstAddr){{192, 0, 2, 7}, PST_AF_INET};
    e->received_ns = AT_NOON;
    e->reporter = g_strdup("reporter.example");
    e->authenticated = TRUE;
    e->report_id = g_strdup("one@reporter.example");
    e->incidents = 1;
    g_autoptr(PstHold) next = next_of(hold, 11);
    OK(sink->begin(sink, hold, &error));
    OK(sink->add_evidence(sink, 3, e, 7, &error));
    OK(sink->add_evidence(sink, 3, e, 8, &error));
    OK(sink->commit(sink, hold, next, &error));
    cr_assert_eq(number("complaint", "SELECT count(*) FROM postern.complaint"
                                     " WHERE source_ip = '192.0.2.7' AND authenticated"),
                 1);
    sink->free(sink);
}

Test(writer, tells_decisions_once_and_where_they_were_applied)
{
    PstSink *sink = sink_on("inputs");
    g_autoptr(PstHold) hold = take(sink);
    g_autoptr(PstPg) owner = database("inputs", "postgres");
    cr_assert(pst_pg_run(owner,
                         "INSERT INTO postern.scorer_input (kind, unit, ceiling, created_at) VALUES"
                         " ('released', '192.0.2.7', NULL, postern.now()),"
                         " ('exempted', '192.0.2.0/24', 500, postern.now())",
                         NULL, NULL, NULL));
    g_autoptr(GArray) fresh = sink->inputs(sink, 3, hold->input_id, 100, NULL);
    cr_assert_eq(fresh->len, 2);
    PstInput *first = &g_array_index(fresh, PstInput, 0);
    PstInput *last = &g_array_index(fresh, PstInput, 1);
    cr_assert(first->kind == PST_INPUT_RELEASED && last->kind == PST_INPUT_EXEMPTED);
    cr_assert(last->ceiling == 500 && last->unit.len == 24);
    cr_assert_eq(first->applied_at_position, PST_INPUT_NOT_APPLIED);

    g_autoptr(PstHold) second = next_of(hold, 11);
    g_autoptr(PstHold) third = next_of(hold, 12);
    tick(sink, hold, second, NULL);
    third->input_id = last->id;
    tick(sink, second, third, NULL);

    g_autoptr(PstHold) again = take(sink);
    cr_assert_eq(again->input_id, last->id);
    g_autoptr(GArray) none = sink->inputs(sink, 3, again->input_id, 100, NULL);
    cr_assert_eq(none->len, 0);
    g_autoptr(GArray) replay = sink->inputs(sink, 3, 0, 100, NULL);
    cr_assert_eq(g_array_index(replay, PstInput, 1).applied_at_position, 11);
    sink->free(sink);
}

Test(writer, goes_on_after_the_server_was_killed)
{
    PstSink *sink = sink_on("killed");
    g_autoptr(PstHold) hold = take(sink);
    g_autoptr(PstHold) next = next_of(hold, 11);
    PstVerdict v = verdict(PST_BAND_FLAG);
    g_autoptr(GError) refusal = NULL;
    OK(sink->begin(sink, hold, &error));
    OK(sink->add_verdict(sink, &v, &error));
    g_autoptr(PstPg) admin = pst_pg_open("", "test_writer", NULL);
    cr_assert(pst_pg_run(admin,
                         "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                         " WHERE datname = 'killed'",
                         NULL, NULL, NULL));
    cr_assert_not(sink->commit(sink, hold, next, &refusal));
    cr_assert_eq(pst_error_class(refusal), PST_ERROR_CLASS_TRANSIENT);
    sink->rollback(sink);
    tick(sink, hold, next, &v);
    cr_assert_eq(number("killed", "SELECT count(*) FROM postern.verdict"), 1);
    sink->free(sink);
}

/* ---- what was learned ---- */

static PstEnvelope envelope(guint8 last, guint64 owner)
{
    PstAddr addr = {{192, 0, 2, last}, PST_AF_INET};
    PstEnvelope row = {.unit = owner != 0 ? pst_prefix_of(&addr, 24) : pst_unit_of(&addr, 64),
                       .owner = owner,
                       .since = 7,
                       .day = 20605,
                       .first_day = 20570,
                       .mail_day = 20604,
                       .mail_days = 3,
                       .flags = 21,
                       .pair[PST_PAIR_SMTP] = {.present = TRUE, .sampling = 7.6, .days = 14}};
    for (guint channel = 0; channel < PST_ENVELOPE_CHANNELS; channel++) {
        for (guint scale = 0; scale < PST_ENVELOPE_SCALES; scale++) {
            row.pair[PST_PAIR_SMTP].record[channel][scale] = 100 * channel + scale + 0.1;
            row.pair[PST_PAIR_SMTP].target[channel][scale] = 200 * channel + scale + 1.0 / 3;
        }
        row.pair[PST_PAIR_SMTP].mean_long[channel] = 12.5 + channel;
        row.pair[PST_PAIR_SMTP].mean_short[channel] = 1e-9 + channel;
    }
    return row;
}

static void write_learned(PstSink *sink, PstHold **hold, const PstEnvelope *rows, gsize n,
                          const PstWaitingDay *waiting, gsize n_waiting)
{
    PstHold *next = next_of(*hold, MAX((*hold)->smtp_position, 10) + 1);
    OK(sink->begin(sink, *hold, &error));
    OK(sink->add_envelopes(sink, 3, rows, n, &error));
    OK(sink->add_waiting(sink, 3, waiting, n_waiting, &error));
    OK(sink->commit(sink, *hold, next, &error));
    pst_hold_free(*hold);
    *hold = next;
}

static GArray *read_envelopes(PstSink *sink, guint32 partition, const PstEnvelope *after, guint max)
{
    g_autoptr(GError) error = NULL;
    GArray *rows = sink->envelopes(sink, partition, 8, after, max, &error);
    cr_assert_not_null(rows, "%s", error != NULL ? error->message : "");
    return rows;
}

Test(writer, keeps_what_was_learned_to_the_last_bit)
{
    PstSink *sink = sink_on("learned");
    PstHold *hold = take(sink);
    PstEnvelope rows[] = {envelope(7, 0), envelope(8, 0), envelope(7, 0x8000000000000001u)};
    rows[1].confirmed_day = 20600;
    write_learned(sink, &hold, rows, 2, NULL, 0);
    rows[0].day++;
    write_learned(sink, &hold, rows, 3, NULL, 0);
    g_autoptr(GArray) all = read_envelopes(sink, 3, NULL, 10);
    cr_assert_eq(all->len, 3, "%u", all->len);
    for (guint i = 0; i < all->len; i++) {
        /* networks before their addresses */
        const PstEnvelope *got = &g_array_index(all, PstEnvelope, i), *put = &rows[(i + 2) % 3];
        cr_assert(pst_prefix_equal(&got->unit, &put->unit));
        cr_assert_eq(got->owner, put->owner);
        cr_assert_eq(got->since, 7);
        cr_assert_eq(got->day, put->day);
        cr_assert_eq(got->confirmed_day, put->confirmed_day);
        cr_assert_eq(got->flags, 21);
        cr_assert_eq(got->mail_days, 3);
        cr_assert_not(got->pair[PST_PAIR_SUBMISSION].present);
        cr_assert_arr_eq(&got->pair[PST_PAIR_SMTP], &put->pair[PST_PAIR_SMTP], sizeof(PstLearned));
    }
    g_autoptr(GArray) first = read_envelopes(sink, 3, NULL, 2);
    g_autoptr(GArray) rest = read_envelopes(sink, 3, &g_array_index(first, PstEnvelope, 1), 2);
    cr_assert_eq(rest->len, 1, "pages follow one another");
    g_autoptr(GArray) others = read_envelopes(sink, 4, NULL, 10);
    cr_assert_eq(others->len, 0);
    rows[1].gone = TRUE;
    write_learned(sink, &hold, rows, 3, NULL, 0);
    cr_assert_eq(number("learned", "SELECT count(*) FROM postern.unit_envelope"), 2);
    pst_hold_free(hold);
    sink->free(sink);
}

Test(writer, keeps_waiting_days_and_what_became_of_them)
{
    PstSink *sink = sink_on("waiting_days");
    PstHold *hold = take(sink);
    PstWaitingDay day = {.unit = envelope(7, 0).unit, .day = 20600, .sampling = {7.6, 1}};
    day.most[PST_PAIR_SMTP][0][4] = 5000;
    day.count[PST_PAIR_SMTP][1] = 4294967295u;
    PstWaitingDay days[] = {day, day, day};
    days[1].day++;
    days[2].fate = PST_WAITING_LEARNED;
    write_learned(sink, &hold, NULL, 0, days, 2);
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) before = sink->waiting(sink, 3, 8, NULL, 10, &error);
    cr_assert_eq(before->len, 2);
    cr_assert_arr_eq(before->data, days, sizeof day);
    g_autoptr(GArray) second = sink->waiting(sink, 3, 8, days, 10, &error);
    cr_assert_eq(second->len, 1);
    write_learned(sink, &hold, NULL, 0, &days[2], 1);
    g_autoptr(GArray) after = sink->waiting(sink, 3, 8, NULL, 10, &error);
    cr_assert_eq(after->len, 1);
    cr_assert_eq(number("waiting_days", "SELECT count(*) FROM postern.unit_waiting"
                                        " WHERE fate = 'learned' AND decided_at IS NOT NULL"),
                 1, "the record stays");
    pst_hold_free(hold);
    sink->free(sink);
}

Test(writer, learned_rows_outlive_the_bus)
{
    PstSink *sink = sink_on("outlive");
    PstHold *hold = take(sink);
    PstEnvelope row = envelope(7, 0);
    write_learned(sink, &hold, &row, 1, NULL, 0);
    /* Another bus: the position goes back. */
    g_autoptr(PstHold) back = next_of(hold, 0);
    back->another_log = TRUE;
    OK(sink->begin(sink, hold, &error));
    OK(sink->commit(sink, hold, back, &error));
    cr_assert_eq(number("outlive", "SELECT since FROM postern.unit_envelope"), -1);
    /* Another number of partitions: whoever it belongs to reads it. */
    g_autoptr(PstPg) owner = database("outlive", "postgres");
    OK(pst_pg_run(owner, "UPDATE postern.unit_envelope SET partition = -1", NULL, NULL, &error));
    guint found = 0;
    for (guint32 partition = 0; partition < 8; partition++) {
        g_autoptr(GArray) rows = read_envelopes(sink, partition, NULL, 10);
        cr_assert_eq(rows->len, 1);
        const PstEnvelope *got = &g_array_index(rows, PstEnvelope, 0);
        cr_assert_eq(!got->gone, pst_partition_of(&row.unit.addr, 8) == partition);
        found += got->gone ? 0 : 1;
    }
    cr_assert_eq(found, 1);
    pst_hold_free(hold);
    sink->free(sink);
}
