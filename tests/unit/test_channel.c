/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include <criterion/criterion.h>
#include <math.h>

#include "engine_maker.h"

static EngineConf conf;
static Thinning *thinning;
static CellBook *book;
static const guint16 today = DAY_S / A_DAY_S;
static Pool carries;
static Law law;

static void make(void)
{
    pool_init(&carries, sizeof(Carry));
    engine_conf_init(&conf);
    thinning = thinning_new(&conf);
    book = cell_book_new(thinning);
    law = (Law){.book = book, .ceiling = LEVEL_NONE, .day = &today, .carries = &carries};
}

static void drop(void)
{
    cell_book_free(book);
    thinning_free(thinning);
    pool_clear(&carries);
}

TestSuite(channel, .init = make, .fini = drop);

/* --- the recursion ----------------------------------------------------------------------- */

/* Counts of a negative binomial with mean m and shape 2, by its cumulated probabilities. */
typedef struct {
    double cumulated[4000];
} Null;

static void null_make(Null *null, double m)
{
    double p = pow(2 / (2 + m), 2), sum = 0;
    for (guint k = 0; k < G_N_ELEMENTS(null->cumulated); k++) {
        sum += p;
        null->cumulated[k] = sum;
        p *= (k + 2.0) / (k + 1.0) * m / (2 + m);
    }
}

static guint32 null_draw(const Null *null, Dice *dice)
{
    double u = dice_unit(dice);
    guint32 k = 0;
    while (k + 1 < G_N_ELEMENTS(null->cumulated) && null->cumulated[k] < u)
        k++;
    return k;
}

/* Shares of days on which M of a cell at the null's exact boundary ever reaches 10, 100, 1000,
 * by multiplier. */
static void survive(guint scale, double m, guint days, double out[THETAS][3])
{
    g_autofree Null *null = g_new0(Null, 1);
    null_make(null, m);
    Dice dice = {scale * 77 + 12345};
    Cell cell;
    cell_make(scale, m, &cell);
    guint windows = 86400 / scale_tau_s[scale];
    for (guint day = 0; day < days; day++) {
        double M[THETAS], highest[THETAS] = {0};
        memcpy(M, cell.idle, sizeof M);
        for (guint w = 0; w < windows; w++) {
            cell_window(&cell, M, null_draw(null, &dice));
            for (guint theta = 0; theta < THETAS; theta++)
                highest[theta] = MAX(highest[theta], M[theta]);
        }
        for (guint theta = 0; theta < THETAS; theta++)
            for (guint i = 0; i < 3; i++)
                out[theta][i] += highest[theta] >= pow(10, i + 1) ? 1.0 / days : 0;
    }
}

/* The promise is 1/c; at the boundary itself the design measured 0.022, 0.0017, 0.00025. Three
 * standard deviations of the simulation are allowed on top. */
static void check_survival(guint scale, double m, guint days)
{
    static const double at_most[3] = {0.022, 0.0017, 0.00025};
    double share[THETAS][3] = {0};
    survive(scale, m, days, share);
    for (guint theta = 0; theta < THETAS; theta++)
        for (guint i = 0; i < 3; i++) {
            double slack = 3 * sqrt(at_most[i] / days) + 1.0 / days;
            cr_assert_leq(share[theta][i], at_most[i] + slack,
                          "scale %u θ %u m %g: P(M ≥ 1e%u) = %g", scale, theta, m, i + 1,
                          share[theta][i]);
            cr_assert_leq(share[theta][i], pow(10, -(double)(i + 1)) + slack);
        }
}

Test(channel, evidence_is_rare_at_the_boundary_of_the_null)
{
    check_survival(4, 81, 100000); /* cold, 1:1, 3 h */
    check_survival(3, 27, 50000);  /* cold, 1:1, 30 min */
    check_survival(2, 9, 20000);   /* cold, 1:1, 5 min */
    check_survival(1, 3.6, 5000);
    check_survival(0, 1.44, 1000);
    check_survival(3, 1.5, 50000);     /* about cold, 1:100 */
    check_survival(4, 0.0113, 100000); /* cold, 1:1000 */
    check_survival(2, 0.00125, 20000);
}

Test(channel, evidence_is_less_below_the_null)
{
    /* Half of what the envelope allows. */
    g_autofree Null *null = g_new0(Null, 1);
    null_make(null, 4.5);
    Dice dice = {99};
    Cell cell;
    cell_make(2, 9, &cell);
    guint reached = 0;
    for (guint day = 0; day < 2000; day++) {
        double M[THETAS];
        memcpy(M, cell.idle, sizeof M);
        for (guint w = 0; w < 288; w++) {
            cell_window(&cell, M, null_draw(null, &dice));
            reached += M[0] >= 100 ? 1 : 0;
        }
    }
    cr_assert_leq(reached, 1);
}

static const double envelopes[] = {8e-6, 0.00125, 0.27, 1.44, 81, 5000};

Test(channel, idle_windows_in_closed_form_equal_the_iterated_ones)
{
    for (guint scale = 0; scale < SCALES; scale++)
        for (guint e = 0; e < G_N_ELEMENTS(envelopes); e++) {
            Cell cell;
            cell_make(scale, envelopes[e], &cell);
            double iterated[THETAS] = {1e12, 12345, 0.5, 1e-9};
            for (gint64 k = 1; k <= 3000; k++) {
                cell_window(&cell, iterated, 0);
                double closed[THETAS] = {1e12, 12345, 0.5, 1e-9};
                cell_idle(&cell, closed, k);
                for (guint theta = 0; theta < THETAS; theta++)
                    cr_assert_float_eq(closed[theta], iterated[theta], 1e-9 * iterated[theta],
                                       "scale %u m %g θ %u k %d: %g, iterated %g", scale,
                                       envelopes[e], theta, (int)k, closed[theta], iterated[theta]);
            }
        }
}

Test(channel, idle_state_is_where_idle_windows_lead)
{
    for (guint scale = 0; scale < SCALES; scale++)
        for (guint e = 0; e < G_N_ELEMENTS(envelopes); e++) {
            Cell cell;
            cell_make(scale, envelopes[e], &cell);
            double M[THETAS] = {1e9, 1e9, 1e9, 1e9}, next[THETAS];
            memcpy(next, cell.idle, sizeof next);
            cell_window(&cell, next, 0);
            cell_idle(&cell, M, 100000000);
            for (guint theta = 0; theta < THETAS; theta++) {
                cr_assert_float_eq(next[theta], cell.idle[theta], 1e-9 * cell.idle[theta]);
                cr_assert_float_eq(M[theta], cell.idle[theta], 1e-9 * cell.idle[theta]);
                cr_assert_leq(cell.idle[theta], 0.5);
            }
        }
}

Test(channel, factors_are_those_of_the_likelihood_ratio)
{
    Cell cell;
    cell_make(2, 9, &cell);
    for (guint theta = 0; theta < THETAS; theta++) {
        static const double multiplier[THETAS] = {4, 32, 256, 2048};
        double ratio = (2 + 9) / (2 + multiplier[theta] * 9), g = exp(-300 / 86400.0);
        cr_assert_float_eq(cell.decay[theta], g * ratio * ratio, 1e-15);
        cr_assert_float_eq(cell.started[theta], (1 - g) / 2 * ratio * ratio, 1e-15);
        cr_assert_float_eq(cell.plus[theta], multiplier[theta] * ratio, 1e-12);
        double M[THETAS] = {1, 1, 1, 1};
        cell_window(&cell, M, 5);
        double by_hand = (g + (1 - g) / 2) * ratio * ratio * pow(multiplier[theta] * ratio, 5);
        cr_assert_float_eq(M[theta], by_hand, 1e-9 * by_hand);
    }
}

Test(channel, mass_is_at_most_one_half_at_any_fixed_time)
{
    /* Under the null E[c0·c⁺^n] = 1: a step takes E[M] = x to g·x + w, whose fixed point is 1/2.
     * With no sighting at all, where m → 0 and c0 → 1, that is the idle state. */
    for (guint scale = 0; scale < SCALES; scale++) {
        Cell cell;
        cell_make(scale, 1e-12, &cell);
        cr_assert_float_eq(cell.idle[0], 0.5, 1e-6);
    }
}

Test(channel, evidence_runs_from_nothing_to_a_thousand)
{
    cr_assert_eq(evidence_of(0), 0);
    cr_assert_eq(evidence_of(80), 0);
    cr_assert_float_eq(evidence_of(80e6), 600, 1e-9);
    cr_assert_eq(evidence_of(1e30), 1000);
    cr_assert_float_eq(evidence_to_m(600), 80e6, 1);
}

/* --- windows ----------------------------------------------------------------------------- */

static Peak peak_at(const Block *block, gint64 open_s, gint64 at_s)
{
    Peak peak = {0};
    block_peak(block, &law, PST_PAIR_SMTP, open_s, at_s, &peak, NULL);
    return peak;
}

static void sight(Block *block, gint64 at_s)
{
    (void)block_advance(block, &law, at_s, &(Learned){0});
    block_count(block, &law, CHANNEL_SESSIONS, at_s);
    block_count(block, &law, CHANNEL_DESTINATIONS, at_s);
    block_count_session(block, &law, at_s);
}

static const gint64 ring[SCALES] = {13, 3, 2, 2, 2};

/* M of a block before its oldest window that stands; @cell of the gap. */
static void before_ring(const Block *block, Channel channel, guint scale, const Cell *cell,
                        double M[THETAS])
{
    cell_load(block->closed[channel][scale], M);
    cell_idle(cell, M, scale < GAPS ? block->gap[scale] : 0);
}

/* The least that is kept of M when it is rounded @times. */
static void round_at_worst(double M[THETAS], gint64 times)
{
    for (; times > 0; times--)
        for (guint theta = 0; theta < THETAS; theta++)
            M[theta] = MAX(0, (1 - 0x1p-10) * M[theta] - 0x1p-24);
}

/* The plain recursion in double, and the least that roundings may leave of it. All steps are
 * monotone in M, and a rounding costs most at the end of an idle run, so the block lies between. */
typedef struct {
    double most[THETAS], least[THETAS];
} Bounds;

static void bounds_window(Bounds *b, const Cell *cell, guint32 n)
{
    cell_window(cell, b->most, n);
    cell_window(cell, b->least, n);
    round_at_worst(b->least, 1);
}

/* M is rounded after a run, at midnight, and each 255 windows; of the longest after each. */
static void bounds_idle(Bounds *b, guint scale, const Cell *cell, gint64 k)
{
    cell_idle(cell, b->most, k);
    cell_idle(cell, b->least, k);
    round_at_worst(b->least, scale < GAPS && k > 0 ? 2 + k / 255 : k);
}

Test(channel, block_equals_the_plain_recursion_but_for_what_is_rounded_down)
{
    /* One scale after the other, followed by hand with gaps of all sizes. */
    for (guint scale = 0; scale < SCALES; scale++) {
        Block block = {0};
        Dice dice = {scale + 5};
        gint64 tau = scale_tau_s[scale], at = DAY_S;
        block_init(&block, &law, at, 1);
        Cell cell;
        double m = 0.18 * conf.floor_sessions[scale];
        Level envelope = law_envelope(&law, CHANNEL_SESSIONS, scale, 0, 0);
        cr_assert_float_eq(thinning_of_level(envelope), m, 1e-3 * m);
        /* Cells stand at every fourth level, the next above. */
        cell_make(scale, thinning_of_level((Level)(4 * ceil(envelope / 4.0))), &cell);
        Bounds bounds;
        memcpy(bounds.most, cell.idle, sizeof bounds.most);
        memcpy(bounds.least, cell.idle, sizeof bounds.least);
        round_at_worst(bounds.least, 1);
        gint64 window = at / tau;
        guint32 n = 0;
        /* The block starts with its ring of empty windows; so does this. */
        for (guint i = 0; i < 400; i++) {
            gint64 step = (gint64)(dice_next(&dice) % 8 == 0 ? dice_next(&dice) % (40 * tau)
                                                             : dice_next(&dice) % 5);
            at += step;
            if (at / tau != window) {
                bounds_window(&bounds, &cell, n);
                bounds_idle(&bounds, scale, &cell, at / tau - window - 1);
                window = at / tau;
                n = 0;
            }
            sight(&block, at);
            n++;
        }
        /* The last window leaves the ring, nothing after it. */
        bounds_window(&bounds, &cell, n);
        (void)block_advance(&block, &law, (window + ring[scale]) * tau, &(Learned){0});
        double M[THETAS];
        before_ring(&block, CHANNEL_SESSIONS, scale, &cell, M);
        for (guint theta = 0; theta < THETAS; theta++) {
            cr_assert_leq(M[theta], bounds.most[theta] * (1 + 1e-9), "scale %u θ %u: %g of %g",
                          scale, theta, M[theta], bounds.most[theta]);
            cr_assert_geq(M[theta], bounds.least[theta] * (1 - 1e-9), "scale %u θ %u: %g of %g",
                          scale, theta, M[theta], bounds.least[theta]);
        }
    }
}

Test(channel, what_is_kept_of_m_is_rounded_down)
{
    Dice dice = {3};
    for (guint i = 0; i < 20000; i++) {
        double M[THETAS], kept[THETAS], round[THETAS];
        Kept closed[THETAS];
        for (guint theta = 0; theta < THETAS; theta++)
            M[theta] = round[theta] = MIN(CELL_MAX, pow(2, dice_unit(&dice) * 75 - 35));
        cell_store(M, closed);
        cell_load(closed, kept);
        cell_round(round);
        for (guint theta = 0; theta < THETAS; theta++) {
            cr_assert_leq(kept[theta], M[theta]);
            cr_assert_gt(kept[theta], (1 - 0x1p-10) * M[theta] - 0x1p-24);
            cr_assert_eq(kept[theta], round[theta]);
            cr_assert(kept[theta] > 0 || M[theta] < 0x1.004p-24);
        }
    }
    Kept closed[THETAS];
    const double edge[THETAS] = {0, CELL_MAX, 0x1p-24, 1};
    double kept[THETAS];
    cell_store(edge, closed);
    cell_load(closed, kept);
    cr_assert_eq(kept[0], 0);
    cr_assert_eq(evidence_of(kept[1]), 1000, "all that evidence shows");
    cr_assert_eq(kept[2], 0);
    cr_assert_eq(kept[3], 1);
}

/* All windows of a scale since a block began, each under its own R. */
typedef struct {
    guint32 n[6000];
    guint16 code[6000];
    gint64 first, top;
} Record;

static void record_to(Record *r, gint64 window, guint16 code)
{
    for (; r->top < window; r->top++)
        r->code[r->top + 1 - r->first] = code;
}

/* What a window in the ring is judged by follows R when it falls. */
static void record_thin(Record *r, guint scale, guint16 code)
{
    for (gint64 i = MAX(r->first, r->top - ring[scale] + 1); i <= r->top; i++)
        r->code[i - r->first] = MIN(r->code[i - r->first], code);
}

static void check_below(const Record *r, const Block *block, guint scale)
{
    double M[THETAS] = {0}, kept[THETAS];
    const Cell *cell = NULL;
    for (gint64 i = r->first; i <= r->top - ring[scale]; i++) {
        Level m = law_envelope(&law, CHANNEL_SESSIONS, scale, 0, r->code[i - r->first]);
        cell = cell_book_find(book, scale, m);
        if (i == r->first)
            memcpy(M, cell->idle, sizeof M);
        cell_window(cell, M, r->n[i - r->first]);
    }
    Level m = law_envelope(&law, CHANNEL_SESSIONS, scale, 0, thinning_code((double)block->r));
    before_ring(block, CHANNEL_SESSIONS, scale, cell_book_find(book, scale, m), kept);
    for (guint theta = 0; theta < THETAS; theta++)
        cr_assert_leq(kept[theta], M[theta] * (1 + 1e-9), "scale %u θ %u: %g of %g", scale, theta,
                      kept[theta], M[theta]);
}

Test(channel, m_never_exceeds_the_plain_recursion_however_r_moves)
{
    for (guint scale = 0; scale < SCALES; scale++) {
        g_autofree Record *r = g_new0(Record, 1);
        Block block = {0};
        Dice dice = {scale + 31};
        gint64 at = DAY_S, tau = scale_tau_s[scale];
        block_init(&block, &law, at, 20);
        r->first = r->top = at / tau;
        r->code[0] = thinning_code((double)block.r);
        while (at / tau < r->first + 5900 - 40) {
            at += (gint64)(dice_next(&dice) % 8 == 0 ? dice_next(&dice) % (40 * tau)
                                                     : dice_next(&dice) % tau);
            record_to(r, at / tau, thinning_code((double)block.r));
            sight(&block, at);
            r->n[at / tau - r->first]++;
            if (dice_next(&dice) % 4 == 0)
                (void)block_thin(&block, &law, 1 + 60 * dice_unit(&dice));
            record_thin(r, scale, thinning_code((double)block.r));
            if (dice_next(&dice) % 64 == 0)
                check_below(r, &block, scale);
        }
        check_below(r, &block, scale);
    }
}

Test(channel, late_sighting_counts_as_if_it_had_been_on_time)
{
    Block in_order = {0}, shuffled = {0};
    block_init(&in_order, &law, DAY_S, 1);
    block_init(&shuffled, &law, DAY_S, 1);
    gint64 times[60];
    Dice dice = {4};
    for (guint i = 0; i < 60; i++)
        times[i] = DAY_S + (gint64)i * 2;
    for (guint i = 0; i < 60; i++)
        sight(&in_order, times[i]);
    for (guint i = 59; i > 0; i--) {
        guint j = (guint)(dice_next(&dice) % (i + 1));
        gint64 t = times[i];
        times[i] = times[j];
        times[j] = t;
    }
    for (guint i = 0; i < 60; i++)
        sight(&shuffled, times[i]);
    cr_assert_arr_eq(&in_order, &shuffled, sizeof in_order, "counts and cells are the same");
    gint64 end = DAY_S + 118;
    cr_assert_eq(peak_at(&in_order, end - 120, end).m_value,
                 peak_at(&shuffled, end - 120, end).m_value);
}

/* A record, and when it comes: up to the watermark late. */
typedef struct {
    gint64 at_s, comes_s;
} Arrival;

static gint by_coming(gconstpointer a, gconstpointer b)
{
    const Arrival *one = a, *other = b;
    return one->comes_s < other->comes_s ? -1 : one->comes_s > other->comes_s;
}

Test(channel, shuffled_within_the_watermark_cells_are_the_same_to_the_bit)
{
    static const double rates[] = {1, 7.6, 293};
    for (guint r = 0; r < G_N_ELEMENTS(rates); r++) {
        Block in_order = {0}, shuffled = {0};
        Dice dice = {r + 9};
        Arrival told[3000];
        gint64 at = DAY_S + 70000; /* over midnight and on */
        for (guint i = 0; i < G_N_ELEMENTS(told); i++) {
            at += (gint64)(dice_next(&dice) % 50 == 0 ? dice_next(&dice) % 9000
                                                      : dice_next(&dice) % 40);
            told[i] = (Arrival){at, at + (gint64)(dice_next(&dice) % 121)};
        }
        block_init(&in_order, &law, told[0].at_s, rates[r]);
        for (guint i = 0; i < G_N_ELEMENTS(told); i++)
            sight(&in_order, told[i].at_s);
        qsort(told, G_N_ELEMENTS(told), sizeof told[0], by_coming);
        block_init(&shuffled, &law, told[0].at_s, rates[r]);
        for (guint i = 0; i < G_N_ELEMENTS(told); i++)
            sight(&shuffled, told[i].at_s);
        cr_assert_arr_eq(pool_at(&carries, in_order.carry), pool_at(&carries, shuffled.carry),
                         sizeof(Carry));
        shuffled.carry = in_order.carry;
        cr_assert_arr_eq(&in_order, &shuffled, sizeof in_order, "R %g", rates[r]);
    }
}

Test(channel, sighting_older_than_the_windows_is_not_counted)
{
    Block block = {0}, same;
    block_init(&block, &law, DAY_S, 1);
    sight(&block, DAY_S + 40000);
    memcpy(&same, &block, sizeof block);
    block_count(&block, &law, CHANNEL_SESSIONS, DAY_S + 40000 - 2 * 10800);
    cr_assert_arr_eq(&block, &same, sizeof block);
}

Test(channel, counts_do_not_wrap)
{
    Block block = {0};
    block_init(&block, &law, DAY_S, 1);
    for (guint i = 0; i < 70000; i++)
        sight(&block, DAY_S);
    Peak peak = peak_at(&block, DAY_S, DAY_S);
    cr_assert_float_eq(peak.m_value, CELL_MAX, 1);
    cr_assert_eq(block_sessions(&block, &law, DAY_S, DAY_S), 70000);
    cr_assert_eq(block_destinations(&block, &law, DAY_S, DAY_S), 70000);
    Carry *carry = pool_at(&carries, block.carry);
    memset(carry->high, 0xff, sizeof carry->high);
    memset(block.low, 0xff, sizeof block.low);
    sight(&block, DAY_S);
    /* Of two windows. */
    cr_assert_eq(block_sessions(&block, &law, DAY_S, DAY_S), 2 * (G_MAXUINT16 * 256 + 255));
}

Test(channel, carry_is_held_while_a_count_is_above_255)
{
    Block block = {0};
    block_init(&block, &law, DAY_S, 1);
    for (guint i = 0; i < 255; i++)
        sight(&block, DAY_S);
    cr_assert_eq(carries.count, 0);
    sight(&block, DAY_S);
    cr_assert_eq(carries.count, 1);
    cr_assert_eq(block_sessions(&block, &law, DAY_S, DAY_S), 256);
    gint64 last = DAY_S - DAY_S % 10800 + 2 * 10800;
    (void)block_advance(&block, &law, last - 1, &(Learned){0});
    cr_assert_eq(carries.count, 1, "its 3 hours stand");
    (void)block_advance(&block, &law, last, &(Learned){0});
    cr_assert_eq(carries.count, 0);
    cr_assert_eq(block_sessions(&block, &law, last, last), 0);
    for (guint i = 0; i < 300; i++)
        sight(&block, last);
    block_init(&block, &law, last, 1);
    cr_assert_eq(carries.count, 0, "begun anew");
}

Test(channel, magnitude_is_of_the_current_and_the_previous_three_hours)
{
    Block block = {0};
    gint64 hour3 = DAY_S - DAY_S % 10800 + 10800;
    block_init(&block, &law, hour3, 1);
    for (guint i = 0; i < 7; i++)
        sight(&block, hour3 + i);
    for (guint i = 0; i < 5; i++)
        sight(&block, hour3 + 10800 + i);
    gint64 now = hour3 + 10810;
    cr_assert_eq(block_sessions(&block, &law, now - 120, now), 12);
    now = hour3 + 2 * 10800 + 200;
    cr_assert_eq(block_sessions(&block, &law, now - 120, now), 5);
    now = hour3 + 3 * 10800 + 200;
    cr_assert_eq(block_sessions(&block, &law, now - 120, now), 0);
}

Test(channel, credit_never_skips_the_sighting_that_reaches_the_target)
{
    static const double rates[] = {1, 1.5, 7.6, 72, 293};
    for (guint r = 0; r < G_N_ELEMENTS(rates); r++) {
        Block block = {0};
        Dice dice = {r + 1};
        gint64 at = DAY_S;
        guint32 credit = 0;
        double target = evidence_to_m(300);
        block_init(&block, &law, at, rates[r]);
        for (guint i = 0; i < 3000; i++) {
            at += (gint64)(dice_next(&dice) % 4 == 0 ? dice_next(&dice) % 60 : 0);
            gint64 own = at - (gint64)(dice_next(&dice) % 100);
            sight(&block, at);
            block_count(&block, &law, CHANNEL_SESSIONS, own);
            double M = peak_at(&block, at - 120, at).m_value;
            if (credit >= 2) {
                cr_assert_lt(M, target, "R %g: reached with %u to go", rates[r], credit);
                credit -= 2; /* two sightings of S */
            } else {
                Peak peak = {0};
                Reach reach;
                block_peak(&block, &law, PST_PAIR_SMTP, at - 120, at, &peak, &reach);
                credit = reach_credit(&reach, target);
            }
            if (M >= target)
                block_init(&block, &law, at, rates[r]);
        }
    }
}

Test(channel, denser_sampling_is_believed_at_once_and_thinner_slowly)
{
    Block block = {0};
    block_init(&block, &law, DAY_S, 72);
    cr_assert(block_thin(&block, &law, 1));
    cr_assert_eq(block.r, 1);
    for (guint place = 0; place < RATES; place++)
        cr_assert_eq(block.rate[place], 0);
    cr_assert_not(block_thin(&block, &law, 1));
    cr_assert(block_thin(&block, &law, 72));
    cr_assert_lt(block.r, 4);
    for (guint i = 0; i < 300; i++)
        (void)block_thin(&block, &law, 72);
    cr_assert_float_eq(block.r, 72, 0.1);
}
