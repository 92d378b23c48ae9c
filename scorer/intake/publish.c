/* SPDX-License-Identifier: Apache-2.0 */
#include "publish.h"

#include "log.h"
#include "postern/bus.h"
#include "postern/unit.h"
#include "spool.h"

/* One bus that takes evidence. */
typedef struct {
    PstBus *bus;       /* NULL: could not be opened, or failed */
    gint32 partitions; /* of the topic there */
    GError *failure;   /* of the deliveries since the last send */
} Outlet;

struct Publisher {
    PublisherOptions options;
    Outlet main;
    Outlet spool;
};

static void delivered(gpointer user, gpointer cookie, const GError *error)
{
    Outlet *outlet = user;
    if (error != NULL && outlet->failure == NULL)
        outlet->failure = g_error_copy(error);
}

static void outlet_close(Outlet *outlet)
{
    g_clear_pointer(&outlet->bus, pst_bus_close);
    g_clear_error(&outlet->failure);
}

static gboolean outlet_open(Outlet *outlet, const char *uri, const PublisherOptions *options,
                            GError **error)
{
    const PstBusOptions bus_options = {
        .client_id = "postern-intake",
        .delivery_timeout_ms = options->timeout_ms,
        .group_name = options->group,
        .delivered = delivered,
        .user = outlet,
    };
    outlet->bus = pst_bus_open(uri, &bus_options, error);
    if (outlet->bus == NULL ||
        !pst_bus_ensure_topic(outlet->bus, PST_TOPIC_EVIDENCE, options->partitions,
                              &outlet->partitions, error)) {
        outlet_close(outlet);
        g_prefix_error(error, "%s: ", uri);
        return FALSE;
    }
    return TRUE;
}

/* --- sending
 * --------------------------------------------------------------------------------------- */

static gboolean put(Outlet *outlet, const PstEvidence *evidence, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    const PstBusStamp stamp = {.producer = ""}; /* copies are told by content */
    gint32 partition = 0;
    if (pst_addr_present(&evidence->source_ip))
        partition = (gint32)pst_partition_of(&evidence->source_ip, (guint32)outlet->partitions);
    pst_evidence_encode(evidence, bytes);
    return pst_bus_publish(outlet->bus, PST_TOPIC_EVIDENCE, partition, &stamp, bytes->data,
                           bytes->len, NULL, error);
}

static gboolean outlet_send(Outlet *outlet, const GPtrArray *evidence, int timeout_ms,
                            GError **error)
{
    for (guint i = 0; i < evidence->len; i++)
        if (!put(outlet, evidence->pdata[i], error))
            return FALSE;
    if (!pst_bus_flush(outlet->bus, timeout_ms, error))
        return FALSE;
    if (outlet->failure != NULL) {
        g_propagate_error(error, g_steal_pointer(&outlet->failure));
        return FALSE;
    }
    return TRUE;
}

static gboolean send_to_spool(Publisher *publisher, const GPtrArray *evidence, GError **error)
{
    const PublisherOptions *options = &publisher->options;
    if (publisher->spool.bus == NULL &&
        !outlet_open(&publisher->spool, options->spool, options, error))
        return FALSE;
    return outlet_send(&publisher->spool, evidence, options->timeout_ms, error);
}

/* From now on the spool stands in. FALSE: there is none, and @why is the caller's error. */
static gboolean turn_to_spool_take(Publisher *publisher, GError *why, GError **error)
{
    outlet_close(&publisher->main); /* what it still holds must not arrive later as well */
    if (publisher->options.spool == NULL) {
        g_propagate_error(error, why);
        return FALSE;
    }
    pst_log(PST_LOG_WARN, "bus", "away, evidence goes to the spool: %s", why->message);
    g_error_free(why);
    return TRUE;
}

gboolean publisher_send(Publisher *publisher, const GPtrArray *evidence, GError **error)
{
    GError *why = NULL;
    if (publisher->main.bus != NULL) {
        if (outlet_send(&publisher->main, evidence, publisher->options.timeout_ms, &why))
            return TRUE;
        if (!turn_to_spool_take(publisher, why, error))
            return FALSE;
    }
    return send_to_spool(publisher, evidence, error);
}

/* --- life
 * ------------------------------------------------------------------------------------------ */

/* A spooled piece of evidence, on its way to the main bus. */
static gboolean forward(gpointer user, const guint8 *data, gsize len, GError **error)
{
    Publisher *publisher = user;
    g_autoptr(PstEvidence) evidence = pst_evidence_decode(data, len);
    g_autoptr(GPtrArray) one = g_ptr_array_new();
    if (evidence == NULL) {
        pst_log(PST_LOG_ERR, "spool", "holds a message that is no evidence; passed over bytes=%zu",
                len);
        return TRUE;
    }
    g_ptr_array_add(one, evidence);
    return outlet_send(&publisher->main, one, publisher->options.timeout_ms, error);
}

static void drain_spool(Publisher *publisher)
{
    g_autoptr(GError) error = NULL;
    guint moved = 0;
    if (publisher->options.spool == NULL || !spool_exists(publisher->options.spool))
        return;
    if (!spool_drain(publisher->options.spool, forward, publisher, &moved, &error))
        pst_log(PST_LOG_WARN, "spool", "not emptied: %s", error->message);
    if (moved > 0)
        pst_log(PST_LOG_NOTICE, "spool", "moved to the bus messages=%u", moved);
}

Publisher *publisher_open(const PublisherOptions *options, GError **error)
{
    GError *why = NULL;
    g_autoptr(Publisher) publisher = g_new0(Publisher, 1);
    publisher->options = *options;
    if (outlet_open(&publisher->main, options->bus, options, &why))
        drain_spool(publisher);
    else if (!turn_to_spool_take(publisher, why, error))
        return NULL;
    return g_steal_pointer(&publisher);
}

void publisher_close(Publisher *publisher)
{
    if (publisher == NULL)
        return;
    outlet_close(&publisher->main);
    outlet_close(&publisher->spool);
    g_free(publisher);
}
