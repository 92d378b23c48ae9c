/* SPDX-License-Identifier: Apache-2.0 */
#include "publish.h"

#include <string.h>

#include "codec.h"
#include "jsonout.h"

#define DEBTS_NS PST_NS_PER_S

/* The open batch of one topic and partition. */
typedef struct {
    Batch *batch; /* NULL: none is open */
    PstMono opened;
} Lane;

struct Publisher {
    PublisherOptions options;
    Outlet *outlet; /* owned; NULL: JSON */
    JsonOut *json;  /* owned; NULL: bus */
    Lane *lanes;    /* TOPIC_COUNT × partitions; owned */
    guint32 partitions;
    GHashTable *debts; /* PstHeartbeat, a set by (sampler, domain, ledger): what has to be told of
                          ledgers that are not here */
    PstMono debts_told;
    PstMono now; /* of the last tick */
    PublisherCounts counts;
};

/* ---- who is charged ---- */

static guint debt_hash(gconstpointer debt)
{
    const PstHeartbeat *beat = debt;
    return pst_addr_hash(&beat->sampler) ^ beat->domain * 31u ^ (guint)beat->ledger;
}

static gboolean debt_equal(gconstpointer left, gconstpointer right)
{
    const PstHeartbeat *a = left, *b = right;
    return a->ledger == b->ledger && a->domain == b->domain &&
           pst_addr_equal(&a->sampler, &b->sampler);
}

static PstHeartbeat *debt_of(Publisher *publisher, const PstHeartbeat *told)
{
    PstHeartbeat *debt = g_hash_table_lookup(publisher->debts, told);
    if (debt != NULL)
        return debt;
    debt = g_new0(PstHeartbeat, 1);
    debt->sampler = told->sampler;
    debt->domain = told->domain;
    debt->ledger = told->ledger;
    g_hash_table_add(publisher->debts, debt);
    return debt;
}

/* One charge, and what is to be told of it. */
typedef struct {
    Publisher *publisher;
    PstLoss loss;     /* of what is lost */
    gboolean arrived; /* it is not: records of TOPIC_FLOWS are on the bus */
} Verdict;

static void add_to_ledger(const Verdict *verdict, Ledger *ledger, const PstHeartbeat *told,
                          guint64 records)
{
    if (verdict->arrived) {
        ledger->arrived += records;
        return;
    }
    ledger_lose(ledger, verdict->loss, records);
    ledger_unbeat(ledger, told);
}

static void add_to_debts(const Verdict *verdict, const PstHeartbeat *told, guint64 records)
{
    PstHeartbeat *debt = debt_of(verdict->publisher, told);
    if (verdict->arrived) {
        debt->received += records;
        return;
    }
    for (guint i = 0; i < PST_GROWTH_COUNT; i++)
        debt->growth[i] += told->growth[i];
    debt->lost[verdict->loss] += records;
    debt->expected = MAX(debt->expected, told->expected);
    debt->expected_datagrams = MAX(debt->expected_datagrams, told->expected_datagrams);
}

/* A charge of an earlier process is that of the ledger which goes on with its sums, if one does. */
static void settle_charge(gpointer user, Ledger *ledger, const PstHeartbeat *told, guint64 records)
{
    const Verdict *verdict = user;
    const PublisherOptions *options = &verdict->publisher->options;
    if (ledger == NULL && options->ledger != NULL)
        ledger = options->ledger(options->user, &told->sampler, told->domain);
    if (ledger != NULL && (told->ledger == 0 || told->ledger == ledger->id))
        add_to_ledger(verdict, ledger, told, records);
    else
        add_to_debts(verdict, told, records);
}

static void batch_lost(gpointer user, const Batch *batch, PstLoss loss)
{
    Verdict verdict = {.publisher = user, .loss = loss};
    batch_each_charge(batch, settle_charge, &verdict);
}

/* Whoever reads TOPIC_SMTP counts what stands in it; of the other topic we tell. */
static void batch_arrived(gpointer user, const Batch *batch)
{
    Verdict verdict = {.publisher = user, .arrived = TRUE};
    if (batch->topic == TOPIC_FLOWS)
        batch_each_charge(batch, settle_charge, &verdict);
}

static void tell_debts(Publisher *publisher)
{
    if (pst_mono_since(publisher->now, publisher->debts_told).ns < DEBTS_NS)
        return;
    publisher->debts_told = publisher->now;
    g_autoptr(GHashTable) debts = g_steal_pointer(&publisher->debts);
    publisher->debts = g_hash_table_new_full(debt_hash, debt_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer debt;
    g_hash_table_iter_init(&iter, debts);
    while (g_hash_table_iter_next(&iter, &debt, NULL)) {
        ((PstHeartbeat *)debt)->received_ns = g_get_real_time() * 1000;
        publisher_heartbeat(publisher, debt, NULL);
    }
}

/* ---- opening ---- */

static gboolean open_outlet(Publisher *publisher, GError **error)
{
    const PublisherOptions *options = &publisher->options;
    OutletOptions outlet = {.uri = options->output,
                            .all = options->all,
                            .partitions = options->partitions,
                            .queue_bytes = options->queue_bytes,
                            .producer = options->producer,
                            .epoch = options->epoch,
                            .delivery_timeout_ms = options->delivery_timeout_ms,
                            .group_name = options->group_name,
                            .extra = options->extra,
                            .spool = options->spool,
                            .spool_bytes = options->spool_bytes,
                            .arrived = batch_arrived,
                            .lost = batch_lost,
                            .user = publisher};
    publisher->outlet = outlet_open(&outlet, error);
    return publisher->outlet != NULL;
}

/* As many lanes as the topics have partitions; only while none is in use. */
static void fit_lanes(Publisher *publisher)
{
    guint32 partitions = outlet_partitions(publisher->outlet);
    if (publisher->partitions == partitions)
        return;
    g_free(publisher->lanes);
    publisher->partitions = partitions;
    publisher->lanes = g_new0(Lane, (gsize)TOPIC_COUNT * partitions);
}

Publisher *publisher_open(const PublisherOptions *options, GError **error)
{
    g_autoptr(Publisher) publisher = g_new0(Publisher, 1);
    publisher->options = *options;
    publisher->now = pst_mono_now();
    publisher->debts = g_hash_table_new_full(debt_hash, debt_equal, g_free, NULL);
    if (g_str_has_prefix(options->output, "json:")) {
        publisher->json = json_out_open(options->output + strlen("json:"), error);
        return publisher->json != NULL ? g_steal_pointer(&publisher) : NULL;
    }
    if (!open_outlet(publisher, error))
        return NULL;
    fit_lanes(publisher);
    return g_steal_pointer(&publisher);
}

void publisher_close(Publisher *publisher)
{
    if (publisher == NULL)
        return;
    outlet_close(publisher->outlet); /* reports what it drops */
    json_out_close(publisher->json);
    for (guint i = 0; i < TOPIC_COUNT * publisher->partitions; i++)
        batch_free(publisher->lanes[i].batch);
    g_hash_table_unref(publisher->debts);
    g_free(publisher->lanes);
    g_free(publisher);
}

/* ---- batches in the making ---- */

static Lane *lane_of(Publisher *publisher, Topic topic, guint32 partition)
{
    return &publisher->lanes[topic * publisher->partitions + partition];
}

static void close_batch(Publisher *publisher, Lane *lane)
{
    batch_close(lane->batch);
    outlet_put_take(publisher->outlet, g_steal_pointer(&lane->batch));
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
    guint32 partition = pst_partition_of(customer, publisher->partitions);
    if (smtp)
        put_flow(publisher, TOPIC_SMTP, partition, flow, ledger);
    if (all) /* a record is charged once */
        put_flow(publisher, TOPIC_FLOWS, partition, flow, smtp ? NULL : ledger);
}

void publisher_heartbeat(Publisher *publisher, const PstHeartbeat *beat, Ledger *ledger)
{
    if (publisher->json != NULL)
        return;
    PstHeartbeat elsewhere = {.sampler = beat->sampler,
                              .domain = beat->domain,
                              .newest_event_ns = beat->newest_event_ns,
                              .received_ns = beat->received_ns};
    guint32 home = pst_partition_of(&beat->sampler, publisher->partitions);
    for (guint32 i = 0; i < publisher->partitions; i++) {
        if (i != home && beat->newest_event_ns == 0)
            continue; /* it has nothing to say there */
        Batch *batch = batch_with_room(publisher, TOPIC_SMTP, i);
        batch->len +=
            pst_codec_put_heartbeat(batch->data + batch->len, i == home ? beat : &elsewhere);
        if (i == home)
            batch_charge_beat(batch, ledger, beat);
    }
    publisher->counts.heartbeats++;
}

static void close_old(Publisher *publisher, gint64 min_age_ns)
{
    for (guint i = 0; i < TOPIC_COUNT * publisher->partitions; i++) {
        Lane *lane = &publisher->lanes[i];
        if (lane->batch != NULL && pst_mono_since(publisher->now, lane->opened).ns >= min_age_ns)
            close_batch(publisher, lane);
    }
}

/* ---- turns ---- */

static gboolean is_untouched(const Publisher *publisher)
{
    for (guint i = 0; i < TOPIC_COUNT * publisher->partitions; i++) {
        if (publisher->lanes[i].batch != NULL)
            return FALSE;
    }
    return TRUE;
}

gboolean publisher_tick(Publisher *publisher, PstMono now, GError **error)
{
    publisher->now = now;
    if (publisher->json != NULL)
        return json_out_flush(publisher->json, error);
    if (!outlet_tick(publisher->outlet, now, is_untouched(publisher), error))
        return FALSE;
    fit_lanes(publisher);
    Verdict verdict = {.publisher = publisher, .loss = PST_LOSS_SPOOL};
    outlet_each_evicted(publisher->outlet, settle_charge, &verdict);
    tell_debts(publisher);
    close_old(publisher, publisher->options.batch_ms * PST_NS_PER_MS);
    return TRUE;
}

gboolean publisher_flush(Publisher *publisher, int timeout_ms, GError **error)
{
    if (publisher->json != NULL)
        return json_out_flush(publisher->json, error);
    publisher->now = pst_mono_now();
    publisher->debts_told = (PstMono){0};
    tell_debts(publisher);
    close_old(publisher, 0);
    return outlet_flush(publisher->outlet, timeout_ms, error);
}

gboolean publisher_is_empty(const Publisher *publisher)
{
    return is_untouched(publisher) && g_hash_table_size(publisher->debts) == 0 &&
           (publisher->outlet == NULL || outlet_is_empty(publisher->outlet));
}

gboolean publisher_ready(Publisher *publisher, GString *out_reasons)
{
    return publisher->json != NULL || outlet_ready(publisher->outlet, out_reasons);
}

const PublisherCounts *publisher_counts(Publisher *publisher)
{
    if (publisher->outlet != NULL)
        publisher->counts.outlet = *outlet_counts(publisher->outlet);
    return &publisher->counts;
}
