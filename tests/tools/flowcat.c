/* SPDX-License-Identifier: Apache-2.0 */
/* flowcat encode|decode|sample: flows between their forms, for tests and for looking.
 *   encode  JSON lines on stdin → a batch (delimited protobuf) on stdout
 *   decode  a batch on stdin → JSON lines on stdout; heartbeats as {"heartbeat":…}
 *   sample  a batch with a small flow, one with every field at its largest, and a heartbeat
 */
#include <stdio.h>
#include <string.h>

#include "../unit/flow_builder.h"
#include "codec.h"
#include "json.h"

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
        fwrite(out, 1, pst_codec_put_flow(out, &flow), stdout);
    }
    return 0;
}

static void print_beat(const PstHeartbeat *beat, GString *out)
{
    char sampler[PST_ADDR_TEXT_MAX];
    g_string_append(out, "{\"heartbeat\":");
    pst_json_append_string(out, pst_addr_format(&beat->sampler, sampler));
    pst_json_append_name(out, "newest_event_ns");
    pst_json_append_i64(out, beat->newest_event_ns);
    pst_json_append_name(out, "received");
    pst_json_append_u64(out, beat->received);
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
                         .received = 5};
    for (guint i = 0; i < PST_LOSS_COUNT; i++)
        beat.lost[i] = 100 + i;
    gsize n = pst_codec_put_flow(out, &small);
    n += pst_codec_put_flow(out + n, &full);
    n += pst_codec_put_heartbeat(out + n, &beat);
    return fwrite(out, 1, n, stdout) == n ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "encode") == 0)
        return encode();
    if (strcmp(what, "decode") == 0)
        return decode();
    if (strcmp(what, "sample") == 0)
        return sample();
    fprintf(stderr, "usage: flowcat encode|decode|sample < IN > OUT\n");
    return 2;
}
