/* SPDX-License-Identifier: Apache-2.0 */
#include "csv.h"

#include <string.h>

struct PstCsv {
    const char *name;
    const char *at, *end;
    const PstCsvColumn *columns;
    guint line;                     /* of at */
    guint begun_line;               /* of the record */
    guint n_columns;                /* in the file */
    int place[PST_CSV_COLUMNS_MAX]; /* row of columns → field of the file, −1: not there */
    GPtrArray *fields;              /* char *, of the record */
};

void pst_csv_free(PstCsv *csv)
{
    if (csv == NULL)
        return;
    g_ptr_array_unref(csv->fields);
    g_free(csv);
}

static PstCsvItem fail(const PstCsv *csv, guint line, GError **error, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static PstCsvItem fail(const PstCsv *csv, guint line, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, PST_ERROR, PST_ERROR_DATA, "%s:%u: %s", csv->name, line, what);
    return PST_CSV_ERROR;
}

static void take_newline(PstCsv *csv)
{
    if (csv->at < csv->end && *csv->at == '\r')
        csv->at++;
    if (csv->at < csv->end && *csv->at == '\n')
        csv->at++;
    csv->line++;
}

/* CR counts only before LF: a lone CR is a control character like any other. */
static gboolean at_newline(const PstCsv *csv)
{
    return *csv->at == '\n' || (*csv->at == '\r' && csv->end - csv->at > 1 && csv->at[1] == '\n');
}

static void skip_empty_lines(PstCsv *csv)
{
    while (csv->at < csv->end) {
        if (at_newline(csv)) {
            take_newline(csv);
            continue;
        }
        if (*csv->at != '#')
            return;
        const char *end = memchr(csv->at, '\n', (gsize)(csv->end - csv->at));
        csv->at = end != NULL ? end : csv->end;
    }
}

/* After the opening quote; stops behind the closing one. */
static PstCsvItem read_quoted(PstCsv *csv, GString *field, GError **error)
{
    guint opened = csv->line;
    while (csv->at < csv->end) {
        char c = *csv->at++;
        csv->line += c == '\n';
        if (c != '"') {
            g_string_append_c(field, c);
        } else if (csv->at < csv->end && *csv->at == '"') {
            g_string_append_c(field, *csv->at++);
        } else {
            if (csv->at == csv->end || *csv->at == ',' || at_newline(csv))
                return PST_CSV_RECORD;
            return fail(csv, csv->line, error,
                        "text after a closing quote: write a quote inside quotes twice");
        }
        if (field->len > PST_CSV_FIELD_MAX)
            break;
    }
    if (csv->at < csv->end)
        return fail(csv, opened, error, "a field longer than 64 KiB");
    return fail(csv, opened, error, "a quote opens here and never closes");
}

static PstCsvItem read_plain(PstCsv *csv, GString *field, GError **error)
{
    const char *start = csv->at;
    while (csv->at < csv->end && *csv->at != ',' && !at_newline(csv)) {
        if (*csv->at == '"')
            return fail(csv, csv->line, error,
                        "a quote in the middle of a field: put the whole field in quotes");
        csv->at++;
    }
    if (csv->at - start > PST_CSV_FIELD_MAX)
        return fail(csv, csv->line, error, "a field longer than 64 KiB");
    g_string_append_len(field, start, csv->at - start);
    return PST_CSV_RECORD;
}

/* Line ends and tabs inside quotes are allowed, other control characters are nobody's intention. */
static PstCsvItem check_text(const PstCsv *csv, const GString *field, GError **error)
{
    if (!g_utf8_validate_len(field->str, field->len, NULL))
        return fail(csv, csv->begun_line, error, "not UTF-8 text: save the file as UTF-8");
    for (const char *c = field->str; *c != '\0'; c = g_utf8_next_char(c))
        if (g_unichar_iscntrl(g_utf8_get_char(c)) && *c != '\n' && *c != '\t' &&
            !(c[0] == '\r' && c[1] == '\n'))
            return fail(csv, csv->begun_line, error, "a control character (U+%04X)",
                        g_utf8_get_char(c));
    return PST_CSV_RECORD;
}

static PstCsvItem read_field(PstCsv *csv, GError **error)
{
    g_autoptr(GString) field = g_string_new(NULL);
    while (csv->at < csv->end && *csv->at == ' ')
        csv->at++;
    PstCsvItem item;
    if (csv->at < csv->end && *csv->at == '"') {
        csv->at++;
        item = read_quoted(csv, field, error);
    } else {
        item = read_plain(csv, field, error);
    }
    if (item != PST_CSV_RECORD || check_text(csv, field, error) != PST_CSV_RECORD)
        return PST_CSV_ERROR;
    g_ptr_array_add(csv->fields, g_strstrip(g_strdup(field->str)));
    return PST_CSV_RECORD;
}

static PstCsvItem read_record(PstCsv *csv, GError **error)
{
    skip_empty_lines(csv);
    g_ptr_array_set_size(csv->fields, 0);
    csv->begun_line = csv->line;
    if (csv->at >= csv->end)
        return PST_CSV_END;
    for (;;) {
        if (csv->fields->len == PST_CSV_COLUMNS_MAX)
            return fail(csv, csv->begun_line, error, "more than %d columns", PST_CSV_COLUMNS_MAX);
        if (read_field(csv, error) != PST_CSV_RECORD)
            return PST_CSV_ERROR;
        if (csv->at >= csv->end)
            return PST_CSV_RECORD;
        if (*csv->at != ',') {
            take_newline(csv);
            return PST_CSV_RECORD;
        }
        csv->at++;
    }
}

/* ---- the header ---- */

static int find_column(const PstCsv *csv, const char *name)
{
    for (int i = 0; csv->columns[i].name != NULL; i++)
        if (g_ascii_strcasecmp(csv->columns[i].name, name) == 0)
            return i;
    return -1;
}

static char *column_names(const PstCsv *csv)
{
    GString *names = g_string_new(NULL);
    for (int i = 0; csv->columns[i].name != NULL; i++)
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", csv->columns[i].name);
    return g_string_free(names, FALSE);
}

static PstCsvItem read_header(PstCsv *csv, GError **error)
{
    g_autofree char *known = column_names(csv);
    PstCsvItem item = read_record(csv, error);
    if (item == PST_CSV_END)
        return fail(csv, 1, error, "the file is empty: its first line names the columns (%s)",
                    known);
    if (item == PST_CSV_ERROR)
        return item;
    csv->n_columns = csv->fields->len;
    for (guint i = 0; i < csv->n_columns; i++) {
        const char *name = g_ptr_array_index(csv->fields, i);
        int row = find_column(csv, name);
        if (row < 0 && csv->n_columns == 1 && strpbrk(name, ";\t|") != NULL)
            return fail(csv, csv->begun_line, error,
                        "its fields are not separated by commas: save it as CSV with commas");
        if (row < 0)
            return fail(csv, csv->begun_line, error, "unknown column \"%s\"; the columns are %s",
                        name, known);
        if (csv->place[row] >= 0)
            return fail(csv, csv->begun_line, error, "column \"%s\" stands twice", name);
        csv->place[row] = (int)i;
    }
    for (int i = 0; csv->columns[i].name != NULL; i++)
        if (csv->columns[i].required && csv->place[i] < 0)
            return fail(csv, csv->begun_line, error, "column \"%s\" is missing; the columns are %s",
                        csv->columns[i].name, known);
    return PST_CSV_RECORD;
}

PstCsv *pst_csv_open(const char *name, const char *data, gsize len, const PstCsvColumn *columns,
                     GError **error)
{
    g_autoptr(PstCsv) csv = g_new0(PstCsv, 1);
    csv->name = name;
    csv->at = data;
    csv->end = data + len;
    csv->columns = columns;
    csv->line = 1;
    csv->fields = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < PST_CSV_COLUMNS_MAX; i++)
        csv->place[i] = -1;
    if (len > PST_CSV_FILE_MAX) {
        fail(csv, 1, error, "the file is longer than 64 MiB");
        return NULL;
    }
    if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        csv->at += 3;
    return read_header(csv, error) == PST_CSV_RECORD ? g_steal_pointer(&csv) : NULL;
}

PstCsvItem pst_csv_next(PstCsv *csv, GError **error)
{
    PstCsvItem item = read_record(csv, error);
    if (item == PST_CSV_RECORD && csv->fields->len != csv->n_columns)
        return fail(csv, csv->begun_line, error, "%u fields, the header has %u", csv->fields->len,
                    csv->n_columns);
    return item;
}

const char *pst_csv_field(const PstCsv *csv, guint column)
{
    g_assert(column < PST_CSV_COLUMNS_MAX);
    int place = csv->place[column];
    return place >= 0 && (guint)place < csv->fields->len
               ? (const char *)g_ptr_array_index(csv->fields, (guint)place)
               : "";
}

guint pst_csv_line(const PstCsv *csv)
{
    return csv->begun_line;
}
