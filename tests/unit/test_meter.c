/* SPDX-License-Identifier: Apache-2.0 */
/* Flows out of packets: what comes out is decoded by the collector's own decoder. */
#include <criterion/criterion.h>

#include "frame_builder.h"
#include "meter.h"

typedef struct {
    Bench bench;
    Meter *meter;
    gint64 newest_ns; /* of messages */
} Rig;

static void take_message(gpointer user, const guint8 *message, gsize len, gint64 now_ns)
{
    Rig *rig = user;
    rig->bench.now_ns = now_ns;
    rig->newest_ns = now_ns;
    bench_bytes(&rig->bench, message, len);
}

static void rig_init(Rig *rig, guint flows_max, guint32 rate)
{
    bench_init(&rig->bench, FALSE);
    rig->meter = meter_new(&(MeterOptions){
        .rate = rate, .flows_max = flows_max, .message = take_message, .user = rig});
}

static void rig_clear(Rig *rig)
{
    cr_assert_eq(rig->bench.drops->len, 0, "a message of ours was refused");
    meter_free(rig->meter);
    bench_clear(&rig->bench);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Rig, rig_clear)

static gint64 at_ns(double s)
{
    return EXPORT_S * NS_PER_S + (gint64)(s * 1e9);
}

static void feed_spec(Rig *rig, const FrameSpec *f)
{
    g_autoptr(GByteArray) bytes = frame_bytes(f);
    g_autofree guint8 *exact = g_memdup2(bytes->data, bytes->len - f->cut); /* for the sanitizer */
    meter_frame(rig->meter, &(CapturedFrame){.link = f->link != 0 ? f->link : LINK_RAW,
                                             .bytes = exact,
                                             .len = bytes->len - f->cut,
                                             .wire_len = bytes->len,
                                             .time_ns = at_ns(f->at)});
}
#define feed(rig, ...) feed_spec(rig, &(FrameSpec){__VA_ARGS__})
#define feed_mail(rig, when, what)                                                                 \
    feed(rig, .at = when, .src_port = 40000, .dst_port = 25, .flags = what)

Test(meter, makes_one_record_of_the_packets_of_a_session)
{
    g_auto(Rig) rig;
    rig_init(&rig, 100, 1);
    feed(&rig, .at = 0.25, .src_port = 40000, .dst_port = 25, .flags = SYN);
    feed(&rig, .at = 1, .src_port = 40000, .dst_port = 25, .flags = PSH | ACK, .payload = 60);
    feed(&rig, .at = 2.5, .src_port = 40000, .dst_port = 25, .flags = FIN | ACK);
    feed(&rig, .at = 2.75, .src_port = 40000, .dst_port = 25, .flags = ACK);
    meter_end(rig.meter);
    const PstFlow *flow = bench_only(&rig.bench);
    char text[PST_ADDR_TEXT_MAX];
    cr_assert_not_null(flow);
    cr_assert_str_eq(pst_addr_format(&flow->src_addr, text), "192.0.2.25");
    cr_assert_str_eq(pst_addr_format(&flow->dst_addr, text), "198.51.100.1");
    cr_assert_eq(flow->src_port, 40000);
    cr_assert_eq(flow->dst_port, 25);
    cr_assert_eq(flow->proto, TCP);
    cr_assert_eq(flow->packets, 4);
    cr_assert_eq(flow->bytes, 4 * 40 + 60);
    cr_assert_eq(flow->tcp_flags, SYN | ACK | PSH | FIN);
    cr_assert_eq(flow->start_ns, at_ns(0.25));
    cr_assert_eq(flow->end_ns, at_ns(2.75));
    cr_assert_eq(flow->end_reason, METERED_ENDED);
    cr_assert_eq(flow->sampling_rate, 1);
    cr_assert_eq(flow->rate_source, PST_RATE_RECORD);
}

Test(meter, keeps_directions_ports_and_protocols_apart)
{
    g_auto(Rig) rig;
    rig_init(&rig, 100, 1000);
    feed_mail(&rig, 0, SYN);
    feed(&rig, .src = SERVER, .dst = CLIENT, .src_port = 25, .dst_port = 40000, .flags = SYN | ACK);
    feed(&rig, .src_port = 40001, .dst_port = 25, .flags = SYN);
    feed(&rig, .src_port = 40000, .dst_port = 25, .proto = UDP);
    feed(&rig, .v6 = TRUE, .src_port = 40000, .dst_port = 25, .flags = SYN);
    feed(&rig, .proto = ICMP, .src_port = 0x0303);
    meter_end(rig.meter);
    cr_assert_eq(rig.bench.flows->len, 6);
    for (guint i = 0; i < 6; i++) {
        cr_assert_eq(bench_flow_at(&rig.bench, i)->packets, 1);
        cr_assert_eq(bench_flow_at(&rig.bench, i)->sampling_rate, 1000);
    }
    cr_assert_eq(bench_flow_at(&rig.bench, 4)->bytes, 60);
    cr_assert_eq(bench_flow_at(&rig.bench, 5)->icmp_type, 3);
    cr_assert_eq(bench_flow_at(&rig.bench, 5)->icmp_code, 3);
}

Test(meter, tells_a_silent_flow_when_its_time_is_over_and_not_before)
{
    g_auto(Rig) rig;
    rig_init(&rig, 100, 1);
    feed_mail(&rig, 0, SYN);
    feed_mail(&rig, METER_IDLE_S - 0.001, ACK);
    feed_mail(&rig, 2 * METER_IDLE_S, ACK);
    meter_end(rig.meter);
    cr_assert_eq(rig.bench.flows->len, 2);
    cr_assert_eq(bench_flow_at(&rig.bench, 0)->packets, 2);
    cr_assert_eq(bench_flow_at(&rig.bench, 0)->end_reason, METERED_IDLE);
    cr_assert_eq(bench_flow_at(&rig.bench, 1)->packets, 1);
    cr_assert_eq(bench_flow_at(&rig.bench, 1)->end_reason, METERED_FORCED);
}

Test(meter, tells_a_long_flow_every_minute)
{
    g_auto(Rig) rig;
    rig_init(&rig, 100, 1);
    for (guint s = 0; s <= 130; s += 10)
        feed_mail(&rig, s, ACK);
    meter_end(rig.meter);
    cr_assert_eq(rig.bench.flows->len, 3);
    for (guint i = 0; i < 2; i++) {
        cr_assert_eq(bench_flow_at(&rig.bench, i)->packets, 6);
        cr_assert_eq(bench_flow_at(&rig.bench, i)->end_reason, METERED_ACTIVE);
        cr_assert_eq(bench_flow_at(&rig.bench, i)->start_ns, at_ns(60 * i));
    }
}

Test(meter, begins_anew_where_a_port_is_used_again)
{
    g_auto(Rig) rig;
    rig_init(&rig, 100, 1);
    feed_mail(&rig, 0, SYN);
    feed_mail(&rig, 0.1, RST);
    feed_mail(&rig, 0.2, SYN);
    feed_mail(&rig, 0.3, SYN); /* sent again: no new flow */
    meter_end(rig.meter);
    cr_assert_eq(rig.bench.flows->len, 2);
    cr_assert_eq(bench_flow_at(&rig.bench, 0)->tcp_flags, SYN | RST);
    cr_assert_eq(bench_flow_at(&rig.bench, 1)->packets, 2);
}

Test(meter, gives_fragments_to_the_flow_of_the_first)
{
    g_auto(Rig) rig;
    rig_init(&rig, 100, 1);
    feed(&rig, .src_port = 40000, .dst_port = 25, .flags = ACK, .payload = 80, .fragment = 0x2000);
    feed(&rig, .payload = 80, .fragment = 0x2000 | 100 / 8);
    feed(&rig, .payload = 5, .fragment = 200 / 8);
    feed(&rig, .dst = 0x01010101, .payload = 5, .fragment = 200 / 8); /* its first never came */
    meter_end(rig.meter);
    cr_assert_eq(rig.bench.flows->len, 2);
    cr_assert_eq(bench_flow_at(&rig.bench, 0)->packets, 3);
    cr_assert_eq(bench_flow_at(&rig.bench, 0)->bytes, 120 + 100 + 25);
    cr_assert_eq(bench_flow_at(&rig.bench, 1)->dst_port, 0);
}

/* Hop-by-hop options, a fragment header, destination options, TCP; and the rest. */
static void feed_v6_piece(Rig *rig, guint offset, gboolean more)
{
    Export p = {.bytes = g_byte_array_new()};
    guint headers = offset == 0 ? 24 : 8, body = offset == 0 ? 20 : 16;
    export_u32(&p, 6u << 28);
    export_u16(&p, (guint16)(headers + body));
    export_u8(&p, offset == 0 ? 0 : 44);
    export_u8(&p, 64);
    for (guint i = 0; i < 2; i++) {
        export_u64(&p, G_GUINT64_CONSTANT(0x20010db800000000));
        export_u64(&p, i);
    }
    if (offset == 0) {
        export_u8(&p, 44);
        export_zeros(&p, 7);
    }
    export_u8(&p, 60);
    export_u8(&p, 0);
    export_u16(&p, (guint16)(offset | more));
    export_u32(&p, 99);
    if (offset == 0) {
        export_u8(&p, TCP);
        export_zeros(&p, 7);
        export_u16(&p, 40000);
        export_u16(&p, 25);
    }
    export_zeros(&p, 16);
    meter_frame(rig->meter, &(CapturedFrame){.link = LINK_RAW,
                                             .bytes = p.bytes->data,
                                             .len = p.bytes->len,
                                             .wire_len = p.bytes->len,
                                             .time_ns = at_ns(0)});
    g_byte_array_unref(p.bytes);
}

Test(meter, gives_fragments_of_ipv6_to_the_flow_of_the_first)
{
    g_auto(Rig) rig;
    rig_init(&rig, 100, 1);
    feed_v6_piece(&rig, 0, TRUE);
    feed_v6_piece(&rig, 32, FALSE);
    meter_end(rig.meter);
    const PstFlow *flow = bench_only(&rig.bench);
    cr_assert_not_null(flow);
    cr_assert_eq(flow->proto, TCP);
    cr_assert_eq(flow->dst_port, 25);
    cr_assert_eq(flow->packets, 2);
    cr_assert_eq(flow->bytes, 40 + 24 + 20 + 40 + 8 + 16);
}

Test(meter, counts_bytes_as_the_header_says_or_as_the_wire_had_them)
{
    g_auto(Rig) rig;
    rig_init(&rig, 100, 1);
    feed(&rig, .dst_port = 1, .payload = 100, .cut = 100, .link = LINK_ETHERNET);
    feed(&rig, .dst_port = 2, .payload = 100, .no_total = TRUE, .link = LINK_ETHERNET);
    feed(&rig, .dst_port = 3, .payload = 100, .no_total = TRUE, .v6 = TRUE, .link = LINK_ETHERNET);
    feed(&rig, .dst_port = 4, .total = 41, .payload = 20, .link = LINK_ETHERNET); /* padding */
    meter_end(rig.meter);
    static const guint64 bytes[] = {140, 140, 160, 41};
    cr_assert_eq(rig.bench.flows->len, G_N_ELEMENTS(bytes));
    for (guint i = 0; i < G_N_ELEMENTS(bytes); i++)
        cr_assert_eq(bench_flow_at(&rig.bench, i)->bytes, bytes[i], "flow %u", i);
}

Test(meter, counts_what_it_cannot_read_by_reason)
{
    g_auto(Rig) rig;
    rig_init(&rig, 100, 1);
    for (guint cut = 1; cut <= 40; cut++)
        feed(&rig, .src_port = 40000, .dst_port = 25, .flags = SYN, .cut = cut);
    const MeterCounts *counts = meter_counts(rig.meter);
    cr_assert_eq(counts->packets, 6, "the flags were there");
    cr_assert_eq(counts->cut, 33);
    cr_assert_eq(counts->not_ip, 1, "nothing was left");
    feed(&rig, .total = 19, .src_port = 40000, .dst_port = 25);
    cr_assert_eq(counts->broken, 1);
    static const guint8 arp[14] = {[12] = 8, [13] = 6};
    meter_frame(rig.meter, &(CapturedFrame){LINK_ETHERNET, arp, sizeof arp, sizeof arp, 0});
    cr_assert_eq(counts->not_ip, 2);
    cr_assert_eq(counts->early, 0);
    feed(&rig, .at = -1.0 * EXPORT_S, .src_port = 40000, .dst_port = 25);
    cr_assert_eq(counts->early, 1);
    meter_end(rig.meter);
}

Test(meter, ends_all_where_time_steps_back_and_bears_small_disorder)
{
    g_auto(Rig) rig;
    rig_init(&rig, 100, 1);
    feed_mail(&rig, 100, SYN);
    feed_mail(&rig, 98, ACK);
    cr_assert_eq(meter_counts(rig.meter)->steps_back, 0);
    feed(&rig, .at = 10, .src_port = 40001, .dst_port = 25, .flags = SYN);
    feed_mail(&rig, 11, SYN);
    meter_end(rig.meter);
    cr_assert_eq(meter_counts(rig.meter)->steps_back, 1);
    cr_assert_eq(rig.bench.flows->len, 3);
    const PstFlow *first = bench_flow_at(&rig.bench, 0);
    cr_assert_eq(first->packets, 2);
    cr_assert_eq(first->start_ns, at_ns(98));
    cr_assert_eq(first->end_ns, at_ns(100));
    cr_assert_eq(first->end_reason, METERED_FORCED);
}

Test(meter, holds_no_more_flows_than_it_may_and_tells_the_longest_silent)
{
    enum { MAX = 8, MORE = 5 };
    g_auto(Rig) rig;
    rig_init(&rig, MAX, 1);
    for (guint i = 0; i < MAX + MORE; i++) {
        feed(&rig, .at = i / 100.0, .src_port = (guint16)(1000 + i), .dst_port = 25, .flags = SYN);
        feed(&rig, .at = i / 100.0, .src_port = 1000, .dst_port = 25, .flags = ACK); /* stays */
    }
    cr_assert_eq(meter_counts(rig.meter)->evicted, MORE);
    meter_end(rig.meter);
    cr_assert_eq(rig.bench.flows->len, MAX + MORE);
    for (guint i = 0; i < MORE; i++) {
        cr_assert_eq(bench_flow_at(&rig.bench, i)->src_port, 1001 + i);
        cr_assert_eq(bench_flow_at(&rig.bench, i)->end_reason, METERED_NO_ROOM);
    }
}

Test(meter, tells_of_a_busy_capture_in_many_messages_and_loses_none)
{
    enum { FLOWS = 3000 };
    g_auto(Rig) rig;
    rig_init(&rig, METER_FLOWS_MAX, 1);
    for (guint i = 0; i < FLOWS; i++)
        feed(&rig, .at = i / 50.0, .v6 = i % 3 == 0, .dst = 1 + i, .src_port = (guint16)i,
             .dst_port = 25, .flags = RST);
    meter_end(rig.meter);
    cr_assert_eq(rig.bench.flows->len, FLOWS);
    cr_assert_eq(meter_counts(rig.meter)->flows, FLOWS);
    Ledger *ledger = bench_domain(&rig.bench, 0)->ledger;
    ledger_settle(ledger, G_MAXINT64, &(guint64){0});
    cr_assert_eq(ledger->lost[PST_LOSS_NETWORK], 0, "the sequence is what RFC 7011 says");
    cr_assert_geq(rig.newest_ns, at_ns((FLOWS - 1) / 50.0));
}
