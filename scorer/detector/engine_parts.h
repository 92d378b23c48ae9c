/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an engine is made of: for its own files only. */
#include "activity.h"
#include "episode.h"
#include "group.h"
#include "novelty.h"
#include "owners.h"
#include "peaks.h"
#include "postern/envelope.h"
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
    gint64 born_s;           /* event time of the first flow, or of what was restored */
    guint64 excused;         /* sightings, by mail that came in */
    guint64 waiting_dropped; /* days withheld that found no room */
    guint32 open;            /* episodes */
    guint32 episode_hand;    /* place looked at last for one to end early */
} EngineState;

struct Engine {
    EngineConf conf;
    guint32 partition;
    /* Made from the configuration. */
    Thinning *thinning;
    CellBook *cells;
    /* State: all that the future depends on. */
    EngineState s;
    Watermark *watermark;
    Novelty *novelty;
    UnitTable *units;
    Rules *rules;
    Owners *owners;
    Pool episodes; /* Episode */
    Pool learned;  /* Learned, of units whose mail could matter */
    Pool waiting;  /* Waiting */
    Pool inbound;  /* Inbound, of units that send and are sent to */
    /* Outputs not yet taken. */
    Activity *activity;
    GArray *verdicts;                     /* PstVerdict */
    Peaks *peaks;                         /* NULL: nobody asked for them */
    GArray *envelope_rows, *waiting_rows; /* PstEnvelope, PstWaitingDay; NULL: nobody takes them */
    EngineStats stats;
    gboolean input_is_new; /* while one is taken in: no row can know of it */
};

/* A unit that is not held yet; where there is no room another one goes. Returns its id. */
guint32 engine_add_unit(Engine *engine, const PstUnit *unit, guint64 hash, gint64 at_s,
                        gint64 position);
/* Its episode ends, and all that is known of it is gone. */
void engine_forget(Engine *engine, guint32 id);

/* A record that tells of a session of ours. */
typedef struct {
    const PstFlow *flow;
    EngineFate kind;  /* what session_of said */
    gboolean inbound; /* not ours, but one that came in */
    guint32 hint;     /* id of the unit, if it was held when the record was prepared */
    Session session;
    gint64 event_ns;
    gint64 at_s;
    gint64 position;
    PstUnit unit;
    guint64 unit_hash;
    guint64 key_d, key_session; /* of the novelty filter */
    guint16 place;              /* of its exporter */
    double inverse_q;
    gboolean new_session, new_s, new_d;
    gboolean excused; /* by mail that came in */
    guint8 member;    /* of the neighbourhood that is given it */
} Sighting;
