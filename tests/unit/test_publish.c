/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>

#include "postern/bus.h"
#include "postern/unit.h"
#include "publish.h"

enum { PARTITIONS = 8 };

/* A folder with a bus, a spool, and a bus that cannot be reached. */
typedef struct {
    char *folder, *bus, *spool, *away;
} Place;

static Place place_new(void)
{
    Place p = {.folder = g_dir_make_tmp("postern-publish.XXXXXX", NULL)};
    p.bus = g_strdup_printf("embedded:%s/bus", p.folder);
    p.spool = g_strdup_printf("embedded:%s/spool", p.folder);
    p.away = g_strdup_printf("embedded:%s/missing/bus", p.folder);
    return p;
}

static void place_clear(Place *p)
{
    g_autoptr(GDir) dir = g_dir_open(p->folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(p->folder, name, NULL);
        g_remove(path);
    }
    g_rmdir(p->folder);
    g_free(p->folder);
    g_free(p->bus);
    g_free(p->spool);
    g_free(p->away);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_clear)

static Publisher *publisher(const char *bus, const char *spool, GError **error)
{
    const PublisherOptions options = {
        .bus = bus, .spool = spool, .partitions = PARTITIONS, .timeout_ms = 5000};
    return publisher_open(&options, error);
}

/* Publishes a complaint about each of @addresses; the report ids are the addresses. */
static gboolean send(Publisher *p, const char *const *addresses, GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)pst_evidence_free);
    for (; *addresses != NULL; addresses++) {
        PstEvidence *e = pst_evidence_new();
        e->incidents = 1;
        e->report_id = g_strdup(*addresses);
        if (!pst_addr_parse(*addresses, strlen(*addresses), &e->source_ip))
            e->source_ip.family = PST_AF_NONE; /* "unknown" */
        g_ptr_array_add(all, e);
    }
    return publisher_send(p, all, error);
}

static gboolean from_oldest(gpointer user, const char *topic, gint32 partition, gint64 *out)
{
    *out = PST_BUS_OLDEST;
    return TRUE;
}

static void ignore(gpointer user, const char *topic, gint32 partition)
{
}

/* "REPORT@PARTITION " of everything on the bus, in the order of reading. Given. */
static char *read_bus(const char *uri)
{
    const char *const topics[] = {PST_TOPIC_EVIDENCE, NULL};
    const PstBusAssignment assignment = {from_oldest, ignore, NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(PstBus) bus = pst_bus_open(uri, NULL, &error);
    GString *out = g_string_new(NULL);
    PstBusMessage m[16];
    gssize n;
    cr_assert_not_null(bus, "%s", error != NULL ? error->message : "");
    cr_assert(pst_bus_subscribe(bus, "test", topics, &assignment, &error));
    while ((n = pst_bus_poll(bus, 0, m, G_N_ELEMENTS(m), &error)) > 0)
        for (gssize i = 0; i < n; i++) {
            g_autoptr(PstEvidence) e = pst_evidence_decode(m[i].data, m[i].len);
            cr_assert_not_null(e);
            g_string_append_printf(out, "%s@%d ", e->report_id, m[i].partition);
        }
    cr_assert_eq(n, 0);
    return g_string_free(out, FALSE);
}

static gint32 partition_of(const char *address)
{
    PstAddr addr;
    cr_assert(pst_addr_parse(address, strlen(address), &addr));
    return (gint32)pst_partition_of(&addr, PARTITIONS);
}

Test(publish, puts_evidence_into_the_partition_of_its_address)
{
    g_auto(Place) place = place_new();
    const char *addresses[] = {"203.0.113.9", NULL};
    {
        g_autoptr(Publisher) p = publisher(place.bus, NULL, NULL);
        cr_assert(send(p, addresses, NULL));
    }
    g_autofree char *seen = read_bus(place.bus);
    g_autofree char *expected = g_strdup_printf("203.0.113.9@%d ", partition_of("203.0.113.9"));
    cr_assert_str_eq(seen, expected);
}

Test(publish, puts_evidence_without_address_into_the_first_partition)
{
    g_auto(Place) place = place_new();
    const char *addresses[] = {"unknown", NULL};
    {
        g_autoptr(Publisher) p = publisher(place.bus, NULL, NULL);
        cr_assert(send(p, addresses, NULL));
    }
    g_autofree char *seen = read_bus(place.bus);
    cr_assert_str_eq(seen, "unknown@0 ");
}

Test(publish, keeps_the_partitions_that_the_topic_has)
{
    g_auto(Place) place = place_new();
    const char *addresses[] = {"203.0.113.9", NULL};
    {
        g_autoptr(PstBus) bus = pst_bus_open(place.bus, NULL, NULL);
        cr_assert(pst_bus_ensure_topic(bus, PST_TOPIC_EVIDENCE, 1, NULL, NULL));
        g_autoptr(Publisher) p = publisher(place.bus, NULL, NULL);
        cr_assert(send(p, addresses, NULL));
    }
    g_autofree char *seen = read_bus(place.bus);
    cr_assert_str_eq(seen, "203.0.113.9@0 ");
}

Test(publish, fails_when_the_bus_is_away_and_there_is_no_spool)
{
    g_auto(Place) place = place_new();
    g_autoptr(GError) error = NULL;
    cr_assert_null(publisher(place.away, NULL, &error));
    cr_assert_not_null(error);
}

Test(publish, spools_while_the_bus_is_away_and_moves_it_over_once)
{
    g_auto(Place) place = place_new();
    const char *first[] = {"203.0.113.1", "203.0.113.2", NULL};
    const char *second[] = {"203.0.113.3", NULL};
    const char *nothing[] = {NULL};
    {
        g_autoptr(Publisher) p = publisher(place.away, place.spool, NULL);
        cr_assert(send(p, first, NULL));
    }
    for (guint round = 0; round < 3; round++) {
        g_autoptr(Publisher) p = publisher(place.bus, place.spool, NULL);
        cr_assert(send(p, round == 0 ? second : nothing, NULL));
    }
    gint32 n = partition_of("203.0.113.1"); /* the same for the whole /24 */
    g_autofree char *seen = read_bus(place.bus);
    g_autofree char *expected =
        g_strdup_printf("203.0.113.1@%d 203.0.113.2@%d 203.0.113.3@%d ", n, n, n);
    cr_assert_str_eq(seen, expected);
}

Test(publish, spools_again_after_the_spool_was_emptied)
{
    g_auto(Place) place = place_new();
    const char *first[] = {"203.0.113.1", NULL};
    const char *second[] = {"203.0.113.2", NULL};
    const char *const *rounds[] = {first, second};
    for (guint i = 0; i < G_N_ELEMENTS(rounds); i++) {
        g_autoptr(Publisher) away = publisher(place.away, place.spool, NULL);
        cr_assert(send(away, rounds[i], NULL));
        g_clear_pointer(&away, publisher_close);
        g_autoptr(Publisher) back = publisher(place.bus, place.spool, NULL);
        cr_assert_not_null(back);
    }
    gint32 n = partition_of("203.0.113.1");
    g_autofree char *seen = read_bus(place.bus);
    g_autofree char *expected = g_strdup_printf("203.0.113.1@%d 203.0.113.2@%d ", n, n);
    cr_assert_str_eq(seen, expected);
}
