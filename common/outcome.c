/* SPDX-License-Identifier: Apache-2.0 */
#include "postern/outcome.h"

#include <glib.h>

const char *pst_outcome_name(PstOutcome outcome)
{
    static const char *const names[] = {
        [PST_OUTCOME_DONE] = "done",
        [PST_OUTCOME_RETRY] = "retry",
        [PST_OUTCOME_REFUSED] = "refused",
        [PST_OUTCOME_UNCERTAIN] = "uncertain",
    };
    g_assert((gsize)outcome < G_N_ELEMENTS(names));
    return names[outcome];
}
