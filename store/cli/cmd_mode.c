/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"

#define SHOWN_MAX 200

static const char description[] =
    "shadow    verdicts, cases and would-be actions are recorded; no mail to customers, no order "
    "to\n"
    "          the network. A fresh installation is in this mode\n"
    "enforce   everything. First shows what shadow mode would have done in the last 7 days and\n"
    "          what is not ready (contacts, mail settings, adapters), and asks. What was recorded\n"
    "          in shadow stays so, enforce acts on what comes later\n"
    "Without an argument it tells the mode in force.\n"
    "\n"
    "Exit status: 0 done, 1 failed or not confirmed, 2 usage.";

static int tell(PstPg *pg, GError **error)
{
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, "SELECT postern.mode()", NULL, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    printf("%s\n", pst_pg_text(rows, 0, 0));
    return PST_EXIT_DONE;
}

static gboolean show_totals(PstPg *pg, gint64 *out_rows, GError **error)
{
    g_autoptr(PstPgRows) totals = pst_pg_query(
        pg,
        "SELECT count(*), count(DISTINCT unit) FILTER (WHERE action = 'warned'),"
        " count(DISTINCT unit) FILTER (WHERE action = 'blocked'), count(DISTINCT unit),"
        " count(DISTINCT customer), count(*) FILTER (WHERE since <> '') FROM postern.shadow_week()",
        NULL, error);
    if (totals == NULL)
        return FALSE;
    *out_rows = pst_pg_int(totals, 0, 0);
    printf("In the last 7 days enforce mode would have warned %s addresses and blocked %s: %s "
           "addresses of %s customers.\n",
           pst_pg_text(totals, 0, 1), pst_pg_text(totals, 0, 2), pst_pg_text(totals, 0, 3),
           pst_pg_text(totals, 0, 4));
    if (pst_pg_int(totals, 0, 5) > 0)
        printf("%s of these %s were called false alarms, exempted or protected since.\n",
               pst_pg_text(totals, 0, 5), pst_pg_text(totals, 0, 0));
    return TRUE;
}

/* What would be closed stands first. */
static gboolean show_week(PstPg *pg, GError **error)
{
    gint64 all = 0;
    if (!show_totals(pg, &all, error))
        return FALSE;
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, SHOWN_MAX);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg,
                     "SELECT action AS \"would be\", postern.unit_text(unit) AS address,"
                     " concat_ws(' ', customer, left(nullif(customer_name, customer), 24))"
                     " AS customer, to_char(first_at, 'MM-DD HH24:MI') AS \"first (UTC)\", times,"
                     " since, reason FROM postern.shadow_week()"
                     " ORDER BY since <> '', action, times DESC, unit LIMIT $1",
                     &p, error);
    if (rows == NULL)
        return FALSE;
    if (all > 0)
        cli_print_table(rows, stdout);
    if (all > SHOWN_MAX)
        printf("… and %" G_GINT64_FORMAT " more: SELECT * FROM postern.shadow_week()\n",
               all - SHOWN_MAX);
    return TRUE;
}

static gboolean show_readiness(PstPg *pg, GError **error)
{
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT what, remedy FROM postern.enforce_readiness()", NULL, error);
    if (rows == NULL)
        return FALSE;
    if (pst_pg_count(rows) > 0)
        printf("\nNot ready:\n");
    for (int i = 0; i < pst_pg_count(rows); i++)
        printf("  %s\n      → %s\n", pst_pg_text(rows, i, 0), pst_pg_text(rows, i, 1));
    return TRUE;
}

static int change(PstPg *pg, const char *mode, GError **error)
{
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, mode);
    pst_pg_add_text(&p, actor);
    if (!pst_pg_run(pg, "SELECT postern.set_mode($1, $2)", &p, NULL, error))
        return PST_EXIT_FAILED;
    printf("the mode is %s\n", mode);
    return PST_EXIT_DONE;
}

static int run_mode(PstRun *run, const CliConfig *config, gpointer options, GError **error)
{
    const gboolean *yes = options;
    const char *mode = run->args[0];
    if (mode != NULL && strcmp(mode, "shadow") != 0 && strcmp(mode, "enforce") != 0)
        return cli_usage(error, "the mode is shadow or enforce, not \"%s\"", mode);
    if (mode != NULL && run->args[1] != NULL)
        return cli_usage(error, "it is written: postern mode [shadow|enforce] [--yes]");
    g_autoptr(PstPg) pg = cli_connect(run, config, FALSE, error);
    if (pg == NULL)
        return PST_EXIT_FAILED;
    if (mode == NULL)
        return tell(pg, error);
    if (strcmp(mode, "enforce") == 0 && (!show_week(pg, error) || !show_readiness(pg, error) ||
                                         !cli_confirm(*yes, "Warn and block from now on?", error)))
        return PST_EXIT_FAILED;
    return change(pg, mode, error);
}

int cmd_mode(int argc, char **argv)
{
    gboolean yes = FALSE;
    const GOptionEntry entries[] = {
        {"yes", 0, 0, G_OPTION_ARG_NONE, &yes, "Do not ask", NULL},
        {NULL},
    };
    PstProgram program = {.program = "postern mode",
                          .summary = "Shadow or enforce.",
                          .description = description,
                          .positional = "[shadow|enforce]",
                          .options = entries};
    return cli_run(&program, argc, argv, run_mode, &yes);
}
