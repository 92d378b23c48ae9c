/* SPDX-License-Identifier: Apache-2.0 */
#include "reader.h"

#include "capture.h"
#include "datagram.h"

/* One file. */
typedef struct {
    PstRun *run;
    Worker *worker;
    const char *path;
    guint32 session;
    Capture *capture;
    Packets *packets;
    PstProgress progress;
    WorkerReport before;
    GError *error; /* of the worker, while flows of packets are taken */
} Reader;

/* Flows that were made of packets. */
static void take_message(gpointer user, const guint8 *message, gsize len, gint64 now_ns)
{
    Reader *reader = user;
    const Datagram datagram = {.payload = message,
                               .len = len,
                               .sender = pst_addr_v4(0),
                               .stream = reader->session,
                               .kernel_ns = now_ns};
    if (reader->error != NULL)
        return;
    worker_datagram(reader->worker, &datagram, now_ns);
    (void)worker_tick_at(reader->worker, now_ns, &reader->error);
}

static gboolean take_item(Reader *reader, CaptureItem item, Datagram *datagram)
{
    gboolean export =
        item == CAPTURE_DATAGRAM && datagram_is_export(datagram->payload, datagram->len);
    if (packets_takes(reader->packets, export))
        return reader->error == NULL;
    if (!export) {
        worker_dropped(reader->worker, item == CAPTURE_FRAGMENT ? DROP_FRAGMENT : DROP_NOT_EXPORT,
                       1);
        return TRUE;
    }
    if (capture_is_session(reader->capture))
        datagram->stream = reader->session;
    worker_datagram(reader->worker, datagram, datagram->kernel_ns);
    return worker_tick_at(reader->worker, datagram->kernel_ns, &reader->error);
}

/* Until its end, or until the program is asked to stop. FALSE: the worker has failed. @failure of
 * the file. */
static gboolean read_all(Reader *reader, GError **failure)
{
    while (!pst_run_stopping(reader->run)) {
        Datagram datagram = {0};
        CaptureItem item = capture_next(reader->capture, &datagram, failure);
        if (item == CAPTURE_END)
            break;
        if (!take_item(reader, item, &datagram))
            return FALSE;
        if (pst_progress_due(&reader->progress)) {
            reader->progress.yield = worker_report(reader->worker).records;
            pst_progress_update(&reader->progress, capture_position(reader->capture));
        }
        pst_run_tick(reader->run);
    }
    packets_end(reader->packets);
    return reader->error == NULL;
}

/* Why packets came to nothing. */
static void count_unused(Reader *reader)
{
    const MeterCounts *metered = packets_metered(reader->packets);
    worker_dropped(reader->worker, DROP_NOT_EXPORT, packets_counts(reader->packets).others);
    if (metered == NULL)
        return;
    worker_dropped(reader->worker, DROP_NOT_IP, metered->not_ip);
    worker_dropped(reader->worker, DROP_PACKET_CUT, metered->cut);
    worker_dropped(reader->worker, DROP_PACKET_BROKEN, metered->broken);
}

static void log_exports(const Reader *reader, const char *how, const WorkerReport *after,
                        double seconds)
{
    const WorkerReport *before = &reader->before;
    double records = (double)(after->records - before->records);
    char datagrams[48], bytes[48], seen[48], rate[48], flows[48], dropped[48];
    pst_log(PST_LOG_NOTICE, reader->path, "%s: %s, %s, %s, %s, %s, in %.1f s (%s/s)", how,
            pst_quantity((double)(after->datagrams - before->datagrams), "messages", datagrams),
            pst_quantity((double)(after->bytes - before->bytes), "bytes", bytes),
            pst_quantity(records, "records", seen),
            pst_quantity((double)(after->flows - before->flows), "flows written", flows),
            pst_quantity((double)(after->dropped - before->dropped), "items not used", dropped),
            seconds, pst_quantity(records / seconds, "records", rate));
}

static void log_packets(const Reader *reader, const char *how, const WorkerReport *after,
                        double seconds)
{
    const MeterCounts *counts = packets_metered(reader->packets);
    const struct {
        guint64 n;
        const char *what;
    } rows[] = {
        {counts->not_ip, "packets that are not IP"},
        {counts->cut, "packets cut within their headers (capture with a larger snaplen)"},
        {counts->broken, "packets with broken headers"},
        {counts->early,
         "packets of before 1990, whose flows have no time (editcap -t SECONDS OLD NEW "
         "moves them)"},
        {counts->evicted, "flows ended early for want of room"},
        {counts->steps_back, "steps back of its time, at which all flows were ended"},
        {packets_counts(reader->packets).exports,
         "flow exports among the packets, not read (--packets no reads them)"},
    };
    char packets[48], bytes[48], flows[48], written[48], rate[48];
    g_autoptr(GString) more = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i].n > 0)
            g_string_append_printf(more, "; %" G_GUINT64_FORMAT " %s", rows[i].n, rows[i].what);
    pst_log(
        PST_LOG_NOTICE, reader->path,
        "%s as packets of the traffic itself, not as flow exports: %s, %s, made into %s, %s, in "
        "%.1f s (%s/s)%s",
        how, pst_quantity((double)counts->packets, "packets", packets),
        pst_quantity((double)counts->bytes, "bytes", bytes),
        pst_quantity((double)counts->flows, "flows", flows),
        pst_quantity((double)(after->flows - reader->before.flows), "written", written), seconds,
        pst_quantity((double)counts->packets / seconds, "packets", rate), more->str);
}

/* Packets of the traffic itself are what one has at hand as often as exports. */
static void log_end(const Reader *reader, const char *how, const WorkerReport *after)
{
    gint64 took_ns = pst_mono_now().ns - reader->progress.started_ns;
    double seconds = MAX((double)took_ns / PST_NS_PER_S, 1e-6);
    if (packets_is_metered(reader->packets)) {
        log_packets(reader, how, after, seconds);
        return;
    }
    log_exports(reader, how, after, seconds);
    if (after->datagrams == reader->before.datagrams && after->dropped > reader->before.dropped)
        pst_log(PST_LOG_WARN, reader->path,
                "holds no flow exports: if these are packets of the traffic itself, --packets yes "
                "makes flows of them");
    else if (packets_counts(reader->packets).tcp > 0)
        pst_log(PST_LOG_NOTICE, reader->path,
                "read as flow exports, not as packets of the traffic itself, though there are some "
                "(--packets yes makes flows of them, and reads no exports)");
}

static gboolean work(Reader *reader, GError **failure, GError **error)
{
    if (!read_all(reader, failure)) {
        g_propagate_error(error, g_steal_pointer(&reader->error));
        return FALSE;
    }
    PstAddr nobody = pst_addr_v4(0);
    worker_end_stream(reader->worker, &nobody, reader->session);
    count_unused(reader);
    WorkerReport after = worker_report(reader->worker);
    reader->progress.yield = after.records;
    pst_progress_end(&reader->progress, capture_position(reader->capture));
    log_end(reader,
            pst_run_stopping(reader->run) ? "stopped"
            : *failure != NULL            ? "broken off"
                                          : "read",
            &after);
    return TRUE;
}

gboolean reader_file(PstRun *run, Worker *worker, const ReaderOptions *options, const char *path,
                     guint32 session, GError **error)
{
    g_autoptr(Capture) capture = capture_open(path, error);
    if (capture == NULL)
        return FALSE;
    Reader reader = {.run = run,
                     .worker = worker,
                     .path = path,
                     .session = session,
                     .capture = capture,
                     .before = worker_report(worker)};
    g_autoptr(Packets) packets =
        packets_new(capture_is_session(capture) ? PACKETS_NO : options->packets,
                    options->packets_sampled, capture, take_message, &reader);
    reader.packets = packets;
    g_autofree char *what = g_strdup_printf("reading %s", path);
    pst_progress_init(&reader.progress, what, "bytes", capture_size(capture));
    reader.progress.yielded = "records";
    g_autoptr(GError) failure = NULL;
    if (!work(&reader, &failure, error))
        return FALSE;
    if (failure == NULL)
        return TRUE;
    g_propagate_prefixed_error(error, g_steal_pointer(&failure), "%s: ", path);
    return FALSE;
}
