/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include "arf.h"
#include "authres.h"
#include "bounce.h"
#include "fields.h"
#include "jmrp.h"
#include "received.h"
#include "reply.h"
#include "unsubscribe.h"

enum {
    QUOTE_MAX = 64 * 1024, /* bytes of a text part that are searched for a quoted header */
};

/* --- formats known by sight
 * ------------------------------------------------------------------------ */

static gboolean xarf_recognise(const Report *report)
{
    Text header = report_header(report);
    return text_present(fields_value(header, "X-XARF")) ||
           text_present(fields_value(header, "X-ARF")) ||
           mime_find(report->mime, "application/xarf+json", -1) >= 0;
}

static gboolean spamcop_recognise(const Report *report)
{
    Text header = report_header(report);
    g_autofree char *from = authres_domain(fields_value(header, "From"));
    return text_present(fields_value(header, "X-SpamCop-sourceip")) ||
           (from != NULL && g_str_has_suffix(from, "reports.spamcop.net"));
}

/* Whether a text part quotes the header of a message that one of our addresses sent. */
static gboolean quotes_our_mail(const Report *report, const MimePart *part)
{
    Hop hop;
    if (report->place->networks == NULL || !g_str_has_prefix(part->type, "text/"))
        return FALSE;
    g_autoptr(GString) body = mime_decode(part, QUOTE_MAX);
    return received_find(text(body->str, body->len), report->place->networks, &hop);
}

/* A person forwards what he got: attached, or quoted with its header. */
static gboolean forward_recognise(const Report *report)
{
    Hop hop;
    if (text_equal(text_word(fields_value(report_header(report), "Auto-Submitted")),
                   "auto-replied"))
        return FALSE;
    if (mime_find(report->mime, "message/feedback-report", -1) >= 0)
        return TRUE;
    for (guint i = 0; i < mime_count(report->mime); i++) {
        const MimePart *part = mime_part(report->mime, i);
        gboolean attached =
            part->parent >= 0 && mime_part(report->mime, (guint)part->parent)->holds_message;
        if ((attached && received_find(part->header, report->place->networks, &hop)) ||
            quotes_our_mail(report, part))
            return TRUE;
    }
    return FALSE;
}

/* Order matters: a bounce may carry a complaint that we forwarded, an ARF mail may carry anything,
 * and a reply quotes the mail that it answers. */
static const ReportFormat formats[] = {
    {"bounce", bounce_recognise, bounce_read},
    {"arf", arf_recognise, arf_read},
    {"jmrp", jmrp_recognise, jmrp_read},
    {"xarf", xarf_recognise, NULL},
    {"spamcop", spamcop_recognise, NULL},
    {"reply", reply_recognise, reply_read},
    {"unsubscribe", unsubscribe_recognise, unsubscribe_read},
    {"forward", forward_recognise, NULL},
};

const ReportFormat *report_format(const Report *report)
{
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++)
        if (formats[i].recognise(report))
            return &formats[i];
    return NULL;
}

/* --- for formats
 * ----------------------------------------------------------------------------------- */

Text report_header(const Report *report)
{
    return mime_part(report->mime, 0)->header;
}

int report_attached(const Report *report, int parent, int after)
{
    for (int i = mime_child(report->mime, parent, after); i >= 0;
         i = mime_child(report->mime, parent, i))
        if (mime_part(report->mime, (guint)i)->holds_message)
            return mime_child(report->mime, i, i);
    return -1;
}

void report_use_attached(const Report *report, int part, PstEvidence *evidence)
{
    Hop hop;
    if (part < 0)
        return;
    Text header = mime_part(report->mime, (guint)part)->header;
    if (evidence->message_id == NULL)
        evidence->message_id = report_message_id(fields_value(header, "Message-ID"));
    if (evidence->arrived_ns == 0)
        (void)received_date(header, &evidence->arrived_ns);
    if (!received_find(header, report->place->networks, &hop))
        return;
    if (!pst_addr_present(&evidence->source_ip))
        evidence->source_ip = hop.addr;
    if (evidence->source_port == 0 && pst_addr_equal(&evidence->source_ip, &hop.addr))
        evidence->source_port = hop.port;
}

PstEvidence *report_more(GPtrArray *more)
{
    PstEvidence *evidence = pst_evidence_new();
    evidence->outcome = PST_EVIDENCE_COMPLAINT;
    evidence->incidents = 1;
    g_ptr_array_add(more, evidence);
    return evidence;
}

char *report_message_id(Text value)
{
    Text id = text_trim(value);
    gssize open = text_find_char(id, '<');
    if (open >= 0)
        id = text_after(id, (gsize)open + 1);
    gsize len = 0;
    while (len < id.len && id.at[len] != '>' && !text_is_space(id.at[len]))
        len++;
    return text_clean(text_head(id, len), PST_EVIDENCE_TEXT_MAX);
}

/* --- the mail
 * ---------------------------------------------------------------------------------------- */

/* Limits kept us from looking at all of a mail that speaks of a feedback report somewhere. */
static const char *hidden_complaint(const Report *report)
{
    static const struct {
        MimeFlaws flaw;
        const char *reason;
    } reasons[] = {
        {MIME_TOO_DEEP, "speaks of a feedback report and nests its parts too deep"},
        {MIME_TOO_MANY_PARTS, "speaks of a feedback report and has too many parts"},
        {MIME_HEADER_TOO_LONG, "speaks of a feedback report and has too long a header"},
        {MIME_NO_BOUNDARY, "speaks of a feedback report and does not say its boundary"},
        {MIME_NO_END, "speaks of a feedback report and ends before it"},
    };
    if (text_find(report->mail, "feedback-report") < 0)
        return NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(reasons); i++)
        if (mime_flaws(report->mime) & reasons[i].flaw)
            return reasons[i].reason;
    return NULL;
}

static void read_format(const Report *report, GPtrArray *all)
{
    const ReportFormat *format = report_format(report);
    PstEvidence *first = report_more(all);
    const char *trouble = format == NULL         ? hidden_complaint(report)
                          : format->read == NULL ? "is a report of a format that is not read yet"
                                                 : format->read(report, first, all);
    for (guint i = 0; format != NULL && i < all->len; i++)
        ((PstEvidence *)all->pdata[i])->format = g_strdup(format->name);
    if (trouble != NULL) {
        PstEvidence *failed = all->pdata[all->len - 1]; /* reading stops at the first failure */
        failed->outcome = PST_EVIDENCE_UNREADABLE;
        g_free(failed->reason);
        failed->reason = g_strdup(trouble);
    } else if (format == NULL) {
        first->outcome = PST_EVIDENCE_NOT_A_COMPLAINT;
    }
}

/* What is true of the mail, whatever it reports. */
static void describe(PstEvidence *evidence, guint number, const Mail *mail, const Report *report,
                     const Sender *sender)
{
    g_autofree char *id = report_message_id(fields_value(report_header(report), "Message-ID"));
    evidence->reporter = g_strdup(sender->domain);
    evidence->authenticated = sender->authenticated;
    if (id != NULL && number > 0) /* several incidents are not copies of one another */
        evidence->report_id = g_strdup_printf("%.900s#%u", id, number + 1);
    else
        evidence->report_id = g_steal_pointer(&id);
    evidence->size_bytes = (guint32)MIN(mail->size_bytes, G_MAXUINT32);
    memcpy(evidence->sha256, mail->sha256, PST_EVIDENCE_SHA256);
}

/* CR LF becomes LF; so does CR alone in a mail that has no LF at all. Given. */
static GString *with_lf(Text raw)
{
    gboolean alone = text_find_char(raw, '\n') < 0;
    GString *out = g_string_sized_new(raw.len + 1);
    for (gsize i = 0; i < raw.len; i++) {
        gboolean cr = raw.at[i] == '\r';
        if (!cr)
            out->str[out->len++] = raw.at[i];
        else if (alone)
            out->str[out->len++] = '\n';
        else if (i + 1 == raw.len || raw.at[i + 1] != '\n')
            out->str[out->len++] = ' ';
    }
    out->str[out->len] = '\0';
    return out;
}

GPtrArray *report_read(const Mail *mail, const ReportPlace *place, gint64 received_ns)
{
    g_autoptr(GString) clean = with_lf(text(mail->bytes->str, mail->bytes->len));
    g_autoptr(Mime) mime = mime_new(text(clean->str, clean->len));
    const Report report = {text(clean->str, clean->len), mime, place};
    g_auto(Sender) sender =
        authres_sender(report_header(&report), place->authserv_ids, place->networks);
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)pst_evidence_free);
    read_format(&report, all);
    for (guint i = 0; i < all->len; i++) {
        PstEvidence *evidence = all->pdata[i];
        describe(evidence, i, mail, &report, &sender);
        evidence->received_ns = received_ns;
    }
    return all;
}
