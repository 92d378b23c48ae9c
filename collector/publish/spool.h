/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The spool: batches on disk, for the time that the bus is away longer than memory lasts.
 *
 *     owner ── put ──▶ unwritten ──▶ file ──▶ ready ── take ──▶ owner ── done ──▶ deleted
 *                                     └─ above its bound the oldest goes: evicted ──▶ owner
 *
 * What stands in the file outlives the process: the next one replays it, with the stamps that it
 * has, before anything newer. A batch stays in the file until it is done, so that a kill -9 within
 * the replay repeats some; the stamps tell.
 * The disk belongs to a thread of the spool's own: a slow one never stops the owner, a full one is
 * tried again each second. Thread of all functions: the owner's. */
#include "spool_file.h"

typedef struct {
    SpoolSize file;
    guint64 unwritten; /* bytes that wait for the disk */
    guint64 written;   /* batches, since the start; so are the next two */
    guint64 replayed;
    guint64 evicted;
} SpoolState;

typedef struct Spool Spool;

/* @error as spool_file_open. Given. */
Spool *spool_open(const SpoolOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What is not written is lost. The file stays. Accepts NULL. */
void spool_close(Spool *spool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Spool, spool_close)
guint32 spool_partitions(const Spool *spool);
/* Of what was in it at the start; 0: nothing. */
guint64 spool_newest_epoch(const Spool *spool);

/* To the end. @batch is taken; it has its stamp. */
void spool_put_take(Spool *spool, Batch *batch);
/* The oldest batch that the disk has not got yet, out of the spool again; NULL: none can be had.
 * Given. */
Batch *spool_unput(Spool *spool);

/* Reads ahead up to @bytes of what is to be taken. */
void spool_want(Spool *spool, gsize bytes);
/* The next batch, in the order of its partition; NULL: none is ready. Sealed. Given, but the file
 * keeps it until spool_done. With @unwritten also what the disk has not got, once nothing older is
 * left: that has no offset, and nobody keeps it. */
Batch *spool_take(Spool *spool, gboolean unwritten);
/* A batch with an offset is on the bus, or given up: the file forgets it. */
void spool_done(Spool *spool, const Batch *batch);
/* Nothing that was taken is on its way any more: what is not done will be taken again. */
void spool_rewind(Spool *spool);
/* FALSE: all that was ever put has been taken, and is done. */
gboolean spool_has_any(Spool *spool);

/* Who is charged for what was thrown away since the last call. */
void spool_each_evicted(Spool *spool, BatchCharged charged, gpointer user);

void spool_state(Spool *spool, SpoolState *out);
/* Why the disk does not take it, with the remedy; NULL: it does. Given. */
char *spool_trouble(Spool *spool);
/* Both in words. Given. */
char *spool_describe(Spool *spool);
/* Waits until all is written. FALSE: not within @timeout_ms. */
gboolean spool_sync(Spool *spool, int timeout_ms);
