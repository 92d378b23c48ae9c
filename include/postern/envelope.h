/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the scorer learned of a unit, as it is kept in the database: it outlives the bus's retention
 * and the loss of every snapshot. Written at day's end of event time, per unit that changed, in the
 * tick's transaction; read when a partition is taken over whose log no longer reaches back.
 * Counts are sightings, as sampled. Days are counted from 1970, UTC. Source: docs/detector.md,
 * Learning; docs/recovery.md.
 */
#include "postern/flow.h"
#include "postern/unit.h"

#define PST_ENVELOPE_CHANNELS 2 /* sessions, destinations */
#define PST_ENVELOPE_SCALES   5 /* 10 s, 60 s, 5 min, 30 min, 3 h */

/* Of one port pair. */
typedef struct {
    gboolean present;
    double sampling; /* R under which it was counted */
    guint days;      /* that the means are made of, at most 14 */
    double record[PST_ENVELOPE_CHANNELS][PST_ENVELOPE_SCALES]; /* in force: its usual most */
    double target[PST_ENVELOPE_CHANNELS][PST_ENVELOPE_SCALES]; /* where the record moves to */
    double mean_long[PST_ENVELOPE_CHANNELS];                   /* a day, over 14 days */
    double mean_short[PST_ENVELOPE_CHANNELS];                  /* a day, half-life one day */
} PstLearned;

typedef struct {
    PstUnit unit;  /* or the neighbourhood, where there is an owner */
    guint64 owner; /* hash of the customer whose neighbourhood it is; 0: a unit */
    gint64 since;  /* position of its first sighting; −1: before the log */
    guint day;     /* at whose beginning this holds */
    guint first_day, mail_day;
    guint confirmed_day; /* 0: none */
    guint mail_days;     /* with mail, learned; up to 3 */
    guint flags;         /* the scorer's */
    gboolean gone;       /* nothing is left of it: the row goes */
    PstLearned pair[PST_PAIR_COUNT];
} PstEnvelope;

/* What became of a day's data that were withheld. */
typedef enum {
    PST_WAITING,                /* for a decision */
    PST_WAITING_LEARNED,        /* seven days passed without a confirmation */
    PST_WAITING_FALSE_POSITIVE, /* learned: an officer said so */
    PST_WAITING_CONFIRMED,      /* dropped: complaint, listing, confirmed block */
    PST_WAITING_DROPPED         /* the unit was reassigned or forgotten, or there was no room */
} PstWaitingFate;

/* "waiting", "learned", "false-positive", "confirmed", "dropped". */
const char *pst_waiting_fate_name(PstWaitingFate fate);

typedef struct {
    PstUnit unit;
    guint64 owner;
    guint day;
    PstWaitingFate fate;
    double sampling[PST_PAIR_COUNT];
    double most[PST_PAIR_COUNT][PST_ENVELOPE_CHANNELS][PST_ENVELOPE_SCALES];
    guint32 count[PST_PAIR_COUNT][PST_ENVELOPE_CHANNELS];
} PstWaitingDay;
