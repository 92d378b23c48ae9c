/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What packet sampling leaves of a session, and the envelopes that follow from it.
 *
 * A session of k packets leaves a record with probability q = 1 − (1 − 1/N)^k. Thinning a negative
 * binomial NB(m, s) by q gives NB(q·m, s) exactly, so everything is tested in sightings, at the
 * sampled scale, and q moves only the floors and the magnitude that is shown.
 *
 * Rates N and reciprocals R = 1/q are kept as codes: steps of 0.1 %, code 0 is exactly 1. They fit
 * two bytes, and what belongs to them (q, floors) is looked up: no logarithm per sighting.
 * Source: docs/detector.md, Sampling and Envelope.
 */
#include "engine.h"

#define SCALES   5
#define CHANNELS 2

#define THINNING_CODES 14000 /* reach 1:1,190,000 */
#define THINNING_STEP  1.001

/* Window lengths τ. */
extern const guint32 scale_tau_s[SCALES];

typedef enum { CHANNEL_SESSIONS, CHANNEL_DESTINATIONS } Channel; /* S and D */

/* Envelopes m as levels: steps of 0.1 % as well, but of either sign, level 0 is m = 1. A level less
 * a code is m/x. */
typedef gint16 Level;
#define LEVEL_NONE G_MININT16 /* m = 0 */

/* Counts of windows as ranks: 0 is none, 1 is one sighting, and on by steps of 0.1 %: a code + 1.
 */
typedef guint16 Rank;
#define RANK_MAX THINNING_CODES

typedef struct Thinning Thinning;

Thinning *thinning_new(const EngineConf *conf);
void thinning_free(Thinning *thinning);

/* The probability that a session of @packets leaves a trace at 1:@rate. @rate ≥ 1. */
double thinning_q(double rate, double packets);
/* φ(q): by how much the floors shrink beyond q itself. log φ is linear in log q between @points,
 * which are those of q = 1, 0.13, 0.014 and 0.0034, and constant below. @q 0 … 1. */
double thinning_phi(double q, const double points[4]);

/* The code nearest to @x ≥ 1 (N or R). */
guint16 thinning_code(double x);
/* The x of a code. */
double thinning_value(const Thinning *thinning, guint16 code);
/* The cap C on sessions to one server: 16, 8, 3, 1 at 1:1, 1:100, 1:1000, 1:4096, changing half
 * way between on the log scale. @q: of the unit now, all its exporters together. */
guint thinning_cap(const Thinning *thinning, double q, PstPortPair pair);
/* The same of one exporter at 1:@rate, whatever it was found to see. */
guint thinning_cap_at(guint64 rate);
/* A sighting stands for so many true sessions that a burst shows few of them. */
gboolean thinning_is_scarce(double sampling);

/* q̄·φ(q̄)·floor: what anyone may do in a window without being noticed. @code: of R when the window
 * opened. */
Level thinning_floor(const Thinning *thinning, gboolean known, Channel channel, guint scale,
                     guint16 code);

/* q̄·floor alone, in sightings. */
double thinning_floor_count(const Thinning *thinning, Channel channel, guint scale, guint16 code);

/* The level nearest to @m > 0; none for others. */
Level thinning_level(double m);
double thinning_of_level(Level level);
/* Level + steps, kept within what there is; none stays none. */
static inline Level thinning_shift(Level level, int steps)
{
    return level == LEVEL_NONE ? level : (Level)CLAMP(level + steps, -32000, 32000);
}

/* The rank nearest to a count. */
Rank thinning_rank(const Thinning *thinning, guint32 count);
/* The count of a rank; 0 for none. */
double thinning_count(const Thinning *thinning, Rank rank);
/* The rank of x times the count, at least one sighting: where packets are sampled, one in 10 s is
 * the usual most of many a mail server, and must not fade to nothing within a day. */
static inline Rank rank_shift(Rank rank, int steps)
{
    return rank == 0 ? 0 : (Rank)CLAMP(rank + steps, 1, RANK_MAX);
}
/* shrink(x) = x(1 − 1/(9x) − 1/(3√x))³: what the largest of many windows says of their mean. */
Level thinning_shrink(const Thinning *thinning, Rank rank);
