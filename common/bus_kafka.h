/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the Kafka backend share. Only bus_kafka*.c include this.
 * Thread: the owner's of the bus; librdkafka's own threads call nothing of ours but the log.
 */
#include <librdkafka/rdkafka.h>

#include "bus_backend.h"
#include "log.h"

typedef struct {
    PstBus bus;
    char *brokers;
    char *client_id;
    char *extra;
    guint64 queue_bytes;
    gint64 delivery_timeout_ms;
    gboolean bulk;
    char *trouble;  /* the last error of a connection, in words */
    gboolean fatal; /* the producer can do no more: it is made anew when its last report is in */

    GMutex log_lock; /* guards log_limit: librdkafka logs from threads of its own */
    PstLogLimit log_limit;

    rd_kafka_t *producer;
    guint undelivered;
    guint64 undelivered_bytes;

    rd_kafka_t *consumer; /* NULL: not subscribed */
    gboolean away;        /* it has lost every broker, and none has answered since */
    PstBusAssignment assignment;
    char **topics;                            /* of the subscription */
    rd_kafka_topic_partition_list_t *commits; /* not sent yet */
    gint64 next_commit_ns;
    GPtrArray *messages; /* rd_kafka_message_t of the last poll */
    GHashTable *names;   /* topic names, interned: messages borrow them */
    PstBusMessage *out;  /* during a poll */
    gsize n_out;
    PstLogLimit poll_limit;
    gboolean rebalanced; /* during a poll: stop collecting */
} BusKafka;

static inline BusKafka *bus_kafka(PstBus *bus)
{
    return (BusKafka *)bus;
}

typedef struct {
    const char *name;
    const char *value;
} BusKafkaSetting;

/* The name of the one header of a message: "EPOCH.SEQUENCE.PRODUCER", decimal. */
#define BUS_KAFKA_STAMP "postern-stamp"

gboolean bus_kafka_fail(GError **error, rd_kafka_resp_err_t status, const char *what,
                        const char *detail);
/* Settings common to both clients, then @settings, then the operator's. NULL on failure. */
rd_kafka_conf_t *bus_kafka_conf(BusKafka *self, const BusKafkaSetting *settings, GError **error);
/* @conf is taken; NULL gives NULL. */
rd_kafka_t *bus_kafka_client_take(rd_kafka_type_t type, rd_kafka_conf_t *conf, GError **error);

/* The producer, made if need be. Borrowed. */
rd_kafka_t *bus_kafka_producer(BusKafka *self, GError **error);
void bus_kafka_producer_close(BusKafka *self);
gboolean bus_kafka_publish(PstBus *bus, const PstBusTopic *topic, gint32 partition,
                           const PstBusStamp *stamp, guint8 *data_take, gsize len, gpointer cookie,
                           GError **error);
guint bus_kafka_service(PstBus *bus, int timeout_ms);
void bus_kafka_give_up(PstBus *bus);

gboolean bus_kafka_subscribe(PstBus *bus, const char *group, const char *const *topics,
                             const PstBusAssignment *assignment, GError **error);
gssize bus_kafka_poll(PstBus *bus, int timeout_ms, PstBusMessage *out, gsize max, GError **error);
void bus_kafka_commit(PstBus *bus, const char *topic, gint32 partition, gint64 position);
void bus_kafka_consumer_close(BusKafka *self);
