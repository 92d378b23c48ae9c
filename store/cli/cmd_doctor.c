/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"

#define LOOK_EVERY_MS 500
#define WAIT_MAX_S    60

static const char description[] =
    "Looks at everything that can be seen from here and names each thing that is wrong, with what\n"
    "to do: schema and mode, rows that nobody works on, alarms, refused orders, mails that wait\n"
    "for their server, our networks and the collector's file (--networks), the bus against the\n"
    "scorer's positions and the room on its disk (--bus), programs that are not ready, and what\n"
    "waits in a collector's spool (--metrics), records lost per exporter within 24 hours, freezes\n"
    "that the file outside the database has and the database has not, and its signatures\n"
    "(--freezes, --freeze-key). While the database is away it tells the rest.\n"
    "With the address of an exporter it tells that one's counters, hour by hour.\n"
    "\n"
    "--wait-idle N waits until the bus is read to its end and nothing is due, for N seconds on "
    "end;\n"
    "if that does not come within a minute (--timeout) it says what is stuck.\n"
    "\n"
    "Role postern_monitor suffices.\n"
    "\n"
    "Examples:\n"
    "  postern doctor --bus embedded:/var/lib/postern/bus.db --networks /etc/postern/networks \\\n"
    "      --metrics http://127.0.0.1:9101 --database …\n"
    "  postern doctor 203.0.113.1 --database …\n"
    "\n"
    "Exit status: 0 all is well, 1 something is wrong, 2 usage.";

typedef struct {
    int wait_idle_s; /* −1: do not wait */
    int timeout_s;
    char *bus;
    char *networks;
    char *freezes;
    char *freeze_key;
    char **metrics;
} Options;

static const char bus_remedy[] =
    "is the broker running, the file there, and --bus what the collector writes to? Until then "
    "the collector keeps what its queue holds";
static const char database_remedy[] =
    "start PostgreSQL, or correct --database; the programs go on by themselves when it is back, "
    "and nothing on the bus is lost meanwhile";

typedef struct {
    const char *name;
    DoctorCheck check;
    const char *remedy; /* where it cannot look */
} Check;

static const Check checks[] = {
    {"database", doctor_schema, database_remedy},
    {"networks", doctor_networks, NULL},
    {"bus", doctor_bus, bus_remedy},
    {"disk", doctor_disk, NULL},
    {"due", doctor_due, NULL},
    {"network", doctor_orders, NULL},
    {"freezes", doctor_freezes, NULL},
    {"mail", doctor_mails, NULL},
    {"exporters", doctor_loss, NULL},
    {"programs", doctor_programs, NULL},
    {"alarms", doctor_alarms, NULL},
    {NULL},
};

static const Check checks_without_database[] = {
    {"bus", doctor_bus_alone, bus_remedy},
    {"disk", doctor_disk, NULL},
    {"programs", doctor_programs, NULL},
    {NULL},
};

/* Everything. A check that cannot look is itself wrong; bad usage ends it. */
static gboolean examine(Doctor *doctor, const Check *list, GError **error)
{
    for (const Check *c = list; c->name != NULL; c++) {
        g_autoptr(GError) why = NULL;
        if (c->check(doctor, &why))
            continue;
        if (pst_error_class(why) == PST_ERROR_CLASS_CONFIG) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
        doctor_wrong(doctor, c->name, c->remedy, "cannot look: %s", why->message);
    }
    return TRUE;
}

/* ---- waiting ---- */

/* TRUE: read to the end, nothing due. What cannot be looked at is not idle. */
static gboolean is_idle(Doctor *doctor)
{
    gint64 due = 0;
    guint before = doctor->wrong;
    doctor->quiet = TRUE;
    g_autoptr(GError) why = NULL;
    gboolean looked = (pst_pg_connected(doctor->pg) || pst_pg_reconnect(doctor->pg, &why)) &&
                      doctor_bus(doctor, &why) && doctor_count_due(doctor, &due, &why);
    gboolean idle = looked && due == 0 && doctor->wrong == before;
    doctor->wrong = before;
    doctor->quiet = FALSE;
    return idle;
}

static gboolean wait_idle(Doctor *doctor, int quiet_s, int timeout_s)
{
    PstMono start = pst_mono_now(), quiet_since = start;
    gboolean was_idle = FALSE;
    while (!pst_run_stopping(doctor->run)) {
        gboolean idle = is_idle(doctor);
        PstMono now = pst_mono_now();
        if (!idle || !was_idle)
            quiet_since = now;
        was_idle = idle;
        if (idle && pst_span_seconds(pst_mono_since(now, quiet_since)) >= quiet_s)
            return TRUE;
        if (pst_span_seconds(pst_mono_since(now, start)) >= timeout_s)
            return FALSE;
        pst_run_wait(doctor->run, LOOK_EVERY_MS);
    }
    return FALSE;
}

/* What keeps it from being idle, however short it has been so. */
static void tell_stuck(Doctor *doctor, int timeout_s)
{
    g_autoptr(GError) why = NULL;
    printf("not idle after %d s\n", timeout_s);
    if (!doctor_bus(doctor, &why))
        doctor_wrong(doctor, "bus", NULL, "cannot look: %s", why->message);
    g_clear_error(&why);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(doctor->pg,
                     "SELECT kind, count, to_char(oldest, 'YYYY-MM-DD HH24:MI:SS')"
                     " FROM postern.due WHERE count > 0 ORDER BY kind",
                     NULL, &why);
    if (rows == NULL)
        doctor_wrong(doctor, "database", NULL, "cannot look: %s", why->message);
    for (int i = 0; rows != NULL && i < pst_pg_count(rows); i++)
        doctor_wrong(doctor, "due", NULL, "%s rows of kind %s, the oldest since %s UTC",
                     pst_pg_text(rows, i, 1), pst_pg_text(rows, i, 0), pst_pg_text(rows, i, 2));
    if (doctor->wrong == 0)
        doctor_wrong(doctor, "idle", "wait with a shorter time or a longer --timeout",
                     "work went on all the time and never stopped for long enough");
}

/* ---- the command ---- */

static int examine_or_wait(Doctor *doctor, const Options *options, GError **error)
{
    if (options->wait_idle_s < 0) {
        if (!examine(doctor, doctor->pg != NULL ? checks : checks_without_database, error))
            return PST_EXIT_USAGE;
        return doctor->wrong == 0 ? PST_EXIT_DONE : PST_EXIT_FAILED;
    }
    if (wait_idle(doctor, options->wait_idle_s, options->timeout_s)) {
        printf("idle: the bus is read to its end, nothing is due\n");
        return PST_EXIT_DONE;
    }
    tell_stuck(doctor, options->timeout_s);
    return PST_EXIT_FAILED;
}

static int run_doctor(PstRun *run, const CliConfig *config, gpointer user, GError **error)
{
    const Options *options = user;
    if (run->args[0] != NULL && run->args[1] != NULL)
        return cli_usage(error, "one exporter at a time: postern doctor [EXPORTER]");
    g_autoptr(GError) why = NULL;
    g_autoptr(PstPg) pg = cli_connect(run, config, FALSE, &why);
    gboolean is_away = g_error_matches(why, PST_ERROR, PST_ERROR_AWAY);
    if (pg == NULL && (!is_away || options->wait_idle_s >= 0)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return PST_EXIT_FAILED;
    }
    Doctor doctor = {.run = run,
                     .pg = pg,
                     .bus_uri = options->bus,
                     .networks = options->networks,
                     .freezes = options->freezes,
                     .freeze_key = options->freeze_key,
                     .metrics = options->metrics,
                     .exporter = run->args[0],
                     .ends = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};
    if (pg == NULL)
        doctor_wrong(&doctor, "database", database_remedy, "%s", why->message);
    int status = examine_or_wait(&doctor, options, error);
    pst_bus_close(doctor.bus);
    g_hash_table_unref(doctor.ends);
    return status;
}

int cmd_doctor(int argc, char **argv)
{
    Options options = {.wait_idle_s = -1, .timeout_s = WAIT_MAX_S};
    const GOptionEntry entries[] = {
        {"wait-idle", 0, 0, G_OPTION_ARG_INT, &options.wait_idle_s,
         "Wait until nothing is left to do, for so many seconds on end", "SECONDS"},
        {"timeout", 0, 0, G_OPTION_ARG_INT, &options.timeout_s,
         "With --wait-idle: give up after this (60)", "SECONDS"},
        {"bus", 0, 0, G_OPTION_ARG_STRING, &options.bus,
         "The bus: kafka://HOST:PORT or embedded:PATH", "URI"},
        {"networks", 0, 0, G_OPTION_ARG_FILENAME, &options.networks,
         "The networks file that the collector reads", "FILE"},
        {"freezes", 0, 0, G_OPTION_ARG_FILENAME, &options.freezes,
         "The freeze file that postern-dispatch --work=deadline writes", "FILE"},
        {"freeze-key", 0, 0, G_OPTION_ARG_FILENAME, &options.freeze_key,
         "The key that the freeze file is signed with", "FILE"},
        {"metrics", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.metrics,
         "A program to ask whether it is ready, http://ADDR:PORT; may be repeated", "URL"},
        {NULL},
    };
    PstProgram program = {.program = "postern doctor",
                          .summary = "Is everything well?",
                          .description = description,
                          .positional = "[EXPORTER]",
                          .options = entries};
    int status = cli_run(&program, argc, argv, run_doctor, &options);
    g_free(options.bus);
    g_free(options.networks);
    g_free(options.freezes);
    g_free(options.freeze_key);
    g_strfreev(options.metrics);
    return status;
}
