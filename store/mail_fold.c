/* SPDX-License-Identifier: Apache-2.0 */
#include "mail_fold.h"

#include <string.h>

/* One paragraph while it is read: as it stands, and as one line. */
typedef struct {
    GString *raw, *joined;
    gsize hang;        /* where its lines after the first begin */
    gboolean too_long; /* one of its lines is */
} Paragraph;

static gsize indent_of(const char *line)
{
    return strspn(line, " ");
}

/* The length of "* " or "12. " at @text; 0: no item begins here. */
static gsize item_mark(const char *text)
{
    if (g_str_has_prefix(text, "* "))
        return 2;
    gsize digits = strspn(text, "0123456789");
    return digits > 0 && g_str_has_prefix(text + digits, ". ") ? digits + 2 : 0;
}

/* Where the value of "  Label:   value" begins; 0: it is no such line. */
static gsize label_width(const char *line)
{
    if (indent_of(line) != 2)
        return 0;
    const char *colon = strchr(line, ':');
    if (colon == NULL || colon[1] != ' ' || colon - line > PST_MAIL_FOLD_AT / 2)
        return 0;
    gsize width = (gsize)(colon - line) + 1;
    width += strspn(line + width, " ");
    return strstr(line + width, "  ") == NULL ? width : 0;
}

static gboolean is_table(const char *line)
{
    return strstr(line + indent_of(line), "  ") != NULL;
}

static gboolean is_underline(const char *line)
{
    return line != NULL && line[0] == '-' && line[strspn(line, "-")] == '\0';
}

/* Behind the first @n characters; NULL if the line has no more than that. */
static const char *behind(const char *line, gsize n)
{
    while (n > 0 && *line != '\0') {
        line = g_utf8_next_char(line);
        n--;
    }
    return *line != '\0' ? line : NULL;
}

/* Appends @line in lines that fit where they can; all but the first begin with @hang blanks. */
static void fill(GString *out, const char *line, gsize hang)
{
    hang = MIN(hang, PST_MAIL_FOLD_AT / 2);
    gsize room = PST_MAIL_FOLD_AT, keep = hang;
    const char *limit;
    while ((limit = behind(line, room)) != NULL) {
        const char *blank = g_strrstr_len(line, limit + 1 - line, " ");
        if (blank == NULL || blank < line + keep)
            blank = strchr(line + MIN(keep, strlen(line)), ' ');
        if (blank == NULL)
            break;
        g_string_append_len(out, line, blank - line);
        g_string_append_printf(out, "\n%*s", (int)hang, "");
        line = blank + 1;
        room = PST_MAIL_FOLD_AT - hang;
        keep = 0;
    }
    g_string_append(out, line);
    g_string_append_c(out, '\n');
}

static void flush(GString *out, Paragraph *p)
{
    if (p->too_long)
        fill(out, p->joined->str, p->hang);
    else
        g_string_append(out, p->raw->str);
    g_string_truncate(p->raw, 0);
    g_string_truncate(p->joined, 0);
    p->too_long = FALSE;
}

static void add_line(GString *out, Paragraph *p, const char *line)
{
    gsize indent = indent_of(line), mark = item_mark(line + indent);
    gboolean goes_on = p->raw->len > 0 && mark == 0 && indent == p->hang;
    if (!goes_on) {
        flush(out, p);
        p->hang = indent + mark;
    }
    g_string_append_printf(p->raw, "%s\n", line);
    g_string_append_printf(p->joined, "%s%s", goes_on ? " " : "", goes_on ? line + indent : line);
    p->too_long |= behind(line, PST_MAIL_FOLD_AT) != NULL;
}

static void take_line(GString *out, Paragraph *p, const char *line, const char *next)
{
    gsize label = label_width(line);
    if (label == 0 && *line != '\0' && !is_table(line) && !is_underline(line) &&
        !is_underline(next)) {
        add_line(out, p, line);
        return;
    }
    flush(out, p);
    if (label > 0)
        fill(out, line, label);
    else
        g_string_append_printf(out, "%s\n", line);
}

char *pst_mail_fold(const char *text)
{
    GString *out = g_string_new(NULL);
    Paragraph p = {.raw = g_string_new(NULL), .joined = g_string_new(NULL)};
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++)
        if (lines[i][0] != '\0' || i == 0 || lines[i - 1][0] != '\0')
            take_line(out, &p, lines[i], lines[i + 1]);
    flush(out, &p);
    g_string_truncate(out, out->len - 1); /* the text's own end has no line end more */
    g_string_free(p.raw, TRUE);
    g_string_free(p.joined, TRUE);
    return g_string_free(out, FALSE);
}
