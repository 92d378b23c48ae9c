/* SPDX-License-Identifier: Apache-2.0 */
/* What comes back to mails of ours: bounces as mail servers write them, replies as people do. */
#include <criterion/criterion.h>

#include "mail_builder.h"

#define TOKEN   "0123456789abcdef0123"
#define VERP    "bounces+" TOKEN "@ours.example"
#define OUR_ID  "<PST-2026-000042.warning." TOKEN "@ours.example>"
#define REPLIES "From: Erika <erika@customer.example>\nTo: abuse@ours.example\n"

/* What a server says of one recipient. */
typedef struct {
    const char *to;       /* field To of the report */
    const char *fields;   /* of the recipient's group */
    const char *returned; /* the part that comes back, its header included */
} Dsn;

static char *dsn_text(Dsn dsn)
{
    return g_strdup_printf(
        "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example (Mail Delivery System)\nTo: %s\n"
        "Auto-Submitted: auto-replied\nMIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
        "--b\nContent-Description: Notification\nContent-Type: text/plain\n\nI'm sorry.\n\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n"
        "Arrival-Date: Thu, 5 Mar 2026 12:00:00 +0100\n\n"
        "Final-Recipient: rfc822; x@customer.example\n%s\n"
        "--b\n%s\n--b--\n",
        dsn.to, dsn.fields, dsn.returned);
}

static PstEvidence *read_mail(const char *mail, const char *recipient)
{
    const ReportPlace place = {.recipient = recipient};
    g_autoptr(Mail) whole = mail_new(text(mail, strlen(mail)));
    g_autoptr(GPtrArray) all = report_read(whole, &place, 1);
    cr_assert_eq(all->len, 1);
    return g_ptr_array_steal_index(all, 0);
}

static void assert_dsn(Dsn dsn, PstEvidenceOutcome outcome, const char *token)
{
    g_autofree char *mail = dsn_text(dsn);
    g_autoptr(PstEvidence) e = read_mail(mail, NULL);
    cr_assert_eq(e->outcome, outcome, "%s", mail);
    cr_assert_str_eq(e->format, "bounce");
    cr_assert(g_strcmp0(e->mail_token, token) == 0, "%s in %s", e->mail_token, mail);
}

#define FAILED   "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 no such user\n"
#define NOTHING  "Content-Type: text/plain\n\nnothing comes back"
#define RETURNED "Content-Type: message/rfc822\n\nMessage-ID: " OUR_ID "\nSubject: x\n\nx"
#define HEADERS  "Content-Type: text/rfc822-headers\n\nMessage-ID: " OUR_ID "\nSubject: x\n"

Test(answer, bounces_are_known_by_the_address_they_come_to)
{
    assert_dsn((Dsn){VERP, FAILED, NOTHING}, PST_EVIDENCE_BOUNCE, TOKEN);
}

Test(answer, bounces_are_known_by_what_they_return)
{
    assert_dsn((Dsn){"a@b.example", FAILED, RETURNED}, PST_EVIDENCE_BOUNCE, TOKEN);
    assert_dsn((Dsn){"a@b.example", FAILED, HEADERS}, PST_EVIDENCE_BOUNCE, TOKEN);
    assert_dsn(
        (Dsn){"a@b.example", "Original-Envelope-Id: x." TOKEN "@ours.example\n" FAILED, NOTHING},
        PST_EVIDENCE_BOUNCE, TOKEN);
    assert_dsn((Dsn){"a@b.example", FAILED, NOTHING}, PST_EVIDENCE_BOUNCE, NULL);
}

Test(answer, the_envelope_wins_over_what_a_mail_says)
{
    g_autofree char *mail =
        dsn_text((Dsn){"bounces+ffffffffffffffffffff@ours.example", FAILED, NOTHING});
    g_autoptr(PstEvidence) e = read_mail(mail, VERP);
    cr_assert_str_eq(e->mail_token, TOKEN);
    cr_assert_str_eq(e->reason, "5.1.1 smtp; 550 no such user");
}

Test(answer, only_what_is_final_is_a_bounce)
{
    assert_dsn((Dsn){VERP, "Action: delayed\nStatus: 4.4.1\n", NOTHING},
               PST_EVIDENCE_NOT_A_COMPLAINT, TOKEN);
    assert_dsn((Dsn){VERP, "Action: relayed\nStatus: 2.0.0\n", NOTHING},
               PST_EVIDENCE_NOT_A_COMPLAINT, TOKEN);
    assert_dsn((Dsn){VERP, "Action: failed\nStatus: 4.4.7\n", NOTHING}, PST_EVIDENCE_BOUNCE, TOKEN);
    assert_dsn((Dsn){VERP, "Status: 5.0.0\n", NOTHING}, PST_EVIDENCE_BOUNCE, TOKEN);
    assert_dsn((Dsn){VERP, "Status: 4.0.0\n", NOTHING}, PST_EVIDENCE_NOT_A_COMPLAINT, TOKEN);
    assert_dsn((Dsn){VERP,
                     "Action: delayed\nStatus: 4.0.0\n\n"
                     "Final-Recipient: rfc822; y@customer.example\n" FAILED,
                     NOTHING},
               PST_EVIDENCE_BOUNCE, TOKEN);
}

Test(answer, a_daemons_own_words_are_a_bounce_unless_they_speak_of_delay)
{
    const char *failed = "From: Mailer-Daemon@mx.example\nTo: " VERP
                         "\nAuto-Submitted: auto-replied\nX-Failed-Recipients: x@y.example\n"
                         "Subject: Mail delivery failed: returning message to sender\n\nx\n";
    const char *later = "From: Mailer-Daemon@mx.example\nTo: " VERP
                        "\nSubject: Warning: message 1abc delayed 24 hours\n\nx\n";
    g_autoptr(PstEvidence) a = read_mail(failed, NULL), b = read_mail(later, NULL);
    cr_assert_eq(a->outcome, PST_EVIDENCE_BOUNCE);
    cr_assert_str_eq(a->mail_token, TOKEN);
    cr_assert_eq(b->outcome, PST_EVIDENCE_NOT_A_COMPLAINT);
    cr_assert_null(b->said);
}

Test(answer, a_reply_is_its_own_words_and_no_more)
{
    g_autoptr(PstEvidence) e =
        read_mail(REPLIES "In-Reply-To: " OUR_ID "\nSubject: Re: [PST-2026-000042] Spam\n\n"
                          "We closed the form.\n\nErika\x01 Mustermann\n"
                          "> the address 192.0.2.1 sends\n>> x\n-- \nCustomer Ltd\n",
                  NULL);
    cr_assert_eq(e->outcome, PST_EVIDENCE_NOT_A_COMPLAINT);
    cr_assert_str_eq(e->format, "reply");
    cr_assert_str_eq(e->mail_token, TOKEN);
    cr_assert_str_eq(e->case_ref, "PST-2026-000042");
    cr_assert_str_eq(e->sender, "Erika <erika@customer.example>");
    cr_assert_str_eq(e->said, "We closed the form.\nErika Mustermann");
    cr_assert_str_eq(e->reporter, "customer.example");
}

Test(answer, a_reply_may_only_name_the_case_and_be_written_in_html)
{
    g_autoptr(PstEvidence) e =
        read_mail(REPLIES "Subject: =?utf-8?q?AW=3A_pst-2026-1234567_gel=C3=B6st?=\n"
                          "Content-Type: text/html\n\n<style>p{}</style><p>Done<br>today</p>\n",
                  NULL);
    cr_assert_null(e->mail_token);
    cr_assert_str_eq(e->case_ref, "PST-2026-1234567");
    cr_assert_str_eq(e->said, "Done\ntoday");
}

Test(answer, a_long_reply_is_cut)
{
    g_autoptr(GString) mail = g_string_new(REPLIES "References: <x@y> " OUR_ID "\n\n");
    for (int i = 0; i < 1000; i++)
        g_string_append(mail, "words and w\xc3\xb6rds\n");
    g_autoptr(PstEvidence) e = read_mail(mail->str, NULL);
    cr_assert_leq(strlen(e->said), PST_EVIDENCE_SAID_MAX);
    cr_assert_gt(strlen(e->said), PST_EVIDENCE_SAID_MAX - 40);
    cr_assert(g_utf8_validate(e->said, -1, NULL));
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    pst_evidence_encode(e, bytes);
    g_autoptr(PstEvidence) back = pst_evidence_decode(bytes->data, bytes->len);
    cr_assert_not_null(back);
    cr_assert_str_eq(back->said, e->said);
}

Test(answer, nothing_follows_from_what_programs_answer)
{
    static const char *const marks[] = {"Auto-Submitted: auto-replied\n",
                                        "Auto-Submitted: auto-generated (vacation)\n",
                                        "Precedence: bulk\n",
                                        "Precedence: auto_reply\n",
                                        "X-Autoreply: yes\n",
                                        "Return-Path: <>\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(marks); i++) {
        g_autofree char *mail =
            g_strconcat(REPLIES, marks[i], "In-Reply-To: " OUR_ID "\n\nAway.\n", NULL);
        g_autoptr(PstEvidence) e = read_mail(mail, NULL);
        cr_assert_eq(e->outcome, PST_EVIDENCE_NOT_A_COMPLAINT);
        cr_assert_null(e->said, "%s", marks[i]);
    }
    g_autoptr(PstEvidence) bare = read_mail("From: a@b.example\nTo: " VERP "\n\nAway.\n", NULL);
    cr_assert_null(bare->said);
    cr_assert_str_eq(bare->format, "reply");
}

Test(answer, what_only_looks_like_a_secret_or_case_is_none)
{
    static const char *const mails[] = {
        "To: bounces+0123456789abcdef012@x.example\n\nx\n",
        "To: bounces+0123456789abcdef01234@x.example\n\nx\n",
        "To: bounces+0123456789ABCDEF0123@x.example\n\nx\n",
        "To: bounces+0123456789abcdef0123\n\nx\n",
        "Subject: PST-2026-12345\n\nx\n",
        "Subject: PST-26-000123\n\nx\n",
        "Subject: PST-2026-\n\nx\n",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(mails); i++) {
        g_autoptr(PstEvidence) e = read_mail(mails[i], NULL);
        cr_assert_null(e->format, "%s", mails[i]);
    }
}
