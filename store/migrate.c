/* SPDX-License-Identifier: Apache-2.0 */
#include "migrate.h"

#include <string.h>

/* Any number of ours: pg_advisory_lock's keys are per database. */
#define LOCK_KEY "7310293448220115"

const char *pst_migration_state_name(PstMigrationState state)
{
    static const char *const names[] = {"applied", "pending", "changed", "unknown"};
    g_assert((gsize)state < G_N_ELEMENTS(names));
    return names[state];
}

static void migration_free(gpointer data)
{
    PstMigration *m = data;
    g_free(m->name);
    g_free(m);
}

static PstMigration *migration_new(int version, const char *name, PstMigrationState state)
{
    PstMigration *m = g_new0(PstMigration, 1);
    m->version = version;
    m->name = g_strdup(name);
    m->state = state;
    return m;
}

/* "0001_roles.sql" → 1 and "0001_roles". */
static int version_of(const PstEmbedded *file)
{
    return (int)g_ascii_strtoll(file->name, NULL, 10);
}

static char *stem_of(const PstEmbedded *file)
{
    g_assert(g_str_has_suffix(file->name, ".sql"));
    return g_strndup(file->name, strlen(file->name) - strlen(".sql"));
}

static char *checksum_of(const PstEmbedded *file)
{
    return g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)file->text, file->len);
}

static gboolean installed(PstPg *pg, gboolean *out_yes, GError **error)
{
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT to_regclass('postern.schema_migration') IS NOT NULL", NULL, error);
    if (rows == NULL)
        return FALSE;
    *out_yes = pst_pg_bool(rows, 0, 0);
    return TRUE;
}

gboolean pst_migrate_version(PstPg *pg, int *out_version, GError **error)
{
    gboolean yes = FALSE;
    if (!installed(pg, &yes, error))
        return FALSE;
    if (!yes) {
        *out_version = 0;
        return TRUE;
    }
    g_autoptr(PstPgRows) rows = pst_pg_query(
        pg, "SELECT coalesce(max(version), 0) FROM postern.schema_migration", NULL, error);
    if (rows == NULL)
        return FALSE;
    *out_version = (int)pst_pg_int(rows, 0, 0);
    return TRUE;
}

gboolean pst_migrate_check(PstPg *pg, const PstEmbedded *files, GError **error)
{
    int version = 0, needed = 0;
    while (files[needed].name != NULL)
        needed++;
    if (!pst_migrate_version(pg, &version, error))
        return FALSE;
    if (version >= needed)
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_REFUSED,
                version == 0 ? "Postern is not installed in this database: run postern schema "
                               "install"
                             : "the database's schema is older (version %d) than this program "
                               "needs (%d): run postern schema upgrade",
                version, needed);
    return FALSE;
}

/* Joins the database's rows to the program's files. */
static void join_applied(GPtrArray *all, const PstEmbedded *files, const PstPgRows *rows)
{
    for (int i = 0; i < pst_pg_count(rows); i++) {
        int version = (int)pst_pg_int(rows, i, 0);
        if (version < 1 || (guint)version > all->len) {
            g_ptr_array_add(all,
                            migration_new(version, pst_pg_text(rows, i, 1), PST_MIGRATION_UNKNOWN));
            continue;
        }
        PstMigration *m = g_ptr_array_index(all, (guint)version - 1);
        g_autofree char *checksum = checksum_of(&files[version - 1]);
        gboolean same = strcmp(checksum, pst_pg_text(rows, i, 2)) == 0;
        m->state = same ? PST_MIGRATION_APPLIED : PST_MIGRATION_CHANGED;
        m->applied_ns = pst_pg_time(rows, i, 3);
    }
}

GPtrArray *pst_migrate_status(PstPg *pg, const PstEmbedded *files, GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(migration_free);
    for (const PstEmbedded *f = files; f->name != NULL; f++) {
        g_autofree char *stem = stem_of(f);
        g_assert(version_of(f) == (int)all->len + 1);
        g_ptr_array_add(all, migration_new(version_of(f), stem, PST_MIGRATION_PENDING));
    }
    gboolean yes = FALSE;
    if (!installed(pg, &yes, error))
        return NULL;
    if (!yes)
        return g_steal_pointer(&all);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg,
                     "SELECT version, name, checksum, applied_at FROM postern.schema_migration"
                     " ORDER BY version",
                     NULL, error);
    if (rows == NULL)
        return NULL;
    join_applied(all, files, rows);
    return g_steal_pointer(&all);
}

static gboolean check_state(GPtrArray *all, GError **error)
{
    for (guint i = 0; i < all->len; i++) {
        const PstMigration *m = g_ptr_array_index(all, i);
        if (m->state == PST_MIGRATION_CHANGED) {
            g_set_error(error, PST_ERROR, PST_ERROR_REFUSED,
                        "migration %s was applied with another text than this program has: an "
                        "applied migration never changes; use the program that installed it",
                        m->name);
            return FALSE;
        }
        if (m->state == PST_MIGRATION_UNKNOWN) {
            g_set_error(error, PST_ERROR, PST_ERROR_REFUSED,
                        "the database is newer than this program: it has migration %s, this "
                        "program knows up to %u; install the newer postern",
                        m->name, i);
            return FALSE;
        }
    }
    return TRUE;
}

/* The record is ours, not a migration's: it exists from the first one on. */
static gboolean record(PstPg *pg, const PstEmbedded *file, GError **error)
{
    static const char table[] =
        "CREATE TABLE IF NOT EXISTS postern.schema_migration ("
        " version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),"
        " program_version text NOT NULL);"
        "COMMENT ON TABLE postern.schema_migration IS"
        " 'Which migrations were applied, and the SHA-256 of their text (postern schema status).';"
        "DO $$ DECLARE r name; BEGIN"
        " FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'postern\\_%' LOOP"
        "  EXECUTE format('GRANT SELECT ON postern.schema_migration TO %I', r);"
        " END LOOP; END $$;";
    if (!pst_pg_script(pg, table, error))
        return FALSE;
    g_autofree char *stem = stem_of(file);
    g_autofree char *checksum = checksum_of(file);
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, version_of(file));
    pst_pg_add_text(&p, stem);
    pst_pg_add_text(&p, checksum);
    pst_pg_add_text(&p, PST_VERSION);
    return pst_pg_run(pg,
                      "INSERT INTO postern.schema_migration"
                      " (version, name, checksum, program_version) VALUES ($1, $2, $3, $4)",
                      &p, NULL, error);
}

/* One transaction. */
static gboolean apply(PstPg *pg, const PstEmbedded *file, GError **error)
{
    gboolean done = pst_pg_begin(pg, error) && pst_pg_script(pg, file->text, error) &&
                    record(pg, file, error) && pst_pg_commit(pg, error);
    if (!done) {
        pst_pg_rollback(pg);
        gboolean rights = strcmp(pst_pg_sqlstate(pg), "42501") == 0; /* insufficient privilege */
        g_prefix_error(error, "%s%s: ", rights ? "connect as a superuser of PostgreSQL: " : "",
                       file->name);
    }
    return done;
}

static gboolean lock(PstPg *pg, GError **error)
{
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT pg_try_advisory_lock(" LOCK_KEY ")", NULL, error);
    if (rows == NULL)
        return FALSE;
    if (pst_pg_bool(rows, 0, 0))
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_REFUSED,
                "another postern schema is at work on this database: wait until it has ended");
    return FALSE;
}

/* The session's end would release it too. */
static void unlock(PstPg *pg)
{
    g_autoptr(GError) ignored = NULL;
    if (!pst_pg_run(pg, "SELECT pg_advisory_unlock(" LOCK_KEY ")", NULL, NULL, &ignored))
        return;
}

static gboolean upgrade_locked(PstPg *pg, const PstEmbedded *files, PstMigrateProgress progress,
                               gpointer user, int *out_applied, GError **error)
{
    g_autoptr(GPtrArray) all = pst_migrate_status(pg, files, error);
    if (all == NULL || !check_state(all, error))
        return FALSE;
    int applied = 0;
    for (guint i = 0; i < all->len; i++) {
        const PstMigration *m = g_ptr_array_index(all, i);
        if (m->state != PST_MIGRATION_PENDING)
            continue;
        if (progress != NULL)
            progress(user, m->name);
        if (!apply(pg, &files[i], error))
            return FALSE;
        applied++;
    }
    if (out_applied != NULL)
        *out_applied = applied;
    return TRUE;
}

gboolean pst_migrate_upgrade(PstPg *pg, const PstEmbedded *files, PstMigrateProgress progress,
                             gpointer user, int *out_applied, GError **error)
{
    if (!lock(pg, error))
        return FALSE;
    gboolean done = upgrade_locked(pg, files, progress, user, out_applied, error);
    unlock(pg);
    return done;
}

gboolean pst_migrate_test_files(PstPg *pg, const PstEmbedded *files, GError **error)
{
    if (!pst_pg_begin(pg, error))
        return FALSE;
    for (const PstEmbedded *f = files; f->name != NULL; f++)
        if (!pst_pg_script(pg, f->text, error)) {
            pst_pg_rollback(pg);
            g_prefix_error(error, "%s: ", f->name);
            return FALSE;
        }
    return pst_pg_commit(pg, error);
}
