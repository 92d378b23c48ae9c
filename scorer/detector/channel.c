/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include <math.h>

#define LONG 4 /* scale of the uncapped count: the longest */

/* How many windows of each scale stand, and where in the ring's slots they begin. */
static const struct {
    gint64 windows;
    guint first;
} ring[SCALES] = {{13, 0}, {3, 13}, {2, 16}, {2, 18}, {2, 20}};

G_STATIC_ASSERT(sizeof(Block) == 328);

/* The windows of a moment. Each scale divides the next, all divide the day. */
typedef struct {
    gint64 at[SCALES];
} Windows;

static inline Windows windows_of(gint64 at_s)
{
    Windows w;
    w.at[0] = at_s / 10;
    w.at[1] = w.at[0] / 6;
    w.at[2] = w.at[1] / 5;
    w.at[3] = w.at[2] / 6;
    w.at[4] = w.at[3] / 6;
    return w;
}

/* Divisions by constants cost little: a case for each. */
static inline guint place_of(guint scale, gint64 window)
{
    switch (scale) {
    case 0:
        return (guint)((guint64)window % 13);
    case 1:
        return (guint)((guint64)window % 3);
    default:
        return (guint)((guint64)window % 2);
    }
}

static inline guint slot_of(guint scale, gint64 window)
{
    return ring[scale].first + place_of(scale, window);
}

static inline guint32 count_at(const Block *block, guint channel, guint slot)
{
    return slot < SHORT_SLOTS ? block->short_count[channel][slot]
                              : block->long_count[channel][slot - SHORT_SLOTS];
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

static const gint64 windows_a_day[SCALES] = {8640, 1440, 288, 48, 8};

static inline gint64 day_of(guint scale, gint64 window)
{
    return window / windows_a_day[scale];
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

static inline void load(const Block *block, guint channel, guint scale, double M[THETAS])
{
    for (guint theta = 0; theta < THETAS; theta++)
        M[theta] = (double)block->closed[channel][scale][theta];
}

static inline void store(Block *block, guint channel, guint scale, const double M[THETAS])
{
    for (guint theta = 0; theta < THETAS; theta++)
        block->closed[channel][scale][theta] = (float)M[theta];
}

static inline void open_window(Block *block, guint scale, gint64 window, guint16 code)
{
    guint slot = slot_of(scale, window);
    block->rate[slot] = code;
    for (guint channel = 0; channel < CHANNELS; channel++) {
        if (slot < SHORT_SLOTS)
            block->short_count[channel][slot] = 0;
        else
            block->long_count[channel][slot - SHORT_SLOTS] = 0;
    }
    if (scale == LONG)
        block->sessions[place_of(LONG, window)] = 0;
}

/* At 1:1 without a logarithm. */
static inline guint16 code_of(double r)
{
    return r > 1 ? thinning_code(r) : 0;
}

void block_init(Block *block, const Law *law, gint64 at_s, double r)
{
    memset(block, 0, sizeof *block);
    block->newest_s = (guint32)at_s;
    block->r = (float)r;
    guint16 code = code_of(r);
    const Windows now = windows_of(at_s);
    for (guint scale = 0; scale < SCALES; scale++) {
        gint64 top = now.at[scale];
        for (guint channel = 0; channel < CHANNELS; channel++)
            store(block, channel, scale, cell_of(law, code, (Channel)channel, scale, top)->idle);
        for (gint64 i = 0; i < ring[scale].windows; i++)
            open_window(block, scale, top - i, code);
    }
}

/* --- time moves on ------------------------------------------------------------------------ */

/* A block whose windows leave the ring. */
typedef struct {
    Block *block;
    const Law *law;
    Learned *learned; /* where they go: the law's, or what may become it */
    gboolean first;   /* … and something has */
} Closing;

static void keep_window(Closing *c, Channel channel, guint scale, gint64 window, guint slot,
                        guint32 n)
{
    const Thinning *thinning = c->law->book->thinning;
    gint64 day = day_of(scale, window);
    if (day + 1 < (gint64)*c->law->day)
        return;
    if (c->law->learned == NULL) {
        if (!learned_matters(thinning, channel, scale, c->block->rate[slot], n))
            return;
        if (!c->first)
            memset(c->learned, 0, sizeof *c->learned);
        c->first = TRUE;
    }
    learned_window(thinning, c->learned, day, channel, scale, n);
}

/* The windows first … first + n − 1 leave the ring, then @idle windows without a sighting. */
static void close_windows(Closing *c, guint scale, gint64 first, gint64 n, gint64 idle,
                          guint16 code)
{
    Block *block = c->block;
    guint start = slot_of(scale, first), past = ring[scale].first + (guint)ring[scale].windows;
    for (guint channel = 0; channel < CHANNELS; channel++) {
        Walk walk = {.law = c->law, .channel = (Channel)channel, .scale = scale};
        double M[THETAS];
        load(block, channel, scale, M);
        for (guint i = 0, slot = start; i < n; i++) {
            guint32 in_it = count_at(block, channel, slot);
            cell_window(walk_to(&walk, block->rate[slot], first + i), M, in_it);
            if (in_it > 0)
                keep_window(c, (Channel)channel, scale, first + i, slot, in_it);
            slot = slot + 1 == past ? ring[scale].first : slot + 1;
        }
        if (idle > 0)
            cell_idle(walk_to(&walk, code, first + n), M, idle);
        store(block, channel, scale, M);
    }
}

gboolean block_advance(Block *block, const Law *law, gint64 at_s, Learned *out_first)
{
    if (at_s <= (gint64)block->newest_s)
        return FALSE;
    guint16 code = code_of((double)block->r);
    Closing c = {block, law, law->learned != NULL ? law->learned : out_first, FALSE};
    const Windows before = windows_of(block->newest_s), now = windows_of(at_s);
    for (guint scale = 0; scale < SCALES; scale++) {
        gint64 top = before.at[scale];
        gint64 steps = now.at[scale] - top;
        if (steps == 0)
            break; /* a longer window did not end either */
        gint64 n = MIN(steps, ring[scale].windows);
        close_windows(&c, scale, top - ring[scale].windows + 1, n, steps - n, code);
        for (gint64 i = 0; i < n; i++)
            open_window(block, scale, top + steps - i, code);
    }
    block->newest_s = (guint32)at_s;
    return c.first;
}

void block_learn(const Block *block, const Law *law, gint64 day, Learned *into)
{
    const Windows newest = windows_of(block->newest_s);
    for (guint scale = 0; scale < SCALES; scale++) {
        gint64 top = newest.at[scale];
        for (gint64 window = top; window > top - ring[scale].windows; window--)
            for (guint channel = 0; channel < CHANNELS; channel++)
                if (day_of(scale, window) == day)
                    learned_window(law->book->thinning, into, day, (Channel)channel, scale,
                                   count_at(block, channel, slot_of(scale, window)));
    }
}

gboolean block_thin(Block *block, double inverse_q)
{
    /* Rising, R follows slowly. Falling (a second exporter, a denser rate) it follows at once and
     * in every window that stands: a burst seen better must not be judged by what was expected of
     * worse eyes. Both err towards a larger envelope, which only lowers M. */
    float r = block->r;
    if ((float)inverse_q == r)
        return FALSE;
    if (inverse_q < r) {
        block->r = (float)inverse_q;
        guint16 code = code_of((double)block->r);
        for (guint slot = 0; slot < SLOTS; slot++)
            block->rate[slot] = MIN(block->rate[slot], code);
    } else {
        block->r = (float)(r + (inverse_q - r) / 32);
    }
    return block->r != r;
}

static inline gboolean stands(guint scale, gint64 top, gint64 window)
{
    return window <= top && window > top - ring[scale].windows;
}

void block_count(Block *block, Channel channel, gint64 at_s)
{
    const Windows newest = windows_of(block->newest_s), its = windows_of(at_s);
    for (guint scale = 0; scale < SCALES; scale++) {
        if (!stands(scale, newest.at[scale], its.at[scale]))
            continue;
        guint slot = slot_of(scale, its.at[scale]);
        if (slot >= SHORT_SLOTS)
            block->long_count[channel][slot - SHORT_SLOTS]++;
        else if (block->short_count[channel][slot] < G_MAXUINT16)
            block->short_count[channel][slot]++;
    }
}

void block_count_session(Block *block, gint64 at_s)
{
    gint64 window = windows_of(at_s).at[LONG];
    if (stands(LONG, windows_of(block->newest_s).at[LONG], window))
        block->sessions[place_of(LONG, window)]++;
}

/* What one channel and scale is looked at for. */
typedef struct {
    Walk walk;
    gint64 first_open, top, last; /* windows */
    Peak *peak;
    Reach *reach; /* or NULL */
    Lanes high[HALVES], log2_plus[HALVES];
} Survey;

/* Windows of this cell are reckoned with. */
static void expect(Survey *s, const Cell *cell)
{
    for (guint half = 0; half < HALVES; half++) {
        s->high[half] = lanes_max(s->high[half], lanes_of(cell->idle)[half]);
        s->log2_plus[half] = lanes_max(s->log2_plus[half], lanes_of(cell->log2_plus)[half]);
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
    guint slot = slot_of(scale, s->top + 1), past = ring[scale].first + (guint)windows;
    double M[THETAS];
    const Cell *expected = NULL;
    load(block, channel, scale, M);
    for (gint64 i = s->top - windows + 1; i <= s->top; i++) {
        guint32 n = count_at(block, channel, slot);
        const Cell *cell = walk_to(&s->walk, block->rate[slot], i);
        cell_window(cell, M, n);
        if (i >= s->first_open) {
            if (cell != expected)
                expect(s, cell);
            expected = cell;
            note(s, cell, M, n);
        }
        slot = slot + 1 == past ? ring[scale].first : slot + 1;
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
    memcpy(s->reach->log2_plus[channel][scale], s->log2_plus, sizeof s->log2_plus);
}

void block_peak(const Block *block, const Law *law, PstPortPair pair, gint64 open_s, gint64 at_s,
                Peak *io_peak, Reach *out_reach)
{
    Peak peak = *io_peak;
    guint16 code = code_of((double)block->r);
    const Windows open = windows_of(open_s), newest = windows_of(block->newest_s);
    const Windows now = windows_of(at_s);
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++) {
            Survey s = {.walk = {.law = law, .channel = (Channel)channel, .scale = scale},
                        .first_open = open.at[scale],
                        .top = newest.at[scale],
                        .last = now.at[scale],
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
                double need = (log2_target - high) / reach->log2_plus[channel][scale][theta];
                least = MIN(least, need);
            }
    /* The sighting that reaches the target must be looked at: one less, and one for rounding. */
    return least > 2 ? (guint32)(least - 2) : 0;
}

/* Highest sum of a window of 10800 s and the one before it; windows beyond the ring are empty. */
static guint32 highest_pair(const Block *block, const guint32 in_window[2], gint64 open_s,
                            gint64 at_s)
{
    gint64 top = windows_of(block->newest_s).at[LONG];
    gint64 first = windows_of(open_s).at[LONG], last = windows_of(at_s).at[LONG];
    guint32 highest = 0;
    for (gint64 i = first; i <= last; i++) {
        guint32 sum = 0;
        for (gint64 j = i - 1; j <= i; j++)
            if (stands(LONG, top, j))
                sum += in_window[place_of(LONG, j)];
        highest = MAX(highest, sum);
    }
    return highest;
}

guint32 block_sessions(const Block *block, gint64 open_s, gint64 at_s)
{
    return highest_pair(block, block->sessions, open_s, at_s);
}

guint32 block_destinations(const Block *block, gint64 open_s, gint64 at_s)
{
    return highest_pair(block, &block->long_count[CHANNEL_DESTINATIONS][2], open_s, at_s);
}
