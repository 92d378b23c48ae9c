/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "codec.h"
#include "flow_builder.h"
#include "json.h"
#include "varint.h"

#define T0 G_GINT64_CONSTANT(1777638896123456789)

static PstCodecItem decode(const guint8 *data, gsize len, PstFlow *flow, PstHeartbeat *beat)
{
    PstBatch batch = pst_batch(data, len);
    return pst_batch_next(&batch, flow, beat);
}

static char *json_of(const PstFlow *flow)
{
    GString *out = g_string_new(NULL);
    pst_codec_flow_json(flow, out);
    return g_string_free(out, FALSE);
}

/* JSON prints every field but has. */
static void assert_roundtrip(const PstFlow *flow)
{
    guint8 out[PST_CODEC_FLOW_MAX];
    PstFlow back;
    PstHeartbeat beat;
    gsize n = pst_codec_put_flow(out, flow);
    cr_assert_leq(n, sizeof out);
    cr_assert_eq(decode(out, n, &back, &beat), PST_CODEC_FLOW);
    cr_assert_eq(back.has, flow->has);
    g_autofree char *before = json_of(flow);
    g_autofree char *after = json_of(&back);
    cr_assert_str_eq(after, before);
}

Test(codec, flow_survives_the_bus)
{
    PstFlow small = {.sampling_rate = 1};
    assert_roundtrip(&small);
    PstFlow flow = test_flow("192.0.2.1", "203.0.113.5", 25, T0);
    assert_roundtrip(&flow);
    PstFlow full = test_flow_full();
    assert_roundtrip(&full);
}

/* One bit, all bits, and the neighbours of each power of two. */
Test(codec, numbers_without_a_loop_are_written_as_with_one)
{
    for (guint bit = 0; bit < 64; bit++) {
        guint64 power = G_GUINT64_CONSTANT(1) << bit;
        const guint64 values[] = {power - 1, power, power + 1, power | 0x2a, ~power, power * 3};
        for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
            guint8 loop[16], wide[16];
            gsize n = (gsize)(pst_put_varint(loop, values[i]) - loop);
            cr_assert_eq((gsize)(pst_put_varint_wide(wide, values[i]) - wide), n);
            cr_assert_arr_eq(wide, loop, n, "%" G_GINT64_MODIFIER "x", values[i]);
        }
    }
}

Test(codec, absent_and_zero_differ)
{
    PstFlow flow = test_flow("192.0.2.1", "203.0.113.5", 25, T0), back;
    PstHeartbeat beat;
    flow.packets = 0; /* and its bit is set */
    guint8 out[PST_CODEC_FLOW_MAX];
    gsize n = pst_codec_put_flow(out, &flow);
    cr_assert_eq(decode(out, n, &back, &beat), PST_CODEC_FLOW);
    cr_assert(back.has & PST_HAS_PACKETS);
    cr_assert_not(back.has & PST_HAS_SRC_AS);
}

Test(codec, largest_flow_fits_its_bound)
{
    PstFlow flow = test_flow_full();
    guint8 out[PST_CODEC_FLOW_MAX];
    gsize n = pst_codec_put_flow(out, &flow);
    cr_assert_leq(n + 16, (gsize)PST_CODEC_FLOW_MAX, "%zu: an address is written 16 bytes wide", n);
}

Test(codec, heartbeat_survives_the_bus)
{
    PstHeartbeat beat = {.sampler = test_addr("198.51.100.254"),
                         .domain = 7,
                         .newest_event_ns = T0,
                         .received_ns = T0 + 1,
                         .received = 1000};
    for (guint i = 0; i < PST_LOSS_COUNT; i++)
        beat.lost[i] = G_MAXUINT64 - i;
    guint8 out[PST_CODEC_HEARTBEAT_MAX];
    PstFlow flow;
    PstHeartbeat back;
    gsize n = pst_codec_put_heartbeat(out, &beat);
    cr_assert_leq(n, sizeof out);
    cr_assert_eq(decode(out, n, &flow, &back), PST_CODEC_HEARTBEAT);
    cr_assert(pst_addr_equal(&back.sampler, &beat.sampler));
    cr_assert_eq(back.domain, 7);
    cr_assert_eq(back.newest_event_ns, T0);
    cr_assert_eq(back.received_ns, T0 + 1);
    cr_assert_eq(back.received, 1000);
    cr_assert_eq(memcmp(back.lost, beat.lost, sizeof beat.lost), 0);
}

Test(batch, gives_its_messages_in_order_and_ends)
{
    guint8 out[3 * PST_CODEC_FLOW_MAX];
    PstFlow a = test_flow("192.0.2.1", "203.0.113.5", 25, T0), b = test_flow_full(), flow;
    PstHeartbeat beat = {.domain = 3}, back;
    gsize n = pst_codec_put_flow(out, &a);
    n += pst_codec_put_heartbeat(out + n, &beat);
    n += pst_codec_put_flow(out + n, &b);
    PstBatch batch = pst_batch(out, n);
    cr_assert_eq(pst_batch_next(&batch, &flow, &back), PST_CODEC_FLOW);
    cr_assert_eq(flow.dst_port, 25);
    cr_assert_eq(pst_batch_next(&batch, &flow, &back), PST_CODEC_HEARTBEAT);
    cr_assert_eq(back.domain, 3);
    cr_assert_eq(pst_batch_next(&batch, &flow, &back), PST_CODEC_FLOW);
    cr_assert_eq(flow.dst_port, 0xffff);
    cr_assert_eq(pst_batch_next(&batch, &flow, &back), PST_CODEC_END);
    cr_assert_eq(pst_batch_next(&batch, &flow, &back), PST_CODEC_END);
}

Test(batch, cut_anywhere_is_malformed_then_at_its_end)
{
    PstFlow flow = test_flow_full(), back;
    PstHeartbeat beat;
    guint8 out[PST_CODEC_FLOW_MAX];
    gsize n = pst_codec_put_flow(out, &flow);
    for (gsize cut = 1; cut < n; cut++) {
        PstBatch batch = pst_batch(out, cut);
        cr_assert_eq(pst_batch_next(&batch, &back, &beat), PST_CODEC_MALFORMED, "cut at %zu", cut);
        cr_assert_eq(pst_batch_next(&batch, &back, &beat), PST_CODEC_END);
    }
}

static PstCodecItem decode_bytes(const char *bytes, gsize len)
{
    PstFlow flow;
    PstHeartbeat beat;
    return decode((const guint8 *)bytes, len, &flow, &beat);
}

Test(batch, refuses_what_cannot_be_a_flow)
{
    cr_assert_eq(decode_bytes("\x02\x35\x00", 3), PST_CODEC_MALFORMED, "fixed32 in a hurry");
    cr_assert_eq(decode_bytes("\x03\x32\x01\x01", 4), PST_CODEC_MALFORMED, "address of one byte");
    cr_assert_eq(decode_bytes("\x02\x30\x01", 3), PST_CODEC_MALFORMED, "address as a number");
    cr_assert_eq(decode_bytes("\x05\xa8\x01\x80\x80\x04", 6), PST_CODEC_MALFORMED, "port 65536");
    cr_assert_eq(decode_bytes("\x02\x00\x00", 3), PST_CODEC_MALFORMED, "field number 0");
    cr_assert_eq(decode_bytes("\x02\x0b\x0c", 3), PST_CODEC_MALFORMED, "a group");
    cr_assert_eq(decode_bytes("\x7f", 1), PST_CODEC_MALFORMED, "longer than the batch");
    cr_assert_eq(decode_bytes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10), PST_CODEC_MALFORMED,
                 "a number of more than 64 bits");
}

Test(batch, skips_fields_of_a_newer_writer)
{
    /* 2 varint, 33 bytes "x", 40 fixed64, 41 fixed32, 2000 varint, then packets = 5 */
    static const char bytes[] = "\x1b\x10\x01\x8a\x02\x01x\xc1\x02"
                                "\x01\x02\x03\x04\x05\x06\x07\x08\xcd\x02\x01\x02\x03\x04"
                                "\x80\x7d\x01\x50\x05";
    PstFlow flow;
    PstHeartbeat beat;
    cr_assert_eq(bytes[0], sizeof bytes - 2);
    cr_assert_eq(decode((const guint8 *)bytes, sizeof bytes - 1, &flow, &beat), PST_CODEC_FLOW);
    cr_assert_eq(flow.packets, 5);
    cr_assert_eq(flow.has, PST_HAS_PACKETS);
    cr_assert_eq(flow.sampling_rate, 1);
}

Test(flow_json, has_goflow2s_names_and_only_what_the_flow_has)
{
    PstFlow flow = test_flow("192.0.2.1", "203.0.113.5", 25, T0);
    g_autofree char *text = json_of(&flow);
    cr_assert_str_eq(text, "{\"type\":\"IPFIX\",\"sampling_rate\":1,\"sequence_num\":0,"
                           "\"src_addr\":\"192.0.2.1\",\"dst_addr\":\"203.0.113.5\",\"bytes\":1200,"
                           "\"packets\":12,\"sampler_address\":\"198.51.100.254\",\"proto\":6,"
                           "\"src_port\":40000,\"dst_port\":25,\"tcp_flags\":27,\"etype\":2048,"
                           "\"observation_domain_id\":0,\"time_received_ns\":1777638901123456789,"
                           "\"time_flow_start_ns\":1777638896123456789,"
                           "\"time_flow_end_ns\":1777638898123456789,\"rate_source\":\"none\","
                           "\"direction\":\"out\"}");
}

static PstFlow flow_of(const char *json)
{
    PstFlow flow;
    cr_assert(pst_codec_flow_from_json(json, strlen(json), &flow), "%s", json);
    return flow;
}

static gboolean refused(const char *json)
{
    PstFlow flow;
    return !pst_codec_flow_from_json(json, strlen(json), &flow);
}

Test(flow_json, is_read_back_as_the_same_flow)
{
    PstFlow flow = test_flow("192.0.2.1", "203.0.113.5", 25, T0);
    flow.has |= PST_HAS_MAC | PST_HAS_REVERSE | PST_HAS_SRC_NET;
    flow.src_mac = G_GUINT64_CONSTANT(0x0123456789ab);
    flow.reverse_bytes = 99;
    flow.src_net = 24;
    flow.rate_source = PST_RATE_OPTIONS;
    flow.sampling_rate = 1000;
    g_autofree char *text = json_of(&flow);
    PstFlow back = flow_of(text);
    g_autofree char *again = json_of(&back);
    cr_assert_str_eq(again, text);
    cr_assert_eq(back.has, flow.has);
    cr_assert_eq(back.src_mac, flow.src_mac);
}

Test(flow_json, of_goflow2_is_read_as_it_is)
{
    PstFlow flow = flow_of(
        "{\"type\":\"NETFLOW_V9\",\"time_received_ns\":1777638901123456789,"
        "\"sequence_num\":5,\"sampling_rate\":100,\"sampler_address\":\"198.51.100.254\","
        "\"time_flow_start_ns\":\"2026-05-01T12:34:56Z\",\"time_flow_end_ns\":0,\"bytes\":60,"
        "\"packets\":1,\"src_addr\":\"192.0.2.1\",\"dst_addr\":\"203.0.113.5\","
        "\"etype\":\"IPv4\",\"proto\":\"TCP\",\"src_port\":40000,\"dst_port\":25,"
        "\"src_mac\":\"00:00:00:00:00:01\",\"src_net\":\"192.0.2.0/24\",\"dst_net\":\"0.0.0.0/0\","
        "\"next_hop\":\"\",\"bgp_communities\":[],\"mpls_ip\":[],\"icmp_name\":\"unknown\"}");
    cr_assert_eq(flow.type, PST_FLOW_NETFLOW_V9);
    cr_assert_eq(flow.proto, 6);
    cr_assert_eq(flow.etype, 0x0800);
    cr_assert_eq(flow.sampling_rate, 100);
    cr_assert_eq(flow.rate_source, PST_RATE_RECORD);
    cr_assert_eq(flow.start_ns, 1777638896 * G_GINT64_CONSTANT(1000000000));
    cr_assert(flow.has & PST_HAS_START);
    cr_assert_not(flow.has & PST_HAS_END);
    cr_assert_eq(flow.src_net, 24);
    cr_assert_not(pst_addr_present(&flow.next_hop));
    cr_assert_eq(flow.direction, PST_DIR_UNKNOWN);
}

Test(flow_json, numbers_may_be_texts)
{
    PstFlow flow =
        flow_of("{\"src_addr\":\"192.0.2.1\",\"dst_addr\":\"203.0.113.5\",\"proto\":\"6\","
                "\"src_port\":\"40000\",\"dst_port\":\"25\",\"bytes\":\"18446744073709551615\","
                "\"time_flow_start_ns\":\"1777638896000000000\",\"tcp_flags\":\"0x1b\"}");
    cr_assert_eq(flow.proto, 6);
    cr_assert_eq(flow.src_port, 40000);
    cr_assert_eq(flow.dst_port, 25);
    cr_assert_eq(flow.bytes, G_MAXUINT64);
    cr_assert_eq(flow.start_ns, 1777638896 * G_GINT64_CONSTANT(1000000000));
    cr_assert_eq(flow.tcp_flags, 0x1b);
}

Test(flow_json, refuses_what_is_no_flow)
{
    cr_assert(refused(""));
    cr_assert(refused("[]"));
    cr_assert(refused("{}"));
    cr_assert(refused("{\"src_addr\":\"192.0.2.1\"}"));
    cr_assert(refused("{\"src_addr\":\"192.0.2.1\",\"dst_addr\":\"x\"}"));
    cr_assert(refused("{\"src_addr\":1,\"dst_addr\":\"192.0.2.1\"}"));
    cr_assert(refused("{\"src_addr\":\"1.1.1.1\",\"dst_addr\":\"2.2.2.2\",\"dst_port\":65536}"));
    cr_assert(refused("{\"src_addr\":\"1.1.1.1\",\"dst_addr\":\"2.2.2.2\",\"dst_port\":-1}"));
    cr_assert(refused("{\"src_addr\":\"1.1.1.1\",\"dst_addr\":\"2.2.2.2\",\"bytes\":\"x\"}"));
    cr_assert(refused("{\"src_addr\":\"1.1.1.1\",\"dst_addr\":\"2.2.2.2\",\"bytes\":[1]}"));
    cr_assert(refused("{\"src_addr\":\"1.1.1.1\",\"dst_addr\":\"2.2.2.2\",\"bytes\":\"-1\"}"));
    cr_assert(
        refused("{\"src_addr\":\"1.1.1.1\",\"dst_addr\":\"2.2.2.2\",\"dst_port\":\"70000\"}"));
    cr_assert(refused("{\"src_addr\":\"1.1.1.1\",\"dst_addr\":\"2.2.2.2\"} x"));
    cr_assert(refused("{\"src_addr\":\"1.1.1.1\",\"dst_addr\":\"2.2.2.2\"}{}"));
}

Test(flow_json, depth_of_strangers_is_bounded)
{
    g_autoptr(GString) deep = g_string_new("{\"src_addr\":");
    for (int i = 0; i < 30000; i++)
        g_string_append_c(deep, '[');
    cr_assert(refused(deep->str));
}

Test(json, text_is_always_valid)
{
    g_autoptr(GString) out = g_string_new(NULL);
    pst_json_append_string(out, "a\"\\\n\x01\x7f\xc3\xa9\xff");
    cr_assert_str_eq(out->str, "\"a\\\"\\\\\\n\\u0001\\u007f\xc3\xa9\xef\xbf\xbd\"");
    g_string_truncate(out, 0);
    pst_json_append_string(out, NULL);
    g_string_append_c(out, ' ');
    pst_json_append_bytes(out, "a\0b", 3);
    g_string_append_c(out, ' ');
    pst_json_append_real(out, 0.1);
    g_string_append_c(out, ' ');
    pst_json_append_real(out, 1.0 / 3);
    g_string_append_c(out, ' ');
    pst_json_append_i64(out, G_MININT64);
    cr_assert_str_eq(out->str, "null \"a\\u0000b\" 0.1 0.3333333333333333 -9223372036854775808");
}

/* --- the plain form ------------------------------------------------------------------------ */

#define ENDS "\"src_addr\":\"192.0.2.1\",\"dst_addr\":\"2001:db8::5\""

Test(codec, what_we_print_is_plain_and_both_readers_agree)
{
    PstFlow some[] = {test_flow("192.0.2.1", "203.0.113.5", 25, G_GINT64_CONSTANT(1777638896000)),
                      test_flow_full()};
    some[1].bytes = some[1].packets = some[1].reverse_bytes = some[1].reverse_packets =
        some[1].sampling_rate = some[1].rare.flow_id =
            G_MAXINT64; /* beyond, json-glib reads no number */
    for (guint i = 0; i < 2; i++) {
        g_autoptr(GString) json = g_string_new(NULL);
        PstFlow plain, other;
        pst_codec_flow_json(&some[i], json);
        cr_assert_eq(pst_codec_flow_from_plain_json(json->str, json->len, &plain), json->len);
        cr_assert(pst_codec_flow_from_json(json->str, json->len, &other));
        guint8 a[PST_CODEC_FLOW_MAX], b[PST_CODEC_FLOW_MAX];
        gsize size = pst_codec_put_flow(a, &plain);
        cr_assert_eq(pst_codec_put_flow(b, &other), size);
        cr_assert_eq(memcmp(a, b, size), 0, "%s", json->str);
        for (gsize len = 0; len < json->len; len++)
            cr_assert_eq(pst_codec_flow_from_plain_json(json->str, len, &plain), 0);
    }
}

Test(codec, plain_reader_stops_behind_the_object)
{
    PstFlow flow;
    const char *text = "{" ENDS "}{" ENDS "}";
    cr_assert_eq(pst_codec_flow_from_plain_json(text, strlen(text), &flow), strlen(text) / 2);
    text = " {\t" ENDS " , \"packets\" : 7 , \"unknown\":\"x\" }\n";
    cr_assert_eq(pst_codec_flow_from_plain_json(text, strlen(text), &flow), strlen(text) - 1);
    cr_assert_eq(flow.packets, 7);
}

Test(codec, what_is_not_plain_is_left_to_the_other_reader)
{
    static const char *const texts[] = {
        "",
        "{}",
        "{" ENDS,
        "{" ENDS ",}",
        "{" ENDS ",\"packets\":1,\"packets\":2}",
        "{" ENDS ",\"packets\":1.0}",
        "{" ENDS ",\"packets\":-1}",
        "{" ENDS ",\"packets\":01}",
        "{" ENDS ",\"packets\":1e3}",
        "{" ENDS ",\"packets\":9223372036854775808}",
        "{" ENDS ",\"packets\":null}",
        "{" ENDS ",\"packets\":\"many\"}",
        "{" ENDS ",\"tcp_flags\":65536}",
        "{" ENDS ",\"as_path\":[]}",
        "{" ENDS ",\"type\":\"\\u0049PFIX\"}",
        "{" ENDS ",\"type\":\"\xc3\xa4\"}",
        "{" ENDS ",\"type\":\"\x01\"}",
        "[{" ENDS "}]",
        "{\"src_addr\":\"192.0.2.1\"}",
        "{\"src_addr\":\"192.0.2.256\",\"dst_addr\":\"192.0.2.1\"}",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        PstFlow flow = {.packets = 77};
        cr_assert_eq(pst_codec_flow_from_plain_json(texts[i], strlen(texts[i]), &flow), 0, "%s",
                     texts[i]);
        cr_assert_eq(flow.packets, 77, "untouched");
    }
}
