/* SPDX-License-Identifier: Apache-2.0 */
#include "arf.h"

#include "fields.h"
#include "received.h"

enum {
    REPORT_MAX = 256 * 1024, /* bytes of message/feedback-report that are read */
    LOOK_MAX = 4096,         /* bytes of a text part that are searched for a report */
};

/* What a feedback type means to us. Types that are not listed are complaints of category other. */
static const struct {
    const char *type;
    PstEvidenceOutcome outcome;
    const char *category;
} meanings[] = {
    {"abuse", PST_EVIDENCE_COMPLAINT, "spam"},
    {"fraud", PST_EVIDENCE_COMPLAINT, "phishing"},
    {"virus", PST_EVIDENCE_COMPLAINT, "malware"},
    {"not-spam", PST_EVIDENCE_NOT_A_COMPLAINT, NULL},     /* RFC 6430: the opposite */
    {"auth-failure", PST_EVIDENCE_NOT_A_COMPLAINT, NULL}, /* RFC 6591: for the domain's owner */
    {"dmarc", PST_EVIDENCE_NOT_A_COMPLAINT, NULL},        /* the same, from early reporters */
};

static gboolean is_feedback_report(const Report *report)
{
    const MimePart *root = mime_part(report->mime, 0);
    g_autofree char *type = mime_parameter(root, "report-type");
    return strcmp(root->type, "multipart/report") == 0 && type != NULL &&
           g_ascii_strcasecmp(type, "feedback-report") == 0;
}

/* Whether the part stands in an attached message: what the reported spam itself holds is no report,
 * or a spammer could accuse whom he likes in the reporter's name. */
static gboolean is_attached(const Mime *mime, int index)
{
    do
        index = mime_part(mime, (guint)index)->parent;
    while (index >= 0 && !mime_part(mime, (guint)index)->holds_message);
    return index >= 0;
}

/* The next report after part @after, or −1. */
static int next_report(const Mime *mime, int after)
{
    do
        after = mime_find(mime, "message/feedback-report", after);
    while (after >= 0 && is_attached(mime, after));
    return after;
}

static gboolean is_text(const MimePart *part)
{
    return g_str_has_prefix(part->type, "text/") || g_str_has_prefix(part->type, "application/");
}

/* Gateways turn the type that they do not know into text or octets; the fields stay. */
static int disguised_report(const Mime *mime)
{
    for (guint i = 0; i < mime_count(mime); i++) {
        const MimePart *part = mime_part(mime, i);
        if (!is_text(part) || is_attached(mime, (int)i))
            continue;
        g_autoptr(GString) head = mime_decode(part, LOOK_MAX);
        Text body = text(head->str, head->len);
        if (text_present(fields_value(body, "Feedback-Type")) &&
            text_present(fields_value(body, "User-Agent")))
            return (int)i;
    }
    return -1;
}

gboolean arf_recognise(const Report *report)
{
    return is_feedback_report(report) || next_report(report->mime, -1) >= 0 ||
           disguised_report(report->mime) >= 0;
}

static void read_type(Text fields, PstEvidence *evidence)
{
    evidence->feedback_type =
        text_clean_lower(text_word(fields_value(fields, "Feedback-Type")), 80);
    evidence->category = g_strdup("other");
    for (gsize i = 0; evidence->feedback_type != NULL && i < G_N_ELEMENTS(meanings); i++)
        if (strcmp(evidence->feedback_type, meanings[i].type) == 0) {
            evidence->outcome = meanings[i].outcome;
            g_free(evidence->category);
            evidence->category = g_strdup(meanings[i].category);
        }
}

static void read_address(Text fields, PstEvidence *evidence)
{
    guint32 port = 0;
    Text rest = fields;
    Field field;
    while (!pst_addr_present(&evidence->source_ip) && fields_next(&rest, &field))
        if (text_equal(field.name, "Source-IP"))
            (void)received_address(field.value, &evidence->source_ip);
    if (text_number(fields_value(fields, "Source-Port"), 65535, &port)) /* RFC 6692 */
        evidence->source_port = (guint16)port;
}

static void read_time(Text fields, PstEvidence *evidence)
{
    static const char *const names[] = {"Arrival-Date", "Received-Date"}; /* the latter is older */
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (mime_date(fields_value(fields, names[i]), &evidence->arrived_ns))
            return;
}

static void read_fields(Text fields, PstEvidence *evidence)
{
    guint32 incidents = 0;
    read_type(fields, evidence);
    read_address(fields, evidence);
    read_time(fields, evidence);
    evidence->reported_domain =
        text_clean_lower(text_word(fields_value(fields, "Reported-Domain")), PST_EVIDENCE_TEXT_MAX);
    if (text_number(fields_value(fields, "Incidents"), G_MAXINT32, &incidents) && incidents > 0)
        evidence->incidents = incidents;
}

/* One message/feedback-report part. NULL, or why it cannot be read. */
static const char *read_part(const Report *report, int index, PstEvidence *evidence)
{
    const MimePart *part = mime_part(report->mime, (guint)index);
    g_autoptr(GString) body = mime_decode(part, REPORT_MAX);
    Text fields = text(body->str, body->len);
    if (text_starts(fields, "\xef\xbb\xbf")) /* a byte order mark hides the first field */
        fields = text_after(fields, 3);
    read_fields(fields, evidence);
    if (evidence->feedback_type == NULL)
        return "the feedback report has no Feedback-Type field (RFC 5965 section 3.1)";
    report_use_attached(report, report_attached(report, part->parent, index), evidence);
    if (evidence->message_id == NULL)
        evidence->message_id = report_message_id(fields_value(fields, "Message-ID"));
    if (evidence->outcome == PST_EVIDENCE_COMPLAINT && !pst_addr_present(&evidence->source_ip))
        return "names no address: no Source-IP field, and no address of ours in the Received "
               "fields of the attached message";
    return NULL;
}

const char *arf_read(const Report *report, PstEvidence *evidence, GPtrArray *more)
{
    const Mime *mime = report->mime;
    int part = next_report(mime, -1);
    if (part < 0 && is_feedback_report(report))
        part = disguised_report(mime);
    if (part < 0)
        return is_feedback_report(report)
                   ? "says that it is a feedback report and has no message/feedback-report part "
                     "(RFC 5965 section 2)"
                   : "holds a feedback report in a text part and does not say so in its header";
    const char *trouble = read_part(report, part, evidence);
    while (trouble == NULL && (part = next_report(mime, part)) >= 0)
        trouble = read_part(report, part, report_more(more));
    return trouble;
}
