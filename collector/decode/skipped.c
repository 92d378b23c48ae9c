/* SPDX-License-Identifier: Apache-2.0 */
#include "skipped.h"

#include "element.h"

struct Skipped {
    PstStats *stats;    /* borrowed; NULL: nothing is shown */
    GHashTable *counts; /* pen << 16 | id, as gint64 → PstCell, borrowed (NULL without stats) */
};

Skipped *skipped_new(PstStats *stats)
{
    Skipped *skipped = g_new0(Skipped, 1);
    skipped->stats = stats;
    skipped->counts = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    return skipped;
}

void skipped_free(Skipped *skipped)
{
    g_hash_table_unref(skipped->counts);
    g_free(skipped);
}

static PstCell *cell_of(const Skipped *skipped, const char *labels)
{
    return skipped->stats == NULL
               ? NULL
               : pst_stats_cell(skipped->stats, PST_COUNTER,
                                "postern_collector_skipped_elements_total", labels,
                                "Fields of new templates that nobody reads, by number.");
}

static PstCell *cell_for(Skipped *skipped, const Field *field)
{
    gint64 key = (gint64)((guint64)field->pen << 16 | field->id);
    gpointer cell;
    if (g_hash_table_lookup_extended(skipped->counts, &key, NULL, &cell))
        return cell;
    if (g_hash_table_size(skipped->counts) >= SKIPPED_MAX)
        return cell_of(skipped, "enterprise=\"other\",element=\"other\"");
    g_autofree char *labels =
        g_strdup_printf("enterprise=\"%u\",element=\"%u\"", field->pen, field->id);
    cell = cell_of(skipped, labels);
    g_hash_table_insert(skipped->counts, g_memdup2(&key, sizeof key), cell);
    return cell;
}

guint skipped_count(Skipped *skipped, const TemplateSpec *spec)
{
    guint n = 0;
    for (guint i = 0; i < spec->n_fields; i++) {
        const Field *field = &spec->fields[i];
        if (element_find(field->pen, field->id) != NULL)
            continue;
        PstCell *cell = cell_for(skipped, field);
        if (cell != NULL)
            pst_cell_add(cell, 1);
        n++;
    }
    return n;
}

guint skipped_numbers(const Skipped *skipped)
{
    return g_hash_table_size(skipped->counts);
}
