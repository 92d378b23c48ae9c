/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A batch: one message of the bus, and who is charged if it is lost.
 *
 * In the making it holds its charges as references to ledgers. Sealed, it holds them as bytes that
 * mean the same in another process: heartbeats, one for each charge, that say what would have to be
 * told if the batch were lost. Thread: its owner's; of an unsealed one, the worker's. */
#include "clock.h"
#include "ledger.h"
#include "postern/bus.h"

/* Whose records a batch holds, and what it tells of whose ledger. */
typedef struct Charge Charge;
struct Charge {
    Ledger *ledger; /* one reference; NULL: that of an exporter that nobody here knows */
    guint64 records;
    PstHeartbeat *told; /* owned; growth that nobody else tells; mostly NULL */
    Charge *next;
};

typedef struct {
    guint8 topic;
    guint32 partition;
    guint64 epoch; /* with sequence its stamp, from when it is closed */
    guint64 sequence;
    guint64 number;   /* of the publisher, in the order of closing */
    gint64 offset;    /* its place in the spool, −1: none */
    gint64 closed_ms; /* UTC ms */
    gsize len;
    guint8 *data;    /* owned; NULL: the bus has it, or the spool */
    Charge *charges; /* owned; NULL once sealed */
    guint8 *beats;   /* owned; sealed charges, or NULL */
    gsize beats_len;
} Batch;

/* Bytes of memory, near enough. */
static inline gsize batch_size(const Batch *batch)
{
    return batch->len + batch->beats_len;
}

/* Given. @size bytes of room. */
Batch *batch_new(guint8 topic, guint32 partition, gsize size);
/* Nothing more is put in: gives back room that was not needed. */
void batch_close(Batch *batch);
/* Accepts NULL. */
void batch_free(Batch *batch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Batch, batch_free)

/* One more record of @ledger stands in @batch. */
void batch_charge(Batch *batch, Ledger *ledger);
/* The growth that @beat tells of @ledger (or of a stranger: NULL) stands in @batch. */
void batch_charge_beat(Batch *batch, Ledger *ledger, const PstHeartbeat *beat);

/* Turns the charges into bytes. */
void batch_seal(Batch *batch);

/* @told: what the batch tells of one ledger, all zero but its name if it tells nothing; @records of
 * that ledger stand in it. @ledger NULL: a sealed one. */
typedef void (*BatchCharged)(gpointer user, Ledger *ledger, const PstHeartbeat *told,
                             guint64 records);
void batch_each_charge(const Batch *batch, BatchCharged charged, gpointer user);
/* The same of sealed charges without their batch. */
void batch_each_beat(const guint8 *beats, gsize len, BatchCharged charged, gpointer user);
