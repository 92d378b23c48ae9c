/* SPDX-License-Identifier: Apache-2.0 */
/* embedded:PATH, the bus of one host. Three parts: the file (bus_embedded_file), the writer's
 * thread (bus_embedded_outbox), the reader (bus_embedded_inbox). This file joins them. The owner's
 * thread has a connection of its own for topics, bounds and reading; the writer has another one. */
#include <string.h>

#include "bus_backend.h"
#include "bus_embedded_file.h"
#include "bus_embedded_inbox.h"
#include "bus_embedded_outbox.h"

enum { PATIENCE_MS = 5000 };

typedef struct {
    PstBus bus;
    BusFile *file;
    BusOutbox *outbox;
    BusInbox *inbox; /* NULL: not subscribed */
} EmbeddedBus;

static EmbeddedBus *embedded(PstBus *bus)
{
    return (EmbeddedBus *)bus;
}

static void report(gpointer user, gpointer cookie, const guint8 *data, gsize len,
                   const GError *error)
{
    pst_bus_report(user, cookie, data, len, error);
}

static void embedded_close(PstBus *bus)
{
    EmbeddedBus *self = embedded(bus);
    bus_inbox_free(self->inbox);
    bus_outbox_free(self->outbox);
    bus_file_close(self->file);
    g_free(self);
}

static gboolean embedded_ensure_topic(PstBus *bus, PstBusTopic *topic, gint32 wanted,
                                      GError **error)
{
    bus_file_set_patience(embedded(bus)->file, PATIENCE_MS);
    return bus_file_make_topic(embedded(bus)->file, topic->name, wanted, &topic->first_slot,
                               &topic->partitions, error);
}

static gboolean embedded_publish(PstBus *bus, const PstBusTopic *topic, gint32 partition,
                                 const PstBusStamp *stamp, guint8 *data_take, gsize len,
                                 gpointer cookie, GError **error)
{
    bus_outbox_collect(embedded(bus)->outbox, 0, report, bus);
    return bus_outbox_push(embedded(bus)->outbox, topic->first_slot + partition, stamp, data_take,
                           len, cookie, error);
}

static guint embedded_service(PstBus *bus, int timeout_ms)
{
    return bus_outbox_collect(embedded(bus)->outbox, timeout_ms, report, bus);
}

static void embedded_give_up(PstBus *bus)
{
    bus_outbox_give_up(embedded(bus)->outbox, report, bus);
}

static char *embedded_trouble(PstBus *bus)
{
    return bus_outbox_trouble(embedded(bus)->outbox);
}

static gboolean embedded_subscribe(PstBus *bus, const char *group, const char *const *topics,
                                   const PstBusAssignment *assignment, GError **error)
{
    EmbeddedBus *self = embedded(bus);
    self->inbox = bus_inbox_new(self->file, group, topics, assignment, error);
    return self->inbox != NULL;
}

static gssize embedded_poll(PstBus *bus, int timeout_ms, PstBusMessage *out, gsize max,
                            GError **error)
{
    return bus_inbox_poll(embedded(bus)->inbox, timeout_ms, out, max, error);
}

static gboolean embedded_bounds(PstBus *bus, const char *topic, gint32 partition, gint64 *out_first,
                                gint64 *out_end, GError **error)
{
    BusFile *file = embedded(bus)->file;
    gint64 slot;
    gint32 partitions;
    if (!bus_file_find_topic(file, topic, &slot, &partitions, error))
        return FALSE;
    if (partition < 0 || partition >= partitions) {
        g_set_error(error, PST_ERROR, PST_ERROR_NOT_FOUND, "embedded bus %s: there is no %s[%d]",
                    bus_file_path(file), topic, partition);
        return FALSE;
    }
    gint64 first, end;
    if (!bus_file_begin(file, FALSE, error))
        return FALSE;
    gboolean ok = bus_file_get_first(file, slot + partition, &first, error) &&
                  bus_file_get_end(file, slot + partition, &end, error);
    bus_file_rollback(file);
    if (!ok)
        return FALSE;
    *out_first = first;
    *out_end = end;
    return TRUE;
}

static void embedded_commit(PstBus *bus, const char *topic, gint32 partition, gint64 position)
{
    bus_inbox_commit(embedded(bus)->inbox, topic, partition, position);
}

static void embedded_keep(PstBus *bus, const char *topic, gint32 partition, gint64 position)
{
    bus_inbox_keep(embedded(bus)->inbox, topic, partition, position);
}

static char *embedded_identity(PstBus *bus, GError **error)
{
    return bus_file_identity(embedded(bus)->file, error);
}

static const PstBusBackend backend = {
    .close = embedded_close,
    .ensure_topic = embedded_ensure_topic,
    .publish = embedded_publish,
    .service = embedded_service,
    .give_up = embedded_give_up,
    .trouble = embedded_trouble,
    .subscribe = embedded_subscribe,
    .poll = embedded_poll,
    .bounds = embedded_bounds,
    .commit = embedded_commit,
    .keep = embedded_keep,
    .identity = embedded_identity,
};

PstBus *pst_bus_embedded_open(const char *rest, const PstBusOptions *options, GError **error)
{
    if (*rest == '\0') {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "bus embedded: the path of a file is missing, as in embedded:/var/lib/postern/"
                    "bus.db");
        return NULL;
    }
    g_autoptr(BusFile) file = bus_file_open(rest, options->group_name, PATIENCE_MS, error);
    if (file == NULL)
        return NULL;
    EmbeddedBus *self = g_new0(EmbeddedBus, 1);
    self->bus.backend = &backend;
    self->file = g_steal_pointer(&file);
    self->outbox = bus_outbox_new(rest, options);
    return &self->bus;
}
