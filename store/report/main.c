/* SPDX-License-Identifier: Apache-2.0 */
/* postern-report: what happened in a day, a week or a month. */
#include <string.h>

#include "report.h"
#include "run.h"

typedef struct {
    char *database;
} Config;

static const PstConfRow rows[] = {
    {"report", "database", PST_CONF_TEXT, offsetof(Config, database), "", 0, 0, NULL, "", FALSE,
     "How to reach PostgreSQL: \"host=/run/postgresql dbname=postern user=postern_analyst\"."},
    {NULL},
};

static const char description[] =
    "Health, new blocks and warnings with their reasons, releases, deadlines, top senders,\n"
    "complaints by source, verdicts that nobody was told about, false alarms, the trend of 30 "
    "days,\n"
    "how long everything took, losses per exporter, alarms. Reads only; role postern_analyst "
    "suffices. Every time is UTC; a period\n"
    "begins at midnight UTC, a week on Monday. The same period gives the same report, as far as\n"
    "nothing of it is still going on.\n"
    "\n"
    "Formats: text for people; json, one object; csv, one line per value (section, row, name,\n"
    "value), guarded against formulas. html comes later and is refused by this version.\n"
    "\n"
    "Examples:\n"
    "  postern-report --database …                           yesterday, as text\n"
    "  postern-report --period week --at 2026-05-01 …        the week that holds this day\n"
    "  postern-report --at today --format json … | jq .sections.new_blocks\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 usage.";

typedef struct {
    char *period, *at, *format;
} Options;

static gboolean run_section(PstPg *pg, FILE *out, const ReportWriter *writer,
                            const ReportSection *section, const ReportPeriod *period,
                            gboolean first, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, period->from);
    pst_pg_add_text(&p, period->to);
    g_autoptr(PstPgRows) found =
        pst_pg_query(pg, writer->json ? section->json : section->sql, &p, error);
    if (found == NULL) {
        g_prefix_error(error, "%s: ", section->name);
        return FALSE;
    }
    writer->section(out, section, found, first);
    return TRUE;
}

/* One snapshot for all sections: they do not contradict one another. */
static gboolean write_report(PstPg *pg, const ReportWriter *writer, const Options *options,
                             FILE *out, GError **error)
{
    g_auto(ReportPeriod) period = {0};
    const char *kind = options->period != NULL ? options->period : "day";
    if (!pst_pg_begin(pg, error) ||
        !pst_pg_run(pg, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL, NULL,
                    error) ||
        !report_period_read(pg, kind, options->at, &period, error))
        return FALSE;
    writer->begin(out, &period);
    for (const ReportSection *s = report_sections; s->name != NULL; s++)
        if (!run_section(pg, out, writer, s, &period, s == report_sections, error))
            return FALSE;
    writer->end(out);
    return pst_pg_commit(pg, error);
}

static const ReportWriter *find_writer(const char *format, GError **error)
{
    static const ReportWriter *const writers[] = {&report_text, &report_json, &report_csv};
    if (format == NULL)
        return &report_text;
    for (gsize i = 0; i < G_N_ELEMENTS(writers); i++)
        if (strcmp(writers[i]->name, format) == 0)
            return writers[i];
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                "--format %s: this version has text, json and csv", format);
    return NULL;
}

static gboolean check_options(const Config *config, const Options *options, GError **error)
{
    static const char *const kinds[] = {"day", "week", "month", NULL};
    if (config->database == NULL || *config->database == '\0')
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "--database is missing: \"host=/run/postgresql dbname=postern "
                    "user=postern_analyst\"");
    else if (options->period != NULL && !g_strv_contains(kinds, options->period))
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "--period is day, week or month, not \"%s\"",
                    options->period);
    else
        return TRUE;
    return FALSE;
}

/* Made whole in memory first: half a report is none. */
static gboolean report(const Config *config, const Options *options, GError **error)
{
    const ReportWriter *writer = find_writer(options->format, error);
    if (writer == NULL || !check_options(config, options, error))
        return FALSE;
    g_autoptr(PstPg) pg = pst_pg_open(config->database, "postern-report", error);
    if (pg == NULL)
        return FALSE;
    char *text = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&text, &len);
    g_assert(memory != NULL);
    gboolean done = write_report(pg, writer, options, memory, error);
    fclose(memory);
    if (done && (fwrite(text, 1, len, stdout) != len || fflush(stdout) != 0)) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "cannot write the report");
        done = FALSE;
    }
    free(text); /* open_memstream's */
    return done;
}

int main(int argc, char **argv)
{
    Config config = {0};
    Options options = {0};
    const GOptionEntry entries[] = {
        {"period", 0, 0, G_OPTION_ARG_STRING, &options.period, "How long (day)", "day|week|month"},
        {"at", 0, 0, G_OPTION_ARG_STRING, &options.at,
         "A day or time within the period, or today; without it the last one that is over", "DATE"},
        {"format", 0, 0, G_OPTION_ARG_STRING, &options.format, "How it is written (text)",
         "text|json|csv"},
        {NULL},
    };
    PstProgram program = {.program = "postern-report",
                          .summary = "The report of a day, a week or a month, for the NOC.",
                          .description = description,
                          .rows = rows,
                          .target = &config,
                          .options = entries,
                          .brief = TRUE};
    PstRun run;
    int status = PST_EXIT_DONE;
    if (!pst_run_init(&program, argc, argv, &run, &status))
        return status;
    g_autoptr(GError) error = NULL;
    if (!report(&config, &options, &error)) {
        fprintf(stderr, "postern-report: %s\n", error->message);
        status = pst_error_exit_status(error);
    }
    pst_run_done(&run);
    pst_conf_clear(rows, &config);
    g_free(options.period);
    g_free(options.at);
    g_free(options.format);
    return status;
}
