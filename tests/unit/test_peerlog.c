/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "peerlog.h"

#define PERIOD G_GINT64_CONSTANT(60000000000)

Test(peerlog, a_peer_gets_one_line_a_period_and_it_counts)
{
    g_autoptr(PeerLog) log = peerlog_new(PERIOD);
    PstAddr one = pst_addr_v4(1), two = pst_addr_v4(2);
    guint64 times;
    cr_assert(peerlog_due(log, &one, PERIOD, &times));
    cr_assert_eq(times, 1);
    cr_assert(peerlog_due(log, &two, PERIOD, &times), "another peer has a line of its own");
    for (guint i = 0; i < 9; i++)
        cr_assert_not(peerlog_due(log, &one, 2 * PERIOD - 1, &times));
    cr_assert(peerlog_due(log, &one, 2 * PERIOD, &times));
    cr_assert_eq(times, 10);
}

Test(peerlog, many_peers_do_not_flood_it)
{
    g_autoptr(PeerLog) log = peerlog_new(PERIOD);
    for (guint period = 1; period <= 3; period++) {
        guint lines = 0;
        for (guint32 i = 0; i < 100000; i++) {
            PstAddr addr = pst_addr_v4(period << 24 | i);
            guint64 times;
            lines += peerlog_due(log, &addr, period * PERIOD, &times);
        }
        cr_assert_leq(lines, PEERLOG_LINES);
        if (period == 1)
            cr_assert_eq(lines, PEERLOG_LINES);
    }
}

Test(peerlog, a_flood_that_is_over_is_forgotten)
{
    g_autoptr(PeerLog) log = peerlog_new(PERIOD);
    guint64 times;
    for (guint32 i = 0; i < 100000; i++) {
        PstAddr addr = pst_addr_v4(i);
        (void)peerlog_due(log, &addr, PERIOD, &times);
    }
    PstAddr addr = pst_addr_v4(0xc0000201);
    gboolean due = FALSE;
    for (guint period = 2; period <= 4; period++)
        due |= peerlog_due(log, &addr, period * PERIOD, &times);
    cr_assert(due);
}
