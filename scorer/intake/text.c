/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

Text text_after(Text t, gsize from)
{
    return from >= t.len ? text(t.at + t.len, 0) : text(t.at + from, t.len - from);
}

Text text_head(Text t, gsize max)
{
    return text(t.at, MIN(t.len, max));
}

Text text_trim(Text t)
{
    while (t.len > 0 && text_is_space(t.at[0]))
        t = text_after(t, 1);
    while (t.len > 0 && text_is_space(t.at[t.len - 1]))
        t.len--;
    return t;
}

Text text_word(Text t)
{
    gsize len = 0;
    t = text_trim(t);
    while (len < t.len && !text_is_space(t.at[len]) && strchr(";,()", t.at[len]) == NULL)
        len++;
    return text_head(t, len);
}

gboolean text_next_line(Text *rest, Text *out_line)
{
    if (rest->len == 0)
        return FALSE;
    const char *lf = memchr(rest->at, '\n', rest->len);
    gsize len = lf != NULL ? (gsize)(lf - rest->at) : rest->len;
    *out_line = text(rest->at, len);
    if (len > 0 && rest->at[len - 1] == '\r')
        out_line->len--;
    *rest = text_after(*rest, len + 1);
    return TRUE;
}

gboolean text_next_token(Text *rest, char separator, Text *out_token)
{
    if (rest->len == 0)
        return FALSE;
    gssize end = text_find_char(*rest, separator);
    *out_token = text_head(*rest, end >= 0 ? (gsize)end : rest->len);
    *rest = text_after(*rest, out_token->len + 1);
    return TRUE;
}

gboolean text_equal(Text t, const char *word)
{
    return t.len == strlen(word) && text_starts(t, word);
}

gboolean text_starts(Text t, const char *word)
{
    gsize len = strlen(word);
    return t.len >= len && g_ascii_strncasecmp(t.at, word, len) == 0;
}

gboolean text_ends(Text t, const char *word)
{
    gsize len = strlen(word);
    return t.len >= len && g_ascii_strncasecmp(t.at + t.len - len, word, len) == 0;
}

gssize text_find(Text t, const char *word)
{
    gsize len = strlen(word);
    for (gsize i = 0; i + len <= t.len; i++)
        if (g_ascii_tolower(t.at[i]) == g_ascii_tolower(word[0]) &&
            g_ascii_strncasecmp(t.at + i, word, len) == 0)
            return (gssize)i;
    return -1;
}

gssize text_find_char(Text t, char c)
{
    const char *found = t.len > 0 ? memchr(t.at, c, t.len) : NULL;
    return found != NULL ? found - t.at : -1;
}

gboolean text_number(Text t, guint32 max, guint32 *out)
{
    guint64 value = 0;
    t = text_trim(t);
    if (t.len == 0 || t.len > 10)
        return FALSE;
    for (gsize i = 0; i < t.len; i++) {
        if (!g_ascii_isdigit(t.at[i]))
            return FALSE;
        value = value * 10 + (guint64)(t.at[i] - '0');
    }
    if (value > max)
        return FALSE;
    *out = (guint32)value;
    return TRUE;
}

/* Control characters, and those that show nothing but change how the rest is read (directions). */
static gboolean is_blank(gunichar c)
{
    return g_unichar_isspace(c) || g_unichar_iscntrl(c) || g_unichar_type(c) == G_UNICODE_FORMAT ||
           g_unichar_type(c) == G_UNICODE_UNASSIGNED;
}

char *text_clean(Text t, gsize max)
{
    if (t.len == 0)
        return NULL;
    /* Characters beyond the limit need not be looked at; 6 bytes of slack keep the cut clean. */
    g_autofree char *valid = g_utf8_make_valid(t.at, (gssize)MIN(t.len, max * 4 + 6));
    g_autoptr(GString) out = g_string_new(NULL);
    gboolean gap = FALSE;
    for (char *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (is_blank(c)) {
            gap = out->len > 0;
            continue;
        }
        if (out->len + (gap ? 1 : 0) + (gsize)g_unichar_to_utf8(c, NULL) > max)
            break;
        if (gap)
            g_string_append_c(out, ' ');
        g_string_append_unichar(out, c);
        gap = FALSE;
    }
    return out->len > 0 ? g_string_free(g_steal_pointer(&out), FALSE) : NULL;
}

char *text_clean_lower(Text t, gsize max)
{
    char *clean = text_clean(t, max);
    for (char *p = clean; p != NULL && *p != '\0'; p++)
        *p = g_ascii_tolower(*p);
    return clean;
}
