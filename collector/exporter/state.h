/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The state file: what is known of exporters, kept over a restart of the collector.
 *
 *   worker ──batch of images──▶ state thread ──one transaction──▶ PATH (SQLite)
 *   worker ◀──images of one exporter── index, read once at the start
 *
 * A thread of its own owns the file, so nobody who receives ever waits for a disk. Kept per
 * exporter's address, whatever worker it falls to. The file is input that may be damaged: SQLite
 * checks its pages, image.h what stands in them. One collector at a time has it (an exclusive
 * lock). What the file holds after kill -9 is at most a few seconds old; after a clean end it is
 * exact.
 * Thread: any, except open and close.
 */
#include "exporter.h"

enum { STATE_DOMAINS_MAX = 65536 };

typedef struct State State;

/* Opens or makes @path and reads it. A file that is damaged, or of a newer version, is moved to
 * PATH.unusable, which is logged, and a new one is made. @stats borrowed.
 * @error USAGE: another collector has it, or it is another program's database (left alone). IO: no
 * such folder, no permission, the disk is full. Given. */
State *state_open(const char *path, PstStats *stats, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Writes what was handed over, marks the file as cleanly ended. Accepts NULL. */
void state_close(State *state);

/* What is known of one domain. */
typedef struct {
    guint32 domain;
    gint64 seen_ns;
    GBytes *memory;    /* image.h; to be saved: NULL if it is as it was */
    GBytes *sequences; /* to be saved: NULL says that the domain is to be forgotten */
} StateDomain;

/* All that is known of the domains of @addr, which are then no longer in the index: an array of
 * StateDomain, or NULL. Given. */
GArray *state_take(State *state, const PstAddr *addr);

/* What one worker wants to be saved, on its way. */
typedef struct StateBatch StateBatch;
typedef struct {
    gint busy;   /* atomic: a batch is on its way */
    gint failed; /* atomic: batches that could not be saved: all is to be saved again */
} StateDesk;

/* @desk borrowed until state_close. */
StateBatch *state_batch_new(StateDesk *desk);
void state_batch_free(StateBatch *batch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StateBatch, state_batch_free)
/* @domain's bytes are taken. */
void state_batch_add(StateBatch *batch, const PstAddr *addr, const StateDomain *domain);
guint state_batch_len(const StateBatch *batch);
/* Hands @batch, which is taken, to the thread. Never waits. */
void state_save_take(State *state, StateBatch *batch);
