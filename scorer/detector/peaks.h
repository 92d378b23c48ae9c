/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The highest evidence of each unit on each UTC day: what a backtest holds against the promise
 * that at most 10^(−E/100) of the days within their null reach E. Kept only where asked for; no
 * part of an engine's state. Values are exact to the step below. */
#include "postern/unit.h"

#define PEAKS_STEP 10 /* evidence is told in steps of this; a day's peak is at least the value */

typedef struct Peaks Peaks;

Peaks *peaks_new(void);
void peaks_free(Peaks *peaks);

/* The unit stood at @evidence on @day (since 1970); 0 is not worth a note. */
void peaks_note(Peaks *peaks, const PstUnit *unit, gint64 day, double evidence);
/* From this evidence on a note on @day would say something new; > 0. */
double peaks_next(const Peaks *peaks, const PstUnit *unit, gint64 day);

/* Units whose newest note is of @day. Given: GArray of PstUnit, ordered. */
GArray *peaks_of_day(const Peaks *peaks, gint64 day) G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    PstUnit unit;
    gint64 day;
    double evidence; /* > 0 */
} Peaked;

/* Everything noted so far, ordered by unit, then day. Given: GArray of Peaked. */
GArray *peaks_all(const Peaks *peaks) G_GNUC_WARN_UNUSED_RESULT;
