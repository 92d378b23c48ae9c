/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a mail can say, and the templates that say it.
 *
 * The database gives data (outbox.vars); here it becomes words in the customer's language and time
 * zone. Templates are files KIND.LANGUAGE.txt (its first line is "Subject: …", then an empty one)
 * and KIND.LANGUAGE.html; what several share are parts, _NAME.LANGUAGE.txt and .html, for
 * {{>NAME}}. They are part of the program, and a file of the same name in a folder named by the
 * operator takes the place of ours. The vocabulary is listed in docs/operating.md.
 */
#include "outbox.h"
#include "reverse_dns.h"
#include "template.h"

typedef struct PstMailTemplates PstMailTemplates;

/* Loads every template; @folder may be NULL. @error USAGE: a template is wrong (file, line) or a
 * file in @folder has a name that is none of ours. Given. */
PstMailTemplates *pst_mail_templates_load(const char *folder, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void pst_mail_templates_free(PstMailTemplates *templates);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstMailTemplates, pst_mail_templates_free)

/* A mail's words in its language; a language that we have not is English. */
typedef struct {
    char *subject;
    char *text;
    char *html;
} PstMailText;
void pst_mail_text_clear(PstMailText *text);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PstMailText, pst_mail_text_clear)

/* @error NOT_FOUND: no template for mails of this kind. */
gboolean pst_mail_templates_render(const PstMailTemplates *templates, const char *kind,
                                   const char *locale, const PstTemplateValues *values,
                                   PstMailText *out, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The words that templates may use. */
const PstTemplateWord *pst_mail_vocabulary(void);

/* Makes words of @mail's data. Reads only. @from of setting mail.from; @reverse_dns of the mail's
 * unit, NULL: nobody asked. @error AWAY, DATA. Given. */
PstTemplateValues *pst_mail_words(PstPg *pg, const PstOutboxMail *mail, const char *from,
                                  const PstReverseDns *reverse_dns, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
