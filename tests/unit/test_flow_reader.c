/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "flow_builder.h"
#include "flow_reader.h"

static char *path;

static void setup(void)
{
    path = NULL;
    close(g_file_open_tmp("flows-XXXXXX", &path, NULL));
}

static void teardown(void)
{
    g_unlink(path);
    g_free(path);
}

TestSuite(flow_reader, .init = setup, .fini = teardown);

typedef struct {
    guint flows, beats, refused;
    guint64 packets;
} Counts;

static Counts read_all(const void *data, gsize len)
{
    cr_assert(g_file_set_contents(path, data, (gssize)len, NULL));
    g_autoptr(FlowReader) reader = flow_reader_open(path, NULL, NULL);
    cr_assert_not_null(reader);
    Counts counts = {0};
    for (;;) {
        PstFlow flow;
        PstHeartbeat beat;
        switch (flow_reader_next(reader, &flow, &beat, NULL)) {
        case FLOW_READ_FLOW:
            counts.flows++;
            counts.packets += flow.packets;
            break;
        case FLOW_READ_HEARTBEAT:
            counts.beats++;
            break;
        case FLOW_READ_REFUSED:
            counts.refused++;
            break;
        case FLOW_READ_END:
            return counts;
        case FLOW_READ_FAILED:
            cr_assert_fail("failed");
        }
    }
}

static Counts read_text(const char *text)
{
    return read_all(text, strlen(text));
}

#define LINE "{\"src_addr\":\"192.0.2.1\",\"dst_addr\":\"203.0.113.5\",\"packets\":3}"

Test(flow_reader, reads_lines_with_and_without_an_end)
{
    Counts counts = read_text("\n " LINE "\r\n\n" LINE);
    cr_assert_eq(counts.flows, 2);
    cr_assert_eq(counts.packets, 6);
    cr_assert_eq(counts.refused, 0);
    cr_assert_eq(read_text("").flows, 0);
}

/* As goflow2 2.2.6 printed it with two workers: the newlines come together. */
Test(flow_reader, reads_two_objects_on_a_line)
{
    Counts counts = read_text(LINE "\n" LINE LINE "\n\n" LINE LINE);
    cr_assert_eq(counts.flows, 5);
    cr_assert_eq(counts.refused, 0);
    counts = read_text(LINE "{\"torn\n" LINE " junk\n");
    cr_assert_eq(counts.flows, 1);
    cr_assert_eq(counts.refused, 2);
}

/* As goflow2 -format bin writes a file. */
Test(flow_reader, reads_messages_with_line_ends_between)
{
    guint8 bytes[4 * PST_CODEC_FLOW_MAX];
    gsize at = 0;
    for (guint i = 0; i < 3; i++) {
        PstFlow flow = test_flow("192.0.2.1", "203.0.113.5", 25, 1);
        at += pst_codec_put_flow(bytes + at, &flow);
        for (guint ends = i == 0 ? 0 : i == 1 ? 2 : 1; ends > 0; ends--)
            bytes[at++] = '\n';
    }
    Counts counts = read_all(bytes, at);
    cr_assert_eq(counts.flows, 3);
    cr_assert_eq(counts.refused, 0);
}

Test(flow_reader, goes_on_after_a_line_that_is_no_flow)
{
    Counts counts = read_text(LINE "\nnonsense\n{}\n" LINE "\n");
    cr_assert_eq(counts.flows, 2);
    cr_assert_eq(counts.refused, 2);
}

Test(flow_reader, knows_the_line_that_it_read_last)
{
    const char *text = LINE "\n" LINE LINE "\n\n" LINE " \nnonsense\n" LINE;
    static const guint lines[] = {1, 2, 2, 4, 5, 6};
    cr_assert(g_file_set_contents(path, text, -1, NULL));
    g_autoptr(FlowReader) reader = flow_reader_open(path, NULL, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
        PstFlow flow;
        PstHeartbeat beat;
        cr_assert_eq(flow_reader_next(reader, &flow, &beat, NULL),
                     lines[i] == 5 ? FLOW_READ_REFUSED : FLOW_READ_FLOW);
        cr_assert_eq(flow_reader_line(reader), lines[i]);
    }
}

Test(flow_reader, refuses_one_line_longer_than_its_window_and_goes_on)
{
    g_autoptr(GString) text = g_string_new(LINE "\n");
    for (guint i = 0; i < 600 * 1024; i++)
        g_string_append_c(text, 'x');
    g_string_append(text, "\n" LINE "\n");
    Counts counts = read_all(text->str, text->len);
    cr_assert_eq(counts.flows, 2);
    cr_assert_eq(counts.refused, 1);
}

/* @n flows and a heartbeat, many windows long. */
static GByteArray *batch_of(guint n)
{
    GByteArray *out = g_byte_array_new();
    guint8 bytes[PST_CODEC_FLOW_MAX];
    PstFlow flow =
        test_flow("192.0.2.1", "203.0.113.5", 25, G_GINT64_CONSTANT(1777638896000000000));
    PstHeartbeat beat = {.domain = 1};
    for (guint i = 0; i < n; i++) {
        flow.src_port = (guint16)i;
        flow.packets = 1;
        g_byte_array_append(out, bytes, (guint)pst_codec_put_flow(bytes, &flow));
    }
    g_byte_array_append(out, bytes, (guint)pst_codec_put_heartbeat(bytes, &beat));
    return out;
}

Test(flow_reader, reads_batches_across_its_window)
{
    g_autoptr(GByteArray) data = batch_of(10000);
    Counts counts = read_all(data->data, data->len);
    cr_assert_eq(counts.flows, 10000);
    cr_assert_eq(counts.packets, 10000);
    cr_assert_eq(counts.beats, 1);
    cr_assert_eq(counts.refused, 0);
}

Test(flow_reader, refuses_a_batch_that_breaks_off_once)
{
    g_autoptr(GByteArray) data = batch_of(5);
    Counts counts = read_all(data->data, data->len - 1);
    cr_assert_eq(counts.flows, 5);
    cr_assert_eq(counts.refused, 1);
    counts = read_all("\xff\xff\xff\xff\xff", 5);
    cr_assert_eq(counts.refused, 1);
}

Test(flow_reader, a_batch_that_begins_like_json_is_a_batch)
{
    PstFlow flow =
        test_flow("192.0.2.1", "203.0.113.5", 25, G_GINT64_CONSTANT(1777638896000000000));
    guint8 bytes[PST_CODEC_FLOW_MAX];
    gsize n = 0;
    flow.next_hop = test_addr("2001:db8::1");
    for (guint bits = 0; bits < 128 && n != 1 + '{'; bits++) { /* longer and longer */
        flow.reverse_bytes = G_GUINT64_CONSTANT(1) << MIN(bits, 63);
        flow.reverse_packets = bits > 63 ? G_GUINT64_CONSTANT(1) << (bits - 64) : 0;
        n = pst_codec_put_flow(bytes, &flow);
    }
    cr_assert_eq(bytes[0], '{', "%zu", n);
    cr_assert_eq(read_all(bytes, n).flows, 1);
}

Test(flow_reader, what_is_of_another_kind_is_named_with_a_way_to_read_it)
{
    static const struct {
        const char *bytes;
        gsize len;
        const char *way;
    } kinds[] = {
        {"\xd4\xc3\xb2\xa1\x02\0\x04\0", 8, "a capture"},
        {"\x0a\x0d\x0d\x0a", 4, "a capture"},
        {"\x1f\x8b\x08", 3, "gzip"},
        {"\0\x0a\0\x10", 4, "IPFIX"},
        {"\x0c\xa5\x02", 3, "flows2json nfcapd"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        cr_assert(g_file_set_contents(path, kinds[i].bytes, (gssize)kinds[i].len, NULL));
        g_autoptr(GError) error = NULL;
        cr_assert_null(flow_reader_open(path, NULL, &error));
        cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_DATA));
        cr_assert_not_null(strstr(error->message, kinds[i].way), "%s", error->message);
    }
}

Test(flow_reader, a_file_that_is_not_there_is_named)
{
    g_autoptr(GError) error = NULL;
    cr_assert_null(flow_reader_open("/nonexistent/flows", NULL, &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE));
    cr_assert_not_null(strstr(error->message, "/nonexistent/flows"));
}
