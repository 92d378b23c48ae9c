/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The writing half of the embedded bus: a bounded queue and the thread that empties it.
 *
 *     owner ── push ──▶ waiting ──▶ writer: one transaction ──▶ done ── collect ──▶ owner
 *
 * While a transaction reaches the disk the queue fills; the next transaction takes all of it. So
 * the disk decides how many messages share an fsync, and the owner never waits for one. A
 * transaction that fails is tried again (another process holds the lock, the disk is full) until
 * its messages are older than the delivery time-out; then they are given up, one by one.
 * Thread: all functions belong to the owner's thread.
 */
#include "postern/bus.h"

typedef struct BusOutbox BusOutbox;

/* Borrows nothing. The thread starts with the first message. Given. */
BusOutbox *bus_outbox_new(const char *path, const PstBusOptions *options);
/* Ends the thread; drops what is left. */
void bus_outbox_free(BusOutbox *outbox);

/* Queues @data_take, which is taken on success. @error FULL. */
gboolean bus_outbox_push(BusOutbox *outbox, gint64 slot, const PstBusStamp *stamp,
                         guint8 *data_take, gsize len, gpointer cookie, GError **error);

/* @data are there with an @error only. */
typedef void (*BusOutboxReport)(gpointer user, gpointer cookie, const guint8 *data, gsize len,
                                const GError *error);
/* Reports what is done, waiting at most @timeout_ms for the first. Returns how many are not. */
guint bus_outbox_collect(BusOutbox *outbox, int timeout_ms, BusOutboxReport report, gpointer user);
/* Ends the thread after its present transaction and reports what is left as failed; the next push
 * starts it anew. */
void bus_outbox_give_up(BusOutbox *outbox, BusOutboxReport report, gpointer user);
/* Why the last transaction failed; NULL if it did not. Given (g_free). */
char *bus_outbox_trouble(BusOutbox *outbox);
