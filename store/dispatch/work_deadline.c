/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that happens by time alone: reminders, deadlines, disputes, probation; and the months
 * of activity get their partitions ahead of time. */
#include "work.h"

#define PARTITIONS_EVERY_S 3600.0

typedef struct {
    PstMono partitions_next;
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

static int deadline_turn(Dispatch *dispatch, gpointer self, GError **error)
{
    if (!make_partitions(dispatch, self, error))
        return -1;
    return dispatch_apply_each(dispatch, "deadline", "timer", "SELECT postern.due_timers($1)",
                               "SELECT postern.fire_timer($1)", error);
}

const Work work_deadline = {
    .name = "deadline",
    .help = "fire timers: reminders, deadlines, end of probation (role postern_desk)",
    .open = deadline_open,
    .turn = deadline_turn,
    .close = g_free,
    .queries = 1,
};
