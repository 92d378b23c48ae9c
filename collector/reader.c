/* SPDX-License-Identifier: Apache-2.0 */
#include "reader.h"

#include "capture.h"
#include "datagram.h"

static void take_packet(Worker *worker, CaptureItem item, const Datagram *datagram)
{
    if (item == CAPTURE_FRAGMENT)
        worker_dropped(worker, DROP_FRAGMENT);
    else if (item == CAPTURE_OTHER || !datagram_is_export(datagram->payload, datagram->len))
        worker_dropped(worker, DROP_NOT_EXPORT);
    else
        worker_datagram(worker, datagram, datagram->kernel_ns);
}

/* Until its end, or until the program is asked to stop. @error of the worker; @failure of the
 * file. */
static gboolean read_all(PstRun *run, Worker *worker, Capture *capture, guint32 session,
                         PstProgress *progress, GError **failure, GError **error)
{
    while (!pst_run_stopping(run)) {
        Datagram datagram = {0};
        CaptureItem item = capture_next(capture, &datagram, failure);
        if (item == CAPTURE_END)
            break;
        if (capture_is_session(capture))
            datagram.stream = session;
        take_packet(worker, item, &datagram);
        if (item == CAPTURE_DATAGRAM && !worker_tick_at(worker, datagram.kernel_ns, error))
            return FALSE;
        if (pst_progress_due(progress)) {
            progress->yield = worker_report(worker).records;
            pst_progress_update(progress, capture_position(capture));
        }
        pst_run_tick(run);
    }
    return TRUE;
}

static void log_end(const char *path, const char *how, const WorkerReport *before,
                    const WorkerReport *after, gint64 took_ns)
{
    double seconds = MAX((double)took_ns / PST_NS_PER_S, 1e-6);
    double records = (double)(after->records - before->records);
    char datagrams[48], bytes[48], seen[48], rate[48], flows[48], dropped[48];
    pst_log(PST_LOG_NOTICE, path, "%s: %s, %s, %s, %s, %s, in %.1f s (%s/s)", how,
            pst_quantity((double)(after->datagrams - before->datagrams), "messages", datagrams),
            pst_quantity((double)(after->bytes - before->bytes), "bytes", bytes),
            pst_quantity(records, "records", seen),
            pst_quantity((double)(after->flows - before->flows), "flows written", flows),
            pst_quantity((double)(after->dropped - before->dropped), "items not used", dropped),
            seconds, pst_quantity(records / seconds, "records", rate));
}

/* Packets of the traffic itself are what one has at hand as often as exports. */
static void explain_nothing(const char *path, const WorkerReport *before, const WorkerReport *after)
{
    if (after->datagrams == before->datagrams && after->dropped > before->dropped)
        pst_log(PST_LOG_WARN, path,
                "holds no flow exports: if these are packets of the traffic itself, make flows of "
                "them first, such as softflowd -r FILE -v 10 -n 127.0.0.1:2055 beside "
                "postern-collector --listen udp://127.0.0.1:2055 --publish all --output json:-");
}

gboolean reader_file(PstRun *run, Worker *worker, const char *path, guint32 session, GError **error)
{
    g_autoptr(Capture) capture = capture_open(path, error);
    if (capture == NULL)
        return FALSE;
    g_autofree char *what = g_strdup_printf("reading %s", path);
    WorkerReport before = worker_report(worker);
    PstProgress progress;
    pst_progress_init(&progress, what, "bytes", capture_size(capture));
    progress.yielded = "records";
    g_autoptr(GError) failure = NULL;
    if (!read_all(run, worker, capture, session, &progress, &failure, error))
        return FALSE;
    PstAddr nobody = pst_addr_v4(0);
    worker_end_stream(worker, &nobody, session);
    WorkerReport after = worker_report(worker);
    progress.yield = after.records;
    pst_progress_end(&progress, capture_position(capture));
    const char *how = pst_run_stopping(run) ? "stopped" : failure != NULL ? "broken off" : "read";
    log_end(path, how, &before, &after, pst_mono_now().ns - progress.started_ns);
    explain_nothing(path, &before, &after);
    if (failure == NULL)
        return TRUE;
    g_propagate_prefixed_error(error, g_steal_pointer(&failure), "%s: ", path);
    return FALSE;
}
