/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Composing a mail (RFC 5322, MIME): header and two ways to read it, text and HTML.
 * One of the two doors to GMime. Thread: any, one at a time.
 */
#include "postern/error.h"

typedef struct {
    const char *message_id; /* without <> */
    const char *references; /* Message-ID of the case's first mail without <>, or NULL */
    const char *from;       /* "Abuse desk <abuse@example.net>" */
    const char *to;         /* one bare address */
    gint64 date_ns;         /* UTC */
    const char *subject;    /* UTF-8, one line */
    const char *text;       /* UTF-8 */
    const char *html;
} PstMail;

/* The message with CRLF line ends, ready for DATA. The same mail gives the same bytes. Has
 * Auto-Submitted (RFC 3834), so that no robot answers.
 * @error USAGE: @from is no address; DATA: @to is none. Given (free with g_free), NUL-terminated.
 */
char *pst_mail_compose(const PstMail *mail, gsize *out_len, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* TRUE if @text is one address without name, fit for an envelope. */
gboolean pst_mail_is_address(const char *text);
/* The name in "Abuse desk <abuse@…>", else the address. Given. */
char *pst_mail_display_name(const char *from);
