/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Mail that comes in explains mail that goes out: bounces, sender call-outs, relays. Part of the
 * engine (engine.h).
 *
 * Each new inbound session that was spoken in both directions is a token; a token excuses one
 * outgoing sighting: it is counted as traffic, for totals and for the gate, not as evidence. At
 * most two in three are excused, 200 tokens held, half-life 10 minutes: tokens can be bought by
 * whoever lets mail be sent to himself, so they never silence a burst, they only delay it. Kept for
 * units that send. Source: docs/detector.md, Inbound mail. */
#include "engine_parts.h"

/* Made zeroed. */
typedef struct {
    guint32 unit; /* id; never 0 while in use */
    guint32 in_use;
    guint32 tokens_s, served_s; /* event time of the numbers below */
    float tokens;
    float served;   /* inbound sessions on submission ports, half-life one day */
    guint32 in_row; /* sightings excused since one was not */
} Inbound;

/* Takes a record that tells of an inbound session of @unit. */
void inbound_take(Engine *engine, const Sighting *s);
/* TRUE: the unit's sighting at @at_s is excused. */
gboolean inbound_excuse(Engine *engine, const Unit *unit, gint64 at_s);
/* Clients that sent through the unit's submission ports, about a day's. */
double inbound_served(const Engine *engine, const Unit *unit, gint64 at_s);
void inbound_forget(Engine *engine, Unit *unit);
