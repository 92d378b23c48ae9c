/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include <math.h>

#define SHAPE 2.0 /* s: c0 is a square */
#define LONG  4   /* scale of the uncapped count: the longest */
#define DAY_S 86400.0

static const double theta_of[THETAS] = {4, 32, 256, 2048};

/* How many windows of each scale stand, and where in the ring's slots they begin. */
static const struct {
    gint64 windows;
    guint first;
} ring[SCALES] = {{13, 0}, {3, 13}, {2, 16}, {2, 18}, {2, 20}};

G_STATIC_ASSERT(sizeof(Block) == 324);

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
    double day_share = scale_tau_s[scale] / DAY_S;
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

/* All cells of one port pair under one R. */
typedef struct {
    Cell at[CHANNELS][SCALES];
} Cells;

struct CellBook {
    const Thinning *thinning;
    Cells *cells[2][THINNING_CODES]; /* [known][code of R]; NULL: not asked for yet */
    Cells scratch;                   /* of the exempted unit, and code, asked for last */
    UnitRules scratch_rules;
    guint16 scratch_code;
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
    for (guint known = 0; known < 2; known++)
        for (guint code = 0; code < THINNING_CODES; code++)
            g_free(book->cells[known][code]);
    g_free(book);
}

static void make_cells(const CellBook *book, const UnitRules *rules, guint16 code, Cells *out)
{
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++)
            cell_make(scale,
                      thinning_envelope(book->thinning, rules, (Channel)channel, scale, code),
                      &out->at[channel][scale]);
}

static const Cells *exempted_cells(CellBook *book, const UnitRules *rules, guint16 code)
{
    if (book->scratch_code != code || book->scratch_rules.ceiling != rules->ceiling ||
        book->scratch_rules.known != rules->known) {
        make_cells(book, rules, code, &book->scratch);
        book->scratch_rules = *rules;
        book->scratch_code = code;
    }
    return &book->scratch;
}

/* Borrowed; good until the next call for an exempted unit. */
static const Cells *cells_of(const Law *law, guint16 code)
{
    CellBook *book = law->book;
    if (law->rules->ceiling > 0)
        return exempted_cells(book, law->rules, code);
    Cells **cells = &book->cells[law->rules->known ? 1 : 0][code];
    if (*cells == NULL) {
        *cells = g_new0(Cells, 1);
        make_cells(book, law->rules, code, *cells);
    }
    return *cells;
}

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
    const Cells *cells = cells_of(law, code);
    for (guint scale = 0; scale < SCALES; scale++) {
        for (guint channel = 0; channel < CHANNELS; channel++)
            store(block, channel, scale, cells->at[channel][scale].idle);
        gint64 top = window_of(scale, at_s);
        for (gint64 i = 0; i < ring[scale].windows; i++)
            open_window(block, scale, top - i, code);
    }
}

/* Cells by code, asked for once while the code stays the same: it nearly always does. */
typedef struct {
    const Law *law;
    const Cells *cells;
    guint16 code;
} Lookup;

static inline const Cell *look_up(Lookup *l, guint16 code, guint channel, guint scale)
{
    if (l->cells == NULL || l->code != code) {
        l->cells = cells_of(l->law, code);
        l->code = code;
    }
    return &l->cells->at[channel][scale];
}

/* The windows first … first + n − 1 leave the ring, then @idle windows without a sighting. */
static void close_windows(Block *block, Lookup *l, guint scale, gint64 first, gint64 n, gint64 idle,
                          guint16 code)
{
    guint start = slot_of(scale, first), past = ring[scale].first + (guint)ring[scale].windows;
    for (guint channel = 0; channel < CHANNELS; channel++) {
        double M[THETAS];
        load(block, channel, scale, M);
        for (guint i = 0, slot = start; i < n; i++) {
            step(look_up(l, block->rate[slot], channel, scale), M, count_at(block, channel, slot));
            slot = slot + 1 == past ? ring[scale].first : slot + 1;
        }
        if (idle > 0)
            cell_idle(look_up(l, code, channel, scale), M, idle);
        store(block, channel, scale, M);
    }
}

void block_advance(Block *block, const Law *law, gint64 at_s)
{
    if (at_s <= (gint64)block->newest_s)
        return;
    guint16 code = thinning_code(block->r);
    Lookup l = {.law = law};
    for (guint scale = 0; scale < SCALES; scale++) {
        gint64 top = window_of(scale, block->newest_s);
        gint64 steps = window_of(scale, at_s) - top;
        if (steps == 0)
            continue;
        gint64 n = MIN(steps, ring[scale].windows);
        close_windows(block, &l, scale, top - ring[scale].windows + 1, n, steps - n, code);
        for (gint64 i = 0; i < n; i++)
            open_window(block, scale, top + steps - i, code);
    }
    block->newest_s = (guint32)at_s;
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
    guint channel, scale;
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
static void survey(const Survey *s, Lookup *l, guint16 code)
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
        const Cell *cell = look_up(l, block->rate[slot], s->channel, s->scale);
        step(cell, M, n);
        if (i >= first_open)
            note(s, cell, M, n);
        slot = slot + 1 == past ? ring[s->scale].first : slot + 1;
    }
    const Cell *next = look_up(l, code, s->channel, s->scale);
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
    Lookup l = {.law = law};
    guint16 code = thinning_code((double)block->r);
    if (out_reach != NULL)
        memset(out_reach, 0, sizeof *out_reach);
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++) {
            const Survey s = {block, channel, scale, open_s, at_s, &peak, out_reach};
            survey(&s, &l, code);
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
