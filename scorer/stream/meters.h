/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the scorer counts and shows at /metrics, and says at /readyz. Written by the consumer's
 * thread only. */
#include "snapshots.h"
#include "stats.h"

typedef struct {
    PstStats *stats;      /* borrowed: cells per partition are made from it */
    PstCell *messages[2]; /* taken: of postern.smtp, of postern.evidence */
    PstCell *duplicates;  /* a producer's batch that came twice */
    PstCell *malformed;   /* batches or complaints that break their format */
    PstCell *flows[ENGINE_FATES];
    PstCell *heartbeats;
    PstCell *verdicts[PST_BAND_COUNT];
    PstCell *complaints;
    PstCell *inputs;    /* decisions applied */
    PstCell *holes;     /* messages that retention threw away before they were read */
    PstCell *rebuilt;   /* messages read again to rebuild state */
    PstCell *snapshots; /* written */
    PstCell *snapshots_failed;
    PstCell *ticks;      /* committed */
    PstCell *tick_us;    /* time spent committing, all ticks */
    PstCell *retries;    /* tries that found the database away */
    PstCell *fenced;     /* partitions lost to another scorer */
    PstCell *partitions; /* gauges: held, rebuilding */
    PstCell *rebuilding;
    PstCell *database_away; /* gauge: 1 while it is */
    PstCell *bus_away;
    gint taking;                  /* atomic; 1: more partitions may come at once */
    GMutex lock;                  /* of the following */
    char *database_why, *bus_why; /* away: why, in words, one line; NULL: there */
} Meters;

/* @meters is zeroed. */
void meters_init(Meters *meters, PstStats *stats);
/* @which, one of the two gauges, is away because of @why; NULL: it is there. */
void meters_away(Meters *meters, PstCell *which, const char *why);
/* Appends why it is away; nothing where it is there. From any thread. */
void meters_why(Meters *meters, char *const *which, const char *what, GString *out);
/* What became of a snapshot. */
void meters_snapshot(Meters *meters, const SnapshotDone *done);
/* Messages of @topic not yet read in @partition. */
void meters_lag(Meters *meters, const char *topic, guint32 partition, guint64 messages);
/* The present values of a partition's engine. */
void meters_engine(Meters *meters, guint32 partition, const EngineStats *engine);
