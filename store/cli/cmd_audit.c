/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#define SHOWN_MAX 20

typedef struct {
    char *digest;
} Options;

static const char description[] =
    "verify    is the audit as it was sealed? Names every row that was changed, removed or "
    "slipped\n"
    "          in, the first one first. --digest: a digest from an earlier report (section "
    "health)\n"
    "          must stand in the chain, else the chain was made anew\n"
    "seals     the newest seals\n"
    "\n"
    "postern-dispatch --work=deadline seals once a minute; rows of the last minute are not sealed "
    "yet.\n"
    "\n"
    "Examples:\n"
    "  postern audit verify --database …\n"
    "  postern audit verify --digest 5a0c… --database …\n"
    "\n"
    "Exit status: 0 the audit is whole, 1 it is not, or failed, 2 usage.";

static gboolean tell_whole(PstPg *pg, GError **error)
{
    g_autoptr(PstPgRows) rows = pst_pg_query(
        pg,
        "SELECT coalesce(sum(s.rows), 0), count(*), coalesce(max(s.digest) FILTER (WHERE s.id ="
        " (SELECT max(id) FROM api_v1.audit_seals)), 'none'),"
        " (SELECT u.rows FROM api_v1.audit_unsealed u) FROM api_v1.audit_seals s",
        NULL, error);
    if (rows == NULL)
        return FALSE;
    printf("the audit is whole: %s rows under %s seals, %s wait for theirs\nnewest digest %s\n",
           pst_pg_text(rows, 0, 0), pst_pg_text(rows, 0, 1), pst_pg_text(rows, 0, 3),
           pst_pg_text(rows, 0, 2));
    return TRUE;
}

static int verify(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, options->digest);
    pst_pg_add_int(&p, SHOWN_MAX);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg,
                     "SELECT v.seal_id AS seal, v.audit_id AS row, v.problem,"
                     " to_char(a.at, 'YYYY-MM-DD HH24:MI:SS') AS \"time (UTC)\", a.event,"
                     " postern.unit_text(a.unit) AS address"
                     " FROM postern.verify_audit($1) AS v LEFT JOIN api_v1.audit a"
                     " ON a.id = v.audit_id ORDER BY v.place LIMIT $2",
                     &p, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    if (pst_pg_count(rows) == 0)
        return tell_whole(pg, error) ? PST_EXIT_DONE : PST_EXIT_FAILED;
    cli_print_table(rows, stdout);
    g_set_error(error, PST_ERROR, PST_ERROR_REFUSED,
                "the audit is not as it was sealed; %s above is where it begins",
                pst_pg_count(rows) == 1 ? "the line" : "the first line");
    return PST_EXIT_FAILED;
}

static int seals(PstPg *pg, char **args, gpointer user, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, SHOWN_MAX);
    return cli_print_query(
        pg,
        "SELECT id AS seal, to_char(sealed_at, 'YYYY-MM-DD HH24:MI:SS') AS \"time (UTC)\", rows,"
        " digest FROM api_v1.audit_seals ORDER BY id DESC LIMIT $1",
        &p, error);
}

static int run_audit(PstRun *run, const CliConfig *config, gpointer options, GError **error)
{
    static const CliVerb verbs[] = {
        {"verify", 0, "verify [--digest HEX]", verify}, {"seals", 0, "seals", seals}, {NULL}};
    return cli_run_verb(verbs, run, config, options, error);
}

int cmd_audit(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        {"digest", 0, 0, G_OPTION_ARG_STRING, &options.digest,
         "With verify: a digest that must stand in the chain", "HEX"},
        {NULL},
    };
    PstProgram program = {.program = "postern audit",
                          .summary = "The record of everything that was done.",
                          .description = description,
                          .positional = "verify|seals",
                          .options = entries};
    int status = cli_run(&program, argc, argv, run_audit, &options);
    g_free(options.digest);
    return status;
}
