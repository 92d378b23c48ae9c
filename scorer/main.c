/* SPDX-License-Identifier: Apache-2.0 */
/* postern-scorer: from the bus to verdicts in PostgreSQL, or over recorded flows (--backtest). */
#include <signal.h>
#include <string.h>

#include "backtest.h"
#include "consume.h"
#include "pg.h"
#include "settings.h"
#include "writer.h"

static gboolean wants_backtest;
static char *format_text, *svg_path, *compare_path, *packets_text;
static gint64 packets_sampled, sampled;

static const GOptionEntry options[] = {
    {"backtest", 0, 0, G_OPTION_ARG_NONE, &wants_backtest,
     "Judge recorded flows from FILEs instead of the bus, print what would be flagged, and end",
     NULL},
    {"format", 0, 0, G_OPTION_ARG_STRING, &format_text,
     "With --backtest: text (for people) or json (a verdict a line)", "text|json"},
    {"compare", 0, 0, G_OPTION_ARG_FILENAME, &compare_path,
     "With --backtest: a second configuration, the one in force with the keys of FILE instead; "
     "prints where it differs",
     "FILE"},
    {"svg", 0, 0, G_OPTION_ARG_FILENAME, &svg_path,
     "With --backtest: draw how often each evidence was reached, beside what is promised", "FILE"},
    {"packets", 0, 0, G_OPTION_ARG_STRING, &packets_text,
     "With --backtest: captures hold packets of the traffic itself (yes) or flow exports (no); "
     "auto, "
     "the default: packets, if no export and TCP",
     "no|yes|auto"},
    {"packets-sampled", 0, 0, G_OPTION_ARG_INT64, &packets_sampled,
     "With --backtest: such captures hold 1 of N packets", "N"},
    {"sampled", 0, 0, G_OPTION_ARG_INT64, &sampled,
     "With --backtest: flows that tell no sampling rate are of 1 in N packets", "N"},
    {NULL},
};

static const char description[] =
    "The scorer reads postern.smtp and postern.evidence, keeps the detector's state of each\n"
    "partition in memory, and writes verdicts, activity, complaints and its own position in one\n"
    "transaction a second. Killed at any point it goes on with the same verdicts: the state comes\n"
    "from a snapshot in --state and from the bus. Run it as role postern_ingest. An embedded bus\n"
    "has one scorer; with Kafka several share the partitions.\n"
    "\n"
    "  postern-scorer --bus embedded:/var/lib/postern/bus.db \\\n"
    "      --database 'dbname=postern user=postern_ingest' --metrics 127.0.0.1:9102\n"
    "  postern-scorer --bus kafka://kafka1,kafka2 --database 'host=db dbname=postern' \\\n"
    "      --config /etc/postern/postern.conf\n"
    "\n"
    "Backtest of recorded flows: JSON as the collector or goflow2 prints it, our protobuf, "
    "captures\n"
    "of flow exports or of the traffic itself, IPFIX files; packed or not; - is standard input; "
    "FILEs\n"
    "in the order of their time:\n"
    "  postern-scorer --backtest --networks 192.0.2.0/24 --format json flows.json\n"
    "  postern-scorer --backtest --networks nets --compare softer.conf --svg curve.svg week.json\n"
    "  postern-scorer --backtest --networks nets monday.pcap tuesday.pcap.gz\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 usage or configuration.\n";

static int fail(const char *what, GError *error)
{
    return pst_run_fail_take(what, error);
}

/* The configuration in force, with the keys of compare_path over it. */
static gboolean load_other(const PstRun *run, EngineConf *out, GError **error)
{
    Settings other = {0};
    gboolean ok = pst_run_load(run, &other, error) &&
                  pst_conf_load(settings_rows, compare_path, &other, error) &&
                  settings_engine(&other, out, error);
    pst_conf_clear(settings_rows, &other);
    return ok;
}

static gboolean backtest_usage(const PstRun *run, BacktestOptions *out, GError **error)
{
    if (format_text != NULL && strcmp(format_text, "json") == 0)
        out->format = BACKTEST_JSON;
    else if (format_text != NULL && strcmp(format_text, "text") != 0)
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "--format \"%s\": allowed are text and json",
                    format_text);
    if (*error == NULL && run->args[0] == NULL)
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "--backtest needs at least one FILE (- is standard input)");
    return *error == NULL;
}

/* How captures are read; a wrong value is told before the first of them. Given. */
static char **collector_arguments(const Settings *settings, GError **error)
{
    static const char *const modes[] = {"no", "yes", "auto", NULL};
    const char *mode = packets_text != NULL ? packets_text : "auto";
    if (!g_strv_contains(modes, mode) || packets_sampled < 0 || packets_sampled > G_MAXUINT32 ||
        sampled < 0 || sampled > G_MAXUINT32) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "--packets is no, yes or auto, --packets-sampled and --sampled a number from 1 "
                    "on");
        return NULL;
    }
    g_autoptr(GStrvBuilder) out = g_strv_builder_new();
    g_strv_builder_add_many(out, "--publish", "all", "--output", "json:-", "--packets", mode, NULL);
    if (settings->networks != NULL)
        g_strv_builder_add_many(out, "--networks", settings->networks, NULL);
    g_autofree char *rate = g_strdup_printf("%" G_GINT64_FORMAT, packets_sampled);
    if (packets_sampled > 0)
        g_strv_builder_add_many(out, "--packets-sampled", rate, NULL);
    return g_strv_builder_end(out);
}

static int run_backtest(const PstRun *run, const Settings *settings, const EngineConf *engine)
{
    GError *error = NULL;
    EngineConf other;
    g_autoptr(PstPrefixMap) networks = NULL;
    g_auto(GStrv) collector = NULL;
    BacktestOptions backtest_options = {.engine = engine,
                                        .files = (const char *const *)run->args,
                                        .svg = svg_path,
                                        .sampled = (guint64)MAX(sampled, 0),
                                        .out = stdout};
    gboolean ok = backtest_usage(run, &backtest_options, &error) &&
                  (collector = collector_arguments(settings, &error)) != NULL;
    if (ok && settings->networks != NULL)
        ok = (networks = pst_networks_load(settings->networks, &error)) != NULL;
    if (ok && compare_path != NULL)
        ok = load_other(run, &other, &error);
    backtest_options.networks = networks;
    backtest_options.collector = (const char *const *)collector;
    if (compare_path != NULL) {
        backtest_options.other = &other;
        backtest_options.other_name = compare_path;
    }
    signal(SIGINT, SIG_DFL); /* nothing is lost: there is no second look */
    signal(SIGTERM, SIG_DFL);
    if (!ok || !backtest(&backtest_options, &error))
        return fail("backtest", error);
    return PST_EXIT_DONE;
}

static gboolean check_usage(const PstRun *run, const Settings *settings, GError **error)
{
    const char *wrong = NULL;
    if (settings->bus == NULL)
        wrong = "--bus is missing: kafka://HOST[:PORT],... or embedded:PATH";
    else if (settings->database == NULL)
        wrong = "--database is missing: \"host=... user=postern_ingest dbname=...\"";
    else if (run->args[0] != NULL)
        wrong = "FILEs are read with --backtest only";
    else if (format_text != NULL || compare_path != NULL || svg_path != NULL ||
             packets_text != NULL || packets_sampled != 0 || sampled != 0)
        wrong = "--format, --compare, --svg, --packets, --packets-sampled and --sampled belong to "
                "--backtest";
    if (wrong != NULL)
        g_set_error_literal(error, PST_ERROR, PST_ERROR_USAGE, wrong);
    return wrong == NULL;
}

static gboolean run_scorer(PstRun *run, const Settings *settings, const EngineConf *engine,
                           Meters *meters, GError **error)
{
    if (!check_usage(run, settings, error))
        return FALSE;
    PstBusOptions bus_options = {.client_id = "postern-scorer", .extra = settings->bus_options};
    g_autoptr(PstBus) bus = pst_bus_open(settings->bus, &bus_options, error);
    if (bus == NULL)
        return FALSE;
    g_autoptr(PstPg) pg = pst_pg_open_lazy(settings->database, "postern-scorer", error);
    if (pg == NULL)
        return FALSE;
    g_autofree char *folder = settings_snapshots(settings);
    g_autoptr(Snapshots) snapshots = NULL;
    if (folder != NULL && (snapshots = snapshots_open(folder, error)) == NULL)
        return FALSE;
    PstSink *sink = writer_new_take(g_steal_pointer(&pg));
    ConsumeOptions consume_options = {
        .run = run,
        .bus = g_steal_pointer(&bus),
        .sink = sink,
        .engine = engine,
        .snapshots = snapshots,
        .snapshot_every_s = settings->snapshot_every_s,
        .meters = meters,
        .group = settings->group,
        .partitions = (guint32)settings->partitions,
    };
    gboolean ok = consume_take(&consume_options, error);
    sink->free(sink);
    return ok;
}

int main(int argc, char **argv)
{
    static Meters meters; /* read by /readyz, zero cells until meters_init */
    Settings settings = {0};
    const PstProgram program = {
        .program = "postern-scorer",
        .summary = "Judges who sends mail to too many strangers.",
        .description = description,
        .positional = "[FILE...]",
        .rows = settings_rows,
        .target = &settings,
        .options = options,
        .ready = consume_ready,
        .ready_user = &meters,
    };
    PstRun run;
    int status = PST_EXIT_FAILED;
    if (!pst_run_init(&program, argc, argv, &run, &status))
        return status;
    meters_init(&meters, run.stats);
    EngineConf engine;
    GError *error = NULL;
    if (!settings_engine(&settings, &engine, &error))
        status = fail("configuration", error);
    else if (wants_backtest)
        status = run_backtest(&run, &settings, &engine);
    else if (run_scorer(&run, &settings, &engine, &meters, &error))
        status = PST_EXIT_DONE;
    else
        status = fail("scorer", error);
    pst_run_done(&run);
    pst_conf_clear(settings_rows, &settings);
    g_free(format_text);
    g_free(compare_path);
    g_free(svg_path);
    g_free(packets_text);
    return status;
}
