/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "mail_builder.h"

/* The one piece of evidence that @mail gives. */
static PstEvidence *only(GPtrArray *all)
{
    cr_assert_eq(all->len, 1, "%u pieces", all->len);
    return all->pdata[0];
}

static void assert_addr(const PstEvidence *e, const char *expected)
{
    char text[PST_ADDR_TEXT_MAX];
    cr_assert_str_eq(pst_addr_format(&e->source_ip, text), expected);
}

static GPtrArray *read_arf(const char *fields, const char *attached)
{
    g_autofree char *mail = mail_arf("", fields, attached);
    return mail_read_text(mail, NULL, NULL);
}

Test(arf, tells_what_the_report_tells)
{
    g_autoptr(GPtrArray) all =
        read_arf(MAIL_ARF_FIELDS "Source-Port: 40000\nIncidents: 3\n", MAIL_SPAM);
    const PstEvidence *e = only(all);
    cr_assert_eq(e->outcome, PST_EVIDENCE_COMPLAINT);
    cr_assert_str_eq(e->format, "arf");
    cr_assert_str_eq(e->feedback_type, "abuse");
    cr_assert_str_eq(e->category, "spam");
    assert_addr(e, "192.0.2.77");
    cr_assert_eq(e->source_port, 40000);
    cr_assert_eq(e->arrived_ns, G_GINT64_CONSTANT(1772708400000000000));
    cr_assert_str_eq(e->message_id, "spam-1@customer.example");
    cr_assert_str_eq(e->reported_domain, "customer.example");
    cr_assert_str_eq(e->reporter, "reporter.example");
    cr_assert_str_eq(e->report_id, "report-1@reporter.example");
    cr_assert_eq(e->incidents, 3);
    cr_assert_null(e->reason);
}

Test(arf, sorts_feedback_types)
{
    static const struct {
        const char *type;
        PstEvidenceOutcome outcome;
        const char *category;
    } rows[] = {
        {"Abuse", PST_EVIDENCE_COMPLAINT, "spam"},
        {"fraud", PST_EVIDENCE_COMPLAINT, "phishing"},
        {"virus", PST_EVIDENCE_COMPLAINT, "malware"},
        {"other", PST_EVIDENCE_COMPLAINT, "other"},
        {"opt-out", PST_EVIDENCE_COMPLAINT, "other"},
        {"x-never-heard-of", PST_EVIDENCE_COMPLAINT, "other"},
        {"not-spam", PST_EVIDENCE_NOT_A_COMPLAINT, NULL},
        {"auth-failure", PST_EVIDENCE_NOT_A_COMPLAINT, NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *fields = g_strdup_printf(
            "Feedback-Type: %s\nVersion: 1\nUser-Agent: x\nSource-IP: 192.0.2.1\n", rows[i].type);
        g_autoptr(GPtrArray) all = read_arf(fields, MAIL_SPAM);
        const PstEvidence *e = only(all);
        cr_assert_eq(e->outcome, rows[i].outcome, "%s", rows[i].type);
        cr_assert(g_strcmp0(e->category, rows[i].category) == 0, "%s", rows[i].type);
    }
}

Test(arf, finds_the_address_in_the_received_chain)
{
    g_autoptr(GPtrArray) all = read_arf("Feedback-Type: abuse\nUser-Agent: x\nVersion: 1\n"
                                        "Source-IP: unknown\n",
                                        MAIL_SPAM);
    const PstEvidence *e = only(all);
    cr_assert_eq(e->outcome, PST_EVIDENCE_COMPLAINT);
    assert_addr(e, "192.0.2.77");
    cr_assert_eq(e->arrived_ns, G_GINT64_CONSTANT(1772708400000000000));
}

Test(arf, searches_the_received_chain_for_our_networks_only)
{
    g_autofree char *mail =
        mail_arf("", "Feedback-Type: abuse\nUser-Agent: x\nVersion: 1\n", MAIL_SPAM);
    g_autoptr(GPtrArray) ours = mail_read_text(mail, NULL, "192.0.2.0/24");
    g_autoptr(GPtrArray) others = mail_read_text(mail, NULL, "203.0.113.0/24");
    assert_addr(only(ours), "192.0.2.77");
    cr_assert_eq(only(others)->outcome, PST_EVIDENCE_UNREADABLE);
}

Test(arf, alarms_when_it_names_no_address)
{
    g_autoptr(GPtrArray) all =
        read_arf("Feedback-Type: abuse\nUser-Agent: x\nVersion: 1\n", "Subject: x\n\nx\n");
    const PstEvidence *e = only(all);
    cr_assert_eq(e->outcome, PST_EVIDENCE_UNREADABLE);
    cr_assert_not_null(strstr(e->reason, "Source-IP"));
    cr_assert_str_eq(e->feedback_type, "abuse");
}

Test(arf, alarms_when_it_has_no_type)
{
    g_autoptr(GPtrArray) all = read_arf("User-Agent: x\nSource-IP: 192.0.2.1\n", MAIL_SPAM);
    cr_assert_eq(only(all)->outcome, PST_EVIDENCE_UNREADABLE);
    cr_assert_not_null(strstr(only(all)->reason, "Feedback-Type"));
}

Test(arf, alarms_when_its_report_is_missing)
{
    g_autoptr(GPtrArray) all = mail_read_text(
        "From: a@b.example\nContent-Type: multipart/report; report-type=feedback-report; "
        "boundary=b\n\n--b\n\nonly words\n--b--\n",
        NULL, NULL);
    cr_assert_eq(only(all)->outcome, PST_EVIDENCE_UNREADABLE);
    cr_assert_str_eq(only(all)->format, "arf");
}

Test(arf, needs_no_address_to_be_no_complaint)
{
    g_autoptr(GPtrArray) all =
        read_arf("Feedback-Type: not-spam\nUser-Agent: x\nVersion: 1\n", "\n");
    cr_assert_eq(only(all)->outcome, PST_EVIDENCE_NOT_A_COMPLAINT);
}

Test(arf, ignores_what_the_reported_spam_says_of_itself)
{
    const char *spam =
        "Received: from x (x [192.0.2.77]) by mx.reporter.example; Thu, 5 Mar 2026 "
        "12:00:00 +0100\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=in\n\n"
        "--in\nContent-Type: message/feedback-report\n\n"
        "Feedback-Type: abuse\nUser-Agent: x\nVersion: 1\nSource-IP: 203.0.113.1\n"
        "--in--\n";
    g_autoptr(GPtrArray) all = read_arf("Feedback-Type: abuse\nUser-Agent: x\nVersion: 1\n", spam);
    assert_addr(only(all), "192.0.2.77");
}

Test(arf, gives_each_report_of_a_mail_its_own_evidence)
{
    g_autoptr(GPtrArray) all =
        mail_read_text("From: a@b.example\nMessage-ID: <r@b.example>\n"
                       "Content-Type: multipart/mixed; boundary=b\n\n"
                       "--b\nContent-Type: message/feedback-report\n\n" MAIL_ARF_FIELDS
                       "\n--b\nContent-Type: message/rfc822\n\n" MAIL_SPAM
                       "\n--b\nContent-Type: message/feedback-report\n\n"
                       "Feedback-Type: fraud\nUser-Agent: x\nVersion: 1\nSource-IP: 2001:db8::1\n"
                       "--b--\n",
                       NULL, NULL);
    cr_assert_eq(all->len, 2);
    const PstEvidence *first = all->pdata[0], *second = all->pdata[1];
    assert_addr(first, "192.0.2.77");
    assert_addr(second, "2001:db8::1");
    cr_assert_str_eq(second->category, "phishing");
    cr_assert_str_eq(first->report_id, "r@b.example");
    cr_assert_str_eq(second->report_id, "r@b.example#2");
    cr_assert_eq(memcmp(first->sha256, second->sha256, PST_EVIDENCE_SHA256), 0);
}

Test(arf, is_read_where_a_gateway_changed_its_type)
{
    const char *mail = "From: a@b.example\nContent-Type: multipart/report; "
                       "report-type=feedback-report; boundary=b\n\n"
                       "--b\n\nwords\n"
                       "--b\nContent-Type: application/octet-stream\n"
                       "Content-Transfer-Encoding: quoted-printable\n\n"
                       "Feedback-Type: abuse\nUser-Agent: x\nSource-IP: 192.0.2.1=\n\n--b--\n";
    g_autoptr(GPtrArray) all = mail_read_text(mail, NULL, NULL);
    assert_addr(only(all), "192.0.2.1");
}

Test(arf, alarms_where_plain_text_looks_like_a_report)
{
    g_autoptr(GPtrArray) all = mail_read_text(
        "From: a@b.example\n\nFeedback-Type: abuse\nUser-Agent: x\nSource-IP: 192.0.2.1\n", NULL,
        NULL);
    cr_assert_eq(only(all)->outcome, PST_EVIDENCE_UNREADABLE);
}

Test(arf, reads_every_line_end)
{
    g_autofree char *lf = mail_arf("", MAIL_ARF_FIELDS, MAIL_SPAM);
    const char *ends[] = {"\r\n", "\r"};
    for (gsize i = 0; i < G_N_ELEMENTS(ends); i++) {
        g_auto(GStrv) lines = g_strsplit(lf, "\n", -1);
        g_autofree char *mail = g_strjoinv(ends[i], lines);
        g_autoptr(GPtrArray) all = mail_read_text(mail, NULL, NULL);
        const PstEvidence *e = only(all);
        cr_assert_eq(e->outcome, PST_EVIDENCE_COMPLAINT);
        assert_addr(e, "192.0.2.77");
        cr_assert_str_eq(e->message_id, "spam-1@customer.example");
    }
}

Test(arf, carries_what_our_server_found_out)
{
    g_autofree char *mail =
        mail_arf("Authentication-Results: mx.ours.example; dkim=pass header.d=reporter.example\n",
                 MAIL_ARF_FIELDS "Authentication-Results: mx.ours.example; dkim=pass\n", MAIL_SPAM);
    g_autoptr(GPtrArray) ours = mail_read_text(mail, "mx.ours.example", NULL);
    g_autoptr(GPtrArray) others = mail_read_text(mail, "mx.else.example", NULL);
    cr_assert(only(ours)->authenticated);
    cr_assert_not(only(others)->authenticated);
}

Test(arf, takes_no_number_that_is_none)
{
    g_autoptr(GPtrArray) all =
        read_arf(MAIL_ARF_FIELDS "Source-Port: 65536\nIncidents: 0\n", MAIL_SPAM);
    cr_assert_eq(only(all)->source_port, 0);
    cr_assert_eq(only(all)->incidents, 1);
}

Test(arf, reads_what_careless_reporters_write)
{
    g_autoptr(GPtrArray) all =
        read_arf("\xef\xbb\xbf"
                 "Feedback-Type: ABUSE (spam)\nUser-Agent: x\n\nSource-IP : 192.0.2.77:4000\n"
                 "Arrival-Date: 2026-03-05T11:00:00Z\nReported-Domain: Customer.example; other\n",
                 "\n\n" MAIL_SPAM);
    const PstEvidence *e = only(all);
    cr_assert_str_eq(e->feedback_type, "abuse");
    assert_addr(e, "192.0.2.77");
    cr_assert_eq(e->arrived_ns, G_GINT64_CONSTANT(1772708400000000000));
    cr_assert_str_eq(e->reported_domain, "customer.example");
    cr_assert_str_eq(e->message_id, "spam-1@customer.example");
}
