/* SPDX-License-Identifier: Apache-2.0 */
/* Counters: four threads make and add to cells while a fifth shows them; nothing is lost. */
#include <glib.h>
#include <pthread.h>
#include <string.h>

#include "stats.h"

enum { THREADS = 4, ROUNDS = 20000, SERIES = 50 };

static PstStats *stats;

static void *add(void *data)
{
    for (guint i = 0; i < ROUNDS; i++) {
        char labels[32];
        g_snprintf(labels, sizeof labels, "series=\"%u\"", i % SERIES);
        pst_cell_add(pst_stats_cell(stats, PST_COUNTER, "x_total", labels, "Xs."), 1);
    }
    return NULL;
}

static void *show(void *stop)
{
    while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE)) {
        g_autoptr(GString) out = g_string_new(NULL);
        pst_stats_write(stats, out);
        g_assert_nonnull(strstr(out->str, "postern_stats_series_refused_total 0"));
    }
    return NULL;
}

int main(void)
{
    stats = pst_stats_new();
    int stop = 0;
    pthread_t reader, writers[THREADS];
    pthread_create(&reader, NULL, show, &stop);
    for (guint i = 0; i < THREADS; i++)
        pthread_create(&writers[i], NULL, add, NULL);
    for (guint i = 0; i < THREADS; i++)
        pthread_join(writers[i], NULL);
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    pthread_join(reader, NULL);
    guint64 sum = 0;
    for (guint i = 0; i < SERIES; i++) {
        char labels[32];
        g_snprintf(labels, sizeof labels, "series=\"%u\"", i);
        sum += pst_cell_get(pst_stats_cell(stats, PST_COUNTER, "x_total", labels, NULL));
    }
    g_assert_cmpuint(sum, ==, (guint64)THREADS * ROUNDS);
    pst_stats_free(stats);
    return 0;
}
