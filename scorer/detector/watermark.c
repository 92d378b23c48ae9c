/* SPDX-License-Identifier: Apache-2.0 */
#include "watermark.h"

#include "clock.h"

#define INDEX_SIZE (2 * EXPORTERS_MAX) /* open addressing, at most half full */

struct Watermark {
    guint64 key[2];
    gint64 behind_ns, straggler_ns, ahead_ns;
    /* From here on: state, written as it lies. */
    struct {
        guint32 exporters;  /* places in use: 0 … exporters − 1 */
        guint32 heartbeats; /* 1: the log has heartbeats */
        guint64 beats;
        guint64 evicted;
        gint64 watermark_ns;
        gint64 newest_ns;
        gint64 median_ns; /* as last computed: it only grows, or is computed again */
    } s;
    Exporter exporter[EXPORTERS_MAX];
    guint16 index[INDEX_SIZE]; /* place + 1; made again on load */
    guint16 last;              /* place found last: most records follow one of the same exporter */
};

Watermark *watermark_new(const EngineConf *conf)
{
    Watermark *w = g_new0(Watermark, 1);
    memcpy(w->key, conf->key, sizeof w->key);
    w->behind_ns = conf->watermark_s * PST_NS_PER_S;
    w->straggler_ns = conf->straggler_s * PST_NS_PER_S;
    w->ahead_ns = conf->clock_ahead_s * PST_NS_PER_S;
    return w;
}

void watermark_free(Watermark *watermark)
{
    g_free(watermark);
}

static guint home_of(const Watermark *w, const PstAddr *addr, guint32 domain)
{
    guint64 hash =
        pst_addr_hash_keyed(addr, w->key) ^ domain * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    return (guint)(hash >> 32) % INDEX_SIZE;
}

static gboolean is_exporter(const Exporter *e, const PstAddr *addr, guint32 domain)
{
    return e->in_use && e->domain == domain && pst_addr_equal(&e->addr, addr);
}

static void index_all(Watermark *w)
{
    memset(w->index, 0, sizeof w->index);
    for (guint place = 0; place < w->s.exporters; place++) {
        guint at = home_of(w, &w->exporter[place].addr, w->exporter[place].domain);
        while (w->index[at] != 0)
            at = (at + 1) % INDEX_SIZE;
        w->index[at] = (guint16)(place + 1);
    }
}

static guint16 longest_silent(const Watermark *w)
{
    guint16 oldest = 0;
    for (guint place = 1; place < w->s.exporters; place++)
        if (w->exporter[place].newest_ns < w->exporter[oldest].newest_ns)
            oldest = (guint16)place;
    return oldest;
}

static guint16 admit_exporter(Watermark *w, const PstAddr *addr, guint32 domain, gint64 event_ns)
{
    guint16 place = (guint16)w->s.exporters;
    if (place == EXPORTERS_MAX) {
        place = longest_silent(w);
        w->s.evicted++;
    } else {
        w->s.exporters++;
    }
    Exporter *e = &w->exporter[place];
    memset(e, 0, sizeof *e);
    e->addr = *addr;
    e->in_use = 1;
    e->domain = domain;
    e->born_s = (guint32)(event_ns / PST_NS_PER_S);
    e->last_beat = w->s.beats;
    index_all(w);
    return place;
}

guint16 watermark_exporter(Watermark *w, const PstAddr *addr, guint32 domain, gint64 event_ns)
{
    if (is_exporter(&w->exporter[w->last], addr, domain))
        return w->last;
    guint at = home_of(w, addr, domain);
    for (; w->index[at] != 0; at = (at + 1) % INDEX_SIZE)
        if (is_exporter(&w->exporter[w->index[at] - 1], addr, domain))
            return w->last = w->index[at] - 1;
    return w->last = admit_exporter(w, addr, domain, event_ns);
}

guint32 watermark_exporters(const Watermark *w)
{
    return w->s.exporters;
}

Exporter *watermark_at(Watermark *w, guint16 place)
{
    g_assert(place < w->s.exporters);
    return &w->exporter[place];
}

/* An exporter is silent once the others sent so many beats without it. Counted in beats, not in
 * time: a wrong clock cannot silence the right ones, nor a pause of all of them anyone. */
static gboolean is_silent(const Watermark *w, const Exporter *e)
{
    return w->s.beats - e->last_beat > 16 + 4 * (guint64)w->s.exporters;
}

static int compare_times(gconstpointer a, gconstpointer b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
    return (x > y) - (x < y);
}

/* The lower median: of two, the one that is not ahead. */
static void find_median(Watermark *w)
{
    gint64 times[EXPORTERS_MAX];
    gsize n = 0;
    for (guint i = 0; i < w->s.exporters; i++)
        if (w->exporter[i].newest_ns != 0 && !is_silent(w, &w->exporter[i]))
            times[n++] = w->exporter[i].newest_ns;
    if (n == 0)
        return;
    qsort(times, n, sizeof times[0], compare_times);
    w->s.median_ns = times[(n - 1) / 2];
}

gboolean watermark_admit(Watermark *w, guint16 place, gint64 event_ns, gint64 received_ns)
{
    if (received_ns > 0 && event_ns - w->ahead_ns > received_ns)
        return FALSE;
    Exporter *e = &w->exporter[place];
    e->newest_ns = MAX(e->newest_ns, event_ns);
    if (event_ns > w->s.median_ns + w->ahead_ns) {
        find_median(w);
        if (event_ns > w->s.median_ns + w->ahead_ns)
            return FALSE;
    }
    w->s.newest_ns = MAX(w->s.newest_ns, event_ns);
    return TRUE;
}

/* The watermark after a beat. TRUE: it moved. */
static gboolean follow(Watermark *w)
{
    /* Many exporters beat often: one look in n/16 beats keeps the cost of each small. */
    if (w->s.beats % (1 + w->s.exporters / 16) != 0)
        return FALSE;
    find_median(w);
    gint64 newest = 0;
    for (guint i = 0; i < w->s.exporters; i++) {
        const Exporter *e = &w->exporter[i];
        if (!is_silent(w, e) && e->beat_ns <= w->s.median_ns + w->straggler_ns)
            newest = MAX(newest, e->beat_ns);
    }
    gint64 slowest = newest;
    for (guint i = 0; i < w->s.exporters; i++) {
        const Exporter *e = &w->exporter[i];
        if (!is_silent(w, e) && e->beat_ns >= newest - w->straggler_ns)
            slowest = MIN(slowest, e->beat_ns);
    }
    if (slowest - w->behind_ns <= w->s.watermark_ns)
        return FALSE;
    w->s.watermark_ns = slowest - w->behind_ns;
    return TRUE;
}

static gboolean beat(Watermark *w, guint16 place, gint64 event_ns)
{
    Exporter *e = &w->exporter[place];
    e->newest_ns = MAX(e->newest_ns, event_ns);
    e->beat_ns = MAX(e->beat_ns, event_ns);
    e->last_beat = ++w->s.beats;
    return follow(w);
}

gboolean watermark_beat(Watermark *w, guint16 place, gint64 event_ns, gint64 received_ns)
{
    if (!w->s.heartbeats) {
        /* Flows beat until now; what they said is not more than a heartbeat says. */
        w->s.heartbeats = 1;
        for (guint i = 0; i < w->s.exporters; i++)
            w->exporter[i].beat_ns = 0;
    }
    if (received_ns > 0 && event_ns - w->ahead_ns > received_ns)
        return FALSE;
    return beat(w, place, event_ns);
}

gboolean watermark_flow(Watermark *w, guint16 place, gint64 event_ns)
{
    if (w->s.heartbeats || event_ns < w->exporter[place].beat_ns + PST_NS_PER_S)
        return FALSE;
    return beat(w, place, event_ns);
}

gint64 watermark_ns(const Watermark *w)
{
    return w->s.watermark_ns;
}

gint64 watermark_newest_ns(const Watermark *w)
{
    return w->s.newest_ns;
}

guint64 watermark_evicted(const Watermark *w)
{
    return w->s.evicted;
}

void watermark_write(const Watermark *w, Image *image)
{
    image_put(image, &w->s, sizeof w->s);
    image_put(image, w->exporter, w->s.exporters * sizeof w->exporter[0]);
}

gboolean watermark_read(Watermark *w, PstCursor *from)
{
    if (!image_get(from, &w->s, sizeof w->s) || w->s.exporters > EXPORTERS_MAX ||
        !image_get(from, w->exporter, w->s.exporters * sizeof w->exporter[0]))
        return FALSE;
    index_all(w);
    return TRUE;
}
