/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Closed batches on their way to the bus.
 *
 *     put ──▶ waiting ──▶ bus ──▶ arrived
 *                │         │ away: taken back
 *                └─▶ spool ◀┘ ──▶ bus, when it is there again, before anything newer
 *
 * Without a spool batches wait in memory while the bus is away; above queue_bytes the oldest is
 * lost, and so is what the bus gives up after its time-out. With a spool nothing is ever given up
 * for its age: once the bus is silent for some seconds, what it has not confirmed is taken back and
 * goes to disk with all that comes after it. A few of the spool's batches are always on their way,
 * to see when the bus is back.
 *
 * The order of a partition is kept by this: a batch from memory is handed over only when everything
 * in the spool is done. So what is on its way from memory is older than all that the spool holds,
 * and when it comes back it goes first.
 * Stamps: producer, epoch (start of the program), sequence per topic and partition, given when a
 * batch is put. A batch that may have been stored twice bears the same stamp twice.
 * Thread: the worker's; outlet_ready from any. */
#include "batch.h"
#include "spool.h"

typedef enum { TOPIC_SMTP, TOPIC_FLOWS, TOPIC_COUNT } Topic;

typedef struct {
    const char *uri;    /* kafka://…, embedded:PATH */
    gboolean all;       /* TOPIC_FLOWS is written, too */
    guint32 partitions; /* of topics that are not there yet; else theirs are used */
    gsize queue_bytes;  /* bound of batches that wait in memory; and of the bus's own queue */
    const char *producer;
    guint64 epoch;
    gint64 delivery_timeout_ms; /* without a spool */
    const char *group_name;     /* embedded */
    const char *extra;          /* kafka */
    const char *spool;          /* path; NULL: none */
    gint64 spool_bytes;
    /* What became of a batch: borrowed for the call. */
    void (*arrived)(gpointer user, const Batch *batch);
    void (*lost)(gpointer user, const Batch *batch, PstLoss loss);
    gpointer user;
} OutletOptions;

typedef struct {
    guint64 batches; /* that the bus took */
    guint64 bytes;
    guint64 delivered;     /* batches that the bus confirmed */
    guint64 lost_batches;  /* the bus gave up */
    guint64 queue_dropped; /* batches dropped from memory */
    guint64 queue_bytes;   /* waiting in memory now */
    guint64 spool_age_s;   /* of the oldest batch in the spool */
    SpoolState spool;
} OutletCounts;

typedef struct Outlet Outlet;

/* @options is copied, its texts borrowed for the outlet's life. A bus that is away is no error.
 * @error USAGE, IO, CORRUPT. Given. */
Outlet *outlet_open(const OutletOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What is not delivered is reported as lost; what the spool holds stays. Accepts NULL. */
void outlet_close(Outlet *outlet);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Outlet, outlet_close)

/* How many a topic has. Changes only within outlet_tick, and only before the first put. */
guint32 outlet_partitions(const Outlet *outlet);

/* @batch is taken; gets its stamp. */
void outlet_put_take(Outlet *outlet, Batch *batch);

/* Hands over what it can, takes the bus's reports. @untouched: no batch is in the making, so that
 * another number of partitions can be taken over.
 * @error: the bus has failed for good (IO; another partition count). */
gboolean outlet_tick(Outlet *outlet, PstMono now, gboolean untouched, GError **error);

/* Delivers everything, or leaves it in the spool. @error AWAY: neither within @timeout_ms. */
gboolean outlet_flush(Outlet *outlet, int timeout_ms, GError **error);

/* TRUE: the spool is empty, or there is none, and nothing waits. */
gboolean outlet_is_empty(const Outlet *outlet);
/* Charges of what the spool threw away since the last call. */
void outlet_each_evicted(Outlet *outlet, BatchCharged charged, gpointer user);

/* FALSE and a line in @out_reasons, with the bus's own words, if batches do not get through.
 * Thread: any. */
gboolean outlet_ready(Outlet *outlet, GString *out_reasons);
const OutletCounts *outlet_counts(Outlet *outlet);
