/* SPDX-License-Identifier: Apache-2.0 */
/* The Kafka backend against librdkafka's mock cluster: what a real broker cannot be made to do. */
#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <string.h>

#include "bus_kafka.h"

typedef struct {
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *cluster;
    PstBus *bus;
    guint delivered;
    guint failed;
} Mock;

static void on_delivered(gpointer user, gpointer cookie, const GError *error)
{
    Mock *mock = user;
    if (error == NULL)
        mock->delivered++;
    else
        mock->failed++;
}

static void mock_open(Mock *mock)
{
    char text[200];
    g_autoptr(GError) error = NULL;
    mock->host = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
    mock->cluster = rd_kafka_mock_cluster_new(mock->host, 1);
    rd_kafka_mock_topic_create(mock->cluster, "t", 2, 1);
    g_autofree char *uri =
        g_strconcat("kafka://", rd_kafka_mock_cluster_bootstraps(mock->cluster), NULL);
    PstBusOptions options = {.delivered = on_delivered,
                             .user = mock,
                             .delivery_timeout_ms = 10000,
                             .extra = "retry.backoff.ms=20; reconnect.backoff.max.ms=100"};
    mock->bus = pst_bus_open(uri, &options, &error);
    cr_assert_null(error, "%s", error->message);
    cr_assert(pst_bus_ensure_topic(mock->bus, "t", 2, NULL, &error));
}

static void mock_close(Mock *mock)
{
    pst_bus_close(mock->bus);
    rd_kafka_mock_cluster_destroy(mock->cluster);
    rd_kafka_destroy(mock->host);
}

static void publish(Mock *mock, guint64 sequence)
{
    PstBusStamp stamp = {"a.b.c", 3, sequence};
    cr_assert(pst_bus_publish(mock->bus, "t", 0, &stamp, (const guint8 *)"data", 4, NULL, NULL));
}

static gboolean from_oldest(gpointer user, const char *topic, gint32 partition, gint64 *out)
{
    *out = PST_BUS_OLDEST;
    return TRUE;
}

static void on_revoked(gpointer user, const char *topic, gint32 partition)
{
}

/* A message's stamp, kept longer than the message. */
typedef struct {
    char producer[PST_BUS_PRODUCER_MAX + 1];
    guint64 epoch;
    guint64 sequence;
} Stamp;

/* Reads @n messages of "t"; a poll may bring fewer than it could. */
static void read_back(Mock *mock, Stamp *out, gsize n)
{
    const char *const topics[] = {"t", NULL};
    PstBusAssignment assignment = {from_oldest, on_revoked, NULL};
    PstBusMessage some[8];
    gsize got = 0;
    cr_assert(pst_bus_subscribe(mock->bus, "g", topics, &assignment, NULL));
    for (int i = 0; i < 300 && got < n; i++) {
        gssize more = pst_bus_poll(mock->bus, 100, some, MIN(n - got, G_N_ELEMENTS(some)), NULL);
        for (gssize m = 0; m < more; m++, got++) {
            g_strlcpy(out[got].producer, some[m].stamp.producer, sizeof out[got].producer);
            out[got].epoch = some[m].stamp.epoch;
            out[got].sequence = some[m].stamp.sequence;
        }
    }
    cr_assert_eq(got, n);
}

Test(bus_kafka, stamp_with_dots_in_its_name_comes_back, .timeout = 60)
{
    Mock mock = {0};
    Stamp out[1];
    mock_open(&mock);
    publish(&mock, G_MAXUINT64);
    cr_assert(pst_bus_flush(mock.bus, 20000, NULL));
    read_back(&mock, out, 1);
    cr_assert_str_eq(out[0].producer, "a.b.c");
    cr_assert_eq(out[0].epoch, 3);
    cr_assert_eq(out[0].sequence, G_MAXUINT64);
    mock_close(&mock);
}

Test(bus_kafka, header_of_somebody_else_is_no_stamp, .timeout = 60)
{
    static const char *const wrong[] = {"",    "1",    "1.2",   "x.2.name",
                                        "1.x", "1..n", "-.-.-", ".1.name"};
    Mock mock = {0};
    Stamp out[G_N_ELEMENTS(wrong)];
    mock_open(&mock);
    rd_kafka_t *producer = bus_kafka_producer(bus_kafka(mock.bus), NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("t"), RD_KAFKA_V_PARTITION(0),
                          RD_KAFKA_V_VALUE((void *)(gsize) "x", 1),
                          RD_KAFKA_V_HEADER(BUS_KAFKA_STAMP, wrong[i], -1), RD_KAFKA_V_END);
    bus_kafka(mock.bus)->undelivered += G_N_ELEMENTS(wrong);
    cr_assert(pst_bus_flush(mock.bus, 20000, NULL));
    read_back(&mock, out, G_N_ELEMENTS(wrong));
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        cr_assert_str_eq(out[i].producer, "", "%s", wrong[i]);
    mock_close(&mock);
}

Test(bus_kafka, broker_that_refuses_for_a_while_gets_every_message_once, .timeout = 60)
{
    Mock mock = {0};
    Stamp out[20];
    mock_open(&mock);
    rd_kafka_mock_push_request_errors(
        mock.cluster, 0 /* Produce */, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
    for (guint64 i = 1; i <= 20; i++)
        publish(&mock, i);
    cr_assert(pst_bus_flush(mock.bus, 20000, NULL));
    cr_assert_eq(mock.delivered, 20);
    read_back(&mock, out, 20);
    for (guint64 i = 0; i < 20; i++)
        cr_assert_eq(out[i].sequence, i + 1);
    mock_close(&mock);
}

Test(bus_kafka, producer_is_made_anew_after_a_fatal_error, .timeout = 60)
{
    Mock mock = {0};
    mock_open(&mock);
    publish(&mock, 1);
    cr_assert(pst_bus_flush(mock.bus, 20000, NULL));
    rd_kafka_test_fatal_error(bus_kafka_producer(bus_kafka(mock.bus), NULL),
                              RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "for a test");
    for (int i = 0; i < 100 && !bus_kafka(mock.bus)->fatal; i++)
        rd_kafka_poll(bus_kafka(mock.bus)->producer, 50);
    cr_assert(bus_kafka(mock.bus)->fatal);
    publish(&mock, 2);
    cr_assert(pst_bus_flush(mock.bus, 20000, NULL));
    cr_assert_eq(mock.delivered, 2);
    cr_assert_eq(mock.failed, 0);
    mock_close(&mock);
}
