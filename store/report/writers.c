/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "report.h"

#define TEXT_WIDTH  100 /* columns of a terminal */
#define TEXT_INDENT 6

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

/* As many columns as fit beside each other, at least one; the others go below their row. */
static int fitting(const int *widths, int columns)
{
    int used = 0;
    for (int c = 0; c < columns; c++) {
        used += 2 + widths[c];
        if (used > TEXT_WIDTH)
            return MAX(c, 1);
    }
    return columns;
}

/* Words of @text in lines of at most TEXT_WIDTH, indented. */
static void put_wrapped(FILE *out, const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    int used = 0;
    for (char **word = words; *word != NULL; word++) {
        int len = (int)g_utf8_strlen(*word, -1);
        if (used == 0 || used + 1 + len > TEXT_WIDTH) {
            fprintf(out, "%s%*s%s", used > 0 ? "\n" : "", TEXT_INDENT, "", *word);
            used = TEXT_INDENT + len;
        } else {
            fprintf(out, " %s", *word);
            used += 1 + len;
        }
    }
    fputc('\n', out);
}

/* The cells that did not fit: "hold until 2026-…, case id PST-…: the reason". */
static void put_rest(FILE *out, GPtrArray *cells, int row, int columns, int from)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (int c = from; c < columns; c++) {
        const char *name = g_ptr_array_index(cells, c);
        const char *value = g_ptr_array_index(cells, row * columns + c);
        if (strcmp(value, "–") == 0 || strcmp(value, "0") == 0)
            continue; /* nothing to say */
        gboolean speaks = strcmp(name, "reason") == 0 || strcmp(name, "detail") == 0;
        g_string_append_printf(text, "%s%s%s%s",
                               text->len == 0 ? ""
                               : speaks       ? ": "
                                              : ", ",
                               speaks ? "" : name, speaks ? "" : " ", value);
    }
    if (text->len > 0)
        put_wrapped(out, g_strdelimit(text->str, "\r\n\t", ' '));
}

/* The numbers behind a drawn line are the last column, for programs and not for eyes. */
static int text_columns(const PstPgRows *rows)
{
    int columns = pst_pg_columns(rows);
    const char *last = pst_pg_column_name(rows, columns - 1);
    return strcmp(last, "slices") == 0 || strcmp(last, "days") == 0 ? columns - 1 : columns;
}

/* The heading, then the rows, all columns of each after one another. Given. */
static GPtrArray *table_cells(const PstPgRows *rows)
{
    GPtrArray *cells = g_ptr_array_new_with_free_func(g_free);
    int columns = text_columns(rows);
    for (int c = 0; c < columns; c++)
        g_ptr_array_add(cells, heading(rows, c));
    for (int r = 0; r < pst_pg_count(rows); r++)
        for (int c = 0; c < columns; c++)
            g_ptr_array_add(cells, report_plain(pst_pg_text(rows, r, c)));
    return cells;
}

static void put_row(FILE *out, GPtrArray *cells, const int *widths, int first, int shown)
{
    fputs("  ", out);
    for (int c = 0; c < shown; c++)
        put_cell(out, g_ptr_array_index(cells, first + c), widths[c], c == shown - 1);
    fputc('\n', out);
}

static void text_table(FILE *out, const PstPgRows *rows)
{
    int columns = text_columns(rows);
    g_autoptr(GPtrArray) cells = table_cells(rows);
    g_autofree int *widths = g_new0(int, columns);
    for (guint i = 0; i < cells->len; i++) {
        int len = (int)g_utf8_strlen(g_ptr_array_index(cells, i), -1);
        widths[i % (guint)columns] = MAX(widths[i % (guint)columns], len);
    }
    int shown = fitting(widths, columns), used = 0;
    for (int c = 0; c < shown; c++)
        used += 2 + widths[c];
    for (int row = 0; row <= pst_pg_count(rows); row++) {
        /* The last column alone is too wide: where its value fits, it stays in its row. */
        const char *last = g_ptr_array_index(cells, row * columns + columns - 1);
        gboolean fits = shown == columns - 1 && row > 0 &&
                        used + 2 + (int)g_utf8_strlen(last, -1) <= TEXT_WIDTH;
        put_row(out, cells, widths, row * columns, fits ? columns : shown);
        if (row > 0 && !fits)
            put_rest(out, cells, row, columns, shown);
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
