/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_bus: publishes batches to a bus, waits until they are durable, reads them back, and prints
 * one line of JSON with what that took.
 */
#include "postern/bus.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define TOPIC "postern.bench"

enum {
    PARTITIONS = 8,
    POLL_MAX = 64,
    PATIENCE_MS = 60000,
};

typedef struct {
    char *uri;
    gint64 messages;
    gint64 batch_bytes;
} Job;

typedef struct {
    double wall_s;
    double cpu_s;
} Meter;

typedef struct {
    guint64 delivered;
    guint64 failed;
} Tally;

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static Meter meter_now(void)
{
    struct timespec now;
    struct rusage used;

    clock_gettime(CLOCK_MONOTONIC, &now);
    getrusage(RUSAGE_SELF, &used);
    return (Meter){.wall_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9,
                   .cpu_s = seconds(used.ru_utime) + seconds(used.ru_stime)};
}

static Meter meter_since(Meter start)
{
    Meter now = meter_now();

    return (Meter){.wall_s = now.wall_s - start.wall_s, .cpu_s = now.cpu_s - start.cpu_s};
}

static void delivered(gpointer user, gpointer cookie, const GError *error)
{
    Tally *tally = user;

    if (error == NULL)
        tally->delivered++;
    else if (tally->failed++ == 0)
        fprintf(stderr, "bench_bus: not delivered: %s\n", error->message);
}

/* Bytes that no compression shrinks: the worst case, and the same for every backend. */
static void fill(guint8 *data, gsize len)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(1);

    for (gsize i = 0; i < len; i++)
        data[i] = (guint8)g_rand_int(random);
}

static gboolean publish_one(PstBus *bus, const Job *job, gint64 i, const guint8 *data,
                            GError **error)
{
    PstBusStamp stamp = {
        .producer = "bench", .epoch = 1, .sequence = (guint64)(i / PARTITIONS + 1)};

    for (;;) {
        g_autoptr(GError) problem = NULL;

        if (pst_bus_publish(bus, TOPIC, (gint32)(i % PARTITIONS), &stamp, data,
                            (gsize)job->batch_bytes, NULL, &problem))
            return TRUE;
        if (!g_error_matches(problem, PST_ERROR, PST_ERROR_FULL)) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return FALSE;
        }
        pst_bus_service(bus, 100);
    }
}

static gboolean publish(const Job *job, Meter *out, GError **error)
{
    Tally tally = {0};
    PstBusOptions options = {.client_id = "bench_bus", .delivered = delivered, .user = &tally};
    g_autofree guint8 *data = g_malloc((gsize)job->batch_bytes);
    g_autoptr(PstBus) bus = pst_bus_open(job->uri, &options, error);

    if (bus == NULL || !pst_bus_ensure_topic(bus, TOPIC, PARTITIONS, NULL, error))
        return FALSE;
    fill(data, (gsize)job->batch_bytes);
    Meter start = meter_now();
    for (gint64 i = 0; i < job->messages; i++) {
        memcpy(data, &i, sizeof i);
        if (!publish_one(bus, job, i, data, error))
            return FALSE;
        pst_bus_service(bus, 0);
    }
    if (!pst_bus_flush(bus, PATIENCE_MS, error))
        return FALSE;
    *out = meter_since(start);
    if (tally.delivered != (guint64)job->messages) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO,
                    "%" G_GUINT64_FORMAT " of %" G_GINT64_FORMAT " messages were delivered",
                    tally.delivered, job->messages);
        return FALSE;
    }
    return TRUE;
}

static gboolean from_oldest(gpointer user, const char *topic, gint32 partition,
                            gint64 *out_position)
{
    *out_position = PST_BUS_OLDEST;
    return TRUE;
}

static void ignore_revoked(gpointer user, const char *topic, gint32 partition)
{
}

/* @out_bytes: what was read while the meter ran. */
static gboolean read_back(const Job *job, Meter *out, gint64 *out_bytes, GError **error)
{
    const char *topics[] = {TOPIC, NULL};
    const PstBusAssignment assignment = {.assigned = from_oldest, .revoked = ignore_revoked};
    g_autoptr(PstBus) bus = pst_bus_open(job->uri, NULL, error);
    PstBusMessage messages[POLL_MAX];
    guint64 sum = 0;
    gint64 seen = 0;
    Meter start = {0};

    if (bus == NULL || !pst_bus_subscribe(bus, "bench", topics, &assignment, error))
        return FALSE;
    while (seen < job->messages) {
        gssize n = pst_bus_poll(bus, seen == 0 ? PATIENCE_MS : 5000, messages, POLL_MAX, error);

        if (n < 0)
            return FALSE;
        if (n == 0) {
            g_set_error(error, PST_ERROR, PST_ERROR_IO,
                        "only %" G_GINT64_FORMAT " messages could be read back", seen);
            return FALSE;
        }
        if (seen == 0) { /* joining a group takes seconds with Kafka and is not what is measured */
            start = meter_now();
            *out_bytes = -n * job->batch_bytes;
        }
        for (gssize i = 0; i < n; i++)
            for (gsize at = 0; at < messages[i].len; at += 512)
                sum += messages[i].data[at];
        seen += n;
    }
    *out = meter_since(start);
    *out_bytes += seen * job->batch_bytes;
    return sum > 0;
}

static gboolean parse(int argc, char **argv, Job *job, GError **error)
{
    g_auto(GStrv) rest = NULL;
    const GOptionEntry entries[] = {
        {"messages", 'n', 0, G_OPTION_ARG_INT64, &job->messages, "How many (4096)", "N"},
        {"bytes", 'b', 0, G_OPTION_ARG_INT64, &job->batch_bytes, "Size of each (65536)", "B"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &rest, NULL, "BUS"},
        {0},
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);

    g_option_context_set_summary(context,
                                 "Publishes batches durably to a new topic of BUS "
                                 "(embedded:PATH, kafka://HOST:PORT) and reads them back.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error))
        return FALSE;
    if (rest == NULL || g_strv_length(rest) != 1 || job->messages < 1 || job->batch_bytes < 8 ||
        job->batch_bytes > PST_BUS_MESSAGE_MAX) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "give one BUS, N ≥ 1 and B from 8 to %d",
                    PST_BUS_MESSAGE_MAX);
        return FALSE;
    }
    job->uri = g_strdup(rest[0]);
    return TRUE;
}

int main(int argc, char **argv)
{
    Job job = {.messages = 4096, .batch_bytes = 65536};
    Meter published = {0}, read = {0};
    g_autoptr(GError) error = NULL;
    gint64 read_bytes = 0;
    gboolean usable = parse(argc, argv, &job, &error);

    if (usable && publish(&job, &published, &error) && read_back(&job, &read, &read_bytes, &error))
        printf("{\"bytes\":%" G_GINT64_FORMAT ",\"publish_s\":%.6f,\"publish_cpu_s\":%.6f,"
               "\"read_bytes\":%" G_GINT64_FORMAT ",\"read_s\":%.6f,\"read_cpu_s\":%.6f}\n",
               job.messages * job.batch_bytes, published.wall_s, published.cpu_s, read_bytes,
               read.wall_s, read.cpu_s);
    else
        fprintf(stderr, "bench_bus: %s\n", error->message);
    g_free(job.uri);
    return !usable ? PST_EXIT_USAGE : error != NULL ? PST_EXIT_FAILED : PST_EXIT_DONE;
}
