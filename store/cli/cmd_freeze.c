/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that are closed for ever, and the way there. */
#include <string.h>

#include "cli.h"
#include "freeze_file.h"

typedef struct {
    char *list;
    char *reason;
    char *freeze_key;
    gboolean end, yes;
} Options;

static const char description[] =
    "An address that a blocklist holds, and keeps holding, is closed for ever: nothing and nobody\n"
    "opens it again, its customer gets another one. So it takes two people and a day:\n"
    "\n"
    "  propose ADDRESS --list LIST --reason TEXT\n"
    "            port 25 is closed, if it is not, and a colleague is asked\n"
    "  approve ADDRESS --reason TEXT\n"
    "            under another PostgreSQL login than the proposer's. The customer is told: in 24\n"
    "            hours the address is closed for ever, unless it is delisted before\n"
    "  confirm ADDRESS --reason TEXT\n"
    "            from an hour before that time on: you have looked, it is still listed. Without\n"
    "            this nothing is frozen\n"
    "  postern-dispatch --work=deadline then freezes it; at most freeze.per_day in 24 hours\n"
    "\n"
    "reject ADDRESS --reason TEXT\n"
    "            delisted, a mistake, or the customer's statement is accepted: at any moment "
    "before\n"
    "            the end. Back to the block it had, or open again if it had none\n"
    "list        proposals under way, and everything that is frozen\n"
    "never NET --reason TEXT\n"
    "            its addresses are warned and blocked, and never frozen: a NAT pool, a shared\n"
    "            relay. --end takes it off again. Shared assignments and our own infrastructure\n"
    "            (postern.never_block) are never frozen in any case\n"
    "never-list  all of these\n"
    "restore FILE --freeze-key KEY\n"
    "            after an older dump was restored: freezes at once what the dispatcher's signed\n"
    "            file has and the database has not. Shows them and asks\n"
    "\n"
    "Example:\n"
    "  postern freeze propose 192.0.2.25 --list zen.spamhaus.org --reason \"SBL123456, third "
    "time\" "
    "…\n"
    "\n"
    "Exit status: 0 done, 1 failed, refused or not confirmed, 2 usage.";

/* ---- deciding ---- */

/* Calls @sql, which gives {action, unit, message, reason, state, freeze_at}; says what came of it:
 * @done is the action that was asked for. */
static int decide(PstPg *pg, const char *sql, const PstPgParams *p, const char *address,
                  const char *done, GError **error)
{
    g_autofree char *query =
        g_strdup_printf("SELECT r->>'action', coalesce(r->>'unit', ''), r->>'message',"
                        " r->>'reason', r->>'state', to_char((r->>'freeze_at')::timestamptz,"
                        " 'YYYY-MM-DD HH24:MI') FROM postern.%s AS r",
                        sql);
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, query, p, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    const char *action = pst_pg_text(rows, 0, 0), *message = pst_pg_text(rows, 0, 2),
               *reason = pst_pg_text(rows, 0, 3), *state = pst_pg_text(rows, 0, 4),
               *freeze_at = pst_pg_text(rows, 0, 5);
    if (strcmp(action, done) == 0) {
        printf("%s: %s", pst_pg_text(rows, 0, 1), action);
        if (freeze_at != NULL)
            printf(", for %s UTC; the customer is told", freeze_at);
        printf(", state %s\n", state);
        return PST_EXIT_DONE;
    }
    g_set_error(error, PST_ERROR, PST_ERROR_REFUSED, "%s: %s%s%s", address,
                message != NULL ? message : action, reason != NULL ? ". " : "",
                reason != NULL ? reason : "");
    return PST_EXIT_FAILED;
}

/* An event about one address with a reason. @sql: a call with $1 address, $2 reason, $3 actor and,
 * if @list is not NULL, $4 the blocklist. */
static int decide_about(PstPg *pg, const char *address, const Options *options, const char *list,
                        const char *sql, const char *done, GError **error)
{
    int status = cli_need_reason(options->reason, error);
    if (status != PST_EXIT_DONE)
        return status;
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    if (!cli_add_address(&p, address, error))
        return PST_EXIT_USAGE;
    pst_pg_add_text(&p, options->reason);
    pst_pg_add_text(&p, actor);
    if (list != NULL)
        pst_pg_add_text(&p, list);
    return decide(pg, sql, &p, address, done, error);
}

static int propose(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    if (options->list == NULL || *options->list == '\0')
        return cli_usage(error, "which blocklist holds it? --list zen.spamhaus.org");
    int status = decide_about(pg, args[0], options, options->list, "freeze_propose($1, $4, $2, $3)",
                              "freeze-proposed", error);
    if (status == PST_EXIT_DONE)
        printf("somebody else approves it: postern freeze approve %s --reason \"…\"\n", args[0]);
    return status;
}

static int approve(PstPg *pg, char **args, gpointer user, GError **error)
{
    return decide_about(pg, args[0], user, NULL, "freeze_approve($1, $2, $3)", "freeze-scheduled",
                        error);
}

static int reject(PstPg *pg, char **args, gpointer user, GError **error)
{
    return decide_about(pg, args[0], user, NULL, "freeze_reject($1, $2, $3)", "freeze-withdrawn",
                        error);
}

static int confirm(PstPg *pg, char **args, gpointer user, GError **error)
{
    return decide_about(pg, args[0], user, NULL, "freeze_confirm($1, $2, $3)", "freeze-confirmed",
                        error);
}

/* ---- looking ---- */

static int list(PstPg *pg, char **args, gpointer user, GError **error)
{
    return cli_print_query(
        pg,
        "SELECT * FROM (SELECT postern.unit_text(unit) AS address, customer, state, zone AS list,"
        " concat(proposer, ' (' || proposer_login || ')') AS proposed,"
        " concat(approver, ' (' || approver_login || ')') AS approved,"
        " CASE state WHEN 'proposed' THEN 'wants approval' ELSE 'freezes '"
        "  || to_char(freeze_at, 'YYYY-MM-DD HH24:MI') || ' UTC' || CASE WHEN confirmed_at >="
        "  postern.now() - interval '1 hour' THEN ', confirmed' ELSE ', if confirmed' END END"
        " AS next FROM postern.freeze_proposal WHERE state IN ('proposed', 'scheduled')"
        " ORDER BY proposed_at) AS open UNION ALL "
        "SELECT * FROM (SELECT postern.unit_text(unit), customer, 'frozen', zone, proposer,"
        " approver, 'since ' || to_char(frozen_at, 'YYYY-MM-DD HH24:MI') || ' UTC'"
        " FROM api_v1.freezes ORDER BY frozen_at) AS closed",
        NULL, error);
}

static int never_list(PstPg *pg, char **args, gpointer user, GError **error)
{
    return cli_print_query(
        pg,
        "SELECT net, reason, actor AS by, to_char(created_at, 'YYYY-MM-DD') AS since"
        " FROM postern.never_freeze ORDER BY net",
        NULL, error);
}

static int never(PstPg *pg, char **args, gpointer user, GError **error)
{
    static const CliNetList never_frozen = {
        .add_sql = "SELECT postern.never_freeze_add($1::cidr, $2, $3)",
        .remove_sql = "SELECT postern.never_freeze_remove($1::cidr, $2, $3)",
        .added = "is never frozen",
        .removed = "may be frozen again",
        .unknown = "does not stand there (postern freeze never-list)",
    };
    const Options *options = user;
    return cli_list_net(pg, &never_frozen, args[0], options->reason, options->end, error);
}

/* ---- after an older dump was restored ---- */

/* Leaves in @file what the database has lost. */
static gboolean find_lost(PstPg *pg, PstFreezeFile *file, GError **error)
{
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, PST_FREEZE_FILE_SQL, NULL, error);
    for (int i = 0; rows != NULL && i < pst_pg_count(rows); i++)
        g_hash_table_remove(file->units, pst_pg_text(rows, i, PST_FREEZE_UNIT));
    return rows != NULL;
}

/* @line as the file has it. */
static gboolean restore_one(PstPg *pg, const char *unit, const char *line, gboolean *out_done,
                            GError **error)
{
    g_autofree char *actor = cli_actor();
    g_auto(GStrv) words = g_strsplit(line, " ", PST_FREEZE_WORDS);
    g_autofree char *record = g_strdup_printf("(%s, case %s, of the freeze file)",
                                              words[PST_FREEZE_WHEN], words[PST_FREEZE_CASE]);
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, unit);
    pst_pg_add_text(&p, words[PST_FREEZE_ZONE]);
    pst_pg_add_text(&p, record);
    pst_pg_add_text(&p, actor);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg,
                     "SELECT r->>'action', r->>'message'"
                     " FROM postern.freeze_restore($1::inet, $2, $3, $4) AS r",
                     &p, error);
    if (rows == NULL)
        return FALSE;
    *out_done = strcmp(pst_pg_text(rows, 0, 0), "frozen") == 0;
    const char *message = pst_pg_text(rows, 0, 1);
    printf("%s: %s%s%s\n", unit, pst_pg_text(rows, 0, 0), message != NULL ? ": " : "",
           message != NULL ? message : "");
    return TRUE;
}

static int restore_all(PstPg *pg, GHashTable *lost, GError **error)
{
    guint left = g_hash_table_size(lost);
    GHashTableIter iter;
    gpointer unit, line;
    g_hash_table_iter_init(&iter, lost);
    while (g_hash_table_iter_next(&iter, &unit, &line)) {
        gboolean done = FALSE;
        if (!restore_one(pg, unit, line, &done, error))
            return PST_EXIT_FAILED;
        left -= done ? 1 : 0;
    }
    return left == 0 ? PST_EXIT_DONE : PST_EXIT_FAILED;
}

static int restore(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    g_autoptr(GBytes) key = NULL;
    g_auto(PstFreezeFile) file = {0};
    if (!g_file_test(args[0], G_FILE_TEST_EXISTS))
        return cli_usage(error, "there is no %s", args[0]);
    if (options->freeze_key == NULL)
        return cli_usage(error, "it needs --freeze-key: a file that nobody signed freezes nothing");
    if (!pst_freeze_key_load(options->freeze_key, &key, error) ||
        !pst_freeze_file_read(args[0], key, &file, error) || !find_lost(pg, &file, error))
        return PST_EXIT_FAILED;
    guint n = g_hash_table_size(file.units);
    if (n == 0) {
        printf("nothing to do: the database has every freeze of %s\n", args[0]);
        return PST_EXIT_DONE;
    }
    GHashTableIter iter;
    gpointer unit, line;
    g_hash_table_iter_init(&iter, file.units);
    while (g_hash_table_iter_next(&iter, &unit, &line))
        printf("%s\n", (const char *)line);
    printf("%u freezes are missing in the database.\n", n);
    if (!cli_confirm(options->yes, "Freeze them for ever, again?", error))
        return PST_EXIT_FAILED;
    return restore_all(pg, file.units, error);
}

static int run_freeze(PstRun *run, const CliConfig *config, gpointer options, GError **error)
{
    static const CliVerb verbs[] = {
        {"list", 0, "list", list},
        {"propose", 1, "propose ADDRESS --list LIST --reason TEXT", propose},
        {"approve", 1, "approve ADDRESS --reason TEXT", approve},
        {"confirm", 1, "confirm ADDRESS --reason TEXT", confirm},
        {"reject", 1, "reject ADDRESS --reason TEXT", reject},
        {"never", 1, "never NET --reason TEXT [--end]", never},
        {"never-list", 0, "never-list", never_list},
        {"restore", 1, "restore FILE --freeze-key KEY [--yes]", restore},
        {NULL}};
    return cli_run_verb(verbs, run, config, options, error);
}

int cmd_freeze(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        {"list", 0, 0, G_OPTION_ARG_STRING, &options.list, "With propose: the list that holds it",
         "LIST"},
        {"reason", 0, 0, G_OPTION_ARG_STRING, &options.reason, "Why; it stands in the audit",
         "TEXT"},
        {"end", 0, 0, G_OPTION_ARG_NONE, &options.end, "With never: it may be frozen again", NULL},
        {"freeze-key", 0, 0, G_OPTION_ARG_FILENAME, &options.freeze_key,
         "With restore: the key that the file is signed with", "FILE"},
        {"yes", 0, 0, G_OPTION_ARG_NONE, &options.yes, "With restore: do not ask", NULL},
        {NULL},
    };
    PstProgram program = {.program = "postern freeze",
                          .summary = "Addresses that are closed for ever.",
                          .description = description,
                          .positional = "list|propose|approve|confirm|reject|never|restore …",
                          .options = entries};
    int status = cli_run(&program, argc, argv, run_freeze, &options);
    g_free(options.list);
    g_free(options.reason);
    g_free(options.freeze_key);
    return status;
}
