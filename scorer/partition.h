/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One partition in the hands of this scorer: its engine, where it stands, and the tick in the
 * making.
 *
 *     take ── rebuild: messages before the database's position, outputs dropped ──▶ live
 *     live:  open tick (decisions of people) → messages … → commit → open tick …
 *
 * The engine's state is a function of the log and of the decisions at their places in it, so a
 * rebuild repeats both: each decision is applied before the message that it was applied before.
 * A tick that cannot be committed stays as it is and is tried again, or the partition is given up
 * (FENCED): nothing else ends it. Source: docs/recovery.md, S1 … S9. Thread: the consumer's.
 */
#include "clock.h"
#include "meters.h"
#include "postern/sink.h"

typedef struct Partition Partition;

/* Takes @partition over: the epoch grows, whoever had it commits no more.
 * @conf, @sink, @meters borrowed until free. @error as sink->take and sink->inputs. Given. */
Partition *partition_take(PstSink *sink, const EngineConf *conf, guint32 partition,
                          guint32 partitions, const char *owner, Meters *meters, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Drops a tick that was not committed: its messages will be read again by the next owner. */
void partition_free(Partition *partition);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Partition, partition_free)

guint32 partition_number(const Partition *partition);
/* Where reading of @topic goes on; the database's position. */
gint64 partition_position(const Partition *partition, const char *topic);

/* The bus holds messages @first … @end−1 of @topic. Says where to read from: postern.smtp from the
 * oldest (state is rebuilt), postern.evidence from the position. A bus that ends before our
 * position is another bus: reading starts over with its oldest message, which is logged. */
gint64 partition_assigned(Partition *partition, const char *topic, gint64 first, gint64 end);

/* TRUE: messages from before the database's position are still to be read. */
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

/* Borrowed until the next call. */
const EngineStats *partition_engine_stats(Partition *partition);
