/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "embedded.h"
#include "mail_fold.h"
#include "mail_words.h"

#define SUBJECT "Subject: "

struct PstMailTemplates {
    GHashTable *by_name; /* "warning.en.txt" → PstTemplate; subjects as "warning.en.subject" */
};

void pst_mail_templates_free(PstMailTemplates *templates)
{
    if (templates == NULL)
        return;
    g_hash_table_unref(templates->by_name);
    g_free(templates);
}

static gboolean add(PstMailTemplates *templates, const char *name, const char *file,
                    const char *text, gsize len, PstTemplateChannel channel, GError **error)
{
    PstTemplate *tmpl = pst_template_parse(file, text, len, channel, pst_mail_vocabulary(), error);
    if (tmpl == NULL)
        return FALSE;
    g_hash_table_replace(templates->by_name, g_strdup(name), tmpl);
    return TRUE;
}

/* A text template's first line is the subject. The body keeps that line as an empty one, so that
 * errors count lines as the file does; the renderer cuts it off. */
static gboolean add_text(PstMailTemplates *templates, const char *name, const char *file,
                         const char *text, gsize len, GError **error)
{
    const char *end = memchr(text, '\n', len);
    if (!g_str_has_prefix(text, SUBJECT) || end == NULL || end + 1 >= text + len ||
        end[1] != '\n') {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "%s:1: a text template begins with \"Subject: …\" and an empty line", file);
        return FALSE;
    }
    const char *subject = text + strlen(SUBJECT);
    g_autofree char *stem = g_strndup(name, strlen(name) - strlen(".txt"));
    g_autofree char *subject_name = g_strconcat(stem, ".subject", NULL);
    return add(templates, subject_name, file, subject, (gsize)(end - subject), PST_TEMPLATE_TEXT,
               error) &&
           add(templates, name, file, end, len - (gsize)(end - text), PST_TEMPLATE_TEXT, error);
}

static gboolean load(PstMailTemplates *templates, const char *name, const char *file,
                     const char *text, gsize len, GError **error)
{
    if (g_str_has_suffix(name, ".txt"))
        return add_text(templates, name, file, text, len, error);
    return add(templates, name, file, text, len, PST_TEMPLATE_HTML, error);
}

static gboolean load_file(PstMailTemplates *templates, const char *folder, const char *name,
                          GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *text = NULL;
    gsize len = 0;
    g_autoptr(GError) why = NULL;
    if (!g_hash_table_contains(templates->by_name, name)) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "%s: no mail has a template of this name; names are like warning.en.txt "
                    "(warning, reminder, blocked, resolved, released; en, de; txt, html)",
                    path);
        return FALSE;
    }
    if (!g_file_get_contents(path, &text, &len, &why)) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "template: %s", why->message);
        return FALSE;
    }
    return load(templates, name, path, text, len, error);
}

static gboolean load_folder(PstMailTemplates *templates, const char *folder, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &why);
    if (dir == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "templates: %s", why->message);
        return FALSE;
    }
    const char *name;
    while ((name = g_dir_read_name(dir)) != NULL) {
        gboolean ours = g_str_has_suffix(name, ".txt") || g_str_has_suffix(name, ".html");
        if (ours && !load_file(templates, folder, name, error))
            return FALSE;
    }
    return TRUE;
}

PstMailTemplates *pst_mail_templates_load(const char *folder, GError **error)
{
    g_autoptr(PstMailTemplates) templates = g_new0(PstMailTemplates, 1);
    templates->by_name =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)pst_template_free);
    for (const PstEmbedded *f = pst_mail_template_files; f->name != NULL; f++)
        if (!load(templates, f->name, f->name, f->text, f->len, error))
            return NULL;
    if (folder != NULL && *folder != '\0' && !load_folder(templates, folder, error))
        return NULL;
    return g_steal_pointer(&templates);
}

/* "de_AT" and "de-AT" are served by "de". */
static const PstTemplate *find(const PstMailTemplates *templates, const char *kind,
                               const char *locale, const char *ending)
{
    gsize len = strspn(locale, "abcdefghijklmnopqrstuvwxyz");
    g_autofree char *own = g_strdup_printf("%s.%.*s.%s", kind, (int)MIN(len, 8), locale, ending);
    g_autofree char *english = g_strdup_printf("%s.en.%s", kind, ending);
    const PstTemplate *tmpl = g_hash_table_lookup(templates->by_name, own);
    return tmpl != NULL ? tmpl : g_hash_table_lookup(templates->by_name, english);
}

gboolean pst_mail_templates_render(const PstMailTemplates *templates, const char *kind,
                                   const char *locale, const PstTemplateValues *values,
                                   PstMailText *out, GError **error)
{
    const PstTemplate *subject = find(templates, kind, locale, "subject");
    const PstTemplate *text = find(templates, kind, locale, "txt");
    const PstTemplate *html = find(templates, kind, locale, "html");
    if (subject == NULL || text == NULL || html == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_NOT_FOUND, "there is no template for mails \"%s\"",
                    kind);
        return FALSE;
    }
    g_autofree char *body = pst_template_render(text, values);
    out->subject = pst_template_render(subject, values);
    out->text = pst_mail_fold(body + strspn(body, "\n"));
    out->html = pst_template_render(html, values);
    return TRUE;
}

void pst_mail_text_clear(PstMailText *text)
{
    g_clear_pointer(&text->subject, g_free);
    g_clear_pointer(&text->text, g_free);
    g_clear_pointer(&text->html, g_free);
}
