/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Templates of mails: text with variables, nothing more.
 *
 *     {{name}}                 the value, escaped for the channel
 *     {{#name}} … {{/name}}    a list: once per row, with the row's columns known inside;
 *                              a text: once if it is not empty
 *     {{>name}}                a part: the text of another file, as if it stood here
 * Sections nest three deep; a part closes what it opens, and holds no parts itself. A line that
 * holds only the tag of a section or part leaves no line behind. There are no comments, no
 * expressions, no way to switch escaping off. A name outside the vocabulary, or of a part that
 * there is not, is an error when the template is loaded, with file and line: a mail with a hole is
 * never sent.
 *
 * Values can come from strangers (Message-IDs, names of reporters): in text, control characters
 * become spaces, so no value can forge a line; in HTML, & < > " ' become entities as well.
 * Thread: a loaded template is read-only; values belong to one thread.
 */
#include "postern/error.h"

typedef enum { PST_TEMPLATE_TEXT, PST_TEMPLATE_HTML } PstTemplateChannel;

#define PST_TEMPLATE_MAX (256 * 1024) /* bytes of one template, its parts included */

/* What a template is read from. Borrowed. */
typedef struct {
    const char *file; /* its name in errors */
    const char *text;
    gsize len;
} PstTemplateSource;

/* The part called @name; NULL: there is none. */
typedef const PstTemplateSource *(*PstTemplatePartFn)(const char *name, gpointer user);

/* One name that templates may use. The table ends with name NULL. */
typedef struct {
    const char *name;
    const char *const *columns; /* of a list, ended by NULL; NULL: a text */
} PstTemplateWord;

/* ---- values ---- */

typedef struct PstTemplateValues PstTemplateValues;
PstTemplateValues *pst_template_values_new(void);
void pst_template_values_free(PstTemplateValues *values);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstTemplateValues, pst_template_values_free)
/* Sets a text (copied). NULL: empty. */
void pst_template_set(PstTemplateValues *values, const char *name, const char *text);
void pst_template_setf(PstTemplateValues *values, const char *name, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* Appends a row to a list; its columns are set on what is returned (borrowed from @values). */
PstTemplateValues *pst_template_row(PstTemplateValues *values, const char *list);

/* ---- templates ---- */

typedef struct PstTemplate PstTemplate;

/* @words is kept until the template is freed; @part NULL: there are no parts.
 * @error USAGE "FILE:LINE: what is wrong". Given. */
PstTemplate *pst_template_parse(const PstTemplateSource *source, PstTemplateChannel channel,
                                const PstTemplateWord *words, PstTemplatePartFn part,
                                gpointer part_user, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void pst_template_free(PstTemplate *tmpl);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstTemplate, pst_template_free)

/* A word without value is empty. Given (free with g_free). */
char *pst_template_render(const PstTemplate *tmpl, const PstTemplateValues *values);
