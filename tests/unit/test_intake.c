/* SPDX-License-Identifier: Apache-2.0 */
/* Whole mails: which format reads them, what becomes of hostile ones, and the recorded corpus. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "evidence_json.h"
#include "mail_builder.h"

static const PstEvidence *only(const GPtrArray *all)
{
    cr_assert_eq(all->len, 1, "%u pieces", all->len);
    return all->pdata[0];
}

static void assert_outcome(const char *mail, PstEvidenceOutcome outcome, const char *format)
{
    g_autoptr(GPtrArray) all = mail_read_text(mail, NULL, NULL);
    const PstEvidence *e = only(all);
    cr_assert_eq(e->outcome, outcome, "%s", mail);
    cr_assert(g_strcmp0(e->format, format) == 0, "%s: %s", mail, e->format);
}

/* --- formats
 * --------------------------------------------------------------------------------------- */

Test(intake, takes_normal_mail_for_what_it_is)
{
    assert_outcome("From: a@example.org\nSubject: Hello\n\nHow are you?\n",
                   PST_EVIDENCE_NOT_A_COMPLAINT, NULL);
    assert_outcome("From: a@example.org\nAuto-Submitted: auto-replied\n\nI am away.\n",
                   PST_EVIDENCE_NOT_A_COMPLAINT, NULL);
    assert_outcome("", PST_EVIDENCE_NOT_A_COMPLAINT, NULL);
    assert_outcome("\n\n\n", PST_EVIDENCE_NOT_A_COMPLAINT, NULL);
}

#define DSN(action)                                                                                \
    "From: MAILER-DAEMON@mx.example\nContent-Type: multipart/report; "                             \
    "report-type=delivery-status; boundary=b\n\n--b\n\nSorry.\n"                                   \
    "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n"             \
    "Final-Recipient: rfc822; x@customer.example\nAction: " action "\nStatus: 5.1.1\n"             \
    "Diagnostic-Code: smtp; 550 no such user\n\n"                                                  \
    "--b\nContent-Type: message/rfc822\n\nMessage-ID: <warning-7@ours.example>\n\nx\n--b--\n"

Test(intake, reads_bounces)
{
    g_autoptr(GPtrArray) all = mail_read_text(DSN("failed"), NULL, NULL);
    const PstEvidence *e = only(all);
    cr_assert_eq(e->outcome, PST_EVIDENCE_BOUNCE);
    cr_assert_str_eq(e->message_id, "warning-7@ours.example");
    cr_assert_str_eq(e->reported_domain, "customer.example");
    cr_assert_str_eq(e->reason, "5.1.1 smtp; 550 no such user");
    assert_outcome(DSN("delayed"), PST_EVIDENCE_NOT_A_COMPLAINT, "bounce");
    assert_outcome("Return-Path: <>\nFrom: <MAILER-DAEMON@mx.example>\n\nHi. This is the "
                   "qmail-send program.\n",
                   PST_EVIDENCE_BOUNCE, "bounce");
}

#define JMRP(subject, mark)                                                                        \
    "From: staff@hotmail.com\nSubject: " subject "\nContent-Type: multipart/mixed; boundary=b\n\n" \
    "--b\nContent-Type: message/rfc822\n\n" mark                                                   \
    "Received: from x ([198.51.100.7]) by y; Thu, 5 Mar 2026 12:00:00 +0100\n"                     \
    "Message-ID: <s@customer.example>\n\nx\n--b--\n"

Test(intake, reads_junk_mail_reports)
{
    g_autoptr(GPtrArray) subject =
        mail_read_text(JMRP("complaint about message from 192.0.2.77", ""), NULL, NULL);
    g_autoptr(GPtrArray) mark =
        mail_read_text(JMRP("x", "X-HmXmrOriginalRecipient: a@b.example\n"), NULL, NULL);
    char addr[PST_ADDR_TEXT_MAX];
    cr_assert_str_eq(pst_addr_format(&only(subject)->source_ip, addr), "192.0.2.77");
    cr_assert_str_eq(pst_addr_format(&only(mark)->source_ip, addr), "198.51.100.7");
    cr_assert_str_eq(only(mark)->format, "jmrp");
    cr_assert_str_eq(only(mark)->message_id, "s@customer.example");
}

Test(intake, reads_no_report_that_stands_in_the_spam)
{
    /* Else a spammer could have a mailbox provider accuse whom he likes. */
    const char *mail =
        "From: staff@hotmail.com\nSubject: complaint about message from 192.0.2.77\n"
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n"
        "Content-Type: message/feedback-report\n\n"
        "Feedback-Type: abuse\nUser-Agent: x\nSource-IP: 203.0.113.1\n--b--\n";
    g_autoptr(GPtrArray) all = mail_read_text(mail, NULL, NULL);
    char addr[PST_ADDR_TEXT_MAX];
    cr_assert_str_eq(only(all)->format, "jmrp");
    cr_assert_str_eq(pst_addr_format(&only(all)->source_ip, addr), "192.0.2.77");
}

Test(intake, alarms_on_formats_that_it_only_knows_by_sight)
{
    assert_outcome("From: a@example.org\nX-XARF: PLAIN\n\nx\n", PST_EVIDENCE_UNREADABLE, "xarf");
    assert_outcome("From: 123@reports.spamcop.net\n\n[ SpamCop V5 ]\n", PST_EVIDENCE_UNREADABLE,
                   "spamcop");
}

#define SPAM_ATTACHED(auto_submitted)                                                              \
    "From: a@example.org\nSubject: please stop this\n" auto_submitted                              \
    "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSee below.\n"                             \
    "--b\nContent-Type: message/rfc822\n\n" MAIL_SPAM "--b--\n"

Test(intake, alarms_on_spam_that_a_person_forwards)
{
    const char *quoted = "From: a@example.org\n\nYour host sends spam:\n\n" MAIL_SPAM;
    g_autoptr(GPtrArray) ours = mail_read_text(quoted, NULL, "192.0.2.0/24");
    g_autoptr(GPtrArray) others = mail_read_text(quoted, NULL, "203.0.113.0/24");
    assert_outcome(SPAM_ATTACHED(""), PST_EVIDENCE_UNREADABLE, "forward");
    assert_outcome(SPAM_ATTACHED("Auto-Submitted: auto-replied\n"), PST_EVIDENCE_NOT_A_COMPLAINT,
                   NULL);
    cr_assert_eq(only(ours)->outcome, PST_EVIDENCE_UNREADABLE);
    cr_assert_eq(only(others)->outcome, PST_EVIDENCE_NOT_A_COMPLAINT);
}

Test(intake, alarms_on_a_report_that_a_person_forwards)
{
    g_autofree char *arf = mail_arf("", MAIL_ARF_FIELDS, "\n");
    g_autofree char *mail =
        g_strconcat("From: a@ours.example\nContent-Type: message/rfc822\n\n", arf, NULL);
    assert_outcome(mail, PST_EVIDENCE_UNREADABLE, "forward");
}

/* --- hostile mails
 * ------------------------------------------------------------------------------------ */

static char *nested(guint depth)
{
    GString *mail = g_string_new("From: a@example.org\n");
    for (guint i = 0; i < depth; i++)
        g_string_append_printf(mail, "Content-Type: multipart/mixed; boundary=b%u\n\n--b%u\n", i,
                               i);
    g_string_append(mail, "Content-Type: message/feedback-report\n\n" MAIL_ARF_FIELDS);
    return g_string_free(mail, FALSE);
}

Test(intake, alarms_on_a_complaint_that_it_cannot_reach)
{
    g_autofree char *shallow = nested(20);
    g_autofree char *deep = nested(1000);
    assert_outcome(shallow, PST_EVIDENCE_COMPLAINT, "arf");
    assert_outcome(deep, PST_EVIDENCE_UNREADABLE, NULL);
}

Test(intake, survives_a_header_of_ten_megabytes, .timeout = 60)
{
    g_autofree char *filler = g_strnfill(10 << 20, 'a');
    g_autofree char *one = g_strdup_printf("From: a@example.org\nSubject: %s\n\nx\n", filler);
    g_autofree char *groups = g_strdelimit(g_strdup(filler), "a", ':');
    g_autofree char *from = g_strdup_printf("From: %s\n\nx\n", groups);
    assert_outcome(one, PST_EVIDENCE_NOT_A_COMPLAINT, NULL);
    assert_outcome(from, PST_EVIDENCE_NOT_A_COMPLAINT, NULL);
    g_autofree char *arf = mail_arf("", MAIL_ARF_FIELDS, one);
    assert_outcome(arf, PST_EVIDENCE_COMPLAINT, "arf");
}

Test(intake, survives_a_million_of_anything, .timeout = 60)
{
    static const struct {
        const char *head, *piece;
    } rows[] = {
        {"From: a@example.org\n", "X: y\n"},
        {"From: a@example.org\n", "Received: from a ([192.0.2.1) by b; x\n"},
        {"From: a@example.org\nContent-Type: multipart/mixed; boundary=b\n\n", "--b\n\n"},
        {"From: a@example.org\nContent-Type: multipart/mixed; ", "a=b;"},
        {"From: a@example.org\nContent-Type: message/feedback-report\n\n", "Source-IP: x\n"},
        {"From: a@example.org\n", "Content-Type: message/rfc822\n\n"},
        {"From: ", "(<\"@"},
        {"From: a@example.org\nAuthentication-Results: x", "; dkim=pass (\""},
        {"From: a@example.org\nContent-Type: multipart/report; report-type=delivery-status; "
         "boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n",
         "Action: delayed\n"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GString) mail = g_string_new(rows[i].head);
        for (guint n = 0; n < 1000000 && mail->len < 10 << 20; n++)
            g_string_append(mail, rows[i].piece);
        g_autoptr(GPtrArray) all = mail_read_bytes(mail->str, mail->len, "x", NULL);
        cr_assert_geq(all->len, 1, "%s", rows[i].piece);
    }
}

Test(intake, survives_every_cut_of_a_complaint)
{
    g_autofree char *mail = mail_arf("", MAIL_ARF_FIELDS, MAIL_SPAM);
    for (gsize len = 0; len <= strlen(mail); len++) {
        g_autoptr(GPtrArray) all = mail_read_bytes(mail, len, "mx", "192.0.2.0/24");
        cr_assert_geq(all->len, 1);
        /* From the moment it says what it is, it never passes for something else. */
        if (len > (gsize)(strstr(mail, "\tboundary") - mail) + 16)
            cr_assert_neq(((PstEvidence *)all->pdata[0])->outcome, PST_EVIDENCE_NOT_A_COMPLAINT);
    }
}

Test(intake, survives_nul_and_every_other_byte)
{
    g_autofree char *mail = mail_arf("", MAIL_ARF_FIELDS, MAIL_SPAM);
    gsize len = strlen(mail);
    for (guint byte = 0; byte < 256; byte += 5)
        for (gsize at = 0; at < len; at += 7) {
            g_autofree char *copy = g_memdup2(mail, len);
            copy[at] = (char)byte;
            g_autoptr(GPtrArray) all = mail_read_bytes(copy, len, "mx", NULL);
            g_autoptr(GString) json = g_string_new(NULL);
            evidence_json_append(all->pdata[0], json);
            cr_assert(g_utf8_validate(json->str, (gssize)json->len, NULL));
        }
}

/* --- JSON
 * -----------------------------------------------------------------------------------------------
 */

Test(intake, prints_every_key_of_its_evidence)
{
    g_autofree char *mail = mail_arf("", MAIL_ARF_FIELDS, MAIL_SPAM);
    g_autoptr(GPtrArray) all = mail_read_text(mail, NULL, NULL);
    g_autoptr(GString) json = g_string_new(NULL);
    PstEvidence *e = all->pdata[0];
    memset(e->sha256, 0xab, PST_EVIDENCE_SHA256);
    evidence_json_append(e, json);
    cr_assert_str_eq(
        json->str,
        "{\"outcome\":\"complaint\",\"format\":\"arf\",\"feedback_type\":\"abuse\","
        "\"category\":\"spam\",\"source_ip\":\"192.0.2.77\",\"source_port\":null,"
        "\"arrived_at\":\"2026-03-05T11:00:00Z\",\"message_id\":\"spam-1@customer.example\","
        "\"reported_domain\":\"customer.example\",\"reporter\":\"reporter.example\","
        "\"authenticated\":false,\"incidents\":1,"
        "\"sha256\":\"abababababababababababababababababababababababababababababababab\","
        "\"report_id\":\"report-1@reporter.example\",\"reason\":null,"
        "\"mail_token\":null,\"case_ref\":null,\"sender\":null,\"said\":null}");
}
