/* SPDX-License-Identifier: Apache-2.0 */
#include "bounce.h"

#include "authres.h"
#include "fields.h"

enum {
    STATUS_MAX = 256 * 1024, /* bytes of message/delivery-status that are read */
};

static int find_status(const Report *report)
{
    static const char *const types[] = {"message/delivery-status",
                                        "message/global-delivery-status"};
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        for (int part = mime_find(report->mime, types[i], -1); part >= 0;
             part = mime_find(report->mime, types[i], part))
            if (mime_part(report->mime, (guint)part)->parent == 0)
                return part;
    return -1;
}

/* Before RFC 3464 the sender's name was all there was; qmail's still is. */
static gboolean is_from_daemon(const Report *report)
{
    Text header = report_header(report);
    Text automatic = text_trim(fields_value(header, "Auto-Submitted"));
    return text_equal(text_trim(fields_value(header, "Return-Path")), "<>") &&
           text_find(fields_value(header, "From"), "mailer-daemon@") >= 0 &&
           !text_starts(automatic, "auto-generated");
}

gboolean bounce_recognise(const Report *report)
{
    return find_status(report) >= 0 || is_from_daemon(report);
}

/* TRUE if one of the recipients' Action fields says that delivery failed. */
static gboolean has_failed(Text fields)
{
    Field field;
    while (fields_next(&fields, &field))
        if (text_equal(field.name, "Action") && text_equal(text_trim(field.value), "failed"))
            return TRUE;
    return FALSE;
}

static void read_status(Text fields, PstEvidence *evidence)
{
    g_autofree char *status = text_clean(fields_value(fields, "Status"), 40);
    g_autofree char *diagnostic = text_clean(fields_value(fields, "Diagnostic-Code"), 900);
    evidence->reported_domain = authres_domain(fields_value(fields, "Final-Recipient"));
    evidence->reason = g_strdup_printf("%s %s", status != NULL ? status : "no status",
                                       diagnostic != NULL ? diagnostic : "and no reason given");
    if (!has_failed(fields)) /* delayed, delivered, relayed, expanded */
        evidence->outcome = PST_EVIDENCE_NOT_A_COMPLAINT;
}

const char *bounce_read(const Report *report, PstEvidence *evidence, GPtrArray *more)
{
    int status = find_status(report);
    evidence->outcome = PST_EVIDENCE_BOUNCE;
    if (status >= 0) {
        const MimePart *part = mime_part(report->mime, (guint)status);
        g_autoptr(GString) body = mime_decode(part, STATUS_MAX);
        read_status(text(body->str, body->len), evidence);
    }
    int returned = report_attached(report, 0, status);
    if (returned >= 0)
        evidence->message_id = report_message_id(
            fields_value(mime_part(report->mime, (guint)returned)->header, "Message-ID"));
    return NULL;
}
