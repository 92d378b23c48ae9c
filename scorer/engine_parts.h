/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an engine is made of: for engine.c and engine_image.c only. */
#include "activity.h"
#include "episode.h"
#include "novelty.h"
#include "rules.h"
#include "unit_table.h"
#include "watermark.h"

/* Plain numbers of the state; written as they lie. */
typedef struct {
    gint64 minute; /* of the watermark, up to which ticks were done */
    guint64 fates[ENGINE_FATES];
    guint64 sightings, heartbeats;
    guint64 watches, flags, blocks;
    guint64 episodes_ended, episodes_evicted;
    guint64 units_forgotten, units_evicted;
    guint32 open;         /* episodes */
    guint32 episode_hand; /* place looked at last for one to end early */
} EngineState;

struct Engine {
    EngineConf conf;
    guint32 partition;
    /* Made from the configuration. */
    Recursion recursion;
    Thinning *thinning;
    /* State: all that the future depends on. */
    EngineState s;
    Watermark *watermark;
    Novelty *novelty;
    UnitTable *units;
    Rules *rules;
    Pool episodes; /* Episode */
    /* Outputs not yet taken. */
    Activity *activity;
    GArray *verdicts; /* PstVerdict */
    EngineStats stats;
};
