/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One partition in the hands of this scorer: its engine, where it stands, and the tick in the
 * making.
 *
 *     take ── snapshot ── messages from there to the database's position, outputs dropped ──▶ live
 *     live:  open tick (decisions of people) → messages … → commit → open tick …
 *
 * The engine's state is a function of the log and of the decisions at their places in it, so a
 * rebuild repeats both: each decision is applied before the message that it was applied before.
 * Without a snapshot it begins with the log's oldest message.
 * A tick that cannot be committed stays as it is and is tried again, or the partition is given up
 * (FENCED): nothing else ends it. Source: docs/recovery.md, S1 … S9. Thread: the consumer's.
 */
#include "clock.h"
#include "meters.h"
#include "postern/sink.h"
#include "snapshots.h"

typedef struct Partition Partition;

typedef struct {
    PstSink *sink;
    const EngineConf *engine;
    Snapshots *snapshots; /* NULL: none are kept */
    guint32 partitions;   /* of the bus */
    const char *owner;    /* for people */
    Meters *meters;
} PartitionConf;

/* Takes @partition over: the epoch grows, whoever had it commits no more.
 * @conf and what it names are borrowed until free. @error as sink->take. Given. */
Partition *partition_take(const PartitionConf *conf, guint32 partition, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Drops a tick that was not committed: its messages will be read again by the next owner. */
void partition_free(Partition *partition);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Partition, partition_free)

guint32 partition_number(const Partition *partition);
/* Where reading of @topic goes on; the database's position. */
gint64 partition_position(const Partition *partition, const char *topic);

/* The bus holds messages @first … @end−1 of @topic. Says where to read from: postern.evidence from
 * the position, postern.smtp from the place of a snapshot, or without one from the oldest message
 * (state is rebuilt). A bus that ends before our position is another bus: reading starts over with
 * its oldest message, which is logged. @error of the sink: nothing happened, try again. */
gboolean partition_assigned(Partition *partition, const char *topic, gint64 first, gint64 end,
                            gint64 *out_from, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TRUE: messages from before the database's position are to be read, or may be. */
gboolean partition_is_rebuilding(const Partition *partition);

/* TRUE: @message is live and no tick is open: partition_open_tick first. */
gboolean partition_needs_tick(const Partition *partition, const PstBusMessage *message);
/* Reads and applies new decisions. @error of sink->inputs: nothing happened, try again. */
gboolean partition_open_tick(Partition *partition, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Takes one message of either topic. A copy, or one from before the position, is dropped. */
void partition_message(Partition *partition, const PstBusMessage *message);
/* TRUE: a tick is open and old (1 s) or full (10,000 sightings). */
gboolean partition_tick_is_due(const Partition *partition, PstMono now);
gboolean partition_tick_is_open(const Partition *partition);
/* One transaction with everything since the tick was opened. @error of the sink: the tick stays
 * and may be tried again; FENCED: free the partition. */
gboolean partition_commit(Partition *partition, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TRUE: the state is the one of the position in the database, live, and no snapshot has it yet. */
gboolean partition_has_news(const Partition *partition);
/* Takes a snapshot; where partition_has_news, and the folder is not busy. */
void partition_snapshot(Partition *partition);

/* Borrowed until the next call. */
const EngineStats *partition_engine_stats(Partition *partition);
