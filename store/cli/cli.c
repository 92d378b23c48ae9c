/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <string.h>
#include <unistd.h>

#include "migrate.h"

const PstConfRow cli_rows[] = {
    {"cli", "database", PST_CONF_TEXT, offsetof(CliConfig, database), "", 0, 0, NULL, "", FALSE,
     "How to reach PostgreSQL: \"host=/run/postgresql dbname=postern\"."},
    {NULL},
};

/* A person reads this: no priorities, no times. */
static int complain_take(const char *program, GError *error)
{
    g_autoptr(GError) owned = error;
    int status = pst_error_exit_status(owned);
    fprintf(stderr, "%s: %s\n", program, owned->message);
    if (status == PST_EXIT_USAGE)
        fprintf(stderr, "Try %s --help\n", program);
    return status;
}

int cli_run(PstProgram *program, int argc, char **argv, CliAction action, gpointer options)
{
    CliConfig config = {0};
    PstRun run;
    int status = PST_EXIT_DONE;
    if (program->rows == NULL)
        program->rows = cli_rows;
    program->target = &config;
    program->brief = TRUE;
    if (!pst_run_init(program, argc, argv, &run, &status))
        return status;
    GError *error = NULL;
    status = action(&run, &config, options, &error);
    if (error != NULL)
        status = complain_take(program->program, error);
    if (fflush(stdout) != 0 && status == PST_EXIT_DONE) {
        fprintf(stderr, "%s: cannot write the output\n", program->program);
        status = PST_EXIT_FAILED;
    }
    pst_run_done(&run);
    pst_conf_clear(program->rows, &config);
    return status;
}

PstPg *cli_connect(PstRun *run, const CliConfig *config, gboolean any_schema, GError **error)
{
    if (config->database == NULL || *config->database == '\0') {
        cli_usage(error, "--database is missing: say \"host=/run/postgresql dbname=postern\", or "
                         "write it under [cli] of the file that --config names");
        return NULL;
    }
    g_autoptr(PstPg) pg = pst_pg_open(config->database, g_get_prgname(), error);
    if (pg == NULL || (!any_schema && !pst_migrate_check(pg, pst_schema_files, error)))
        return NULL;
    return g_steal_pointer(&pg);
}

char *cli_actor(void)
{
    const char *sudo = g_getenv("SUDO_USER");
    return g_strdup(sudo != NULL && *sudo != '\0' ? sudo : g_get_user_name());
}

gboolean cli_confirm(gboolean yes, const char *question, GError **error)
{
    if (yes)
        return TRUE;
    if (!isatty(STDIN_FILENO)) {
        g_set_error(error, PST_ERROR, PST_ERROR_REFUSED,
                    "nothing was changed: there is nobody to ask here, say --yes");
        return FALSE;
    }
    char answer[16] = "";
    (void)fflush(stdout);
    fprintf(stderr, "%s [y/N] ", question);
    if (fgets(answer, sizeof answer, stdin) != NULL) {
        g_strstrip(answer);
        if (g_ascii_strcasecmp(answer, "y") == 0 || g_ascii_strcasecmp(answer, "yes") == 0)
            return TRUE;
    }
    g_set_error(error, PST_ERROR, PST_ERROR_REFUSED, "nothing was changed");
    return FALSE;
}

guint8 cli_too_wide(const PstPrefix *net)
{
    guint8 widest = net->addr.family == PST_AF_INET ? 8 : 16;
    return net->len < widest ? widest : 0;
}

int cli_usage(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "%s", what);
    return PST_EXIT_USAGE;
}

int cli_need_reason(const char *reason, GError **error)
{
    if (reason != NULL && *reason != '\0')
        return PST_EXIT_DONE;
    return cli_usage(error, "it needs --reason: it stands in the audit");
}

/* ---- addresses and networks ---- */

gboolean cli_add_address(PstPgParams *params, const char *text, GError **error)
{
    PstPrefix prefix;
    if (!pst_prefix_parse(text, strlen(text), FALSE, &prefix)) {
        cli_usage(error, "\"%s\" is no address: write 192.0.2.25 or 2001:db8:1::/64", text);
        return FALSE;
    }
    pst_pg_add_prefix(params, &prefix);
    return TRUE;
}

gboolean cli_read_net(const char *text, PstPrefix *out, GError **error)
{
    if (pst_prefix_parse(text, strlen(text), TRUE, out))
        return TRUE;
    char meant[PST_PREFIX_TEXT_MAX];
    if (pst_prefix_parse(text, strlen(text), FALSE, out))
        cli_usage(error, "%s has bits set behind its length: did you mean %s?", text,
                  pst_prefix_format(out, meant));
    else
        cli_usage(error, "\"%s\" is no network: write 192.0.2.0/24 or 2001:db8::/32", text);
    return FALSE;
}

int cli_list_net(PstPg *pg, const CliNetList *list, const char *net, const char *reason,
                 gboolean remove, GError **error)
{
    PstPrefix prefix;
    int status = cli_need_reason(reason, error);
    if (status != PST_EXIT_DONE)
        return status;
    if (!cli_read_net(net, &prefix, error))
        return PST_EXIT_USAGE;
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_prefix(&p, &prefix);
    pst_pg_add_text(&p, reason);
    pst_pg_add_text(&p, actor);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, remove ? list->remove_sql : list->add_sql, &p, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    gboolean changed = pst_pg_bool(rows, 0, 0);
    if (remove && !changed) {
        g_set_error(error, PST_ERROR, PST_ERROR_NOT_FOUND, "exactly %s %s", net, list->unknown);
        return PST_EXIT_FAILED;
    }
    printf("%s: %s\n", net,
           remove    ? list->removed
           : changed ? list->added
                     : "stands there already");
    return PST_EXIT_DONE;
}

/* ---- verbs ---- */

static char *all_usages(const CliVerb *verbs)
{
    GString *text = g_string_new(NULL);
    for (const CliVerb *v = verbs; v->name != NULL; v++)
        g_string_append_printf(text, "%s%s", v == verbs ? "" : ", ", v->usage);
    return g_string_free(text, FALSE);
}

int cli_run_verb(const CliVerb *verbs, PstRun *run, const CliConfig *config, gpointer options,
                 GError **error)
{
    g_autofree char *usages = all_usages(verbs);
    int n = (int)g_strv_length(run->args);
    if (n == 0)
        return cli_usage(error, "what shall it do? %s", usages);
    const CliVerb *verb = verbs;
    while (verb->name != NULL && strcmp(verb->name, run->args[0]) != 0)
        verb++;
    if (verb->name == NULL)
        return cli_usage(error, "what is \"%s\"? There are: %s", run->args[0], usages);
    if (verb->n_args >= 0 ? n - 1 != verb->n_args : n > 2)
        return cli_usage(error, "it is written: %s %s", g_get_prgname(), verb->usage);
    g_autoptr(PstPg) pg = cli_connect(run, config, FALSE, error);
    return pg != NULL ? verb->action(pg, run->args + 1, options, error) : PST_EXIT_FAILED;
}

/* ---- tables ---- */

static const char *cell(const PstPgRows *rows, int row, int column)
{
    const char *text = pst_pg_text(rows, row, column);
    return text != NULL && *text != '\0' ? text : "–";
}

static void print_cell(FILE *out, const char *text, int width, gboolean last)
{
    int pad = last ? 0 : width - (int)g_utf8_strlen(text, -1) + 2;
    fprintf(out, "%s%*s", text, MAX(pad, 0), "");
}

void cli_print_table(const PstPgRows *rows, FILE *out)
{
    int columns = pst_pg_columns(rows);
    g_autofree int *widths = g_new0(int, columns);
    for (int c = 0; c < columns; c++) {
        widths[c] = (int)g_utf8_strlen(pst_pg_column_name(rows, c), -1);
        for (int r = 0; r < pst_pg_count(rows); r++)
            widths[c] = MAX(widths[c], (int)g_utf8_strlen(cell(rows, r, c), -1));
    }
    for (int c = 0; c < columns; c++)
        print_cell(out, pst_pg_column_name(rows, c), widths[c], c == columns - 1);
    fputc('\n', out);
    for (int r = 0; r < pst_pg_count(rows); r++) {
        for (int c = 0; c < columns; c++)
            print_cell(out, cell(rows, r, c), widths[c], c == columns - 1);
        fputc('\n', out);
    }
}

int cli_print_query(PstPg *pg, const char *sql, const PstPgParams *params, GError **error)
{
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, sql, params, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    cli_print_table(rows, stdout);
    return PST_EXIT_DONE;
}
