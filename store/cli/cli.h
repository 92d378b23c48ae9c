/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The operator's command, postern NAME …: what its subcommands share.
 *
 * A subcommand is a row of the table in main.c and a file cmd_NAME.c. It is a program of its own
 * with its own --help; results go to stdout, everything else to stderr.
 */
#include "pg.h"
#include "run.h"

typedef struct {
    const char *name;
    const char *summary;                /* one line for postern --help */
    int (*main)(int argc, char **argv); /* argv[0] is "postern NAME"; returns the exit status */
} CliCommand;

int cmd_schema(int argc, char **argv);
int cmd_networks(int argc, char **argv);
int cmd_customers(int argc, char **argv);
int cmd_reporters(int argc, char **argv);
int cmd_mail(int argc, char **argv);
int cmd_ip(int argc, char **argv);
int cmd_enforcement(int argc, char **argv);
int cmd_freeze(int argc, char **argv);
int cmd_mode(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_backtest(int argc, char **argv);
int cmd_expire(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* The key that nearly every subcommand has; its target begins with it. */
typedef struct {
    char *database;
} CliConfig;
extern const PstConfRow cli_rows[];

/* What a subcommand does once its command line is read: returns the exit status, or sets @error.
 */
typedef int (*CliAction)(PstRun *run, const CliConfig *config, gpointer options, GError **error);
/* Reads the command line as @program says (rows are cli_rows, target is made here), runs @action,
 * says what went wrong. Returns the exit status. */
int cli_run(PstProgram *program, int argc, char **argv, CliAction action, gpointer options);

/* Connects as an operator; the schema must be installed and as new as this program, unless @any.
 * @error USAGE, AWAY, REFUSED. Given. */
PstPg *cli_connect(PstRun *run, const CliConfig *config, gboolean any_schema, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* The operator's name for the audit: the login, also behind sudo. Given. */
char *cli_actor(void);

/* Asks a question on the terminal; only "y" or "yes" is yes. Without a terminal: REFUSED, saying
 * that --yes is needed. @yes given on the command line: TRUE without asking. */
gboolean cli_confirm(gboolean yes, const char *question, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Wider than any hoster's address space, /8 or /16 in IPv6: most likely a slip of the pen. The
 * length that would just do, else 0. */
guint8 cli_too_wide(const PstPrefix *net);

/* Wrong use: sets USAGE, returns PST_EXIT_USAGE. */
int cli_usage(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* What changes somebody's fate needs a --reason; without one (or an empty one): USAGE. */
int cli_need_reason(const char *reason, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* An address, or a prefix that may have bits set behind its length, as a parameter. */
gboolean cli_add_address(PstPgParams *params, const char *text, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* A network: nothing is set behind its length, else USAGE tells the one that was meant. */
gboolean cli_read_net(const char *text, PstPrefix *out, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A list of networks with reasons in the database: what puts one in and takes it out, both
 * ($1 net, $2 reason, $3 actor) and TRUE if that changed anything; and what is said then. */
typedef struct {
    const char *add_sql, *remove_sql;
    const char *added, *removed, *unknown; /* @unknown follows "exactly NET" */
} CliNetList;
/* Puts @net into @list, or takes it out; says what came of it. */
int cli_list_net(PstPg *pg, const CliNetList *list, const char *net, const char *reason,
                 gboolean remove, GError **error);

/* A verb of a subcommand: "add" of "postern networks add". */
typedef struct {
    const char *name;
    int n_args;        /* positional arguments after it; −1: none or one */
    const char *usage; /* "add NET" */
    int (*action)(PstPg *pg, char **args, gpointer options, GError **error);
} CliVerb;
/* Finds the verb of run->args, connects and runs it. @verbs ended by name NULL. */
int cli_run_verb(const CliVerb *verbs, PstRun *run, const CliConfig *config, gpointer options,
                 GError **error);

/* Prints @rows as a table with the columns' names, aligned; "–" for NULL. */
void cli_print_table(const PstPgRows *rows, FILE *out);
/* Prints what @sql gives so, on stdout. @params may be NULL. */
int cli_print_query(PstPg *pg, const char *sql, const PstPgParams *params, GError **error);
