/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is remembered of a unit from day to day: since when it sends, what was learned of it, what
 * waits to be learned. Part of the engine (engine.h).
 *
 * A day's data are learned when it has ended and a further day has passed (envelope.h). The data of
 * a day on which evidence reached the watch band are withheld:
 *
 *     withheld ──▶ waiting ──▶ learned    an officer's false positive, or 7 days without a
 *          │            └────▶ dropped    confirmation: complaint, listing, confirmed block
 *          ├─▶ learned                    of a newcomer: the first 21 days, unless confirmed
 *          └─▶ dropped                    confirmed already
 *
 * A unit is known, not cold, from three days of mail that were learned (one at 1:1000 or thinner).
 * Whether a day is rolled over by the first sighting after midnight or by the engine's walk makes
 * no difference: it is a function of the state and the day. Source: docs/detector.md, Learning.
 */
#include "judge.h"

#define NEWCOMER_DAYS 21
#define WAITING_DAYS  7
#define KNOWN_DAYS    3

/* A day that waits. */
typedef struct {
    guint32 unit; /* first, so that a free element is known by in_use */
    guint32 next; /* younger; 0: none */
    guint16 day;
    guint16 in_use;
    DayData data;
} Waiting;

/* The unit's first sighting. */
void history_begin(Engine *engine, guint32 id, gint64 day, gint64 position);
/* The unit sent on @day; brings it to that day. */
void history_mail(Engine *engine, guint32 id, gint64 day);
/* Brings the unit to @day, if it is not there yet. */
void history_roll(Engine *engine, guint32 id, gint64 day);
/* Evidence reached watch on @day. */
void history_withhold(Unit *unit, gint64 day);
/* Makes a place for what is learned of a pair. */
Learned *history_learn(Engine *engine, Unit *unit, PstPortPair pair);

/* FALSE: its row was read from the database and knows of decisions made then, while the log is read
 * again. Otherwise it is brought to the present day; or stays on its row's, which the log has not
 * come to, if the decision is new. */
gboolean history_bring_up(Engine *engine, guint32 id);

/* An officer: what is withheld, today's data too, is no spam. It is learned and in force at once.
 */
void history_false_positive(Engine *engine, guint32 id);
/* A complaint, a listing, a confirmed block: it was. */
void history_confirmed(Engine *engine, guint32 id);
/* Nothing of it is left; its row goes too, or stays for the next start. */
void history_forget(Engine *engine, Unit *unit);
void history_drop(Engine *engine, Unit *unit);
/* TRUE: silent for so long, or so little, that nothing need be kept at @day. */
gboolean history_is_over(const Unit *unit, gint64 day);

/* A unit from its row, which is held already; a day that waits. */
void history_restore(Engine *engine, guint32 id, const PstEnvelope *row);
void history_restore_waiting(Engine *engine, guint32 id, const PstWaitingDay *row);

/* Queues the unit's row if it changed and somebody takes rows. */
void history_tell(Engine *engine, Unit *unit);
