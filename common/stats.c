/* SPDX-License-Identifier: Apache-2.0 */
#include "stats.h"

#include <pthread.h>

enum { SERIES_MAX = 40000, MICROS = 1000000 };

typedef struct {
    PstStatKind kind;
    char *help;
    GTree *cells; /* labels ("" = none) → PstCell * */
} Family;

struct PstStats {
    pthread_mutex_t lock; /* guards families, their trees and series; cells are atomics */
    GTree *families;      /* name → Family * */
    guint series;
    PstCell overflow; /* where refused series go: never shown */
    PstCell *refused;
};

static void family_free(gpointer data)
{
    Family *family = data;
    g_free(family->help);
    g_tree_unref(family->cells);
    g_free(family);
}

static int compare_text(gconstpointer a, gconstpointer b, gpointer user)
{
    return g_strcmp0(a, b);
}

PstStats *pst_stats_new(void)
{
    PstStats *stats = g_new0(PstStats, 1);
    pthread_mutex_init(&stats->lock, NULL);
    stats->families = g_tree_new_full(compare_text, NULL, g_free, family_free);
    stats->refused =
        pst_stats_cell(stats, PST_COUNTER, "postern_stats_series_refused_total", NULL,
                       "Requests for a new series that were refused because there are too many.");
    return stats;
}

void pst_stats_free(PstStats *stats)
{
    if (stats == NULL)
        return;
    g_tree_unref(stats->families);
    pthread_mutex_destroy(&stats->lock);
    g_free(stats);
}

static PstCell *find_or_make(PstStats *stats, PstStatKind kind, const char *name,
                             const char *labels, const char *help)
{
    Family *family = g_tree_lookup(stats->families, name);
    PstCell *cell = family != NULL ? g_tree_lookup(family->cells, labels) : NULL;
    if (cell != NULL)
        return cell;
    if (stats->series >= SERIES_MAX) {
        pst_cell_add(stats->refused, 1);
        return &stats->overflow;
    }
    if (family == NULL) {
        family = g_new0(Family, 1);
        family->kind = kind;
        family->help = g_strdup(help);
        family->cells = g_tree_new_full(compare_text, NULL, g_free, g_free);
        g_tree_insert(stats->families, g_strdup(name), family);
    }
    cell = g_new0(PstCell, 1);
    g_tree_insert(family->cells, g_strdup(labels), cell);
    stats->series++;
    return cell;
}

PstCell *pst_stats_cell(PstStats *stats, PstStatKind kind, const char *name, const char *labels,
                        const char *help)
{
    pthread_mutex_lock(&stats->lock);
    PstCell *cell = find_or_make(stats, kind, name, labels != NULL ? labels : "", help);
    pthread_mutex_unlock(&stats->lock);
    return cell;
}

typedef struct {
    GString *out;
    const char *name;
    gboolean micros;
} Writing;

static gboolean write_cell(gpointer key, gpointer value, gpointer user)
{
    const Writing *writing = user;
    const char *labels = key;
    g_string_append(writing->out, writing->name);
    if (*labels != '\0')
        g_string_append_printf(writing->out, "{%s}", labels);
    guint64 n = pst_cell_get(value);
    if (writing->micros)
        g_string_append_printf(writing->out, " %" G_GUINT64_FORMAT ".%06u\n", n / MICROS,
                               (guint)(n % MICROS));
    else
        g_string_append_printf(writing->out, " %" G_GUINT64_FORMAT "\n", n);
    return FALSE;
}

static gboolean write_family(gpointer key, gpointer value, gpointer user)
{
    const Family *family = value;
    gboolean counter = family->kind == PST_COUNTER || family->kind == PST_COUNTER_MICROS;
    Writing writing = {.out = user,
                       .name = key,
                       .micros =
                           family->kind == PST_COUNTER_MICROS || family->kind == PST_GAUGE_MICROS};
    if (family->help != NULL) {
        g_string_append_printf(writing.out, "# HELP %s ", writing.name);
        for (const char *p = family->help; *p != '\0'; p++) {
            if (*p == '\\')
                g_string_append(writing.out, "\\\\");
            else if (*p == '\n')
                g_string_append(writing.out, "\\n");
            else
                g_string_append_c(writing.out, *p);
        }
        g_string_append_c(writing.out, '\n');
    }
    g_string_append_printf(writing.out, "# TYPE %s %s\n", writing.name,
                           counter ? "counter" : "gauge");
    g_tree_foreach(family->cells, write_cell, &writing);
    return FALSE;
}

void pst_stats_write(PstStats *stats, GString *out)
{
    pthread_mutex_lock(&stats->lock);
    g_tree_foreach(stats->families, write_family, out);
    pthread_mutex_unlock(&stats->lock);
}
