/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib/gstdio.h>

#include "flow_builder.h"
#include "spool.h"

enum { PARTITIONS = 2, BATCH_BYTES = 16 << 10, WAIT_MS = 20000 };

/* A spool in a folder of its own, and a maker of batches. */
typedef struct {
    char *folder;
    char *path;
    Spool *spool;
    guint64 epoch;
    guint64 made;
    guint64 sequences[PARTITIONS];
} Store;

static void store_open(Store *store, gint64 bytes_max)
{
    g_autoptr(GError) error = NULL;
    store->spool = spool_open(&(SpoolOptions){.path = store->path,
                                              .bytes_max = bytes_max,
                                              .producer = "test",
                                              .topics = {"postern.smtp", "postern.flows"},
                                              .partitions = PARTITIONS},
                              &error);
    cr_assert_not_null(store->spool, "%s", error != NULL ? error->message : "");
    store->epoch++;
    memset(store->sequences, 0, sizeof store->sequences);
}

static void store_init(Store *store, gint64 bytes_max)
{
    *store = (Store){.folder = g_dir_make_tmp("postern-spool-XXXXXX", NULL)};
    store->path = g_build_filename(store->folder, "spool", NULL);
    store_open(store, bytes_max);
}

static void store_clear(Store *store)
{
    spool_close(store->spool);
    g_autoptr(GDir) dir = g_dir_open(store->folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename(store->folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(store->folder);
    g_free(store->folder);
    g_free(store->path);
}

static void reopen(Store *store, gint64 bytes_max)
{
    spool_close(store->spool);
    store_open(store, bytes_max);
}

/* A batch with one record of an exporter's domain, whose number is the batch's. */
static Batch *make(Store *store)
{
    PstAddr exporter = test_addr("192.0.2.1");
    guint64 number = store->made++;
    g_autoptr(Ledger) ledger = ledger_new(&exporter, (guint32)number);
    Batch *batch = batch_new(0, number % PARTITIONS, BATCH_BYTES);
    batch->len = BATCH_BYTES;
    memset(batch->data, (int)number, batch->len);
    batch->epoch = store->epoch;
    batch->sequence = ++store->sequences[number % PARTITIONS];
    batch->number = number;
    batch->closed_ms = (gint64)(1000 + number);
    batch_charge(batch, ledger);
    PstHeartbeat told = {.lost = {[PST_LOSS_NETWORK] = number}, .ledger = ledger->id};
    batch_charge_beat(batch, ledger, &told);
    return batch;
}

static void put(Store *store, guint n)
{
    while (n-- > 0)
        spool_put_take(store->spool, make(store));
    cr_assert(spool_sync(store->spool, WAIT_MS));
}

/* The next batch from the disk; NULL: within the deadline there was none. */
static Batch *take(Store *store)
{
    PstMono end = pst_mono_add(pst_mono_now(), pst_span_ms(WAIT_MS));
    spool_want(store->spool, 1 << 20);
    while (pst_mono_now().ns < end.ns) {
        Batch *batch = spool_take(store->spool, FALSE);
        if (batch != NULL)
            return batch;
        g_usleep(1000);
    }
    return NULL;
}

/* Takes @n: in each partition in order of their stamps, from @first on. */
static void take_in_order(Store *store, guint n, gboolean done)
{
    guint64 epoch[PARTITIONS] = {0}, sequence[PARTITIONS] = {0};
    for (guint i = 0; i < n; i++) {
        g_autoptr(Batch) batch = take(store);
        cr_assert_not_null(batch, "batch %u", i);
        guint32 p = batch->partition;
        cr_assert(pst_bus_stamp_after(batch->epoch, batch->sequence, epoch[p], sequence[p]));
        epoch[p] = batch->epoch;
        sequence[p] = batch->sequence;
        cr_assert_eq(batch->len, (gsize)BATCH_BYTES);
        cr_assert_eq(batch->data[7], (guint8)(batch->closed_ms - 1000));
        if (done)
            spool_done(store->spool, batch);
    }
}

/* Until the file uses no more than @bytes. */
static SpoolState wait_bytes(Store *store, guint64 bytes)
{
    PstMono end = pst_mono_add(pst_mono_now(), pst_span_ms(WAIT_MS));
    SpoolState state;
    do {
        spool_state(store->spool, &state);
        g_usleep(1000);
    } while (state.file.bytes > bytes && pst_mono_now().ns < end.ns);
    cr_assert_leq(state.file.bytes, bytes);
    return state;
}

/* Until all @batches that were ever put are in the file or thrown away, and the rest fits. */
static SpoolState wait_bounded(Store *store, guint64 bytes, guint64 batches)
{
    PstMono end = pst_mono_add(pst_mono_now(), pst_span_ms(WAIT_MS));
    SpoolState state;
    do {
        spool_state(store->spool, &state);
        g_usleep(1000);
    } while ((state.file.bytes > bytes || state.file.batches + state.evicted != batches) &&
             pst_mono_now().ns < end.ns);
    cr_assert_leq(state.file.bytes, bytes);
    return state;
}

static void wait_empty(Store *store)
{
    cr_assert_eq(wait_bytes(store, 0).file.batches, 0);
    cr_assert_not(spool_has_any(store->spool));
}

Test(spool, gives_what_it_was_given_in_order)
{
    Store store;
    store_init(&store, 1 << 30);
    cr_assert_not(spool_has_any(store.spool));
    put(&store, 50);
    cr_assert(spool_has_any(store.spool));
    take_in_order(&store, 50, TRUE);
    wait_empty(&store);
    store_clear(&store);
}

Test(spool, outlives_its_process_and_gives_the_old_before_the_new)
{
    Store store;
    store_init(&store, 1 << 30);
    put(&store, 20);
    reopen(&store, 1 << 30);
    cr_assert_eq(spool_newest_epoch(store.spool), 1);
    put(&store, 20);
    take_in_order(&store, 40, TRUE);
    wait_empty(&store);
    store_clear(&store);
}

Test(spool, what_was_taken_and_not_done_is_taken_again)
{
    Store store;
    store_init(&store, 1 << 30);
    put(&store, 30);
    take_in_order(&store, 10, TRUE);
    take_in_order(&store, 10, FALSE);
    spool_rewind(store.spool);
    take_in_order(&store, 20, FALSE);
    reopen(&store, 1 << 30); /* as kill -9 would */
    take_in_order(&store, 20, TRUE);
    wait_empty(&store);
    store_clear(&store);
}

typedef struct {
    guint64 charges, records, told;
    guint32 newest;
} Tally;

static void add_charge(gpointer user, Ledger *ledger, const PstHeartbeat *told, guint64 records)
{
    Tally *tally = user;
    cr_assert_null(ledger);
    tally->charges++;
    tally->records += records;
    tally->told += told->lost[PST_LOSS_NETWORK];
    tally->newest = MAX(tally->newest, told->domain);
    char text[PST_ADDR_TEXT_MAX];
    cr_assert_str_eq(pst_addr_format(&told->sampler, text), "192.0.2.1");
}

Test(spool, full_one_throws_the_oldest_away_and_says_who_is_charged)
{
    Store store;
    store_init(&store, 1 << 30);
    put(&store, 100);
    reopen(&store, 1 << 20); /* also what an earlier process had put there */
    put(&store, 10);
    SpoolState state = wait_bounded(&store, 1 << 20, 110);
    Tally tally = {0};
    spool_each_evicted(store.spool, add_charge, &tally);
    cr_assert_gt(tally.records, 30);
    cr_assert_eq(tally.records, state.evicted);
    cr_assert_eq(state.file.batches, 110 - state.evicted);
    cr_assert_lt(tally.newest, 80, "the oldest goes first");
    Tally none = {0};
    spool_each_evicted(store.spool, add_charge, &none);
    cr_assert_eq(none.charges, 0, "told once");
    take_in_order(&store, (guint)state.file.batches, TRUE);
    wait_empty(&store);
    store_clear(&store);
}

Test(spool, charges_stay_with_their_batch)
{
    Store store;
    store_init(&store, 1 << 30);
    put(&store, 3);
    reopen(&store, 1 << 30);
    Tally tally = {0};
    for (guint i = 0; i < 3; i++) {
        g_autoptr(Batch) batch = take(&store);
        batch_each_charge(batch, add_charge, &tally);
    }
    cr_assert_eq(tally.charges, 6);
    cr_assert_eq(tally.records, 3);
    cr_assert_eq(tally.told, 0 + 1 + 2);
    store_clear(&store);
}

Test(spool, belongs_to_one_process)
{
    Store store;
    store_init(&store, 1 << 30);
    g_autoptr(GError) error = NULL;
    SpoolOptions options = {.path = store.path,
                            .bytes_max = 1 << 30,
                            .producer = "test",
                            .topics = {"postern.smtp"},
                            .partitions = PARTITIONS};
    cr_assert_null(spool_open(&options, &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE));
    store_clear(&store);
}

Test(spool, partitions_that_it_holds_batches_of_have_the_last_word)
{
    Store store;
    store_init(&store, 1 << 30);
    SpoolOptions options = {.path = store.path,
                            .bytes_max = 1 << 30,
                            .producer = "test",
                            .topics = {"postern.smtp", "postern.flows"},
                            .partitions = 2 * PARTITIONS};
    put(&store, 4);
    spool_close(store.spool);
    g_autoptr(GError) error = NULL;
    store.spool = spool_open(&options, &error);
    cr_assert_eq(spool_partitions(store.spool), PARTITIONS);
    take_in_order(&store, 4, TRUE);
    wait_empty(&store);
    spool_close(store.spool);
    store.spool = spool_open(&options, &error);
    cr_assert_eq(spool_partitions(store.spool), 2 * PARTITIONS, "an empty one is made anew");
    store_clear(&store);
}
