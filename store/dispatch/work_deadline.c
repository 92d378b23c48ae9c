/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that happens by time alone: reminders, deadlines, disputes, probation. */
#include "work.h"

static gboolean deadline_open(Dispatch *dispatch, gpointer *out_self, GError **error)
{
    *out_self = NULL;
    return TRUE;
}

static int deadline_turn(Dispatch *dispatch, gpointer self, GError **error)
{
    return dispatch_apply_each(dispatch, "deadline", "timer", "SELECT postern.due_timers($1)",
                               "SELECT postern.fire_timer($1)", error);
}

const Work work_deadline = {
    .name = "deadline",
    .help = "fire timers: reminders, deadlines, end of probation (role postern_desk)",
    .open = deadline_open,
    .turn = deadline_turn,
    .queries = 1,
};
