/* SPDX-License-Identifier: Apache-2.0 */
#include "sampling.h"

#include <math.h>
#include <string.h>

void sampling_clear(Sampling *sampling)
{
    g_clear_pointer(&sampling->entries, g_free);
    sampling->n = 0;
}

guint64 rate_n(const Rate *rate)
{
    guint64 n = rate->population / rate->size;
    if (rate->population % rate->size >= (rate->size + 1) / 2)
        n++;
    return MAX(n, 1);
}

/* samplingProbability, RFC 5477 §8.2.8: a float64, which may come as a float32. */
static double probability(guint64 bits)
{
    if (bits > G_MAXUINT32) {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    guint32 narrow = (guint32)bits;
    float value;
    memcpy(&value, &narrow, sizeof value);
    return (double)value;
}

static gboolean rate_of(guint64 population, guint64 size, Rate *out)
{
    if (population == 0 || size == 0 || population < size)
        return FALSE;
    *out = (Rate){.population = population, .size = size};
    return TRUE;
}

gboolean sampling_of_record(const Record *record, Rate *out)
{
    const guint64 *raw = record->raw;
    if (record_saw(record, RAW_INTERVAL) && rate_of(raw[RAW_INTERVAL], 1, out))
        return TRUE;
    if (record_saw(record, RAW_PACKET_INTERVAL)) {
        guint64 interval = raw[RAW_PACKET_INTERVAL];
        if (!record_saw(record, RAW_PACKET_SPACE)) /* some mean samplingInterval by it */
            return rate_of(interval, 1, out);
        guint64 space = raw[RAW_PACKET_SPACE];
        return space <= G_MAXUINT64 - interval && rate_of(interval + space, interval, out);
    }
    if (record_saw(record, RAW_SIZE) && record_saw(record, RAW_POPULATION))
        return rate_of(raw[RAW_POPULATION], raw[RAW_SIZE], out);
    if (record_saw(record, RAW_PROBABILITY)) {
        double p = probability(raw[RAW_PROBABILITY]);
        return p > 1e-9 && p <= 1.0 && rate_of((guint64)llround(1e9 / p), 1000000000, out);
    }
    return FALSE;
}

static gboolean rate_equal(const Rate *a, const Rate *b)
{
    return a->population == b->population && a->size == b->size;
}

gboolean sampling_alike(const Sampling *a, const Sampling *b)
{
    return a->n > 0 && b->n > 0 && a->agree && b->agree &&
           rate_equal(&a->entries[0].rate, &b->entries[0].rate);
}

static gboolean same_key(const SamplingEntry *a, const SamplingEntry *b)
{
    return a->has_selector == b->has_selector && a->has_interface == b->has_interface &&
           a->selector == b->selector && a->interface == b->interface;
}

static SamplingEntry *entry_for(Sampling *sampling, const SamplingEntry *key)
{
    SamplingEntry *oldest = NULL;
    for (guint i = 0; i < sampling->n; i++) {
        SamplingEntry *entry = &sampling->entries[i];
        if (same_key(entry, key))
            return entry;
        if (oldest == NULL || entry->learned_ns < oldest->learned_ns)
            oldest = entry;
    }
    sampling->changes++;
    if (sampling->n == SAMPLING_MAX)
        return oldest;
    sampling->entries = g_renew(SamplingEntry, sampling->entries, sampling->n + 1);
    sampling->entries[sampling->n] = (SamplingEntry){0};
    return &sampling->entries[sampling->n++];
}

static void put_entry(Sampling *sampling, const SamplingEntry *entry)
{
    SamplingEntry *place = entry_for(sampling, entry);
    sampling->changes += !rate_equal(&place->rate, &entry->rate);
    *place = *entry;
    sampling->agree = TRUE;
    for (guint i = 1; i < sampling->n; i++) {
        if (!rate_equal(&sampling->entries[i].rate, &sampling->entries[0].rate))
            sampling->agree = FALSE;
    }
}

gboolean sampling_learn(Sampling *sampling, const Record *options, gint64 now_ns)
{
    SamplingEntry entry = {.learned_ns = now_ns};
    if (!sampling_of_record(options, &entry.rate))
        return FALSE;
    if (record_saw(options, RAW_SELECTOR)) {
        entry.has_selector = TRUE;
        entry.selector = options->raw[RAW_SELECTOR];
    }
    if ((options->flow.has & PST_HAS_IN_IF) && options->flow.in_if != 0) {
        entry.has_interface = TRUE;
        entry.interface = options->flow.in_if;
    }
    put_entry(sampling, &entry);
    return TRUE;
}

gboolean sampling_restore(Sampling *sampling, const SamplingEntry *entry)
{
    Rate rate;
    if (!rate_of(entry->rate.population, entry->rate.size, &rate))
        return FALSE;
    put_entry(sampling, entry);
    return TRUE;
}

/* How well @entry fits @record; 0: not. */
static int fit(const SamplingEntry *entry, const Record *record)
{
    gboolean named = record_saw(record, RAW_SELECTOR);
    if (entry->has_selector && named)
        return entry->selector == record->raw[RAW_SELECTOR] ? 3 : 0;
    if (entry->has_selector)
        return 0;
    if (entry->has_interface)
        return (record->flow.has & PST_HAS_IN_IF) && entry->interface == record->flow.in_if ? 2 : 0;
    return 1;
}

gboolean sampling_find(const Sampling *sampling, const Record *record, Rate *out)
{
    if (sampling->n == 0)
        return FALSE;
    int best = 0;
    for (guint i = 0; i < sampling->n; i++) {
        int how = fit(&sampling->entries[i], record);
        if (how > best) {
            best = how;
            *out = sampling->entries[i].rate;
        }
    }
    /* Cisco: samplerId 0 says that no sampler looked at this flow. */
    gboolean unsampled = record_saw(record, RAW_SELECTOR) && record->raw[RAW_SELECTOR] == 0;
    if (best == 0 && sampling->agree && !unsampled) {
        *out = sampling->entries[0].rate;
        return TRUE;
    }
    return best > 0;
}
