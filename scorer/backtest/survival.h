/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The survival curve of daily maximum evidence: which share of the unit-days on which an address
 * sent mail reached E or more, beside the promised 10^(−E/100) and the slack of chance. */
#include "peaks.h"
#include "postern/error.h"
#include "postern/sink.h"

#define SURVIVAL_STEPS (1000 / PEAKS_STEP + 1)

typedef struct Survival Survival;

Survival *survival_new(void);
void survival_free(Survival *survival);

/* Counts the days of @activity (PstActivity), each unit's once. */
void survival_note(Survival *survival, const GArray *activity);

/* Unit-days noted, and of them (or of others that carried evidence) how many reached i·PEAKS_STEP
 * according to @peaks; reached[0] is all that had any evidence. */
guint64 survival_count(const Survival *survival, const Peaks *peaks,
                       guint64 reached[SURVIVAL_STEPS]);

/* Bounds of 95 % on the mean of a Poisson count (Wilson and Hilferty). */
void survival_slack(guint64 count, double *out_low, double *out_high);

/* Draws the curve. @error IO. */
gboolean survival_draw(const Survival *survival, const Peaks *peaks, const char *path,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
