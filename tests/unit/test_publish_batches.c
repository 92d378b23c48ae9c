/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib/gstdio.h>

#include "codec.h"
#include "flow_builder.h"
#include "publish.h"

enum { PARTITIONS = 4 };
#define EPOCH 77

/* A publisher onto an embedded bus in a folder of its own. */
typedef struct {
    char *folder;
    char *uri;
    Publisher *publisher;
    Ledger *ledger;
} Desk;

static void desk_open(Desk *desk, gboolean all)
{
    g_autoptr(GError) error = NULL;
    desk->folder = g_dir_make_tmp("postern-publish-XXXXXX", NULL);
    desk->uri = g_strdup_printf("embedded:%s/bus.db", desk->folder);
    PstAddr exporter = test_addr("192.0.2.1");
    desk->ledger = ledger_new(&exporter, 0);
    desk->publisher = publisher_open(&(PublisherOptions){.output = desk->uri,
                                                         .all = all,
                                                         .partitions = PARTITIONS,
                                                         .batch_bytes = 1024,
                                                         .batch_ms = 200,
                                                         .queue_bytes = 1 << 20,
                                                         .producer = "test",
                                                         .epoch = EPOCH,
                                                         .delivery_timeout_ms = 10000},
                                     &error);
    cr_assert_null(error, "%s", error->message);
}

static void desk_clear(Desk *desk)
{
    publisher_close(desk->publisher);
    ledger_unref(desk->ledger);
    g_autoptr(GDir) dir = g_dir_open(desk->folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename(desk->folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(desk->folder);
    g_free(desk->folder);
    g_free(desk->uri);
}

static void put(Desk *desk, const char *customer, gboolean smtp)
{
    PstFlow flow = test_flow(customer, "203.0.113.5", smtp ? 25 : 80, 1790000000000000000);
    publisher_flow(desk->publisher, &flow, &flow.src_addr, smtp, desk->ledger);
}

static void flush(Desk *desk)
{
    g_autoptr(GError) error = NULL;
    gboolean done = publisher_flush(desk->publisher, 10000, &error);
    cr_assert(done, "%s", error != NULL ? error->message : "");
}

/* What stands in one partition of a topic. */
typedef struct {
    guint messages, flows, heartbeats, with_growth;
    gboolean flow_after_heartbeat;
} Found;

typedef struct {
    Found of[PARTITIONS];
} Log;

static gboolean from_the_start(gpointer user, const char *topic, gint32 partition,
                               gint64 *out_position)
{
    *out_position = PST_BUS_OLDEST;
    return TRUE;
}

static void let_go(gpointer user, const char *topic, gint32 partition)
{
}

static void note_message(Found *found, const PstBusMessage *message)
{
    found->messages++;
    cr_assert_eq(message->stamp.sequence, found->messages);
    cr_assert_eq(message->stamp.epoch, EPOCH);
    cr_assert_str_eq(message->stamp.producer, "test");
    PstBatch batch = pst_batch(message->data, message->len);
    for (;;) {
        PstFlow flow;
        PstHeartbeat beat;
        PstCodecItem item = pst_batch_next(&batch, &flow, &beat);
        cr_assert_neq(item, PST_CODEC_MALFORMED);
        if (item == PST_CODEC_END)
            return;
        if (item == PST_CODEC_FLOW) {
            found->flows++;
            found->flow_after_heartbeat |= found->heartbeats > 0;
            cr_assert_eq(pst_partition_of(&flow.src_addr, PARTITIONS), (guint)message->partition);
        } else {
            found->heartbeats++;
            found->with_growth += beat.received > 0;
        }
    }
}

static Log read_log(const Desk *desk, const char *topic)
{
    Log log = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(PstBus) bus = pst_bus_open(desk->uri, NULL, &error);
    const char *topics[] = {topic, NULL};
    PstBusAssignment assignment = {.assigned = from_the_start, .revoked = let_go};
    cr_assert(pst_bus_subscribe(bus, "test", topics, &assignment, &error));
    PstBusMessage messages[16];
    for (gssize n; (n = pst_bus_poll(bus, 100, messages, 16, &error)) > 0;) {
        for (gssize i = 0; i < n; i++)
            note_message(&log.of[messages[i].partition], &messages[i]);
    }
    return log;
}

static guint flows_in(const Log *log)
{
    guint n = 0;
    for (guint i = 0; i < PARTITIONS; i++)
        n += log->of[i].flows;
    return n;
}

Test(publish, flows_go_to_the_partition_of_their_customer_in_numbered_batches)
{
    Desk desk;
    desk_open(&desk, FALSE);
    for (guint i = 0; i < 400; i++) {
        char customer[PST_ADDR_TEXT_MAX];
        PstAddr addr = pst_addr_v4(0xc6120000 + i * 256);
        put(&desk, pst_addr_format(&addr, customer), TRUE);
    }
    flush(&desk);
    Log log = read_log(&desk, PST_TOPIC_SMTP);
    cr_assert_eq(flows_in(&log), 400);
    for (guint i = 0; i < PARTITIONS; i++)
        cr_assert_gt(log.of[i].messages, 1);
    desk_clear(&desk);
}

Test(publish, heartbeat_stands_in_every_partition_after_the_flows_and_grows_in_one)
{
    Desk desk;
    desk_open(&desk, FALSE);
    put(&desk, "198.18.0.1", TRUE);
    PstHeartbeat beat = {.sampler = test_addr("192.0.2.1"), .received = 9, .newest_event_ns = 1};
    publisher_heartbeat(desk.publisher, &beat, NULL);
    flush(&desk);
    Log log = read_log(&desk, PST_TOPIC_SMTP);
    guint growing = 0;
    for (guint i = 0; i < PARTITIONS; i++) {
        cr_assert_eq(log.of[i].heartbeats, 1, "partition %u", i);
        cr_assert_not(log.of[i].flow_after_heartbeat);
        growing += log.of[i].with_growth;
    }
    cr_assert_eq(growing, 1);
    cr_assert_eq(log.of[pst_partition_of(&beat.sampler, PARTITIONS)].with_growth, 1);
    desk_clear(&desk);
}

Test(publish, all_writes_every_flow_and_mail_into_both_topics)
{
    Desk desk;
    desk_open(&desk, TRUE);
    put(&desk, "198.18.0.1", TRUE);
    put(&desk, "198.18.0.1", FALSE);
    flush(&desk);
    Log smtp = read_log(&desk, PST_TOPIC_SMTP);
    Log flows = read_log(&desk, PST_TOPIC_FLOWS);
    cr_assert_eq(flows_in(&smtp), 1);
    cr_assert_eq(flows_in(&flows), 2);
    desk_clear(&desk);
}

Test(publish, batch_is_sent_when_it_is_old_enough)
{
    Desk desk;
    desk_open(&desk, FALSE);
    g_autoptr(GError) error = NULL;
    PstMono start = pst_mono_now();
    cr_assert(publisher_tick(desk.publisher, start, &error));
    put(&desk, "198.18.0.1", TRUE);
    cr_assert(publisher_tick(desk.publisher, pst_mono_add(start, pst_span_ms(199)), &error));
    cr_assert_eq(publisher_counts(desk.publisher)->outlet.batches, 0);
    cr_assert(publisher_tick(desk.publisher, pst_mono_add(start, pst_span_ms(200)), &error));
    cr_assert_eq(publisher_counts(desk.publisher)->outlet.batches, 1);
    desk_clear(&desk);
}

static Publisher *open_other(const Desk *desk)
{
    g_autoptr(GError) error = NULL;
    Publisher *other = publisher_open(&(PublisherOptions){.output = desk->uri,
                                                          .partitions = PARTITIONS + 1,
                                                          .batch_bytes = 1024,
                                                          .queue_bytes = 1 << 20,
                                                          .producer = "other"},
                                      &error);
    cr_assert_not_null(other);
    return other;
}

Test(publish, partitions_that_the_topic_has_are_used)
{
    Desk desk;
    desk_open(&desk, FALSE);
    flush(&desk);
    g_autoptr(GError) error = NULL;
    Publisher *other = open_other(&desk);
    cr_assert(publisher_tick(other, pst_mono_now(), &error));
    PstHeartbeat beat = {.sampler = test_addr("192.0.2.1"), .newest_event_ns = 1};
    publisher_heartbeat(other, &beat, NULL);
    cr_assert(publisher_flush(other, 10000, &error));
    cr_assert_eq(publisher_counts(other)->outlet.batches, PARTITIONS);
    publisher_close(other);
    desk_clear(&desk);
}

Test(publish, another_partition_count_is_refused_once_batches_were_made)
{
    Desk desk;
    desk_open(&desk, FALSE);
    flush(&desk);
    g_autoptr(GError) error = NULL;
    Publisher *other = open_other(&desk);
    PstHeartbeat beat = {.sampler = test_addr("192.0.2.1"), .newest_event_ns = 1};
    publisher_heartbeat(other, &beat, NULL);
    cr_assert_not(publisher_tick(other, pst_mono_now(), &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE));
    cr_assert(strstr(error->message, "partitions = 4") != NULL, "%s", error->message);
    publisher_close(other);
    desk_clear(&desk);
}

/* Nobody answers on port 1: batches wait up to the bound, then the oldest goes and is charged. */
Test(publish, away_bus_costs_the_oldest_batches_and_counts_their_records)
{
    g_autoptr(GError) error = NULL;
    PstAddr exporter = test_addr("192.0.2.1");
    Ledger *ledger = ledger_new(&exporter, 0);
    Publisher *publisher = publisher_open(&(PublisherOptions){.output = "kafka://127.0.0.1:1",
                                                              .partitions = PARTITIONS,
                                                              .batch_bytes = 1024,
                                                              .batch_ms = 200,
                                                              .queue_bytes = 8192,
                                                              .producer = "test",
                                                              .epoch = EPOCH},
                                          &error);
    cr_assert_null(error);
    for (guint i = 0; i < 1000; i++) {
        PstFlow flow = test_flow("198.18.0.1", "203.0.113.5", 25, 1790000000000000000);
        publisher_flow(publisher, &flow, &flow.src_addr, TRUE, ledger);
    }
    cr_assert(publisher_tick(publisher, pst_mono_add(pst_mono_now(), pst_span_ms(300)), &error));
    const OutletCounts *counts = &publisher_counts(publisher)->outlet;
    cr_assert_leq(counts->queue_bytes, 8192);
    cr_assert_gt(counts->queue_dropped, 0);
    cr_assert(ledger_has_news(ledger));
    guint64 waiting = 1000 - ledger->lost[PST_LOSS_QUEUE];
    cr_assert_gt(waiting, 0);
    cr_assert_lt(waiting, 1000);
    g_autoptr(GString) reasons = g_string_new(NULL);
    cr_assert_not(publisher_ready(publisher, reasons));
    publisher_close(publisher);
    ledger_unref(ledger);
}
