/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

typedef struct {
    double weight;
    char *note;
} Options;

static const char description[] =
    "add DOMAIN   enrols a reporter: a complaint that our own mail server vouches for counts with\n"
    "             --weight (1.0 is enough to warn); everyone else is anonymous and counts little.\n"
    "             Again with another weight changes it; 0 ends it\n"
    "list         all enrolled reporters\n"
    "\n"
    "Example:\n"
    "  postern reporters add mailbox-provider.example --note \"feedback loop\" --database …\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 usage.";

static int add(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, args[0]);
    pst_pg_add_real(&p, options->weight);
    pst_pg_add_text(&p, options->note != NULL ? options->note : "");
    pst_pg_add_text(&p, actor);
    if (!pst_pg_run(pg, "SELECT postern.reporter_enrol($1, $2, $3, $4)", &p, NULL, error))
        return PST_EXIT_FAILED;
    printf("%s: weight %g\n", args[0], options->weight);
    return PST_EXIT_DONE;
}

static int list(PstPg *pg, char **args, gpointer user, GError **error)
{
    return cli_print_query(
        pg,
        "SELECT domain, weight, to_char(enrolled_at, 'YYYY-MM-DD') AS since, note"
        " FROM postern.reporter ORDER BY domain",
        NULL, error);
}

static int run_reporters(PstRun *run, const CliConfig *config, gpointer options, GError **error)
{
    static const CliVerb verbs[] = {
        {"add", 1, "add DOMAIN", add}, {"list", 0, "list", list}, {NULL}};
    return cli_run_verb(verbs, run, config, options, error);
}

int cmd_reporters(int argc, char **argv)
{
    Options options = {.weight = 1.0};
    const GOptionEntry entries[] = {
        {"weight", 0, 0, G_OPTION_ARG_DOUBLE, &options.weight,
         "With add: weight of an authenticated complaint, 0 to 10 (1.0)", "X"},
        {"note", 0, 0, G_OPTION_ARG_STRING, &options.note, "With add: a word for people", "TEXT"},
        {NULL},
    };
    PstProgram program = {.program = "postern reporters",
                          .summary = "Whose complaints count.",
                          .description = description,
                          .positional = "add DOMAIN|list",
                          .options = entries};
    int status = cli_run(&program, argc, argv, run_reporters, &options);
    g_free(options.note);
    return status;
}
