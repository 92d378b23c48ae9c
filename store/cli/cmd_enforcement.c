/* SPDX-License-Identifier: Apache-2.0 */
/* The ways into the network: what they do, their limits, and the switch that stops them all. */
#include <string.h>

#include "cli.h"

typedef struct {
    char *reason;
    char *ttl;
    int per_minute, share; /* −1: as it is */
    gboolean optional, yes, end;
} Options;

static const char description[] =
    "show           the switch, and what each adapter has closed, has still to do, and cannot do\n"
    "stop           no adapter gets an order from now on, to close or to open; what is closed "
    "stays\n"
    "               closed until its time to live is over. For when the script or the network is\n"
    "               what is wrong\n"
    "lift           opens every block in the network and closes no new one: for when the blocks "
    "are\n"
    "               what is wrong. Freezes stay. Cases, levels and deadlines go on as they were,\n"
    "               and customers' mails have been sent: say postern mode shadow too, if no\n"
    "               further ones shall leave\n"
    "start          everything that waited or was lifted, under each adapter's limits\n"
    "enable NAME    the adapter gets orders, and those about everything that is closed now;\n"
    "               --optional: nothing waits for its confirmation\n"
    "disable NAME   it gets none any more; one must stay enabled\n"
    "limits NAME    --per-minute N units closed at most (0: any number), --share P per cent of a\n"
    "               /24 at most, --ttl 6h: the network forgets a block that nobody refreshes (0:\n"
    "               it keeps it)\n"
    "protect NET    --reason TEXT: our own infrastructure, never warned, blocked or frozen; --end\n"
    "               takes it off again\n"
    "protected      all of these\n"
    "\n"
    "Examples:\n"
    "  postern enforcement protect 192.0.2.250/32 --reason \"our resolver\" --database …\n"
    "  postern enforcement stop --reason \"the router's API loops\" --database …\n"
    "  postern enforcement limits hook --per-minute 30 --share 25 --database …\n"
    "\n"
    "Exit status: 0 done, 1 failed or not confirmed, 2 usage.";

/* In words, for who has just been told "off" at three in the morning. */
static void print_switch(const char *value)
{
    printf("enforcement is %s\n", strcmp(value, "on") == 0 ? "on"
                                  : strcmp(value, "off") == 0
                                      ? "STOPPED: no order reaches the network (postern "
                                        "enforcement start)"
                                      : "LIFTED: every block is open in the network, freezes are "
                                        "not (postern enforcement start)");
}

static int show(PstPg *pg, char **args, gpointer user, GError **error)
{
    g_autoptr(PstPgRows) value =
        pst_pg_query(pg, "SELECT postern.setting('enforcement')", NULL, error);
    g_autoptr(PstPgRows) rows =
        value == NULL
            ? NULL
            : pst_pg_query(
                  pg,
                  "SELECT adapter, CASE WHEN enabled THEN CASE WHEN required THEN 'required' ELSE "
                  "'optional' END ELSE 'off' END AS state, closed, pending, failed, lifted,"
                  " expired, nullif(new_per_minute, 0) AS \"per minute\","
                  " net_share_percent || ' %' AS \"of a /24\","
                  " make_interval(secs => nullif(ttl_s, 0)) AS ttl,"
                  " CASE WHEN reconcile_error IS NOT NULL THEN reconcile_error"
                  "  WHEN lists IS NULL THEN 'never compared' WHEN NOT lists THEN 'cannot tell'"
                  "  ELSE concat(to_char(reconciled_at, 'YYYY-MM-DD HH24:MI'), ' UTC',"
                  "   ', ' || nullif(drift, 0) || ' differed') END AS compared"
                  " FROM api_v1.adapters ORDER BY NOT enabled, adapter",
                  NULL, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    print_switch(pst_pg_text(value, 0, 0));
    cli_print_table(rows, stdout);
    return PST_EXIT_DONE;
}

static int turn(PstPg *pg, const char *value, const char *reason, GError **error)
{
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, value);
    pst_pg_add_text(&p, reason);
    pst_pg_add_text(&p, actor);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT postern.set_enforcement($1, $2, $3)", &p, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    if (strcmp(pst_pg_text(rows, 0, 0), value) == 0)
        printf("it was so already\n");
    print_switch(value);
    return PST_EXIT_DONE;
}

static gboolean count_closed(PstPg *pg, gint64 *out_blocks, gint64 *out_freezes, GError **error)
{
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg,
                     "SELECT count(*) FILTER (WHERE state <> 'frozen'),"
                     " count(*) FILTER (WHERE state = 'frozen') FROM api_v1.blocks_active",
                     NULL, error);
    if (rows == NULL)
        return FALSE;
    *out_blocks = pst_pg_int(rows, 0, 0);
    *out_freezes = pst_pg_int(rows, 0, 1);
    return TRUE;
}

static int stop(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    int status = cli_need_reason(options->reason, error);
    if (status != PST_EXIT_DONE)
        return status;
    status = turn(pg, "off", options->reason, error);
    g_autoptr(PstPgRows) rows =
        status == PST_EXIT_DONE
            ? pst_pg_query(pg,
                           "SELECT adapter, to_char(min(expires_at), 'YYYY-MM-DD HH24:MI')"
                           " FROM api_v1.enforcement_desired WHERE expires_at > postern.now()"
                           " GROUP BY adapter ORDER BY adapter",
                           NULL, error)
            : NULL;
    for (int i = 0; rows != NULL && i < pst_pg_count(rows); i++)
        printf("%s: blocks open by themselves from %s UTC on, when their time to live is over\n",
               pst_pg_text(rows, i, 0), pst_pg_text(rows, i, 1));
    return status;
}

static int lift(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    gint64 blocks = 0, freezes = 0;
    int status = cli_need_reason(options->reason, error);
    if (status != PST_EXIT_DONE)
        return status;
    if (!count_closed(pg, &blocks, &freezes, error))
        return PST_EXIT_FAILED;
    printf("%" G_GINT64_FORMAT " blocks would be opened in the network, %" G_GINT64_FORMAT
           " freezes stay.\n",
           blocks, freezes);
    if (!cli_confirm(options->yes, "Open them all?", error))
        return PST_EXIT_FAILED;
    return turn(pg, "lift", options->reason, error);
}

static int start(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    return turn(pg, "on", options->reason != NULL ? options->reason : "started again", error);
}

static int set_adapter(PstPg *pg, const char *name, gboolean enabled, gboolean required,
                       GError **error)
{
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, name);
    pst_pg_add_bool(&p, enabled);
    pst_pg_add_bool(&p, required);
    pst_pg_add_text(&p, actor);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT postern.set_adapter($1, $2, $3, $4)", &p, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    if (enabled)
        printf("%s is enabled; %s orders were made for it\n", name, pst_pg_text(rows, 0, 0));
    else
        printf("%s is disabled\n", name);
    return PST_EXIT_DONE;
}

static int enable(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    return set_adapter(pg, args[0], TRUE, !options->optional, error);
}

static int disable(PstPg *pg, char **args, gpointer user, GError **error)
{
    return set_adapter(pg, args[0], FALSE, FALSE, error);
}

static void add_int_or_null(PstPgParams *p, int value)
{
    if (value >= 0)
        pst_pg_add_int(p, value);
    else
        pst_pg_add_text(p, NULL);
}

static int limits(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    if (options->per_minute < 0 && options->share < 0 && options->ttl == NULL)
        return cli_usage(error, "say --per-minute, --share or --ttl");
    g_autofree char *actor = cli_actor();
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, args[0]);
    add_int_or_null(&p, options->per_minute);
    add_int_or_null(&p, options->share);
    pst_pg_add_text(&p, options->ttl);
    pst_pg_add_text(&p, actor);
    g_autoptr(PstPgRows) rows = pst_pg_query(
        pg, "SELECT postern.set_limits($1, $2::int, $3::int, $4::interval, $5)", &p, error);
    if (rows == NULL)
        return PST_EXIT_FAILED;
    return show(pg, args, user, error);
}

static int protect(PstPg *pg, char **args, gpointer user, GError **error)
{
    static const CliNetList protected = {
        .add_sql = "SELECT postern.never_block_add($1::cidr, $2, $3)",
        .remove_sql = "SELECT postern.never_block_remove($1::cidr, $2, $3)",
        .added = "never warned, blocked or frozen from now on",
        .removed = "no longer protected",
        .unknown = "is not protected (postern enforcement protected)",
    };
    const Options *options = user;
    return cli_list_net(pg, &protected, args[0], options->reason, options->end, error);
}

static int protected(PstPg *pg, char **args, gpointer user, GError **error)
{
    return cli_print_query(
        pg,
        "SELECT net, reason, actor AS by, to_char(created_at, 'YYYY-MM-DD') AS since"
        " FROM postern.never_block ORDER BY net",
        NULL, error);
}

static int run_enforcement(PstRun *run, const CliConfig *config, gpointer options, GError **error)
{
    static const CliVerb verbs[] = {
        {"show", 0, "show", show},
        {"stop", 0, "stop --reason TEXT", stop},
        {"lift", 0, "lift --reason TEXT [--yes]", lift},
        {"start", 0, "start", start},
        {"enable", 1, "enable ADAPTER [--optional]", enable},
        {"disable", 1, "disable ADAPTER", disable},
        {"limits", 1, "limits ADAPTER [--per-minute N] [--share P] [--ttl TIME]", limits},
        {"protect", 1, "protect NET --reason TEXT [--end]", protect},
        {"protected", 0, "protected", protected},
        {NULL}};
    return cli_run_verb(verbs, run, config, options, error);
}

int cmd_enforcement(int argc, char **argv)
{
    Options options = {.per_minute = -1, .share = -1};
    const GOptionEntry entries[] = {
        {"reason", 0, 0, G_OPTION_ARG_STRING, &options.reason,
         "With stop, lift, start and protect: why", "TEXT"},
        {"end", 0, 0, G_OPTION_ARG_NONE, &options.end, "With protect: no longer", NULL},
        {"yes", 0, 0, G_OPTION_ARG_NONE, &options.yes, "With lift: do not ask", NULL},
        {"optional", 0, 0, G_OPTION_ARG_NONE, &options.optional,
         "With enable: nothing waits for its confirmation", NULL},
        {"per-minute", 0, 0, G_OPTION_ARG_INT, &options.per_minute,
         "With limits: units closed within a minute at most; 0: any number", "N"},
        {"share", 0, 0, G_OPTION_ARG_INT, &options.share,
         "With limits: per cent of an IPv4 /24 closed at most", "P"},
        {"ttl", 0, 0, G_OPTION_ARG_STRING, &options.ttl,
         "With limits: when the network forgets a block, 1min to 7d; 0: never", "TIME"},
        {NULL},
    };
    PstProgram program = {.program = "postern enforcement",
                          .summary = "The ways into the network.",
                          .description = description,
                          .positional = "show|stop|lift|start|enable|disable|limits|protect …",
                          .options = entries};
    int status = cli_run(&program, argc, argv, run_enforcement, &options);
    g_free(options.reason);
    g_free(options.ttl);
    return status;
}
