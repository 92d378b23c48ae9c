/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A: what is known of a unit beside the shape of its traffic, as points with a name. Bounded, so
 * that no single honest-looking feature may veto. What speaks for the unit counts for bands with
 * consequences, what speaks against it only orders the queue (detector.h). Part of the engine.
 * Source: docs/detector.md, Adjustments. */
#include "judge.h"

#define ADJUST_MAX 200

/* Notes what applies to the unit at @at_s. Returns A, −ADJUST_MAX … ADJUST_MAX. */
double adjust_find(const Engine *engine, const Judged *j, gint64 at_s, Adjustment *out);
