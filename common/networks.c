/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "prefix_map.h"

enum { TEXT_MAX_BYTES = 16 << 20, SHOWN_MAX = 60 };

/* Adds the network of @text (trimmed); @where "FILE:LINE" or "networks". */
static gboolean add_network(PstPrefixMap *map, const char *where, const char *text, GError **error)
{
    PstPrefix prefix;
    if (pst_prefix_parse(text, strlen(text), TRUE, &prefix)) {
        pst_prefix_map_add(map, &prefix, 1);
        return TRUE;
    }
    g_autofree char *shown = g_utf8_make_valid(text, (gssize)strnlen(text, SHOWN_MAX));
    if (pst_prefix_parse(text, strlen(text), FALSE, &prefix)) {
        char right[PST_PREFIX_TEXT_MAX];
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "%s: \"%s\" has bits set behind its length: write %s", where, shown,
                    pst_prefix_format(&prefix, right));
    } else {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "%s: \"%s\" is no network, such as 192.0.2.0/24 or 2001:db8::/32", where,
                    shown);
    }
    return FALSE;
}

static gboolean add_list(PstPrefixMap *map, const char *list, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(list, ",", -1);
    for (gsize i = 0; parts[i] != NULL; i++) {
        g_strstrip(parts[i]);
        if (*parts[i] != '\0' && !add_network(map, "networks", parts[i], error))
            return FALSE;
    }
    return TRUE;
}

static gboolean add_lines(PstPrefixMap *map, const char *file, char *text, GError **error)
{
    guint line = 0;
    for (char *at = text; at != NULL;) {
        char *next = strchr(at, '\n');
        if (next != NULL)
            *next++ = '\0';
        line++;
        at[strcspn(at, "#")] = '\0';
        g_strstrip(at);
        g_autofree char *where = g_strdup_printf("%s:%u", file, line);
        if (*at != '\0' && !add_network(map, where, at, error))
            return FALSE;
        at = next;
    }
    return TRUE;
}

static gboolean add_file(PstPrefixMap *map, const char *file, GError **error)
{
    g_autofree char *text = NULL;
    gsize len = 0;
    g_autoptr(GError) why = NULL;
    if (!g_file_get_contents(file, &text, &len, &why)) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "networks \"%s\": neither a list such as 192.0.2.0/24,2001:db8::/32 nor a file "
                    "that can be read: %s",
                    file, why->message);
        return FALSE;
    }
    if (len > TEXT_MAX_BYTES || strlen(text) != len) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "networks file %s: no text of one network a line (longer than 16 MiB, or "
                    "with NUL bytes)",
                    file);
        return FALSE;
    }
    return add_lines(map, file, text, error);
}

/* A list if its first part is a network or an address, else a file's name. */
static gboolean is_list(const char *text)
{
    PstPrefix prefix;
    gsize len = strcspn(text, ",");
    g_autofree char *first = g_strstrip(g_strndup(text, len));
    return pst_prefix_parse(first, strlen(first), FALSE, &prefix);
}

PstPrefixMap *pst_networks_load(const char *file_or_list, GError **error)
{
    g_autoptr(PstPrefixMap) map = pst_prefix_map_new();
    gboolean ok = is_list(file_or_list) ? add_list(map, file_or_list, error)
                                        : add_file(map, file_or_list, error);
    if (!ok)
        return NULL;
    pst_prefix_map_seal(map);
    return g_steal_pointer(&map);
}
