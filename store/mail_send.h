/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Handing a mail over: one recipient, one message, one outcome.
 *
 *   smtp://HOST[:PORT]    submission to a mail server (port 587 unless given), TLS when offered
 *   smtps://HOST[:PORT]   TLS from the first byte (port 465 unless given)
 *   maildir:PATH          a folder with tmp, new and cur; made if absent
 *
 * The outcome is told from the point of view of the recipient's mailbox:
 *   DONE       the server took responsibility, or the file stands in the maildir
 *   RETRY      not now: 4xx, no connection, disk full, anything before the end of DATA
 *   REFUSED    never: the server said 5xx to this sender, recipient or message
 *   UNCERTAIN  the whole message went out and no answer came: it may have arrived
 * A maildir is never uncertain: the file's name comes from the Message-ID, so sending the same mail
 * again finds it there, also after a reader has moved it to cur.
 * The one door to libcurl. A transport belongs to one thread.
 */
#include "postern/error.h"
#include "postern/outcome.h"

typedef struct PstTransport PstTransport;

typedef enum { PST_MAIL_TLS_OFF, PST_MAIL_TLS_TRY, PST_MAIL_TLS_REQUIRE } PstMailTls;

typedef struct {
    const char *user;     /* SMTP AUTH; NULL: none */
    const char *password; /* kept until the transport is freed, like all texts here */
    PstMailTls tls;       /* smtp:// only. TRY: use what is offered, check nothing;
                             REQUIRE: refuse to send without a valid certificate */
    const char *ca_file;  /* NULL: the system's */
    const char *helo;     /* our name in EHLO; NULL: the machine's */
    int timeout_s;        /* for one message, connection included, and again for the parting
                             from a server that fell silent; 0: 120 */
    gboolean (*stop)(gpointer user); /* asked now and then: TRUE breaks off, except after DATA's
                                        end; may be NULL */
    gpointer stop_user;
} PstTransportOptions;

/* @error USAGE: no such transport. Given. */
PstTransport *pst_transport_new(const char *uri, const PstTransportOptions *options, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void pst_transport_free(PstTransport *transport);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstTransport, pst_transport_free)

typedef struct {
    const char *message_id; /* without <> */
    const char *envelope_from;
    const char *to;
    const char *data; /* CRLF line ends */
    gsize len;
} PstLetter;

/* @out_code the server's last reply code, 0 if there was none. @out_detail a sentence; given (free
 * with g_free). */
PstOutcome pst_transport_send(PstTransport *transport, const PstLetter *letter, int *out_code,
                              char **out_detail);
