/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#define STEP 5000 /* rows of a kind in one transaction */

typedef struct {
    gboolean dry_run;
} Options;

static const char description[] =
    "Takes away what is older than the settings retention.evidence_days (flows of cases and\n"
    "verdicts), retention.hash_days (Message-IDs, senders of replies, recipients of our mails "
    "become\n"
    "hashes) and retention.activity_months (traffic, by whole months). Blocks, cases, warnings,\n"
    "freezes and the audit are kept. postern-dispatch --work=deadline does the same by itself, "
    "every\n"
    "hour; this is for whoever wants it now. May be killed at any moment.\n"
    "\n"
    "Examples:\n"
    "  postern expire --dry-run --database …     what would go\n"
    "  postern expire --database …\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 usage.";

/* One step. *out_taken: how much it took in all; 0: nothing is left. */
static gboolean take(PstPg *pg, GHashTable *totals, gint64 *out_taken, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, STEP);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT what, rows FROM postern.expire($1)", &p, error);
    if (rows == NULL)
        return FALSE;
    *out_taken = 0;
    for (int i = 0; i < pst_pg_count(rows); i++) {
        const char *what = pst_pg_text(rows, i, 0);
        gint64 *total = g_hash_table_lookup(totals, what);
        if (total == NULL) {
            total = g_new0(gint64, 1);
            g_hash_table_insert(totals, g_strdup(what), total);
        }
        *total += pst_pg_int(rows, i, 1);
        *out_taken += pst_pg_int(rows, i, 1);
    }
    return TRUE;
}

static void print_totals(GHashTable *totals)
{
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(totals), (GCompareFunc)g_strcmp0);
    for (const GList *name = names; name != NULL; name = name->next)
        printf("%s: %" G_GINT64_FORMAT "\n", (const char *)name->data,
               *(const gint64 *)g_hash_table_lookup(totals, name->data));
}

static int expire(PstRun *run, const CliConfig *config, gpointer user, GError **error)
{
    const Options *options = user;
    g_autoptr(PstPg) pg = cli_connect(run, config, FALSE, error);
    if (pg == NULL)
        return PST_EXIT_FAILED;
    if (options->dry_run)
        return cli_print_query(pg, "SELECT what, rows FROM postern.expirable()", NULL, error);
    g_autoptr(GHashTable) totals = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (gint64 taken = 1; taken > 0;)
        if (!take(pg, totals, &taken, error))
            return PST_EXIT_FAILED;
    print_totals(totals);
    return PST_EXIT_DONE;
}

int cmd_expire(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        {"dry-run", 0, 0, G_OPTION_ARG_NONE, &options.dry_run, "Only say how much would go", NULL},
        {NULL},
    };
    PstProgram program = {.program = "postern expire",
                          .summary = "What is not kept for ever goes.",
                          .description = description,
                          .options = entries};
    return cli_run(&program, argc, argv, expire, &options);
}
