/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bus: where collector and scorer meet. Ordered, durable logs: (topic, partition) → messages
 * with growing offsets. Two backends behind one contract (tests: test_bus_contract):
 *
 *   kafka://HOST[:PORT][,HOST[:PORT]…]   Apache Kafka; more than one host, more than one scorer
 *   embedded:PATH                        a SQLite file; one host, several producers, one scorer
 *
 * A PstBus is one connection and belongs to one thread. Call order of a producer:
 *     open → ensure_topic … → publish … (service now and then) → flush → close
 * and of a consumer:
 *     open → subscribe → poll … → close
 *
 * Promises. A message is delivered when its callback says so with no error: it then survives kill
 * -9 of every process (and of the machine, as far as its disk tells the truth). Messages of one
 * producer keep their order within a partition. A message may be stored twice ("possibly
 * persisted"): its stamp tells, and consumers drop the second by pst_bus_stamp_after(). A message
 * is never lost silently: its callback says so. A reader sees only committed messages, in offset
 * order; offsets may have holes.
 */
#include "postern/error.h"

typedef struct PstBus PstBus;

#define PST_BUS_OLDEST       ((gint64)-2) /* position: the oldest retained message */
#define PST_BUS_MESSAGE_MAX  (900 * 1024) /* bytes of one message */
#define PST_BUS_PRODUCER_MAX 200          /* bytes of a producer's name */

/* Who made a message, so that a copy of it can be recognised.
 * @producer name that stays over restarts, unique per process; "" = no duplicate suppression
 *           (intake: its messages are told apart by content)
 * @epoch    grows with every start of the producer (its start time, UTC ns)
 * @sequence 1, 2, 3 … per (topic, partition) within the epoch */
typedef struct {
    const char *producer;
    guint64 epoch;
    guint64 sequence;
} PstBusStamp;

/* TRUE if a message stamped (@epoch, @sequence) is newer than the last one taken from its
 * producer; FALSE: it is a copy, drop it. */
static inline gboolean pst_bus_stamp_after(guint64 epoch, guint64 sequence, guint64 last_epoch,
                                           guint64 last_sequence)
{
    return epoch > last_epoch || (epoch == last_epoch && sequence > last_sequence);
}

/* One message as read. All pointers borrowed until the next poll on the same bus. */
typedef struct {
    const char *topic;
    gint32 partition;
    gint64 offset;  /* position after it: offset + 1 */
    gint64 time_ms; /* UTC ms: when it was appended */
    PstBusStamp stamp;
    const guint8 *data;
    gsize len;
} PstBusMessage;

/* What became of a published message. Called only from within publish, service, flush and close, on
 * the caller's thread. @error NULL: durable. Otherwise borrowed: the bus gave it up. */
typedef void (*PstBusDelivered)(gpointer user, gpointer cookie, const GError *error);

/* The same of a message that was given up, with its bytes (borrowed for the call): called instead,
 * if it is set. */
typedef void (*PstBusReturned)(gpointer user, gpointer cookie, const guint8 *data, gsize len,
                               const GError *error);

typedef struct {
    const char *client_id;      /* shown by the broker's tools; NULL: program name */
    guint64 queue_bytes;        /* bound of unsent messages; 0: 64 MiB */
    gint64 delivery_timeout_ms; /* give a message up after this; 0: 120 s */
    PstBusDelivered delivered;  /* NULL: not wanted */
    PstBusReturned returned;    /* NULL: delivered tells of failures, too */
    gpointer user;
    gint64 retain_bytes;    /* embedded: throw the oldest away above this; 0: 10 GiB */
    gint64 retain_s;        /* embedded: … older than this; 0: 7 days. Never past a position
                               that a consumer has committed to with pst_bus_commit() */
    const char *group_name; /* embedded: Unix group that may write file, -wal and -shm; or NULL: in
                               a setgid folder that its group may write, that group */
    gboolean bulk;          /* kafka: many large messages, to be moved at the least cost: not
                               compressed, and up to 50 ms later */
    const char *extra;      /* kafka: "name=value;name=value" for librdkafka, or NULL */
} PstBusOptions;

/* Connects. @options may be NULL. Kafka: does not wait for the broker.
 * @error USAGE (bad URI, no such directory), IO, CORRUPT. Given (close with pst_bus_close). */
PstBus *pst_bus_open(const char *uri, const PstBusOptions *options, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Flushes for at most 5 s, then drops what is left (reporting it). A reader leaves its group, for
 * at most 3 s: then without the broker, which is logged. Accepts NULL. */
void pst_bus_close(PstBus *bus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstBus, pst_bus_close)

/* Makes @topic with @partitions if it is absent; @out_partitions (may be NULL) tells how many it
 * has. A different count is no error here: the caller compares. @error AWAY, IO. */
gboolean pst_bus_ensure_topic(PstBus *bus, const char *topic, gint32 partitions,
                              gint32 *out_partitions, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Queues a copy of @data. Returns at once. The stamp's producer must be the same text for the life
 * of the bus. @cookie comes back in the delivered callback.
 * @error FULL: the queue is full, nothing was taken, service and try again; USAGE: unknown topic
 * or partition, message too long. */
gboolean pst_bus_publish(PstBus *bus, const char *topic, gint32 partition, const PstBusStamp *stamp,
                         const guint8 *data, gsize len, gpointer cookie, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* The same without a copy: @data_take comes from g_malloc and is taken, but only if TRUE is
 * returned. */
gboolean pst_bus_publish_take(PstBus *bus, const char *topic, gint32 partition,
                              const PstBusStamp *stamp, guint8 *data_take, gsize len,
                              gpointer cookie, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Runs due delivered callbacks, waiting at most @timeout_ms for one. Returns how many messages
 * still wait for their delivery. */
guint pst_bus_service(PstBus *bus, int timeout_ms);

/* Waits until every message is delivered or given up. @error AWAY: time ran out; messages stay
 * queued and a later service or flush goes on with them. */
gboolean pst_bus_flush(PstBus *bus, int timeout_ms, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Takes back at once all that is not delivered: each message's callback says AWAY (it may have been
 * stored all the same). The bus can be used on. */
void pst_bus_recall(PstBus *bus);

/* Why delivery does not go on, in words and with the remedy where it is known; NULL: nothing is
 * known to hinder it. A trouble that is over is told until the next delivery. Given (g_free). */
char *pst_bus_trouble(PstBus *bus) G_GNUC_WARN_UNUSED_RESULT;

/* Callbacks of a consumer, on its thread, from within poll and close. */
typedef struct {
    /* The partition is ours from now on: say where to start (offset of the next message, or
     * PST_BUS_OLDEST). FALSE: do not read it. A position that is no longer retained starts at the
     * oldest message; the hole shows in its offset. So does one beyond the end (the bus was
     * replaced by another): its offset is smaller than the position, and stamps tell what was taken
     * before. */
    gboolean (*assigned)(gpointer user, const char *topic, gint32 partition, gint64 *out_position);
    /* It is ours no more: forget it, commit nothing to the bus. Whoever is next may have it
     * already; Kafka gives it to him when all calls of a rebalance have returned. */
    void (*revoked)(gpointer user, const char *topic, gint32 partition);
    gpointer user;
} PstBusAssignment;

/* Joins @group as a reader of @topics (NULL-terminated), which have equally many partitions: who is
 * assigned one of a topic is assigned that of the others, too. Embedded: takes the one reader's
 * lock of (file, group). @assignment is copied. @error REFUSED: another reader holds the lock;
 * AWAY. */
gboolean pst_bus_subscribe(PstBus *bus, const char *group, const char *const *topics,
                           const PstBusAssignment *assignment, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Up to @max messages into @out (embedded: at most 64), waiting at most @timeout_ms for the first.
 * Returns their number or −1.
 * @error AWAY (nothing is lost: poll again), CORRUPT, IO (the file is gone: start anew). */
gssize pst_bus_poll(PstBus *bus, int timeout_ms, PstBusMessage *out, gsize max, GError **error);

/* Oldest retained offset and end (offset of the next message to be written) of a partition.
 * Works without a subscription. */
gboolean pst_bus_bounds(PstBus *bus, const char *topic, gint32 partition, gint64 *out_first,
                        gint64 *out_end, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The name of this very bus: another one at the same place has another name. Embedded: a file that
 * was moved keeps it, a copy does not have it. Kafka: of the cluster. @error AWAY, IO. Given
 * (g_free). */
char *pst_bus_identity(PstBus *bus, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* From now on retention leaves messages from @position on where they are, although positions after
 * them are committed (embedded; Kafka keeps to its own retention). May be called from within
 * assigned: then nothing is thrown away in between. */
void pst_bus_keep(PstBus *bus, const char *topic, gint32 partition, gint64 position);

/* Tells the bus what PostgreSQL has committed, best effort: for lag tools (Kafka) and as the guard
 * of retention (embedded). Never the truth. */
void pst_bus_commit(PstBus *bus, const char *topic, gint32 partition, gint64 position);
