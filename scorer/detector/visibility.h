/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What one exporter sees of a mail session: q, the probability that one leaves a trace.
 *
 * At 1:N a session of k packets, in the directions that the exporter tells of, leaves a record with
 * q = 1 − (1 − 1/N)^k. k is learned from what is told: a session opens with one SYN each way, so
 * the packets sampled by the SYNs among them are the packets of a session. Per port pair:
 *
 *     k = (32·k0 + packets)/(32 + openings)      kept within k0/2 … 4·k0, from 16 openings on
 *
 * k0 is the configured start, more where both directions are told, which shows by the records too:
 * each makes at least a fifth of 16 or more. Addresses under attention teach nothing (a scan's
 * sessions have one packet). An exporter that sets no flags keeps k0. At 1:1 q is 1 whatever k.
 * A plain value, part of the state. Source: docs/detector.md, Sampling. */
#include "session.h"

typedef struct {
    guint64 rate;             /* N of its last flow; 0: none yet */
    double q[PST_PAIR_COUNT]; /* as known now */
    guint32 told[2];          /* sightings from the client's and from the server's side, of late */
    guint32 packets[PST_PAIR_COUNT]; /* sampled, of late */
    guint32 openings[PST_PAIR_COUNT];
    guint32 both; /* 1: tells of both directions */
} Visibility;

/* Its rate as of a flow; ≥ 1. */
void visibility_rate(Visibility *visibility, const EngineConf *conf, guint64 rate);
/* A record of a session. @learn: its packets count for k. */
void visibility_tell(Visibility *visibility, const EngineConf *conf, const PstFlow *flow,
                     const Session *session, gboolean learn);
/* k of a pair as known now. */
double visibility_packets(const Visibility *visibility, const EngineConf *conf, PstPortPair pair);
