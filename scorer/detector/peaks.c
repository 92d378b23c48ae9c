/* SPDX-License-Identifier: Apache-2.0 */
#include "peaks.h"

#include <math.h>

struct Peaks {
    GHashTable *newest; /* PstUnit → Peaked, keyed by the unit in it; owned */
    GArray *ended;      /* Peaked of days before a unit's newest */
};

Peaks *peaks_new(void)
{
    Peaks *peaks = g_new0(Peaks, 1);
    peaks->newest = g_hash_table_new_full(pst_prefix_key_hash, pst_prefix_key_equal, NULL, g_free);
    peaks->ended = g_array_new(FALSE, FALSE, sizeof(Peaked));
    return peaks;
}

void peaks_free(Peaks *peaks)
{
    if (peaks == NULL)
        return;
    g_hash_table_unref(peaks->newest);
    g_array_unref(peaks->ended);
    g_free(peaks);
}

void peaks_note(Peaks *peaks, const PstUnit *unit, gint64 day, double evidence)
{
    if (evidence <= 0)
        return;
    Peaked *peaked = g_hash_table_lookup(peaks->newest, unit);
    if (peaked == NULL) {
        peaked = g_new0(Peaked, 1);
        *peaked = (Peaked){.unit = *unit, .day = day};
        g_hash_table_insert(peaks->newest, &peaked->unit, peaked);
    } else if (day > peaked->day) {
        g_array_append_val(peaks->ended, *peaked);
        peaked->day = day;
        peaked->evidence = 0;
    }
    if (day == peaked->day) /* a unit's own event time hardly ever goes back over midnight */
        peaked->evidence = MAX(peaked->evidence, evidence);
}

double peaks_next(const Peaks *peaks, const PstUnit *unit, gint64 day)
{
    const Peaked *peaked = g_hash_table_lookup(peaks->newest, unit);
    double reached = peaked != NULL && peaked->day >= day ? peaked->evidence : 0;
    return PEAKS_STEP * (floor(reached / PEAKS_STEP) + 1);
}

static int by_unit_and_day(gconstpointer a, gconstpointer b)
{
    const Peaked *x = a, *y = b;
    int order = pst_prefix_compare(&x->unit, &y->unit);
    return order != 0 ? order : (x->day > y->day) - (x->day < y->day);
}

static int by_unit(gconstpointer a, gconstpointer b)
{
    return pst_addr_compare(&((const PstUnit *)a)->addr, &((const PstUnit *)b)->addr);
}

GArray *peaks_of_day(const Peaks *peaks, gint64 day)
{
    GArray *units = g_array_new(FALSE, FALSE, sizeof(PstUnit));
    GHashTableIter each;
    gpointer peaked;
    g_hash_table_iter_init(&each, peaks->newest);
    while (g_hash_table_iter_next(&each, NULL, &peaked))
        if (((const Peaked *)peaked)->day == day)
            g_array_append_val(units, ((const Peaked *)peaked)->unit);
    g_array_sort(units, by_unit);
    return units;
}

GArray *peaks_all(const Peaks *peaks)
{
    GArray *all = g_array_copy(peaks->ended);
    GHashTableIter each;
    gpointer peaked;
    g_hash_table_iter_init(&each, peaks->newest);
    while (g_hash_table_iter_next(&each, NULL, &peaked))
        g_array_append_vals(all, peaked, 1);
    g_array_sort(all, by_unit_and_day);
    return all;
}
