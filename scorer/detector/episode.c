/* SPDX-License-Identifier: Apache-2.0 */
#include "episode.h"

#include "activity.h"

void episode_exporter(Episode *episode, const PstAddr *sampler, guint64 rate)
{
    for (guint i = 0; i < PST_VERDICT_EXPORTERS; i++) {
        EpisodeExporter *e = &episode->exporter[i];
        if (!pst_addr_present(&e->addr))
            e->addr = *sampler;
        if (pst_addr_equal(&e->addr, sampler)) {
            e->rate = rate;
            return;
        }
    }
}

static guint64 sample_hash(const guint64 key[2], const PstSample *sample)
{
    const guint64 place =
        (guint64)sample->at_ns ^ (guint64)sample->port << 48 ^ (guint64)sample->src_port << 32;
    const guint64 mixed[2] = {key[0] ^ place, key[1] + place};
    return pst_addr_hash_keyed(&sample->destination, mixed);
}

/* Keeps the lowest hashes in order. */
static void keep_lowest(Episode *episode, const EpisodeSample *sample)
{
    guint n = (guint)MIN(episode->sampled - 1, EPISODE_LOWEST);
    guint at = n;
    while (at > 0 && sample->hash < episode->lowest[at - 1].hash)
        at--;
    if (at == EPISODE_LOWEST)
        return;
    guint moved = MIN(n, EPISODE_LOWEST - 1) - at;
    memmove(&episode->lowest[at + 1], &episode->lowest[at], moved * sizeof *sample);
    episode->lowest[at] = *sample;
}

void episode_sample(Episode *episode, const guint64 key[2], const PstFlow *flow,
                    const Session *session, gint64 event_ns, guint8 member)
{
    EpisodeSample kept;
    memset(&kept, 0, sizeof kept);
    kept.sample.at_ns = event_ns;
    kept.sample.destination = session->server;
    kept.sample.port = session->port;
    kept.sample.src_port = session->client_port;
    kept.sample.packets = flow->packets;
    kept.sample.bytes = flow->bytes;
    kept.sample.tcp_flags = flow->tcp_flags;
    kept.sample.has_flags = (flow->has & PST_HAS_TCP_FLAGS) != 0;
    kept.member = member;
    kept.order = ++episode->sampled;
    kept.hash = sample_hash(key, &kept.sample);
    if (kept.order <= EPISODE_ENDS)
        episode->first[kept.order - 1] = kept;
    episode->last[kept.order % EPISODE_ENDS] = kept;
    keep_lowest(episode, &kept);
}

static int compare_order(gconstpointer a, gconstpointer b)
{
    const EpisodeSample *const *x = a, *const *y = b;
    return ((*x)->order > (*y)->order) - ((*x)->order < (*y)->order);
}

static void show_samples(const Episode *episode, int member, PstVerdict *verdict)
{
    const EpisodeSample *all[2 * EPISODE_ENDS + EPISODE_LOWEST];
    guint n = 0;
    for (guint i = 0; i < EPISODE_ENDS; i++) {
        all[n++] = &episode->first[i];
        all[n++] = &episode->last[i];
    }
    for (guint i = 0; i < EPISODE_LOWEST; i++)
        all[n++] = &episode->lowest[i];
    qsort(all, n, sizeof(const EpisodeSample *), compare_order);
    guint64 shown = 0; /* order 0: an empty place */
    for (guint i = 0; i < n; i++) {
        if (all[i]->order == shown)
            continue;
        shown = all[i]->order;
        if (member != EPISODE_EVERYBODY && all[i]->member != (guint32)member)
            continue;
        verdict->samples[verdict->n_samples++] = all[i]->sample;
    }
}

void episode_show(const Episode *episode, int member, PstVerdict *verdict)
{
    static const guint16 ports[] = {25, 465, 587, 2525};
    guint n = 0;
    for (guint i = 0; i < G_N_ELEMENTS(ports); i++)
        if (episode->ports & activity_port_bit(ports[i]))
            verdict->ports[n++] = ports[i];
    for (guint i = 0; i < PST_VERDICT_EXPORTERS; i++)
        verdict->exporters[i] = episode->exporter[i].addr;
    show_samples(episode, member, verdict);
}
