/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that happens by time alone: reminders, deadlines, disputes, probation, announced
 * freezes; the months of activity get their partitions ahead of time, the audit its seals, and what
 * is not kept for ever goes. */
#include "freeze_file.h"
#include "work.h"

#define PARTITIONS_EVERY_S 3600.0
#define SEAL_EVERY_S       60.0
#define SEAL_MAX           10000
#define EXPIRE_EVERY_S     3600.0
#define FREEZES_EVERY_S    60.0
#define COMMITS_EVERY_S    30.0
#define EXPIRE_MAX         500 /* rows of a kind in one transaction */

typedef struct {
    PstMono partitions_next;
    PstMono seal_next;
    PstMono expire_next;
    PstMono freezes_next;
    PstMono commits_next;
    GBytes *freeze_key;
    char *trouble; /* with the freeze file; NULL: none */
} Deadlines;

static gboolean deadline_open(Dispatch *dispatch, gpointer *out_self, GError **error)
{
    Deadlines *deadlines = g_new0(Deadlines, 1);
    *out_self = deadlines;
    return pst_freeze_key_load(dispatch->config->freeze_key, &deadlines->freeze_key, error);
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

/* Said once, and by /readyz as long as it is so. */
static void set_trouble_take(Deadlines *deadlines, char *text)
{
    if (text != NULL && g_strcmp0(text, deadlines->trouble) != 0)
        pst_log(PST_LOG_ERR, "freezes", "%s", text);
    g_free(deadlines->trouble);
    deadlines->trouble = text;
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
    guint added = 0, lost = 0;
    char *trouble = NULL;
    if (!pst_freeze_file_add(path, deadlines->freeze_key, rows, &added, &lost, &why))
        trouble = g_strdup_printf("not kept outside the database: %s", why->message);
    else if (lost > 0)
        trouble = g_strdup_printf("%u freezes of %s are missing in the database: was an older dump "
                                  "restored? postern doctor --freezes, postern freeze restore",
                                  lost, path);
    set_trouble_take(deadlines, trouble);
    if (added > 0)
        pst_log(PST_LOG_NOTICE, "freezes", "%u more in %s", added, path);
    return TRUE;
}

/* Announced freezes whose time has come. */
static gboolean commit_freezes(Dispatch *dispatch, Deadlines *deadlines, GError **error)
{
    PstMono now = pst_mono_now();
    if (now.ns < deadlines->commits_next.ns)
        return TRUE;
    deadlines->commits_next = pst_mono_add(now, pst_span_s(COMMITS_EVERY_S));
    return dispatch_apply_each(dispatch, "deadline", "freeze", "SELECT postern.due_freezes($1)",
                               "SELECT postern.commit_freeze($1) ->> 'action'", error) >= 0;
}

static const char *deadline_trouble(gpointer self)
{
    return ((const Deadlines *)self)->trouble;
}

static void deadline_close(gpointer self)
{
    Deadlines *deadlines = self;
    if (deadlines == NULL)
        return;
    g_clear_pointer(&deadlines->freeze_key, g_bytes_unref);
    g_free(deadlines->trouble);
    g_free(deadlines);
}

static int deadline_turn(Dispatch *dispatch, gpointer self, GError **error)
{
    if (!make_partitions(dispatch, self, error) || !seal_audit(dispatch, self, error) ||
        !expire(dispatch, self, error) || !commit_freezes(dispatch, self, error) ||
        !write_freezes(dispatch, self, error))
        return -1;
    return dispatch_apply_each(dispatch, "deadline", "timer", "SELECT postern.due_timers($1)",
                               "SELECT postern.fire_timer($1)", error);
}

const Work work_deadline = {
    .name = "deadline",
    .help =
        "fire timers: reminders, deadlines, end of probation; freeze what was announced; seal the "
        "audit (role postern_desk)",
    .open = deadline_open,
    .turn = deadline_turn,
    .close = deadline_close,
    .trouble = deadline_trouble,
    .queries = 2, /* timers; and what is done once a minute */
};
