/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Snowshoe: a customer's spam spread so thinly over the addresses of a /24 (/56) that each stays
 * below what is noticed. Part of the engine (engine.h).
 *
 * A neighbourhood is a unit of a kind of its own (group.h), fed with the new sightings of its
 * members, with an envelope of its own that is learned in the same way. It begins with the floors
 * and the gate of a unit with history, ten times the gate in its first 21 days; and until three of
 * its days are learned it says nothing, unless the engine is older than it by 21 days: a fresh
 * installation knows nobody's habits. A crossing is attributed to the members that took part: each
 * gets a verdict of its own, whose evidence names the neighbourhood. Members that stay within their
 * own history took no part, exempted ones do not feed it. Source: docs/detector.md. */
#include "judge.h"

#define NEIGHBOURS 256 /* units of a neighbourhood: /32 of a /24, /64 of a /56 */

/* Finds or makes the unit's neighbourhood, if its customer has one. */
void neighbourhood_join(Engine *engine, guint32 id, gint64 at_s, gint64 position);
/* Gives a member's new sighting to its neighbourhood. */
void neighbourhood_feed(Engine *engine, guint32 id, const Sighting *s);
/* TRUE: a group that is not to say anything yet. */
gboolean neighbourhood_is_silent(const Engine *engine, const Judged *j);
/* A band was crossed: rows for all members that took part, and from now on for those that join. */
void neighbourhood_cross(Engine *engine, const Judged *j, Episode *episode, PstBand band);
/* The rows told are completed. */
void neighbourhood_end(Engine *engine, const Judged *j, Episode *episode);
/* Its members stand alone again. */
void neighbourhood_leave(Engine *engine, const PstUnit *group);
