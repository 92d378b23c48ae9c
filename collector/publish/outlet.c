/* SPDX-License-Identifier: Apache-2.0 */
#include "outlet.h"

#include <pthread.h>

#include "log.h"
#include "postern/unit.h"
#include "probe.h"

/* Batches that wait for the bus longer than this mean: it is away. Shorter, if the bus itself tells
 * of a trouble; but not at once, because a client that has several brokers may change over. */
#define STALLED_NS  (10 * PST_NS_PER_S)
#define TROUBLED_NS (2 * PST_NS_PER_S)
#define CONNECT_NS  PST_NS_PER_S

enum {
    END_MS = 2000,           /* at the end: so long the bus is given, if there is a spool */
    SYNC_MS = 10000,         /* … and so long the spool's disk */
    PROBE_BYTES = 256 << 10, /* on their way from the spool while the bus is away */
    REPLAY_BYTES = 8 << 20,  /* … while it is there */
    NEVER_MS = G_MAXINT32    /* the longest that librdkafka takes: 24 days */
};

static const char *const topic_names[TOPIC_COUNT + 1] = {
    [TOPIC_SMTP] = PST_TOPIC_SMTP,
    [TOPIC_FLOWS] = PST_TOPIC_FLOWS,
};
static const char *const smtp_only[] = {PST_TOPIC_SMTP, NULL};

/* One topic and partition. */
typedef struct {
    guint64 sequence; /* last given */
    guint64 epoch;    /* with arrived: stamp of the newest that is on the bus */
    guint64 arrived;
} Lane;

struct Outlet {
    OutletOptions options;
    PstBus *bus;          /* owned */
    Probe *probe;         /* owned; NULL once we are connected, and for a bus that is a file */
    Spool *spool;         /* owned; NULL: none */
    Lane *lanes;          /* TOPIC_COUNT × partitions; owned */
    GQueue front;         /* of Batch: came back from the bus, by number */
    GQueue waiting;       /* of Batch, by number */
    Batch *next;          /* taken from one of these or from the spool, the bus had no room */
    guint64 numbers;      /* last given */
    gboolean connected;   /* the topics are there */
    PstMono next_connect; /* not before */
    PstMono now;          /* of the last tick */
    PstMono progress;     /* when the bus last confirmed something, or nothing waited */
    guint in_flight;
    gsize in_flight_bytes;
    gboolean gives_up; /* the last report was of a batch that is lost */
    gboolean away;     /* nothing gets through for some seconds */
    gboolean rewind;   /* batches of the spool came back */
    gboolean spooling; /* the spool is, or was a moment ago, in use */
    PstMono spooling_since;
    PstLogLimit log;
    OutletCounts counts;
    pthread_mutex_t lock; /* guards hindered; ThreadSanitizer sees pthread's */
    char *hindered;       /* why we are not ready; NULL: we are */
};

static Lane *lane_of(Outlet *outlet, const Batch *batch)
{
    return &outlet->lanes[batch->topic * outlet->options.partitions + batch->partition];
}

/* TRUE: newer than all of its lane that arrived; older ones would be taken for copies. */
static gboolean can_still_go(Outlet *outlet, const Batch *batch)
{
    const Lane *lane = lane_of(outlet, batch);
    return pst_bus_stamp_after(batch->epoch, batch->sequence, lane->epoch, lane->arrived);
}

/* ---- what becomes of batches ---- */

static void batch_arrived(Outlet *outlet, const Batch *batch)
{
    Lane *lane = lane_of(outlet, batch);
    outlet->progress = outlet->now;
    outlet->gives_up = FALSE;
    outlet->counts.delivered++;
    lane->epoch = batch->epoch;
    lane->arrived = batch->sequence;
    if (outlet->options.arrived != NULL)
        outlet->options.arrived(outlet->options.user, batch);
    if (batch->offset >= 0)
        spool_done(outlet->spool, batch);
}

static void batch_lost(Outlet *outlet, const Batch *batch, PstLoss loss)
{
    guint64 *count =
        loss == PST_LOSS_QUEUE ? &outlet->counts.queue_dropped : &outlet->counts.lost_batches;
    (*count)++;
    if (outlet->options.lost != NULL)
        outlet->options.lost(outlet->options.user, batch, loss);
    if (batch->offset >= 0)
        spool_done(outlet->spool, batch);
}

static gint by_number(gconstpointer left, gconstpointer right, gpointer unused)
{
    const Batch *a = left, *b = right;
    return a->number < b->number ? -1 : a->number > b->number;
}

static void come_back_take(Outlet *outlet, Batch *batch)
{
    if (batch->offset >= 0) {
        outlet->rewind = TRUE;
        batch_free(batch);
        return;
    }
    outlet->counts.queue_bytes += batch_size(batch);
    g_queue_insert_sorted(&outlet->front, batch, by_number, NULL);
}

static Batch *landed(Outlet *outlet, gpointer cookie)
{
    Batch *batch = cookie;
    outlet->in_flight--;
    outlet->in_flight_bytes -= batch->len;
    return batch;
}

static void delivered(gpointer user, gpointer cookie, const GError *error)
{
    Outlet *outlet = user;
    g_autoptr(Batch) batch = landed(outlet, cookie);
    batch_arrived(outlet, batch);
}

static void returned(gpointer user, gpointer cookie, const guint8 *data, gsize len,
                     const GError *error)
{
    Outlet *outlet = user;
    g_autoptr(Batch) batch = landed(outlet, cookie);
    if (outlet->spool != NULL && pst_error_class(error) == PST_ERROR_CLASS_TRANSIENT &&
        can_still_go(outlet, batch)) {
        batch->data = g_memdup2(data, len);
        come_back_take(outlet, g_steal_pointer(&batch));
        return;
    }
    outlet->gives_up = TRUE;
    batch_lost(outlet, batch, PST_LOSS_BUS);
    pst_log_limited(&outlet->log, PST_LOG_ERR, "bus", "a batch was given up: %s", error->message);
}

/* ---- opening ---- */

static gboolean open_bus(Outlet *outlet, GError **error)
{
    const OutletOptions *options = &outlet->options;
    PstBusOptions bus = {.client_id = options->producer,
                         .queue_bytes = options->queue_bytes,
                         .delivery_timeout_ms =
                             outlet->spool != NULL ? NEVER_MS : options->delivery_timeout_ms,
                         .delivered = delivered,
                         .returned = returned,
                         .user = outlet,
                         .group_name = options->group_name,
                         .bulk = options->all,
                         .extra = options->extra};
    outlet->bus = pst_bus_open(options->uri, &bus, error);
    if (outlet->bus == NULL)
        return FALSE;
    if (g_str_has_prefix(options->uri, "kafka:"))
        outlet->probe = probe_start(options->uri, options->all ? topic_names : smtp_only,
                                    (gint32)options->partitions);
    return TRUE;
}

/* What a spool holds was made for so many partitions, and by an epoch before ours. */
static gboolean open_spool(Outlet *outlet, GError **error)
{
    OutletOptions *options = &outlet->options;
    if (options->spool == NULL)
        return TRUE;
    SpoolOptions spool = {.path = options->spool,
                          .bytes_max = options->spool_bytes,
                          .producer = options->producer,
                          .topics = {topic_names[TOPIC_SMTP], topic_names[TOPIC_FLOWS]},
                          .partitions = options->partitions};
    outlet->spool = spool_open(&spool, error);
    if (outlet->spool == NULL)
        return FALSE;
    options->partitions = spool_partitions(outlet->spool);
    options->epoch = MAX(options->epoch, spool_newest_epoch(outlet->spool) + 1);
    outlet->spooling = spool_has_any(outlet->spool);
    outlet->spooling_since = outlet->now;
    g_autofree char *left = spool_describe(outlet->spool);
    if (outlet->spooling)
        pst_log(PST_LOG_NOTICE, "spool", "%s: what an earlier run could not deliver goes first: %s",
                options->spool, left);
    return TRUE;
}

static void make_lanes(Outlet *outlet)
{
    g_free(outlet->lanes);
    outlet->lanes = g_new0(Lane, (gsize)TOPIC_COUNT * outlet->options.partitions);
}

Outlet *outlet_open(const OutletOptions *options, GError **error)
{
    g_autoptr(Outlet) outlet = g_new0(Outlet, 1);
    outlet->options = *options;
    outlet->now = outlet->progress = pst_mono_now();
    g_queue_init(&outlet->front);
    g_queue_init(&outlet->waiting);
    pthread_mutex_init(&outlet->lock, NULL);
    if (!open_spool(outlet, error) || !open_bus(outlet, error))
        return NULL;
    make_lanes(outlet);
    outlet->hindered = g_strdup("not connected yet");
    return g_steal_pointer(&outlet);
}

void outlet_close(Outlet *outlet)
{
    if (outlet == NULL)
        return;
    probe_free(outlet->probe);
    pst_bus_close(outlet->bus); /* reports what it drops through returned() */
    spool_close(outlet->spool);
    batch_free(outlet->next);
    g_queue_clear_full(&outlet->front, (GDestroyNotify)batch_free);
    g_queue_clear_full(&outlet->waiting, (GDestroyNotify)batch_free);
    g_free(outlet->lanes);
    g_free(outlet->hindered);
    pthread_mutex_destroy(&outlet->lock);
    g_free(outlet);
}

guint32 outlet_partitions(const Outlet *outlet)
{
    return outlet->options.partitions;
}

/* ---- connecting ---- */

static gboolean has_spooled(const Outlet *outlet)
{
    return outlet->spool != NULL && spool_has_any(outlet->spool);
}

gboolean outlet_is_empty(const Outlet *outlet)
{
    return outlet->waiting.length + outlet->front.length + outlet->in_flight == 0 &&
           outlet->next == NULL && !has_spooled(outlet);
}

/* An empty spool is made anew for another number of partitions. */
static gboolean take_over_partitions(Outlet *outlet, guint32 found, GError **error)
{
    pst_log(PST_LOG_NOTICE, "bus", "the topics have %u partitions already, they are used", found);
    outlet->options.partitions = found;
    g_clear_pointer(&outlet->spool, spool_close);
    make_lanes(outlet);
    return open_spool(outlet, error);
}

/* The partition count decides which scorer sees whom: it is the one that the topic already has. We
 * can take that over while nothing was given to a partition of our own counting. */
static gboolean agree_on_partitions(Outlet *outlet, Topic topic, gint32 found, gboolean untouched,
                                    GError **error)
{
    const OutletOptions *options = &outlet->options;
    if (found == (gint32)options->partitions)
        return TRUE;
    if (topic == TOPIC_SMTP && found <= PST_PARTITIONS_MAX && untouched && outlet_is_empty(outlet))
        return take_over_partitions(outlet, (guint32)found, error);
    g_set_error(
        error, PST_ERROR, PST_ERROR_USAGE,
        "topic %s has %d partitions, and we were told %u: set partitions = %d%s%s",
        topic_names[topic], found, options->partitions, found,
        has_spooled(outlet) ? "; what the spool holds cannot be divided anew, move it away: " : "",
        has_spooled(outlet) ? options->spool : "");
    return FALSE;
}

static gboolean ensure_topic(Outlet *outlet, Topic topic, gboolean untouched, GError **error)
{
    gint32 found = 0;
    return pst_bus_ensure_topic(outlet->bus, topic_names[topic], (gint32)outlet->options.partitions,
                                &found, error) &&
           agree_on_partitions(outlet, topic, found, untouched, error);
}

static gboolean connect_bus(Outlet *outlet, gboolean untouched, GError **error)
{
    if (outlet->connected || outlet->now.ns < outlet->next_connect.ns ||
        (outlet->probe != NULL && !probe_answered(outlet->probe)))
        return TRUE;
    g_autoptr(GError) failure = NULL;
    if (ensure_topic(outlet, TOPIC_SMTP, untouched, &failure) &&
        (!outlet->options.all || ensure_topic(outlet, TOPIC_FLOWS, untouched, &failure))) {
        g_clear_pointer(&outlet->probe, probe_free);
        outlet->connected = TRUE;
        outlet->progress = outlet->now;
        return TRUE;
    }
    outlet->next_connect = pst_mono_add(pst_mono_now(), (PstSpan){CONNECT_NS});
    if (g_error_matches(failure, PST_ERROR, PST_ERROR_AWAY)) {
        pst_log_limited(&outlet->log, PST_LOG_WARN, "bus",
                        "away, batches wait and the connection is tried each second: %s",
                        failure->message);
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* ---- handing over ---- */

/* The next batch in order; NULL: none may go now. */
static Batch *take_next(Outlet *outlet)
{
    if (outlet->next != NULL)
        return g_steal_pointer(&outlet->next);
    GQueue *from = &outlet->front;
    if (from->length == 0 && has_spooled(outlet)) {
        Batch *batch = spool_take(outlet->spool, !outlet->away);
        while (batch != NULL && !can_still_go(outlet, batch)) { /* it arrived, and came back */
            spool_done(outlet->spool, batch);
            batch_free(batch);
            batch = spool_take(outlet->spool, !outlet->away);
        }
        return batch;
    }
    if (from->length == 0 && (outlet->spool == NULL || !outlet->away))
        from = &outlet->waiting;
    Batch *batch = g_queue_pop_head(from);
    if (batch != NULL)
        outlet->counts.queue_bytes -= batch_size(batch);
    return batch;
}

/* FALSE: the bus has no room now, @batch is next. */
static gboolean hand_over_take(Outlet *outlet, Batch *batch)
{
    PstBusStamp stamp = {outlet->options.producer, batch->epoch, batch->sequence};
    g_autoptr(GError) error = NULL;
    if (pst_bus_publish_take(outlet->bus, topic_names[batch->topic], (gint32)batch->partition,
                             &stamp, batch->data, batch->len, batch, &error)) {
        batch->data = NULL;
        outlet->counts.batches++;
        outlet->counts.bytes += batch->len;
        outlet->in_flight++;
        outlet->in_flight_bytes += batch->len;
        return TRUE;
    }
    if (g_error_matches(error, PST_ERROR, PST_ERROR_FULL)) {
        outlet->next = batch;
        return FALSE;
    }
    pst_log_limited(&outlet->log, PST_LOG_ERR, "bus", "a batch was refused: %s", error->message);
    batch_lost(outlet, batch, PST_LOSS_BUS);
    batch_free(batch);
    return TRUE;
}

static void hand_over(Outlet *outlet)
{
    if (!outlet->connected || outlet->rewind)
        return;
    gsize window = outlet->away && outlet->spool != NULL ? PROBE_BYTES : G_MAXSIZE;
    while (outlet->in_flight_bytes < window) {
        Batch *batch = take_next(outlet);
        if (batch == NULL || !hand_over_take(outlet, batch))
            return;
    }
}

static void drop_oldest(Outlet *outlet, GQueue *of, PstLoss loss)
{
    g_autoptr(Batch) batch = g_queue_pop_head(of);
    outlet->counts.queue_bytes -= batch_size(batch);
    batch_lost(outlet, batch, loss);
}

void outlet_put_take(Outlet *outlet, Batch *batch)
{
    batch->epoch = outlet->options.epoch;
    batch->sequence = ++lane_of(outlet, batch)->sequence;
    batch->number = ++outlet->numbers;
    batch->closed_ms = g_get_real_time() / 1000;
    outlet->counts.queue_bytes += batch_size(batch);
    g_queue_push_tail(&outlet->waiting, batch);
    hand_over(outlet);
    while (outlet->spool == NULL && outlet->waiting.length > 0 &&
           outlet->counts.queue_bytes > outlet->options.queue_bytes)
        drop_oldest(outlet, &outlet->waiting, PST_LOSS_QUEUE);
}

/* ---- the spool ---- */

static void stow_all(Outlet *outlet, GQueue *from)
{
    while (from->length > 0) {
        Batch *batch = g_queue_pop_head(from);
        outlet->counts.queue_bytes -= batch_size(batch);
        spool_put_take(outlet->spool, batch);
    }
}

/* What the bus has not confirmed is ours again. */
static void recall(Outlet *outlet)
{
    Batch *next = g_steal_pointer(&outlet->next);
    if (next != NULL)
        come_back_take(outlet, next);
    if (outlet->in_flight > 0)
        pst_bus_recall(outlet->bus);
    if (outlet->rewind && outlet->in_flight == 0) {
        spool_rewind(outlet->spool);
        outlet->rewind = FALSE;
    }
}

/* The disk takes less than comes: what has waited longest is lost. */
static void bound_unwritten(Outlet *outlet)
{
    SpoolState state;
    spool_state(outlet->spool, &state);
    while (state.unwritten > outlet->options.queue_bytes) {
        g_autoptr(Batch) batch = spool_unput(outlet->spool);
        if (batch == NULL)
            return;
        state.unwritten -= batch_size(batch);
        batch_lost(outlet, batch, PST_LOSS_QUEUE);
    }
}

static void begin_spooling(Outlet *outlet)
{
    recall(outlet);
    if (!has_spooled(outlet)) /* they are older than all that will stand in it */
        stow_all(outlet, &outlet->front);
    if (outlet->spooling)
        return;
    outlet->spooling = TRUE;
    outlet->spooling_since = outlet->now;
    pst_log(PST_LOG_WARN, "spool", "the bus is away, batches go to %s", outlet->options.spool);
}

static void end_spooling(Outlet *outlet)
{
    SpoolState state;
    spool_state(outlet->spool, &state);
    outlet->spooling = FALSE;
    pst_log(PST_LOG_NOTICE, "spool",
            "%s is replayed batches=%" G_GUINT64_FORMAT " evicted=%" G_GUINT64_FORMAT " took_s=%d",
            outlet->options.spool, state.replayed, state.evicted,
            (int)pst_span_seconds(pst_mono_since(outlet->now, outlet->spooling_since)));
}

static void look_after_spool(Outlet *outlet, gboolean was_away)
{
    if (outlet->spool == NULL)
        return;
    if (outlet->away && !was_away)
        begin_spooling(outlet);
    else if (outlet->rewind)
        recall(outlet);
    if (outlet->away || outlet->counts.queue_bytes > outlet->options.queue_bytes / 2)
        stow_all(outlet, &outlet->waiting);
    bound_unwritten(outlet);
    spool_want(outlet->spool, !outlet->connected ? 0 : outlet->away ? PROBE_BYTES : REPLAY_BYTES);
    if (outlet->spooling && !outlet->away && !has_spooled(outlet))
        end_spooling(outlet);
}

/* ---- readiness ---- */

static void set_hindered_take(Outlet *outlet, char *text)
{
    pthread_mutex_lock(&outlet->lock);
    g_free(outlet->hindered);
    outlet->hindered = text;
    pthread_mutex_unlock(&outlet->lock);
}

static void judge_readiness(Outlet *outlet)
{
    guint waiting = outlet->in_flight + outlet->waiting.length + outlet->front.length;
    if (outlet_is_empty(outlet) && !outlet->gives_up)
        outlet->progress = outlet->now;
    gint64 still_ns = pst_mono_since(outlet->now, outlet->progress).ns;
    g_autofree char *trouble = pst_bus_trouble(outlet->bus);
    gint64 patience_ns = trouble != NULL || !outlet->connected ? TROUBLED_NS : STALLED_NS;
    outlet->away = still_ns >= patience_ns;
    if (outlet->connected && !outlet->away) {
        set_hindered_take(outlet, NULL);
        return;
    }
    g_autofree char *spool =
        outlet->spool != NULL ? spool_describe(outlet->spool) : g_strdup("there is no spool");
    set_hindered_take(outlet,
                      g_strdup_printf("%u batches wait, %s for %d s: %s; %s", waiting,
                                      outlet->connected ? "nothing gets through" : "no bus",
                                      (int)(still_ns / PST_NS_PER_S),
                                      trouble != NULL ? trouble : "no answer comes", spool));
}

gboolean outlet_ready(Outlet *outlet, GString *out_reasons)
{
    pthread_mutex_lock(&outlet->lock);
    gboolean ready = outlet->hindered == NULL;
    if (!ready)
        g_string_append_printf(out_reasons, "output %s: %s\n", outlet->options.uri,
                               outlet->hindered);
    pthread_mutex_unlock(&outlet->lock);
    return ready;
}

const OutletCounts *outlet_counts(Outlet *outlet)
{
    OutletCounts *counts = &outlet->counts;
    if (outlet->spool != NULL)
        spool_state(outlet->spool, &counts->spool);
    gint64 oldest_ms = counts->spool.file.oldest_ms;
    gint64 age_ms = oldest_ms > 0 ? g_get_real_time() / 1000 - oldest_ms : 0;
    counts->spool_age_s = (guint64)MAX(age_ms, 0) / 1000;
    return counts;
}

/* ---- turns ---- */

gboolean outlet_tick(Outlet *outlet, PstMono now, gboolean untouched, GError **error)
{
    gboolean was_away = outlet->away;
    outlet->now = now;
    if (!connect_bus(outlet, untouched, error))
        return FALSE;
    (void)pst_bus_service(outlet->bus, 0);
    judge_readiness(outlet);
    look_after_spool(outlet, was_away);
    hand_over(outlet);
    return TRUE;
}

/* All that is in memory goes to disk. */
static gboolean leave_to_spool(Outlet *outlet, GError **error)
{
    recall(outlet);
    while (outlet->front.length > 0 && has_spooled(outlet)) {
        /* its place is before what the file holds, and there it cannot be put any more */
        drop_oldest(outlet, &outlet->front, PST_LOSS_BUS);
    }
    stow_all(outlet, &outlet->front);
    stow_all(outlet, &outlet->waiting);
    gboolean written = spool_sync(outlet->spool, SYNC_MS);
    SpoolState state;
    spool_state(outlet->spool, &state);
    g_autofree char *trouble = spool_trouble(outlet->spool);
    if (written) {
        pst_log(PST_LOG_NOTICE, "spool",
                "%s keeps what the bus did not take, for the next start "
                "written=%" G_GUINT64_FORMAT,
                outlet->options.spool, state.written);
        return TRUE;
    }
    g_set_error(error, PST_ERROR, PST_ERROR_AWAY,
                "output %s: %" G_GUINT64_FORMAT " bytes could neither be delivered nor spooled: %s",
                outlet->options.uri, state.unwritten, trouble != NULL ? trouble : "slow disk");
    return FALSE;
}

gboolean outlet_flush(Outlet *outlet, int timeout_ms, GError **error)
{
    int patience_ms = outlet->spool != NULL ? MIN(END_MS, timeout_ms) : timeout_ms;
    PstMono end = pst_mono_add(pst_mono_now(), pst_span_ms(patience_ms));
    for (;;) {
        if (!outlet_tick(outlet, pst_mono_now(), FALSE, error))
            return FALSE;
        if (outlet->connected)
            (void)pst_bus_service(outlet->bus, 10);
        else
            g_usleep(10000);
        if (outlet_is_empty(outlet))
            return TRUE;
        if (outlet->now.ns >= end.ns || (outlet->spool != NULL && outlet->away))
            break;
    }
    if (outlet->spool != NULL)
        return leave_to_spool(outlet, error);
    g_set_error(error, PST_ERROR, PST_ERROR_AWAY,
                "output %s: %u batches could not be delivered within %d ms", outlet->options.uri,
                outlet->in_flight + outlet->waiting.length + (outlet->next != NULL), timeout_ms);
    return FALSE;
}

void outlet_each_evicted(Outlet *outlet, BatchCharged charged, gpointer user)
{
    if (outlet->spool != NULL)
        spool_each_evicted(outlet->spool, charged, user);
}
