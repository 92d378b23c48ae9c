/* SPDX-License-Identifier: Apache-2.0 */
/* The bus where no process needs to die: arguments, one owner's view, a file that is damaged. The
 * promises that need processes and real parts are in tests/system/test_bus_*.py. */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "postern/bus.h"

typedef struct {
    char *folder;
    char *uri;
    guint delivered;
    guint failed;
    PstBus *bus;
} Place;

static void on_delivered(gpointer user, gpointer cookie, const GError *error)
{
    Place *place = user;
    if (error == NULL)
        place->delivered++;
    else
        place->failed++;
}

static Place place_new(void)
{
    Place place = {.folder = g_dir_make_tmp("postern-bus-XXXXXX", NULL)};
    place.uri = g_strdup_printf("embedded:%s/bus.db", place.folder);
    return place;
}

static void place_open(Place *place, gint64 timeout_ms)
{
    g_autoptr(GError) error = NULL;
    PstBusOptions options = {
        .delivered = on_delivered, .user = place, .delivery_timeout_ms = timeout_ms};
    place->bus = pst_bus_open(place->uri, &options, &error);
    cr_assert_null(error, "%s", error->message);
}

static void place_clear(Place *place)
{
    pst_bus_close(place->bus);
    GDir *dir = g_dir_open(place->folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename(place->folder, name, NULL);
        g_unlink(path);
    }
    g_dir_close(dir);
    g_rmdir(place->folder);
    g_free(place->folder);
    g_free(place->uri);
}

static gboolean publish(Place *place, const char *topic, const char *producer, guint64 sequence,
                        const char *text, GError **error)
{
    PstBusStamp stamp = {producer, 1, sequence};
    return pst_bus_publish(place->bus, topic, 0, &stamp, (const guint8 *)text, strlen(text), place,
                           error);
}

static gboolean from_oldest(gpointer user, const char *topic, gint32 partition, gint64 *out)
{
    *out = PST_BUS_OLDEST;
    return TRUE;
}

static void count_revoked(gpointer user, const char *topic, gint32 partition)
{
    if (user != NULL)
        (*(guint *)user)++;
}

static gboolean subscribe(Place *place, guint *revoked, GError **error)
{
    const char *const topics[] = {"t", NULL};
    PstBusAssignment assignment = {from_oldest, count_revoked, revoked};
    return pst_bus_subscribe(place->bus, "g", topics, &assignment, error);
}

Test(bus, address_without_a_scheme_is_refused_with_the_forms_that_work)
{
    g_autoptr(GError) error = NULL;
    cr_assert_null(pst_bus_open("localhost:9092", NULL, &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE));
    cr_assert_not_null(strstr(error->message, "kafka://HOST"));
    cr_assert_not_null(strstr(error->message, "embedded:PATH"));
}

Test(bus, closing_nothing_is_fine)
{
    pst_bus_close(NULL);
}

Test(bus, topic_must_be_made_sure_of_before_publishing)
{
    Place place = place_new();
    g_autoptr(GError) error = NULL;
    place_open(&place, 0);
    cr_assert_not(publish(&place, "t", "p", 1, "x", &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE));
    place_clear(&place);
}

Test(bus, producer_is_one_for_the_life_of_a_bus)
{
    Place place = place_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *longest = g_strnfill(PST_BUS_PRODUCER_MAX, 'p');
    g_autofree char *too_long = g_strnfill(PST_BUS_PRODUCER_MAX + 1, 'p');
    place_open(&place, 0);
    cr_assert(pst_bus_ensure_topic(place.bus, "t", 1, NULL, NULL));
    cr_assert_not(publish(&place, "t", too_long, 1, "x", NULL));
    cr_assert(publish(&place, "t", longest, 1, "x", NULL));
    cr_assert_not(publish(&place, "t", "another", 2, "x", &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE));
    cr_assert(pst_bus_flush(place.bus, 5000, NULL));
    cr_assert_eq(place.delivered, 1);
    place_clear(&place);
}

Test(bus, stamp_tells_copies_from_news)
{
    cr_assert(pst_bus_stamp_after(1, 1, 0, 0));
    cr_assert(pst_bus_stamp_after(1, 2, 1, 1));
    cr_assert_not(pst_bus_stamp_after(1, 1, 1, 1));
    cr_assert_not(pst_bus_stamp_after(1, 1, 1, 2));
    cr_assert(pst_bus_stamp_after(2, 1, 1, 9));
    cr_assert_not(pst_bus_stamp_after(1, 9, 2, 1));
}

Test(bus, message_is_a_copy_and_comes_back_whole)
{
    Place place = place_new();
    PstBusMessage out[4];
    guint revoked = 0;
    char text[] = "before";
    place_open(&place, 0);
    cr_assert(pst_bus_ensure_topic(place.bus, "t", 2, NULL, NULL));
    cr_assert(publish(&place, "t", "gate", 5, text, NULL));
    memcpy(text, "after!", sizeof text);
    cr_assert(pst_bus_flush(place.bus, 5000, NULL));
    cr_assert(subscribe(&place, &revoked, NULL));
    cr_assert_eq(pst_bus_poll(place.bus, 1000, out, 4, NULL), 1);
    cr_assert_str_eq(out[0].topic, "t");
    cr_assert_str_eq(out[0].stamp.producer, "gate");
    cr_assert_eq(out[0].stamp.sequence, 5);
    cr_assert_eq(out[0].len, 6);
    cr_assert_eq(memcmp(out[0].data, "before", 6), 0);
    cr_assert_leq(ABS(out[0].time_ms - g_get_real_time() / 1000), 60 * 1000);
    place_clear(&place);
    cr_assert_eq(revoked, 2);
}

/* Mode of the bus file or of one beside it. */
static mode_t mode_of(const Place *place, const char *suffix)
{
    g_autofree char *path = g_strconcat(strchr(place->uri, ':') + 1, suffix, NULL);
    struct stat now;
    cr_assert_eq(stat(path, &now), 0, "%s", path);
    return now.st_mode & 07777;
}

Test(bus, folder_of_a_group_makes_a_bus_that_the_group_may_write)
{
    Place place = place_new();
    cr_assert_eq(g_chmod(place.folder, 02770), 0);
    mode_t before = umask(0077);
    place_open(&place, 0);
    g_autoptr(GError) error = NULL;
    cr_assert(pst_bus_ensure_topic(place.bus, "t", 1, NULL, &error));
    umask(before);
    cr_assert_eq(mode_of(&place, ""), 0660);
    cr_assert_eq(mode_of(&place, "-wal"), 0660);
    cr_assert_eq(mode_of(&place, "-shm"), 0660);
    place_clear(&place);
}

Test(bus, folder_of_one_user_makes_a_bus_of_this_user)
{
    Place place = place_new();
    mode_t before = umask(0077);
    place_open(&place, 0);
    umask(before);
    cr_assert_eq(mode_of(&place, ""), 0600);
    place_clear(&place);
}

Test(bus, poll_gives_no_more_than_asked_and_goes_round_the_partitions)
{
    Place place = place_new();
    PstBusMessage out[8];
    gboolean seen[2] = {FALSE, FALSE};
    PstBusStamp stamp = {"p", 1, 1};
    place_open(&place, 0);
    cr_assert(pst_bus_ensure_topic(place.bus, "t", 2, NULL, NULL));
    for (int i = 0; i < 200; i++, stamp.sequence++)
        cr_assert(
            pst_bus_publish(place.bus, "t", i % 2, &stamp, (const guint8 *)"x", 1, NULL, NULL));
    cr_assert(pst_bus_flush(place.bus, 5000, NULL));
    cr_assert(subscribe(&place, NULL, NULL));
    cr_assert_eq(pst_bus_poll(place.bus, 1000, out, 8, NULL), 8);
    for (int i = 0; i < 8; i++)
        seen[out[i].partition] = TRUE;
    cr_assert(seen[0] && seen[1]);
    place_clear(&place);
}

#define OPENERS 8

/* Opens and closes the bus; returns what went wrong. */
static gpointer open_once(gpointer data)
{
    GError *error = NULL;
    PstBus *bus = pst_bus_open(data, NULL, &error);
    if (bus != NULL)
        pst_bus_close(bus);
    return error;
}

Test(bus, many_may_be_the_first_to_open_it, .timeout = 120)
{
    for (int round = 0; round < 60; round++) {
        Place place = place_new();
        GThread *threads[OPENERS];
        for (int i = 0; i < OPENERS; i++)
            threads[i] = g_thread_new("opener", open_once, place.uri);
        for (int i = 0; i < OPENERS; i++) {
            g_autoptr(GError) error = g_thread_join(threads[i]);
            cr_assert_null(error, "%s", error->message);
        }
        place_clear(&place);
    }
}

/* --- damage -------------------------------------------------------------------------------- */

/* A file with a few hundred messages of several sizes, as bytes. */
static GBytes *make_sound_file(void)
{
    Place place = place_new();
    char *bytes;
    gsize len;
    g_autofree char *large = g_strnfill(70000, 'y');
    place_open(&place, 0);
    cr_assert(pst_bus_ensure_topic(place.bus, "t", 1, NULL, NULL));
    for (guint i = 1; i <= 100; i++)
        cr_assert(publish(&place, "t", "p", i, i % 20 == 0 ? large : "short", NULL));
    pst_bus_close(g_steal_pointer(&place.bus));
    cr_assert_eq(place.delivered, 100);
    cr_assert(g_file_get_contents(place.uri + strlen("embedded:"), &bytes, &len, NULL));
    place_clear(&place);
    return g_bytes_new_take(bytes, len);
}

static GBytes *damage(GBytes *sound, GRand *rand)
{
    gsize len = g_bytes_get_size(sound);
    guint8 *bytes = g_memdup2(g_bytes_get_data(sound, NULL), len);
    for (gint n = g_rand_int_range(rand, 1, 40); n > 0; n--) {
        /* Half of the blows fall on the first pages, where the structure is. */
        gsize reach = g_rand_boolean(rand) ? MIN(len, 8 * 16384) : len;
        bytes[g_rand_int_range(rand, 0, (gint32)reach)] = (guint8)g_rand_int(rand);
    }
    if (g_rand_int_range(rand, 0, 4) == 0)
        len = (gsize)g_rand_int_range(rand, 0, (gint32)len);
    return g_bytes_new_take(bytes, len);
}

/* Everything an owner does; each answer is an error with words, or it is an answer. */
static void use(Place *place)
{
    g_autoptr(GError) error = NULL;
    PstBusMessage out[64];
    gint64 first, end;
    gssize n;
    if (!pst_bus_ensure_topic(place->bus, "t", 1, NULL, &error) ||
        !pst_bus_bounds(place->bus, "t", 0, &first, &end, &error) ||
        !subscribe(place, NULL, &error))
        goto said;
    guint polls = 0;
    while ((n = pst_bus_poll(place->bus, 0, out, 64, &error)) > 0)
        cr_assert_lt(++polls, 1000);
    if (n < 0 || !publish(place, "t", "p", 1, "x", &error) ||
        !pst_bus_flush(place->bus, 1000, &error))
        goto said;
    return;
said:
    cr_assert_eq(error->domain, PST_ERROR);
    cr_assert_gt(strlen(error->message), 20, "%s", error->message);
}

Test(bus, damaged_file_gives_errors_and_never_a_crash, .timeout = 120)
{
    g_autoptr(GBytes) sound = make_sound_file();
    g_autoptr(GRand) rand = g_rand_new_with_seed(20261121);
    guint refused = 0, opened = 0;
    for (int i = 0; i < 300; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) bytes = damage(sound, rand);
        Place place = place_new();
        PstBusOptions options = {
            .delivered = on_delivered, .user = &place, .delivery_timeout_ms = 20};
        cr_assert(g_file_set_contents(place.uri + strlen("embedded:"),
                                      g_bytes_get_data(bytes, NULL),
                                      (gssize)g_bytes_get_size(bytes), NULL));
        place.bus = pst_bus_open(place.uri, &options, &error);
        if (place.bus != NULL)
            use(&place);
        else
            cr_assert_gt(strlen(error->message), 20);
        *(place.bus != NULL ? &opened : &refused) += 1;
        place_clear(&place);
    }
    cr_assert(refused > 10 && opened > 10, "refused %u, opened %u", refused, opened);
}
