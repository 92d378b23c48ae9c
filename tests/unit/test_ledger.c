/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "export_builder.h"

/* A ledger, and a sender that numbers what it sends. */
typedef struct {
    Ledger *ledger;
    guint16 version;
    gint64 now_ns;
    guint64 kernel;
} Book;

static Book open_book(guint16 version)
{
    return (Book){.ledger = ledger_new(), .version = version, .now_ns = NS_PER_S};
}

static void got_at(Book *book, guint32 sequence, guint32 records, guint32 uptime_ms)
{
    Message message = {.version = book->version,
                       .sequence = sequence,
                       .has_uptime = book->version != VERSION_IPFIX,
                       .uptime_ms = uptime_ms};
    ledger_message(book->ledger, &message, 2055, records, 0, book->now_ns);
}

static void got(Book *book, guint32 sequence, guint32 records)
{
    got_at(book, sequence, records, 1000);
}

static guint64 lost(Book *book, PstLoss loss)
{
    book->now_ns += 2 * NS_PER_S;
    ledger_settle(book->ledger, book->now_ns, &book->kernel);
    return book->ledger->lost[loss];
}

Test(ledger, without_gaps_loses_nothing)
{
    Book book = open_book(VERSION_IPFIX);
    for (guint32 i = 0; i < 100; i++)
        got(&book, 0xffffff00u + i * 18, 18); /* over the wrap of the counter */
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    cr_assert_eq(book.ledger->received, 1800);
    ledger_unref(book.ledger);
}

Test(ledger, gap_counts_after_a_second)
{
    Book book = open_book(VERSION_IPFIX);
    got(&book, 0, 10);
    got(&book, 40, 10);
    ledger_settle(book.ledger, book.now_ns + NS_PER_S - 1, &book.kernel);
    cr_assert_eq(book.ledger->lost[PST_LOSS_NETWORK], 0);
    cr_assert(ledger_waits(book.ledger));
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 30);
    cr_assert_not(ledger_waits(book.ledger));
    ledger_unref(book.ledger);
}

Test(ledger, reordering_is_not_a_restart_and_no_loss)
{
    Book book = open_book(VERSION_IPFIX);
    static const guint32 order[] = {0, 40, 20, 10, 30, 60, 50};
    for (gsize i = 0; i < G_N_ELEMENTS(order); i++)
        got(&book, order[i], 10);
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    cr_assert_eq(book.ledger->reordered, 4);
    cr_assert_eq(book.ledger->restarts, 0);
    cr_assert_eq(book.ledger->received, 70);
    ledger_unref(book.ledger);
}

Test(ledger, part_of_a_gap_that_never_comes_is_lost)
{
    Book book = open_book(VERSION_IPFIX);
    got(&book, 0, 10);
    got(&book, 50, 10);
    got(&book, 20, 10);
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 30);
    ledger_unref(book.ledger);
}

Test(ledger, duplicate_changes_nothing_that_was_expected)
{
    Book book = open_book(VERSION_IPFIX);
    got(&book, 0, 10);
    got(&book, 10, 10);
    got(&book, 10, 10);
    got(&book, 20, 10);
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    cr_assert_eq(book.ledger->duplicates, 1);
    ledger_unref(book.ledger);
}

Test(ledger, restart_is_not_a_million_lost_records)
{
    Book book = open_book(VERSION_IPFIX);
    got(&book, 5000000, 10);
    got(&book, 0, 10); /* from the start */
    got(&book, 10, 10);
    got(&book, 2000000000, 10); /* from a number by chance */
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    cr_assert_eq(book.ledger->restarts, 2);
    ledger_unref(book.ledger);
}

Test(ledger, fallen_uptime_is_a_restart_whatever_the_number)
{
    Book book = open_book(VERSION_V5);
    got_at(&book, 100, 10, 500000);
    got_at(&book, 300, 10, 2000);
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    cr_assert_eq(book.ledger->restarts, 1);
    ledger_unref(book.ledger);
}

Test(ledger, of_v9_counts_datagrams_and_says_records)
{
    Book book = open_book(VERSION_V9);
    for (guint32 i = 0; i < 200; i++)
        got(&book, i, 20);
    got(&book, 205, 20);
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 5 * 20);
    ledger_unref(book.ledger);
}

Test(ledger, gap_is_charged_to_what_the_socket_dropped)
{
    Book book = open_book(VERSION_IPFIX);
    got(&book, 0, 10);
    got(&book, 10, 10);
    book.kernel = 3;
    got(&book, 70, 10); /* five datagrams are missing */
    cr_assert_eq(lost(&book, PST_LOSS_KERNEL), 30);
    cr_assert_eq(book.ledger->lost[PST_LOSS_NETWORK], 20);
    cr_assert_eq(book.kernel, 0);
    ledger_unref(book.ledger);
}

Test(ledger, gap_is_charged_to_malformed_datagrams_first)
{
    Book book = open_book(VERSION_IPFIX);
    got(&book, 0, 10);
    ledger_malformed(book.ledger);
    got(&book, 20, 10);
    cr_assert_eq(lost(&book, PST_LOSS_MALFORMED), 10);
    cr_assert_eq(book.ledger->lost[PST_LOSS_NETWORK], 0);
    ledger_unref(book.ledger);
}

Test(ledger, records_that_nobody_could_decode_are_no_gap)
{
    Book book = open_book(VERSION_IPFIX);
    Message message = {.version = VERSION_IPFIX, .sequence = 0};
    ledger_message(book.ledger, &message, 2055, 5, 200, book.now_ns);
    got(&book, 12, 10); /* seven were in the 200 bytes without a template */
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    ledger_unref(book.ledger);
}

Test(ledger, ports_are_sessions_of_their_own)
{
    Book book = open_book(VERSION_IPFIX);
    for (guint i = 0; i < 20; i++) {
        Message one = {.version = VERSION_IPFIX, .sequence = i * 10};
        Message two = {.version = VERSION_IPFIX, .sequence = 900000 + i * 10};
        ledger_message(book.ledger, &one, 1, 10, 0, book.now_ns);
        ledger_message(book.ledger, &two, 2, 10, 0, book.now_ns);
    }
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    cr_assert_eq(book.ledger->restarts, 0);
    ledger_unref(book.ledger);
}

Test(ledger, exporter_that_counts_records_in_v9_loses_nothing)
{
    Book book = open_book(VERSION_V9);
    for (guint32 i = 0; i < 50; i++)
        got(&book, 1000 + i * 20, 20);
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    got(&book, 1000 + 53 * 20, 20); /* three datagrams of twenty are missing */
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 60);
    ledger_unref(book.ledger);
}

Test(ledger, exporter_that_counts_datagrams_in_ipfix_is_understood)
{
    Book book = open_book(VERSION_IPFIX);
    for (guint32 i = 0; i < 50; i++)
        got(&book, 1000 + i, 20);
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    got(&book, 1053, 20);
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 60);
    ledger_unref(book.ledger);
}

Test(ledger, change_of_version_starts_anew)
{
    Book book = open_book(VERSION_V5);
    got(&book, 100000, 20);
    book.version = VERSION_V9;
    got(&book, 500, 20);
    got(&book, 501, 20);
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    cr_assert_eq(book.ledger->duplicates, 0);
    ledger_unref(book.ledger);
}

Test(ledger, beat_says_what_grew_since_the_last)
{
    Book book = open_book(VERSION_IPFIX);
    got(&book, 0, 10);
    ledger_lose(book.ledger, PST_LOSS_BUS, 4);
    PstHeartbeat beat = {0};
    ledger_beat(book.ledger, &beat);
    cr_assert_eq(beat.received, 10);
    cr_assert_eq(beat.lost[PST_LOSS_BUS], 4);
    ledger_beat(book.ledger, &beat);
    cr_assert_eq(beat.received, 0);
    cr_assert_eq(beat.lost[PST_LOSS_BUS], 0);
    ledger_unref(book.ledger);
}

Test(ledger, beat_that_was_lost_is_told_by_the_next)
{
    Book book = open_book(VERSION_IPFIX);
    got(&book, 0, 10);
    PstHeartbeat beat = {0};
    ledger_beat(book.ledger, &beat);
    cr_assert_not(ledger_has_news(book.ledger));
    ledger_lose(book.ledger, PST_LOSS_BUS, 4);
    ledger_unbeat(book.ledger, &beat);
    cr_assert(ledger_has_news(book.ledger));
    ledger_beat(book.ledger, &beat);
    cr_assert_eq(beat.received, 10);
    cr_assert_eq(beat.lost[PST_LOSS_BUS], 4);
    cr_assert_not(ledger_has_news(book.ledger));
    ledger_unref(book.ledger);
}

/* Any order of any losses: what was sent is received or lost, to the last record. */
Test(ledger, sum_closes_under_random_loss_and_reordering)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    for (guint run = 0; run < 200; run++) {
        Book book = open_book(VERSION_IPFIX);
        guint32 base = g_rand_int(rand);
        guint32 late = 0;
        gboolean has_late = FALSE;
        got(&book, base, 10);
        for (guint32 i = 1; i < 200; i++) {
            guint32 what = (guint32)g_rand_int_range(rand, 0, 10);
            if (what == 0)
                continue; /* lost */
            if (what == 1 && !has_late) {
                late = i;
                has_late = TRUE;
                continue;
            }
            got(&book, base + i * 10, 10);
            if (has_late && i - late >= 3) {
                got(&book, base + late * 10, 10);
                has_late = FALSE;
            }
        }
        got(&book, base + 2000, 10);
        guint64 network = lost(&book, PST_LOSS_NETWORK);
        cr_assert_eq(book.ledger->received + network, 2010, "run %u: %lu + %lu", run,
                     (gulong)book.ledger->received, (gulong)network);
        cr_assert_eq(book.ledger->restarts, 0);
        ledger_unref(book.ledger);
    }
}
