/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Kinds of work: each takes due rows from the database, does what is due, and writes down what
 * happened, one transaction per row.
 *
 * A kind is a row of the table in main.c and a file work_NAME.c. It keeps no state that a kill -9
 * could lose: what is due stands in the database, and doing it twice is doing it once.
 */
#include "pg.h"
#include "run.h"

typedef struct {
    char *database;
    char **work;
    gint64 poll_s;
    char *mail;
    char *mail_templates;
    char *mail_user;
    char *mail_password_file;
    gint64 mail_tls;
    char *mail_ca_file;
    char *mail_helo;
    gint64 mail_timeout_s;
    gboolean reverse_dns;
    char **adapters;
    char *hook;
    gint64 hook_timeout_s;
    gint64 reconcile_s;
    char *never_block;
    char *freeze_file;
    char *freeze_key;
} DispatchConfig;

typedef struct {
    PstRun *run;
    PstPg *pg;
    const DispatchConfig *config;
    char *worker; /* names this process over all hosts and restarts */
} Dispatch;

typedef struct {
    const char *name; /* as in --work */
    const char *help;
    /* Prepares; *out_self is passed to the others. @error USAGE: wrong configuration. */
    gboolean (*open)(Dispatch *dispatch, gpointer *out_self, GError **error);
    /* Does some of what is due. Returns how many rows it took, 0: nothing is due, −1: @error (AWAY:
     * the loop reconnects and comes again). */
    int (*turn)(Dispatch *dispatch, gpointer self, GError **error);
    /* Reads changed files again on SIGHUP; may be NULL. What is wrong is logged, the old kept. */
    void (*reload)(Dispatch *dispatch, gpointer self);
    void (*close)(gpointer self);
    /* What hinders the work although turn() went well (a mail server that is away), for /readyz;
     * NULL: nothing. May be NULL. Borrowed until the next turn. */
    const char *(*trouble)(gpointer self);
    int queries; /* per turn when nothing is due */
} Work;

extern const Work work_verdict;
extern const Work work_deadline;
extern const Work work_mail;
extern const Work work_enforce;

/* Counts a row in postern_dispatch_rows_total{work,result}. */
void dispatch_count(Dispatch *dispatch, const char *work, const char *result);

/* Applies each id that @claim_sql gives, each by @apply_sql in its own transaction. One that fails
 * is kept with its error (note_apply_error, @kind) and does not stop the others. Returns as turn.
 */
int dispatch_apply_each(Dispatch *dispatch, const char *work, const char *kind,
                        const char *claim_sql, const char *apply_sql, GError **error);
