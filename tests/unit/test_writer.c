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

/* A database of its own for each test, with the real schema; the sink logs in as the scorer. */
static PstSink *sink_on(const char *name)
{
    g_autoptr(PstPg) admin = pst_pg_open("", "test_writer", NULL);
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
