/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <stdio.h>

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
    PstAddr addr = pst_addr_v4(0xc0000201);
    return (Book){.ledger = ledger_new(&addr, 7), .version = version, .now_ns = NS_PER_S};
}

static void got_at(Book *book, guint32 sequence, guint32 records, guint32 uptime_ms)
{
    Message message = {.version = book->version,
                       .sequence = sequence,
                       .has_uptime = book->version != VERSION_IPFIX,
                       .uptime_ms = uptime_ms};
    ledger_message(book->ledger, &message, 2055, records, 0, PST_LOSS_NO_TEMPLATE, book->now_ns);
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

/* A message of @records and @bytes that could not be decoded; @held of its sets are kept. */
static void got_unread(Book *book, guint32 sequence, guint32 records, gsize bytes, guint held)
{
    Message message = {.version = book->version, .sequence = sequence};
    for (guint i = 0; i < held; i++)
        ledger_held(book->ledger, &message, 2055);
    if (held == 0)
        ledger_not_held(book->ledger, &message, 2055, bytes);
    ledger_message(book->ledger, &message, 2055, records, bytes, PST_LOSS_NO_TEMPLATE,
                   book->now_ns);
}

Test(ledger, next_number_tells_how_many_records_could_not_be_decoded)
{
    Book book = open_book(VERSION_IPFIX);
    got_unread(&book, 0, 5, 200, 0);
    cr_assert_eq(lost(&book, PST_LOSS_NO_TEMPLATE), 0, "nobody knows yet");
    got(&book, 12, 10); /* seven were in the 200 bytes without a template */
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    cr_assert_eq(book.ledger->lost[PST_LOSS_NO_TEMPLATE], 7);
    cr_assert_eq(ledger_expected(book.ledger), 22);
    ledger_unref(book.ledger);
}

Test(ledger, held_data_is_lost_when_it_is_thrown_away_and_not_before)
{
    Book book = open_book(VERSION_IPFIX);
    Message first = {.version = VERSION_IPFIX, .sequence = 0};
    got_unread(&book, 0, 5, 200, 2);
    got(&book, 12, 10);
    ledger_late(book.ledger, &first, 2055, 3);
    cr_assert_eq(lost(&book, PST_LOSS_NO_TEMPLATE), 0);
    ledger_held_lost(book.ledger, &first, 2055, 150);
    cr_assert_eq(lost(&book, PST_LOSS_NO_TEMPLATE), 4, "of seven, three were decoded late");
    cr_assert_eq(ledger_expected(book.ledger), 22);
    ledger_unref(book.ledger);
}

Test(ledger, data_decoded_before_the_next_message_leaves_no_gap)
{
    Book book = open_book(VERSION_IPFIX);
    Message first = {.version = VERSION_IPFIX, .sequence = 0};
    got_unread(&book, 0, 5, 200, 1);
    ledger_late(book.ledger, &first, 2055, 7);
    got(&book, 12, 10);
    got(&book, 30, 10); /* and eight more are lost on the way */
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 8);
    cr_assert_eq(book.ledger->lost[PST_LOSS_NO_TEMPLATE], 0);
    cr_assert_eq(ledger_expected(book.ledger), 40);
    ledger_unref(book.ledger);
}

Test(ledger, of_v9_guesses_what_could_not_be_decoded)
{
    Book book = open_book(VERSION_V9);
    got_unread(&book, 0, 5, 500, 0);
    cr_assert_eq(lost(&book, PST_LOSS_NO_TEMPLATE), 10);
    got(&book, 1, 5);
    cr_assert_eq(lost(&book, PST_LOSS_NETWORK), 0);
    cr_assert_eq(ledger_expected_datagrams(book.ledger), 2);
    ledger_unref(book.ledger);
}

Test(ledger, ports_are_sessions_of_their_own)
{
    Book book = open_book(VERSION_IPFIX);
    for (guint i = 0; i < 20; i++) {
        Message one = {.version = VERSION_IPFIX, .sequence = i * 10};
        Message two = {.version = VERSION_IPFIX, .sequence = 900000 + i * 10};
        ledger_message(book.ledger, &one, 1, 10, 0, PST_LOSS_NO_TEMPLATE, book.now_ns);
        ledger_message(book.ledger, &two, 2, 10, 0, PST_LOSS_NO_TEMPLATE, book.now_ns);
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

/* ---- any order of anything: what was sent is accounted for, to the last record ---- */

enum { MAX_WORLD = 400 };

/* One datagram on its way: its number, its records, and those among them without a template. */
typedef struct {
    guint32 sequence;
    guint32 records;
    guint32 unread;
    gboolean malformed;
} Parcel;

typedef struct {
    Book book;
    GRand *rand;
    Parcel sent[MAX_WORLD];
    guint n;
    GQueue held; /* of Parcel, borrowed */
    guint64 records, datagrams, copies;
} World;

static gboolean chance(World *world, guint percent)
{
    return (guint)g_rand_int_range(world->rand, 0, 100) < percent;
}

static void make_parcels(World *world)
{
    guint32 sequence = g_rand_int(world->rand);
    gboolean v9 = world->book.version == VERSION_V9;
    for (guint i = 0; i < world->n; i++) {
        Parcel *parcel = &world->sent[i];
        *parcel = (Parcel){.sequence = sequence,
                           .records = (guint32)g_rand_int_range(world->rand, 1, 30)};
        gboolean plain = i == 0 || i >= world->n - 2 || world->book.version == VERSION_V5;
        if (!plain && chance(world, 10))
            parcel->unread = (guint32)g_rand_int_range(world->rand, 1, 20);
        parcel->malformed = i > 0 && i < world->n - 2 && chance(world, 3);
        guint32 all = parcel->records + parcel->unread;
        sequence += v9 ? 1 : all;
        world->records += all;
        world->datagrams++;
    }
}

static void arrive(World *world, const Parcel *parcel)
{
    Book *book = &world->book;
    Message message = {.version = book->version, .sequence = parcel->sequence};
    if (parcel->malformed) {
        ledger_malformed(book->ledger);
        return;
    }
    if (parcel->unread > 0 && chance(world, 70)) {
        ledger_held(book->ledger, &message, 2055);
        g_queue_push_tail(&world->held, (gpointer)(gsize)parcel);
    } else if (parcel->unread > 0) {
        ledger_not_held(book->ledger, &message, 2055, parcel->unread * 50);
    }
    ledger_message(book->ledger, &message, 2055, parcel->records, parcel->unread * 50,
                   PST_LOSS_NO_TEMPLATE, book->now_ns);
    book->now_ns += NS_PER_S / 200;
    ledger_settle(book->ledger, book->now_ns, &book->kernel);
}

static void release_one(World *world)
{
    const Parcel *parcel = g_queue_pop_head(&world->held);
    Message message = {.version = world->book.version, .sequence = parcel->sequence};
    if (chance(world, 50))
        ledger_late(world->book.ledger, &message, 2055, parcel->unread);
    else
        ledger_held_lost(world->book.ledger, &message, 2055, parcel->unread * 50);
}

/* Loses, delays, doubles, and lets the socket drop; the first and the last two arrive. */
static void send_all(World *world)
{
    const Parcel *late = NULL;
    guint late_at = 0;
    for (guint i = 0; i < world->n; i++) {
        const Parcel *parcel = &world->sent[i];
        gboolean safe = i == 0 || i >= world->n - 2;
        if (late != NULL && (i >= late_at || safe)) {
            arrive(world, late);
            late = NULL;
        }
        if (!safe && chance(world, 5)) {
            world->book.kernel += chance(world, 50);
            continue;
        }
        if (!safe && late == NULL && parcel->unread == 0 && chance(world, 5)) {
            late = parcel;
            late_at = i + (guint)g_rand_int_range(world->rand, 1, 10);
            continue;
        }
        arrive(world, parcel);
        if (parcel->unread == 0 && !parcel->malformed && chance(world, 5)) {
            arrive(world, parcel);
            world->copies += parcel->records;
        }
        if (world->held.length > 0 && chance(world, 20))
            release_one(world);
    }
    while (world->held.length > 0)
        release_one(world);
}

static void live_and_check(guint16 version, guint32 seed)
{
    World world = {.book = open_book(version), .n = 300};
    world.rand = g_rand_new_with_seed(seed);
    make_parcels(&world);
    send_all(&world);
    Ledger *ledger = world.book.ledger;
    ledger_settle(ledger, G_MAXINT64, &world.book.kernel);
    if (version == VERSION_V9)
        cr_assert_eq(ledger_expected_datagrams(ledger), world.datagrams,
                     "seed %u: %" G_GUINT64_FORMAT " datagrams of %" G_GUINT64_FORMAT, seed,
                     ledger_expected_datagrams(ledger), world.datagrams);
    else
        cr_assert_eq(ledger_expected(ledger), world.records,
                     "version %u seed %u: %" G_GUINT64_FORMAT " records of %" G_GUINT64_FORMAT,
                     version, seed, ledger_expected(ledger), world.records);
    cr_assert_eq(ledger->restarts, 0);
    cr_assert_not(ledger_waits(ledger));
    g_queue_clear(&world.held);
    g_rand_free(world.rand);
    ledger_unref(ledger);
}

Test(ledger, sum_closes_whatever_happens_on_the_way)
{
    guint32 seed = g_random_int() % 1000000;
    fprintf(stderr, "ledger: seeds %u to %u\n", seed, seed + 299);
    for (guint32 i = 0; i < 300; i++) {
        live_and_check(VERSION_V5, seed + i);
        live_and_check(VERSION_V9, seed + i);
        live_and_check(VERSION_IPFIX, seed + i);
    }
}
