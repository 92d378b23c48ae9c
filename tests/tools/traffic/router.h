/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What routers tell of sessions: packet sampling, flow cache with its timeouts, the way to the
 * collector. Records come out in the order in which they would arrive. */
#include "life.h"

/* How the routers look at the traffic. */
typedef struct {
    guint32 rate;     /* N: each packet is seen with probability 1/N */
    guint directions; /* 1: only what leaves the life's side; 2: both */
    guint routers;    /* so many see every packet, each with luck of its own */
} View;

#define ROUTERS_MAX     4
#define ROUTER_ACTIVE   60 /* s: a record of a longer flow is told in pieces */
#define ROUTER_INACTIVE 15 /* s of silence that end a flow */
#define ROUTER_LAG_S    4  /* a heartbeat's newest event is so much older than the heartbeat */

typedef struct {
    gint64 arrival_ns, start_ns, end_ns; /* UTC */
    guint32 life, server, host, bytes;
    guint16 client_port, port, packets;
    guint8 flags, router, direction, spam;
} Record;

typedef struct Router Router;

/* @seed: of the routers' luck. Given. */
Router *router_new(const View *view, guint64 seed);
void router_free(Router *router);

/* Shows the sessions of one life and day; they lie side by side in @sessions. */
void router_see(Router *router, const Life *life, gint day, const Session *sessions, guint n);

/* Takes out the records that arrive before @until_ns, in order of arrival. Borrowed until the next
 * call; @until_ns never goes back. */
const Record *router_take(Router *router, gint64 until_ns, guint *out_n);

PstAddr router_addr(guint router);
/* The flow as a collector would put it on the bus. */
void router_flow(const Router *router, const Record *record, const Life *life, PstFlow *out);
/* The heartbeat of one of the routers at @now_ns. */
PstHeartbeat router_beat(guint router, gint64 now_ns);
