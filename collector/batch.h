/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A batch in the making, and who is charged if it is lost. Thread: the worker's. */
#include "clock.h"
#include "ledger.h"

/* Whose records a batch holds, and what it tells of whose ledger. */
typedef struct Charge Charge;
struct Charge {
    Ledger *ledger; /* one reference */
    guint64 records;
    PstHeartbeat *told; /* owned; growth that nobody else tells; mostly NULL */
    Charge *next;
};

/* Accepts NULL. */
void charge_free(Charge *charge);
/* Charges all to @loss and frees; what was to be told is told by the next heartbeat. */
void charge_lose_take(Charge *charge, PstLoss loss);

typedef struct {
    guint8 topic;
    guint32 partition;
    gsize len;
    guint8 *data;    /* owned; NULL: the bus has it */
    Charge *charges; /* owned */
} Batch;

/* Given. @size bytes of room. */
Batch *batch_new(guint8 topic, guint32 partition, gsize size);
/* Nothing more is put in: gives back room that was not needed. */
void batch_close(Batch *batch);
/* Accepts NULL. */
void batch_free(Batch *batch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Batch, batch_free)

/* One more record of @ledger stands in @batch. */
void batch_charge(Batch *batch, Ledger *ledger);
/* The growth that @beat tells of @ledger stands in @batch. */
void batch_charge_beat(Batch *batch, Ledger *ledger, const PstHeartbeat *beat);
