/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Data sets that came before their template, kept for a while. Bounded in bytes per domain and over
 * all domains (HoldBudget), and in time; the oldest goes first, counted by the caller.
 * Thread: the worker's. */
#include "datagram.h"

/* A set with less data than two addresses have is not worth it. */
enum { HOLD_BYTES_MIN = 8 };

/* One budget for all domains of a worker. None may hold more than is left for the others: n greedy
 * domains get bytes_max / (n + 1) each, and one that comes late still finds room. */
typedef struct {
    gsize bytes;     /* held now */
    gsize bytes_max; /* over all domains */
    gsize domain_max;
} HoldBudget;

typedef struct {
    GList by_age;    /* its place in Hold.sets … */
    GList by_id;     /* … and among those that wait for the same template */
    Message message; /* its header; the body is gone */
    guint16 id;      /* of the template that it waits for */
    guint16 port;
    gint64 received_ns;
    gsize len;
    guint8 bytes[];
} HeldSet;

/* A value; zeroed is empty. A template that nothing waits for costs one look-up, however much is
 * held: a peer that fills the hold and tells templates without end gains nothing by it. */
typedef struct {
    GQueue sets;         /* of HeldSet, oldest first */
    GHashTable *waiting; /* template id → GQueue of HeldSet, oldest first; NULL while it is empty */
    gsize bytes;
} Hold;

void hold_clear(Hold *hold, HoldBudget *budget);

/* Called for each set that is thrown away. */
typedef void (*HoldLost)(gpointer user, const HeldSet *held);

/* Copies @set; throws older ones of this domain away where there is no room. FALSE: it cannot be
 * kept (it is too small, or larger than what this domain may hold). */
gboolean hold_put(Hold *hold, HoldBudget *budget, const Message *message, const Set *set,
                  guint16 port, gint64 received_ns, HoldLost lost, gpointer user);

/* The oldest set that waits for template @id. Given (hold_free), or NULL. */
HeldSet *hold_take(Hold *hold, HoldBudget *budget, guint16 id);
void hold_free(HeldSet *held);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HeldSet, hold_free)

/* Throws away what was received before @before_ns. */
void hold_expire(Hold *hold, HoldBudget *budget, gint64 before_ns, HoldLost lost, gpointer user);
