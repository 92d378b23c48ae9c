/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What units did, in 5-minute buckets, since the last take: an output, no part of the state. */
#include "engine.h"
#include "session.h"

typedef struct Activity Activity;

Activity *activity_new(void);
void activity_free(Activity *activity);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Activity, activity_free)

/* The row of @unit's bucket at @event_ns, made if need be. @hash: of the unit, any good one.
 * Borrowed until the next call. */
PstActivity *activity_row(Activity *activity, const PstUnit *unit, guint64 hash, gint64 event_ns);
/* The bit of PstActivity.ports for a mail port. */
guint32 activity_port_bit(guint16 port);

gsize activity_rows(const Activity *activity);
/* Given: array of PstActivity ordered by unit, then bucket; the log is empty afterwards. */
GArray *activity_take(Activity *activity);
