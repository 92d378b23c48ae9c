/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts of the scorer and complaints become warnings, blocks and cases. */
#include "work.h"

/* The commit does not wait for the disk: what a crash of the server takes back is due again.
 * Nothing leaves the house before a mail or an order is taken, and that commit waits, for all
 * before it. */
#define APPLY(function)                                                                            \
    "SELECT postern." function "($1), set_config('synchronous_commit', 'off', true)"

static gboolean verdict_open(Dispatch *dispatch, gpointer *out_self, GError **error)
{
    *out_self = NULL;
    return TRUE;
}

static int verdict_turn(Dispatch *dispatch, gpointer self, GError **error)
{
    int verdicts =
        dispatch_apply_each(dispatch, "verdict", "verdict", "SELECT postern.claim_verdicts($1)",
                            APPLY("apply_verdict"), error);
    if (verdicts < 0)
        return -1;
    int complaints =
        dispatch_apply_each(dispatch, "complaint", "complaint",
                            "SELECT postern.claim_complaints($1)", APPLY("apply_complaint"), error);
    return complaints < 0 ? -1 : verdicts + complaints;
}

const Work work_verdict = {
    .name = "verdict",
    .help = "apply verdicts and complaints (role postern_desk)",
    .open = verdict_open,
    .turn = verdict_turn,
    .queries = 2,
};
