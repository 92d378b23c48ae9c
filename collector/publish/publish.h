/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where flows go: into batches of the bus, or as lines of JSON.
 *
 *   flow ─▶ partition of its customer ─▶ open batch (64 KiB or 200 ms) ─▶ outlet ─▶ bus, or spool
 *
 * A batch is one bus message: many flows of one topic and partition, and the heartbeats that cover
 * them. Whatever is lost of it is charged to the ledgers it came from, and what it told of a ledger
 * is told again; also of batches that an earlier process had spooled.
 * Thread: the worker's; publisher_ready from any. */
#include "outlet.h"
#include "postern/unit.h"

typedef struct {
    const char *output; /* kafka://…, embedded:PATH, json:PATH, json:- */
    gboolean all;       /* TOPIC_FLOWS is written, too */
    guint32 partitions; /* of topics that are not there yet; else theirs are used */
    gsize batch_bytes;  /* a batch is closed when it is this long */
    gint64 batch_ms;    /* … or this old */
    gsize queue_bytes;  /* bound of closed batches that wait; and of the bus's own queue */
    const char *producer;
    guint64 epoch;
    gint64 delivery_timeout_ms; /* without a spool */
    const char *group_name;     /* embedded */
    const char *extra;          /* kafka */
    const char *spool;          /* path; NULL: none */
    gint64 spool_bytes;
    /* The ledger of an exporter's domain, if it is known; may be NULL. Borrowed for the call. */
    Ledger *(*ledger)(gpointer user, const PstAddr *exporter, guint32 domain);
    gpointer user;
} PublisherOptions;

typedef struct {
    guint64 flows[TOPIC_COUNT]; /* written into batches; JSON: lines, as TOPIC_FLOWS */
    guint64 heartbeats;
    OutletCounts outlet;
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

/* Closes and delivers everything within @timeout_ms, or leaves it in the spool. */
gboolean publisher_flush(Publisher *publisher, int timeout_ms, GError **error);

/* TRUE: nothing is in the making, waits, or stands in the spool. */
gboolean publisher_is_empty(const Publisher *publisher);

/* FALSE and a line in @out_reasons, with the bus's own words, if batches do not get through.
 * Thread: any. */
gboolean publisher_ready(Publisher *publisher, GString *out_reasons);
const PublisherCounts *publisher_counts(Publisher *publisher);

/* What is not delivered is lost, and so charged. Accepts NULL. */
void publisher_close(Publisher *publisher);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Publisher, publisher_close)
