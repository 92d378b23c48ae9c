/* SPDX-License-Identifier: Apache-2.0 */
#include "arrivals.h"

#include "clock.h"

#define HOUR_NS (3600 * PST_NS_PER_S)

struct Arrivals {
    GArray *beats;          /* PstHeartbeat with something to account for */
    GHashTable *received;   /* PstHeartbeat, a set: flows that were read, by exporter and hour */
    PstHeartbeat *counting; /* of these: that of the last flow; borrowed */
};

static guint received_hash(gconstpointer data)
{
    const PstHeartbeat *beat = data;
    return (guint)pst_addr_hash(&beat->sampler) ^ beat->domain * 31u;
}

static gboolean received_equal(gconstpointer left, gconstpointer right)
{
    const PstHeartbeat *a = left, *b = right;
    return a->domain == b->domain && a->received_ns / HOUR_NS == b->received_ns / HOUR_NS &&
           pst_addr_equal(&a->sampler, &b->sampler);
}

Arrivals *arrivals_new(void)
{
    Arrivals *arrivals = g_new0(Arrivals, 1);
    arrivals->beats = g_array_new(FALSE, FALSE, sizeof(PstHeartbeat));
    arrivals->received = g_hash_table_new_full(received_hash, received_equal, g_free, NULL);
    return arrivals;
}

void arrivals_free(Arrivals *arrivals)
{
    if (arrivals == NULL)
        return;
    g_array_unref(arrivals->beats);
    g_hash_table_unref(arrivals->received);
    g_free(arrivals);
}

static void clear_counts(Arrivals *arrivals)
{
    arrivals->counting = NULL;
    g_hash_table_remove_all(arrivals->received);
}

void arrivals_clear(Arrivals *arrivals)
{
    g_array_set_size(arrivals->beats, 0);
    clear_counts(arrivals);
}

/* What nobody can account for has no exporter or no time. */
static gboolean is_accountable(const PstAddr *sampler, gint64 received_ns)
{
    return pst_addr_present(sampler) && received_ns > 0;
}

void arrivals_beat(Arrivals *arrivals, const PstHeartbeat *beat)
{
    guint64 grown = beat->ledger;
    for (guint i = 0; i < PST_GROWTH_COUNT; i++)
        grown |= beat->growth[i];
    if (is_accountable(&beat->sampler, beat->received_ns) && grown != 0)
        g_array_append_vals(arrivals->beats, beat, 1);
}

static gboolean is_of(const PstHeartbeat *counting, const PstFlow *flow)
{
    gint64 hour_ns = counting->received_ns - counting->received_ns % HOUR_NS;
    return counting->domain == flow->domain && flow->received_ns >= hour_ns &&
           flow->received_ns - hour_ns < HOUR_NS &&
           pst_addr_equal(&counting->sampler, &flow->sampler);
}

void arrivals_flow(Arrivals *arrivals, const PstFlow *flow)
{
    if (!is_accountable(&flow->sampler, flow->received_ns))
        return;
    if (arrivals->counting == NULL || !is_of(arrivals->counting, flow)) {
        PstHeartbeat key = {
            .sampler = flow->sampler, .domain = flow->domain, .received_ns = flow->received_ns};
        arrivals->counting = g_hash_table_lookup(arrivals->received, &key);
        if (arrivals->counting == NULL) {
            arrivals->counting = g_memdup2(&key, sizeof key);
            g_hash_table_add(arrivals->received, arrivals->counting);
        }
    }
    arrivals->counting->received++;
}

void arrivals_close(Arrivals *arrivals)
{
    GHashTableIter iter;
    gpointer beat;
    g_hash_table_iter_init(&iter, arrivals->received);
    while (g_hash_table_iter_next(&iter, &beat, NULL))
        g_array_append_vals(arrivals->beats, beat, 1);
    clear_counts(arrivals);
}

const GArray *arrivals_beats(const Arrivals *arrivals)
{
    return arrivals->beats;
}
