/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Counters and gauges, and how they are shown as Prometheus text.
 *
 * A registry is made in main and passed down. A counter is a 64-bit cell: its owner adds to it
 * without a lock (relaxed atomics), the metrics thread reads. Cells live as long as the registry.
 * Names follow Prometheus: postern_collector_records_total, unit in the name, labels as
 * "reason=\"no-template\"". The number of series is bounded: a registry refuses (and counts) more
 * than 40,000, so that peers cannot grow it.
 */
#include <glib.h>

typedef struct PstStats PstStats;
typedef struct {
    guint64 value;
} PstCell;

PstStats *pst_stats_new(void);
void pst_stats_free(PstStats *stats);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstStats, pst_stats_free)

/* The cells of the last two count millionths and are shown as a fraction: Prometheus wants seconds
 * and ratios. */
typedef enum { PST_COUNTER, PST_GAUGE, PST_COUNTER_MICROS, PST_GAUGE_MICROS } PstStatKind;

/* Finds or makes the cell. @labels without braces, e.g. "reason=\"short\"", or NULL.
 * @help of the first call for a name is kept. Never NULL: over the bound a shared overflow cell.
 * Thread: any (takes a lock: not for hot paths; keep the cell). Borrowed from the registry. */
PstCell *pst_stats_cell(PstStats *stats, PstStatKind kind, const char *name, const char *labels,
                        const char *help);

static inline void pst_cell_add(PstCell *cell, guint64 n)
{
    __atomic_fetch_add(&cell->value, n, __ATOMIC_RELAXED);
}
/* For a cell with one writing thread: no bus lock. */
static inline void pst_cell_add_owned(PstCell *cell, guint64 n)
{
    __atomic_store_n(&cell->value, cell->value + n, __ATOMIC_RELAXED);
}
static inline void pst_cell_set(PstCell *cell, guint64 v)
{
    __atomic_store_n(&cell->value, v, __ATOMIC_RELAXED);
}
static inline guint64 pst_cell_get(const PstCell *cell)
{
    return __atomic_load_n(&cell->value, __ATOMIC_RELAXED);
}

/* Appends the exposition text (version 0.0.4), sorted by name and labels. */
void pst_stats_write(PstStats *stats, GString *out);
