/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One configuration over a backtest's flows: its engine, the crossings it made, and how it differs
 * from another one. */
#include "engine.h"

/* A crossing, ready to be printed. */
typedef struct {
    gint64 time_ns;
    guint64 order; /* as they arose */
    PstUnit unit;
    PstBand band;
    char *text; /* owned */
} Crossing;

/* Made by trial_init. */
typedef struct {
    const char *name; /* of the configuration; borrowed */
    Engine *engine;
    GArray *crossings; /* Crossing; sorted by time when finished */
    char *(*print)(const PstVerdict *verdict);
} Trial;

/* @print makes the text of a crossing, given. */
void trial_init(Trial *trial, const char *name, const EngineConf *conf,
                char *(*print)(const PstVerdict *verdict));
void trial_clear(Trial *trial);
/* Takes the engine's outputs; often, for they grow. Given: the activity, GArray of PstActivity. */
GArray *trial_take(Trial *trial) G_GNUC_WARN_UNUSED_RESULT;
/* The same after the last flow. */
GArray *trial_finish(Trial *trial) G_GNUC_WARN_UNUSED_RESULT;

/* The first crossing of a unit into a band on a UTC day, in one trial or both. */
typedef struct {
    const Crossing *a, *b; /* borrowed; NULL: only the other one made it */
} Pairing;

/* What two finished trials say of each unit, day and band, in the order of time. Given: GArray of
 * Pairing, good as long as both live. */
GArray *trial_pair(const Trial *a, const Trial *b) G_GNUC_WARN_UNUSED_RESULT;
