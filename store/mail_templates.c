/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "embedded.h"
#include "mail_fold.h"
#include "mail_words.h"

#define SUBJECT "Subject: "

/* The text of one file, ours or the operator's. */
typedef struct {
    PstTemplateSource source;
    char *file, *text; /* what source borrows, where it is the operator's */
} File;

struct PstMailTemplates {
    GHashTable *files;   /* "warning.en.txt", "_case.en.txt" → File */
    GHashTable *by_name; /* "warning.en.txt" → PstTemplate; subjects as "warning.en.subject" */
};

static void file_free(gpointer data)
{
    File *file = data;
    g_free(file->file);
    g_free(file->text);
    g_free(file);
}

void pst_mail_templates_free(PstMailTemplates *templates)
{
    if (templates == NULL)
        return;
    g_hash_table_unref(templates->files);
    g_hash_table_unref(templates->by_name);
    g_free(templates);
}

/* ---- parsing, with the parts of the same language and channel ---- */

typedef struct {
    GHashTable *files;
    const char *ending; /* "en.txt" */
} Parts;

static const PstTemplateSource *find_part(const char *name, gpointer user)
{
    const Parts *parts = user;
    g_autofree char *key = g_strdup_printf("_%s.%s", name, parts->ending);
    const File *file = g_hash_table_lookup(parts->files, key);
    return file != NULL ? &file->source : NULL;
}

static gboolean add(PstMailTemplates *templates, const char *name, const PstTemplateSource *source,
                    PstTemplateChannel channel, const char *ending, GError **error)
{
    Parts parts = {templates->files, ending};
    PstTemplate *tmpl =
        pst_template_parse(source, channel, pst_mail_vocabulary(), find_part, &parts, error);
    if (tmpl == NULL)
        return FALSE;
    g_hash_table_replace(templates->by_name, g_strdup(name), tmpl);
    return TRUE;
}

/* A text template's first line is the subject. The body keeps that line as an empty one, so that
 * errors count lines as the file does; the renderer cuts it off. */
static gboolean add_text(PstMailTemplates *templates, const char *name,
                         const PstTemplateSource *source, const char *ending, GError **error)
{
    const char *text = source->text, *end = memchr(text, '\n', source->len);
    if (!g_str_has_prefix(text, SUBJECT) || end == NULL || end + 1 >= text + source->len ||
        end[1] != '\n') {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "%s:1: a text template begins with \"Subject: …\" and an empty line",
                    source->file);
        return FALSE;
    }
    const char *begin = text + strlen(SUBJECT);
    PstTemplateSource subject = {source->file, begin, (gsize)(end - begin)};
    PstTemplateSource body = {source->file, end, source->len - (gsize)(end - text)};
    g_autofree char *stem = g_strndup(name, strlen(name) - strlen(".txt"));
    g_autofree char *subject_name = g_strconcat(stem, ".subject", NULL);
    return add(templates, subject_name, &subject, PST_TEMPLATE_TEXT, ending, error) &&
           add(templates, name, &body, PST_TEMPLATE_TEXT, ending, error);
}

static gboolean parse_all(PstMailTemplates *templates, GError **error)
{
    GHashTableIter each;
    gpointer name, file;
    g_hash_table_iter_init(&each, templates->files);
    while (g_hash_table_iter_next(&each, &name, &file)) {
        const PstTemplateSource *source = &((const File *)file)->source;
        if (*(const char *)name == '_')
            continue;
        const char *ending = strchr(name, '.') + 1;
        if (!(g_str_has_suffix(name, ".txt")
                  ? add_text(templates, name, source, ending, error)
                  : add(templates, name, source, PST_TEMPLATE_HTML, ending, error)))
            return FALSE;
    }
    return TRUE;
}

/* ---- reading ---- */

static void add_ours(PstMailTemplates *templates, const PstEmbedded *ours)
{
    File *file = g_new0(File, 1);
    file->source = (PstTemplateSource){ours->name, ours->text, ours->len};
    g_hash_table_insert(templates->files, g_strdup(ours->name), file);
}

static gboolean load_file(PstMailTemplates *templates, const char *folder, const char *name,
                          GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *text = NULL;
    gsize len = 0;
    g_autoptr(GError) why = NULL;
    if (!g_hash_table_contains(templates->files, name)) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "%s: no mail has a template or part of this name; names are like "
                    "warning.en.txt (warning, reminder, blocked, resolved, released, "
                    "freeze-notice, frozen, digest; parts: _top, _case, _seen, _cleanup, "
                    "_prevent, _decision, _end; en, de; txt, html)",
                    path);
        return FALSE;
    }
    if (!g_file_get_contents(path, &text, &len, &why)) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "template: %s", why->message);
        return FALSE;
    }
    File *file = g_new0(File, 1);
    file->file = g_steal_pointer(&path);
    file->text = g_steal_pointer(&text);
    file->source = (PstTemplateSource){file->file, file->text, len};
    g_hash_table_replace(templates->files, g_strdup(name), file);
    return TRUE;
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
    templates->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, file_free);
    templates->by_name =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)pst_template_free);
    for (const PstEmbedded *ours = pst_mail_template_files; ours->name != NULL; ours++)
        add_ours(templates, ours);
    if (folder != NULL && *folder != '\0' && !load_folder(templates, folder, error))
        return NULL;
    return parse_all(templates, error) ? g_steal_pointer(&templates) : NULL;
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
