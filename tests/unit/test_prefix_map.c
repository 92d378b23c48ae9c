/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "prefix_map.h"

static PstPrefix prefix(const char *text)
{
    PstPrefix p = {0};
    cr_assert(pst_prefix_parse(text, strlen(text), TRUE, &p), "%s", text);
    return p;
}

static void add(PstPrefixMap *map, const char *text, guint32 value)
{
    PstPrefix p = prefix(text);
    pst_prefix_map_add(map, &p, value);
}

/* The value found for an address, 0 for none. */
static guint32 find(const PstPrefixMap *map, const char *text)
{
    PstPrefix host = prefix(text);
    guint32 value = 0;
    return pst_prefix_map_find(map, &host.addr, &value, NULL) ? value : 0;
}

Test(prefix_map, the_longest_match_wins)
{
    g_autoptr(PstPrefixMap) map = pst_prefix_map_new();
    add(map, "192.0.2.1", 5); /* in any order */
    add(map, "192.0.0.0/16", 2);
    add(map, "192.0.2.0/26", 4);
    add(map, "192.0.2.0/24", 3);
    add(map, "2001:db8::/32", 6);
    add(map, "2001:db8:1::/48", 7);
    pst_prefix_map_seal(map);
    cr_assert_eq(find(map, "191.255.255.255"), 0);
    cr_assert_eq(find(map, "192.0.0.0"), 2);
    cr_assert_eq(find(map, "192.0.2.0"), 4);
    cr_assert_eq(find(map, "192.0.2.1"), 5);
    cr_assert_eq(find(map, "192.0.2.63"), 4);
    cr_assert_eq(find(map, "192.0.2.64"), 3);
    cr_assert_eq(find(map, "192.0.3.0"), 2);
    cr_assert_eq(find(map, "192.1.0.0"), 0);
    cr_assert_eq(find(map, "2001:db8:1:2::3"), 7);
    cr_assert_eq(find(map, "2001:db8:2::"), 6);
    cr_assert_eq(find(map, "2001:db9::"), 0);
    cr_assert_eq(pst_prefix_map_size(map), 6);
}

Test(prefix_map, whole_families_are_prefixes_too)
{
    g_autoptr(PstPrefixMap) map = pst_prefix_map_new();
    add(map, "0.0.0.0/0", 1);
    add(map, "::/0", 2);
    add(map, "10.0.0.0/8", 3);
    pst_prefix_map_seal(map);
    cr_assert_eq(find(map, "255.255.255.255"), 1);
    cr_assert_eq(find(map, "10.1.2.3"), 3);
    cr_assert_eq(find(map, "2001:db8::1"), 2);
    PstAddr none = {0};
    cr_assert_not(pst_prefix_map_find(map, &none, NULL, NULL));
}

Test(prefix_map, the_same_prefix_again_replaces)
{
    g_autoptr(PstPrefixMap) map = pst_prefix_map_new();
    add(map, "192.0.2.0/24", 1);
    add(map, "192.0.2.0/24", 2);
    add(map, "192.0.2.0/24", 3);
    pst_prefix_map_seal(map);
    cr_assert_eq(pst_prefix_map_size(map), 1);
    cr_assert_eq(find(map, "192.0.2.9"), 3);
}

Test(prefix_map, empty_finds_nothing)
{
    g_autoptr(PstPrefixMap) map = pst_prefix_map_new();
    pst_prefix_map_seal(map);
    cr_assert_eq(find(map, "192.0.2.1"), 0);
    cr_assert_eq(find(map, "::1"), 0);
    cr_assert_eq(pst_prefix_map_size(map), 0);
}

Test(prefix_map, tells_the_prefix_it_found)
{
    g_autoptr(PstPrefixMap) map = pst_prefix_map_new();
    add(map, "2001:db8::/32", 9);
    pst_prefix_map_seal(map);
    PstPrefix host = prefix("2001:db8::5"), found;
    char text[PST_PREFIX_TEXT_MAX];
    cr_assert(pst_prefix_map_find(map, &host.addr, NULL, &found));
    cr_assert_str_eq(pst_prefix_format(&found, text), "2001:db8::/32");
}

/* Against the plain definition, on pseudo-random prefixes. */
Test(prefix_map, agrees_with_a_linear_search)
{
    g_autoptr(PstPrefixMap) map = pst_prefix_map_new();
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    PstPrefix all[400];
    for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
        PstAddr a = pst_addr_v4(0xc0000000u | (g_rand_int(rand) & 0x3ffff));
        all[i] = pst_prefix_of(&a, (guint8)g_rand_int_range(rand, 12, 33));
        pst_prefix_map_add(map, &all[i], i);
    }
    pst_prefix_map_seal(map);
    for (guint n = 0; n < 20000; n++) {
        PstAddr a = pst_addr_v4(0xc0000000u | (g_rand_int(rand) & 0x7ffff));
        int best = -1;
        for (guint i = 0; i < G_N_ELEMENTS(all); i++)
            if (pst_prefix_contains(&all[i], &a) && (best < 0 || all[i].len >= all[best].len))
                best = (int)i;
        guint32 value = 0;
        cr_assert_eq(pst_prefix_map_find(map, &a, &value, NULL), best >= 0);
        cr_assert(best < 0 || value == (guint32)best);
    }
}

static PstPrefixMap *load_text(const char *text, gssize len, GError **error)
{
    g_autofree char *path = NULL;
    close(g_file_open_tmp("networks-XXXXXX", &path, NULL));
    cr_assert(g_file_set_contents(path, text, len, NULL));
    PstPrefixMap *map = pst_networks_load(path, error);
    g_unlink(path);
    return map;
}

Test(networks, are_read_from_a_file)
{
    g_autoptr(PstPrefixMap) map =
        load_text("# ours\n192.0.2.0/24\r\n\n  2001:db8::/32   # lab\n203.0.113.7", -1, NULL);
    cr_assert_not_null(map);
    cr_assert_eq(pst_prefix_map_size(map), 3);
    cr_assert_eq(find(map, "192.0.2.200"), 1);
    cr_assert_eq(find(map, "203.0.113.7"), 1);
}

Test(networks, are_read_from_a_list)
{
    g_autoptr(PstPrefixMap) map = pst_networks_load("192.0.2.0/24, 2001:db8::/32", NULL);
    cr_assert_not_null(map);
    cr_assert_eq(find(map, "192.0.2.200"), 1);
    cr_assert_eq(find(map, "2001:db8::1"), 1);
}

static void assert_refused(PstPrefixMap *map, GError *error, const char *words)
{
    cr_assert_null(map);
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE));
    cr_assert_not_null(strstr(error->message, words), "%s", error->message);
    g_error_free(error);
}

Test(networks, refuse_with_line_and_remedy)
{
    GError *error = NULL;
    PstPrefixMap *map = load_text("192.0.2.0/24\n192.0.2.9/24\n", -1, &error);
    assert_refused(map, error,
                   ":2: \"192.0.2.9/24\" has bits set behind its length: write "
                   "192.0.2.0/24");
    error = NULL;
    map = load_text("hello\n", -1, &error);
    assert_refused(map, error, ":1: \"hello\" is no network");
    error = NULL;
    map = load_text("192.0.2.0/24\n\0", 14, &error);
    assert_refused(map, error, "NUL");
    error = NULL;
    map = pst_networks_load("192.0.2.0/24,nonsense", &error);
    assert_refused(map, error, "\"nonsense\" is no network");
    error = NULL;
    map = pst_networks_load("/nonexistent/networks", &error);
    assert_refused(map, error, "/nonexistent/networks");
}
