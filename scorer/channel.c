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

void recursion_init(Recursion *recursion)
{
    for (guint j = 0; j < SCALES; j++) {
        recursion->keep[j] = exp(-(double)scale_tau_s[j] / DAY_S);
        recursion->start[j] = -expm1(-(double)scale_tau_s[j] / DAY_S) / 2;
    }
}

static double window_factor(guint theta, double m)
{
    double share = (SHAPE + m) / (SHAPE + theta_of[theta] * m);
    return share * share;
}

static double sighting_factor(guint theta, double m)
{
    return theta_of[theta] * (SHAPE + m) / (SHAPE + theta_of[theta] * m);
}

/* M·c^n by squaring, cut at CELL_MAX: multiplications only, the same on every machine. */
static double multiply_power(double M, double c, guint32 n)
{
    for (; n > 0; n >>= 1) {
        if (n & 1)
            M = MIN(M * c, CELL_MAX);
        c = MIN(c * c, 1e150);
    }
    return M;
}

double recursion_window(const Recursion *recursion, guint scale, guint theta, double m, double M,
                        guint32 n)
{
    M = (recursion->keep[scale] * M + recursion->start[scale]) * window_factor(theta, m);
    return n == 0 ? M : multiply_power(M, sighting_factor(theta, m), n);
}

/* log r = log(g·c0), without cancellation where m is small. */
static double log_decay(guint scale, guint theta, double m)
{
    return -(double)scale_tau_s[scale] / DAY_S -
           SHAPE * log1p((theta_of[theta] - 1) * m / (SHAPE + m));
}

double recursion_idle(const Recursion *recursion, guint scale, guint theta, double m, double M,
                      gint64 k)
{
    if (k <= 0)
        return M;
    if (k == 1)
        return recursion_window(recursion, scale, theta, m, M, 0);
    double log_r = log_decay(scale, theta, m);
    double started = recursion->start[scale] * window_factor(theta, m);
    return exp((double)k * log_r) * M + started * expm1((double)k * log_r) / expm1(log_r);
}

double recursion_idle_state(const Recursion *recursion, guint scale, guint theta, double m)
{
    return recursion->start[scale] * window_factor(theta, m) / -expm1(log_decay(scale, theta, m));
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

static double envelope_at(const Law *law, guint channel, guint scale, guint16 code)
{
    return thinning_envelope(law->thinning, law->rules, (Channel)channel, scale, code);
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
        for (guint channel = 0; channel < CHANNELS; channel++) {
            double m = envelope_at(law, channel, scale, code);
            for (guint theta = 0; theta < THETAS; theta++)
                block->closed[channel][scale][theta] =
                    (float)recursion_idle_state(law->recursion, scale, theta, m);
        }
        gint64 top = window_of(scale, at_s);
        for (gint64 i = 0; i < ring[scale].windows; i++)
            open_window(block, scale, top - i, code);
    }
}

/* The windows first … first + n − 1 leave the ring, then @idle windows without a sighting. */
static void close_windows(Block *block, const Law *law, guint scale, gint64 first, gint64 n,
                          gint64 idle, guint16 code)
{
    for (guint channel = 0; channel < CHANNELS; channel++) {
        for (guint theta = 0; theta < THETAS; theta++) {
            double M = block->closed[channel][scale][theta];
            for (gint64 i = 0; i < n; i++) {
                guint slot = slot_of(scale, first + i);
                double m = envelope_at(law, channel, scale, block->rate[slot]);
                M = recursion_window(law->recursion, scale, theta, m, M,
                                     count_at(block, channel, slot));
            }
            if (idle > 0)
                M = recursion_idle(law->recursion, scale, theta,
                                   envelope_at(law, channel, scale, code), M, idle);
            block->closed[channel][scale][theta] = (float)M;
        }
    }
}

void block_advance(Block *block, const Law *law, gint64 at_s)
{
    if (at_s <= (gint64)block->newest_s)
        return;
    guint16 code = thinning_code(block->r);
    for (guint scale = 0; scale < SCALES; scale++) {
        gint64 top = window_of(scale, block->newest_s);
        gint64 steps = window_of(scale, at_s) - top;
        if (steps == 0)
            continue;
        gint64 n = MIN(steps, ring[scale].windows);
        close_windows(block, law, scale, top - ring[scale].windows + 1, n, steps - n, code);
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

/* Walks the cells of one channel and scale through the ring and on to @at_s; calls for each M at
 * the end of a window still open at @open_s. */
typedef struct {
    const Block *block;
    const Law *law;
    guint channel, scale;
    gint64 open_s, at_s;
} Walk;

static void walk_theta(const Walk *w, guint theta, Peak *io)
{
    const Block *block = w->block;
    const Recursion *recursion = w->law->recursion;
    gint64 top = window_of(w->scale, block->newest_s);
    gint64 last = window_of(w->scale, w->at_s);
    double M = block->closed[w->channel][w->scale][theta];
    for (gint64 i = top - ring[w->scale].windows + 1; i <= top; i++) {
        guint slot = slot_of(w->scale, i);
        guint32 n = count_at(block, w->channel, slot);
        double m = envelope_at(w->law, w->channel, w->scale, block->rate[slot]);
        M = recursion_window(recursion, w->scale, theta, m, M, n);
        gboolean open = (i + 1) * (gint64)scale_tau_s[w->scale] > w->open_s;
        if (open && M > io->m_value)
            *io = (Peak){M, m, n, (guint8)w->channel, (guint8)w->scale, (guint8)theta, 0};
    }
    if (last > top) {
        double m = envelope_at(w->law, w->channel, w->scale, thinning_code(block->r));
        M = recursion_idle(recursion, w->scale, theta, m, M, last - top);
        if (M > io->m_value)
            *io = (Peak){M, m, 0, (guint8)w->channel, (guint8)w->scale, (guint8)theta, 0};
    }
}

void block_peak(const Block *block, const Law *law, PstPortPair pair, gint64 open_s, gint64 at_s,
                Peak *io_peak)
{
    Peak peak = *io_peak;
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++) {
            const Walk walk = {block, law, channel, scale, open_s, at_s};
            for (guint theta = 0; theta < THETAS; theta++)
                walk_theta(&walk, theta, &peak);
        }
    if (peak.m_value > io_peak->m_value) {
        *io_peak = peak;
        io_peak->pair = (guint8)pair;
    }
}

/* The smallest envelope of the windows that stand or open next. */
static double least_envelope(const Walk *w)
{
    double m = envelope_at(w->law, w->channel, w->scale, thinning_code(w->block->r));
    for (gint64 i = 0; i < ring[w->scale].windows; i++) {
        guint16 code = w->block->rate[ring[w->scale].first + i];
        m = MIN(m, envelope_at(w->law, w->channel, w->scale, code));
    }
    return m;
}

guint32 block_credit(const Block *block, const Law *law, gint64 open_s, gint64 at_s, double target)
{
    double least = 1e6;
    for (guint channel = 0; channel < CHANNELS; channel++)
        for (guint scale = 0; scale < SCALES; scale++) {
            const Walk walk = {block, law, channel, scale, open_s, at_s};
            Peak peak = {.m_value = 0.5};
            for (guint theta = 0; theta < THETAS; theta++)
                walk_theta(&walk, theta, &peak);
            /* c⁺ grows with θ: the largest bounds them all. */
            double need = log(target / peak.m_value) /
                          log(sighting_factor(THETAS - 1, least_envelope(&walk)));
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
