/* SPDX-License-Identifier: Apache-2.0 */
#include "baseline.h"

#include <math.h>

#define NS_PER_S      G_GINT64_CONSTANT(1000000000)
#define DAY_INTERVALS 288.0

const char *const baseline_names[BASELINES] = {"fixed", "scaled", "average"};

/* Intervals that ended go into the average. */
static void advance(Baseline *b, gint64 interval)
{
    gint64 steps = interval - b->interval;
    b->average += (b->count[1] - b->average) / DAY_INTERVALS;
    b->count[1] = steps == 1 ? b->count[0] : 0;
    if (steps > 1) {
        b->average += (b->count[0] - b->average) / DAY_INTERVALS;
        b->average *= exp(-(double)(steps - 2) / DAY_INTERVALS);
    }
    b->count[0] = 0;
    b->interval = interval;
}

guint baseline_take(Baseline *b, gint64 event_ns, guint64 rate)
{
    gint64 interval = event_ns / NS_PER_S / BASELINE_INTERVAL_S;
    if (b->interval == 0)
        b->interval = interval;
    if (interval > b->interval)
        advance(b, interval);
    if (interval < b->interval - 1)
        return 0; /* too late for them */
    guint32 n = ++b->count[b->interval - interval];
    guint alarms = 0;
    if (n >= BASELINE_FLOWS)
        alarms |= 1u << BASELINE_FIXED;
    if (n * rate >= BASELINE_FLOWS)
        alarms |= 1u << BASELINE_SCALED;
    if (n >= BASELINE_LEAST && n >= BASELINE_K * b->average)
        alarms |= 1u << BASELINE_AVERAGE;
    return alarms;
}
