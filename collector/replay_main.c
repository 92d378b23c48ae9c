/* SPDX-License-Identifier: Apache-2.0 */
/* postern-replay: sends a capture's flow exports again, as they were recorded. `postern replay`
 * runs this. */
#include <stdio.h>
#include <time.h>

#include "capture.h"
#include "datagram.h"
#include "replay.h"
#include "run.h"

static const char description[] =
    "Sends the flow exports (UDP payloads) of capture files and IPFIX files to a collector, with\n"
    "the recorded pacing.\n"
    "\n"
    "Examples:\n"
    "  postern replay lab.pcap --to 127.0.0.1:2055 --speed 20 --map-senders\n"
    "      twenty times as fast as recorded; each recorded router sends from its own 127.0.1.x\n"
    "  postern replay lab.pcap --to [2001:db8::1]:4739 --speed 0\n"
    "      as fast as it goes (a receiver may then lose datagrams: look at its metrics)\n"
    "\n"
    "FILE may be - for the standard input. Ends with 0 when every datagram was sent, with 1 when "
    "some\n"
    "were not (nobody listened, the capture was cut, or it was stopped), and says the counts\n"
    "either way.";

typedef struct {
    guint64 fragments;
    guint64 cut; /* the capture holds less than was sent */
    guint64 others;
} Skipped;

/* Sleeps until the datagram is due; FALSE: asked to stop. */
static gboolean wait_for(PstRun *run, Replay *replay, gint64 recorded_ns)
{
    for (;;) {
        if (pst_run_stopping(run))
            return FALSE;
        pst_run_tick(run);
        (void)pst_run_take_reload(run); /* there is nothing to reread */
        gint64 wait_ns = replay_wait_ns(replay, recorded_ns, pst_mono_now());
        if (wait_ns <= 0)
            return TRUE;
        if (wait_ns >= 20 * PST_NS_PER_MS) {
            pst_run_wait(run, (int)MIN(wait_ns / PST_NS_PER_MS - 10, 500));
            continue;
        }
        struct timespec pause = {.tv_nsec = (long)wait_ns};
        (void)nanosleep(&pause, NULL);
    }
}

static gboolean send_item(PstRun *run, Replay *replay, CaptureItem item, const Datagram *datagram,
                          Skipped *skipped, GError **error)
{
    if (item == CAPTURE_FRAGMENT)
        skipped->fragments++;
    else if (item == CAPTURE_OTHER || !datagram_is_export(datagram->payload, datagram->len))
        skipped->others++;
    else if (datagram->truncated)
        skipped->cut++;
    else
        return wait_for(run, replay, datagram->kernel_ns) ? replay_send(replay, datagram, error)
                                                          : TRUE;
    return TRUE;
}

static gboolean replay_file(PstRun *run, Replay *replay, const char *path, Skipped *skipped,
                            GError **error)
{
    g_autoptr(Capture) capture = capture_open(path, error);
    if (capture == NULL)
        return FALSE;
    g_autofree char *what = g_strdup_printf("replaying %s", path);
    PstProgress progress;
    pst_progress_init(&progress, what, "bytes", capture_size(capture));
    progress.yielded = "datagrams";
    g_autoptr(GError) failure = NULL;
    while (!pst_run_stopping(run)) {
        Datagram datagram;
        CaptureItem item = capture_next(capture, &datagram, &failure);
        if (item == CAPTURE_END)
            break;
        if (!send_item(run, replay, item, &datagram, skipped, error))
            return FALSE;
        progress.yield = replay_counts(replay)->sent;
        if (pst_progress_due(&progress))
            pst_progress_update(&progress, capture_position(capture));
    }
    progress.yield = replay_counts(replay)->sent;
    pst_progress_end(&progress, capture_position(capture));
    if (failure == NULL)
        return TRUE;
    g_propagate_prefixed_error(error, g_steal_pointer(&failure), "%s: ", path);
    return FALSE;
}

/* Returns TRUE if everything was sent. */
static gboolean report(const PstRun *run, const Replay *replay, const Skipped *skipped,
                       PstMono started)
{
    const ReplayCounts *counts = replay_counts(replay);
    double seconds = MAX(pst_span_seconds(pst_mono_since(pst_mono_now(), started)), 1e-6);
    printf("sent %" G_GUINT64_FORMAT " datagrams (%" G_GUINT64_FORMAT
           " bytes) of %u senders in %.1f s (%.0f/s)%s; refused %" G_GUINT64_FORMAT
           ", failed %" G_GUINT64_FORMAT "; skipped %" G_GUINT64_FORMAT " cut, %" G_GUINT64_FORMAT
           " fragments, %" G_GUINT64_FORMAT " other packets\n",
           counts->sent, counts->bytes, counts->senders, seconds, (double)counts->sent / seconds,
           pst_run_stopping(run) ? ", then stopped" : "", counts->refused, counts->failed,
           skipped->cut, skipped->fragments, skipped->others);
    return counts->sent > 0 && !pst_run_stopping(run) &&
           counts->refused + counts->failed + skipped->cut + skipped->fragments == 0;
}

static gboolean replay_files(PstRun *run, Replay *replay, Skipped *skipped, GError **error)
{
    for (guint i = 0; run->args[i] != NULL; i++) {
        if (!replay_file(run, replay, run->args[i], skipped, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean work(PstRun *run, const ReplayOptions *options, gboolean *out_complete,
                     GError **error)
{
    if (options->to == NULL || run->args[0] == NULL) {
        g_set_error_literal(error, PST_ERROR, PST_ERROR_USAGE,
                            "say which FILE to send, and where: FILE --to HOST:PORT");
        return FALSE;
    }
    g_autoptr(Replay) replay = replay_new(options, error);
    if (replay == NULL)
        return FALSE;
    pst_run_ready(run);
    Skipped skipped = {0};
    PstMono started = pst_mono_now();
    gboolean good = replay_files(run, replay, &skipped, error);
    *out_complete = report(run, replay, &skipped, started);
    return good;
}

int main(int argc, char **argv)
{
    g_autofree char *to = NULL;
    ReplayOptions options = {.speed = 1};
    const GOptionEntry entries[] = {
        {"to", 0, 0, G_OPTION_ARG_STRING, &to, "Where to send", "HOST:PORT"},
        {"speed", 0, 0, G_OPTION_ARG_DOUBLE, &options.speed,
         "Times the recorded pace (1); 0: as fast as it goes", "X"},
        {"map-senders", 0, 0, G_OPTION_ARG_NONE, &options.map_senders,
         "Send each recorded sender's datagrams from its own 127.0.1.x", NULL},
        {NULL},
    };
    const PstProgram program = {.program = "postern-replay",
                                .summary = "sends recorded flow exports again",
                                .description = description,
                                .positional = "FILE…",
                                .options = entries};
    PstRun run;
    int status = PST_EXIT_DONE;
    if (!pst_run_init(&program, argc, argv, &run, &status))
        return status;
    options.to = to;
    gboolean complete = FALSE;
    GError *error = NULL;
    if (!work(&run, &options, &complete, &error))
        status = pst_run_fail_take("replay", error);
    else if (!complete)
        status = PST_EXIT_FAILED;
    pst_run_done(&run);
    return status;
}
