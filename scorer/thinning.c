/* SPDX-License-Identifier: Apache-2.0 */
#include "thinning.h"

#include <math.h>

#define STEP  1.001
#define CODES THINNING_CODES

const guint32 scale_tau_s[SCALES] = {10, 60, 300, 1800, 10800};

/* φ at four points, linear in log q between them, constant beyond. */
typedef struct {
    double q, phi;
} PhiPoint;
static const PhiPoint phi_known[] = {{1.0, 0.8}, {0.13, 0.5}, {0.014, 0.06}, {0.0034, 0.03}};
static const PhiPoint phi_cold[] = {{1.0, 0.18}, {0.13, 0.075}, {0.014, 0.0018}, {0.0034, 0.0003}};

/* C changes where N passes these. */
static const struct {
    double below_rate;
    guint cap;
} caps[] = {{10, 16}, {316, 8}, {2024, 3}, {INFINITY, 2}};

struct Thinning {
    double value[CODES];                /* x = STEP^code */
    double q[2][PST_PAIR_COUNT][CODES]; /* of rate x */
    double shrink[2][CODES];            /* q̄·φ(q̄) of q̄ = 1/x; [known] */
    double cap_q[PST_PAIR_COUNT][G_N_ELEMENTS(caps)];
    double floor[CHANNELS][SCALES];
};

double thinning_q(double rate, double packets)
{
    return rate <= 1 ? 1 : -expm1(packets * log1p(-1 / rate));
}

double thinning_phi(double q, gboolean known)
{
    const PhiPoint *p = known ? phi_known : phi_cold;
    if (q >= p[0].q)
        return p[0].phi;
    for (guint i = 1; i < G_N_ELEMENTS(phi_known); i++) {
        if (q < p[i].q)
            continue;
        double share = log(q / p[i].q) / log(p[i - 1].q / p[i].q);
        return p[i].phi + share * (p[i - 1].phi - p[i].phi);
    }
    return p[G_N_ELEMENTS(phi_known) - 1].phi;
}

guint16 thinning_code(double x)
{
    if (!(x > 1))
        return 0;
    return (guint16)MIN(lround(log(x) / log(STEP)), CODES - 1);
}

Thinning *thinning_new(const EngineConf *conf)
{
    Thinning *t = g_new0(Thinning, 1);
    for (guint code = 0; code < CODES; code++) {
        double x = exp(code * log(STEP));
        t->value[code] = x;
        for (guint known = 0; known < 2; known++)
            t->shrink[known][code] = thinning_phi(1 / x, known != 0) / x;
        for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
            double k = conf->session_packets[pair];
            t->q[0][pair][code] = thinning_q(x, k);
            t->q[1][pair][code] = thinning_q(x, k * conf->both_directions);
        }
    }
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        for (guint i = 0; i < G_N_ELEMENTS(caps); i++)
            t->cap_q[pair][i] = thinning_q(caps[i].below_rate, conf->session_packets[pair]);
    memcpy(t->floor[CHANNEL_SESSIONS], conf->floor_sessions, sizeof conf->floor_sessions);
    memcpy(t->floor[CHANNEL_DESTINATIONS], conf->floor_destinations,
           sizeof conf->floor_destinations);
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

double thinning_pair_q(const Thinning *thinning, guint16 code, PstPortPair pair, gboolean both)
{
    g_assert(code < CODES);
    return thinning->q[both ? 1 : 0][pair][code];
}

guint thinning_cap(const Thinning *thinning, double q, PstPortPair pair)
{
    for (guint i = 0; i < G_N_ELEMENTS(caps); i++)
        if (q > thinning->cap_q[pair][i])
            return caps[i].cap;
    return caps[G_N_ELEMENTS(caps) - 1].cap;
}

double thinning_envelope(const Thinning *thinning, const UnitRules *rules, Channel channel,
                         guint scale, guint16 code)
{
    g_assert(code < CODES);
    /* Destinations thin by 1 − (1 − q)^n each; below q = 0.5 they keep to the sessions' floors. */
    Channel row = thinning->value[code] >= 2 ? CHANNEL_SESSIONS : channel;
    double m = thinning->shrink[rules->known ? 1 : 0][code] * thinning->floor[row][scale];
    if (rules->ceiling > 0) {
        /* So many an hour, in whatever shape: any shorter window may hold all of it. */
        double hours = MAX(1.0, scale_tau_s[scale] / 3600.0);
        m = MAX(m, rules->ceiling * hours / thinning->value[code]);
    }
    return m;
}
