/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What exporters sent, as the records of a tick tell of it: heartbeats with something to account
 * for, and the flows that were read, counted by exporter, domain and hour (flows tell of themselves
 * that they were received, postern/flow.h). Thread: the consumer's. */
#include "postern/flow.h"

typedef struct Arrivals Arrivals;

Arrivals *arrivals_new(void);
void arrivals_free(Arrivals *arrivals);
void arrivals_clear(Arrivals *arrivals);

void arrivals_beat(Arrivals *arrivals, const PstHeartbeat *beat);
/* Flows of one exporter come in runs. */
void arrivals_flow(Arrivals *arrivals, const PstFlow *flow);

/* What was counted is told like what others tell. */
void arrivals_close(Arrivals *arrivals);
/* Borrowed: array of PstHeartbeat. */
const GArray *arrivals_beats(const Arrivals *arrivals);
