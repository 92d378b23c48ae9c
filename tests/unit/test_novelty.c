/* SPDX-License-Identifier: Apache-2.0 */
#include "novelty.h"

#include <criterion/criterion.h>

#include "engine_maker.h"

#define QUARTER NOVELTY_GENERATION_S

static guint64 key(guint64 n)
{
    Dice dice = {n * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) + 1};
    dice_next(&dice);
    return dice_next(&dice);
}

static gboolean see(Novelty *novelty, guint64 k, gint64 at_s)
{
    novelty_advance(novelty, at_s);
    return novelty_see(novelty, k, at_s);
}

Test(novelty, is_told_once)
{
    g_autoptr(Novelty) novelty = novelty_new(1 << 20);
    cr_assert(see(novelty, key(1), DAY_S));
    cr_assert_not(see(novelty, key(1), DAY_S));
    cr_assert(see(novelty, key(2), DAY_S));
}

Test(novelty, is_never_false_within_the_hour)
{
    /* Whatever the place in a generation at which the hour begins. */
    for (gint64 start = DAY_S; start < DAY_S + QUARTER; start += 50) {
        g_autoptr(Novelty) novelty = novelty_new(1 << 12);
        see(novelty, key(1), start);
        for (gint64 at = start; at < start + 3600; at += 300)
            novelty_advance(novelty, at);
        cr_assert_not(see(novelty, key(1), start + 3599));
    }
}

Test(novelty, comes_back_after_five_quarters)
{
    g_autoptr(Novelty) novelty = novelty_new(1 << 20);
    see(novelty, key(1), DAY_S);
    cr_assert(see(novelty, key(1), DAY_S + 5 * QUARTER));
}

Test(novelty, is_put_off_by_every_sighting)
{
    g_autoptr(Novelty) novelty = novelty_new(1 << 20);
    see(novelty, key(1), DAY_S);
    for (gint64 at = DAY_S + 3000; at < DAY_S + 86400; at += 3000)
        cr_assert_not(see(novelty, key(1), at));
}

Test(novelty, looks_both_ways_when_records_come_out_of_order)
{
    g_autoptr(Novelty) novelty = novelty_new(1 << 20);
    see(novelty, key(1), DAY_S + QUARTER + 5);
    cr_assert_not(see(novelty, key(1), DAY_S + QUARTER - 5));
}

Test(novelty, survives_a_jump_of_a_day)
{
    g_autoptr(Novelty) novelty = novelty_new(1 << 20);
    for (guint64 n = 0; n < 1000; n++)
        see(novelty, key(n), DAY_S);
    guint fresh = 0;
    for (guint64 n = 0; n < 1000; n++)
        fresh += see(novelty, key(n), DAY_S + 86400) ? 1 : 0;
    cr_assert_geq(fresh, 995);
}

Test(novelty, of_an_earlier_quarter_is_never_false_either)
{
    /* Lines so full that what is old makes room: who asks from a quarter ago must not notice. */
    g_autoptr(Novelty) novelty = novelty_new(1 << 12);
    guint64 next = 0;
    for (gint64 quarter = 0; quarter < 6; quarter++)
        for (guint n = 0; n < 400; n++)
            see(novelty, key(next++), DAY_S + quarter * QUARTER);
    novelty_advance(novelty, DAY_S + 6 * QUARTER);
    for (guint n = 0; n < 400; n++)
        see(novelty, key(next++), DAY_S + 6 * QUARTER);
    for (guint64 n = 400; n < 2400; n++) /* of the five quarters before that one */
        cr_assert_not(novelty_see(novelty, key(n), DAY_S + 6 * QUARTER - 1), "key %d", (int)n);
}

Test(novelty, of_the_same_quarter_changes_nothing)
{
    g_autoptr(Novelty) novelty = novelty_new(1 << 12);
    cr_assert_eq(novelty_ask(novelty, key(1), (novelty_advance(novelty, DAY_S), DAY_S)),
                 NOVELTY_NEW);
    cr_assert_eq(novelty_ask(novelty, key(1), DAY_S + 5), NOVELTY_AGAIN);
    novelty_advance(novelty, DAY_S + QUARTER);
    cr_assert_eq(novelty_ask(novelty, key(1), DAY_S + 5), NOVELTY_AGAIN);
    cr_assert_eq(novelty_ask(novelty, key(1), DAY_S + QUARTER), NOVELTY_SEEN);
    cr_assert_eq(novelty_ask(novelty, key(1), DAY_S + 5), NOVELTY_AGAIN, "seen later");
    cr_assert(novelty_may_know(novelty, key(1)));
    cr_assert_not(novelty_may_know(novelty, key(2)));
}

Test(novelty, judges_three_quarters_back_and_no_further)
{
    g_autoptr(Novelty) novelty = novelty_new(1 << 12);
    novelty_advance(novelty, DAY_S + 10 * QUARTER);
    cr_assert(novelty_holds(novelty, DAY_S + 10 * QUARTER));
    cr_assert(novelty_holds(novelty, DAY_S + 7 * QUARTER));
    cr_assert_not(novelty_holds(novelty, DAY_S + 7 * QUARTER - 1));
    cr_assert_not(novelty_holds(novelty, DAY_S + 11 * QUARTER));
}

/* Keys at a steady load, each of them new: those of the last quarter that are taken for seen. */
static double missed_share(gsize bytes, guint64 keys)
{
    g_autoptr(Novelty) novelty = novelty_new(bytes);
    guint64 next = 0, missed = 0;
    for (gint64 quarter = 0; quarter < 8; quarter++)
        for (guint64 n = missed = 0; n < keys; n++)
            missed += see(novelty, key(next++), DAY_S + quarter * QUARTER) ? 0 : 1;
    return (double)missed / (double)keys;
}

/* 15 bytes a key: those of five quarters are 21 in a line of 32 slots at the end. */
Test(novelty, is_missed_for_one_in_a_hundred_at_the_stated_load)
{
    double missed = missed_share(8 << 20, (8 << 20) / 15);
    cr_assert_leq(missed, 0.01, "missed %.4f", missed);
    cr_assert_geq(missed, 0.004, "a better filter should be stated as one: %.4f", missed);
}

Test(novelty, is_only_ever_missed_when_the_filter_is_flooded)
{
    double missed = missed_share(1 << 16, 30000); /* 6 times the stated load */
    cr_assert_geq(missed, 0.1);
    /* And what was new stays seen. */
    g_autoptr(Novelty) novelty = novelty_new(1 << 12);
    for (guint64 n = 0; n < 100000; n++) {
        see(novelty, key(n), DAY_S);
        cr_assert_not(novelty_see(novelty, key(n), DAY_S));
    }
}

/* Whatever floods it: no key is called new twice within an hour. */
Test(novelty, is_told_once_an_hour_whatever_floods_the_filter)
{
    g_autoptr(Novelty) novelty = novelty_new(1 << 12);
    guint told[200] = {0};
    for (gint64 at = 0; at < 3600; at += 10) {
        for (guint64 n = 0; n < 40; n++)
            see(novelty, key(1000 + (guint64)at * 40 + n), DAY_S + at);
        for (guint64 n = 0; n < G_N_ELEMENTS(told); n++)
            told[n] += see(novelty, key(n), DAY_S + at) ? 1 : 0;
    }
    for (guint64 n = 0; n < G_N_ELEMENTS(told); n++)
        cr_assert_leq(told[n], 1);
}

Test(novelty, tells_how_full_it_was_at_the_end_of_the_last_quarter)
{
    g_autoptr(Novelty) novelty = novelty_new(1 << 16); /* 32,768 slots */
    cr_assert_eq(novelty_fill(novelty), 0);
    for (guint64 n = 0; n < 8192; n++)
        see(novelty, key(n), DAY_S);
    novelty_advance(novelty, DAY_S + QUARTER);
    cr_assert_float_eq(novelty_fill(novelty), 0.25, 0.01);
    novelty_advance(novelty, DAY_S + 2 * QUARTER);
    cr_assert_float_eq(novelty_fill(novelty), 0.25, 0.01);
    novelty_advance(novelty, DAY_S + 5 * QUARTER);
    novelty_advance(novelty, DAY_S + 6 * QUARTER);
    cr_assert_eq(novelty_fill(novelty), 0, "older than an hour");
}

Test(novelty, goes_on_the_same_from_its_bytes)
{
    g_autoptr(Novelty) novelty = novelty_new(1 << 12), copy = novelty_new(1 << 12);
    for (guint64 n = 0; n < 100; n++)
        see(novelty, key(n), DAY_S + (gint64)n * 20);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    Image image = {.bytes = bytes};
    novelty_write(novelty, &image);
    PstCursor from = pst_cursor(bytes->data, bytes->len);
    cr_assert(novelty_read(copy, &from));
    for (guint64 n = 50; n < 150; n++)
        cr_assert_eq(see(novelty, key(n), DAY_S + 2500), see(copy, key(n), DAY_S + 2500));
    g_autoptr(Novelty) other = novelty_new(1 << 13);
    from = pst_cursor(bytes->data, bytes->len);
    cr_assert_not(novelty_read(other, &from), "a state of another size is refused");
}
