/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is learned of one unit's mail on one port pair: how much its windows hold at most, and on
 * average. Pure functions over a plain value; days follow one another in event time, UTC.
 *
 *     windows of day d leave the ring → most[d], count[d]          (channel.h)
 *     day d + 1 begins:  the data of day d − 1, complete by now and older than 24 h,
 *         target ← max(target·2^(−1/14), most[d − 1])              decayed maximum
 *         means  ← EWMA over count[d − 1]                          14 days; half-life 1 day
 *         record ← min(target, 4·max(record, floor))               what is in force on day d + 1
 *     data that were withheld and reviewed (history.h) lift the record at once
 *
 *     m of a window = max(floor, shrink(record), 8·max(means)·τ/86400), each of the window's own
 * day
 *
 * As windows of two days may stand in the ring at the same time, what is in force is kept for both,
 * by the parity of the day: a window is judged to its end by the envelope that it opened under.
 *
 * All counts are sightings, as sampled, at R = `rate`. Seen denser they are scaled up, at once;
 * seen thinner they stay, and `rate` follows as fast as the record fades (so a rate that flaps does
 * not pump them up). Both err towards a larger envelope. Source: docs/detector.md, Learning.
 */
#include "thinning.h"

#define A_DAY_S      86400
#define LEARNED_DAYS 14 /* half-life of the maximum, span of the long mean */
#define HOLD_FROM    7  /* days of rest after which a maximum that was vouched for is held … */
#define HOLD_UNTIL   45 /* … and until when: monthly mailings */

typedef struct {
    Rank most[2][CHANNELS][SCALES];
    Rank target[CHANNELS][SCALES];
    Rank record[2][CHANNELS][SCALES];
    Level mean[2][CHANNELS];                         /* 8·max(means)/86400: sightings a second */
    float mean_long[CHANNELS], mean_short[CHANNELS]; /* sightings a day */
    guint32 count[2][CHANNELS];                      /* sightings of the day */
    guint16 rate;                                    /* code of R */
    guint8 days;                                     /* that the long mean is made of, at most 14 */
    guint8 rested; /* days since a maximum rose; at most HOLD_UNTIL */
} Learned;

/* A day's data that waits for a decision. */
typedef struct {
    Rank most[PST_PAIR_COUNT][CHANNELS][SCALES];
    guint32 count[PST_PAIR_COUNT][CHANNELS];
    guint16 rate[PST_PAIR_COUNT];
} DayData;

static inline guint parity_of(gint64 day)
{
    return (guint)(day & 1);
}

/* A window of @day, seen under R = @code, held @n sightings. */
void learned_window(const Thinning *thinning, Learned *learned, gint64 day, Channel channel,
                    guint scale, guint32 n);

/* TRUE: a window with @n sightings could matter for a unit with history: its record or mean would
 * exceed a part of the floor. Below, nothing need be kept. */
gboolean learned_matters(const Thinning *thinning, Channel channel, guint scale, guint16 code,
                         guint32 n);

/* Takes @day's data out (they are zero afterwards). */
void learned_take_day(Learned *learned, gint64 day, PstPortPair pair, DayData *out);
/* Learns a day that ended @age days before the present one began: 1 for yesterday's eve. */
void learned_take_in(const Thinning *thinning, Learned *learned, const DayData *data,
                     PstPortPair pair, guint age);
/* Its largest windows only. */
void learned_take_most(Learned *learned, const DayData *data, PstPortPair pair, guint age);
/* It was reviewed, too: the record of @day rises to it at once. */
void learned_vouch(Learned *learned, const DayData *data, PstPortPair pair, guint age, gint64 day);
/* A day without data to learn: means fade only if it was one without mail (@quiet). */
void learned_skip(Learned *learned, gboolean quiet);
/* The maximum fades by a day, unless it is held, and R follows @code. @vouched: an officer called
 * a flag of it false. */
void learned_fade(Learned *learned, gint64 day, guint16 code, gboolean vouched);
/* What the means allow on @day. */
void learned_set_means(Learned *learned, gint64 day);
/* Puts the envelope of @day in force: the record moves on from that of the day before. */
void learned_enforce(const Thinning *thinning, Learned *learned, gint64 day, guint16 code);
/* shrink(record) and means of a window of @day under R = @code. */
Level learned_level(const Thinning *thinning, const Learned *learned, gint64 day, Channel channel,
                    guint scale, guint16 code);
