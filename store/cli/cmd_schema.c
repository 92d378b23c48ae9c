/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"
#include "migrate.h"

typedef struct {
    gboolean test;
    char *clock;
} Options;

static const char description[] =
    "install   makes schema, roles and functions in an empty database (as a superuser)\n"
    "upgrade   brings an older schema to this program's version\n"
    "status    lists every migration; exit status 1 if one is missing or changed\n"
    "\n"
    "Every migration is one transaction and is applied once; what was applied never changes: its\n"
    "checksum is kept and compared. Roles made: postern_ingest (scorer), postern_desk,\n"
    "postern_mailer, postern_enforcer (dispatch), postern_analyst (report), postern_officer\n"
    "(people who decide), postern_auditor, postern_monitor; programs log in under their role, "
    "grant\n"
    "the others to people: GRANT postern_officer TO alice.\n"
    "\n"
    "--test installs a database whose clock can be moved (--clock, setting test.clock): for tests\n"
    "and replays of a recorded day, never for production.\n"
    "\n"
    "Examples:\n"
    "  createdb postern\n"
    "  postern schema install --database \"host=/run/postgresql dbname=postern user=postgres\"\n"
    "  postern schema status --database …\n"
    "\n"
    "Exit status: 0 done, 1 failed or not up to date, 2 usage.";

static void announce(gpointer user, const char *name)
{
    printf("applying %s\n", name);
    (void)fflush(stdout);
}

static gboolean set_test_clock(PstPg *pg, const char *clock, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, clock);
    return pst_pg_run(pg, "UPDATE postern.setting SET value = $1 WHERE key = 'test.clock'", &p,
                      NULL, error);
}

static gboolean is_test_database(PstPg *pg, gboolean *out_yes, GError **error)
{
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT postern.setting('test.clock') IS NOT NULL", NULL, error);
    if (rows == NULL)
        return FALSE;
    *out_yes = pst_pg_bool(rows, 0, 0);
    return TRUE;
}

static gboolean migrate(PstPg *pg, GError **error)
{
    int applied = 0, version = 0;
    if (!pst_migrate_upgrade(pg, pst_schema_files, announce, NULL, &applied, error) ||
        !pst_migrate_version(pg, &version, error))
        return FALSE;
    if (applied == 0)
        printf("the schema is up to date, version %d\n", version);
    else
        printf("%d migrations applied, the schema is at version %d\n", applied, version);
    return TRUE;
}

static int install(PstPg *pg, const Options *options, GError **error)
{
    int version = 0;
    if (!pst_migrate_version(pg, &version, error))
        return PST_EXIT_FAILED;
    if (version > 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_REFUSED,
                    "this database has Postern's schema already, version %d: run postern schema "
                    "upgrade",
                    version);
        return PST_EXIT_FAILED;
    }
    if (!migrate(pg, error))
        return PST_EXIT_FAILED;
    if (!options->test)
        return PST_EXIT_DONE;
    if (!pst_migrate_test_files(pg, pst_schema_test_files, error) ||
        (options->clock != NULL && !set_test_clock(pg, options->clock, error)))
        return PST_EXIT_FAILED;
    printf("TEST installation: the database's clock can be moved (setting test.clock)\n");
    return PST_EXIT_DONE;
}

/* A migration may have replaced what a test database had replaced. */
static int upgrade(PstPg *pg, const Options *options, GError **error)
{
    int version = 0;
    gboolean test = FALSE;
    if (!pst_migrate_version(pg, &version, error))
        return PST_EXIT_FAILED;
    if (version == 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_REFUSED,
                    "Postern is not installed in this database: run postern schema install");
        return PST_EXIT_FAILED;
    }
    if (!migrate(pg, error) || !is_test_database(pg, &test, error) ||
        (test && !pst_migrate_test_files(pg, pst_schema_test_files, error)))
        return PST_EXIT_FAILED;
    return PST_EXIT_DONE;
}

static int status(PstPg *pg, const Options *options, GError **error)
{
    g_autoptr(GPtrArray) all = pst_migrate_status(pg, pst_schema_files, error);
    if (all == NULL)
        return PST_EXIT_FAILED;
    gboolean current = TRUE;
    for (guint i = 0; i < all->len; i++) {
        const PstMigration *m = g_ptr_array_index(all, i);
        char at[PST_TIME_TEXT_MAX] = "";
        if (m->applied_ns != 0)
            pst_time_format(m->applied_ns, FALSE, at);
        printf("%-8s %-40s %s\n", pst_migration_state_name(m->state), m->name, at);
        current &= m->state == PST_MIGRATION_APPLIED;
    }
    return current ? PST_EXIT_DONE : PST_EXIT_FAILED;
}

static int run_schema(PstRun *run, const CliConfig *config, gpointer user, GError **error)
{
    static const struct {
        const char *name;
        int (*action)(PstPg *pg, const Options *options, GError **error);
    } actions[] = {{"install", install}, {"upgrade", upgrade}, {"status", status}};
    const Options *options = user;
    const char *name = run->args[0];
    if (name == NULL || run->args[1] != NULL)
        return cli_usage(error, "it is written: postern schema install|upgrade|status");
    if (options->test && strcmp(name, "install") != 0)
        return cli_usage(error, "--test belongs to install: a database stays what it is");
    if (options->clock != NULL && !options->test)
        return cli_usage(error, "--clock needs --test: only a test database has a clock to move");
    g_autoptr(PstClock) clock = pst_clock_new(options->clock, error);
    if (clock == NULL)
        return PST_EXIT_USAGE;
    for (gsize i = 0; i < G_N_ELEMENTS(actions); i++)
        if (strcmp(actions[i].name, name) == 0) {
            g_autoptr(PstPg) pg = cli_connect(run, config, TRUE, error);
            return pg != NULL ? actions[i].action(pg, options, error) : PST_EXIT_FAILED;
        }
    return cli_usage(error, "what is \"%s\"? There are install, upgrade and status", name);
}

int cmd_schema(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        {"test", 0, 0, G_OPTION_ARG_NONE, &options.test,
         "With install: a database whose clock can be moved", NULL},
        {"clock", 0, 0, G_OPTION_ARG_STRING, &options.clock,
         "With --test: system, offset:SECONDS or file:PATH (as PostgreSQL sees it)", "SPEC"},
        {NULL},
    };
    PstProgram program = {.program = "postern schema",
                          .summary = "Installs and upgrades the database's schema.",
                          .description = description,
                          .positional = "install|upgrade|status",
                          .options = entries};
    int exit_status = cli_run(&program, argc, argv, run_schema, &options);
    g_free(options.clock);
    return exit_status;
}
