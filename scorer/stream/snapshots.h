/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The folder of snapshots: the last two of each partition, written without stopping the stream.
 *
 * A snapshot is taken of a state that PostgreSQL has committed. It is copied at once, in memory
 * (that is the pause: some tenths of a second for a million units); a thread adds the checksum,
 * writes the copy beside, syncs it, and only then gives it its name. So a file with the name of a
 * snapshot is whole, whenever the scorer or the machine dies; what is not whole is removed with the
 * next start. Nothing here is needed: a partition without a usable snapshot rebuilds its state from
 * the log.
 *
 * The folder may be shared by the hosts of a group: names hold the epoch, so no two scorers write
 * the same file, and a scorer that lost its partition writes nothing that is wrong.
 * Source: docs/recovery.md. Thread: the consumer's.
 */
#include "engine.h"

typedef struct Snapshots Snapshots;

/* Makes @folder if it is missing. @error USAGE: it cannot be used. Given. */
Snapshots *snapshots_open(const char *folder, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Waits for the writer. Accepts NULL. */
void snapshots_free(Snapshots *snapshots);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Snapshots, snapshots_free)
/* Before all below: the name of the bus (pst_bus_identity). */
void snapshots_name_bus(Snapshots *snapshots, const char *bus);

/* The newest usable state of a partition that stands at @hold in PostgreSQL, whose log begins with
 * the message @first: not of a later position, decision or epoch than PostgreSQL's, and such that
 * the log still has all from its place to @hold's, or nothing of that. NULL: there is none. Files
 * that cannot be used are said in the log, a line each; those ahead of PostgreSQL are removed: they
 * are of a past that it lost. *out_at: the place in the log that it belongs to; given. */
Engine *snapshots_load(Snapshots *snapshots, const EngineConf *conf, const PstHold *hold,
                       gint64 first, PstHold **out_at) G_GNUC_WARN_UNUSED_RESULT;
/* Position of the oldest one kept of a partition; −1: none is. */
gint64 snapshots_oldest(const Snapshots *snapshots, guint32 partition);
/* Removes those of a partition: its bus is another one. */
void snapshots_forget(Snapshots *snapshots, guint32 partition);

/* TRUE: one is being written, or waits to be collected. */
gboolean snapshots_busy(const Snapshots *snapshots);
/* Takes one of @engine, whose state is that of @at; all outputs have been taken. Not while busy. */
void snapshots_take(Snapshots *snapshots, const PstHold *at, Engine *engine);

typedef struct {
    guint32 partition;
    gboolean written; /* FALSE: it failed, which was logged */
    gsize bytes;
    gint64 taken_s;  /* UTC */
    gint64 pause_us; /* the stream stood so long */
    gint64 write_us; /* … and so long it took beside */
    gint64 oldest;   /* position of the oldest one kept; −1: none is */
} SnapshotDone;

/* TRUE once for each taken, when it is done. @wait until it is. */
gboolean snapshots_collect(Snapshots *snapshots, gboolean wait, SnapshotDone *out);
