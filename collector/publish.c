/* SPDX-License-Identifier: Apache-2.0 */
#include "publish.h"

#include <pthread.h>
#include <string.h>

#include "batch.h"
#include "codec.h"
#include "jsonout.h"
#include "log.h"
#include "probe.h"

/* Batches that wait for the bus longer than this mean: it is away. Shorter, if the bus itself tells
 * of a trouble; but not at once, because a client that has several brokers may change over. */
#define STALLED_NS  (10 * PST_NS_PER_S)
#define TROUBLED_NS (2 * PST_NS_PER_S)
#define CONNECT_NS  PST_NS_PER_S

static const char *const topic_names[TOPIC_COUNT + 1] = {
    [TOPIC_SMTP] = PST_TOPIC_SMTP,
    [TOPIC_FLOWS] = PST_TOPIC_FLOWS,
};
static const char *const smtp_only[] = {PST_TOPIC_SMTP, NULL};

/* The open batch of one topic and partition. */
typedef struct {
    Batch *batch; /* NULL: none is open */
    PstMono opened;
    guint64 sequence; /* last used */
} Lane;

struct Publisher {
    PublisherOptions options;
    PstBus *bus;          /* owned; NULL: JSON */
    JsonOut *json;        /* owned; NULL: bus */
    Lane *lanes;          /* TOPIC_COUNT × partitions; owned */
    GQueue waiting;       /* of Batch, closed, oldest first */
    Probe *probe;         /* owned; NULL once we are connected, and for a bus that is a file */
    gboolean connected;   /* the topics are there */
    PstMono next_connect; /* not before */
    PstMono now;          /* of the last tick */
    PstMono progress;     /* when the bus last confirmed something, or nothing waited */
    guint in_flight;
    gboolean gives_up; /* the last report was of a batch that is lost */
    PstLogLimit log;
    PublisherCounts counts;
    pthread_mutex_t lock; /* guards hindered; ThreadSanitizer sees pthread's */
    char *hindered;       /* why we are not ready; NULL: we are */
};

static void delivered(gpointer user, gpointer cookie, const GError *error)
{
    Publisher *publisher = user;
    Charge *charges = cookie;
    publisher->gives_up = error != NULL;
    if (error == NULL) {
        publisher->progress = publisher->now;
        publisher->counts.delivered++;
        charge_free(charges);
        return;
    }
    publisher->counts.lost_batches++;
    charge_lose_take(charges, PST_LOSS_BUS);
    pst_log_limited(&publisher->log, PST_LOG_ERR, "bus", "a batch was given up: %s",
                    error->message);
}

static gboolean open_bus(Publisher *publisher, GError **error)
{
    const PublisherOptions *options = &publisher->options;
    PstBusOptions bus = {.client_id = options->producer,
                         .queue_bytes = options->queue_bytes,
                         .delivery_timeout_ms = options->delivery_timeout_ms,
                         .delivered = delivered,
                         .user = publisher,
                         .group_name = options->group_name,
                         .bulk = options->all,
                         .extra = options->extra};
    publisher->bus = pst_bus_open(options->output, &bus, error);
    if (publisher->bus == NULL)
        return FALSE;
    if (g_str_has_prefix(options->output, "kafka:"))
        publisher->probe = probe_start(options->output, options->all ? topic_names : smtp_only,
                                       (gint32)options->partitions);
    return TRUE;
}

Publisher *publisher_open(const PublisherOptions *options, GError **error)
{
    g_autoptr(Publisher) publisher = g_new0(Publisher, 1);
    publisher->options = *options;
    publisher->now = publisher->progress = pst_mono_now();
    publisher->lanes = g_new0(Lane, (gsize)TOPIC_COUNT * options->partitions);
    g_queue_init(&publisher->waiting);
    pthread_mutex_init(&publisher->lock, NULL);
    if (g_str_has_prefix(options->output, "json:")) {
        publisher->json = json_out_open(options->output + strlen("json:"), error);
        return publisher->json != NULL ? g_steal_pointer(&publisher) : NULL;
    }
    if (!open_bus(publisher, error))
        return NULL;
    publisher->hindered = g_strdup("not connected yet");
    return g_steal_pointer(&publisher);
}

/* Nothing has been given to a partition yet. */
static gboolean is_untouched(const Publisher *publisher)
{
    for (guint i = 0; i < TOPIC_COUNT * publisher->options.partitions; i++) {
        if (publisher->lanes[i].batch != NULL)
            return FALSE;
    }
    return publisher->waiting.length == 0;
}

/* The partition count decides which scorer sees whom: it is the one that the topic already has. We
 * can take that over while nothing was given to a partition of our own counting. */
static gboolean agree_on_partitions(Publisher *publisher, Topic topic, gint32 found, GError **error)
{
    PublisherOptions *options = &publisher->options;
    if (found == (gint32)options->partitions)
        return TRUE;
    if (topic == TOPIC_SMTP && found <= PST_PARTITIONS_MAX && is_untouched(publisher)) {
        pst_log(PST_LOG_NOTICE, "bus", "topic %s has %d partitions already, they are used",
                topic_names[topic], found);
        options->partitions = (guint32)found;
        g_free(publisher->lanes);
        publisher->lanes = g_new0(Lane, (gsize)TOPIC_COUNT * options->partitions);
        return TRUE;
    }
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                "topic %s has %d partitions, and we were told %u: set partitions = %d",
                topic_names[topic], found, options->partitions, found);
    return FALSE;
}

static gboolean ensure_topic(Publisher *publisher, Topic topic, GError **error)
{
    gint32 found = 0;
    return pst_bus_ensure_topic(publisher->bus, topic_names[topic],
                                (gint32)publisher->options.partitions, &found, error) &&
           agree_on_partitions(publisher, topic, found, error);
}

static gboolean connect_bus(Publisher *publisher, GError **error)
{
    if (publisher->connected || publisher->now.ns < publisher->next_connect.ns ||
        (publisher->probe != NULL && !probe_answered(publisher->probe)))
        return TRUE;
    g_autoptr(GError) failure = NULL;
    if (ensure_topic(publisher, TOPIC_SMTP, &failure) &&
        (!publisher->options.all || ensure_topic(publisher, TOPIC_FLOWS, &failure))) {
        g_clear_pointer(&publisher->probe, probe_free);
        publisher->connected = TRUE;
        publisher->progress = publisher->now;
        return TRUE;
    }
    publisher->next_connect = pst_mono_add(pst_mono_now(), (PstSpan){CONNECT_NS});
    if (g_error_matches(failure, PST_ERROR, PST_ERROR_AWAY)) {
        pst_log_limited(&publisher->log, PST_LOG_WARN, "bus",
                        "away, batches wait and the connection is tried each second: %s",
                        failure->message);
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static Lane *lane_of(Publisher *publisher, Topic topic, guint32 partition)
{
    return &publisher->lanes[topic * publisher->options.partitions + partition];
}

static void drop_oldest(Publisher *publisher)
{
    g_autoptr(Batch) batch = g_queue_pop_head(&publisher->waiting);
    publisher->counts.queue_bytes -= batch->len;
    publisher->counts.queue_dropped++;
    charge_lose_take(g_steal_pointer(&batch->charges), PST_LOSS_QUEUE);
}

/* FALSE: the bus has no room now. */
static gboolean hand_over(Publisher *publisher, Batch *batch)
{
    Lane *lane = lane_of(publisher, batch->topic, batch->partition);
    PstBusStamp stamp = {.producer = publisher->options.producer,
                         .epoch = publisher->options.epoch,
                         .sequence = lane->sequence + 1};
    g_autoptr(GError) error = NULL;
    if (!pst_bus_publish_take(publisher->bus, topic_names[batch->topic], (gint32)batch->partition,
                              &stamp, batch->data, batch->len, batch->charges, &error)) {
        if (g_error_matches(error, PST_ERROR, PST_ERROR_FULL))
            return FALSE;
        pst_log_limited(&publisher->log, PST_LOG_ERR, "bus", "a batch was refused: %s",
                        error->message);
        publisher->counts.lost_batches++;
        charge_lose_take(g_steal_pointer(&batch->charges), PST_LOSS_BUS);
        return TRUE;
    }
    batch->data = NULL;
    batch->charges = NULL; /* the cookie comes back in delivered() */
    lane->sequence++;
    publisher->counts.batches++;
    publisher->counts.bytes += batch->len;
    return TRUE;
}

static void hand_over_waiting(Publisher *publisher)
{
    while (publisher->connected && !g_queue_is_empty(&publisher->waiting)) {
        Batch *oldest = g_queue_peek_head(&publisher->waiting);
        if (!hand_over(publisher, oldest))
            return;
        publisher->counts.queue_bytes -= oldest->len;
        batch_free(g_queue_pop_head(&publisher->waiting));
    }
}

/* The lane's batch goes to the end of the queue, and as much of the queue as possible on its way.
 * A spool would take over where drop_oldest stands. */
static void close_batch(Publisher *publisher, Lane *lane)
{
    Batch *batch = g_steal_pointer(&lane->batch);
    batch_close(batch);
    publisher->counts.queue_bytes += batch->len;
    g_queue_push_tail(&publisher->waiting, batch);
    hand_over_waiting(publisher);
    while (publisher->counts.queue_bytes > publisher->options.queue_bytes)
        drop_oldest(publisher);
}

/* Room for @bytes in the lane's batch; @bytes is at most PST_CODEC_FLOW_MAX. */
static Batch *batch_with_room(Publisher *publisher, Topic topic, guint32 partition)
{
    Lane *lane = lane_of(publisher, topic, partition);
    if (lane->batch != NULL && lane->batch->len >= publisher->options.batch_bytes)
        close_batch(publisher, lane);
    if (lane->batch == NULL) {
        gsize size = publisher->options.batch_bytes + PST_CODEC_FLOW_MAX;
        lane->batch = batch_new((guint8)topic, partition, size);
        lane->opened = publisher->now;
    }
    return lane->batch;
}

static void put_flow(Publisher *publisher, Topic topic, guint32 partition, const PstFlow *flow,
                     Ledger *ledger)
{
    Batch *batch = batch_with_room(publisher, topic, partition);
    batch->len += pst_codec_put_flow(batch->data + batch->len, flow);
    publisher->counts.flows[topic]++;
    if (ledger != NULL)
        batch_charge(batch, ledger);
}

void publisher_flow(Publisher *publisher, const PstFlow *flow, const PstAddr *customer,
                    gboolean smtp, Ledger *ledger)
{
    gboolean all = publisher->options.all;
    if (publisher->json != NULL) {
        if (smtp || all) {
            json_out_flow(publisher->json, flow);
            publisher->counts.flows[smtp ? TOPIC_SMTP : TOPIC_FLOWS]++;
        }
        return;
    }
    guint32 partition = pst_partition_of(customer, publisher->options.partitions);
    if (smtp)
        put_flow(publisher, TOPIC_SMTP, partition, flow, ledger);
    if (all) /* a record is charged once */
        put_flow(publisher, TOPIC_FLOWS, partition, flow, smtp ? NULL : ledger);
}

void publisher_heartbeat(Publisher *publisher, const PstHeartbeat *beat, Ledger *ledger)
{
    if (publisher->json != NULL)
        return;
    PstHeartbeat elsewhere = *beat;
    elsewhere.received = 0;
    memset(elsewhere.lost, 0, sizeof elsewhere.lost);
    guint32 home = pst_partition_of(&beat->sampler, publisher->options.partitions);
    for (guint32 i = 0; i < publisher->options.partitions; i++) {
        Batch *batch = batch_with_room(publisher, TOPIC_SMTP, i);
        batch->len +=
            pst_codec_put_heartbeat(batch->data + batch->len, i == home ? beat : &elsewhere);
        if (i == home && ledger != NULL)
            batch_charge_beat(batch, ledger, beat);
    }
    publisher->counts.heartbeats++;
}

static void close_old(Publisher *publisher, gint64 min_age_ns)
{
    for (guint i = 0; i < TOPIC_COUNT * publisher->options.partitions; i++) {
        Lane *lane = &publisher->lanes[i];
        if (lane->batch != NULL && pst_mono_since(publisher->now, lane->opened).ns >= min_age_ns)
            close_batch(publisher, lane);
    }
}

static void set_hindered_take(Publisher *publisher, char *text)
{
    pthread_mutex_lock(&publisher->lock);
    g_free(publisher->hindered);
    publisher->hindered = text;
    pthread_mutex_unlock(&publisher->lock);
}

static void judge_readiness(Publisher *publisher)
{
    guint waiting = publisher->in_flight + publisher->waiting.length;
    if (waiting == 0 && !publisher->gives_up)
        publisher->progress = publisher->now;
    gint64 still_ns = pst_mono_since(publisher->now, publisher->progress).ns;
    g_autofree char *trouble = pst_bus_trouble(publisher->bus);
    gint64 patience_ns = trouble != NULL ? TROUBLED_NS : STALLED_NS;
    if (publisher->connected && still_ns < patience_ns) {
        set_hindered_take(publisher, NULL);
        return;
    }
    set_hindered_take(publisher,
                      g_strdup_printf("%u batches wait, %s for %d s: %s", waiting,
                                      publisher->connected ? "nothing gets through" : "no bus",
                                      (int)(still_ns / PST_NS_PER_S),
                                      trouble != NULL ? trouble : "no answer comes"));
}

gboolean publisher_tick(Publisher *publisher, PstMono now, GError **error)
{
    publisher->now = now;
    if (publisher->json != NULL)
        return json_out_flush(publisher->json, error);
    if (!connect_bus(publisher, error))
        return FALSE;
    close_old(publisher, publisher->options.batch_ms * PST_NS_PER_MS);
    publisher->in_flight = pst_bus_service(publisher->bus, 0);
    hand_over_waiting(publisher);
    judge_readiness(publisher);
    return TRUE;
}

gboolean publisher_flush(Publisher *publisher, int timeout_ms, GError **error)
{
    if (publisher->json != NULL)
        return json_out_flush(publisher->json, error);
    PstMono end = pst_mono_add(pst_mono_now(), pst_span_ms(timeout_ms));
    publisher->now = pst_mono_now();
    close_old(publisher, 0);
    for (;;) {
        publisher->now = pst_mono_now();
        if (!connect_bus(publisher, error))
            return FALSE;
        hand_over_waiting(publisher);
        publisher->in_flight = pst_bus_service(publisher->bus, 10);
        if (g_queue_is_empty(&publisher->waiting) && publisher->in_flight == 0)
            return TRUE;
        if (publisher->now.ns >= end.ns)
            break;
    }
    g_set_error(error, PST_ERROR, PST_ERROR_AWAY,
                "output %s: %u batches could not be delivered within %d ms",
                publisher->options.output, publisher->in_flight + publisher->waiting.length,
                timeout_ms);
    return FALSE;
}

gboolean publisher_ready(Publisher *publisher, GString *out_reasons)
{
    pthread_mutex_lock(&publisher->lock);
    gboolean ready = publisher->hindered == NULL;
    if (!ready)
        g_string_append_printf(out_reasons, "output %s: %s\n", publisher->options.output,
                               publisher->hindered);
    pthread_mutex_unlock(&publisher->lock);
    return ready;
}

const PublisherCounts *publisher_counts(const Publisher *publisher)
{
    return &publisher->counts;
}

void publisher_close(Publisher *publisher)
{
    if (publisher == NULL)
        return;
    probe_free(publisher->probe);
    pst_bus_close(publisher->bus); /* reports what it drops through delivered() */
    json_out_close(publisher->json);
    for (guint i = 0; i < TOPIC_COUNT * publisher->options.partitions; i++)
        batch_free(publisher->lanes[i].batch);
    while (!g_queue_is_empty(&publisher->waiting))
        batch_free(g_queue_pop_head(&publisher->waiting));
    g_free(publisher->lanes);
    g_free(publisher->hindered);
    pthread_mutex_destroy(&publisher->lock);
    g_free(publisher);
}
