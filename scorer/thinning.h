/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What packet sampling leaves of a session, and the envelopes that follow from it.
 *
 * A session of k packets leaves a record with probability q = 1 − (1 − 1/N)^k. Thinning a negative
 * binomial NB(m, s) by q gives NB(q·m, s) exactly, so everything is tested in sightings, at the
 * sampled scale, and q moves only the floors and the magnitude that is shown.
 *
 * Rates N and reciprocals R = 1/q are kept as codes: steps of 0.1 %, code 0 is exactly 1. They fit
 * two bytes, and what belongs to them (q, the floor's factor q·φ(q)) is looked up.
 * Source: docs/detector.md, Sampling and Envelope.
 */
#include "engine.h"

#define SCALES   5
#define CHANNELS 2

#define THINNING_CODES 14000 /* reach 1:1,190,000 */

/* Window lengths τ. */
extern const guint32 scale_tau_s[SCALES];

typedef enum { CHANNEL_SESSIONS, CHANNEL_DESTINATIONS } Channel; /* S and D */

/* What is known of a unit beside its records; fixed for all its windows. Learned envelopes will
 * stand here. */
typedef struct {
    gboolean known; /* has history: the other φ, the other gate */
    double ceiling; /* exempted up to so many sessions an hour; 0: not exempted */
} UnitRules;

typedef struct Thinning Thinning;

Thinning *thinning_new(const EngineConf *conf);
void thinning_free(Thinning *thinning);

/* The probability that a session of @packets leaves a trace at 1:@rate. @rate ≥ 1. */
double thinning_q(double rate, double packets);
/* φ(q): by how much the floors shrink beyond q itself. @q 0 … 1. */
double thinning_phi(double q, gboolean known);

/* The code nearest to @x ≥ 1 (N or R). */
guint16 thinning_code(double x);
/* The x of a code. */
double thinning_value(const Thinning *thinning, guint16 code);
/* q of one exporter at rate code @code, for sessions of @pair, told from @both directions or one.
 */
double thinning_pair_q(const Thinning *thinning, guint16 code, PstPortPair pair, gboolean both);

/* The cap C on sessions to one server: 16, 8, 3, 2 at 1:1, 1:100, 1:1000, 1:4096, changing half
 * way between on the log scale. @q: of the unit now, all its exporters together. */
guint thinning_cap(const Thinning *thinning, double q, PstPortPair pair);

/* The envelope m of one window: expected at most so many sightings. @code: of R when the window
 * opened. */
double thinning_envelope(const Thinning *thinning, const UnitRules *rules, Channel channel,
                         guint scale, guint16 code);
