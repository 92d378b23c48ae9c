/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"

typedef struct {
    char *reason;
    char *until;
    double ceiling; /* 0: none */
    gboolean false_positive;
    gboolean end;
} Options;

static const char description[] =
    "show ADDRESS      state, block, deadline, orders and the whole history of an address, over "
    "all\n"
    "                  its tenants\n"
    "release ADDRESS   lifts its block or withdraws its warning, with --reason. --false-positive:\n"
    "                  it was none: the level does not count and the detector hears of it\n"
    "exempt NET        verdicts on these addresses do nothing until --until, with --reason; with\n"
    "                  --ceiling only up to so many sessions an hour. --end ends it early, "
    "with\n"
    "                  --reason\n"
    "\n"
    "Examples:\n"
    "  postern ip show 192.0.2.25 --database …\n"
    "  postern ip release 192.0.2.25 --reason \"customer cleaned up\" --database …\n"
    "  postern ip exempt 192.0.2.64/28 --until 2026-07-01 --reason \"newsletter farm\" --database "
    "…\n"
    "\n"
    "Exit status: 0 done, 1 failed, refused or unknown, 2 usage.";

/* ---- show ---- */

/* What each part of the answer says, one line per row; parts without rows are not shown. */
static const struct {
    const char *title, *sql;
} parts[] = {
    {"state",
     "SELECT concat(postern.unit_text(unit), '  ', state, ' since ', to_char(since, $f$YYYY-MM-DD "
     "HH24:MI$f$), ' UTC, level ', level, CASE WHEN watched THEN ', watched' END,"
     " CASE WHEN probation_until > postern.now() THEN ', on probation until '"
     " || to_char(probation_until, $f$YYYY-MM-DD$f$) END)"
     " FROM api_v1.units_in($1)"},
    {"customer", "SELECT concat_ws(', ', customer, customer_name, nullif(service_name, ''))"
                 " FROM api_v1.units_in($1) WHERE customer IS NOT NULL"},
    {"open case", "SELECT concat(case_id, ', opened ', to_char(opened_at, $f$YYYY-MM-DD "
                  "HH24:MI$f$), ' UTC, ', category, ', ', evidence, ' lines of evidence',"
                  " CASE WHEN shadow THEN ' (shadow mode: nothing was done)' END)"
                  " FROM api_v1.cases WHERE unit && $1 AND closed_at IS NULL"},
    {"block",
     "SELECT concat(CASE scope WHEN 'ports' THEN 'ports ' || array_to_string(ports, ', ')"
     " ELSE 'whole address' END, ' closed ', to_char(blocked_at, $f$YYYY-MM-DD "
     "HH24:MI$f$), ' UTC, the customer may open it ', CASE WHEN hold_until <= postern.now()"
     " THEN 'now' ELSE 'from ' || to_char(hold_until, $f$YYYY-MM-DD HH24:MI$f$)"
     " || ' UTC on' END, ': ', reason) FROM api_v1.blocks_active WHERE unit && $1"},
    {"warning", "SELECT concat(state, coalesce(', deadline ' || to_char(deadline, $f$YYYY-MM-DD "
                "HH24:MI$f$) || ' UTC', ', the mail is not accepted yet'), CASE WHEN spam_since"
                " THEN ', spam since then' END, ': ', reason)"
                " FROM api_v1.deadlines WHERE unit && $1 AND closed_at IS NULL"},
    {"freeze", "SELECT concat('listed on ', nullif(zone, ''), ', proposed by ', proposer,"
               " CASE state WHEN 'scheduled' THEN ', approved by ' || approver || ', freezes '"
               " || to_char(freeze_at, $f$YYYY-MM-DD HH24:MI$f$) || ' UTC' ELSE ', wants approval'"
               " END, ': ' || nullif(note, '')) FROM postern.freeze_proposal"
               " WHERE unit && $1 AND state IN ('proposed', 'scheduled')"},
    {"frozen", "SELECT concat('for ever since ', to_char(frozen_at, $f$YYYY-MM-DD HH24:MI$f$),"
               " ' UTC, listed on ', zone) FROM api_v1.freezes WHERE unit && $1"},
    {"exempt",
     "SELECT concat(net, ' until ', to_char(upper(during), $f$YYYY-MM-DD HH24:MI$f$), ' UTC',"
     " ', up to ' || ceiling || ' sessions an hour', ', by ', actor, ': ', reason)"
     " FROM postern.exemption WHERE net && $1 AND during @> postern.now()"},
    {"network", "SELECT concat(adapter, ': ', replace(action, '_', ' '), ', ', state,"
                " CASE WHEN error <> '' THEN ': ' || error END)"
                " FROM api_v1.enforcement_desired WHERE unit && $1"},
};

static gboolean show_part(PstPg *pg, const char *title, const char *sql, const PstPgParams *p,
                          gboolean *out_any, GError **error)
{
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, sql, p, error);
    if (rows == NULL)
        return FALSE;
    for (int i = 0; i < pst_pg_count(rows); i++)
        printf("%-10s %s\n", i == 0 ? title : "", pst_pg_text(rows, i, 0));
    *out_any |= pst_pg_count(rows) > 0;
    return TRUE;
}

static gboolean show_history(PstPg *pg, const PstPgParams *p, gboolean *out_any, GError **error)
{
    g_autoptr(PstPgRows) rows = pst_pg_query(
        pg,
        "SELECT coalesce(to_char(at, 'YYYY-MM-DD HH24:MI:SS'), 'always') AS \"time (UTC)\", what,"
        " customer, case_id AS \"case\","
        " concat_ws('  ', nullif(text, ''), '[' || nullif(actor, '') || ']') AS details"
        " FROM api_v1.ip_timeline($1)",
        p, error);
    if (rows == NULL)
        return FALSE;
    if (pst_pg_count(rows) > 0) {
        printf("\n");
        cli_print_table(rows, stdout);
    }
    *out_any |= pst_pg_count(rows) > 0;
    return TRUE;
}

static int show(PstPg *pg, char **args, gpointer user, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    if (!cli_add_address(&p, args[0], error))
        return PST_EXIT_USAGE;
    gboolean any = FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++)
        if (!show_part(pg, parts[i].title, parts[i].sql, &p, &any, error))
            return PST_EXIT_FAILED;
    if (!show_history(pg, &p, &any, error))
        return PST_EXIT_FAILED;
    if (any)
        return PST_EXIT_DONE;
    g_autoptr(PstPgRows) ours = pst_pg_query(
        pg, "SELECT count(*) FROM postern.networks_in_force WHERE net >>= $1", &p, error);
    if (ours == NULL)
        return PST_EXIT_FAILED;
    g_set_error(error, PST_ERROR, PST_ERROR_NOT_FOUND, "nothing is known about %s%s", args[0],
                pst_pg_int(ours, 0, 0) > 0 ? ": it is ours, and nobody's so far"
                                           : ": it is in none of our networks (postern networks)");
    return PST_EXIT_FAILED;
}

/* ---- release, exempt ---- */

static int release(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    int status = cli_need_reason(options->reason, error);
    if (status != PST_EXIT_DONE)
        return status;
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    if (!cli_add_address(&p, args[0], error))
        return PST_EXIT_USAGE;
    pst_pg_add_text(&p, options->reason);
    pst_pg_add_bool(&p, options->false_positive);
    pst_pg_add_text(&p, actor);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg,
                     "SELECT r->>'action', coalesce(r->>'message', ''), coalesce(r->>'state', ''),"
                     " coalesce(r->>'unit', ''), coalesce('. ' || (r->>'reason'), '')"
                     " FROM postern.ip_release($1, $2, $3, $4) AS r",
                     &p, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    const char *action = pst_pg_text(rows, 0, 0), *message = pst_pg_text(rows, 0, 1);
    if (strcmp(action, "refused") == 0 || strcmp(action, "not-found") == 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_REFUSED, "%s: %s%s", args[0],
                    *message != '\0' ? message : action, pst_pg_text(rows, 0, 4));
        return PST_EXIT_FAILED;
    }
    printf("%s: %s%s%s, state %s\n", pst_pg_text(rows, 0, 3), action, *message != '\0' ? ": " : "",
           message, pst_pg_text(rows, 0, 2));
    return PST_EXIT_DONE;
}

static int end_exemption(PstPg *pg, const char *net, const char *reason, GError **error)
{
    int status = cli_need_reason(reason, error);
    if (status != PST_EXIT_DONE)
        return status;
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    if (!cli_add_address(&p, net, error))
        return PST_EXIT_USAGE;
    pst_pg_add_text(&p, reason);
    pst_pg_add_text(&p, actor);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT postern.ip_exempt_end($1::cidr, $2, $3)", &p, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    if (pst_pg_int(rows, 0, 0) == 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_NOT_FOUND,
                    "no exemption of exactly %s is in force (postern ip show tells which are)",
                    net);
        return PST_EXIT_FAILED;
    }
    printf("%s: no longer exempt\n", net);
    return PST_EXIT_DONE;
}

static int exempt(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    if (options->end)
        return end_exemption(pg, args[0], options->reason, error);
    if (options->until == NULL)
        return cli_usage(error, "an exemption needs --until");
    int status = cli_need_reason(options->reason, error);
    if (status != PST_EXIT_DONE)
        return status;
    g_autofree char *day = strlen(options->until) == strlen("2026-07-01")
                               ? g_strconcat(options->until, "T00:00:00Z", NULL)
                               : g_strdup(options->until);
    gint64 until_ns;
    if (!pst_time_parse(day, &until_ns))
        return cli_usage(error, "--until \"%s\": write 2026-07-01 or 2026-07-01T12:00:00Z",
                         options->until);
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    if (!cli_add_address(&p, args[0], error))
        return PST_EXIT_USAGE;
    if (options->ceiling > 0)
        pst_pg_add_real(&p, options->ceiling);
    else
        pst_pg_add_null(&p);
    pst_pg_add_time(&p, until_ns);
    pst_pg_add_text(&p, options->reason);
    pst_pg_add_text(&p, actor);
    if (!pst_pg_run(pg, "SELECT postern.ip_exempt($1::cidr, $2, $3, $4, $5)", &p, NULL, error))
        return PST_EXIT_FAILED;
    printf("%s: exempt until %s\n", args[0], day);
    return PST_EXIT_DONE;
}

static int run_ip(PstRun *run, const CliConfig *config, gpointer options, GError **error)
{
    static const CliVerb verbs[] = {
        {"show", 1, "show ADDRESS", show},
        {"release", 1, "release ADDRESS --reason TEXT [--false-positive]", release},
        {"exempt", 1, "exempt NET --until TIME --reason TEXT [--ceiling N], or --end", exempt},
        {NULL}};
    return cli_run_verb(verbs, run, config, options, error);
}

int cmd_ip(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        {"reason", 0, 0, G_OPTION_ARG_STRING, &options.reason, "With release and exempt: why",
         "TEXT"},
        {"false-positive", 0, 0, G_OPTION_ARG_NONE, &options.false_positive,
         "With release: it was no spam", NULL},
        {"until", 0, 0, G_OPTION_ARG_STRING, &options.until,
         "With exempt: its end, 2026-07-01 or RFC 3339", "TIME"},
        {"end", 0, 0, G_OPTION_ARG_NONE, &options.end, "With exempt: it ends now", NULL},
        {"ceiling", 0, 0, G_OPTION_ARG_DOUBLE, &options.ceiling,
         "With exempt: sessions an hour up to which it holds", "N"},
        {NULL},
    };
    PstProgram program = {.program = "postern ip",
                          .summary = "One address.",
                          .description = description,
                          .positional = "show|release|exempt ADDRESS",
                          .options = entries};
    int status = cli_run(&program, argc, argv, run_ip, &options);
    g_free(options.reason);
    g_free(options.until);
    return status;
}
