/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The direction of a mail flow whose writer did not know our networks: a backtest's. The collector
 * does the same before anything reaches the bus. Pure. */
#include "postern/flow.h"
#include "prefix_map.h"

/* Which side is the client: the one that is not on a mail port; with both sides on one, the sender
 * of a SYN without ACK, else who began as the exporter knows it (biflowDirection), else unknown.
 * Flows without a mail port: unknown. */
PstDirection direction_of(const PstFlow *flow, const PstPrefixMap *networks);
