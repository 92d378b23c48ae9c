/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include "codec.h"

static void charges_free(Charge *charge)
{
    while (charge != NULL) {
        Charge *next = charge->next;
        ledger_unref(charge->ledger);
        g_free(charge->told);
        g_free(charge);
        charge = next;
    }
}

Batch *batch_new(guint8 topic, guint32 partition, gsize size)
{
    Batch *batch = g_new0(Batch, 1);
    batch->topic = topic;
    batch->partition = partition;
    batch->offset = -1;
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
    charges_free(batch->charges);
    g_free(batch->beats);
    g_free(batch->data);
    g_free(batch);
}

static void add_charge(Batch *batch, Ledger *ledger)
{
    Charge *charge = g_new0(Charge, 1);
    charge->ledger = ledger != NULL ? ledger_ref(ledger) : NULL;
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
    ledger->batched++;
}

/* A heartbeat's event time says nothing here; in the sealed form it is the number of records. */
static PstHeartbeat beat_of(const Charge *charge)
{
    PstHeartbeat beat = {0};
    if (charge->told != NULL)
        beat = *charge->told;
    if (charge->ledger != NULL) {
        beat.sampler = charge->ledger->addr;
        beat.domain = charge->ledger->domain;
    }
    beat.newest_event_ns = 0;
    return beat;
}

void batch_seal(Batch *batch)
{
    if (batch->charges == NULL)
        return;
    g_autoptr(GByteArray) out = g_byte_array_new();
    for (const Charge *charge = batch->charges; charge != NULL; charge = charge->next) {
        PstHeartbeat beat = beat_of(charge);
        beat.newest_event_ns = (gint64)charge->records;
        guint8 bytes[PST_CODEC_HEARTBEAT_MAX];
        g_byte_array_append(out, bytes, (guint)pst_codec_put_heartbeat(bytes, &beat));
    }
    g_clear_pointer(&batch->charges, charges_free);
    g_free(batch->beats);
    batch->beats_len = out->len;
    batch->beats = g_byte_array_free(g_steal_pointer(&out), FALSE);
}

void batch_each_beat(const guint8 *beats, gsize len, BatchCharged charged, gpointer user)
{
    PstBatch reader = pst_batch(beats, len);
    PstFlow flow;
    PstHeartbeat beat;
    while (pst_batch_next(&reader, &flow, &beat) == PST_CODEC_HEARTBEAT) {
        guint64 records = (guint64)beat.newest_event_ns;
        beat.newest_event_ns = 0;
        charged(user, NULL, &beat, records);
    }
}

void batch_each_charge(const Batch *batch, BatchCharged charged, gpointer user)
{
    for (const Charge *charge = batch->charges; charge != NULL; charge = charge->next) {
        PstHeartbeat beat = beat_of(charge);
        charged(user, charge->ledger, &beat, charge->records);
    }
    if (batch->beats_len > 0)
        batch_each_beat(batch->beats, batch->beats_len, charged, user);
}
