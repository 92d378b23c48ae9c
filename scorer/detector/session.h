/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which record tells of a mail session that one of our addresses opened, and what it says.
 * Either direction will do: an answer from a mail port is a sighting of the same session.
 * Pure functions. */
#include "engine.h"

typedef struct {
    PstAddr client; /* ours */
    PstAddr server;
    guint16 client_port;
    guint16 port; /* mail port */
    PstPortPair pair;
    gboolean reply;  /* told from the server's side */
    gboolean failed; /* looks like an opening that was not answered, or refused. Judged only where
                        every packet is counted (1:1) */
} Session;

/* ENGINE_NEW: it is one, @out is filled. Otherwise ENGINE_NOT_CLIENT or ENGINE_NOT_MAIL. */
EngineFate session_of(const PstFlow *flow, Session *out);
/* The same of an inbound session on one of our servers, spoken in both directions: its data were
 * pushed and acknowledged, or the record counts both sides. @out's client is ours: the server.
 * FALSE: not one, or it cannot be told. */
gboolean session_inbound(const PstFlow *flow, Session *out) G_GNUC_WARN_UNUSED_RESULT;
