/* SPDX-License-Identifier: Apache-2.0 */
/* A partition's life against a sink in memory. */
#include "partition_maker.h"

TestSuite(partition, .init = setup, .fini = teardown);

Test(partition, a_tick_writes_what_happened_and_where_it_stands)
{
    g_autoptr(Fake) fake = fake_new();
    live(fake, -1);
    cr_assert_eq(fake->hold->smtp_position, MESSAGES);
    cr_assert_eq(fake->hold->evidence_position, PST_BUS_OLDEST);
    cr_assert_eq(fake->hold->input_id, 1);
    cr_assert_eq(fake->received, MESSAGES * 2 * PER_MESSAGE, "flows, and what heartbeats tell");
    g_autofree char *verdicts = rows_of(fake->verdicts);
    cr_assert_not_null(strstr(verdicts, A_UNIT), "%s", verdicts);
    cr_assert_not_null(strstr(verdicts, " block: "), "%s", verdicts);
    const PstInput *input = &g_array_index(fake->inputs, PstInput, 0);
    cr_assert_eq(input->applied_at_position, 12);
}

Test(partition, killed_anywhere_gives_the_same_rows)
{
    g_autoptr(Fake) whole = fake_new();
    live(whole, -1);
    g_autofree char *verdicts = rows_of(whole->verdicts);
    g_autofree char *sessions = rows_of(whole->sessions);
    for (gint64 kill_at = 0; kill_at < MESSAGES; kill_at++) {
        g_autoptr(Fake) fake = fake_new();
        live(fake, kill_at);
        live(fake, -1);
        g_autofree char *verdicts_now = rows_of(fake->verdicts);
        g_autofree char *sessions_now = rows_of(fake->sessions);
        cr_assert_str_eq(verdicts_now, verdicts, "killed at %d", (int)kill_at);
        cr_assert_str_eq(sessions_now, sessions, "killed at %d", (int)kill_at);
    }
}

Test(partition, a_decision_changes_what_follows_it_only)
{
    g_autoptr(Fake) with = fake_new();
    g_autoptr(Fake) without = fake_new();
    live(with, -1);
    PstInput none = {.id = 1, .kind = PST_INPUT_RELEASED, .unit = unit_named("198.51.100.99")};
    g_array_append_val(without->inputs, none);
    live(without, -1);
    g_autofree char *a = rows_of(with->verdicts);
    g_autofree char *b = rows_of(without->verdicts);
    cr_assert_str_neq(a, b, "the release ended an episode");
}

Test(partition, a_copy_of_a_batch_counts_once)
{
    g_autoptr(Fake) fake = fake_new();
    g_autoptr(Partition) p = take(fake);
    cr_assert_eq(assigned(p, PST_TOPIC_SMTP, 0, 3), PST_BUS_OLDEST);
    give(p, 0, 1);
    give(p, 1, 1); /* possibly persisted, sent again */
    give(p, 2, 2);
    commit(p);
    cr_assert_eq(pst_cell_get(meters.duplicates), 1);
    cr_assert_eq(fake->hold->smtp_position, 3);
    cr_assert_eq(fake->received, 2 * 2 * PER_MESSAGE);
    give(p, 3, 2); /* and after the commit */
    commit(p);
    cr_assert_eq(pst_cell_get(meters.duplicates), 2);
    cr_assert_eq(fake->received, 2 * 2 * PER_MESSAGE);
}

Test(partition, a_tick_that_failed_is_written_once_when_the_database_is_back)
{
    g_autoptr(Fake) whole = fake_new();
    live(whole, -1);
    g_autoptr(Fake) fake = fake_new();
    g_autoptr(Partition) p = take(fake);
    (void)assigned(p, PST_TOPIC_SMTP, 0, MESSAGES);
    for (gint64 offset = 0; offset < MESSAGES; offset++) {
        if (offset == 12)
            release(fake, 1);
        give(p, offset, (guint64)offset + 1);
        if (offset % 3 != 2)
            continue;
        fake->fail_commits = 2;
        for (int i = 0; i < 2; i++) {
            g_autoptr(GError) error = NULL;
            cr_assert_not(partition_commit(p, &error));
            cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_AWAY));
            cr_assert(partition_tick_is_open(p));
        }
        commit(p);
    }
    g_autofree char *expected = rows_of(whole->sessions);
    g_autofree char *sessions = rows_of(fake->sessions);
    cr_assert_str_eq(sessions, expected);
    g_autofree char *verdicts_expected = rows_of(whole->verdicts);
    g_autofree char *verdicts = rows_of(fake->verdicts);
    cr_assert_str_eq(verdicts, verdicts_expected);
}

Test(partition, taken_over_by_another_it_commits_nothing)
{
    g_autoptr(Fake) fake = fake_new();
    g_autoptr(Partition) p = take(fake);
    (void)assigned(p, PST_TOPIC_SMTP, 0, 10);
    give(p, 0, 1);
    g_autoptr(Partition) other = take(fake);
    g_autoptr(GError) error = NULL;
    cr_assert_not(partition_commit(p, &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_FENCED));
    cr_assert_eq(fake->commits, 0);
    (void)assigned(other, PST_TOPIC_SMTP, 0, 10);
    give(other, 0, 1);
    commit(other);
    cr_assert_eq(fake->hold->smtp_position, 1);
}

static void give_evidence(Partition *p, gint64 offset, const guint8 *data, gsize len)
{
    PstBusMessage m = {.topic = PST_TOPIC_EVIDENCE,
                       .partition = 3,
                       .offset = offset,
                       .stamp = {"", 0, 0},
                       .data = data,
                       .len = len};
    if (partition_needs_tick(p, &m))
        cr_assert(partition_open_tick(p, NULL));
    partition_message(p, &m);
}

Test(partition, complaints_are_handed_on_and_nonsense_is_counted)
{
    g_autoptr(Fake) fake = fake_new();
    g_autoptr(Partition) p = take(fake);
    cr_assert_eq(assigned(p, PST_TOPIC_EVIDENCE, 0, 2), PST_BUS_OLDEST);
    g_autoptr(PstEvidence) evidence = pst_evidence_new();
    evidence->format = g_strdup("arf");
    g_autoptr(GByteArray) data = g_byte_array_new();
    pst_evidence_encode(evidence, data);
    give_evidence(p, 0, data->data, data->len);
    give_evidence(p, 1, (const guint8 *)"\xff\xff", 2);
    give_evidence(p, 0, data->data, data->len); /* read again: before the position */
    commit(p);
    cr_assert_eq(fake->complaints, 1);
    cr_assert_eq(pst_cell_get(meters.malformed), 1);
    cr_assert_eq(fake->hold->evidence_position, 2);
}

Test(partition, complaints_do_not_wait_for_a_rebuild)
{
    g_autoptr(Fake) fake = fake_new();
    live(fake, 20);
    g_autoptr(Partition) p = take(fake);
    cr_assert_eq(assigned(p, PST_TOPIC_SMTP, 0, MESSAGES), 0);
    (void)assigned(p, PST_TOPIC_EVIDENCE, 0, 1);
    cr_assert(partition_is_rebuilding(p));
    gint64 position = fake->hold->smtp_position;
    g_autoptr(PstEvidence) evidence = pst_evidence_new();
    evidence->format = g_strdup("arf");
    g_autoptr(GByteArray) data = g_byte_array_new();
    pst_evidence_encode(evidence, data);
    give_evidence(p, 0, data->data, data->len);
    commit(p);
    cr_assert_eq(fake->complaints, 1);
    cr_assert_eq(fake->hold->smtp_position, position);
    cr_assert(partition_is_rebuilding(p));
}

Test(partition, rebuilding_ends_with_the_last_message_before_the_position)
{
    g_autoptr(Fake) fake = fake_new();
    live(fake, -1);
    guint commits = fake->commits;
    g_autoptr(Partition) p = take(fake);
    (void)assigned(p, PST_TOPIC_SMTP, 0, MESSAGES);
    for (gint64 offset = 0; offset < MESSAGES; offset++) {
        cr_assert(partition_is_rebuilding(p));
        give(p, offset, (guint64)offset + 1);
        cr_assert_not(partition_tick_is_open(p));
    }
    cr_assert_not(partition_is_rebuilding(p));
    cr_assert_eq(fake->commits, commits);
    cr_assert_eq(pst_cell_get(meters.rebuilt), MESSAGES);
}

Test(partition, messages_thrown_away_unread_are_counted)
{
    g_autoptr(Fake) fake = fake_new();
    live(fake, 20); /* stands at 18 */
    g_autoptr(Partition) p = take(fake);
    cr_assert_eq(assigned(p, PST_TOPIC_SMTP, 25, MESSAGES), 18);
    cr_assert_not(partition_is_rebuilding(p));
    cr_assert_eq(pst_cell_get(meters.holes), 7);
    give(p, 25, 26);
    commit(p);
    cr_assert_eq(fake->hold->smtp_position, 26);
}

Test(partition, another_bus_is_read_from_its_start)
{
    g_autoptr(Fake) fake = fake_new();
    live(fake, -1);
    g_autoptr(Partition) p = take(fake);
    cr_assert_eq(assigned(p, PST_TOPIC_SMTP, 0, 2), PST_BUS_OLDEST);
    cr_assert_not(partition_is_rebuilding(p));
    give(p, 0, 1000); /* its producer goes on counting or starts a new epoch */
    commit(p);
    cr_assert_eq(fake->hold->smtp_position, 1);
}

/* An exemption, then a release; the second bus is killed and read again. */
Test(partition, what_was_decided_before_another_bus_holds_in_it_and_nowhere_else)
{
    g_autoptr(Fake) fake = fake_new();
    const PstInput exempted = {.id = 1,
                               .kind = PST_INPUT_EXEMPTED,
                               .unit = unit_named(A_UNIT),
                               .ceiling = 1e12,
                               .applied_at_position = PST_INPUT_NOT_APPLIED};
    g_array_append_val(fake->inputs, exempted);
    live(fake, -1);
    cr_assert_eq(g_hash_table_size(fake->verdicts), 0, "it is exempted");
    release(fake, 2);
    for (int life = 0; life < 2; life++) {
        g_autoptr(Partition) p = take(fake);
        gint64 stands = fake->hold->smtp_position;
        (void)assigned(p, PST_TOPIC_SMTP, 0, life == 0 ? 2 : stands);
        for (gint64 offset = MAX(0, life == 0 ? 0 : stands); offset < stands + life; offset++) {
            give(p, offset, (guint64)(1000 + offset));
            commit(p);
        }
        for (guint i = 0; i < fake->inputs->len; i++)
            cr_assert_eq(g_array_index(fake->inputs, PstInput, i).applied_at_position,
                         PST_BUS_OLDEST);
    }
    cr_assert_eq(g_hash_table_size(fake->verdicts), 0, "it still is");
}

Test(partition, a_tick_is_due_when_old)
{
    g_autoptr(Fake) fake = fake_new();
    g_autoptr(Partition) p = take(fake);
    (void)assigned(p, PST_TOPIC_SMTP, 0, 10);
    PstMono now = pst_mono_now();
    cr_assert_not(partition_tick_is_due(p, now));
    give(p, 0, 1);
    cr_assert_not(partition_tick_is_due(p, now));
    cr_assert(partition_tick_is_due(p, pst_mono_add(now, pst_span_s(60))));
}

/* ---- what was learned ---- */

static PstEnvelope learned(const char *unit, gint64 since)
{
    return (PstEnvelope){.unit = unit_named(unit),
                         .since = since,
                         .day = (guint)(DAY_S / 86400),
                         .first_day = (guint)(DAY_S / 86400) - 40,
                         .mail_day = (guint)(DAY_S / 86400) - 1,
                         .mail_days = 3};
}

/* Units that the engine holds after taking over a log that begins with @first. */
static guint64 held(Fake *fake, gint64 first, gint64 end)
{
    g_autoptr(Partition) p = take(fake);
    (void)assigned(p, PST_TOPIC_SMTP, first, end);
    return partition_engine_stats(p)->units;
}

Test(partition, what_the_log_no_longer_tells_comes_from_the_database)
{
    g_autoptr(Fake) fake = fake_new();
    const PstEnvelope rows[] = {learned("192.0.2.1", -1), learned("192.0.2.2", 3),
                                learned("192.0.2.3", 20)};
    g_array_append_vals(fake->envelopes, rows, G_N_ELEMENTS(rows));
    fake->hold->smtp_position = 25;
    cr_assert_eq(held(fake, 0, 30), 1, "the log holds the others' whole history");
    cr_assert_eq(held(fake, 10, 30), 2);
    cr_assert_eq(held(fake, 21, 30), 3);
}

Test(partition, another_bus_does_not_make_known_units_strangers)
{
    g_autoptr(Fake) fake = fake_new();
    const PstEnvelope row = learned("192.0.2.2", 3);
    g_array_append_val(fake->envelopes, row);
    fake->hold->smtp_position = 25;
    cr_assert_eq(held(fake, 0, 2), 1);
}
