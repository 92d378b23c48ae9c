/* SPDX-License-Identifier: Apache-2.0 */
#include "jmrp.h"

#include "fields.h"
#include "received.h"

#define SUBJECT "complaint about message from"

/* The attached message that carries Microsoft's mark, or −1. */
static int find_marked(const Report *report)
{
    for (int i = report_attached(report, 0, 0); i >= 0; i = report_attached(report, 0, i))
        if (text_present(fields_value(mime_part(report->mime, (guint)i)->header,
                                      "X-HmXmrOriginalRecipient")))
            return i;
    return -1;
}

static char *subject(const Report *report)
{
    return mime_decode_words(fields_value(report_header(report), "Subject"), PST_EVIDENCE_TEXT_MAX);
}

gboolean jmrp_recognise(const Report *report)
{
    g_autofree char *line = subject(report);
    return find_marked(report) >= 0 ||
           (line != NULL && text_starts(text(line, strlen(line)), SUBJECT));
}

const char *jmrp_read(const Report *report, PstEvidence *evidence, GPtrArray *more)
{
    g_autofree char *line = subject(report);
    int attached = find_marked(report);
    evidence->feedback_type = g_strdup("abuse");
    evidence->category = g_strdup("spam");
    if (line != NULL && text_starts(text(line, strlen(line)), SUBJECT))
        (void)received_address(text(line + strlen(SUBJECT), strlen(line) - strlen(SUBJECT)),
                               &evidence->source_ip);
    if (attached < 0)
        attached = report_attached(report, 0, 0);
    report_use_attached(report, attached, evidence);
    return pst_addr_present(&evidence->source_ip)
               ? NULL
               : "names no address: none in the subject, and none of ours in the Received fields "
                 "of the attached message";
}
