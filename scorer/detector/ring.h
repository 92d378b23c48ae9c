/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which windows of a block (channel.h) stand, and where: per scale the newest few, in a ring of
 * slots. Windows are numbered from 1970. */
#include "thinning.h"

#define LONG 4 /* the longest scale */
#define HOUR 3 /* of which two windows are half an hour to an hour */

/* How many windows of each scale stand, and where in the ring's slots they begin. */
static const struct {
    gint64 windows;
    guint first;
} ring[SCALES] = {{13, 0}, {3, 13}, {2, 16}, {2, 18}, {2, 20}};

/* The windows of a moment. Each scale divides the next, all divide the day. */
typedef struct {
    gint64 at[SCALES];
} Windows;

static inline Windows windows_of(gint64 at_s)
{
    Windows w;
    w.at[0] = at_s / 10;
    w.at[1] = w.at[0] / 6;
    w.at[2] = w.at[1] / 5;
    w.at[3] = w.at[2] / 6;
    w.at[4] = w.at[3] / 6;
    return w;
}

/* Divisions by constants cost little: a case for each. */
static inline guint place_of(guint scale, gint64 window)
{
    switch (scale) {
    case 0:
        return (guint)((guint64)window % 13);
    case 1:
        return (guint)((guint64)window % 3);
    default:
        return (guint)((guint64)window % 2);
    }
}

static inline guint slot_of(guint scale, gint64 window)
{
    return ring[scale].first + place_of(scale, window);
}

static inline guint next_slot(guint scale, guint slot)
{
    return slot + 1 == ring[scale].first + (guint)ring[scale].windows ? ring[scale].first
                                                                      : slot + 1;
}

/* TRUE: @window is among those that stand while @top is the newest. */
static inline gboolean stands(guint scale, gint64 top, gint64 window)
{
    return window <= top && window > top - ring[scale].windows;
}

/* By scale. */
static const gint64 windows_a_day[SCALES] = {8640, 1440, 288, 48, 8};

static inline gint64 day_of(guint scale, gint64 window)
{
    return window / windows_a_day[scale];
}
