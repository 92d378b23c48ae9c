/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "log.h"

enum { PAUSE_US = 100000, PAUSES = 10 };

struct Probe {
    const char *uri;
    const char *const *topics;
    gint32 partitions;
    gint answered; /* atomic */
    gint stop;     /* atomic */
    GThread *thread;
};

static gboolean ask(const Probe *probe, PstBus *bus, GError **error)
{
    for (guint i = 0; probe->topics[i] != NULL; i++) {
        if (!pst_bus_ensure_topic(bus, probe->topics[i], probe->partitions, NULL, error))
            return FALSE;
    }
    return TRUE;
}

static gpointer run(gpointer data)
{
    Probe *probe = data;
    PstLogLimit limit = {0};
    g_autoptr(GError) open_error = NULL;
    g_autoptr(PstBus) bus = pst_bus_open(probe->uri, NULL, &open_error);
    while (bus != NULL && !g_atomic_int_get(&probe->stop)) {
        g_autoptr(GError) error = NULL;
        if (ask(probe, bus, &error) || !g_error_matches(error, PST_ERROR, PST_ERROR_AWAY))
            break;
        pst_log_limited(&limit, PST_LOG_WARN, "bus", "away, batches wait: %s", error->message);
        for (guint i = 0; i < PAUSES && !g_atomic_int_get(&probe->stop); i++)
            g_usleep(PAUSE_US);
    }
    g_atomic_int_set(&probe->answered, 1);
    return NULL;
}

Probe *probe_start(const char *uri, const char *const *topics, gint32 partitions)
{
    Probe *probe = g_new0(Probe, 1);
    probe->uri = uri;
    probe->topics = topics;
    probe->partitions = partitions;
    probe->thread = g_thread_new("bus-probe", run, probe);
    return probe;
}

gboolean probe_answered(const Probe *probe)
{
    return __atomic_load_n(&probe->answered, __ATOMIC_ACQUIRE) != 0;
}

void probe_free(Probe *probe)
{
    if (probe == NULL)
        return;
    g_atomic_int_set(&probe->stop, 1);
    g_thread_join(probe->thread);
    g_free(probe);
}
