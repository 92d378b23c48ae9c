/* SPDX-License-Identifier: Apache-2.0 */
#include "migrate.h"

#include <string.h>

#include "pg_cluster.h"

#define FILE_OF(name, text)                                                                        \
    {                                                                                              \
        name, text, sizeof(text) - 1                                                               \
    }

static const PstEmbedded two[] = {
    FILE_OF("0001_first.sql", "CREATE SCHEMA postern; CREATE TABLE postern.a (i int);"),
    FILE_OF("0002_second.sql", "CREATE TABLE postern.b (i int);"),
    {0},
};
static const PstEmbedded three[] = {
    FILE_OF("0001_first.sql", "CREATE SCHEMA postern; CREATE TABLE postern.a (i int);"),
    FILE_OF("0002_second.sql", "CREATE TABLE postern.b (i int);"),
    FILE_OF("0003_third.sql", "CREATE TABLE postern.c (i int);"),
    {0},
};
static const PstEmbedded edited[] = {
    FILE_OF("0001_first.sql", "CREATE SCHEMA postern; CREATE TABLE postern.a (i bigint);"),
    FILE_OF("0002_second.sql", "CREATE TABLE postern.b (i int);"),
    FILE_OF("0003_third.sql", "CREATE TABLE postern.c (i int);"),
    {0},
};
static const PstEmbedded broken[] = {
    FILE_OF("0001_first.sql", "CREATE SCHEMA postern; CREATE TABLE postern.a (i int);"),
    FILE_OF("0002_second.sql", "CREATE TABLE postern.b (i int);\n\nSELECT nothing;\n"),
    {0},
};

/* Each test has a database of its own: tests of one cluster would meet in it. */
static PstPg *fresh_database(const char *name)
{
    g_autoptr(PstPg) admin = pst_pg_open("", "test_migrate", NULL);
    cluster_turn(admin);
    g_autofree char *create = g_strdup_printf("CREATE DATABASE %s", name);
    cr_assert(pst_pg_run(admin, create, NULL, NULL, NULL));
    g_autofree char *conninfo = g_strdup_printf("dbname=%s", name);
    PstPg *pg = pst_pg_open(conninfo, "test_migrate", NULL);
    cr_assert_not_null(pg);
    return pg;
}

static int upgrade(PstPg *pg, const PstEmbedded *files)
{
    g_autoptr(GError) error = NULL;
    int applied = -1;
    cr_assert(pst_migrate_upgrade(pg, files, NULL, NULL, &applied, &error), "%s",
              error != NULL ? error->message : "");
    return applied;
}

static GError *refusal(PstPg *pg, const PstEmbedded *files)
{
    GError *error = NULL;
    cr_assert_not(pst_migrate_upgrade(pg, files, NULL, NULL, NULL, &error));
    return error;
}

static gboolean has_table(PstPg *pg, const char *name)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, name);
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, "SELECT to_regclass($1) IS NOT NULL", &p, NULL);
    return pst_pg_bool(rows, 0, 0);
}

static int version(PstPg *pg)
{
    int v = -1;
    cr_assert(pst_migrate_version(pg, &v, NULL));
    return v;
}

Test(migrate, applies_every_file_once)
{
    g_autoptr(PstPg) pg = fresh_database("once");
    cr_assert_eq(version(pg), 0);
    cr_assert_eq(upgrade(pg, two), 2);
    cr_assert_eq(version(pg), 2);
    cr_assert_eq(upgrade(pg, two), 0);
    cr_assert(has_table(pg, "postern.b"));
}

Test(migrate, upgrades_from_an_older_schema)
{
    g_autoptr(PstPg) pg = fresh_database("older");
    cr_assert_eq(upgrade(pg, two), 2);
    cr_assert_eq(upgrade(pg, three), 1);
    cr_assert(has_table(pg, "postern.c"));
}

Test(migrate, refuses_a_file_that_changed_after_it_was_applied)
{
    g_autoptr(PstPg) pg = fresh_database("changed");
    upgrade(pg, two);
    g_autoptr(GError) error = refusal(pg, edited);
    cr_assert_eq(error->code, PST_ERROR_REFUSED);
    cr_assert_not_null(strstr(error->message, "0001_first"));
    cr_assert_not(has_table(pg, "postern.c"), "nothing is applied when anything is wrong");
}

Test(migrate, refuses_a_database_newer_than_the_program)
{
    g_autoptr(PstPg) pg = fresh_database("newer");
    upgrade(pg, three);
    g_autoptr(GError) error = refusal(pg, two);
    cr_assert_eq(error->code, PST_ERROR_REFUSED);
    cr_assert_not_null(strstr(error->message, "0003_third"));
    cr_assert_not_null(strstr(error->message, "up to 2"));
}

Test(migrate, undoes_a_file_that_fails_and_names_file_and_line)
{
    g_autoptr(PstPg) pg = fresh_database("fails");
    g_autoptr(GError) error = refusal(pg, broken);
    cr_assert_eq(error->code, PST_ERROR_DATA);
    cr_assert(g_str_has_prefix(error->message, "0002_second.sql: line 3: "), "%s", error->message);
    cr_assert_eq(version(pg), 1);
    cr_assert_not(has_table(pg, "postern.b"));
    cr_assert_eq(upgrade(pg, two), 1);
}

Test(migrate, lets_one_program_at_a_time_work)
{
    g_autoptr(PstPg) pg = fresh_database("locked");
    g_autoptr(PstPg) other = pst_pg_open("dbname=locked", "test_migrate", NULL);
    cr_assert(pst_pg_run(other, "SELECT pg_advisory_lock(7310293448220115)", NULL, NULL, NULL));
    g_autoptr(GError) error = refusal(pg, two);
    cr_assert_eq(error->code, PST_ERROR_REFUSED);
    cr_assert_not_null(strstr(error->message, "another postern schema"));
    g_clear_pointer(&other, pst_pg_close);
    cr_assert(pst_pg_run(pg, "SELECT pg_advisory_lock(7310293448220115)", NULL, NULL, NULL));
    cr_assert_eq(upgrade(pg, two), 2);
}

Test(migrate, tells_the_state_of_each)
{
    g_autoptr(PstPg) pg = fresh_database("status");
    upgrade(pg, two);
    g_autoptr(GPtrArray) all = pst_migrate_status(pg, edited, NULL);
    static const PstMigrationState expected[] = {PST_MIGRATION_CHANGED, PST_MIGRATION_APPLIED,
                                                 PST_MIGRATION_PENDING};
    cr_assert_eq(all->len, G_N_ELEMENTS(expected));
    for (guint i = 0; i < all->len; i++) {
        const PstMigration *m = g_ptr_array_index(all, i);
        cr_assert_eq(m->state, expected[i], "%s", m->name);
        cr_assert_eq(m->applied_ns != 0, m->state != PST_MIGRATION_PENDING);
    }
}

Test(migrate, runs_the_files_of_a_test_database_again_and_again)
{
    static const PstEmbedded clock_files[] = {
        FILE_OF("clock.sql", "CREATE OR REPLACE FUNCTION postern.now() RETURNS timestamptz"
                             " LANGUAGE sql AS $$ SELECT timestamptz '2026-05-01Z' $$;"),
        {0},
    };
    g_autoptr(PstPg) pg = fresh_database("clock");
    upgrade(pg, two);
    for (int i = 0; i < 2; i++)
        cr_assert(pst_migrate_test_files(pg, clock_files, NULL));
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, "SELECT postern.now()", NULL, NULL);
    cr_assert_eq(pst_pg_time(rows, 0, 0), G_GINT64_CONSTANT(1777593600000000000));
}
