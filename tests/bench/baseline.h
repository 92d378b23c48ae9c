/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What tools in use do instead of a detector, as far as their documents tell: they count the flow
 * records of an address to mail ports in intervals of 5 minutes and compare.
 *   fixed    82 records or more, as seen
 *   scaled   the same, each record taken N times where packets are sampled 1:N
 *   average  10 records or more, and 10 times the address' average of the last days
 * Each record is a flow to them: pieces of long flows and second routers count again. */
#include "postern/flow.h"

typedef enum { BASELINE_FIXED, BASELINE_SCALED, BASELINE_AVERAGE, BASELINES } BaselineRule;

#define BASELINE_INTERVAL_S 300
#define BASELINE_FLOWS      82
#define BASELINE_K          10
#define BASELINE_LEAST      10

extern const char *const baseline_names[BASELINES];

/* What is kept of one address. Made zeroed. */
typedef struct {
    gint64 interval;  /* the newest, since 1970 */
    guint32 count[2]; /* of it, and of the one before */
    double average;   /* per interval, decayed with a day */
} Baseline;

/* Takes the record of an outgoing flow. Bits of the rules that raise an alarm now. */
guint baseline_take(Baseline *baseline, gint64 event_ns, guint64 rate);
