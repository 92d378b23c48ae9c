/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded bus under ThreadSanitizer: three owners in three threads on one file, each with the
 * writer's thread behind it; one of them is closed while its queue is full. */
#include <glib/gstdio.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "postern/bus.h"

enum { MESSAGES = 400, BYTES = 3000 };

typedef struct {
    char *uri;
    const char *producer;
    gboolean flush;
    guint published;
    guint reported;
} Owner;

static void on_delivered(gpointer user, gpointer cookie, const GError *error)
{
    ((Owner *)user)->reported++;
}

static void fail(const char *what, const GError *error)
{
    fprintf(stderr, "%s: %s\n", what, error != NULL ? error->message : "");
    exit(1);
}

static void *publish_all(void *data)
{
    Owner *owner = data;
    g_autoptr(GError) error = NULL;
    PstBusOptions options = {.queue_bytes = 200000, .delivered = on_delivered, .user = owner};
    PstBus *bus = pst_bus_open(owner->uri, &options, &error);
    if (bus == NULL || !pst_bus_ensure_topic(bus, "t", 4, NULL, &error))
        fail("open", error);
    static const guint8 bytes[BYTES];
    while (owner->published < MESSAGES) {
        PstBusStamp stamp = {owner->producer, 1, owner->published + 1};
        g_autoptr(GError) full = NULL;
        if (pst_bus_publish(bus, "t", (gint32)(owner->published % 4), &stamp, bytes, BYTES, NULL,
                            &full))
            owner->published++;
        else
            pst_bus_service(bus, 10);
    }
    if (owner->flush && !pst_bus_flush(bus, 60000, &error))
        fail("flush", error);
    pst_bus_close(bus);
    return NULL;
}

static gint64 stored(const char *uri)
{
    g_autoptr(PstBus) bus = pst_bus_open(uri, NULL, NULL);
    gint64 sum = 0;
    for (gint32 partition = 0; partition < 4; partition++) {
        gint64 first = 0, end = 0;
        if (!pst_bus_bounds(bus, "t", partition, &first, &end, NULL))
            fail("bounds", NULL);
        sum += end - first;
    }
    return sum;
}

int main(void)
{
    g_autofree char *folder = g_dir_make_tmp("postern-threads-XXXXXX", NULL);
    g_autofree char *uri = g_strdup_printf("embedded:%s/bus.db", folder);
    Owner owners[] = {{uri, "one", TRUE}, {uri, "two", TRUE}, {uri, "three", FALSE}};
    pthread_t threads[G_N_ELEMENTS(owners)];
    for (gsize i = 0; i < G_N_ELEMENTS(owners); i++)
        pthread_create(&threads[i], NULL, publish_all, &owners[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(owners); i++)
        pthread_join(threads[i], NULL);
    gboolean ok = stored(uri) == (gint64)G_N_ELEMENTS(owners) * MESSAGES;
    for (gsize i = 0; i < G_N_ELEMENTS(owners); i++)
        ok &= owners[i].published == MESSAGES && owners[i].reported == MESSAGES;
    printf("%s\n", ok ? "every message is stored and reported once" : "counts differ");
    g_unlink(uri + sizeof "embedded:" - 1);
    g_rmdir(folder);
    return ok ? 0 : 1;
}
