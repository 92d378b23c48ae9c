/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Data sets that came before their template, kept for a while. Bounded in bytes per domain and over
 * all domains (HoldBudget), and in time; the oldest goes first, counted by the caller.
 * Thread: the worker's. */
#include "datagram.h"

/* One budget for all domains of a worker. */
typedef struct {
    gsize bytes;     /* held now */
    gsize bytes_max; /* over all domains */
    gsize domain_max;
} HoldBudget;

typedef struct {
    Message message; /* its header; the body is gone */
    guint16 id;      /* of the template that it waits for */
    guint16 port;
    gint64 received_ns;
    gsize len;
    guint8 bytes[];
} HeldSet;

/* A value; zeroed is empty. */
typedef struct {
    GQueue sets; /* of HeldSet, oldest first */
    gsize bytes;
} Hold;

void hold_clear(Hold *hold, HoldBudget *budget);

/* Called for each set that is thrown away. */
typedef void (*HoldLost)(gpointer user, const HeldSet *held);

/* Copies @set; throws older ones of this domain away where there is no room. FALSE: it cannot be
 * kept (too large, or the budget of all is used up). */
gboolean hold_put(Hold *hold, HoldBudget *budget, const Message *message, const Set *set,
                  guint16 port, gint64 received_ns, HoldLost lost, gpointer user);

/* The oldest set that waits for template @id. Given (hold_free), or NULL. */
HeldSet *hold_take(Hold *hold, HoldBudget *budget, guint16 id);
void hold_free(HeldSet *held);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HeldSet, hold_free)

/* Throws away what was received before @before_ns. */
void hold_expire(Hold *hold, HoldBudget *budget, gint64 before_ns, HoldLost lost, gpointer user);
