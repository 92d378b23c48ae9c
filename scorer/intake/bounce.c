/* SPDX-License-Identifier: Apache-2.0 */
#include "bounce.h"

#include "answer.h"
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
    g_autofree char *recipient = answer_recipient(report);
    gboolean returned =
        recipient != NULL || text_equal(text_trim(fields_value(header, "Return-Path")), "<>");
    return returned && text_find(fields_value(header, "From"), "mailer-daemon@") >= 0 &&
           !text_starts(automatic, "auto-generated");
}

gboolean bounce_recognise(const Report *report)
{
    return find_status(report) >= 0 || is_from_daemon(report);
}

/* What the report says of one recipient: Action decides; where a server forgot it, the status'
 * class. A failed one with 4.x.x is final as well: the server's patience was over. */
static gboolean says_failed(Text action, Text status)
{
    return text_present(action) ? text_equal(text_word(action), "failed")
                                : text_starts(text_trim(status), "5");
}

/* TRUE if delivery failed for one of the recipients. Their groups of fields are told apart by
 * their Final-Recipient. */
static gboolean has_failed(Text fields)
{
    Field field;
    Text action = TEXT_NONE, status = TEXT_NONE;
    gboolean failed = FALSE;
    while (fields_next(&fields, &field)) {
        if (text_equal(field.name, "Final-Recipient")) {
            failed |= says_failed(action, status);
            action = status = TEXT_NONE;
        } else if (text_equal(field.name, "Action")) {
            action = field.value;
        } else if (text_equal(field.name, "Status")) {
            status = field.value;
        }
    }
    return failed || says_failed(action, status);
}

static void read_status(const Report *report, int status_part, PstEvidence *evidence)
{
    g_autoptr(GString) body = mime_decode(mime_part(report->mime, (guint)status_part), STATUS_MAX);
    Text fields = text(body->str, body->len);
    g_autofree char *status = text_clean(fields_value(fields, "Status"), 40);
    g_autofree char *diagnostic = text_clean(fields_value(fields, "Diagnostic-Code"), 900);
    evidence->reported_domain = authres_domain(fields_value(fields, "Final-Recipient"));
    evidence->reason = g_strdup_printf("%s %s", status != NULL ? status : "no status",
                                       diagnostic != NULL ? diagnostic : "and no reason given");
    if (evidence->mail_token == NULL)
        evidence->mail_token = answer_token(fields_value(fields, "Original-Envelope-Id"));
    if (!has_failed(fields)) /* delayed, delivered, relayed, expanded */
        evidence->outcome = PST_EVIDENCE_NOT_A_COMPLAINT;
}

/* A daemon's own words: the subject is what there is. */
static void read_words(const Report *report, PstEvidence *evidence)
{
    evidence->reason =
        mime_decode_words(fields_value(report_header(report), "Subject"), PST_EVIDENCE_TEXT_MAX);
    if (evidence->reason != NULL &&
        text_find(text(evidence->reason, strlen(evidence->reason)), "delayed") >= 0)
        evidence->outcome = PST_EVIDENCE_NOT_A_COMPLAINT;
}

/* The Message-ID of the mail that came back: attached whole, or its header alone. */
static char *returned_id(const Report *report, int status)
{
    int returned = report_attached(report, 0, status);
    if (returned >= 0)
        return report_message_id(
            fields_value(mime_part(report->mime, (guint)returned)->header, "Message-ID"));
    int header = mime_find(report->mime, "text/rfc822-headers", -1);
    if (header < 0)
        return NULL;
    g_autoptr(GString) fields = mime_decode(mime_part(report->mime, (guint)header), STATUS_MAX);
    return report_message_id(fields_value(text(fields->str, fields->len), "Message-ID"));
}

const char *bounce_read(const Report *report, PstEvidence *evidence, GPtrArray *more)
{
    int status = find_status(report);
    evidence->outcome = PST_EVIDENCE_BOUNCE;
    evidence->mail_token = answer_recipient(report);
    if (status >= 0)
        read_status(report, status, evidence);
    else
        read_words(report, evidence);
    evidence->message_id = returned_id(report, status);
    if (evidence->mail_token == NULL && evidence->message_id != NULL)
        evidence->mail_token =
            answer_token(text(evidence->message_id, strlen(evidence->message_id)));
    return NULL;
}
