/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The closed vocabulary of what became of an attempt (a mail, an enforcement order, a hook). */
typedef enum {
    PST_OUTCOME_DONE,     /* the other side confirmed */
    PST_OUTCOME_RETRY,    /* not now (4xx, exit 75, away): try again on the schedule */
    PST_OUTCOME_REFUSED,  /* never (5xx, bad address): stop, next way, tell a person */
    PST_OUTCOME_UNCERTAIN /* broken off after DATA: may or may not have arrived */
} PstOutcome;

/* "done", "retry", "refused", "uncertain", as in SQL and logs. */
const char *pst_outcome_name(PstOutcome outcome);
