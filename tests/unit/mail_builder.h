/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Mails for tests, put together from the parts that a test is about. */
#include <glib.h>

#include "report.h"

#define MAIL_ARF_FIELDS                                                                            \
    "Feedback-Type: abuse\n"                                                                       \
    "User-Agent: Reporter/1.0\n"                                                                   \
    "Version: 1\n"                                                                                 \
    "Source-IP: 192.0.2.77\n"                                                                      \
    "Arrival-Date: Thu, 05 Mar 2026 12:00:00 +0100\n"                                              \
    "Reported-Domain: customer.example\n"

#define MAIL_SPAM                                                                                  \
    "Received: from mx (mx.customer.example [192.0.2.77]) by mx.reporter.example with ESMTP;\n"    \
    "\tThu, 5 Mar 2026 12:00:00 +0100\n"                                                           \
    "From: Somebody <sales@customer.example>\n"                                                    \
    "Message-ID: <spam-1@customer.example>\n"                                                      \
    "Subject: Buy\n"                                                                               \
    "\n"                                                                                           \
    "Buy now.\n"

/* A feedback report as RFC 5965 draws it. @header: further fields of the mail; @fields: of the
 * report; @attached: the message complained about. Given (g_free). */
static inline char *mail_arf(const char *header, const char *fields, const char *attached)
{
    return g_strdup_printf("From: Feedback <fbl@reporter.example>\n"
                           "To: abuse@ours.example\n"
                           "Subject: FW: Buy\n"
                           "Message-ID: <report-1@reporter.example>\n"
                           "%s"
                           "MIME-Version: 1.0\n"
                           "Content-Type: multipart/report; report-type=feedback-report;\n"
                           "\tboundary=\"b1\"\n"
                           "\n"
                           "--b1\n"
                           "Content-Type: text/plain\n"
                           "\n"
                           "This is an abuse report.\n"
                           "--b1\n"
                           "Content-Type: message/feedback-report\n"
                           "\n"
                           "%s"
                           "\n"
                           "--b1\n"
                           "Content-Type: message/rfc822\n"
                           "\n"
                           "%s"
                           "--b1--\n",
                           header, fields, attached);
}

/* What is made of @mail. @authserv_id, @networks ("192.0.2.0/24,…"): may be NULL. Given. */
static inline GPtrArray *mail_read_bytes(const char *bytes, gsize len, const char *authserv_id,
                                         const char *networks)
{
    char *ids[] = {g_strdup(authserv_id), NULL};
    g_autoptr(PstPrefixMap) map = networks != NULL ? pst_networks_load(networks, NULL) : NULL;
    const ReportPlace place = {.authserv_ids = ids, .networks = map};
    g_autoptr(Mail) mail = mail_new(text(bytes, len));
    GPtrArray *all = report_read(mail, &place, G_GINT64_CONSTANT(1772708400000000000));
    g_free(ids[0]);
    return all;
}

static inline GPtrArray *mail_read_text(const char *mail, const char *authserv_id,
                                        const char *networks)
{
    return mail_read_bytes(mail, strlen(mail), authserv_id, networks);
}
