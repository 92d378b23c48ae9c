/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include "clock.h"

#define DAY_NS (86400 * PST_NS_PER_S)

static void crossing_clear(gpointer data)
{
    g_free(((Crossing *)data)->text);
}

void trial_init(Trial *trial, const char *name, const EngineConf *conf,
                char *(*print)(const PstVerdict *verdict))
{
    *trial = (Trial){.name = name,
                     .engine = engine_new(conf, 0),
                     .crossings = g_array_new(FALSE, FALSE, sizeof(Crossing)),
                     .print = print};
    g_array_set_clear_func(trial->crossings, crossing_clear);
}

void trial_clear(Trial *trial)
{
    g_clear_pointer(&trial->engine, engine_free);
    g_clear_pointer(&trial->crossings, g_array_unref);
}

GArray *trial_take(Trial *trial)
{
    g_autoptr(GArray) verdicts = engine_take_verdicts(trial->engine);
    for (guint i = 0; i < verdicts->len; i++) {
        const PstVerdict *v = &g_array_index(verdicts, PstVerdict, i);
        if (v->ended)
            continue; /* completes a crossing that stands already */
        Crossing crossing = {.time_ns = v->time_ns,
                             .order = trial->crossings->len,
                             .unit = v->unit,
                             .band = v->band,
                             .text = trial->print(v)};
        g_array_append_val(trial->crossings, crossing);
    }
    return engine_take_activity(trial->engine);
}

static int compare_times(gint64 a, gint64 b)
{
    return (a > b) - (a < b);
}

static int by_time(gconstpointer a, gconstpointer b)
{
    const Crossing *x = a, *y = b;
    int order = compare_times(x->time_ns, y->time_ns);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

GArray *trial_finish(Trial *trial)
{
    engine_finish(trial->engine);
    GArray *activity = trial_take(trial);
    g_array_sort(trial->crossings, by_time);
    return activity;
}

/* --- two of them --------------------------------------------------------------------------- */

/* A crossing by unit, day and band; as a key of a hash table. */
static guint key_hash(gconstpointer data)
{
    const Crossing *c = data;
    guint64 hash = pst_addr_hash(&c->unit.addr);
    hash ^=
        ((guint64)(c->time_ns / DAY_NS) << 2 | c->band) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    return (guint)(hash ^ hash >> 32);
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
    const Crossing *x = a, *y = b;
    return x->band == y->band && x->time_ns / DAY_NS == y->time_ns / DAY_NS &&
           pst_prefix_equal(&x->unit, &y->unit);
}

/* The first crossing of each key, as trials are sorted by time. Borrows the crossings. */
static GHashTable *index_of(const Trial *trial)
{
    GHashTable *index = g_hash_table_new(key_hash, key_equal);
    for (guint i = 0; i < trial->crossings->len; i++) {
        Crossing *crossing = &g_array_index(trial->crossings, Crossing, i);
        if (!g_hash_table_contains(index, crossing))
            g_hash_table_add(index, crossing);
    }
    return index;
}

static int pairs_by_time(gconstpointer a, gconstpointer b)
{
    const Pairing *x = a, *y = b;
    const Crossing *cx = x->a != NULL ? x->a : x->b, *cy = y->a != NULL ? y->a : y->b;
    int order = compare_times(cx->time_ns, cy->time_ns);
    if (order == 0)
        order = pst_addr_compare(&cx->unit.addr, &cy->unit.addr);
    return order != 0 ? order : (cx->band > cy->band) - (cx->band < cy->band);
}

GArray *trial_pair(const Trial *a, const Trial *b)
{
    GArray *pairs = g_array_new(FALSE, FALSE, sizeof(Pairing));
    g_autoptr(GHashTable) of_a = index_of(a), of_b = index_of(b);
    GHashTableIter each;
    gpointer key;
    g_hash_table_iter_init(&each, of_a);
    while (g_hash_table_iter_next(&each, &key, NULL)) {
        Pairing pair = {.a = key, .b = g_hash_table_lookup(of_b, key)};
        g_array_append_val(pairs, pair);
    }
    g_hash_table_iter_init(&each, of_b);
    while (g_hash_table_iter_next(&each, &key, NULL)) {
        Pairing pair = {.b = key};
        if (!g_hash_table_contains(of_a, key))
            g_array_append_val(pairs, pair);
    }
    g_array_sort(pairs, pairs_by_time);
    return pairs;
}
