/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <math.h>
#include <string.h>

static void append_escape(GString *out, guint8 c)
{
    static const char shorts[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = c != 0 ? strchr(shorts, c) : NULL;
    if (found != NULL) {
        g_string_append_c(out, '\\');
        g_string_append_c(out, letters[found - shorts]);
    } else {
        g_string_append_printf(out, "\\u%04x", c);
    }
}

void pst_json_append_bytes(GString *out, const char *text, gsize len)
{
    g_string_append_c(out, '"');
    const char *end = text + len;
    for (const char *at = text; at < end;) {
        guint8 c = (guint8)*at;
        if (c < 0x80) {
            if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
                append_escape(out, c);
            else
                g_string_append_c(out, *at);
            at++;
            continue;
        }
        gunichar u = g_utf8_get_char_validated(at, end - at);
        gboolean valid = u != (gunichar)-1 && u != (gunichar)-2;
        gsize n = valid ? (gsize)(g_utf8_next_char(at) - at) : 1;
        g_string_append_len(out, valid ? at : "\xef\xbf\xbd", valid ? (gssize)n : 3);
        at += n;
    }
    g_string_append_c(out, '"');
}

void pst_json_append_string(GString *out, const char *text)
{
    if (text == NULL)
        g_string_append(out, "null");
    else
        pst_json_append_bytes(out, text, strlen(text));
}

void pst_json_append_name(GString *out, const char *name)
{
    if (out->len > 0 && out->str[out->len - 1] != '{')
        g_string_append_c(out, ',');
    g_string_append_c(out, '"');
    g_string_append(out, name);
    g_string_append_len(out, "\":", 2);
}

void pst_json_append_u64(GString *out, guint64 value)
{
    char digits[20];
    gsize at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    g_string_append_len(out, digits + at, (gssize)(sizeof digits - at));
}

void pst_json_append_i64(GString *out, gint64 value)
{
    if (value < 0)
        g_string_append_c(out, '-');
    pst_json_append_u64(out, value < 0 ? -(guint64)value : (guint64)value);
}

void pst_json_append_real(GString *out, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    if (!isfinite(value)) {
        g_string_append(out, "null");
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        char format[8];
        g_snprintf(format, sizeof format, "%%.%dg", digits);
        g_ascii_formatd(text, sizeof text, format, value);
        if (g_ascii_strtod(text, NULL) == value)
            break;
    }
    g_string_append(out, text);
}
