/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where mails come from: a file, standard input, a maildir. Each is read as bytes, up to a limit.
 */
#include "postern/error.h"
#include "postern/evidence.h"
#include "text.h"

typedef struct {
    GString *bytes;                     /* at most the limit */
    guint64 size_bytes;                 /* all that came, beyond the limit too */
    guint8 sha256[PST_EVIDENCE_SHA256]; /* of all that came */
} Mail;

void mail_free(Mail *mail);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Mail, mail_free)

/* A mail whose bytes are @bytes. Given (free with mail_free). */
Mail *mail_new(Text bytes);

/* Reads @fd to its end; keeps the first @max bytes. @error IO. Given. */
Mail *mail_read(int fd, gsize max, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What to do with one mail. TRUE: it is taken care of. FALSE: stop, with @error.
 * @name: where it came from, for logs; borrowed. @mail: borrowed. */
typedef gboolean (*MailVisitor)(gpointer user, const char *name, const Mail *mail, GError **error);

/* Visits the mails of @source:
 *   -             one mail from standard input
 *   PATH          one mail from a file
 *   maildir:DIR   each mail in DIR/new, oldest name first; one that is taken care of moves to
 *                 DIR/cur as seen, if @move
 * @error USAGE (no such maildir), IO, or the visitor's. Mails already visited stay taken care of.
 */
gboolean mailbox_visit(const char *source, gsize max, gboolean move, MailVisitor visit,
                       gpointer user, GError **error) G_GNUC_WARN_UNUSED_RESULT;
