/* SPDX-License-Identifier: Apache-2.0 */
#include "thinning.h"

#include <criterion/criterion.h>
#include <math.h>

static EngineConf conf;
static Thinning *thinning;

static void make(void)
{
    engine_conf_init(&conf);
    thinning = thinning_new(&conf);
}

static void drop(void)
{
    thinning_free(thinning);
}

TestSuite(thinning, .init = make, .fini = drop);

static double envelope(gboolean known, Channel channel, guint scale, double r)
{
    return thinning_of_level(thinning_floor(thinning, known, channel, scale, thinning_code(r)));
}

Test(thinning, keeps_every_session_at_one_to_one)
{
    cr_assert_eq(thinning_q(1, 14), 1);
}

Test(thinning, follows_one_minus_all_packets_missed)
{
    cr_assert_float_eq(thinning_q(100, 14), 1 - pow(0.99, 14), 1e-12);
    cr_assert_float_eq(thinning_q(4096, 23), 1 - pow(1 - 1 / 4096.0, 23), 1e-12);
}

Test(thinning, codes_are_within_a_thousandth)
{
    cr_assert_eq(thinning_value(thinning, thinning_code(1)), 1);
    for (double x = 1; x < 1e6; x *= 1.37)
        cr_assert_float_eq(thinning_value(thinning, thinning_code(x)), x, 6e-4 * x);
    cr_assert_geq(thinning_value(thinning, thinning_code(1e300)), 1e6, "the far end is bounded");
}

Test(thinning, shrinks_through_the_stated_points)
{
    static const double points[] = {0.8, 0.5, 0.06, 0.03};
    cr_assert_float_eq(thinning_phi(1, points), 0.8, 1e-9);
    cr_assert_float_eq(thinning_phi(0.13, points), 0.5, 1e-9);
    cr_assert_float_eq(thinning_phi(0.014, points), 0.06, 1e-9);
    cr_assert_float_eq(thinning_phi(0.0034, points), 0.03, 1e-9);
    cr_assert_float_eq(thinning_phi(0.0001, points), 0.03, 1e-9);
    cr_assert_float_eq(thinning_phi(sqrt(0.13 * 0.014), points), sqrt(0.5 * 0.06), 1e-9,
                       "a straight line between logarithms");
    for (double q = 1; q > 0.002; q *= 0.99) {
        cr_assert_leq(thinning_phi(q * 0.99, points), thinning_phi(q, points));
        cr_assert_float_eq(thinning_phi(q * 0.99, points), thinning_phi(q, points), 0.01,
                           "no step");
    }
}

Test(thinning, gives_the_floors_of_a_cold_unit_at_one_to_one)
{
    static const double sessions[SCALES] = {8, 20, 50, 150, 450};
    static const double destinations[SCALES] = {6, 15, 35, 90, 250};
    for (guint j = 0; j < SCALES; j++) {
        cr_assert_float_eq(envelope(FALSE, CHANNEL_SESSIONS, j, 1), 0.18 * sessions[j],
                           1e-3 * sessions[j]);
        cr_assert_float_eq(envelope(FALSE, CHANNEL_DESTINATIONS, j, 1), 0.18 * destinations[j],
                           1e-3 * destinations[j]);
        cr_assert_float_eq(envelope(TRUE, CHANNEL_SESSIONS, j, 1), 0.8 * sessions[j],
                           1e-3 * sessions[j]);
    }
}

Test(thinning, uses_session_floors_for_destinations_when_half_is_missed)
{
    cr_assert_lt(envelope(FALSE, CHANNEL_DESTINATIONS, 2, 1.9),
                 envelope(FALSE, CHANNEL_SESSIONS, 2, 1.9));
    cr_assert_eq(envelope(FALSE, CHANNEL_DESTINATIONS, 2, 2.1),
                 envelope(FALSE, CHANNEL_SESSIONS, 2, 2.1));
}

Test(thinning, sightings_are_scarce_from_about_1_in_2000_on)
{
    cr_assert_not(thinning_is_scarce(1));
    cr_assert_not(thinning_is_scarce(1 / thinning_q(1000, 14)));
    cr_assert(thinning_is_scarce(1 / thinning_q(4096, 14)));
    cr_assert(thinning_is_scarce(1 / thinning_q(4096, 27)));
}

Test(thinning, caps_repeats_by_rate)
{
    static const struct {
        double rate;
        guint cap;
    } rows[] = {{1, 16},   {9, 16},   {11, 8},   {100, 8},  {310, 8},  {320, 3},
                {1000, 3}, {2000, 3}, {2100, 1}, {4096, 1}, {65536, 1}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
            double q = thinning_q(rows[i].rate, conf.session_packets[pair]);
            cr_assert_eq(thinning_cap(thinning, q, (PstPortPair)pair), rows[i].cap, "1:%g gives %u",
                         rows[i].rate, thinning_cap(thinning, q, (PstPortPair)pair));
        }
}

Test(thinning, levels_are_within_a_thousandth_below_one_too)
{
    cr_assert_eq(thinning_level(0), LEVEL_NONE);
    cr_assert_eq(thinning_of_level(LEVEL_NONE), 0);
    for (double m = 1e-6; m < 1e6; m *= 1.7)
        cr_assert_float_eq(thinning_of_level(thinning_level(m)), m, 6e-4 * m);
}

Test(thinning, ranks_keep_counts_and_have_a_none)
{
    cr_assert_eq(thinning_rank(thinning, 0), 0);
    cr_assert_eq(thinning_count(thinning, 0), 0);
    for (guint32 n = 1; n < 1000000; n = n * 3 / 2 + 1)
        cr_assert_float_eq(thinning_count(thinning, thinning_rank(thinning, n)), n, 6e-4 * n);
    cr_assert_eq(rank_shift(0, 100), 0);
    cr_assert_eq(rank_shift(10, -10), 1, "what was seen once fades to one, not to nothing");
    cr_assert_eq(thinning_rank(thinning, G_MAXUINT32), RANK_MAX);
}

Test(thinning, shrinks_the_largest_of_many_windows)
{
    cr_assert_eq(thinning_shrink(thinning, 0), LEVEL_NONE);
    static const double rows[][2] = {{4, 2.089}, {9, 6.06}, {100, 90.0}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Rank rank = thinning_rank(thinning, (guint32)rows[i][0]);
        double expected =
            rows[i][0] * pow(1 - 1 / (9 * rows[i][0]) - 1 / (3 * sqrt(rows[i][0])), 3);
        cr_assert_float_eq(expected, rows[i][1], 0.1);
        cr_assert_float_eq(thinning_of_level(thinning_shrink(thinning, rank)), expected,
                           2e-3 * expected);
    }
}
