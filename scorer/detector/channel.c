/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include <math.h>

#define SHAPE 2.0 /* s: c0 is a square */
#define LONG  4   /* scale of the uncapped count: the longest */

static const double theta_of[THETAS] = {4, 32, 256, 2048};

/* How many windows of each scale stand, and where in the ring's slots they begin. */
static const struct {
    gint64 windows;
    guint first;
} ring[SCALES] = {{13, 0}, {3, 13}, {2, 16}, {2, 18}, {2, 20}};

G_STATIC_ASSERT(sizeof(Block) == 328);

/* M·c^n, cut at CELL_MAX. */
static double multiply_power(double M, double c, guint32 n)
{
    for (; n > 0; n >>= 1) {
        if (n & 1)
            M = MIN(M * c, CELL_MAX);
        c = MIN(c * c, 1e150);
    }
    return M;
}

void cell_make(guint scale, double m, Cell *out)
{
    double day_share = (double)scale_tau_s[scale] / A_DAY_S;
    double keep = exp(-day_share), start = -expm1(-day_share) / 2;
    out->m = m;
    for (guint theta = 0; theta < THETAS; theta++) {
        double ratio = (SHAPE + m) / (SHAPE + theta_of[theta] * m);
        double c0 = ratio * ratio;
        /* log decay without cancellation where m is small, and 1 − decay by expm1. */
        double log_decay = -day_share - SHAPE * log1p((theta_of[theta] - 1) * m / (SHAPE + m));
        out->decay[theta] = keep * c0;
        out->started[theta] = start * c0;
        out->plus[theta] = theta_of[theta] * ratio;
        out->log2_plus[theta] = log2(out->plus[theta]);
        out->idle[theta] = start * c0 / -expm1(log_decay);
    }
}

static inline void step(const Cell *cell, double M[THETAS], guint32 n)
{
    for (guint theta = 0; theta < THETAS; theta++)
        M[theta] = cell->decay[theta] * M[theta] + cell->started[theta];
    if (n == 0)
        return;
    for (guint theta = 0; theta < THETAS; theta++)
        M[theta] = multiply_power(M[theta], cell->plus[theta], n);
}

void cell_window(const Cell *cell, double M[THETAS], guint32 n)
{
    step(cell, M, n);
}

void cell_idle(const Cell *cell, double M[THETAS], gint64 k)
{
    if (k <= 0)
        return;
    if (k == 1) {
        step(cell, M, 0);
        return;
    }
    double power[THETAS], square[THETAS];
    for (guint theta = 0; theta < THETAS; theta++) {
        power[theta] = 1;
        square[theta] = cell->decay[theta];
    }
    for (; k > 0; k >>= 1)
        for (guint theta = 0; theta < THETAS; theta++) {
            power[theta] *= k & 1 ? square[theta] : 1;
            square[theta] *= square[theta];
        }
    for (guint theta = 0; theta < THETAS; theta++)
        M[theta] = cell->idle[theta] + power[theta] * (M[theta] - cell->idle[theta]);
}

double evidence_of(double m_value)
{
    if (!(m_value > CELLS))
        return 0;
    return MIN(100 * log10(m_value / CELLS), 1000);
}

double evidence_to_m(double evidence)
{
    return CELLS * pow(10, evidence / 100);
}

static gint64 window_of(guint scale, gint64 at_s)
{
    return at_s / (gint64)scale_tau_s[scale];
}

static guint slot_of(guint scale, gint64 window)
{
    return ring[scale].first + (guint)(window % ring[scale].windows);
}

static guint32 count_at(const Block *block, guint channel, guint slot)
{
    return slot < SHORT_SLOTS ? block->short_count[channel][slot]
                              : block->long_count[channel][slot - SHORT_SLOTS];
}

/* --- envelopes and their cells ------------------------------------------------------------ */

#define LEVELS     32768 /* levels − LEVELS/2 … LEVELS/2 − 1 have cells */
#define LEVEL_STEP 4     /* of which so many share one */

struct CellBook {
    const Thinning *thinning;
    Cell *cell[SCALES][LEVELS / LEVEL_STEP]; /* NULL: not asked for yet */
};

CellBook *cell_book_new(const Thinning *thinning)
{
    CellBook *book = g_new0(CellBook, 1);
    book->thinning = thinning;
    return book;
}

void cell_book_free(CellBook *book)
{
    if (book == NULL)
        return;
    for (guint scale = 0; scale < SCALES; scale++)
        for (guint i = 0; i < LEVELS / LEVEL_STEP; i++)
            g_free(book->cell[scale][i]);
    g_free(book);
}

static const Cell *cell_at(CellBook *book, guint scale, Level m)
{
    int top = CLAMP(m, -LEVELS / 2, LEVELS / 2 - 1);
    int place = (top + LEVELS / 2 + LEVEL_STEP - 1) / LEVEL_STEP;
    place = MIN(place, LEVELS / LEVEL_STEP - 1);
    Cell **cell = &book->cell[scale][place];
    if (*cell == NULL) {
        *cell = g_new0(Cell, 1);
        cell_make(scale, thinning_of_level((Level)(place * LEVEL_STEP - LEVELS / 2)), *cell);
    }
    return *cell;
}

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

static gint64 day_of(guint scale, gint64 window)
{
    return window / (A_DAY_S / (gint64)scale_tau_s[scale]);
}

/* The cell of a window that opened under R = @code. */
static const Cell *cell_of(const Law *law, guint16 code, Channel channel, guint scale,
                           gint64 window)
{
    gint64 day = law->learned != NULL ? day_of(scale, window) : 0;
    return cell_at(law->book, scale, law_envelope(law, channel, scale, day, code));
}

/* --- the ring ------------------------------------------------------------------------------ */

static void load(const Block *block, guint channel, guint scale, double M[THETAS])
{
    for (guint theta = 0; theta < THETAS; theta++)
        M[theta] = (double)block->closed[channel][scale][theta];
}

static void store(Block *block, guint channel, guint scale, const double M[THETAS])
{
    for (guint theta = 0; theta < THETAS; theta++)
        block->closed[channel][scale][theta] = (float)M[theta];
}

static void open_window(Block *block, guint scale, gint64 window, guint16 code)
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
        block->sessions[window % ring[LONG].windows] = 0;
}

void block_init(Block *block, const Law *law, gint64 at_s, double r)
{
    memset(block, 0, sizeof *block);
    block->newest_s = (guint32)at_s;
    block->r = (float)r;
    guint16 code = thinning_code(r);
    for (guint scale = 0; scale < SCALES; scale++) {
        gint64 top = window_of(scale, at_s);
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
        double M[THETAS];
        load(block, channel, scale, M);
        for (guint i = 0, slot = start; i < n; i++) {
            guint32 in_it = count_at(block, channel, slot);
            step(cell_of(c->law, block->rate[slot], (Channel)channel, scale, first + i), M, in_it);
            if (in_it > 0)
                keep_window(c, (Channel)channel, scale, first + i, slot, in_it);
            slot = slot + 1 == past ? ring[scale].first : slot + 1;
        }
        if (idle > 0)
            cell_idle(cell_of(c->law, code, (Channel)channel, scale, first + n), M, idle);
        store(block, channel, scale, M);
    }
}

gboolean block_advance(Block *block, const Law *law, gint64 at_s, Learned *out_first)
{
    if (at_s <= (gint64)block->newest_s)
        return FALSE;
    guint16 code = thinning_code(block->r);
    Closing c = {block, law, law->learned != NULL ? law->learned : out_first, FALSE};
    for (guint scale = 0; scale < SCALES; scale++) {
        gint64 top = window_of(scale, block->newest_s);
        gint64 steps = window_of(scale, at_s) - top;
        if (steps == 0)
            continue;
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
    for (guint scale = 0; scale < SCALES; scale++) {
        gint64 top = window_of(scale, block->newest_s);
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
        guint16 code = thinning_code(block->r);
        for (guint slot = 0; slot < SLOTS; slot++)
            block->rate[slot] = MIN(block->rate[slot], code);
    } else {
        block->r = (float)(r + (inverse_q - r) / 32);
    }
    return block->r != r;
}

static gboolean stands(const Block *block, guint scale, gint64 window)
{
    gint64 top = window_of(scale, block->newest_s);
    return window <= top && window > top - ring[scale].windows;
}

void block_count(Block *block, Channel channel, gint64 at_s)
{
    for (guint scale = 0; scale < SCALES; scale++) {
        gint64 window = window_of(scale, at_s);
        if (!stands(block, scale, window))
            continue;
        guint slot = slot_of(scale, window);
        if (slot >= SHORT_SLOTS)
            block->long_count[channel][slot - SHORT_SLOTS]++;
        else if (block->short_count[channel][slot] < G_MAXUINT16)
            block->short_count[channel][slot]++;
    }
}

void block_count_session(Block *block, gint64 at_s)
{
    gint64 window = window_of(LONG, at_s);
    if (stands(block, LONG, window))
        block->sessions[window % ring[LONG].windows]++;
}

/* What one channel and scale is looked at for. */
typedef struct {
    const Block *block;
    const Law *law;
    Channel channel;
    guint scale;
    gint64 open_s, at_s;
    Peak *peak;
    Reach *reach; /* or NULL */
} Survey;

/* M at the end of a window that is still open. */
static inline void note(const Survey *s, const Cell *cell, const double M[THETAS], guint32 n)
{
    for (guint theta = 0; theta < THETAS; theta++)
        if (M[theta] > s->peak->m_value)
            *s->peak = (Peak){.m_value = M[theta],
                              .usual = cell->m,
                              .count = n,
                              .channel = (guint8)s->channel,
                              .scale = (guint8)s->scale,
                              .theta = (guint8)theta};
    if (s->reach == NULL)
        return;
    double *high = s->reach->high[s->channel][s->scale];
    double *log2_plus = s->reach->log2_plus[s->channel][s->scale];
    for (guint theta = 0; theta < THETAS; theta++) {
        high[theta] = MAX(high[theta], MAX(M[theta], cell->idle[theta]));
        log2_plus[theta] = MAX(log2_plus[theta], cell->log2_plus[theta]);
    }
}

/* Goes through the ring and on to at_s. */
static void survey(const Survey *s, guint16 code)
{
    const Block *block = s->block;
    gint64 windows = ring[s->scale].windows;
    gint64 top = window_of(s->scale, block->newest_s), last = window_of(s->scale, s->at_s);
    gint64 first_open = window_of(s->scale, s->open_s);
    guint slot = slot_of(s->scale, top + 1), past = ring[s->scale].first + (guint)windows;
    double M[THETAS];
    load(block, s->channel, s->scale, M);
    for (gint64 i = top - windows + 1; i <= top; i++) {
        guint32 n = count_at(block, s->channel, slot);
        const Cell *cell = cell_of(s->law, block->rate[slot], s->channel, s->scale, i);
        step(cell, M, n);
        if (i >= first_open)
            note(s, cell, M, n);
        slot = slot + 1 == past ? ring[s->scale].first : slot + 1;
    }
    const Cell *next = cell_of(s->law, code, s->channel, s->scale, last);
    cell_idle(next, M, last - top);
    if (last > top)
        note(s, next, M, 0);
    else if (s->reach != NULL)
        note(s, next, next->idle, 0); /* windows to come may open under another envelope */
}

void block_peak(const Block *block, const Law *law, PstPortPair pair, gint64 open_s, gint64 at_s,
                Peak *io_peak, Reach *out_reach)
{
    Peak peak = *io_peak;
    guint16 code = thinning_code((double)block->r);
    if (out_reach != NULL)
        memset(out_reach, 0, sizeof *out_reach);
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++) {
            const Survey s = {block, law, (Channel)channel, scale, open_s, at_s, &peak, out_reach};
            survey(&s, code);
        }
    if (peak.m_value > io_peak->m_value) {
        *io_peak = peak;
        io_peak->pair = (guint8)pair;
    }
}

guint32 reach_credit(const Reach *reach, double target)
{
    double log2_target = log2(target), least = 1e6;
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++)
            for (guint theta = 0; theta < THETAS; theta++) {
                /* ilogb + 1 is above the logarithm; a bit too high costs a look too early. */
                int high = ilogb(reach->high[channel][scale][theta]) + 1;
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
    gint64 top = window_of(LONG, block->newest_s);
    guint32 highest = 0;
    for (gint64 i = window_of(LONG, open_s); i <= window_of(LONG, at_s); i++) {
        guint32 sum = 0;
        for (gint64 j = i - 1; j <= i; j++)
            if (j <= top && j > top - ring[LONG].windows)
                sum += in_window[j % ring[LONG].windows];
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
