/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* To how many servers a unit under attention opened its sessions, and how many sessions it opened
 * lately.
 *
 * A burst to strangers reaches many servers. An office that gives all its mail to two relays, a
 * forwarder, a machine whose cron jobs mail at midnight do not, however many sessions they open.
 *
 * It begins with attention (episode.h), some sightings into a burst. A plain value, zeroed at
 * first; stored as bytes. */
#include <glib.h>

#define FANOUT_SPAN_S  1800
#define FANOUT_SERVERS 8 /* that can be told apart */

typedef struct {
    guint32 server[FANOUT_SERVERS]; /* hashes of the first ones; 0: none */
    guint32 sessions;               /* new ones */
    guint32 half_hour;              /* of the newest of them, in FANOUT_SPAN_S */
    guint32 in[2];                  /* sessions of that half hour, and of the one before */
} Fanout;

/* It begins at event time @at_s, with as many sessions before that are recent. */
void fanout_begin(Fanout *fanout, guint32 recent, gint64 at_s);

/* One new session with a server at event time @at_s. @server: a keyed hash. What is older than both
 * half hours is none of the recent ones. */
void fanout_note(Fanout *fanout, guint64 server, gint64 at_s);

/* How many servers, up to FANOUT_SERVERS. */
guint fanout_servers(const Fanout *fanout);
/* So many make a burst to strangers: more than three of five sessions with another one, @most at
 * most. At least 1. */
guint fanout_wanted(const Fanout *fanout, guint most);

/* Sessions of the half hour of @at_s, which is not before the newest, and of the one before. */
guint32 fanout_recent(const Fanout *fanout, gint64 at_s);
