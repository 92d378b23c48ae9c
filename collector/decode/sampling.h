/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The sampling rates that an exporter told in options data, of one observation domain.
 *
 * Keyed by selector (samplerId, selectorId) and interface scope, never by UDP port. A rate is kept
 * as two integers: of @population packets @size were looked at. Look-up, first that fits:
 *   1. the record's selector,           2. the record's input interface,
 *   3. the domain's rate without key,   4. the one rate that all entries agree on.
 * Several samplers that differ and a record that names none of them: no rate is better than a wrong
 * one (the flow then says rate source NONE).
 * Bounded: SAMPLING_MAX entries, the oldest goes. Thread: the worker's. A value; zeroed is empty.
 * Source: RFC 5477 §8.2, RFC 3954 §8 (34, 35, 48–50), RFC 7270.
 */
#include "record.h"

enum { SAMPLING_MAX = 64 };

typedef struct {
    guint64 population;
    guint64 size; /* ≥ 1 */
} Rate;

typedef struct {
    gboolean has_selector;
    gboolean has_interface;
    guint64 selector;
    guint32 interface;
    Rate rate;
    gint64 learned_ns;
} SamplingEntry;

typedef struct {
    guint n;
    gboolean agree;         /* all entries have one rate */
    guint changes;          /* grows whenever an entry comes or gets another rate */
    SamplingEntry *entries; /* owned */
} Sampling;

void sampling_clear(Sampling *sampling);

/* The rate that @record itself tells. FALSE: none, or one of zero. */
gboolean sampling_of_record(const Record *record, Rate *out);

/* Takes an options record, whatever it is about. Returns TRUE if it told a rate. */
gboolean sampling_learn(Sampling *sampling, const Record *options, gint64 now_ns);

/* Takes an entry from before a restart. FALSE: it says no rate. */
gboolean sampling_restore(Sampling *sampling, const SamplingEntry *entry);

/* The rate for a data record. FALSE: unknown, or not to be told from others. */
gboolean sampling_find(const Sampling *sampling, const Record *record, Rate *out);

/* All entries of both have one and the same rate. */
gboolean sampling_alike(const Sampling *a, const Sampling *b);

/* N of "1 of N", rounded, at least 1. */
guint64 rate_n(const Rate *rate);
