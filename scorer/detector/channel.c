/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include <math.h>

#include "ring.h"

/* How many idle windows may wait before they go into M. */
static const gint64 gap_max[SCALES] = {255, 255, 255, 255, 1};

G_STATIC_ASSERT(sizeof(Block) == 160);

/* The code of R that a window opened under. The three minutes that stand contain all windows of
 * 10 s: 13 of these begin in them, wherever the last one ends. */
static inline guint16 rate_at(const Block *block, guint scale, gint64 window)
{
    enum { MINUTE = 1 };
    guint place = scale == 0 ? (guint)window % 18 / 6 : slot_of(scale, window) - ring[MINUTE].first;
    return block->rate[place];
}

static inline gboolean is_uniform(const Block *block, guint16 code)
{
    guint other = 0;
    for (guint place = 0; place < RATES; place++)
        other |= (guint)block->rate[place] ^ code;
    return other == 0;
}

/* --- counts -------------------------------------------------------------------------------- */

#define SESSIONS  (CHANNELS * SLOTS) /* place of the uncapped counts */
#define BYTE_FULL 255

static inline Carry *carry_of(const Block *block, const Law *law)
{
    return block->carry != 0 ? pool_at(law->carries, block->carry) : NULL;
}

/* @carry: the block's, or NULL. */
static inline guint32 count_at(const Block *block, const Carry *carry, guint place)
{
    return block->low[place] + (carry != NULL ? carry->high[place] * (BYTE_FULL + 1u) : 0);
}

static void count_up(Block *block, const Law *law, guint place)
{
    if (G_LIKELY(block->low[place] < BYTE_FULL)) {
        block->low[place]++;
        return;
    }
    if (block->carry == 0)
        block->carry = pool_take(law->carries);
    guint16 *high = &carry_of(block, law)->high[place];
    if (*high == G_MAXUINT16)
        return;
    block->low[place] = 0;
    (*high)++;
}

static void clear_count(Block *block, Carry *carry, guint place)
{
    block->low[place] = 0;
    if (carry != NULL)
        carry->high[place] = 0;
}

/* A carry that has become empty goes back. */
static void settle_carry(Block *block, const Law *law)
{
    static const Carry empty;
    const Carry *carry = carry_of(block, law);
    if (carry != NULL && memcmp(carry, &empty, sizeof empty) == 0)
        block_drop(block, law->carries);
}

void block_drop(Block *block, Pool *carries)
{
    if (block->carry != 0)
        pool_put(carries, block->carry);
    block->carry = 0;
}

/* --- envelopes and their cells ------------------------------------------------------------ */

/* τ in hours as steps, at least one hour: a ceiling may be used up in any shorter window. */
static const int hour_steps[SCALES] = {0, 0, 0, 0, 1099};

Level law_envelope(const Law *law, Channel channel, guint scale, gint64 day, guint16 code)
{
    const Thinning *thinning = law->book->thinning;
    Level m = thinning_floor(thinning, law->known, channel, scale, code);
    if (law->learned != NULL) {
        Level learned = learned_level(thinning, law->learned, day, channel, scale, code);
        m = MAX(m, learned);
    }
    if (law->ceiling != LEVEL_NONE) {
        Level ceiling = thinning_shift(law->ceiling, hour_steps[scale] - code);
        m = MAX(m, ceiling);
    }
    return m;
}

/* The cell of a window that opened under R = @code. */
static const Cell *cell_of(const Law *law, guint16 code, Channel channel, guint scale,
                           gint64 window)
{
    if (law->learned != NULL || law->ceiling != LEVEL_NONE) {
        gint64 day = law->learned != NULL ? day_of(scale, window) : 0;
        return cell_book_find(law->book, scale, law_envelope(law, channel, scale, day, code));
    }
    const Cell **plain = &law->book->plain[law->known ? 1 : 0][code][channel][scale];
    if (*plain == NULL)
        *plain = cell_book_find(law->book, scale, law_envelope(law, channel, scale, 0, code));
    return *plain;
}

/* One window after the other of one channel and scale: most have the cell of the one before. */
typedef struct {
    const Law *law;
    Channel channel;
    guint scale;
    const Cell *cell;
    guint16 code;
    gint64 end; /* first window that may have another */
} Walk;

static inline const Cell *walk_to(Walk *walk, guint16 code, gint64 window)
{
    if (walk->cell == NULL || code != walk->code || window >= walk->end) {
        gint64 a_day = windows_a_day[walk->scale];
        walk->cell = cell_of(walk->law, code, walk->channel, walk->scale, window);
        walk->code = code;
        walk->end = walk->law->learned != NULL ? window - window % a_day + a_day : G_MAXINT64;
    }
    return walk->cell;
}

/* --- the ring ------------------------------------------------------------------------------ */

static inline guint gap_of(const Block *block, guint scale)
{
    return scale < GAPS ? block->gap[scale] : 0;
}

/* M before the first window that stands: what is closed, and the gap, which ends before @window and
 * lies in one day. Rounded after the gap, so that it does not matter where a block that has always
 * been idle began. */
static inline void bring_up(const Block *block, Walk *walk, guint gap, guint16 code, gint64 window,
                            double M[THETAS])
{
    cell_load(block->closed[walk->channel][walk->scale], M);
    if (gap == 0)
        return;
    cell_idle(walk_to(walk, code, window - 1), M, gap);
    cell_round(M);
}

/* @n windows from @window on, in the place of those that left. */
static void open_windows(Block *block, Carry *carry, guint scale, gint64 window, gint64 n,
                         guint16 code)
{
    guint slot = slot_of(scale, window);
    for (; n > 0; n--) {
        for (guint channel = 0; channel < CHANNELS; channel++)
            clear_count(block, carry, channel * SLOTS + slot);
        if (scale > 0)
            block->rate[slot - ring[1].first] = code;
        if (scale == LONG)
            clear_count(block, carry, SESSIONS + slot - ring[LONG].first);
        slot = next_slot(scale, slot);
    }
}

/* At 1:1 without a logarithm. */
static inline guint16 code_of(double r)
{
    return r > 1 ? thinning_code(r) : 0;
}

void block_init(Block *block, const Law *law, gint64 at_s, double r)
{
    block_drop(block, law->carries);
    memset(block, 0, sizeof *block);
    block->newest_s = (guint32)at_s;
    block->r = (float)r;
    guint16 code = code_of(r);
    const Windows now = windows_of(at_s);
    for (guint scale = 0; scale < SCALES; scale++)
        for (guint channel = 0; channel < CHANNELS; channel++)
            cell_store(cell_of(law, code, (Channel)channel, scale, now.at[scale])->idle,
                       block->closed[channel][scale]);
    for (guint place = 0; place < RATES; place++)
        block->rate[place] = code;
}

/* --- time moves on ------------------------------------------------------------------------ */

/* A scale of a block whose windows leave the ring, one after the other. */
typedef struct {
    Block *block;
    const Law *law;
    const Carry *carry; /* or NULL */
    Learned *learned;   /* where they go: the law's, or what may become it */
    gboolean *first;    /* … and something has */
    Walk walk[CHANNELS];
    guint scale, gap;
    guint16 code;     /* of the present R, and of the windows of the gap */
    gboolean uniform; /* … and of all that stand */
} Closing;

static void keep_window(Closing *c, Channel channel, gint64 window, guint16 code, guint32 n)
{
    const Thinning *thinning = c->law->book->thinning;
    gint64 day = day_of(c->scale, window);
    if (day + 1 < (gint64)*c->law->day)
        return;
    if (c->law->learned == NULL) {
        if (!learned_matters(thinning, channel, c->scale, code, n))
            return;
        if (!*c->first)
            memset(c->learned, 0, sizeof *c->learned);
        *c->first = TRUE;
    }
    learned_window(thinning, c->learned, day, channel, c->scale, n);
}

/* The gap, which ends before @window, goes into M. */
static void close_gap(Closing *c, gint64 window)
{
    for (guint channel = 0; channel < CHANNELS && c->gap > 0; channel++) {
        double M[THETAS];
        bring_up(c->block, &c->walk[channel], c->gap, c->code, window, M);
        cell_store(M, c->block->closed[channel][c->scale]);
    }
    c->gap = 0;
}

/* @n windows from @window on, without a sighting, under the present R. A gap ends with the day, and
 * with its room. */
static void close_idle(Closing *c, gint64 window, gint64 n)
{
    gint64 a_day = windows_a_day[c->scale];
    while (n > 0) {
        gint64 tomorrow = window - window % a_day + a_day;
        gint64 some = MIN(n, MIN(tomorrow - window, gap_max[c->scale] - c->gap));
        c->gap += (guint)some;
        window += some;
        n -= some;
        if (window == tomorrow || c->gap == gap_max[c->scale])
            close_gap(c, window);
    }
}

/* One with sightings, or of another R. */
static void close_window(Closing *c, gint64 window, guint slot, guint16 code)
{
    for (guint channel = 0; channel < CHANNELS; channel++) {
        guint32 n = count_at(c->block, c->carry, channel * SLOTS + slot);
        double M[THETAS];
        bring_up(c->block, &c->walk[channel], c->gap, c->code, window, M);
        cell_window(walk_to(&c->walk[channel], code, window), M, n);
        cell_store(M, c->block->closed[channel][c->scale]);
        if (n > 0)
            keep_window(c, (Channel)channel, window, code, n);
    }
    c->gap = 0;
}

static inline gboolean is_idle(const Closing *c, guint slot)
{
    const guint8 *low = c->block->low;
    gboolean idle = (low[slot] | low[SLOTS + slot]) == 0;
    return idle && (c->carry == NULL || (c->carry->high[slot] | c->carry->high[SLOTS + slot]) == 0);
}

/* The windows first … first + n − 1 leave the ring, then @beyond that never stood. */
static void close_windows(Closing *c, gint64 first, gint64 n, gint64 beyond)
{
    guint slot = slot_of(c->scale, first);
    gint64 idle = 0;
    for (gint64 window = first; window < first + n; window++) {
        guint16 code = c->uniform ? c->code : rate_at(c->block, c->scale, window);
        if (code == c->code && is_idle(c, slot)) {
            idle++;
        } else {
            close_idle(c, window - idle, idle);
            close_window(c, window, slot, code);
            idle = 0;
        }
        slot = next_slot(c->scale, slot);
    }
    close_idle(c, first + n - idle, idle + beyond);
}

static void closing_begin(Closing *c, guint scale)
{
    c->scale = scale;
    c->gap = gap_of(c->block, scale);
    for (guint channel = 0; channel < CHANNELS; channel++)
        c->walk[channel] = (Walk){.law = c->law, .channel = (Channel)channel, .scale = scale};
}

static void closing_end(Closing *c)
{
    if (c->scale < GAPS)
        c->block->gap[c->scale] = (guint8)c->gap;
}

gboolean block_advance(Block *block, const Law *law, gint64 at_s, Learned *out_first)
{
    if (at_s <= (gint64)block->newest_s)
        return FALSE;
    gboolean first = FALSE;
    Carry *carry = carry_of(block, law);
    Closing c = {.block = block,
                 .law = law,
                 .carry = carry,
                 .learned = law->learned != NULL ? law->learned : out_first,
                 .first = &first,
                 .code = code_of((double)block->r)};
    c.uniform = is_uniform(block, c.code);
    const Windows before = windows_of(block->newest_s), now = windows_of(at_s);
    for (guint scale = 0; scale < SCALES; scale++) {
        gint64 top = before.at[scale];
        gint64 steps = now.at[scale] - top;
        if (steps == 0)
            break; /* a longer window did not end either */
        gint64 n = MIN(steps, ring[scale].windows);
        closing_begin(&c, scale);
        close_windows(&c, top - ring[scale].windows + 1, n, steps - n);
        closing_end(&c);
        open_windows(block, carry, scale, top + steps - n + 1, n, c.code);
    }
    block->newest_s = (guint32)at_s;
    settle_carry(block, law);
    return first;
}

/* All gaps go into M: they were of the R that was. */
static void close_gaps(Block *block, const Law *law)
{
    Closing c = {.block = block, .law = law, .code = code_of((double)block->r)};
    const Windows newest = windows_of(block->newest_s);
    for (guint scale = 0; scale < GAPS; scale++) {
        closing_begin(&c, scale);
        close_gap(&c, newest.at[scale] - ring[scale].windows + 1);
        closing_end(&c);
    }
}

void block_learn(const Block *block, const Law *law, gint64 day, Learned *into)
{
    const Carry *carry = carry_of(block, law);
    const Windows newest = windows_of(block->newest_s);
    for (guint scale = 0; scale < SCALES; scale++) {
        gint64 top = newest.at[scale];
        for (gint64 window = top; window > top - ring[scale].windows; window--)
            for (guint channel = 0; channel < CHANNELS; channel++)
                if (day_of(scale, window) == day)
                    learned_window(
                        law->book->thinning, into, day, (Channel)channel, scale,
                        count_at(block, carry, channel * SLOTS + slot_of(scale, window)));
    }
}

gboolean block_thin(Block *block, const Law *law, double inverse_q)
{
    /* Rising, R follows slowly. Falling (a second exporter, a denser rate) it follows at once and
     * in every window that stands: a burst seen better must not be judged by what was expected of
     * worse eyes. Both err towards a larger envelope, which only lowers M. */
    float before = block->r;
    if ((float)inverse_q == before)
        return FALSE;
    float r = (float)(inverse_q < before ? inverse_q : before + (inverse_q - before) / 32);
    guint16 code = code_of((double)r);
    if (code != code_of((double)before)) {
        close_gaps(block, law);
        for (guint place = 0; place < RATES; place++)
            block->rate[place] = MIN(block->rate[place], code);
    }
    block->r = r;
    return r != before;
}

void block_count(Block *block, const Law *law, Channel channel, gint64 at_s)
{
    const Windows newest = windows_of(block->newest_s), its = windows_of(at_s);
    for (guint scale = 0; scale < SCALES; scale++)
        if (stands(scale, newest.at[scale], its.at[scale]))
            count_up(block, law, channel * SLOTS + slot_of(scale, its.at[scale]));
}

void block_count_session(Block *block, const Law *law, gint64 at_s)
{
    gint64 window = windows_of(at_s).at[LONG];
    if (stands(LONG, windows_of(block->newest_s).at[LONG], window))
        count_up(block, law, SESSIONS + place_of(LONG, window));
}

/* What one channel and scale is looked at for. */
typedef struct {
    Walk walk;
    gint64 first_open, top, last; /* windows */
    gboolean uniform;             /* all that stand opened under the present R */
    Peak *peak;
    Reach *reach; /* or NULL */
    Lanes high[HALVES], doubling[HALVES];
} Survey;

/* Windows of this cell are reckoned with. */
static void expect(Survey *s, const Cell *cell)
{
    for (guint half = 0; half < HALVES; half++) {
        s->high[half] = lanes_max(s->high[half], lanes_of(cell->idle)[half]);
        s->doubling[half] = lanes_min(s->doubling[half], lanes_of(cell->doubling)[half]);
    }
}

/* M at the end of a window that is still open. */
static inline void note(Survey *s, const Cell *cell, double M[THETAS], guint32 n)
{
    for (guint half = 0; half < HALVES; half++)
        s->high[half] = lanes_max(s->high[half], lanes(M)[half]);
    for (guint theta = 0; theta < THETAS; theta++)
        if (G_UNLIKELY(M[theta] > s->peak->m_value))
            *s->peak = (Peak){.m_value = M[theta],
                              .usual = cell->m,
                              .count = n,
                              .channel = (guint8)s->walk.channel,
                              .scale = (guint8)s->walk.scale,
                              .theta = (guint8)theta};
}

/* Goes through the ring and on to the last window. */
static void survey(Survey *s, const Block *block, guint16 code)
{
    guint channel = s->walk.channel, scale = s->walk.scale;
    gint64 windows = ring[scale].windows;
    guint slot = slot_of(scale, s->top + 1);
    const Carry *carry = carry_of(block, s->walk.law);
    double M[THETAS];
    const Cell *expected = NULL;
    gint64 first = s->top - windows + 1, first_open = MAX(first, s->first_open);
    bring_up(block, &s->walk, gap_of(block, scale), code, first, M);
    for (gint64 i = first; i <= s->top; i++) {
        guint32 n = count_at(block, carry, channel * SLOTS + slot);
        const Cell *cell = walk_to(&s->walk, s->uniform ? code : rate_at(block, scale, i), i);
        cell_window(cell, M, n);
        if (i >= first_open && cell != expected) {
            expect(s, cell);
            expected = cell;
        }
        /* One without a sighting lifts M at most to the idle state. */
        if (i == first_open || (i > first_open && n > 0))
            note(s, cell, M, n);
        slot = next_slot(scale, slot);
    }
    const Cell *next = walk_to(&s->walk, code, s->last);
    cell_idle(next, M, s->last - s->top);
    expect(s, next); /* windows to come may open under another envelope */
    if (s->last > s->top) {
        note(s, next, M, 0);
    } else if (s->reach != NULL) {
        double idle[THETAS];
        memcpy(idle, next->idle, sizeof idle);
        note(s, next, idle, 0);
    }
    if (s->reach == NULL)
        return;
    memcpy(s->reach->high[channel][scale], s->high, sizeof s->high);
    memcpy(s->reach->doubling[channel][scale], s->doubling, sizeof s->doubling);
}

void block_peak(const Block *block, const Law *law, PstPortPair pair, gint64 open_s, gint64 at_s,
                Peak *io_peak, Reach *out_reach)
{
    Peak peak = *io_peak;
    guint16 code = code_of((double)block->r);
    const Windows open = windows_of(open_s), newest = windows_of(block->newest_s);
    const Windows now = windows_of(at_s);
    const Lanes endless = {HUGE_VAL, HUGE_VAL};
    gboolean uniform = is_uniform(block, code);
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++) {
            Survey s = {.walk = {.law = law, .channel = (Channel)channel, .scale = scale},
                        .first_open = open.at[scale],
                        .top = newest.at[scale],
                        .last = now.at[scale],
                        .uniform = uniform,
                        .doubling = {endless, endless},
                        .peak = &peak,
                        .reach = out_reach};
            survey(&s, block, code);
        }
    if (peak.m_value > io_peak->m_value) {
        *io_peak = peak;
        io_peak->pair = (guint8)pair;
    }
}

/* A whole number above the logarithm to base 2; @x is positive and no subnormal. */
static inline int above_log2(double x)
{
    gint64 bits;
    memcpy(&bits, &x, sizeof bits);
    return (int)(bits >> 52) - 1022;
}

guint32 reach_credit(const Reach *reach, double target)
{
    double log2_target = log2(target), least = 1e6;
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++)
            for (guint theta = 0; theta < THETAS; theta++) {
                /* A bit too high costs a look too early. */
                int high = above_log2(reach->high[channel][scale][theta]);
                double need = (log2_target - high) * reach->doubling[channel][scale][theta];
                least = MIN(least, need);
            }
    /* The sighting that reaches the target must be looked at: one less, and one for rounding. */
    return least > 2 ? (guint32)(least - 2) : 0;
}

/* Where the counts of a channel and scale begin. */
static guint place_of_count(guint channel, guint scale)
{
    return channel * SLOTS + ring[scale].first;
}

/* Highest sum of a window and the one before it of a scale that has two, counted at @first_place
 * and the place beside; windows beyond the ring are empty. */
static guint32 highest_pair(const Block *block, const Law *law, guint scale, guint first_place,
                            gint64 open_s, gint64 at_s)
{
    const Carry *carry = carry_of(block, law);
    gint64 top = windows_of(block->newest_s).at[scale];
    gint64 first = windows_of(open_s).at[scale], last = windows_of(at_s).at[scale];
    guint32 highest = 0;
    for (gint64 i = first; i <= last; i++) {
        guint32 sum = 0;
        for (gint64 j = i - 1; j <= i; j++)
            if (stands(scale, top, j))
                sum += count_at(block, carry, first_place + place_of(scale, j));
        highest = MAX(highest, sum);
    }
    return highest;
}

guint32 block_sessions(const Block *block, const Law *law, gint64 open_s, gint64 at_s)
{
    return highest_pair(block, law, LONG, SESSIONS, open_s, at_s);
}

guint32 block_destinations(const Block *block, const Law *law, gint64 open_s, gint64 at_s)
{
    return highest_pair(block, law, LONG, place_of_count(CHANNEL_DESTINATIONS, LONG), open_s, at_s);
}

guint32 block_recent(const Block *block, const Law *law, gint64 open_s, gint64 at_s)
{
    guint32 highest = 0;
    for (guint channel = 0; channel < CHANNELS; channel++)
        highest = MAX(highest,
                      highest_pair(block, law, HOUR, place_of_count(channel, HOUR), open_s, at_s));
    return highest;
}
