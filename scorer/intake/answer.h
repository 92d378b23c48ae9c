/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which mail of ours a mail answers.
 *
 * Each mail that we send has a secret of 20 hexadecimal digits. It stands in its envelope address
 * (bounces+SECRET@…), to which mail servers return it, and in its Message-ID
 * (PST-2026-000123.warning.SECRET@…), to which people's programs refer. Whoever shows it has seen
 * the mail; whether there is such a mail the database knows.
 * Thread: any; all functions are pure.
 */
#include "report.h"

enum {
    ANSWER_TOKEN_LEN = 20,
};

/* The first secret in @value, or NULL. Given (g_free). */
char *answer_token(Text value);

/* The secret to whose address @report was sent: the envelope's recipient where the mail server
 * told it, else Delivered-To, X-Original-To, Envelope-To, To. NULL: none. Given. */
char *answer_recipient(const Report *report);

/* The secret that @report refers to: In-Reply-To, else References. NULL: none. Given. */
char *answer_reference(const Report *report);

/* The first case number (PST-2026-000123) in the subject, or NULL. Given. */
char *answer_case(const Report *report);

/* RFC 3834 and what came before it: a program wrote this mail. */
gboolean answer_is_automatic(const Report *report);
