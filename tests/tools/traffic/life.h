/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One address (or the few that act as one) of a class, and what it does on each day: the truth,
 * before any router saw it. A life is a function of (seed, class, number): the same whatever
 * company it is simulated in, and on every machine. */
#include "postern/flow.h"
#include "scene.h"

#define DAY_NS     G_GINT64_CONSTANT(86400000000000)
#define FIRST_DAY  20574 /* 2026-05-01 since 1970-01-01, a Friday */
#define V6_SERVERS "2001:db8:ffff::"

/* Days 0 … history − 1 are history, the following `measured` days are measured. */
typedef struct {
    gint history, measured;
} Span;

typedef struct {
    gint64 start_ns; /* UTC */
    guint32 life;    /* number among the lives simulated together */
    guint32 server;  /* IPv4, host order; of an IPv6 life the last 32 bits */
    guint32 ms;      /* how long it lasts */
    guint32 host;    /* which of the life's addresses */
    guint16 client_port, port;
    guint16 packets, packets_back;
    guint8 inbound; /* the life is the server, `server` the client */
    guint8 spam;
    guint8 failed;
} Session;

typedef struct {
    const Class *class;
    const Scene *scene;
    guint64 seed;    /* its own */
    guint32 number;  /* of its class */
    guint32 address; /* first of its IPv4 addresses; of IPv6 the number of its /64 */
    guint32 hosts;   /* how many it uses at most */
    gint first_day, once_day;
    gint last_event; /* newest day with an event in the truth; −2: none */
    guint n_parts;
    struct {
        const Part *part;
        double per_day, scale;
        guint32 own_s; /* its own second of a day */
        guint8 weekday;
        guint8 spam;
    } part[PARTS_MAX];
} Life;

void life_begin(Life *life, const Scene *scene, const Class *class, guint64 seed, guint32 number,
                const Span *span);

/* Appends the sessions that begin in events of @day (some may start on a later one) in no
 * particular order. @life_index goes into them. */
void life_day(Life *life, gint day, guint32 life_index, GArray *sessions);

/* Its own growth of the mean from @day − 1 to @day. */
double life_growth(const Life *life, gint day);

/* The life's address of a session, and the far side's. */
PstAddr life_addr(const Life *life, const Session *session);
PstAddr life_server(const Life *life, guint32 server);
