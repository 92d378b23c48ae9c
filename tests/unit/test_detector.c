/* SPDX-License-Identifier: Apache-2.0 */
#include "detector.h"

#include <criterion/criterion.h>
#include <math.h>

#include "engine_maker.h"

static EngineConf conf;
static Thinning *thinning;
static CellBook *book;
static const guint16 today = DAY_S / A_DAY_S;
static Pool carries;
static Standing standing;
static Law law[PST_PAIR_COUNT];

static void make(void)
{
    conf = small_conf();
    pool_init(&carries, sizeof(Carry));
    thinning = thinning_new(&conf);
    book = cell_book_new(thinning);
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        law[pair] = (Law){.book = book, .ceiling = LEVEL_NONE, .day = &today, .carries = &carries};
}

static void drop(void)
{
    cell_book_free(book);
    thinning_free(thinning);
    pool_clear(&carries);
}

TestSuite(detector, .init = make, .fini = drop);

/* A unit with so many sessions seen in one second, all to new servers. */
static Assessment assess(guint32 on_25, guint32 on_submission, double r)
{
    Block block[PST_PAIR_COUNT] = {0};
    const guint32 n[PST_PAIR_COUNT] = {on_25, on_submission};
    const Block *blocks[PST_PAIR_COUNT] = {NULL, NULL};
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        if (n[pair] == 0)
            continue;
        block_init(&block[pair], &law[pair], DAY_S, r);
        for (guint32 i = 0; i < n[pair]; i++) {
            block_count(&block[pair], &law[pair], CHANNEL_SESSIONS, DAY_S);
            block_count(&block[pair], &law[pair], CHANNEL_DESTINATIONS, DAY_S);
            block_count_session(&block[pair], &law[pair], DAY_S);
        }
        blocks[pair] = &block[pair];
    }
    Assessment out;
    detector_assess(&conf, &standing, law, blocks, DAY_S - 120, DAY_S, &out);
    return out;
}

Test(detector, lower_bound_is_the_count_itself_where_nothing_is_missed)
{
    cr_assert_eq(detector_lower_bound(37, 1), 37);
    cr_assert_eq(detector_lower_bound(0, 1), 0);
    cr_assert_eq(detector_lower_bound(0, 0.01), 0);
}

Test(detector, lower_bound_holds_in_nineteen_of_twenty_trials)
{
    /* 400 true sessions, thinned: the bound on them must be right 95 % of the time. */
    static const double chances[] = {0.13, 0.014};
    for (guint c = 0; c < G_N_ELEMENTS(chances); c++) {
        Dice dice = {c + 3};
        guint wrong = 0, trials = 10000;
        for (guint t = 0; t < trials; t++) {
            guint n = 0;
            for (guint i = 0; i < 400; i++)
                n += dice_unit(&dice) < chances[c] ? 1 : 0;
            wrong += detector_lower_bound(n, chances[c]) / chances[c] > 400 ? 1 : 0;
        }
        cr_assert_leq((double)wrong / trials, 0.06, "q %g: %u wrong", chances[c], wrong);
    }
}

Test(detector, gate_of_a_cold_unit_opens_at_50)
{
    Assessment before = assess(49, 0, 1), at = assess(50, 0, 1);
    cr_assert_geq(before.evidence, 900);
    cr_assert_eq(before.score, 590, "evidence waits at the gate");
    cr_assert_eq(before.bands, BAND_BIT(PST_BAND_WATCH));
    cr_assert_eq(at.bands, BAND_BIT(PST_BAND_WATCH) | BAND_BIT(PST_BAND_FLAG));
    cr_assert_geq(at.score, 900);
}

Test(detector, block_of_a_cold_unit_waits_for_three_gates)
{
    cr_assert_not(assess(149, 0, 1).bands & BAND_BIT(PST_BAND_BLOCK));
    cr_assert(assess(150, 0, 1).bands & BAND_BIT(PST_BAND_BLOCK));
}

Test(detector, gates_of_a_known_unit_are_100_and_200)
{
    standing.known = law[0].known = TRUE;
    cr_assert_not(assess(99, 0, 1).gate_open);
    cr_assert(assess(100, 0, 1).gate_open);
    /* Evidence needs more than the gate here: a known unit's envelope is wider. */
    cr_assert_not(assess(99, 0, 1).bands & BAND_BIT(PST_BAND_FLAG));
    cr_assert(assess(120, 0, 1).bands & BAND_BIT(PST_BAND_FLAG));
    cr_assert_not(assess(199, 0, 1).bands & BAND_BIT(PST_BAND_BLOCK));
    cr_assert(assess(200, 0, 1).bands & BAND_BIT(PST_BAND_BLOCK));
    standing.known = law[0].known = FALSE;
}

Test(detector, gate_asks_for_servers)
{
    standing.wanted = 5;
    for (standing.servers = 0; standing.servers < 5; standing.servers++) {
        Assessment few = assess(200, 0, 1);
        cr_assert_not(few.gate_open);
        cr_assert_eq(few.score, 590);
        cr_assert_eq(few.bands, BAND_BIT(PST_BAND_WATCH));
    }
    cr_assert(assess(200, 0, 1).bands & BAND_BIT(PST_BAND_BLOCK));
    standing.servers = standing.wanted = 0;
}

Test(detector, both_port_pairs_count_for_the_gate)
{
    cr_assert_not(assess(40, 9, 1).gate_open);
    cr_assert(assess(40, 10, 1).gate_open);
    cr_assert_eq(assess(40, 10, 1).seen, 50);
    cr_assert_eq(assess(40, 10, 1).destinations, 50);
}

Test(detector, gate_asks_for_certain_sessions_where_traffic_is_sampled)
{
    /* 1:100: 7 seen stand for 53, but at least 26 are certain. */
    double r = 1 / thinning_q(100, 14);
    Assessment seven = assess(7, 0, r);
    cr_assert_geq(seven.seen * seven.sampling, 50);
    cr_assert_not(seven.gate_open);
    guint32 n = 7;
    while (!assess(n, 0, r).gate_open)
        n++;
    cr_assert_eq(n, 12, "the wall of 91 true sessions");
    cr_assert_geq(assess(n, 0, r).seen * r, 91);
}

Test(detector, two_sightings_are_no_burst_whatever_they_stand_for)
{
    double r = 1 / thinning_q(4096, 14);
    Assessment two = assess(2, 0, r), three = assess(3, 0, r);
    cr_assert_geq(two.low, 100, "as many are certain");
    cr_assert_not(two.gate_open);
    cr_assert_gt(two.gate, two.low, "and the words say what is wanting");
    cr_assert(three.gate_open);
    cr_assert(three.bands & BAND_BIT(PST_BAND_FLAG));
}

Test(detector, evidence_is_largest_over_all_eighty_cells)
{
    Assessment one = assess(60, 0, 1);
    cr_assert_eq(one.peak.scale, 0, "sixty in a second: the shortest window");
    cr_assert_eq(one.peak.count, 60);
    cr_assert_float_eq(one.evidence, evidence_of(one.peak.m_value), 1e-9);
    cr_assert_eq(assess(0, 30, 1).peak.pair, PST_PAIR_SUBMISSION);
}

Test(detector, credit_counts_what_is_missing_at_the_gate)
{
    Block block = {0};
    block_init(&block, &law[0], DAY_S, 1);
    for (guint i = 0; i < 40; i++) {
        block_count(&block, &law[0], CHANNEL_SESSIONS, DAY_S);
        block_count(&block, &law[0], CHANNEL_DESTINATIONS, DAY_S);
        block_count_session(&block, &law[0], DAY_S);
    }
    const Block *blocks[PST_PAIR_COUNT] = {&block, NULL};
    Assessment now;
    detector_assess(&conf, &standing, law, blocks, DAY_S - 120, DAY_S, &now);
    cr_assert_geq(now.evidence, 600);
    guint32 credit = detector_credit(&conf, &standing, &now, PST_BAND_FLAG);
    cr_assert_leq(credit, 9, "the tenth opens the gate");
    cr_assert_geq(credit, 7, "and until then nothing need be judged");
}
