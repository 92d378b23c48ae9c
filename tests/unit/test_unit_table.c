/* SPDX-License-Identifier: Apache-2.0 */
#include "unit_table.h"

#include <criterion/criterion.h>

#include "engine_maker.h"

static const guint64 key[2] = {1, 2};

static PstUnit unit_number(guint32 n)
{
    return (PstUnit){.addr = pst_addr_v4(0x0a000000 + n), .len = 32};
}

static guint32 add(UnitTable *table, guint32 n)
{
    PstUnit unit = unit_number(n);
    return unit_table_add(table, &unit, unit_table_hash(table, &unit));
}

static guint32 find(const UnitTable *table, guint32 n)
{
    PstUnit unit = unit_number(n);
    return unit_table_find(table, &unit, unit_table_hash(table, &unit));
}

Test(unit_table, finds_what_it_holds_and_nothing_else)
{
    /* Against a plain set, through growth and thousands of removals. */
    g_autoptr(UnitTable) table = unit_table_new(key, 100000);
    g_autoptr(GHashTable) truth = g_hash_table_new(NULL, NULL);
    Dice dice = {7};
    for (guint i = 0; i < 60000; i++) {
        guint32 n = (guint32)(dice_next(&dice) % 9000) + 1;
        guint32 id = find(table, n);
        cr_assert_eq(id != 0, g_hash_table_contains(truth, GUINT_TO_POINTER(n)));
        if (id == 0) {
            add(table, n);
            g_hash_table_add(truth, GUINT_TO_POINTER(n));
        } else if (dice_next(&dice) % 2) {
            unit_table_drop(table, id);
            g_hash_table_remove(truth, GUINT_TO_POINTER(n));
        }
    }
    cr_assert_eq(unit_table_count(table), g_hash_table_size(truth));
    for (guint32 n = 1; n <= 9000; n++) {
        guint32 id = find(table, n);
        cr_assert_eq(id != 0, g_hash_table_contains(truth, GUINT_TO_POINTER(n)));
        PstUnit unit = unit_number(n);
        if (id != 0)
            cr_assert(pst_prefix_equal(&unit_table_at(table, id)->unit, &unit));
    }
}

Test(unit_table, tells_units_of_different_lengths_apart)
{
    g_autoptr(UnitTable) table = unit_table_new(key, 1000);
    PstUnit wide = unit_named("2001:db8::/48"), narrow = unit_named("2001:db8::/64");
    guint32 id = unit_table_add(table, &wide, unit_table_hash(table, &wide));
    cr_assert_eq(unit_table_find(table, &narrow, unit_table_hash(table, &narrow)), 0);
    cr_assert_eq(unit_table_find(table, &wide, unit_table_hash(table, &wide)), id);
}

Test(unit_table, gives_up_the_longest_silent_and_spares_episodes)
{
    g_autoptr(UnitTable) table = unit_table_new(key, 1000);
    for (guint32 n = 1; n <= 40; n++)
        unit_table_at(table, add(table, n))->last_s = 1000 - n;
    cr_assert_eq(unit_table_idlest(table), find(table, 40));
    unit_table_at(table, find(table, 40))->episode = 9;
    cr_assert_eq(unit_table_idlest(table), find(table, 39));
    for (guint32 n = 1; n <= 40; n++)
        unit_table_at(table, find(table, n))->episode = n;
    cr_assert_eq(unit_table_idlest(table), find(table, 40), "all have one: the longest silent");
}

Test(unit_table, block_and_unit_take_at_most_260_bytes)
{
    cr_assert_leq(sizeof(Unit) + sizeof(Block), 260);
}

Test(unit_table, is_the_same_from_its_bytes)
{
    g_autoptr(UnitTable) table = unit_table_new(key, 1000), copy = unit_table_new(key, 1000);
    for (guint32 n = 1; n <= 100; n++) {
        Unit *unit = unit_table_at(table, add(table, n));
        unit_table_add_block(table, unit, PST_PAIR_SMTP)->newest_s = n;
    }
    for (guint32 n = 1; n <= 100; n += 3)
        unit_table_drop(table, find(table, n));
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    Image image = {.bytes = bytes};
    unit_table_write(table, &image);
    PstCursor from = pst_cursor(bytes->data, bytes->len);
    cr_assert(unit_table_read(copy, &from));
    for (guint32 n = 1; n <= 100; n++) {
        cr_assert_eq(find(table, n), find(copy, n));
        guint32 id = find(copy, n);
        if (id != 0)
            cr_assert_eq(unit_table_block(copy, unit_table_at(copy, id), PST_PAIR_SMTP)->newest_s,
                         n);
    }
    for (guint32 n = 200; n < 300; n++)
        cr_assert_eq(add(table, n), add(copy, n), "new ones get the same places");
}
