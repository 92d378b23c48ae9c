/* SPDX-License-Identifier: Apache-2.0 */
#include "conf.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { FILE_MAX_BYTES = 1 << 20 };

/* Keys of [postern] that some program of ours has: a program that has not may pass them over. */
static const char *const shared_keys[] = {"bus",     "clock",    "database",   "group", "log_level",
                                          "metrics", "networks", "partitions", NULL};

/* A value read and checked, not yet in the target. */
typedef struct {
    const PstConfRow *row;
    gpointer target;
    union {
        gboolean b;
        gint64 i;
        double r;
        char *text;
        char **list;
    } v;
} Value;

static void value_clear(gpointer data)
{
    Value *value = data;
    if (value->row->type == PST_CONF_TEXT)
        g_free(value->v.text);
    else if (value->row->type == PST_CONF_LIST)
        g_strfreev(value->v.list);
}

static gboolean read_bool(const char *text, gboolean *out)
{
    static const char *const yes[] = {"yes", "true", "on", "1", NULL};
    static const char *const no[] = {"no", "false", "off", "0", NULL};
    for (gsize i = 0; yes[i] != NULL; i++) {
        if (g_ascii_strcasecmp(text, yes[i]) == 0 || g_ascii_strcasecmp(text, no[i]) == 0) {
            *out = g_ascii_strcasecmp(text, yes[i]) == 0;
            return TRUE;
        }
    }
    return FALSE;
}

/* A whole number with at most one letter of @suffixes, whose factors stand in @factors. */
static gboolean read_scaled(const char *text, const char *suffixes, const gint64 *factors,
                            gint64 *out)
{
    char *end;
    errno = 0;
    gint64 number = g_ascii_strtoll(text, &end, 10);
    if (end == text || errno != 0)
        return FALSE;
    gint64 factor = 1;
    if (*end != '\0') {
        const char *suffix = strchr(suffixes, *end);
        if (suffix == NULL || end[1] != '\0')
            return FALSE;
        factor = factors[suffix - suffixes];
    }
    return !__builtin_mul_overflow(number, factor, out);
}

static const gint64 byte_factors[] = {1 << 10, 1 << 20, 1 << 30, 1 << 10, 1 << 20, 1 << 30};
static const gint64 span_factors[] = {1, 60, 3600, 86400};

static gboolean read_choice(const PstConfRow *row, const char *text, gint64 *out)
{
    g_auto(GStrv) choices = g_strsplit(row->choices, "|", -1);
    for (gint64 i = 0; choices[i] != NULL; i++) {
        if (g_ascii_strcasecmp(choices[i], text) == 0) {
            *out = i;
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean read_real(const char *text, double *out)
{
    char *end;
    errno = 0;
    *out = g_ascii_strtod(text, &end);
    return end != text && *end == '\0' && errno == 0 && isfinite(*out);
}

static char **read_list(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    GPtrArray *items = g_ptr_array_new();
    for (gsize i = 0; parts[i] != NULL; i++) {
        g_strstrip(parts[i]);
        if (*parts[i] != '\0')
            g_ptr_array_add(items, g_strdup(parts[i]));
    }
    g_ptr_array_add(items, NULL);
    return (char **)g_ptr_array_free(items, FALSE);
}

static gboolean in_range(const PstConfRow *row, double number)
{
    return (row->min == 0 && row->max == 0) || (number >= row->min && number <= row->max);
}

/* FALSE: @text is not what the row allows. */
static gboolean read_value(const PstConfRow *row, const char *text, Value *out)
{
    switch (row->type) {
    case PST_CONF_BOOL:
        return read_bool(text, &out->v.b);
    case PST_CONF_INT:
        return read_scaled(text, "", NULL, &out->v.i) && in_range(row, (double)out->v.i);
    case PST_CONF_REAL:
        return read_real(text, &out->v.r) && in_range(row, out->v.r);
    case PST_CONF_BYTES:
        return read_scaled(text, "KMGkmg", byte_factors, &out->v.i) &&
               in_range(row, (double)out->v.i);
    case PST_CONF_SPAN_S:
        return read_scaled(text, "smhd", span_factors, &out->v.i) &&
               in_range(row, (double)out->v.i);
    case PST_CONF_TEXT:
        out->v.text = *text != '\0' ? g_strdup(text) : NULL;
        return TRUE;
    case PST_CONF_LIST:
        out->v.list = read_list(text);
        return TRUE;
    case PST_CONF_ENUM:
        return read_choice(row, text, &out->v.i);
    }
    g_assert_not_reached();
}

static char *number_text(const PstConfRow *row, double number)
{
    return row->type == PST_CONF_REAL ? g_strdup_printf("%g", number)
                                      : g_strdup_printf("%.0f", number);
}

/* What a row allows, in words. Given. */
static char *allowed(const PstConfRow *row)
{
    static const char *const kinds[] = {
        [PST_CONF_BOOL] = "yes or no",
        [PST_CONF_INT] = "a whole number",
        [PST_CONF_REAL] = "a number",
        [PST_CONF_BYTES] = "a number of bytes, with K, M or G if you like",
        [PST_CONF_SPAN_S] = "a number of seconds, or with m, h, d",
        [PST_CONF_TEXT] = "text",
        [PST_CONF_LIST] = "a list separated by commas",
        [PST_CONF_ENUM] = "one of ",
    };
    GString *out = g_string_new(kinds[row->type]);
    if (row->type == PST_CONF_ENUM)
        g_string_append(out, row->choices);
    if (row->min != 0 || row->max != 0) {
        g_autofree char *min = number_text(row, row->min);
        g_autofree char *max = number_text(row, row->max);
        g_string_append_printf(out, ", %s to %s", min, max);
    }
    return g_string_free(out, FALSE);
}

static void apply_take(Value *value)
{
    char *field = (char *)value->target + value->row->offset;
    switch (value->row->type) {
    case PST_CONF_BOOL:
        *(gboolean *)(void *)field = value->v.b;
        break;
    case PST_CONF_REAL:
        *(double *)(void *)field = value->v.r;
        break;
    case PST_CONF_INT:
    case PST_CONF_BYTES:
    case PST_CONF_SPAN_S:
    case PST_CONF_ENUM:
        *(gint64 *)(void *)field = value->v.i;
        break;
    case PST_CONF_TEXT:
        g_free(*(char **)(void *)field);
        *(char **)(void *)field = g_steal_pointer(&value->v.text);
        break;
    case PST_CONF_LIST:
        g_strfreev(*(char ***)(void *)field);
        *(char ***)(void *)field = g_steal_pointer(&value->v.list);
        break;
    }
}

void pst_conf_defaults(const PstConfRow *rows, gpointer target)
{
    for (const PstConfRow *row = rows; row->name != NULL; row++) {
        gboolean unset =
            *row->def == '\0' && row->type != PST_CONF_TEXT && row->type != PST_CONF_LIST;
        if (unset)
            continue; /* stays zero */
        Value value = {.row = row, .target = target};
        gboolean ok = read_value(row, row->def, &value);
        if (!ok)
            g_error("configuration table: the default of %s is not allowed", row->name);
        apply_take(&value);
    }
}

gboolean pst_conf_set(const PstConfRow *rows, const char *section, const char *name,
                      const char *text, gboolean append, gpointer target, GError **error)
{
    for (const PstConfRow *row = rows; row->name != NULL; row++) {
        if (strcmp(row->name, name) != 0 || strcmp(row->section, section) != 0)
            continue;
        Value value = {.row = row, .target = target};
        if (!read_value(row, text, &value)) {
            g_autofree char *what = allowed(row);
            g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "%s = \"%s\": allowed is %s", name, text,
                        what);
            return FALSE;
        }
        if (row->type == PST_CONF_LIST && append) {
            char **old = *(char ***)(void *)((char *)target + row->offset);
            g_autofree char *before = old != NULL ? g_strjoinv(",", old) : g_strdup("");
            g_autofree char *both = g_strjoin(",", before, text, NULL);
            g_strfreev(value.v.list);
            value.v.list = read_list(both);
        }
        apply_take(&value);
        return TRUE;
    }
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "no such key: %s in [%s]", name, section);
    return FALSE;
}

void pst_conf_clear(const PstConfRow *rows, gpointer target)
{
    for (const PstConfRow *row = rows; row->name != NULL; row++) {
        void *field = (char *)target + row->offset;
        if (row->type == PST_CONF_TEXT)
            g_clear_pointer((char **)field, g_free);
        else if (row->type == PST_CONF_LIST)
            g_clear_pointer((char ***)field, g_strfreev);
    }
}

/* One "name = value" line of the file. */
typedef struct {
    char *section;
    char *name;
    char *value;
    guint line;
} Entry;

static void entry_free(gpointer data)
{
    Entry *entry = data;
    g_free(entry->section);
    g_free(entry->name);
    g_free(entry->value);
    g_free(entry);
}

G_GNUC_PRINTF(4, 5)
static gboolean refuse(const char *file, guint line, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "%s:%u: %s", file, line, why);
    return FALSE;
}

/* "[name]" → the new section. */
static gboolean parse_section(const char *file, guint line, char *text, char **section,
                              GError **error)
{
    gsize n = strlen(text);
    if (n < 3 || text[n - 1] != ']')
        return refuse(file, line, error, "a section is written as [name], this is \"%s\"", text);
    text[n - 1] = '\0';
    g_free(*section);
    *section = g_strdup(g_strstrip(text + 1));
    return TRUE;
}

static gboolean parse_entry(const char *file, guint line, char *text, const char *section,
                            GPtrArray *entries, GError **error)
{
    char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return refuse(file, line, error,
                      "expected \"name = value\", \"[section]\" or a # comment, this is \"%s\"",
                      text);
    *equals = '\0';
    g_strstrip(text);
    if (section == NULL)
        return refuse(file, line, error, "%s stands before the first [section]", text);
    for (guint i = 0; i < entries->len; i++) {
        const Entry *other = g_ptr_array_index(entries, i);
        if (strcmp(other->section, section) == 0 && strcmp(other->name, text) == 0)
            return refuse(file, line, error, "%s was set already in line %u", text, other->line);
    }
    Entry *entry = g_new0(Entry, 1);
    *entry = (Entry){g_strdup(section), g_strdup(text), g_strdup(g_strstrip(equals + 1)), line};
    g_ptr_array_add(entries, entry);
    return TRUE;
}

static gboolean parse_file(const char *file, char *text, GPtrArray *entries, GError **error)
{
    g_autofree char *section = NULL;
    guint line = 0;
    for (char *at = text; at != NULL;) {
        char *next = strchr(at, '\n');
        if (next != NULL)
            *next++ = '\0';
        line++;
        char *trimmed = g_strstrip(at);
        gboolean ok = TRUE;
        if (*trimmed == '[')
            ok = parse_section(file, line, trimmed, &section, error);
        else if (*trimmed != '\0' && *trimmed != '#' && *trimmed != ';')
            ok = parse_entry(file, line, trimmed, section, entries, error);
        if (!ok)
            return FALSE;
        at = next;
    }
    return TRUE;
}

static char *read_whole(const char *file, GError **error)
{
    g_autofree char *text = NULL;
    gsize len = 0;
    g_autoptr(GError) why = NULL;
    if (!g_file_get_contents(file, &text, &len, &why))
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "configuration: %s", why->message);
    else if (len > FILE_MAX_BYTES)
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "configuration file %s is longer than 1 MiB: this cannot be right", file);
    else if (!g_utf8_validate(text, (gssize)len, NULL))
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "configuration file %s is no UTF-8 text: save it as UTF-8", file);
    else
        return g_steal_pointer(&text);
    return NULL;
}

/* The row that @entry sets. [postern] may hold keys of our own section too, as defaults. */
static gboolean find_row(const PstConfTable *tables, gsize n, const Entry *entry, Value *out)
{
    gboolean shared = strcmp(entry->section, "postern") == 0;
    for (gsize t = 0; t < n; t++) {
        for (const PstConfRow *row = tables[t].rows; row->name != NULL; row++) {
            if (strcmp(row->name, entry->name) != 0)
                continue;
            if (shared || strcmp(row->section, entry->section) == 0) {
                *out = (Value){.row = row, .target = tables[t].target};
                return TRUE;
            }
        }
    }
    return FALSE;
}

static gboolean is_ours(const PstConfTable *tables, gsize n, const char *section)
{
    if (strcmp(section, "postern") == 0)
        return TRUE;
    for (gsize t = 0; t < n; t++)
        for (const PstConfRow *row = tables[t].rows; row->name != NULL; row++)
            if (strcmp(row->section, section) == 0)
                return TRUE;
    return FALSE;
}

static gboolean check_entry(const PstConfTable *tables, gsize n, const char *file,
                            const Entry *entry, GArray *values, GError **error)
{
    if (!is_ours(tables, n, entry->section))
        return TRUE;
    Value value;
    if (!find_row(tables, n, entry, &value)) {
        if (strcmp(entry->section, "postern") == 0 && g_strv_contains(shared_keys, entry->name))
            return TRUE;
        return refuse(file, entry->line, error,
                      "unknown key \"%s\" in [%s]: --show-config lists the keys", entry->name,
                      entry->section);
    }
    if (!read_value(value.row, entry->value, &value)) {
        g_autofree char *what = allowed(value.row);
        return refuse(file, entry->line, error, "%s = \"%s\": allowed is %s", entry->name,
                      entry->value, what);
    }
    g_array_append_val(values, value);
    return TRUE;
}

gboolean pst_conf_load_tables(const PstConfTable *tables, gsize n, const char *file, GError **error)
{
    g_autofree char *text = read_whole(file, error);
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(entry_free);
    if (text == NULL || !parse_file(file, text, entries, error))
        return FALSE;

    g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(Value));
    g_array_set_clear_func(values, value_clear);
    for (int own = 0; own <= 1; own++) { /* [postern] first: what comes later wins */
        for (guint i = 0; i < entries->len; i++) {
            const Entry *entry = g_ptr_array_index(entries, i);
            if ((strcmp(entry->section, "postern") != 0) == own &&
                !check_entry(tables, n, file, entry, values, error))
                return FALSE;
        }
    }
    for (guint i = 0; i < values->len; i++)
        apply_take(&g_array_index(values, Value, i));
    return TRUE;
}

gboolean pst_conf_load(const PstConfRow *rows, const char *file, gpointer target, GError **error)
{
    const PstConfTable table = {rows, target};
    return pst_conf_load_tables(&table, 1, file, error);
}

/* "password=geheim" inside a connection string becomes "password=***". */
static char *hide_password(const char *text)
{
    g_autoptr(GRegex) regex =
        g_regex_new("(password\\s*=\\s*)('(\\\\.|[^'])*'|\\S+)|(://[^:/@\\s]*:)[^@\\s]+(?=@)",
                    G_REGEX_CASELESS, 0, NULL);
    g_autofree char *once = g_regex_replace(regex, text, -1, 0, "\\1\\4***", 0, NULL);
    return g_steal_pointer(&once);
}

static gboolean is_secret(const char *name)
{
    return g_str_has_suffix(name, "password") || g_str_has_suffix(name, "secret");
}

/* As it would stand in the file; secrets are shown as stars if @hidden. */
static char *value_text(const PstConfRow *row, gconstpointer target, gboolean hidden)
{
    const void *field = (const char *)target + row->offset;
    switch (row->type) {
    case PST_CONF_BOOL:
        return g_strdup(*(const gboolean *)field ? "yes" : "no");
    case PST_CONF_INT:
    case PST_CONF_BYTES:
    case PST_CONF_SPAN_S:
        return g_strdup_printf("%" G_GINT64_FORMAT, *(const gint64 *)field);
    case PST_CONF_REAL:
        return g_strdup_printf("%g", *(const double *)field);
    case PST_CONF_LIST:
        return *(char **const *)field != NULL ? g_strjoinv(",", *(char **const *)field)
                                              : g_strdup("");
    case PST_CONF_TEXT: {
        const char *text = *(char *const *)field;
        if (text == NULL)
            return g_strdup("");
        if (!hidden)
            return g_strdup(text);
        return is_secret(row->name) ? g_strdup("***") : hide_password(text);
    }
    case PST_CONF_ENUM: {
        g_auto(GStrv) choices = g_strsplit(row->choices, "|", -1);
        gint64 i = *(const gint64 *)field;
        g_assert(i >= 0 && (guint)i < g_strv_length(choices));
        return g_strdup(choices[i]);
    }
    }
    g_assert_not_reached();
}

void pst_conf_show(const PstConfRow *rows, gconstpointer target, FILE *out)
{
    const char *section = "";
    for (const PstConfRow *row = rows; row->name != NULL; row++) {
        if (strcmp(row->section, section) != 0)
            fprintf(out, "%s[%s]\n", *section != '\0' ? "\n" : "", row->section);
        section = row->section;
        g_autofree char *what = allowed(row);
        g_autofree char *value = value_text(row, target, TRUE);
        fprintf(out, "\n# %s\n# %s%s%s; default %s; %s\n%s = %s\n", row->help, what,
                *row->unit != '\0' ? "; unit: " : "", row->unit,
                *row->def != '\0' ? row->def : "not set",
                row->reloadable ? "a reload changes it" : "a change needs a restart", row->name,
                value);
    }
}

char *pst_conf_changed(const PstConfRow *rows, gconstpointer a, gconstpointer b,
                       gboolean reloadable)
{
    g_autoptr(GString) names = g_string_new(NULL);
    for (const PstConfRow *row = rows; row->name != NULL; row++) {
        g_autofree char *before = value_text(row, a, FALSE);
        g_autofree char *after = value_text(row, b, FALSE);
        if (row->reloadable == reloadable && strcmp(before, after) != 0)
            g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", row->name);
    }
    return names->len > 0 ? g_strdup(names->str) : NULL;
}
