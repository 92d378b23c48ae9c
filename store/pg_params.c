/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of statements in PostgreSQL's text form. */
#include "pg.h"

#include <math.h>
#include <string.h>

#include "clock.h"

#define REAL_TEXT_MAX 40
#define TIME_TEXT_MAX 48

void pst_pg_params_clear(PstPgParams *params)
{
    for (int i = 0; i < params->n; i++)
        g_free(params->values[i]);
    params->n = 0;
}

static void add_take(PstPgParams *params, char *value)
{
    g_assert(params->n < PST_PG_PARAMS_MAX);
    params->values[params->n++] = value;
}

/* PostgreSQL writes and reads infinities by name. */
static char *format_real(double value, char out[REAL_TEXT_MAX])
{
    if (isnan(value))
        g_strlcpy(out, "NaN", REAL_TEXT_MAX);
    else if (isinf(value))
        g_strlcpy(out, value > 0 ? "Infinity" : "-Infinity", REAL_TEXT_MAX);
    else
        g_ascii_dtostr(out, REAL_TEXT_MAX, value);
    return out;
}

/* Seconds and µs are put together from integers: a double would lose µs. */
static char *format_time(gint64 utc_ns, char out[TIME_TEXT_MAX])
{
    gint64 s = utc_ns / PST_NS_PER_S, ns = utc_ns % PST_NS_PER_S;
    if (ns < 0) {
        s -= 1;
        ns += PST_NS_PER_S;
    }
    g_autoptr(GDateTime) at = g_date_time_new_from_unix_utc(s);
    g_assert(at != NULL); /* every gint64 of ns lies within 1677 … 2262 */
    g_snprintf(out, TIME_TEXT_MAX, "%04d-%02d-%02d %02d:%02d:%02d.%06d+00",
               g_date_time_get_year(at), g_date_time_get_month(at),
               g_date_time_get_day_of_month(at), g_date_time_get_hour(at),
               g_date_time_get_minute(at), g_date_time_get_second(at), (int)(ns / 1000));
    return out;
}

void pst_pg_add_null(PstPgParams *params)
{
    add_take(params, NULL);
}

void pst_pg_add_text(PstPgParams *params, const char *text)
{
    add_take(params, g_strdup(text));
}

void pst_pg_add_int(PstPgParams *params, gint64 value)
{
    add_take(params, g_strdup_printf("%" G_GINT64_FORMAT, value));
}

void pst_pg_add_real(PstPgParams *params, double value)
{
    char text[REAL_TEXT_MAX];
    add_take(params, g_strdup(format_real(value, text)));
}

void pst_pg_add_bool(PstPgParams *params, gboolean value)
{
    add_take(params, g_strdup(value ? "t" : "f"));
}

void pst_pg_add_bytes(PstPgParams *params, const guint8 *data, gsize len)
{
    static const char hex[] = "0123456789abcdef";
    char *text = g_malloc(2 * len + 3);
    char *at = text;
    *at++ = '\\';
    *at++ = 'x';
    for (gsize i = 0; i < len; i++) {
        *at++ = hex[data[i] >> 4];
        *at++ = hex[data[i] & 15];
    }
    *at = '\0';
    add_take(params, text);
}

void pst_pg_add_time(PstPgParams *params, gint64 utc_ns)
{
    char text[TIME_TEXT_MAX];
    add_take(params, utc_ns != 0 ? g_strdup(format_time(utc_ns, text)) : NULL);
}

void pst_pg_add_addr(PstPgParams *params, const PstAddr *addr)
{
    char text[PST_ADDR_TEXT_MAX];
    add_take(params, pst_addr_present(addr) ? g_strdup(pst_addr_format(addr, text)) : NULL);
}

void pst_pg_add_prefix(PstPgParams *params, const PstPrefix *prefix)
{
    char text[PST_PREFIX_TEXT_MAX];
    add_take(params,
             pst_addr_present(&prefix->addr) ? g_strdup(pst_prefix_format(prefix, text)) : NULL);
}

/* ---- arrays (manual 8.15.6) ---- */

PstPgArray pst_pg_array(void)
{
    return (PstPgArray){.text = g_string_new("{")};
}

void pst_pg_array_clear(PstPgArray *array)
{
    if (array->text != NULL)
        g_string_free(array->text, TRUE);
    array->text = NULL;
}

/* @word needs no quoting: numbers, times, addresses, t, f, NULL. */
static void element(PstPgArray *array, const char *word)
{
    if (array->text->len > 1)
        g_string_append_c(array->text, ',');
    g_string_append(array->text, word);
}

void pst_pg_array_null(PstPgArray *array)
{
    element(array, "NULL");
}

void pst_pg_array_text(PstPgArray *array, const char *text)
{
    if (text == NULL) {
        pst_pg_array_null(array);
        return;
    }
    element(array, "\"");
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            g_string_append_c(array->text, '\\');
        g_string_append_c(array->text, *at);
    }
    g_string_append_c(array->text, '"');
}

void pst_pg_array_int(PstPgArray *array, gint64 value)
{
    char text[24];
    g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, value);
    element(array, text);
}

void pst_pg_array_real(PstPgArray *array, double value)
{
    char text[REAL_TEXT_MAX];
    element(array, format_real(value, text));
}

void pst_pg_array_bool(PstPgArray *array, gboolean value)
{
    element(array, value ? "t" : "f");
}

void pst_pg_array_time(PstPgArray *array, gint64 utc_ns)
{
    char text[TIME_TEXT_MAX];
    if (utc_ns == 0)
        pst_pg_array_null(array);
    else
        pst_pg_array_text(array, format_time(utc_ns, text));
}

void pst_pg_array_addr(PstPgArray *array, const PstAddr *addr)
{
    char text[PST_ADDR_TEXT_MAX];
    element(array, pst_addr_present(addr) ? pst_addr_format(addr, text) : "NULL");
}

void pst_pg_array_prefix(PstPgArray *array, const PstPrefix *prefix)
{
    char text[PST_PREFIX_TEXT_MAX];
    element(array, pst_addr_present(&prefix->addr) ? pst_prefix_format(prefix, text) : "NULL");
}

void pst_pg_add_array(PstPgParams *params, PstPgArray *array)
{
    g_string_append_c(array->text, '}');
    add_take(params, g_strdup(array->text->str));
    g_string_assign(array->text, "{");
}

void pst_pg_arrays(PstPgArray *columns, gsize n)
{
    for (gsize c = 0; c < n; c++)
        columns[c] = pst_pg_array();
}

void pst_pg_add_arrays_take(PstPgParams *params, PstPgArray *columns, gsize n)
{
    for (gsize c = 0; c < n; c++) {
        pst_pg_add_array(params, &columns[c]);
        pst_pg_array_clear(&columns[c]);
    }
}
