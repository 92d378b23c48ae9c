/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "report.h"

/* "2026-05-01 12:34:56.789+00" */
static gboolean is_time(const char *value)
{
    static const char form[] = "dddd-dd-dd dd:dd:dd";
    for (gsize i = 0; form[i] != '\0'; i++)
        if (form[i] == 'd' ? !g_ascii_isdigit(value[i]) : value[i] != form[i])
            return FALSE;
    return g_str_has_suffix(value, "+00");
}

char *report_plain(const char *value)
{
    if (value == NULL || *value == '\0')
        return g_strdup("–");
    if (strcmp(value, "t") == 0)
        return g_strdup("yes");
    if (strcmp(value, "f") == 0)
        return g_strdup("no");
    if (is_time(value))
        return g_strndup(value, strlen("2026-05-01 12:34:56"));
    gsize len = strlen(value);
    if (value[0] == '{' && value[len - 1] == '}' && strchr(value, '"') == NULL)
        return len > 2 ? g_strndup(value + 1, len - 2) : g_strdup("–");
    return g_strdup(value);
}

/* ---- text ---- */

static void text_begin(FILE *out, const ReportPeriod *p)
{
    fprintf(out, "POSTERN REPORT: %s from %s to %s UTC\nmade %s UTC by the database's clock\n",
            p->kind, p->from_text, p->to_text, p->made_text);
}

static void put_cell(FILE *out, const char *text, int width, gboolean last)
{
    int pad = last ? 0 : width - (int)g_utf8_strlen(text, -1) + 2;
    fprintf(out, "%s%*s", text, MAX(pad, 0), "");
}

static char *heading(const PstPgRows *rows, int column)
{
    return g_strdelimit(g_strdup(pst_pg_column_name(rows, column)), "_", ' ');
}

static void text_table(FILE *out, const PstPgRows *rows)
{
    int columns = pst_pg_columns(rows), n = pst_pg_count(rows);
    g_autofree int *widths = g_new0(int, columns);
    g_autoptr(GPtrArray) cells = g_ptr_array_new_with_free_func(g_free);
    for (int c = 0; c < columns; c++)
        g_ptr_array_add(cells, heading(rows, c));
    for (int r = 0; r < n; r++)
        for (int c = 0; c < columns; c++)
            g_ptr_array_add(cells, report_plain(pst_pg_text(rows, r, c)));
    for (guint i = 0; i < cells->len; i++) {
        int len = (int)g_utf8_strlen(g_ptr_array_index(cells, i), -1);
        widths[i % (guint)columns] = MAX(widths[i % (guint)columns], len);
    }
    for (guint i = 0; i < cells->len; i++) {
        int c = (int)(i % (guint)columns);
        fputs(c == 0 ? "  " : "", out);
        put_cell(out, g_ptr_array_index(cells, i), widths[c], c == columns - 1);
        fputs(c == columns - 1 ? "\n" : "", out);
    }
}

static void text_section(FILE *out, const ReportSection *section, const PstPgRows *rows,
                         gboolean first)
{
    if (pst_pg_count(rows) == 0) {
        fprintf(out, "\n%s: %s\n", section->title, section->none);
        return;
    }
    fprintf(out, "\n%s\n", section->title);
    text_table(out, rows);
}

static void text_end(FILE *out)
{
}

const ReportWriter report_text = {"text", FALSE, text_begin, text_section, text_end};

/* ---- JSON ---- */

static void json_begin(FILE *out, const ReportPeriod *p)
{
    fprintf(out,
            "{\n\"period\": \"%s\",\n\"from\": \"%s\",\n\"to\": \"%s\",\n\"made_at\": \"%s\",\n"
            "\"sections\": {",
            p->kind, p->from_json, p->to_json, p->made_json);
}

static void json_section(FILE *out, const ReportSection *section, const PstPgRows *rows,
                         gboolean first)
{
    fprintf(out, "%s\n\"%s\": %s", first ? "" : ",", section->name, pst_pg_text(rows, 0, 0));
}

static void json_end(FILE *out)
{
    fputs("\n}\n}\n", out);
}

const ReportWriter report_json = {"json", TRUE, json_begin, json_section, json_end};

/* ---- CSV ---- */

void report_csv_cell(GString *out, const char *text)
{
    gboolean formula = *text != '\0' && strchr("=+-@\t\r", *text) != NULL;
    /* A negative number is one. */
    char *end = NULL;
    g_ascii_strtod(text, &end);
    if (formula && end != text && *end == '\0')
        formula = FALSE;
    gboolean quote = formula || strpbrk(text, ",\"\r\n") != NULL;
    g_string_append(out, quote ? "\"" : "");
    g_string_append(out, formula ? "'" : "");
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"')
            g_string_append_c(out, '"');
        g_string_append_c(out, *c);
    }
    g_string_append(out, quote ? "\"" : "");
}

/* One line per value: sections have different columns, and one file must hold them all. */
static void csv_begin(FILE *out, const ReportPeriod *p)
{
    fprintf(out, "section,row,name,value\nperiod,1,kind,%s\nperiod,1,from,%s\nperiod,1,to,%s\n",
            p->kind, p->from_json, p->to_json);
}

static void csv_section(FILE *out, const ReportSection *section, const PstPgRows *rows,
                        gboolean first)
{
    for (int r = 0; r < pst_pg_count(rows); r++)
        for (int c = 0; c < pst_pg_columns(rows); c++) {
            if (pst_pg_is_null(rows, r, c))
                continue;
            g_autoptr(GString) cell = g_string_new(NULL);
            g_autofree char *plain = report_plain(pst_pg_text(rows, r, c));
            report_csv_cell(cell, plain);
            fprintf(out, "%s,%d,%s,%s\n", section->name, r + 1, pst_pg_column_name(rows, c),
                    cell->str);
        }
}

static void csv_end(FILE *out)
{
}

const ReportWriter report_csv = {"csv", FALSE, csv_begin, csv_section, csv_end};
