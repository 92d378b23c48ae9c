/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "bus_backend.h"
#include "clock.h"

enum {
    CLOSE_FLUSH_MS = 5000,
    TOPIC_NAME_MAX = 200, /* Kafka allows 249; we leave room for file names made of it */
    PARTITIONS_MAX = 4096,
};

static const struct {
    const char *scheme;
    PstBus *(*open)(const char *rest, const PstBusOptions *options, GError **error);
} schemes[] = {
    {"kafka://", pst_bus_kafka_open},
    {"embedded:", pst_bus_embedded_open},
};

static PstBusOptions options_with_defaults(const PstBusOptions *given)
{
    PstBusOptions options = given != NULL ? *given : (PstBusOptions){0};
    if (options.queue_bytes == 0)
        options.queue_bytes = 64 << 20;
    if (options.delivery_timeout_ms == 0)
        options.delivery_timeout_ms = 120 * 1000;
    if (options.retain_bytes == 0)
        options.retain_bytes = (gint64)10 << 30;
    if (options.retain_s == 0)
        options.retain_s = 7 * 24 * 3600;
    if (options.client_id == NULL)
        options.client_id = g_get_prgname() != NULL ? g_get_prgname() : "postern";
    options.client_id = g_strdup(options.client_id);
    options.group_name = g_strdup(options.group_name);
    options.extra = g_strdup(options.extra);
    return options;
}

static void options_clear(PstBusOptions *options)
{
    g_free((char *)(gsize)options->client_id);
    g_free((char *)(gsize)options->group_name);
    g_free((char *)(gsize)options->extra);
}

static void topic_free(gpointer topic)
{
    g_free(((PstBusTopic *)topic)->name);
    g_free(topic);
}

PstBus *pst_bus_open(const char *uri, const PstBusOptions *options, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(schemes); i++) {
        if (!g_str_has_prefix(uri, schemes[i].scheme))
            continue;
        PstBusOptions filled = options_with_defaults(options);
        PstBus *bus = schemes[i].open(uri + strlen(schemes[i].scheme), &filled, error);
        if (bus == NULL) {
            options_clear(&filled);
            return NULL;
        }
        bus->options = filled;
        bus->topics = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, topic_free);
        return bus;
    }
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                "bus \"%s\": expected kafka://HOST[:PORT][,HOST[:PORT]…] or embedded:PATH", uri);
    return NULL;
}

void pst_bus_close(PstBus *bus)
{
    if (bus == NULL)
        return;
    g_autoptr(GError) ignored = NULL; /* each message's callback says it */
    if (!pst_bus_flush(bus, CLOSE_FLUSH_MS, &ignored))
        bus->backend->give_up(bus);
    PstBusOptions options = bus->options;
    GHashTable *topics = bus->topics;
    g_free(bus->producer);
    bus->backend->close(bus);
    g_hash_table_unref(topics);
    options_clear(&options);
}

static gboolean name_is_good(const char *name, gsize max)
{
    gsize len = strlen(name);
    return len > 0 && len <= max &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static gboolean check_name(const char *what, const char *name, GError **error)
{
    if (name_is_good(name, TOPIC_NAME_MAX))
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                "bus %s \"%s\": expected 1 to %d of letters, digits, \".\", \"_\" and \"-\"", what,
                name, TOPIC_NAME_MAX);
    return FALSE;
}

gboolean pst_bus_ensure_topic(PstBus *bus, const char *topic, gint32 partitions,
                              gint32 *out_partitions, GError **error)
{
    if (!check_name("topic", topic, error))
        return FALSE;
    if (partitions < 1 || partitions > PARTITIONS_MAX) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "bus topic %s: %d partitions, but 1 to %d are possible", topic, partitions,
                    PARTITIONS_MAX);
        return FALSE;
    }
    PstBusTopic *known = g_hash_table_lookup(bus->topics, topic);
    if (known == NULL) {
        PstBusTopic found = {.name = (char *)(gsize)topic};
        if (!bus->backend->ensure_topic(bus, &found, partitions, error))
            return FALSE;
        known = g_memdup2(&found, sizeof found);
        known->name = g_strdup(topic);
        g_hash_table_insert(bus->topics, known->name, known);
    }
    if (out_partitions != NULL)
        *out_partitions = known->partitions;
    return TRUE;
}

/* One producer per bus: two would share a queue whose order only one of them can vouch for. */
static gboolean check_stamp(PstBus *bus, const PstBusStamp *stamp, GError **error)
{
    if (bus->producer == NULL && strlen(stamp->producer) <= PST_BUS_PRODUCER_MAX)
        bus->producer = g_strdup(stamp->producer);
    if (g_strcmp0(bus->producer, stamp->producer) == 0)
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                "bus producer \"%s\": at most %d bytes, and the same for the life of a bus%s%s",
                stamp->producer, PST_BUS_PRODUCER_MAX, bus->producer != NULL ? ": " : "",
                bus->producer != NULL ? bus->producer : "");
    return FALSE;
}

gboolean pst_bus_publish(PstBus *bus, const char *topic, gint32 partition, const PstBusStamp *stamp,
                         const guint8 *data, gsize len, gpointer cookie, GError **error)
{
    g_autofree guint8 *copy = g_memdup2(data, len);
    if (!pst_bus_publish_take(bus, topic, partition, stamp, copy, len, cookie, error))
        return FALSE;
    copy = NULL; /* taken */
    return TRUE;
}

gboolean pst_bus_publish_take(PstBus *bus, const char *topic, gint32 partition,
                              const PstBusStamp *stamp, guint8 *data_take, gsize len,
                              gpointer cookie, GError **error)
{
    const PstBusTopic *known = g_hash_table_lookup(bus->topics, topic);
    if (known == NULL || partition < 0 || partition >= known->partitions) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "bus: %s[%d] is no partition %s", topic,
                    partition, known == NULL ? "(topic not ensured)" : "of that topic");
        return FALSE;
    }
    if (len > PST_BUS_MESSAGE_MAX) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "bus: a message of %" G_GSIZE_FORMAT " bytes, at most %d are possible", len,
                    PST_BUS_MESSAGE_MAX);
        return FALSE;
    }
    if (!check_stamp(bus, stamp, error))
        return FALSE;
    return bus->backend->publish(bus, known, partition, stamp, data_take, len, cookie, error);
}

guint pst_bus_service(PstBus *bus, int timeout_ms)
{
    return bus->backend->service(bus, timeout_ms);
}

gboolean pst_bus_flush(PstBus *bus, int timeout_ms, GError **error)
{
    PstMono deadline = pst_mono_add(pst_mono_now(), pst_span_ms(timeout_ms));
    guint left = bus->backend->service(bus, 0);
    while (left > 0) {
        PstSpan rest = pst_mono_since(deadline, pst_mono_now());
        if (rest.ns <= 0)
            break;
        left = bus->backend->service(bus, (int)(rest.ns / PST_NS_PER_MS) + 1);
    }
    if (left == 0)
        return TRUE;
    g_autofree char *trouble = bus->backend->trouble(bus);
    g_set_error(error, PST_ERROR, PST_ERROR_AWAY,
                "bus: %u messages are not delivered after %d ms%s%s", left, timeout_ms,
                trouble != NULL ? ": " : "", trouble != NULL ? trouble : "");
    return FALSE;
}

void pst_bus_recall(PstBus *bus)
{
    bus->backend->give_up(bus);
}

char *pst_bus_trouble(PstBus *bus)
{
    return bus->backend->trouble(bus);
}

gboolean pst_bus_subscribe(PstBus *bus, const char *group, const char *const *topics,
                           const PstBusAssignment *assignment, GError **error)
{
    g_assert(!bus->subscribed && topics[0] != NULL);
    g_assert(assignment->assigned != NULL && assignment->revoked != NULL);
    if (!check_name("group", group, error))
        return FALSE;
    for (gsize i = 0; topics[i] != NULL; i++)
        if (!check_name("topic", topics[i], error))
            return FALSE;
    bus->subscribed = bus->backend->subscribe(bus, group, topics, assignment, error);
    return bus->subscribed;
}

gssize pst_bus_poll(PstBus *bus, int timeout_ms, PstBusMessage *out, gsize max, GError **error)
{
    g_assert(bus->subscribed && max > 0);
    return bus->backend->poll(bus, timeout_ms, out, max, error);
}

gboolean pst_bus_bounds(PstBus *bus, const char *topic, gint32 partition, gint64 *out_first,
                        gint64 *out_end, GError **error)
{
    return bus->backend->bounds(bus, topic, partition, out_first, out_end, error);
}

void pst_bus_commit(PstBus *bus, const char *topic, gint32 partition, gint64 position)
{
    if (bus->subscribed && position >= 0)
        bus->backend->commit(bus, topic, partition, position);
}

void pst_bus_keep(PstBus *bus, const char *topic, gint32 partition, gint64 position)
{
    if (bus->subscribed && bus->backend->keep != NULL)
        bus->backend->keep(bus, topic, partition, position);
}

char *pst_bus_identity(PstBus *bus, GError **error)
{
    return bus->backend->identity(bus, error);
}
