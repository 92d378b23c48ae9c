/* SPDX-License-Identifier: Apache-2.0 */
#include "pg.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "pg_cluster.h"

static PstPg *connected(void)
{
    g_autoptr(GError) error = NULL;
    PstPg *pg = pst_pg_open("", "test_pg", &error);
    cr_assert_not_null(pg, "%s", error != NULL ? error->message : "");
    return pg;
}

static PstPgRows *query(PstPg *pg, const char *sql, const PstPgParams *p)
{
    g_autoptr(GError) error = NULL;
    PstPgRows *rows = pst_pg_query(pg, sql, p, &error);
    cr_assert_not_null(rows, "%s: %s", sql, error != NULL ? error->message : "");
    return rows;
}

static void run(PstPg *pg, const char *sql)
{
    pst_pg_rows_free(query(pg, sql, NULL));
}

/* The error code of a statement that must fail. */
static int failure(PstPg *pg, const char *sql)
{
    g_autoptr(GError) error = NULL;
    cr_assert_not(pst_pg_run(pg, sql, NULL, NULL, &error), "%s", sql);
    cr_assert_eq(error->domain, PST_ERROR);
    return error->code;
}

Test(pg, says_what_is_wrong_with_a_connection_string_but_not_the_password)
{
    g_autoptr(GError) error = NULL;
    cr_assert_null(pst_pg_open("password=geheim dbname", "test_pg", &error));
    cr_assert_eq(error->code, PST_ERROR_USAGE);
    cr_assert_not_null(strstr(error->message, "after \"dbname\""));
    cr_assert_null(strstr(error->message, "geheim"));
}

Test(pg, says_away_when_there_is_no_server)
{
    g_autoptr(GError) error = NULL;
    cr_assert_null(pst_pg_open("host=/nonexistent", "test_pg", &error));
    cr_assert_eq(error->code, PST_ERROR_AWAY);
}

Test(pg, opens_lazily_when_there_is_no_server)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PstPg) pg = pst_pg_open_lazy("host=/nonexistent", "test_pg", &error);
    cr_assert_not_null(pg);
    cr_assert_not(pst_pg_connected(pg));
    cr_assert_geq(pst_pg_backoff_ms(pg), 50);
    cr_assert_not(pst_pg_run(pg, "SELECT 1", NULL, NULL, &error));
    cr_assert_eq(error->code, PST_ERROR_AWAY);
}

Test(pg, backs_off_longer_with_each_failure_and_never_over_ten_seconds)
{
    g_autoptr(PstPg) pg = pst_pg_open_lazy("host=/nonexistent", "test_pg", NULL);
    for (int i = 0; i < 20; i++)
        cr_assert_not(pst_pg_reconnect(pg, NULL));
    cr_assert_geq(pst_pg_backoff_ms(pg), 5000);
    cr_assert_leq(pst_pg_backoff_ms(pg), 10000);
}

Test(pg, shows_its_application_name)
{
    g_autoptr(PstPg) pg = connected();
    g_autoptr(PstPgRows) rows = query(pg, "SELECT current_setting('application_name') AS a", NULL);
    cr_assert_str_eq(pst_pg_text(rows, 0, pst_pg_column(rows, "a")), "test_pg");
}

Test(pg, brings_every_type_of_parameter_back_unchanged)
{
    g_autoptr(PstPg) pg = connected();
    PstAddr addr = pst_addr_v4(0xC0000207);
    PstPrefix net = pst_prefix_of(&addr, 24);
    gint64 at = G_GINT64_CONSTANT(1777638896123456000);
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_null(&p);
    pst_pg_add_text(&p, "Ünïcode ' \" \\ $1 ; --");
    pst_pg_add_int(&p, G_MININT64);
    pst_pg_add_real(&p, 0.1 + 0.2);
    pst_pg_add_bool(&p, TRUE);
    pst_pg_add_bytes(&p, (const guint8 *)"\0\x7f\xff", 3);
    pst_pg_add_time(&p, at);
    pst_pg_add_addr(&p, &addr);
    pst_pg_add_prefix(&p, &net);
    pst_pg_add_real(&p, INFINITY);
    g_autoptr(PstPgRows) r = query(
        pg,
        "SELECT $1::text, $2::text, $3::bigint, $4::float8, $5::boolean, encode($6::bytea, 'hex'),"
        " $7::timestamptz, $8::inet, $9::cidr, $10::float8",
        &p);
    cr_assert(pst_pg_is_null(r, 0, 0));
    cr_assert_null(pst_pg_text(r, 0, 0));
    cr_assert_str_eq(pst_pg_text(r, 0, 1), "Ünïcode ' \" \\ $1 ; --");
    cr_assert_eq(pst_pg_int(r, 0, 2), G_MININT64);
    cr_assert_eq(pst_pg_real(r, 0, 3), 0.1 + 0.2);
    cr_assert(pst_pg_bool(r, 0, 4));
    cr_assert_str_eq(pst_pg_text(r, 0, 5), "007fff");
    cr_assert_eq(pst_pg_time(r, 0, 6), at);
    PstPrefix back;
    cr_assert(pst_pg_prefix(r, 0, 7, &back));
    cr_assert(pst_addr_equal(&back.addr, &addr));
    cr_assert_eq(back.len, 32);
    cr_assert(pst_pg_prefix(r, 0, 8, &back));
    cr_assert(pst_prefix_equal(&back, &net));
    cr_assert(isinf(pst_pg_real(r, 0, 9)));
}

Test(pg, keeps_every_microsecond)
{
    g_autoptr(PstPg) pg = connected();
    for (gint64 us = 0; us < 1000000; us += 7919) {
        gint64 at = (G_GINT64_CONSTANT(1777638896000000) + us) * 1000;
        g_auto(PstPgParams) p = pst_pg_params();
        pst_pg_add_time(&p, at);
        g_autoptr(PstPgRows) r = query(pg, "SELECT $1::timestamptz", &p);
        cr_assert_eq(pst_pg_time(r, 0, 0), at, "%" G_GINT64_FORMAT, us);
    }
}

Test(pg, reads_times_before_1970_and_without_end)
{
    g_autoptr(PstPg) pg = connected();
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_time(&p, -1500000000);
    g_autoptr(PstPgRows) r =
        query(pg, "SELECT $1::timestamptz, 'infinity'::timestamptz, '-infinity'::timestamptz", &p);
    cr_assert_eq(pst_pg_time(r, 0, 0), -1500000000);
    cr_assert_eq(pst_pg_time(r, 0, 1), G_MAXINT64);
    cr_assert_eq(pst_pg_time(r, 0, 2), G_MININT64);
}

Test(pg, writes_many_rows_from_arrays)
{
    g_autoptr(PstPg) pg = connected();
    g_auto(PstPgArray) texts = pst_pg_array();
    g_auto(PstPgArray) numbers = pst_pg_array();
    const char *given[] = {"plain", "", "a,b", "{}", "quote\" back\\slash", "NULL", NULL};
    for (guint i = 0; i < G_N_ELEMENTS(given); i++) {
        pst_pg_array_text(&texts, given[i]);
        pst_pg_array_int(&numbers, i);
    }
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_array(&p, &texts);
    pst_pg_add_array(&p, &numbers);
    g_autoptr(PstPgRows) r =
        query(pg, "SELECT t FROM unnest($1::text[], $2::bigint[]) AS u(t, n) ORDER BY n", &p);
    cr_assert_eq(pst_pg_count(r), (int)G_N_ELEMENTS(given));
    for (guint i = 0; i < G_N_ELEMENTS(given); i++)
        cr_assert_eq(g_strcmp0(pst_pg_text(r, (int)i, 0), given[i]), 0, "element %u", i);
}

Test(pg, sends_an_empty_array)
{
    g_autoptr(PstPg) pg = connected();
    g_auto(PstPgArray) none = pst_pg_array();
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_array(&p, &none);
    g_autoptr(PstPgRows) r = query(pg, "SELECT cardinality($1::inet[])", &p);
    cr_assert_eq(pst_pg_int(r, 0, 0), 0);
}

Test(pg, sorts_failures_by_what_a_caller_can_do)
{
    g_autoptr(PstPg) pg = connected();
    run(pg, "CREATE TEMP TABLE once (id int PRIMARY KEY)");
    run(pg, "INSERT INTO once VALUES (1)");
    cr_assert_eq(failure(pg, "INSERT INTO once VALUES (1)"), PST_ERROR_DATA);
    cr_assert_str_eq(pst_pg_sqlstate(pg), "23505");
    cr_assert_eq(failure(pg, "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'PT001'; END $$"),
                 PST_ERROR_REFUSED);
    cr_assert_str_eq(pst_pg_sqlstate(pg), "PT001");
    cr_assert_eq(failure(pg, "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"),
                 PST_ERROR_AWAY);
    cr_assert_eq(failure(pg, "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$"),
                 PST_ERROR_FULL);
    cr_assert(pst_pg_connected(pg));
    run(pg, "SELECT 1");
    cr_assert_str_eq(pst_pg_sqlstate(pg), "");
}

Test(pg, keeps_message_detail_and_hint_in_one_line)
{
    g_autoptr(PstPg) pg = connected();
    g_autoptr(GError) error = NULL;
    cr_assert_not(pst_pg_run(
        pg, "DO $$ BEGIN RAISE EXCEPTION 'what' USING DETAIL = 'where', HINT = 'how'; END $$", NULL,
        NULL, &error));
    cr_assert_str_eq(error->message, "what: where; how");
}

Test(pg, counts_changed_rows)
{
    g_autoptr(PstPg) pg = connected();
    run(pg, "CREATE TEMP TABLE n AS SELECT generate_series(1, 5) AS i");
    gint64 changed = -1;
    cr_assert(pst_pg_run(pg, "DELETE FROM n WHERE i > 2", NULL, &changed, NULL));
    cr_assert_eq(changed, 3);
}

Test(pg, rolls_back_and_commits)
{
    g_autoptr(PstPg) pg = connected();
    run(pg, "CREATE TEMP TABLE t (i int)");
    cr_assert(pst_pg_begin(pg, NULL));
    run(pg, "INSERT INTO t VALUES (1)");
    pst_pg_rollback(pg);
    cr_assert(pst_pg_begin(pg, NULL));
    run(pg, "INSERT INTO t VALUES (2)");
    cr_assert(pst_pg_commit(pg, NULL));
    pst_pg_rollback(pg);
    g_autoptr(PstPgRows) r = query(pg, "SELECT i FROM t", NULL);
    cr_assert_eq(pst_pg_count(r), 1);
    cr_assert_eq(pst_pg_int(r, 0, 0), 2);
}

Test(pg, does_not_call_a_failed_transaction_committed)
{
    g_autoptr(PstPg) pg = connected();
    g_autoptr(GError) error = NULL;
    cr_assert(pst_pg_begin(pg, NULL));
    cr_assert_eq(failure(pg, "SELECT 1 / 0"), PST_ERROR_DATA);
    cr_assert_not(pst_pg_commit(pg, &error));
    cr_assert_eq(error->code, PST_ERROR_DATA);
}

Test(pg, keeps_the_sqlstate_over_a_rollback)
{
    g_autoptr(PstPg) pg = connected();
    cr_assert(pst_pg_begin(pg, NULL));
    cr_assert_eq(failure(pg, "SELECT 1 / 0"), PST_ERROR_DATA);
    pst_pg_rollback(pg);
    cr_assert_str_eq(pst_pg_sqlstate(pg), "22012");
}

Test(pg, runs_a_script_all_or_nothing)
{
    g_autoptr(PstPg) pg = connected();
    g_autoptr(GError) error = NULL;
    cr_assert(pst_pg_script(pg, "CREATE TEMP TABLE s (i int); INSERT INTO s VALUES (1);", NULL));
    cr_assert_not(pst_pg_script(pg, "INSERT INTO s VALUES (2); SELECT 1 / 0;", &error));
    g_autoptr(PstPgRows) r = query(pg, "SELECT i FROM s", NULL);
    cr_assert_eq(pst_pg_count(r), 1);
}

Test(pg, is_woken_by_a_notification)
{
    g_autoptr(PstPg) listener = connected();
    g_autoptr(PstPg) speaker = connected();
    cr_assert(pst_pg_listen(listener, "Mixed-Case", NULL));
    cr_assert_eq(pst_pg_wait(listener, 0, -1), PST_PG_WAIT_TIMEOUT);
    run(speaker, "NOTIFY \"Mixed-Case\", 'a'");
    run(speaker, "NOTIFY \"Mixed-Case\", 'b'");
    cr_assert_eq(pst_pg_wait(listener, 10000, -1), PST_PG_WAIT_NOTIFIED);
}

Test(pg, sees_a_notification_that_came_with_an_answer)
{
    g_autoptr(PstPg) pg = connected();
    cr_assert(pst_pg_listen(pg, "work", NULL));
    run(pg, "NOTIFY work");
    run(pg, "SELECT 1");
    cr_assert_eq(pst_pg_wait(pg, 0, -1), PST_PG_WAIT_NOTIFIED);
    cr_assert_eq(pst_pg_wait(pg, 0, -1), PST_PG_WAIT_TIMEOUT);
}

Test(pg, is_woken_by_the_wake_descriptor)
{
    g_autoptr(PstPg) pg = connected();
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    cr_assert_eq(pst_pg_wait(pg, 10000, fds[0]), PST_PG_WAIT_WOKEN);
    close(fds[0]);
    close(fds[1]);
}

Test(pg, says_away_and_lost_when_its_session_is_ended_and_comes_back_listening)
{
    g_autoptr(PstPg) pg = connected();
    g_autoptr(PstPg) killer = connected();
    g_autoptr(GError) error = NULL;
    cr_assert(pst_pg_listen(pg, "work", NULL));
    g_autoptr(PstPgRows) r = query(pg, "SELECT pg_backend_pid()", NULL);
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, pst_pg_int(r, 0, 0));
    pst_pg_rows_free(query(killer, "SELECT pg_terminate_backend($1, 10000)", &p));

    cr_assert_not(pst_pg_run(pg, "SELECT 1", NULL, NULL, &error));
    cr_assert_eq(error->code, PST_ERROR_AWAY);
    cr_assert_eq(pst_pg_wait(pg, 0, -1), PST_PG_WAIT_LOST);
    cr_assert_eq(pst_pg_wait(pg, 0, -1), PST_PG_WAIT_TIMEOUT);
    cr_assert(pst_pg_reconnect(pg, NULL));
    run(killer, "NOTIFY work");
    cr_assert_eq(pst_pg_wait(pg, 10000, -1), PST_PG_WAIT_NOTIFIED);
}

Test(pg, notices_a_lost_server_while_it_waits)
{
    g_autoptr(PstPg) pg = connected();
    g_autoptr(PstPg) killer = connected();
    g_autoptr(PstPgRows) r = query(pg, "SELECT pg_backend_pid()", NULL);
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, pst_pg_int(r, 0, 0));
    pst_pg_rows_free(query(killer, "SELECT pg_terminate_backend($1, 10000)", &p));
    PstPgWait seen = PST_PG_WAIT_TIMEOUT;
    for (int i = 0; i < 100 && seen == PST_PG_WAIT_TIMEOUT; i++)
        seen = pst_pg_wait(pg, 100, -1);
    cr_assert_eq(seen, PST_PG_WAIT_LOST);
    cr_assert_not(pst_pg_connected(pg));
}

/* Runs in a cluster of its own: the others are using theirs. */
Test(pg, comes_back_after_a_crash_of_the_server)
{
    cr_assert(cluster_start());
    g_autoptr(PstPg) pg = connected();
    cr_assert(pst_pg_begin(pg, NULL));

    cr_assert_eq(cluster_command("pg-stop --kill"), 0);
    cr_assert_eq(failure(pg, "SELECT 1"), PST_ERROR_AWAY);
    pst_pg_rollback(pg);
    cr_assert_not(pst_pg_reconnect(pg, NULL));
    cr_assert_eq(cluster_command("pg-start --fsync=off"), 0);
    g_autoptr(GError) error = NULL;
    cr_assert(pst_pg_reconnect(pg, &error), "%s", error != NULL ? error->message : "");
    run(pg, "SELECT 1");
    cr_assert(cluster_remove());
}
