/* SPDX-License-Identifier: Apache-2.0 */
/* kafka://…, the bus of many hosts. This file: settings, topics, bounds; the producer is
 * bus_kafka_producer, the consumer bus_kafka_consumer. Each of the two is a client of its own
 * (librdkafka has it so), made when it is first needed. */
#include "bus_kafka.h"

#include <string.h>

#include "bus_backend.h"
#include "clock.h"
#include "log.h"

enum {
    ANSWER_MS = 5000,      /* for a question to the brokers */
    APPEARANCE_MS = 10000, /* for a new topic to have leaders everywhere */
    PAUSE_MS = 50,
};

/* What both clients have. A person's --bus-extra comes after these and wins. */
static const BusKafkaSetting common_settings[] = {
    {"reconnect.backoff.max.ms", "2000"},
    {"socket.keepalive.enable", "true"},
    {"topic.metadata.refresh.interval.ms", "30000"},
    {NULL, NULL},
};

/* What is not here will pass: AWAY. */
static const struct {
    rd_kafka_resp_err_t status;
    PstErrorCode code;
} codes[] = {
    {RD_KAFKA_RESP_ERR__QUEUE_FULL, PST_ERROR_FULL},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, PST_ERROR_NOT_FOUND},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, PST_ERROR_NOT_FOUND},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, PST_ERROR_NOT_FOUND},
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, PST_ERROR_USAGE},
    {RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR, PST_ERROR_USAGE},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, PST_ERROR_USAGE},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, PST_ERROR_USAGE},
    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, PST_ERROR_USAGE},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, PST_ERROR_USAGE},
};

gboolean bus_kafka_fail(GError **error, rd_kafka_resp_err_t status, const char *what,
                        const char *detail)
{
    PstErrorCode code = PST_ERROR_AWAY;
    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++)
        if (codes[i].status == status)
            code = codes[i].code;
    g_set_error(error, PST_ERROR, code, "kafka: cannot %s: %s%s%s", what, rd_kafka_err2str(status),
                detail != NULL ? ": " : "", detail != NULL ? detail : "");
    return FALSE;
}

/* --- settings ------------------------------------------------------------------------------ */

static gboolean set_one(rd_kafka_conf_t *conf, const char *name, const char *value, GError **error)
{
    char text[512] = "";
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "bus kafka: option %s=%s: %s", name, value,
                text);
    return FALSE;
}

static gboolean set_all(rd_kafka_conf_t *conf, const BusKafkaSetting *settings, GError **error)
{
    for (; settings->name != NULL; settings++)
        if (!set_one(conf, settings->name, settings->value, error))
            return FALSE;
    return TRUE;
}

/* "name=value;name=value"; a value may hold "=". */
static gboolean set_extra(rd_kafka_conf_t *conf, const char *extra, GError **error)
{
    g_auto(GStrv) pairs = g_strsplit(extra != NULL ? extra : "", ";", -1);
    for (gsize i = 0; pairs[i] != NULL; i++) {
        char *pair = g_strstrip(pairs[i]);
        if (*pair == '\0')
            continue;
        char *value = strchr(pair, '=');
        if (value == NULL) {
            g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                        "bus kafka: option \"%s\": expected name=value;name=value", pair);
            return FALSE;
        }
        *value++ = '\0';
        if (!set_one(conf, g_strchomp(pair), g_strchug(value), error))
            return FALSE;
    }
    return TRUE;
}

/* librdkafka's own threads come here, many times a second while a broker is away. */
static void log_line(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    BusKafka *self = rd_kafka_opaque(client);
    g_mutex_lock(&self->log_lock);
    pst_log_limited(&self->log_limit, (PstLogLevel)CLAMP(level, PST_LOG_WARN, PST_LOG_DEBUG), "bus",
                    "kafka %s: %s", facility, text);
    g_mutex_unlock(&self->log_lock);
}

/* Remembers why nothing goes on; called on the owner's thread, from within poll. */
static void on_error(rd_kafka_t *client, int status, const char *reason, void *opaque)
{
    BusKafka *self = opaque;
    g_free(self->trouble);
    self->trouble = g_strdup_printf("%s (%s)", reason, rd_kafka_err2str(status));
    if (status == RD_KAFKA_RESP_ERR__FATAL && client == self->producer)
        self->fatal = TRUE;
    if (status == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && client == self->consumer)
        self->away = TRUE;
}

rd_kafka_conf_t *bus_kafka_conf(BusKafka *self, const BusKafkaSetting *settings, GError **error)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, self);
    rd_kafka_conf_set_log_cb(conf, log_line);
    rd_kafka_conf_set_error_cb(conf, on_error);
    if (set_one(conf, "bootstrap.servers", self->brokers, error) &&
        set_one(conf, "client.id", self->client_id, error) &&
        set_all(conf, common_settings, error) && set_all(conf, settings, error) &&
        set_extra(conf, self->extra, error))
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

rd_kafka_t *bus_kafka_client_take(rd_kafka_type_t type, rd_kafka_conf_t *conf, GError **error)
{
    char text[512] = "";
    if (conf == NULL)
        return NULL;
    rd_kafka_t *client = rd_kafka_new(type, conf, text, sizeof text);
    if (client != NULL)
        return client;
    rd_kafka_conf_destroy(conf);
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "bus kafka: cannot start: %s", text);
    return NULL;
}

/* --- topics -------------------------------------------------------------------------------- */

/* The partitions of a topic, 0 if there is none, −1 if some have no leader yet. Asks for all
 * topics: to ask for one would make it on brokers that make topics by themselves. */
static gboolean count_partitions(rd_kafka_t *client, const char *name, gint32 *out, GError **error)
{
    const struct rd_kafka_metadata *all = NULL;
    rd_kafka_resp_err_t status = rd_kafka_metadata(client, 1, NULL, &all, ANSWER_MS);
    if (status != RD_KAFKA_RESP_ERR_NO_ERROR)
        return bus_kafka_fail(error, status, "ask for topics", NULL);
    *out = 0;
    for (int i = 0; i < all->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *topic = &all->topics[i];
        if (strcmp(topic->topic, name) != 0)
            continue;
        *out = topic->err == RD_KAFKA_RESP_ERR_NO_ERROR ? topic->partition_cnt : -1;
        for (int p = 0; p < topic->partition_cnt; p++)
            if (topic->partitions[p].leader < 0)
                *out = -1;
    }
    rd_kafka_metadata_destroy(all);
    return TRUE;
}

/* The one topic's result of a CreateTopics; somebody else's success is ours. */
static gboolean check_creation(rd_kafka_event_t *event, const char *what, GError **error)
{
    if (event == NULL)
        return bus_kafka_fail(error, RD_KAFKA_RESP_ERR__TIMED_OUT, what, NULL);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return bus_kafka_fail(error, rd_kafka_event_error(event), what,
                              rd_kafka_event_error_string(event));
    size_t n = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
    for (size_t i = 0; i < n; i++) {
        rd_kafka_resp_err_t status = rd_kafka_topic_result_error(results[i]);
        if (status != RD_KAFKA_RESP_ERR_NO_ERROR &&
            status != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            return bus_kafka_fail(error, status, what,
                                  rd_kafka_topic_result_error_string(results[i]));
    }
    return TRUE;
}

static gboolean make_topic(rd_kafka_t *client, const char *name, gint32 partitions, GError **error)
{
    char text[512] = "";
    g_autofree char *what = g_strdup_printf("make topic %s", name);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, -1, text, sizeof text);
    if (topic == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "kafka: cannot %s: %s", what, text);
        return FALSE;
    }
    /* A message's time is when it was appended, whatever its producer's clock says. */
    rd_kafka_NewTopic_set_config(topic, "message.timestamp.type", "LogAppendTime");
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_AdminOptions_set_request_timeout(options, ANSWER_MS, text, sizeof text);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, &topic, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 2 * ANSWER_MS);
    gboolean ok = check_creation(event, what, error);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(topic);
    return ok;
}

static gboolean kafka_ensure_topic(PstBus *bus, PstBusTopic *topic, gint32 wanted, GError **error)
{
    BusKafka *self = bus_kafka(bus);
    rd_kafka_t *client = bus_kafka_producer(self, error);
    gint32 partitions = 0;
    if (client == NULL || !count_partitions(client, topic->name, &partitions, error) ||
        (partitions == 0 && !make_topic(client, topic->name, wanted, error)))
        return FALSE;
    PstMono end = pst_mono_add(pst_mono_now(), pst_span_ms(APPEARANCE_MS));
    while (partitions <= 0) {
        if (pst_mono_since(end, pst_mono_now()).ns < 0)
            return bus_kafka_fail(error, RD_KAFKA_RESP_ERR__TIMED_OUT, "use topic", topic->name);
        g_usleep(PAUSE_MS * 1000);
        if (!count_partitions(client, topic->name, &partitions, error))
            return FALSE;
    }
    topic->partitions = partitions;
    return TRUE;
}

/* A broker that has just come back does not know its partitions at once. One that was there before
 * only waits for its leader. */
static rd_kafka_resp_err_t without_haste(PstBus *bus, const char *topic, gint32 partition,
                                         rd_kafka_resp_err_t status)
{
    gboolean unknown = status == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
                       status == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
                       status == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    const PstBusTopic *ensured = g_hash_table_lookup(bus->topics, topic);
    gboolean was_there = ensured != NULL && partition >= 0 && partition < ensured->partitions;
    return unknown && was_there ? RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE : status;
}

/* The offset that a name stands for: RD_KAFKA_OFFSET_BEGINNING or _END. Not by
 * rd_kafka_query_watermark_offsets: while a broker is away that one goes far beyond its time-out
 * (librdkafka 2.0.2: minutes), and its caller neither polls nor hears a signal. */
static gboolean ask_offset(PstBus *bus, rd_kafka_t *client, const char *topic, gint32 partition,
                           gint64 name, gint64 *out_offset, GError **error)
{
    rd_kafka_topic_partition_list_t *question = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *it = rd_kafka_topic_partition_list_add(question, topic, partition);
    it->offset = name;
    rd_kafka_resp_err_t status = rd_kafka_offsets_for_times(client, question, ANSWER_MS);
    if (status == RD_KAFKA_RESP_ERR_NO_ERROR)
        status = it->err;
    gint64 offset = it->offset;
    rd_kafka_topic_partition_list_destroy(question);
    status = without_haste(bus, topic, partition, status);
    if (status != RD_KAFKA_RESP_ERR_NO_ERROR) {
        g_autofree char *what = g_strdup_printf("ask for the bounds of %s[%d]", topic, partition);
        return bus_kafka_fail(error, status, what, NULL);
    }
    *out_offset = offset;
    return TRUE;
}

static gboolean kafka_bounds(PstBus *bus, const char *topic, gint32 partition, gint64 *out_first,
                             gint64 *out_end, GError **error)
{
    BusKafka *self = bus_kafka(bus);
    rd_kafka_t *client = self->consumer != NULL ? self->consumer : bus_kafka_producer(self, error);
    gint64 first = 0, end = 0;
    if (client == NULL ||
        !ask_offset(bus, client, topic, partition, RD_KAFKA_OFFSET_BEGINNING, &first, error) ||
        !ask_offset(bus, client, topic, partition, RD_KAFKA_OFFSET_END, &end, error))
        return FALSE;
    *out_first = first;
    *out_end = end;
    return TRUE;
}

/* --- the bus ------------------------------------------------------------------------------- */

static char *kafka_identity(PstBus *bus, GError **error)
{
    BusKafka *self = bus_kafka(bus);
    rd_kafka_t *client = bus_kafka_producer(self, error);
    if (client == NULL)
        return NULL;
    char *id = rd_kafka_clusterid(client, ANSWER_MS);
    if (id == NULL) {
        bus_kafka_fail(error, RD_KAFKA_RESP_ERR__TIMED_OUT, "ask for the cluster's name", NULL);
        return NULL;
    }
    char *identity = g_strdup_printf("kafka %s", id);
    rd_kafka_mem_free(client, id);
    return identity;
}

static char *kafka_trouble(PstBus *bus)
{
    return g_strdup(bus_kafka(bus)->trouble);
}

static void kafka_close(PstBus *bus)
{
    BusKafka *self = bus_kafka(bus);
    bus_kafka_consumer_close(self);
    bus_kafka_producer_close(self);
    g_mutex_clear(&self->log_lock);
    g_strfreev(self->topics);
    g_free(self->trouble);
    g_free(self->brokers);
    g_free(self->client_id);
    g_free(self->extra);
    g_free(self);
}

static const PstBusBackend backend = {
    .close = kafka_close,
    .ensure_topic = kafka_ensure_topic,
    .publish = bus_kafka_publish,
    .service = bus_kafka_service,
    .give_up = bus_kafka_give_up,
    .trouble = kafka_trouble,
    .subscribe = bus_kafka_subscribe,
    .poll = bus_kafka_poll,
    .bounds = kafka_bounds,
    .commit = bus_kafka_commit,
    .identity = kafka_identity,
};

static gboolean check_brokers(const char *brokers, GError **error)
{
    g_auto(GStrv) each = g_strsplit(brokers, ",", -1);
    gboolean good = each[0] != NULL;
    for (gsize i = 0; each[i] != NULL; i++)
        good &= each[i][0] != '\0' && strpbrk(each[i], "/ \t") == NULL;
    if (!good)
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "bus kafka://%s: expected kafka://HOST[:PORT][,HOST[:PORT]…]", brokers);
    return good;
}

PstBus *pst_bus_kafka_open(const char *rest, const PstBusOptions *options, GError **error)
{
    if (!check_brokers(rest, error))
        return NULL;
    BusKafka *self = g_new0(BusKafka, 1);
    self->bus.backend = &backend;
    g_mutex_init(&self->log_lock);
    self->brokers = g_strdup(rest);
    self->client_id = g_strdup(options->client_id);
    self->extra = g_strdup(options->extra);
    self->queue_bytes = options->queue_bytes;
    self->delivery_timeout_ms = options->delivery_timeout_ms;
    self->bulk = options->bulk;
    /* Settings are checked now, brokers are met later. */
    if (bus_kafka_producer(self, error) != NULL)
        return &self->bus;
    kafka_close(&self->bus);
    return NULL;
}
