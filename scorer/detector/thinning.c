/* SPDX-License-Identifier: Apache-2.0 */
#include "thinning.h"

#include <math.h>

#define STEP  THINNING_STEP
#define CODES THINNING_CODES
#define SMALL 1024 /* counts whose rank is looked up */

const guint32 scale_tau_s[SCALES] = {10, 60, 300, 1800, 10800};

/* Where φ is given: 1:1, and about 1:100, 1:1000 and 1:4096 in one direction. */
static const double phi_q[] = {1.0, 0.13, 0.014, 0.0034};

/* C changes where N passes these. */
static const struct {
    double below_rate;
    guint cap;
} caps[] = {{10, 16}, {316, 8}, {2024, 3}, {INFINITY, 1}};

#define SCARCE 150 /* true sessions to a sighting: 1:2000 in one direction */

struct Thinning {
    double value[CODES];     /* x = STEP^code */
    Level shrink[CODES + 1]; /* of a rank */
    Rank rank[SMALL];        /* of small counts */
    double floor_count[CHANNELS][SCALES];
    Level floor[2][CODES][CHANNELS][SCALES]; /* [known] */
    double cap_q[PST_PAIR_COUNT][G_N_ELEMENTS(caps)];
};

double thinning_q(double rate, double packets)
{
    return rate <= 1 ? 1 : -expm1(packets * log1p(-1 / rate));
}

double thinning_phi(double q, const double points[4])
{
    for (guint i = 1; i < G_N_ELEMENTS(phi_q); i++) {
        if (q < phi_q[i])
            continue;
        double share = log(MIN(q, 1) / phi_q[i]) / log(phi_q[i - 1] / phi_q[i]);
        return points[i] * pow(points[i - 1] / points[i], share);
    }
    return points[G_N_ELEMENTS(phi_q) - 1];
}

guint16 thinning_code(double x)
{
    if (!(x > 1))
        return 0;
    return (guint16)MIN(lround(log(x) / log(STEP)), CODES - 1);
}

Level thinning_level(double m)
{
    if (!(m > 0))
        return LEVEL_NONE;
    return (Level)CLAMP(lround(log(m) / log(STEP)), -32000, 32000);
}

double thinning_of_level(Level level)
{
    return level == LEVEL_NONE ? 0 : exp(level * log(STEP));
}

Rank thinning_rank(const Thinning *thinning, guint32 count)
{
    return count < SMALL ? thinning->rank[count] : (Rank)(1 + thinning_code(count));
}

double thinning_count(const Thinning *thinning, Rank rank)
{
    g_assert(rank <= RANK_MAX);
    return rank == 0 ? 0 : thinning->value[rank - 1];
}

Level thinning_shrink(const Thinning *thinning, Rank rank)
{
    g_assert(rank <= RANK_MAX);
    return thinning->shrink[rank];
}

static void make_floors(Thinning *t, const EngineConf *conf, guint16 code)
{
    double q = 1 / t->value[code];
    for (guint known = 0; known < 2; known++) {
        double phi = thinning_phi(q, known ? conf->phi_known : conf->phi_cold);
        for (guint channel = 0; channel < CHANNELS; channel++)
            for (guint scale = 0; scale < SCALES; scale++)
                t->floor[known][code][channel][scale] =
                    thinning_level(phi * thinning_floor_count(t, (Channel)channel, scale, code));
    }
}

static double shrink(double x)
{
    double root = 1 - 1 / (9 * x) - 1 / (3 * sqrt(x));
    return root <= 0 ? 0 : x * root * root * root;
}

Thinning *thinning_new(const EngineConf *conf)
{
    Thinning *t = g_new0(Thinning, 1);
    memcpy(t->floor_count[CHANNEL_SESSIONS], conf->floor_sessions, sizeof conf->floor_sessions);
    memcpy(t->floor_count[CHANNEL_DESTINATIONS], conf->floor_destinations,
           sizeof conf->floor_destinations);
    for (guint n = 1; n < SMALL; n++)
        t->rank[n] = (Rank)(1 + thinning_code(n));
    t->shrink[0] = LEVEL_NONE;
    for (guint code = 0; code < CODES; code++) {
        double x = exp(code * log(STEP));
        t->value[code] = x;
        t->shrink[code + 1] = thinning_level(shrink(x));
        make_floors(t, conf, (guint16)code);
    }
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        for (guint i = 0; i < G_N_ELEMENTS(caps); i++)
            t->cap_q[pair][i] = thinning_q(caps[i].below_rate, conf->session_packets[pair]);
    return t;
}

void thinning_free(Thinning *thinning)
{
    g_free(thinning);
}

double thinning_value(const Thinning *thinning, guint16 code)
{
    g_assert(code < CODES);
    return thinning->value[code];
}

guint thinning_cap(const Thinning *thinning, double q, PstPortPair pair)
{
    for (guint i = 0; i < G_N_ELEMENTS(caps); i++)
        if (q > thinning->cap_q[pair][i])
            return caps[i].cap;
    return caps[G_N_ELEMENTS(caps) - 1].cap;
}

gboolean thinning_is_scarce(double sampling)
{
    return sampling > SCARCE;
}

guint thinning_cap_at(guint64 rate)
{
    guint i = 0;
    while ((double)rate >= caps[i].below_rate)
        i++;
    return caps[i].cap;
}

Level thinning_floor(const Thinning *thinning, gboolean known, Channel channel, guint scale,
                     guint16 code)
{
    g_assert(code < CODES);
    return thinning->floor[known ? 1 : 0][code][channel][scale];
}

double thinning_floor_count(const Thinning *thinning, Channel channel, guint scale, guint16 code)
{
    /* Destinations thin by 1 − (1 − q)^n each; below q = 0.5 they keep to the sessions' floors. */
    Channel row = thinning->value[code] >= 2 ? CHANNEL_SESSIONS : channel;
    return thinning->floor_count[row][scale] / thinning->value[code];
}
