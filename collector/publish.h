/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where flows go: into batches of the bus, or as lines of JSON.
 *
 *   flow ─▶ partition of its customer ─▶ open batch (64 KiB or 200 ms) ─▶ queue ─▶ bus
 *
 * A batch is one bus message: many flows of one topic and partition, and the heartbeats that cover
 * them. While the bus is full or away, closed batches wait here, in order; above queue_bytes the
 * oldest goes and its records are charged to the ledgers they came from. (The place for a spool on
 * disk is there: publisher_close_batch.) What the bus gives up later is charged, too.
 * Stamps: producer, epoch (start of the program), sequence per topic and partition; a number is
 * used up when the bus takes the batch. Thread: the worker's; publisher_ready from any.
 */
#include "clock.h"
#include "ledger.h"
#include "postern/bus.h"
#include "postern/unit.h"

typedef enum { TOPIC_SMTP, TOPIC_FLOWS, TOPIC_COUNT } Topic;

typedef struct {
    const char *output; /* kafka://…, embedded:PATH, json:PATH, json:- */
    gboolean all;       /* TOPIC_FLOWS is written, too */
    guint32 partitions; /* of topics that are not there yet; else theirs are used */
    gsize batch_bytes;  /* a batch is closed when it is this long */
    gint64 batch_ms;    /* … or this old */
    gsize queue_bytes;  /* bound of closed batches that wait; and of the bus's own queue */
    const char *producer;
    guint64 epoch;
    gint64 delivery_timeout_ms;
    const char *group_name; /* embedded */
    const char *extra;      /* kafka */
} PublisherOptions;

typedef struct {
    guint64 flows[TOPIC_COUNT]; /* written into batches; JSON: lines, as TOPIC_FLOWS */
    guint64 heartbeats;
    guint64 batches; /* that the bus took */
    guint64 bytes;
    guint64 delivered;     /* batches that the bus confirmed */
    guint64 lost_batches;  /* the bus gave up */
    guint64 queue_dropped; /* batches dropped from the queue */
    guint64 queue_bytes;   /* waiting now */
} PublisherCounts;

typedef struct Publisher Publisher;

/* @options is copied, its texts borrowed for the publisher's life. A bus that is away is no error.
 * @error USAGE, IO. Given. */
Publisher *publisher_open(const PublisherOptions *options, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* One flow that goes to the partition of @customer. @smtp: into TOPIC_SMTP; and into TOPIC_FLOWS if
 * all are published. Its loss would be charged to @ledger. */
void publisher_flow(Publisher *publisher, const PstFlow *flow, const PstAddr *customer,
                    gboolean smtp, Ledger *ledger);

/* Into every partition of TOPIC_SMTP; growth stands in the one of the exporter's address. If that
 * is lost, @ledger (NULL: nobody's) tells it again. */
void publisher_heartbeat(Publisher *publisher, const PstHeartbeat *beat, Ledger *ledger);

/* Closes batches that are old enough, hands waiting ones to the bus, takes its reports. At least
 * every batch_ms. @error: the output has failed for good (JSON: nobody reads it any more, disk
 * full; bus: IO; another partition count, after batches were made for ours). */
gboolean publisher_tick(Publisher *publisher, PstMono now, GError **error);

/* Closes and delivers everything, waiting at most @timeout_ms. */
gboolean publisher_flush(Publisher *publisher, int timeout_ms, GError **error);

/* FALSE and a line in @out_reasons, with the bus's own words, if batches do not get through.
 * Thread: any. */
gboolean publisher_ready(Publisher *publisher, GString *out_reasons);
const PublisherCounts *publisher_counts(const Publisher *publisher);

/* Flushes what can be flushed within a second. Accepts NULL. */
void publisher_close(Publisher *publisher);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Publisher, publisher_close)
