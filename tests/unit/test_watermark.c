/* SPDX-License-Identifier: Apache-2.0 */
#include "watermark.h"

#include <criterion/criterion.h>

#include "engine_maker.h"

static Watermark *watermark;

static void make(void)
{
    EngineConf conf = small_conf();
    watermark = watermark_new(&conf);
}

static void drop(void)
{
    watermark_free(watermark);
}

TestSuite(watermark, .init = make, .fini = drop);

static guint16 router(guint32 n)
{
    PstAddr addr = pst_addr_v4(0xc6336400 + n);
    return watermark_exporter(watermark, &addr, 0, ns_at(0));
}

static void beat(guint32 n, double at)
{
    (void)watermark_beat(watermark, router(n), ns_at(at), ns_at(at + 1));
}

static gboolean admit(guint32 n, double at, double received)
{
    return watermark_admit(watermark, router(n), ns_at(at), ns_at(received));
}

/* Seconds after the day's start; −1: none yet. */
static double mark(void)
{
    gint64 ns = watermark_ns(watermark);
    return ns == 0 ? -1 : (double)(ns - ns_at(0)) / 1e9;
}

Test(watermark, stays_two_minutes_behind_the_only_exporter)
{
    cr_assert_eq(mark(), -1);
    beat(1, 1000);
    cr_assert_eq(mark(), 880);
    beat(1, 1010);
    cr_assert_eq(mark(), 890);
}

Test(watermark, follows_the_slowest_exporter)
{
    beat(1, 1000);
    beat(2, 950);
    beat(1, 1020);
    cr_assert_eq(mark(), 880, "it never goes back");
    beat(2, 1010);
    beat(1, 1040);
    cr_assert_eq(mark(), 890);
}

Test(watermark, does_not_wait_for_one_too_far_behind)
{
    for (double at = 0; at <= 100; at += 10)
        for (guint32 n = 1; n <= 3; n++)
            beat(n, at);
    cr_assert_eq(mark(), -20);
    /* The third stops. It holds until the others are 120 s ahead of it. */
    for (double at = 110; at <= 220; at += 10) {
        beat(1, at);
        beat(2, at);
    }
    cr_assert_eq(mark(), -20);
    beat(1, 231);
    beat(2, 231);
    cr_assert_eq(mark(), 111);
}

Test(watermark, goes_on_when_one_of_two_stops)
{
    beat(1, 100);
    beat(2, 100);
    for (double at = 110; at <= 600; at += 10)
        beat(1, at);
    cr_assert_eq(mark(), 480);
}

Test(watermark, domains_of_one_address_are_exporters_of_their_own)
{
    PstAddr addr = addr_of(A_ROUTER);
    guint16 card = watermark_exporter(watermark, &addr, 1, ns_at(0));
    cr_assert_neq(card, watermark_exporter(watermark, &addr, 2, ns_at(0)));
    cr_assert_eq(card, watermark_exporter(watermark, &addr, 1, ns_at(5)));
}

Test(watermark, follows_flows_where_there_are_no_heartbeats)
{
    cr_assert(admit(1, 1000, 1001));
    cr_assert(watermark_flow(watermark, router(1), ns_at(1000)));
    cr_assert_eq(mark(), 880);
    (void)watermark_flow(watermark, router(1), ns_at(1000.5));
    cr_assert_eq(mark(), 880, "a beat a second is enough");
    (void)watermark_flow(watermark, router(1), ns_at(1002));
    cr_assert_eq(mark(), 882);
    beat(1, 1003);
    cr_assert_not(watermark_flow(watermark, router(1), ns_at(1100)), "from now on, heartbeats");
    cr_assert_eq(mark(), 883);
}

Test(watermark, event_time_ahead_of_its_receipt_is_refused)
{
    cr_assert(admit(1, 1300, 1000));
    cr_assert_not(admit(1, 1301, 1000));
    beat(1, 1000);
    (void)watermark_beat(watermark, router(1), ns_at(5000), ns_at(1000));
    cr_assert_eq(mark(), 880, "a heartbeat neither");
}

Test(watermark, one_clock_ahead_moves_nothing)
{
    for (double at = 0; at <= 1000; at += 10) {
        beat(1, at);
        beat(2, at);
        beat(3, at + 3600 * 2);
        cr_assert_not(admit(3, at + 3600 * 2, at + 3600 * 3));
        cr_assert(admit(1, at + 5, at + 6));
    }
    cr_assert_eq(mark(), 880);
}

Test(watermark, clock_slightly_ahead_does_not_make_stragglers_of_the_others)
{
    for (double at = 0; at <= 1000; at += 10) {
        beat(1, at);
        beat(2, at);
        beat(3, at + 200);
    }
    cr_assert_eq(mark(), 880);
}

Test(watermark, exporters_are_bounded)
{
    for (guint32 n = 0; n < EXPORTERS_MAX + 10; n++)
        beat(n, n);
    cr_assert_eq(watermark_evicted(watermark), 10);
}

Test(watermark, is_the_same_from_its_bytes)
{
    beat(1, 1000);
    beat(2, 990);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    Image image = {.bytes = bytes};
    watermark_write(watermark, &image);
    EngineConf conf = small_conf();
    g_autoptr(Watermark) copy = watermark_new(&conf);
    PstCursor from = pst_cursor(bytes->data, bytes->len);
    cr_assert(watermark_read(copy, &from));
    cr_assert_eq(watermark_ns(copy), watermark_ns(watermark));
    PstAddr addr = pst_addr_v4(0xc6336402);
    guint16 place = watermark_exporter(copy, &addr, 0, ns_at(0));
    cr_assert_eq(place, router(2));
}
