/* SPDX-License-Identifier: Apache-2.0 */
/* flowcat encode|decode|sample: flows between their forms, for tests and for looking.
 *   encode  JSON lines on stdin → a batch (delimited protobuf) on stdout
 *   decode  a batch on stdin → JSON lines on stdout; heartbeats as {"heartbeat":…}
 *   sample  a batch with a small flow, one with every field at its largest, and a heartbeat
 *   publish URI PARTITIONS PRODUCER EPOCH [COPIES]
 *           JSON lines on stdin → messages of 20 flows and a heartbeat on postern.smtp, by
 * partition of the source, each message COPIES times; sequences begin at 1
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "flow_builder.h"
#include "json.h"
#include "postern/bus.h"
#include "postern/unit.h"

enum { FLOWS_PER_MESSAGE = 20 };

static int encode(void)
{
    g_autofree char *line = NULL;
    size_t room = 0;
    guint number = 0;
    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
        PstFlow flow;
        guint8 out[PST_CODEC_FLOW_MAX];
        number++;
        if (!pst_codec_flow_from_json(line, (gsize)n, &flow)) {
            fprintf(stderr, "flowcat: line %u is no flow\n", number);
            return 1;
        }
        gsize size = pst_codec_put_flow(out, &flow);
        if (fwrite(out, 1, size, stdout) != size)
            return 1;
    }
    return 0;
}

static void print_beat(const PstHeartbeat *beat, GString *out)
{
    char sampler[PST_ADDR_TEXT_MAX];
    g_string_append(out, "{\"heartbeat\":");
    pst_json_append_string(out, pst_addr_format(&beat->sampler, sampler));
    const struct {
        const char *name;
        guint64 value;
    } numbers[] = {
        {"domain", beat->domain},
        {"newest_event_ns", (guint64)beat->newest_event_ns},
        {"received", beat->received},
        {"twice", beat->twice},
        {"datagrams", beat->datagrams},
        {"duplicates", beat->duplicates},
        {"lost_datagrams", beat->lost_datagrams},
        {"restarts", beat->restarts},
        {"ledger", beat->ledger},
        {"expected", beat->expected},
        {"expected_datagrams", beat->expected_datagrams},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        pst_json_append_name(out, numbers[i].name);
        pst_json_append_u64(out, numbers[i].value);
    }
    for (guint i = 0; i < PST_LOSS_COUNT; i++) {
        if (beat->lost[i] > 0) {
            pst_json_append_name(out, pst_loss_name((PstLoss)i));
            pst_json_append_u64(out, beat->lost[i]);
        }
    }
    g_string_append_c(out, '}');
}

static int decode(void)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    guint8 buffer[65536];
    for (gsize n; (n = fread(buffer, 1, sizeof buffer, stdin)) > 0;)
        g_byte_array_append(all, buffer, (guint)n);
    PstBatch batch = pst_batch(all->data, all->len);
    g_autoptr(GString) line = g_string_new(NULL);
    for (;;) {
        PstFlow flow;
        PstHeartbeat beat;
        PstCodecItem item = pst_batch_next(&batch, &flow, &beat);
        if (item == PST_CODEC_END)
            return 0;
        if (item == PST_CODEC_MALFORMED) {
            fprintf(stderr, "flowcat: the rest is malformed\n");
            return 1;
        }
        g_string_truncate(line, 0);
        if (item == PST_CODEC_FLOW)
            pst_codec_flow_json(&flow, line);
        else
            print_beat(&beat, line);
        puts(line->str);
    }
}

static int sample(void)
{
    guint8 out[3 * PST_CODEC_FLOW_MAX];
    PstFlow small =
        test_flow("192.0.2.1", "203.0.113.5", 25, G_GINT64_CONSTANT(1777638896000000001));
    PstFlow full = test_flow_full();
    PstHeartbeat beat = {.sampler = test_addr("198.51.100.254"),
                         .domain = 7,
                         .newest_event_ns = 3,
                         .received_ns = 4,
                         .ledger = 5,
                         .expected = 6,
                         .expected_datagrams = 7,
                         .sampling_rate = 8,
                         .clock_offset_ms = -9,
                         .version = 10};
    for (guint i = 0; i < PST_GROWTH_COUNT; i++)
        beat.growth[i] = 100 + i;
    gsize n = pst_codec_put_flow(out, &small);
    n += pst_codec_put_flow(out + n, &full);
    n += pst_codec_put_heartbeat(out + n, &beat);
    return fwrite(out, 1, n, stdout) == n ? 0 : 1;
}

/* The message in the making of one partition. */
typedef struct {
    GByteArray *data;
    guint flows;
    guint64 sequence;
    PstHeartbeat beat;
} Open;

typedef struct {
    PstBus *bus;
    PstBusStamp stamp;
    int copies;
    gint32 partitions;
    Open *open;
} Publisher;

static void on_delivered(gpointer user, gpointer cookie, const GError *error)
{
    if (error != NULL) {
        fprintf(stderr, "flowcat: %s\n", error->message);
        exit(1);
    }
}

static void must(gboolean ok, GError *error)
{
    if (!ok) {
        fprintf(stderr, "flowcat: %s\n", error->message);
        exit(1);
    }
}

static void send_message(Publisher *p, gint32 partition)
{
    Open *open = &p->open[partition];
    guint8 out[PST_CODEC_HEARTBEAT_MAX];
    if (open->flows == 0)
        return;
    gsize n = pst_codec_put_heartbeat(out, &open->beat);
    g_byte_array_append(open->data, out, (guint)n);
    p->stamp.sequence = ++open->sequence;
    for (int copy = 0; copy < p->copies; copy++) {
        GError *error = NULL;
        gboolean ok = pst_bus_publish(p->bus, PST_TOPIC_SMTP, partition, &p->stamp,
                                      open->data->data, open->data->len, NULL, &error);
        must(ok, error);
    }
    g_byte_array_set_size(open->data, 0);
    open->flows = 0;
}

static void add_flow(Publisher *p, const PstFlow *flow)
{
    guint8 out[PST_CODEC_FLOW_MAX];
    gint32 partition = (gint32)pst_partition_of(&flow->src_addr, (guint32)p->partitions);
    Open *open = &p->open[partition];
    gsize n = pst_codec_put_flow(out, flow);
    g_byte_array_append(open->data, out, (guint)n);
    open->beat.sampler = flow->sampler;
    open->beat.received_ns = flow->received_ns;
    open->beat.newest_event_ns = MAX(open->beat.newest_event_ns, pst_flow_event_ns(flow));
    if (++open->flows == FLOWS_PER_MESSAGE)
        send_message(p, partition);
}

static int publish(char **args, int copies)
{
    GError *error = NULL;
    PstBusOptions options = {.client_id = "flowcat", .delivered = on_delivered};
    Publisher p = {.copies = copies, .bus = pst_bus_open(args[0], &options, &error)};
    must(p.bus != NULL, error);
    gboolean ok = pst_bus_ensure_topic(p.bus, PST_TOPIC_SMTP, atoi(args[1]), &p.partitions, &error);
    must(ok, error);
    p.stamp.producer = args[2];
    p.stamp.epoch = g_ascii_strtoull(args[3], NULL, 10);
    p.open = g_new0(Open, p.partitions);
    for (gint32 i = 0; i < p.partitions; i++)
        p.open[i].data = g_byte_array_new();
    g_autofree char *line = NULL;
    size_t room = 0;
    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
        PstFlow flow;
        if (!pst_codec_flow_from_json(line, (gsize)n, &flow)) {
            fprintf(stderr, "flowcat: no flow: %s", line);
            return 1;
        }
        add_flow(&p, &flow);
    }
    for (gint32 i = 0; i < p.partitions; i++) {
        send_message(&p, i);
        g_byte_array_unref(p.open[i].data);
    }
    ok = pst_bus_flush(p.bus, 30000, &error);
    must(ok, error);
    pst_bus_close(p.bus);
    g_free(p.open);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 6 && argc <= 7 && strcmp(argv[1], "publish") == 0)
        return publish(argv + 2, argc == 7 ? atoi(argv[6]) : 1);
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "encode") == 0)
        return encode();
    if (strcmp(what, "decode") == 0)
        return decode();
    if (strcmp(what, "sample") == 0)
        return sample();
    fprintf(stderr, "usage: flowcat encode|decode|sample < IN > OUT\n"
                    "       flowcat publish URI PARTITIONS PRODUCER EPOCH [COPIES] < IN\n");
    return 2;
}
