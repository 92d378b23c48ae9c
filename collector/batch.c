/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

void charge_free(Charge *charge)
{
    while (charge != NULL) {
        Charge *next = charge->next;
        ledger_unref(charge->ledger);
        g_free(charge->told);
        g_free(charge);
        charge = next;
    }
}

void charge_lose_take(Charge *charges, PstLoss loss)
{
    for (Charge *charge = charges; charge != NULL; charge = charge->next) {
        ledger_lose(charge->ledger, loss, charge->records);
        if (charge->told != NULL)
            ledger_unbeat(charge->ledger, charge->told);
    }
    charge_free(charges);
}

Batch *batch_new(guint8 topic, guint32 partition, gsize size)
{
    Batch *batch = g_new0(Batch, 1);
    batch->topic = topic;
    batch->partition = partition;
    batch->data = g_malloc(size);
    return batch;
}

void batch_close(Batch *batch)
{
    batch->data = g_realloc(batch->data, MAX(batch->len, 1));
}

void batch_free(Batch *batch)
{
    if (batch == NULL)
        return;
    charge_free(batch->charges);
    g_free(batch->data);
    g_free(batch);
}

static void add_charge(Batch *batch, Ledger *ledger)
{
    Charge *charge = g_new0(Charge, 1);
    charge->ledger = ledger_ref(ledger);
    charge->next = batch->charges;
    batch->charges = charge;
}

void batch_charge_beat(Batch *batch, Ledger *ledger, const PstHeartbeat *beat)
{
    add_charge(batch, ledger);
    batch->charges->told = g_memdup2(beat, sizeof *beat);
}

/* Records of one exporter come in runs: the charge of the last one is nearly always the right one.
 */
void batch_charge(Batch *batch, Ledger *ledger)
{
    if (batch->charges == NULL || batch->charges->ledger != ledger)
        add_charge(batch, ledger);
    batch->charges->records++;
}
