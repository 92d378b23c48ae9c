/* SPDX-License-Identifier: Apache-2.0 */
#include "unit_table.h"

#include "pages.h"

#define LOOKS 64               /* for a unit to evict */
#define LARGE ((gsize)4 << 20) /* of the index: what is beyond stands in large pages */

/* A place of the index: open addressing, at most 3/4 full. The tag spares a look at the unit. */
typedef struct {
    guint32 id;  /* 0: empty */
    guint32 tag; /* low half of the unit's hash; its home is tag & mask */
} Place;

struct UnitTable {
    guint64 key[2];
    guint32 max_units;
    guint32 evict_hand; /* last place looked at */
    guint32 walk_hand;
    Pool units;
    Pool blocks;
    Pool carries;
    Place *index;
    guint32 mask;
};

G_STATIC_ASSERT(sizeof(Unit) == 100);

static gsize index_bytes(guint32 mask)
{
    return ((gsize)mask + 1) * sizeof(Place);
}

static Place *index_new(guint32 mask)
{
    Place *index = pages_new(index_bytes(mask));
    pages_want_huge(index, LARGE, index_bytes(mask));
    return index;
}

UnitTable *unit_table_new(const guint64 key[2], guint32 max_units)
{
    UnitTable *table = g_new0(UnitTable, 1);
    memcpy(table->key, key, sizeof table->key);
    table->max_units = max_units;
    pool_init(&table->units, sizeof(Unit));
    pool_init(&table->blocks, sizeof(Block));
    pool_init(&table->carries, sizeof(Carry));
    table->mask = 1023;
    table->index = index_new(table->mask);
    return table;
}

void unit_table_free(UnitTable *table)
{
    if (table == NULL)
        return;
    pool_clear(&table->units);
    pool_clear(&table->blocks);
    pool_clear(&table->carries);
    pages_free(table->index, index_bytes(table->mask));
    g_free(table);
}

guint64 unit_table_hash(const UnitTable *table, const PstUnit *unit)
{
    return pst_addr_hash_keyed(&unit->addr, table->key) ^
           unit->len * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
}

Unit *unit_table_at(const UnitTable *table, guint32 id)
{
    return pool_at(&table->units, id);
}

Block *unit_table_block(const UnitTable *table, const Unit *unit, PstPortPair pair)
{
    return unit->block[pair] != 0 ? pool_at(&table->blocks, unit->block[pair]) : NULL;
}

void unit_table_prefetch_place(const UnitTable *table, guint64 hash)
{
    __builtin_prefetch(&table->index[(guint32)hash & table->mask]);
}

static inline void fetch(const guint8 *data, gsize len)
{
    for (gsize at = 0; at < len; at += 64)
        __builtin_prefetch(data + at, 1);
    __builtin_prefetch(data + len - 1, 1);
}

void unit_table_prefetch(const UnitTable *table, guint32 id)
{
    fetch(pool_at(&table->units, id), sizeof(Unit));
}

void unit_table_prefetch_block(const UnitTable *table, const Unit *unit, PstPortPair pair)
{
    if (unit->block[pair] != 0)
        fetch(pool_at(&table->blocks, unit->block[pair]), sizeof(Block));
}

Block *unit_table_add_block(UnitTable *table, Unit *unit, PstPortPair pair)
{
    g_assert(unit->block[pair] == 0);
    unit->block[pair] = pool_take(&table->blocks);
    return pool_at(&table->blocks, unit->block[pair]);
}

Pool *unit_table_carries(UnitTable *table)
{
    return &table->carries;
}

guint32 unit_table_find(const UnitTable *table, const PstUnit *unit, guint64 hash)
{
    guint32 tag = (guint32)hash;
    for (guint32 at = tag & table->mask; table->index[at].id != 0; at = (at + 1) & table->mask) {
        const Place *place = &table->index[at];
        if (place->tag == tag && pst_prefix_equal(&unit_table_at(table, place->id)->unit, unit))
            return place->id;
    }
    return 0;
}

static void index_id(UnitTable *table, guint32 id, guint32 tag)
{
    guint32 at = tag & table->mask;
    while (table->index[at].id != 0)
        at = (at + 1) & table->mask;
    table->index[at] = (Place){id, tag};
}

static void grow(UnitTable *table)
{
    Place *old = table->index;
    guint32 size = table->mask + 1;
    table->mask = 2 * size - 1;
    table->index = index_new(table->mask);
    for (guint32 i = 0; i < size; i++)
        if (old[i].id != 0)
            index_id(table, old[i].id, old[i].tag);
    pages_free(old, index_bytes(size - 1));
}

gboolean unit_table_full(const UnitTable *table)
{
    return table->units.count >= table->max_units;
}

guint32 unit_table_add(UnitTable *table, const PstUnit *unit, guint64 hash)
{
    g_assert(!unit_table_full(table));
    if (table->units.count >= table->mask / 4 * 3)
        grow(table);
    guint32 id = pool_take(&table->units);
    unit_table_at(table, id)->unit = *unit;
    index_id(table, id, (guint32)hash);
    return id;
}

/* Takes the place @at out of the index and closes the gap (Knuth, TAOCP 3, 6.4, algorithm R). */
static void unindex(UnitTable *table, guint32 at)
{
    guint32 gap = at;
    for (;;) {
        table->index[gap].id = 0;
        for (;;) {
            at = (at + 1) & table->mask;
            if (table->index[at].id == 0)
                return;
            guint32 home = table->index[at].tag & table->mask;
            if (((at - home) & table->mask) >= ((at - gap) & table->mask))
                break; /* it may stand in the gap */
        }
        table->index[gap] = table->index[at];
        gap = at;
    }
}

void unit_table_drop_blocks(UnitTable *table, Unit *unit)
{
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        Block *block = unit_table_block(table, unit, (PstPortPair)pair);
        if (block == NULL)
            continue;
        block_drop(block, &table->carries);
        pool_put(&table->blocks, unit->block[pair]);
        unit->block[pair] = 0;
    }
}

void unit_table_drop(UnitTable *table, guint32 id)
{
    Unit *unit = unit_table_at(table, id);
    guint32 at = (guint32)unit_table_hash(table, &unit->unit) & table->mask;
    while (table->index[at].id != id)
        at = (at + 1) & table->mask;
    unit_table_drop_blocks(table, unit);
    unindex(table, at);
    pool_put(&table->units, id);
}

guint32 unit_table_idlest(UnitTable *table)
{
    enum { STRANGER, KNOWN, ATTENDED, KINDS };
    guint32 best[KINDS] = {0};
    for (guint32 looks = 0; looks < table->units.used; looks++) {
        if (looks >= LOOKS && (best[STRANGER] != 0 || best[KNOWN] != 0))
            break;
        table->evict_hand = table->evict_hand % table->units.used + 1;
        const Unit *unit = unit_table_at(table, table->evict_hand);
        if (unit->unit.addr.family == PST_AF_NONE)
            continue;
        guint kind = unit->episode != 0 ? ATTENDED : unit->known ? KNOWN : STRANGER;
        if (best[kind] == 0 || unit->last_s < unit_table_at(table, best[kind])->last_s)
            best[kind] = table->evict_hand;
    }
    return best[STRANGER] != 0 ? best[STRANGER] : best[KNOWN] != 0 ? best[KNOWN] : best[ATTENDED];
}

void unit_table_walk(UnitTable *table, guint32 n, UnitVisit visit, gpointer user)
{
    for (guint32 i = 0; i < n && i < table->units.used; i++) {
        table->walk_hand = table->walk_hand % table->units.used + 1;
        if (unit_table_at(table, table->walk_hand)->unit.addr.family != PST_AF_NONE)
            visit(user, table->walk_hand);
    }
}

guint32 unit_table_count(const UnitTable *table)
{
    return table->units.count;
}

guint32 unit_table_places(const UnitTable *table)
{
    return table->units.used;
}

gsize unit_table_bytes(const UnitTable *table)
{
    return pool_bytes(&table->units) + pool_bytes(&table->blocks) + pool_bytes(&table->carries) +
           index_bytes(table->mask);
}

void unit_table_write(const UnitTable *table, Image *image)
{
    const guint32 hands[] = {table->evict_hand, table->walk_hand};
    image_put(image, hands, sizeof hands);
    pool_write(&table->units, image);
    pool_write(&table->blocks, image);
    pool_write(&table->carries, image);
}

static gboolean blocks_are_whole(const UnitTable *table, const Unit *unit)
{
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        if (unit->block[pair] > table->blocks.used)
            return FALSE;
        const Block *block = unit_table_block(table, unit, (PstPortPair)pair);
        if (block != NULL && block->carry > table->carries.used)
            return FALSE;
    }
    return TRUE;
}

/* The index is made again: only finding depends on it, and that not on its order. */
gboolean unit_table_read(UnitTable *table, PstCursor *from)
{
    guint32 hands[2];
    if (!image_get(from, hands, sizeof hands) || !pool_read(&table->units, from) ||
        !pool_read(&table->blocks, from) || !pool_read(&table->carries, from))
        return FALSE;
    table->evict_hand = hands[0];
    table->walk_hand = hands[1];
    while (table->units.count >= table->mask / 4 * 3)
        grow(table);
    for (guint32 id = 1; id <= table->units.used; id++) {
        const Unit *unit = unit_table_at(table, id);
        if (unit->unit.addr.family == PST_AF_NONE)
            continue;
        if (!blocks_are_whole(table, unit))
            return FALSE;
        index_id(table, id, (guint32)unit_table_hash(table, &unit->unit));
    }
    return TRUE;
}
