/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The consumer: from the bus through the engines into the sink, for all partitions that the bus
 * gives us. One thread.
 *
 * When the database is away, nothing further is read: the tick in hand is tried again, with growing
 * pauses, until it is back or the program is asked to stop. Source: docs/recovery.md, S6, S7.
 */
#include "engine.h"
#include "meters.h"
#include "postern/bus.h"
#include "run.h"
#include "snapshots.h"

typedef struct {
    PstRun *run;
    PstBus *bus; /* taken: its last callbacks belong to the consumer */
    PstSink *sink;
    const EngineConf *engine;
    Snapshots *snapshots;    /* NULL: none are kept */
    gint64 snapshot_every_s; /* of each partition */
    Meters *meters;
    const char *group;  /* name of the group of readers */
    guint32 partitions; /* made with so many if the topics do not exist */
} ConsumeOptions;

/* Reads until the program is asked to stop (TRUE; open ticks are committed, the last snapshots
 * taken) or cannot go on.
 * @error USAGE: bus and database have different numbers of partitions; REFUSED: another reader has
 * the embedded bus; DATA, CORRUPT: the database or the bus is not what it should be. */
gboolean consume_take(const ConsumeOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* For /readyz: joined, all that the bus gives is taken over, nothing rebuilding, nothing away.
 * @user a Meters. */
gboolean consume_ready(gpointer user, GString *out_reasons);
