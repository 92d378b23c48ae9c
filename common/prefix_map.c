/* SPDX-License-Identifier: Apache-2.0 */
/* IPv4: DIR-24-8 (Gupta, Lin, McKeown 1998). One entry per /24 in `root`; where longer prefixes
 * exist it points to a block of 256 entries.
 *
 *     root[addr >> 8] ── 0 ───────────────▶ no prefix
 *                     ── item ────────────▶ items[item]
 *                     ── SPLIT | block ───▶ blocks[block * 256 + (addr & 255)] ─▶ items[…]
 *
 * The root is 64 MiB of which only touched pages exist; 0.0.0.0/0 stands apart for that reason.
 * Most addresses are strangers': a bit for each /16 says whether the root knows anything there, and
 * the 8 KiB of these bits stay in the cache, which the root does not.
 * IPv6: one sorted run of prefixes per length, longest first; own networks have few lengths.
 */
#include "prefix_map.h"

#include <string.h>

#define ROOT_ENTRIES (1u << 24)
#define SPLIT        0x80000000u
#define USED_WORDS   (65536 / 64)

typedef struct {
    PstPrefix prefix;
    guint32 value;
} Item;

/* The run of IPv6 items of one length: first … end of items. */
typedef struct {
    guint8 len;
    guint first, end;
} Run;

struct PstPrefixMap {
    gboolean sealed;
    GArray *items;            /* Item; number 0 is nobody */
    guint32 *root;            /* NULL: no IPv4 prefix */
    guint64 used[USED_WORDS]; /* bit N: the root has entries in /16 number N */
    GArray *blocks;           /* guint32, 256 each */
    guint32 v4_all;           /* item of 0.0.0.0/0, or 0 */
    GArray *v6_runs;          /* Run, longest first */
};

PstPrefixMap *pst_prefix_map_new(void)
{
    PstPrefixMap *map = g_new0(PstPrefixMap, 1);
    map->items = g_array_new(FALSE, FALSE, sizeof(Item));
    map->blocks = g_array_new(FALSE, FALSE, sizeof(guint32));
    map->v6_runs = g_array_new(FALSE, FALSE, sizeof(Run));
    g_array_append_val(map->items, (Item){0});
    return map;
}

void pst_prefix_map_free(PstPrefixMap *map)
{
    if (map == NULL)
        return;
    g_array_unref(map->items);
    g_array_unref(map->blocks);
    g_array_unref(map->v6_runs);
    g_free(map->root);
    g_free(map);
}

void pst_prefix_map_add(PstPrefixMap *map, const PstPrefix *prefix, guint32 value)
{
    g_assert(!map->sealed && pst_addr_present(&prefix->addr));
    Item item = {.prefix = *prefix, .value = value};
    g_array_append_val(map->items, item);
}

static Item *item_at(const PstPrefixMap *map, guint index)
{
    return &g_array_index(map->items, Item, index);
}

/* Family, then length, then address. */
static int compare_prefix(const PstPrefix *a, const PstPrefix *b)
{
    if (a->addr.family != b->addr.family)
        return a->addr.family < b->addr.family ? -1 : 1;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return pst_addr_compare(&a->addr, &b->addr);
}

static int compare_items(gconstpointer a, gconstpointer b, gpointer user)
{
    return compare_prefix(&((const Item *)a)->prefix, &((const Item *)b)->prefix);
}

/* Sorts the items (stable) and keeps the last of equal prefixes. */
static void sort_items(PstPrefixMap *map)
{
    Item *all = item_at(map, 0);
    g_qsort_with_data(all, (int)map->items->len, sizeof(Item), compare_items, NULL);
    guint kept = 1;
    for (guint i = 1; i < map->items->len; i++) {
        if (kept > 1 && pst_prefix_equal(&all[kept - 1].prefix, &all[i].prefix))
            kept--;
        all[kept++] = all[i];
    }
    g_array_set_size(map->items, kept);
}

static guint32 v4_number(const PstAddr *addr)
{
    guint32 be;
    memcpy(&be, addr->bytes, sizeof be);
    return GUINT32_FROM_BE(be);
}

/* The entries of the /24 @slot, split into single addresses. */
static guint32 *split(PstPrefixMap *map, guint32 slot)
{
    guint32 entry = map->root[slot];
    if ((entry & SPLIT) == 0) {
        guint32 block = map->blocks->len / 256;
        g_array_set_size(map->blocks, map->blocks->len + 256);
        guint32 *cells = &g_array_index(map->blocks, guint32, block * 256);
        for (guint i = 0; i < 256; i++)
            cells[i] = entry;
        map->root[slot] = entry = SPLIT | block;
    }
    return &g_array_index(map->blocks, guint32, (entry & ~SPLIT) * 256);
}

/* Items come shortest first: what is longer overwrites. */
static void place_v4(PstPrefixMap *map, guint32 index)
{
    const PstPrefix *prefix = &item_at(map, index)->prefix;
    guint32 first = v4_number(&prefix->addr);
    if (prefix->len == 0) {
        map->v4_all = index;
        return;
    }
    if (map->root == NULL)
        map->root = g_new0(guint32, ROOT_ENTRIES);
    guint32 covered = prefix->len < 16 ? 1u << (16 - prefix->len) : 1;
    for (guint32 i = first >> 16; i < (first >> 16) + covered; i++)
        map->used[i / 64] |= G_GUINT64_CONSTANT(1) << i % 64;
    if (prefix->len <= 24) {
        guint32 n = 1u << (24 - prefix->len);
        for (guint32 i = 0; i < n; i++)
            map->root[(first >> 8) + i] = index;
        return;
    }
    guint32 *cells = split(map, first >> 8);
    guint32 n = 1u << (32 - prefix->len);
    for (guint32 i = 0; i < n; i++)
        cells[(first & 255) + i] = index;
}

void pst_prefix_map_seal(PstPrefixMap *map)
{
    g_assert(!map->sealed);
    sort_items(map);
    for (guint i = 1; i < map->items->len; i++) {
        const PstPrefix *prefix = &item_at(map, i)->prefix;
        if (prefix->addr.family == PST_AF_INET) {
            place_v4(map, i);
            continue;
        }
        if (map->v6_runs->len == 0 || g_array_index(map->v6_runs, Run, 0).len != prefix->len)
            g_array_prepend_val(map->v6_runs, ((Run){.len = prefix->len, .first = i}));
        g_array_index(map->v6_runs, Run, 0).end = i + 1;
    }
    map->sealed = TRUE;
}

gsize pst_prefix_map_size(const PstPrefixMap *map)
{
    return map->items->len - 1;
}

static guint32 find_v4(const PstPrefixMap *map, const PstAddr *addr)
{
    guint32 number = v4_number(addr);
    if ((map->used[number >> 22] >> (number >> 16) % 64 & 1) == 0)
        return map->v4_all;
    guint32 entry = map->root[number >> 8];
    if (entry & SPLIT)
        entry = g_array_index(map->blocks, guint32, (entry & ~SPLIT) * 256 + (number & 255));
    return entry != 0 ? entry : map->v4_all;
}

static guint32 find_v6(const PstPrefixMap *map, const PstAddr *addr)
{
    for (guint r = 0; r < map->v6_runs->len; r++) {
        const Run *run = &g_array_index(map->v6_runs, Run, r);
        PstPrefix wanted = pst_prefix_of(addr, run->len);
        for (guint low = run->first, high = run->end; low < high;) {
            guint middle = low + (high - low) / 2;
            int order = compare_prefix(&item_at(map, middle)->prefix, &wanted);
            if (order == 0)
                return middle;
            if (order < 0)
                low = middle + 1;
            else
                high = middle;
        }
    }
    return 0;
}

gboolean pst_prefix_map_find(const PstPrefixMap *map, const PstAddr *addr, guint32 *out_value,
                             PstPrefix *out_prefix)
{
    g_assert(map->sealed);
    guint32 index = 0;
    if (addr->family == PST_AF_INET)
        index = find_v4(map, addr);
    else if (addr->family == PST_AF_INET6)
        index = find_v6(map, addr);
    if (index == 0)
        return FALSE;
    if (out_value != NULL)
        *out_value = item_at(map, index)->value;
    if (out_prefix != NULL)
        *out_prefix = item_at(map, index)->prefix;
    return TRUE;
}
