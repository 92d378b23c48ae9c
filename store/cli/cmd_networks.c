/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"

typedef struct {
    char *note;
    char *output;
    gboolean allow_wide, yes;
} Options;

static const char description[] =
    "add NET   declares a prefix ours from the beginning of time; addresses outside are never\n"
    "          judged, warned or blocked; wider than /8 (IPv6: /16) only with --allow-wide\n"
    "end NET   address space that is no longer ours: shows what is assigned, blocked and frozen "
    "in\n"
    "          it, and asks (--yes does not). Nothing in it is judged from then on, and what is\n"
    "          closed in it is opened in the network, freezes too; their rows stay\n"
    "list      all networks, those that ended too\n"
    "export    writes the file that the collector reads (--networks): one prefix a line;\n"
    "          the collector reads it again when it changes\n"
    "\n"
    "Examples:\n"
    "  postern networks add 192.0.2.0/24 --note \"hall 3\" --database …\n"
    "  postern networks export --output /etc/postern/networks --database …\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 usage.";

static int add(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    PstPrefix net;
    if (!cli_read_net(args[0], &net, error))
        return PST_EXIT_USAGE;
    if (!options->allow_wide && cli_too_wide(&net) > 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_REFUSED,
                    "%s is no network of yours, most likely: it is wider than /%u, and every "
                    "machine in it could be blocked as your customer's. If it is yours, say "
                    "--allow-wide",
                    args[0], cli_too_wide(&net));
        return PST_EXIT_FAILED;
    }
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_prefix(&p, &net);
    pst_pg_add_text(&p, options->note != NULL ? options->note : "");
    pst_pg_add_text(&p, actor);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT postern.network_add($1::cidr, $2, $3)", &p, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    printf("%s: %s\n", args[0], pst_pg_text(rows, 0, 0));
    return PST_EXIT_DONE;
}

/* ---- end ---- */

/* In the order of network_end_preview(). */
static const struct {
    const char *what, *words;
} left_behind[] = {
    {"stays", "other networks of ours hold some of it, which stays ours"},
    {"assigned", "nets in it are assigned: take them out of your customer list"},
    {"blocked", "units are blocked (or about to be frozen): they are opened in the network"},
    {"warned", "units have a warning; their deadlines go on, and nothing is closed"},
    {"frozen", "units are frozen: they are opened in the network; that they were stays on record"},
};

static gboolean show_end(const char *net, const PstPgRows *rows, GError **error)
{
    if (pst_pg_count(rows) == 0 || strcmp(pst_pg_text(rows, 0, 0), "network") != 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_NOT_FOUND,
                    "exactly %s is no network of ours now (postern networks list)", net);
        return FALSE;
    }
    const char *since = pst_pg_text(rows, 0, 2);
    printf("%s%s%s\n", net, since != NULL ? ", " : "", since != NULL ? since : "");
    for (int i = 1; i < pst_pg_count(rows); i++) {
        gsize k = 0;
        while (k + 1 < G_N_ELEMENTS(left_behind) &&
               strcmp(left_behind[k].what, pst_pg_text(rows, i, 0)) != 0)
            k++;
        printf("  %s %s: %s\n", pst_pg_text(rows, i, 1), left_behind[k].words,
               pst_pg_text(rows, i, 2));
    }
    return TRUE;
}

static int end(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    PstPrefix net;
    if (!cli_read_net(args[0], &net, error))
        return PST_EXIT_USAGE;
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_prefix(&p, &net);
    g_autoptr(PstPgRows) preview = pst_pg_query(
        pg, "SELECT what, units, detail FROM postern.network_end_preview($1::cidr)", &p, error);
    if (preview == NULL || !show_end(args[0], preview, error) ||
        !cli_confirm(options->yes, "Is it no longer ours?", error))
        return PST_EXIT_FAILED;
    pst_pg_add_text(&p, actor);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT postern.network_end($1::cidr, $2)", &p, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    printf("%s: %s; now run postern networks export for the collector\n", args[0],
           pst_pg_text(rows, 0, 0));
    return PST_EXIT_DONE;
}

static int list(PstPg *pg, char **args, gpointer user, GError **error)
{
    return cli_print_query(
        pg,
        "SELECT net, CASE WHEN during @> postern.now() THEN 'ours' ELSE 'ended' END AS state,"
        " coalesce(to_char(lower(during), 'YYYY-MM-DD'), 'always') AS since,"
        " to_char(upper(during), 'YYYY-MM-DD') AS until, note"
        " FROM postern.network ORDER BY net, during",
        NULL, error);
}

static int export(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    g_autoptr(PstPgRows) rows = pst_pg_query(
        pg, "SELECT net FROM postern.networks_in_force ORDER BY family(net), net", NULL, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    if (pst_pg_count(rows) == 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_NOT_FOUND,
                    "there is no network yet: run postern networks add");
        return PST_EXIT_FAILED;
    }
    g_autoptr(GString) text = g_string_new(
        "# Our own networks, by postern networks export. Do not edit: PostgreSQL leads.\n");
    for (int i = 0; i < pst_pg_count(rows); i++)
        g_string_append_printf(text, "%s\n", pst_pg_text(rows, i, 0));
    if (options->output == NULL) {
        fputs(text->str, stdout);
        return PST_EXIT_DONE;
    }
    /* In one step: the collector never reads half a file. */
    g_autoptr(GError) why = NULL;
    if (!g_file_set_contents_full(options->output, text->str, (gssize)text->len,
                                  G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                  0644, &why)) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s", why->message);
        return PST_EXIT_FAILED;
    }
    printf("%d networks written to %s\n", pst_pg_count(rows), options->output);
    return PST_EXIT_DONE;
}

static int run_networks(PstRun *run, const CliConfig *config, gpointer options, GError **error)
{
    static const CliVerb verbs[] = {{"add", 1, "add NET", add},
                                    {"end", 1, "end NET [--yes]", end},
                                    {"list", 0, "list", list},
                                    {"export", 0, "export [--output FILE]", export},
                                    {NULL}};
    return cli_run_verb(verbs, run, config, options, error);
}

int cmd_networks(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        {"note", 0, 0, G_OPTION_ARG_STRING, &options.note, "With add: a word for people", "TEXT"},
        {"output", 0, 0, G_OPTION_ARG_FILENAME, &options.output,
         "With export: the file to write; without it, stdout", "FILE"},
        {"allow-wide", 0, 0, G_OPTION_ARG_NONE, &options.allow_wide,
         "With add: also a network wider than /8 (IPv6: /16)", NULL},
        {"yes", 0, 0, G_OPTION_ARG_NONE, &options.yes, "With end: do not ask", NULL},
        {NULL},
    };
    PstProgram program = {.program = "postern networks",
                          .summary = "Our own address space.",
                          .description = description,
                          .positional = "add NET|end NET|list|export",
                          .options = entries};
    int status = cli_run(&program, argc, argv, run_networks, &options);
    g_free(options.note);
    g_free(options.output);
    return status;
}
