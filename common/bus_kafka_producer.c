/* SPDX-License-Identifier: Apache-2.0 */
/* The producer: idempotent (no message twice, none out of order, while it lives), acknowledged by
 * all in-sync replicas, every message with a delivery report. */
#include "bus_kafka.h"
#include "clock.h"

enum { MESSAGES_MAX = 1000000 };

/* A message's own bytes plus what header and bookkeeping take, for the bound of the queue. */
enum { MESSAGE_OVERHEAD = 512 };

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    BusKafka *self = opaque;
    g_autoptr(GError) error = NULL;
    self->undelivered--;
    self->undelivered_bytes -= message->len + MESSAGE_OVERHEAD;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        g_clear_pointer(&self->trouble, g_free);
    else
        bus_kafka_fail(&error, message->err, "deliver a message", self->trouble);
    pst_bus_report(&self->bus, message->_private, message->payload, message->len, error);
}

static rd_kafka_t *make_producer(BusKafka *self, GError **error)
{
    g_autofree char *timeout = g_strdup_printf("%" G_GINT64_FORMAT, self->delivery_timeout_ms);
    /* Ours is the bound that counts; librdkafka's is a little wider. */
    g_autofree char *queue_kib = g_strdup_printf(
        "%" G_GUINT64_FORMAT, MIN(self->queue_bytes / 1024 + 4096, G_GUINT64_CONSTANT(2000000)));
    g_autofree char *queue_messages = g_strdup_printf("%d", MESSAGES_MAX);
    const BusKafkaSetting settings[] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        /* Measured: lz4 costs half of all that a flow costs, and a request for each batch a tenth.
         */
        {"compression.type", self->bulk ? "none" : "lz4"},
        {"linger.ms", self->bulk ? "50" : "5"},
        {"message.timeout.ms", timeout},
        {"queue.buffering.max.kbytes", queue_kib},
        {"queue.buffering.max.messages", queue_messages},
        {NULL, NULL},
    };
    rd_kafka_conf_t *conf = bus_kafka_conf(self, settings, error);
    if (conf != NULL)
        rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    return bus_kafka_client_take(RD_KAFKA_PRODUCER, conf, error);
}

rd_kafka_t *bus_kafka_producer(BusKafka *self, GError **error)
{
    /* After a fatal error every message fails; with the last of them out we can start anew. */
    if (self->fatal && self->undelivered == 0) {
        g_clear_pointer(&self->producer, rd_kafka_destroy);
        self->fatal = FALSE;
    }
    if (self->producer == NULL)
        self->producer = make_producer(self, error);
    return self->producer;
}

void bus_kafka_producer_close(BusKafka *self)
{
    if (self->producer == NULL)
        return;
    rd_kafka_purge(self->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    g_clear_pointer(&self->producer, rd_kafka_destroy);
}

static rd_kafka_headers_t *make_headers(const PstBusStamp *stamp)
{
    if (stamp->producer[0] == '\0')
        return NULL;
    char text[PST_BUS_PRODUCER_MAX + 64];
    int len = g_snprintf(text, sizeof text, "%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT ".%s",
                         stamp->epoch, stamp->sequence, stamp->producer);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    rd_kafka_header_add(headers, BUS_KAFKA_STAMP, -1, text, len);
    return headers;
}

/* librdkafka frees @data when the message is delivered or given up: with free(), which is g_free().
 */
static rd_kafka_resp_err_t produce(rd_kafka_t *client, const char *topic, gint32 partition,
                                   const PstBusStamp *stamp, guint8 *data_take, gsize len,
                                   gpointer cookie)
{
    rd_kafka_headers_t *headers = make_headers(stamp);
    rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = data_take, .size = len}},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_FREE},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = cookie},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers}, /* last: there may be none */
    };
    gsize n = G_N_ELEMENTS(parts) - (headers == NULL);
    rd_kafka_error_t *error = rd_kafka_produceva(client, parts, n);
    if (error == NULL)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t status = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (headers != NULL)
        rd_kafka_headers_destroy(headers); /* taken only on success */
    return status;
}

gboolean bus_kafka_publish(PstBus *bus, const PstBusTopic *topic, gint32 partition,
                           const PstBusStamp *stamp, guint8 *data_take, gsize len, gpointer cookie,
                           GError **error)
{
    BusKafka *self = bus_kafka(bus);
    rd_kafka_t *client = bus_kafka_producer(self, error);
    if (client == NULL)
        return FALSE;
    rd_kafka_poll(client, 0);
    guint64 cost = len + MESSAGE_OVERHEAD;
    if (self->undelivered > 0 && self->undelivered_bytes + cost > self->queue_bytes)
        return bus_kafka_fail(error, RD_KAFKA_RESP_ERR__QUEUE_FULL, "queue a message",
                              self->trouble);
    rd_kafka_resp_err_t status =
        self->fatal ? RD_KAFKA_RESP_ERR__QUEUE_FULL /* until the last report is in */
                    : produce(client, topic->name, partition, stamp, data_take, len, cookie);
    if (status != RD_KAFKA_RESP_ERR_NO_ERROR)
        return bus_kafka_fail(error, status, "queue a message", self->trouble);
    self->undelivered++;
    self->undelivered_bytes += cost;
    return TRUE;
}

guint bus_kafka_service(PstBus *bus, int timeout_ms)
{
    BusKafka *self = bus_kafka(bus);
    if (self->producer == NULL)
        return 0;
    guint before = self->undelivered;
    PstMono end = pst_mono_add(pst_mono_now(), pst_span_ms(timeout_ms));
    rd_kafka_poll(self->producer, 0);
    /* An error callback also ends a poll; only a report is news here. */
    while (self->undelivered > 0 && self->undelivered == before) {
        gint64 rest_ms = pst_mono_since(end, pst_mono_now()).ns / PST_NS_PER_MS;
        if (rest_ms <= 0)
            break;
        rd_kafka_poll(self->producer, (int)rest_ms);
    }
    return self->undelivered;
}

/* What was on its way may have arrived, so this client's numbering is broken: the next message gets
 * a new one. */
void bus_kafka_give_up(PstBus *bus)
{
    BusKafka *self = bus_kafka(bus);
    if (self->producer == NULL || self->undelivered == 0)
        return;
    rd_kafka_purge(self->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    while (self->undelivered > 0 && rd_kafka_poll(self->producer, 1000) > 0)
        ;
    if (self->undelivered == 0) {
        g_clear_pointer(&self->producer, rd_kafka_destroy);
        self->fatal = FALSE;
    }
}
