/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

void charge_free(Charge *charge)
{
    while (charge != NULL) {
        Charge *next = charge->next;
        ledger_unref(charge->ledger);
        g_free(charge);
        charge = next;
    }
}

void charge_lose_take(Charge *charges, PstLoss loss)
{
    for (Charge *charge = charges; charge != NULL; charge = charge->next)
        ledger_lose(charge->ledger, loss, charge->records);
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

void batch_free(Batch *batch)
{
    if (batch == NULL)
        return;
    charge_free(batch->charges);
    g_free(batch->data);
    g_free(batch);
}

/* Records of one exporter come in runs: the charge of the last one is nearly always the right one.
 */
void batch_charge(Batch *batch, Ledger *ledger)
{
    if (batch->charges == NULL || batch->charges->ledger != ledger) {
        Charge *charge = g_new0(Charge, 1);
        charge->ledger = ledger_ref(ledger);
        charge->next = batch->charges;
        batch->charges = charge;
    }
    batch->charges->records++;
}
