/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One unit before the judge: sightings into its cells, bands crossed, episodes begun and ended.
 * Part of the engine (engine.h); verdicts go into its queue. */
#include "detector.h"
#include "engine_parts.h"

/* A unit with everything that judging it takes. */
typedef struct {
    Unit *unit;
    guint32 id;
    Standing standing;
    Adjustment adjust; /* as assessed last */
    Law law[PST_PAIR_COUNT];
    Block *block[PST_PAIR_COUNT];
} Judged;

void judge_unit(const Engine *engine, guint32 id, Judged *out);

/* The same for a sighting, whose pair gets its block if it has none. */
void judge_open(Engine *engine, guint32 id, const Sighting *s, Judged *out);

/* Moves the windows of a pair on, if the unit has one; what leaves them is learned. */
void judge_advance(Engine *engine, guint32 id, PstPortPair pair, gint64 at_s);

/* Borrowed until the episode ends. */
Episode *judge_episode(const Engine *engine, guint32 id);

/* Counts a sighting that is new in one way or another, and judges the unit if that could matter.
 * The unit has a block for its port pair. */
void judge_score(Engine *engine, Judged *j, const Sighting *s);

/* Adds a sighting's evidence to the unit's episode, which it has; nothing is scored. */
void judge_add(Engine *engine, const Judged *j, const Sighting *s);

/* At a full minute of the watermark: an episode that has been quiet for long enough ends. */
void judge_tick(Engine *engine, guint32 episode_id, gint64 now_s);

/* With peaks: notes where the unit stands at the beginning of @day. */
void judge_peak(Engine *engine, guint32 id, gint64 day);

/* Ends the unit's episode, if it has one; its cells restart. One that never opened goes in
 * silence. */
void judge_end(Engine *engine, Judged *j);

/* Queues the row of a band as it stood when it was crossed; what was seen of whom is the caller's.
 * @member: whose samples. Borrowed until the next row. */
PstVerdict *judge_row(Engine *engine, const Judged *j, const Episode *episode, PstBand band,
                      int member);
/* Its reasons, last. @neighbourhood: its name where the verdict is about one of its members. */
void judge_words(const Engine *engine, const Judged *j, const Episode *episode, PstVerdict *verdict,
                 const char *neighbourhood);

/* Cells back to the idle state, windows empty; what they held is learned with its day. */
void judge_restart(Engine *engine, Judged *j);
