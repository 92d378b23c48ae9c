/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a backend of the bus provides. bus.c checks arguments (lengths, names, known topics and
 * partitions, one producer), so that a backend sees only what the contract in postern/bus.h allows.
 * Everything here belongs to the thread of its PstBus.
 */
#include "postern/bus.h"

/* A topic that ensure_topic has seen. Owned by the bus, lives as long. */
typedef struct {
    char *name;
    gint32 partitions;
    gint64 first_slot; /* embedded: slot of partition 0 */
} PstBusTopic;

typedef struct {
    void (*close)(PstBus *bus); /* gives up what is left without reporting it; frees everything */
    /* Fills partitions and first_slot of @topic. */
    gboolean (*ensure_topic)(PstBus *bus, PstBusTopic *topic, gint32 wanted, GError **error);
    /* @data_take is taken on success. */
    gboolean (*publish)(PstBus *bus, const PstBusTopic *topic, gint32 partition,
                        const PstBusStamp *stamp, guint8 *data_take, gsize len, gpointer cookie,
                        GError **error);
    guint (*service)(PstBus *bus, int timeout_ms);
    void (*give_up)(PstBus *bus);  /* reports what is not delivered as failed; can be used on */
    char *(*trouble)(PstBus *bus); /* why delivery does not go on, or NULL; given (g_free) */
    gboolean (*subscribe)(PstBus *bus, const char *group, const char *const *topics,
                          const PstBusAssignment *assignment, GError **error);
    gssize (*poll)(PstBus *bus, int timeout_ms, PstBusMessage *out, gsize max, GError **error);
    gboolean (*bounds)(PstBus *bus, const char *topic, gint32 partition, gint64 *out_first,
                       gint64 *out_end, GError **error);
    void (*commit)(PstBus *bus, const char *topic, gint32 partition, gint64 position);
    void (*keep)(PstBus *bus, const char *topic, gint32 partition, gint64 position); /* or NULL */
    char *(*identity)(PstBus *bus, GError **error);
} PstBusBackend;

struct PstBus {
    const PstBusBackend *backend;
    PstBusOptions options; /* defaults filled in, texts owned */
    GHashTable *topics;    /* name → PstBusTopic */
    char *producer;        /* of the first stamp; NULL before */
    gboolean subscribed;
};

/* The backends. @rest is what follows the scheme. Given: a zeroed bus with only backend set. */
PstBus *pst_bus_kafka_open(const char *rest, const PstBusOptions *options, GError **error);
PstBus *pst_bus_embedded_open(const char *rest, const PstBusOptions *options, GError **error);

/* Runs the callback that there is. @data as it was published; only looked at with an @error. */
static inline void pst_bus_report(PstBus *bus, gpointer cookie, const guint8 *data, gsize len,
                                  const GError *error)
{
    if (error != NULL && bus->options.returned != NULL)
        bus->options.returned(bus->options.user, cookie, data, len, error);
    else if (bus->options.delivered != NULL)
        bus->options.delivered(bus->options.user, cookie, error);
}
