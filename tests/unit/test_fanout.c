/* SPDX-License-Identifier: Apache-2.0 */
#include "fanout.h"

#include <criterion/criterion.h>

#include "engine_maker.h"

#define NOON_S (G_GINT64_CONSTANT(20000) * 86400 + 43200)

/* Sessions in turn with so many servers. */
static Fanout after(guint sessions, guint servers)
{
    Fanout fanout = {0};
    Dice dice = {servers};
    guint64 hash[64];
    g_assert(servers <= G_N_ELEMENTS(hash));
    for (guint i = 0; i < servers; i++)
        hash[i] = dice_next(&dice);
    for (guint i = 0; i < sessions; i++)
        fanout_note(&fanout, hash[i % servers], NOON_S);
    return fanout;
}

Test(fanout, counts_servers_up_to_eight)
{
    for (guint servers = 1; servers <= 64; servers++) {
        Fanout fanout = after(1000, servers);
        cr_assert_eq(fanout_servers(&fanout), MIN(servers, 8));
    }
}

Test(fanout, wants_another_server_for_more_than_three_sessions_of_five)
{
    static const guint wanted[] = {1, 1, 2, 2, 3, 4, 4, 5, 5, 5};
    for (guint n = 0; n < G_N_ELEMENTS(wanted); n++) {
        Fanout fanout = after(n, 1);
        cr_assert_eq(fanout_wanted(&fanout, 5), wanted[n], "%u sessions", n);
    }
}

Test(fanout, nothing_noted_is_never_enough)
{
    Fanout fanout = {0};
    cr_assert_lt(fanout_servers(&fanout), fanout_wanted(&fanout, 5));
}

Test(fanout, recent_sessions_are_those_of_this_and_the_last_half_hour)
{
    Fanout fanout = {0};
    fanout_note(&fanout, 1, NOON_S);
    fanout_note(&fanout, 1, NOON_S + 1799);
    fanout_note(&fanout, 1, NOON_S + 1800);
    cr_assert_eq(fanout_recent(&fanout, NOON_S + 1800), 3);
    cr_assert_eq(fanout_recent(&fanout, NOON_S + 3600), 1);
    cr_assert_eq(fanout_recent(&fanout, NOON_S + 5400), 0);
    cr_assert_eq(fanout_recent(&fanout, NOON_S + 86400), 0);
}

Test(fanout, what_was_before_is_recent_and_tells_no_servers)
{
    Fanout fanout;
    fanout_begin(&fanout, 9, NOON_S);
    fanout_note(&fanout, 1, NOON_S + 1);
    cr_assert_eq(fanout_recent(&fanout, NOON_S + 1), 10);
    cr_assert_eq(fanout_recent(&fanout, NOON_S + 3600), 0);
    cr_assert_eq(fanout_servers(&fanout), 1);
    cr_assert_eq(fanout.sessions, 1);
}

Test(fanout, late_sessions_count_in_their_own_half_hour)
{
    Fanout in_order = {0}, late = {0};
    fanout_note(&in_order, 1, NOON_S - 1);
    fanout_note(&in_order, 1, NOON_S);
    fanout_note(&late, 1, NOON_S);
    fanout_note(&late, 1, NOON_S - 1);
    cr_assert_eq(memcmp(&in_order, &late, sizeof late), 0);
    fanout_note(&late, 1, NOON_S - 3601);
    cr_assert_eq(fanout_recent(&late, NOON_S), 2, "too old for either");
    cr_assert_eq(late.sessions, 3);
}

Test(fanout, silence_leaves_nothing_recent)
{
    Fanout fanout = {0};
    fanout_note(&fanout, 1, NOON_S);
    fanout_note(&fanout, 1, NOON_S + 2 * FANOUT_SPAN_S);
    cr_assert_eq(fanout_recent(&fanout, NOON_S + 2 * FANOUT_SPAN_S), 1);
}
