/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: a partition restored from one goes on bit by bit as if nothing had happened; what
 * cannot be used is left alone. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "image.h"
#include "partition_maker.h"
#include "snapshot.h"

static char *folder;
static Snapshots *kept;

static void begin(void)
{
    setup();
    folder = g_dir_make_tmp("postern-snapshots-XXXXXX", NULL);
    kept = snapshots_open(folder, NULL);
    cr_assert_not_null(kept);
    snapshots_name_bus(kept, "bus 1");
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names in the folder, sorted. */
static GPtrArray *files(void)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *name = g_dir_read_name(dir); name != NULL; name = g_dir_read_name(dir))
        g_ptr_array_add(names, g_build_filename(folder, name, NULL));
    g_ptr_array_sort(names, compare_names);
    return names;
}

static const char *newest(const GPtrArray *names)
{
    return g_ptr_array_index(names, names->len - 1);
}

static void end(void)
{
    snapshots_free(kept);
    g_autoptr(GPtrArray) names = files();
    for (guint i = 0; i < names->len; i++)
        (void)g_unlink(g_ptr_array_index(names, i));
    (void)g_rmdir(folder);
    g_free(folder);
    teardown();
}

TestSuite(snapshots, .init = begin, .fini = end);

static SnapshotDone snapshot(Partition *p)
{
    SnapshotDone done;
    cr_assert(partition_has_news(p));
    partition_snapshot(p);
    cr_assert(snapshots_collect(kept, TRUE, &done));
    return done;
}

/* Reads on to @end, commits at each third message, takes snapshots at 9 and 18. */
static void go_to(Fake *fake, gint64 end_at)
{
    fake->snapshots = kept;
    g_autoptr(Partition) p = take(fake);
    for (gint64 at = MAX(assigned(p, PST_TOPIC_SMTP, 0, MESSAGES), 0); at < end_at; at++) {
        give(p, at, (guint64)at + 1);
        if (at % 3 == 2)
            commit(p);
        if (at == 8 || at == 17)
            cr_assert(snapshot(p).written);
    }
}

/* Where a new process would read on. */
static gint64 resumes_at(Fake *fake, gint64 first)
{
    g_autoptr(Partition) p = take(fake);
    return assigned(p, PST_TOPIC_SMTP, first, MESSAGES);
}

Test(snapshots, the_newest_is_where_the_log_is_read_on)
{
    g_autoptr(Fake) fake = fake_new();
    go_to(fake, 24);
    cr_assert_eq(resumes_at(fake, 0), 18);
    cr_assert_eq(resumes_at(fake, 18), 18, "the log may begin there");
}

Test(snapshots, without_a_message_since_it_is_live_at_once)
{
    g_autoptr(Fake) fake = fake_new();
    go_to(fake, 18);
    g_autoptr(Partition) p = take(fake);
    cr_assert_eq(assigned(p, PST_TOPIC_SMTP, 0, MESSAGES), 18);
    cr_assert_not(partition_is_rebuilding(p));
    cr_assert_not(partition_has_news(p), "there is a snapshot of it");
}

Test(snapshots, one_whose_log_is_gone_is_left)
{
    g_autoptr(Fake) fake = fake_new();
    go_to(fake, 24);
    cr_assert_eq(resumes_at(fake, 20), 20, "from the oldest message: identical or anew");
    cr_assert_eq(resumes_at(fake, 27), 24, "a hole in any case: better than nothing");
}

Test(snapshots, those_ahead_of_postgresql_are_removed)
{
    g_autoptr(Fake) fake = fake_new();
    go_to(fake, 24);
    fake->hold->smtp_position = 12; /* a dump of yesterday, or a commit that its disk lost */
    cr_assert_eq(resumes_at(fake, 0), 9);
    g_autoptr(GPtrArray) left = files();
    cr_assert_eq(left->len, 1);
    fake->hold->epoch = 0;
    cr_assert_eq(resumes_at(fake, 0), 0, "of a later life of the database");
}

Test(snapshots, a_decision_that_postgresql_does_not_know_makes_it_ahead)
{
    g_autoptr(Fake) fake = fake_new();
    release(fake, 1);
    go_to(fake, 24);
    cr_assert_eq(resumes_at(fake, 0), 18);
    fake->hold->input_id = 0;
    cr_assert_eq(resumes_at(fake, 0), 0);
}

Test(snapshots, the_last_two_are_kept)
{
    g_autoptr(Fake) fake = fake_new();
    go_to(fake, 24);
    g_autofree char *part = g_build_filename(folder, "p3-7-e1.snapshot.part-host-1", NULL);
    g_autofree char *other = g_build_filename(folder, "p33-7-e1.snapshot.part-host-1", NULL);
    cr_assert(g_file_set_contents(part, "half", -1, NULL));
    cr_assert(g_file_set_contents(other, "half", -1, NULL));
    g_autoptr(Partition) p = take(fake);
    for (gint64 at = assigned(p, PST_TOPIC_SMTP, 0, MESSAGES); at < 27; at++)
        give(p, at, (guint64)at + 1);
    commit(p);
    SnapshotDone done = snapshot(p);
    cr_assert_eq(done.oldest, 18);
    cr_assert_gt(done.bytes, 1 << 20);
    g_autoptr(GPtrArray) left = files();
    cr_assert_eq(left->len, 3, "two, and what another partition's writer left");
    cr_assert(g_str_has_suffix(g_ptr_array_index(left, 2), "part-host-1"));
    struct stat mode;
    cr_assert_eq(g_stat(g_ptr_array_index(left, 0), &mode), 0);
    cr_assert_eq(mode.st_mode & 0777, 0600, "the key is in it");
}

Test(snapshots, where_none_can_be_written_the_stream_goes_on)
{
    g_autoptr(Fake) fake = fake_new();
    fake->snapshots = kept;
    g_autoptr(Partition) p = take(fake);
    (void)assigned(p, PST_TOPIC_SMTP, 0, MESSAGES);
    give(p, 0, 1);
    commit(p);
    cr_assert_eq(g_rmdir(folder), 0);
    SnapshotDone done = snapshot(p);
    cr_assert_not(done.written);
    cr_assert_eq(done.oldest, -1);
    cr_assert_eq(g_mkdir(folder, 0700), 0);
    give(p, 1, 2);
    commit(p);
    cr_assert(snapshot(p).written);
}

/* Changes a byte of the newest file, if it is that long; -1 cuts it there. */
static void damage(gint64 at, int byte)
{
    g_autoptr(GPtrArray) names = files();
    g_autofree char *data = NULL;
    gsize len;
    cr_assert(g_file_get_contents(newest(names), &data, &len, NULL));
    if (byte < 0)
        len = MIN(len, (gsize)at);
    else if ((gsize)at < len)
        data[at] ^= (char)byte;
    cr_assert(g_file_set_contents(newest(names), data, (gssize)len, NULL));
}

Test(snapshots, a_damaged_one_gives_way_to_the_one_before)
{
    static const gint64 places[] = {0, 8, 12, 20, 30, 60, 150, 300, 2000, 100000, 1000000};
    g_autoptr(Fake) fake = fake_new();
    go_to(fake, 24);
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        damage(places[i], 0x40);
        cr_assert_eq(resumes_at(fake, 0), 9, "byte %d", (int)places[i]);
        damage(places[i], 0x40);
        cr_assert_eq(resumes_at(fake, 0), 18);
    }
    for (guint i = G_N_ELEMENTS(places); i-- > 0;) {
        damage(places[i], -1);
        cr_assert_eq(resumes_at(fake, 0), 9, "cut at %d", (int)places[i]);
    }
    g_autoptr(GPtrArray) names = files();
    cr_assert(g_file_set_contents(g_ptr_array_index(names, 0), "", 0, NULL));
    cr_assert_eq(resumes_at(fake, 0), 0, "both: from the log");
}

Test(snapshots, one_of_another_bus_or_other_settings_is_left)
{
    g_autoptr(Fake) fake = fake_new();
    go_to(fake, 24);
    snapshots_name_bus(kept, "bus 2");
    cr_assert_eq(resumes_at(fake, 0), 0);
    snapshots_name_bus(kept, "bus 1");
    g_autoptr(Partition) p = take(fake);
    engine_conf.gate_cold += 1;
    cr_assert_eq(assigned(p, PST_TOPIC_SMTP, 0, MESSAGES), 0);
}

Test(snapshots, one_of_a_newer_version_is_refused_with_its_number)
{
    g_autoptr(PstHold) at = pst_hold_new(3);
    at->smtp_position = 5;
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    snapshot_put_head(bytes, at, "bus 1");
    bytes->data[8] = SNAPSHOT_FORMAT + 1;
    g_autoptr(GError) error = NULL;
    Snapshot found;
    cr_assert_not(snapshot_read(bytes->data, bytes->len, 3, "bus 1", &found, &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_CORRUPT));
    cr_assert_not_null(strstr(error->message, "format 2"), "%s", error->message);
}

Test(snapshots, those_of_a_bus_that_was_replaced_are_removed)
{
    g_autoptr(Fake) fake = fake_new();
    go_to(fake, 24);
    g_autoptr(Partition) p = take(fake);
    (void)assigned(p, PST_TOPIC_SMTP, 0, 2);
    g_autoptr(GPtrArray) left = files();
    cr_assert_eq(left->len, 0);
    cr_assert_not(partition_has_news(p), "the database still stands in the old log");
}

/* ---- the property ---- */

enum { COPIES = 12, LOG = MESSAGES + COPIES };

/* Sequence numbers of a log in which some batches stand twice. */
static void make_log(Dice *dice, guint64 out[LOG])
{
    gboolean twice[MESSAGES] = {FALSE};
    for (guint n = 0; n < COPIES;) {
        guint at = (guint)(dice_next(dice) % MESSAGES);
        n += !twice[at];
        twice[at] = TRUE;
    }
    guint len = 0;
    for (guint64 i = 0; i < MESSAGES; i++) {
        out[len++] = i + 1;
        if (twice[i])
            out[len++] = i + 1;
    }
}

/* One life. @dice NULL: undisturbed, to the end. Otherwise killed somewhere, after snapshots at
 * some commits; then at times the newest snapshot is gone, or damaged. TRUE: reached the end. */
static gboolean one_life(Fake *fake, const guint64 log[LOG], Dice *dice, guint *loaded)
{
    g_autoptr(Partition) p = take(fake);
    gint64 from = assigned(p, PST_TOPIC_SMTP, 0, LOG);
    *loaded += from > 0;
    gint64 killed = dice != NULL ? (gint64)(dice_next(dice) % (LOG + 8)) : LOG;
    for (gint64 at = MAX(from, 0); at < LOG; at++) {
        if (at == 12 && fake->inputs->len == 0)
            release(fake, 1);
        give(p, at, log[at]);
        if (at == killed)
            return FALSE;
        gboolean tick = at % 3 == 2 || at == LOG - 1;
        if (!partition_tick_is_open(p) || !tick)
            continue;
        commit(p);
        if (dice != NULL && dice_next(dice) % 2 && partition_has_news(p))
            cr_assert(snapshot(p).written);
    }
    return TRUE;
}

static void lose_or_damage(Dice *dice)
{
    g_autoptr(GPtrArray) names = files();
    guint what = (guint)(dice_next(dice) % 4);
    if (names->len < 2)
        return;
    if (what == 0)
        (void)g_unlink(newest(names));
    else if (what == 1)
        damage((gint64)(dice_next(dice) % (1 << 20)), 1);
    else if (what == 2)
        damage((gint64)(dice_next(dice) % (1 << 20)), -1);
}

Test(snapshots, killed_and_restored_anywhere_gives_the_same_rows)
{
    const char *given = g_getenv("SEED");
    guint64 seed = given != NULL ? g_ascii_strtoull(given, NULL, 10) : (guint64)g_get_real_time();
    cr_log_info("SEED=%" G_GUINT64_FORMAT, seed);
    Dice dice = {seed | 1};
    guint loaded = 0, none = 0;
    for (guint trial = 0; trial < 12; trial++) {
        guint64 log[LOG];
        make_log(&dice, log);
        g_autoptr(Fake) whole = fake_new();
        cr_assert(one_life(whole, log, NULL, &none));
        g_autofree char *verdicts = rows_of(whole->verdicts);
        g_autofree char *sessions = rows_of(whole->sessions);
        g_autoptr(Fake) fake = fake_new();
        fake->snapshots = kept;
        snapshots_forget(kept, 3);
        while (!one_life(fake, log, &dice, &loaded))
            lose_or_damage(&dice);
        g_autofree char *verdicts_now = rows_of(fake->verdicts);
        g_autofree char *sessions_now = rows_of(fake->sessions);
        cr_assert_str_eq(verdicts_now, verdicts, "SEED=%" G_GUINT64_FORMAT, seed);
        cr_assert_str_eq(sessions_now, sessions, "SEED=%" G_GUINT64_FORMAT, seed);
    }
    cr_assert_gt(loaded, 0);
}
