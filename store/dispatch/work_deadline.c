/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that happens by time alone: reminders, deadlines, disputes, probation; the months of
 * activity get their partitions ahead of time, the audit its seals, and what is not kept for ever
 * goes. */
#include "freeze_file.h"
#include "work.h"

#define PARTITIONS_EVERY_S 3600.0
#define SEAL_EVERY_S       60.0
#define SEAL_MAX           10000
#define EXPIRE_EVERY_S     3600.0
#define FREEZES_EVERY_S    60.0
#define EXPIRE_MAX         500 /* rows of a kind in one transaction */

typedef struct {
    PstMono partitions_next;
    PstMono seal_next;
    PstMono expire_next;
    PstMono freezes_next;
    char *trouble; /* the freeze file cannot be written; NULL: it can */
} Deadlines;

static gboolean deadline_open(Dispatch *dispatch, gpointer *out_self, GError **error)
{
    *out_self = g_new0(Deadlines, 1);
    return TRUE;
}

/* What fails waits for the next hour: the default partition takes what has none. */
static gboolean make_partitions(Dispatch *dispatch, Deadlines *deadlines, GError **error)
{
    PstMono now = pst_mono_now();
    if (now.ns < deadlines->partitions_next.ns)
        return TRUE;
    deadlines->partitions_next = pst_mono_add(now, pst_span_s(PARTITIONS_EVERY_S));
    return pst_pg_run(dispatch->pg, "SELECT postern.make_partitions()", NULL, NULL, error);
}

/* What is left over (an upgrade brings years of audit at once) is sealed in the next turn. */
static gboolean seal_audit(Dispatch *dispatch, Deadlines *deadlines, GError **error)
{
    PstMono now = pst_mono_now();
    if (now.ns < deadlines->seal_next.ns)
        return TRUE;
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, SEAL_MAX);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(dispatch->pg, "SELECT postern.seal_audit($1)", &p, error);
    if (rows == NULL)
        return FALSE;
    if (pst_pg_int(rows, 0, 0) < SEAL_MAX)
        deadlines->seal_next = pst_mono_add(now, pst_span_s(SEAL_EVERY_S));
    return TRUE;
}

/* A little in each turn until nothing is left, so that deadlines never wait behind it. */
static gboolean expire(Dispatch *dispatch, Deadlines *deadlines, GError **error)
{
    PstMono now = pst_mono_now();
    if (now.ns < deadlines->expire_next.ns)
        return TRUE;
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, EXPIRE_MAX);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(dispatch->pg, "SELECT sum(rows) FROM postern.expire($1)", &p, error);
    if (rows == NULL)
        return FALSE;
    if (pst_pg_int(rows, 0, 0) > 0)
        pst_log(PST_LOG_INFO, "expire", "%s rows are no longer kept", pst_pg_text(rows, 0, 0));
    else
        deadlines->expire_next = pst_mono_add(now, pst_span_s(EXPIRE_EVERY_S));
    return TRUE;
}

/* A disk in trouble must not keep deadlines from firing: it is told, and tried again. */
static gboolean write_freezes(Dispatch *dispatch, Deadlines *deadlines, GError **error)
{
    const char *path = dispatch->config->freeze_file;
    PstMono now = pst_mono_now();
    if (path == NULL || *path == '\0' || now.ns < deadlines->freezes_next.ns)
        return TRUE;
    g_autoptr(PstPgRows) rows = pst_pg_query(dispatch->pg, PST_FREEZE_FILE_SQL, NULL, error);
    if (rows == NULL)
        return FALSE;
    deadlines->freezes_next = pst_mono_add(now, pst_span_s(FREEZES_EVERY_S));
    g_autoptr(GError) why = NULL;
    guint added = 0;
    if (!pst_freeze_file_add(path, rows, &added, &why))
        pst_log(PST_LOG_ERR, "freezes", "not kept outside the database: %s", why->message);
    else if (added > 0)
        pst_log(PST_LOG_NOTICE, "freezes", "%u more in %s", added, path);
    g_free(deadlines->trouble);
    deadlines->trouble = why != NULL ? g_strdup(why->message) : NULL;
    return TRUE;
}

static const char *deadline_trouble(gpointer self)
{
    return ((const Deadlines *)self)->trouble;
}

static void deadline_close(gpointer self)
{
    g_free(((Deadlines *)self)->trouble);
    g_free(self);
}

static int deadline_turn(Dispatch *dispatch, gpointer self, GError **error)
{
    if (!make_partitions(dispatch, self, error) || !seal_audit(dispatch, self, error) ||
        !expire(dispatch, self, error) || !write_freezes(dispatch, self, error))
        return -1;
    return dispatch_apply_each(dispatch, "deadline", "timer", "SELECT postern.due_timers($1)",
                               "SELECT postern.fire_timer($1)", error);
}

const Work work_deadline = {
    .name = "deadline",
    .help =
        "fire timers: reminders, deadlines, end of probation; seal the audit (role postern_desk)",
    .open = deadline_open,
    .turn = deadline_turn,
    .close = deadline_close,
    .trouble = deadline_trouble,
    .queries = 2, /* timers; and what is done once a minute */
};
