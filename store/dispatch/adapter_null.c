/* SPDX-License-Identifier: Apache-2.0 */
/* The way that touches nothing: for trying postern out, and for hosters who read the wishes from
 * api_v1.enforcement_desired and carry them out themselves. */
#include "adapter.h"

static gboolean null_open(const DispatchConfig *config, gpointer *out_self, GError **error)
{
    *out_self = NULL;
    return TRUE;
}

static PstOutcome null_apply(gpointer self, const Order *order, char **out_detail)
{
    *out_detail = NULL;
    return PST_OUTCOME_DONE;
}

const Adapter adapter_null = {
    .name = "null",
    .help = "touches nothing and confirms at once",
    .batch = 64,
    .open = null_open,
    .apply = null_apply,
};
