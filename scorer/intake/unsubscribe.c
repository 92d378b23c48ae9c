/* SPDX-License-Identifier: Apache-2.0 */
#include "unsubscribe.h"

#include "fields.h"

gboolean unsubscribe_recognise(const Report *report)
{
    Text header = report_header(report);
    return text_equal(text_trim(fields_value(header, "X-Apple-Unsubscribe")), "true");
}

const char *unsubscribe_read(const Report *report, PstEvidence *evidence, GPtrArray *more)
{
    evidence->outcome = PST_EVIDENCE_NOT_A_COMPLAINT;
    evidence->feedback_type = g_strdup("opt-out");
    return NULL;
}
