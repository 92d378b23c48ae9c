/* SPDX-License-Identifier: Apache-2.0 */
#include "backtest.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backtest_print.h"
#include "direction.h"
#include "flow_reader.h"
#include "log.h"
#include "run.h"
#include "survival.h"

enum { TAKE_EVERY = 4096, SHOW_EVERY = 16384 };

typedef struct {
    const BacktestOptions *o;
    Trial trial[2]; /* the second where there is another configuration */
    guint trials;
    Survival *survival; /* NULL: no curve is wanted */
    const struct Peaks *peaks;
    BacktestCounts counts;
    guint64 bytes_before; /* of files read to their end */
    PstProgress progress;
} Backtest;

static void take_outputs(Backtest *b)
{
    for (guint i = 0; i < b->trials; i++) {
        g_autoptr(GArray) activity = trial_take(&b->trial[i]);
        if (b->survival != NULL && i == 0)
            survival_note(b->survival, activity);
    }
}

static void take_flow(Backtest *b, PstFlow *flow)
{
    b->counts.flows++;
    if (flow->direction == PST_DIR_UNKNOWN && b->o->networks != NULL)
        flow->direction = (guint8)direction_of(flow, b->o->networks);
    b->counts.undirected += flow->direction == PST_DIR_UNKNOWN;
    for (guint i = 0; i < b->trials; i++)
        (void)engine_flow(b->trial[i].engine, flow, (gint64)b->counts.flows);
    if (b->counts.flows % TAKE_EVERY == 0)
        take_outputs(b);
}

/* MB where the size is known, flows else. */
static void show(Backtest *b, const FlowReader *reader)
{
    guint64 bytes = b->bytes_before + flow_reader_bytes(reader);
    pst_progress_update(&b->progress, b->progress.total > 0 ? bytes >> 20 : b->counts.flows);
}

static gboolean read_file(Backtest *b, const char *path, GError **error)
{
    g_autoptr(FlowReader) reader = flow_reader_open(path, error);
    if (reader == NULL)
        return FALSE;
    for (guint64 items = 1;; items++) {
        PstFlow flow;
        PstHeartbeat beat;
        switch (flow_reader_next(reader, &flow, &beat, error)) {
        case FLOW_READ_FLOW:
            take_flow(b, &flow);
            break;
        case FLOW_READ_HEARTBEAT:
            for (guint i = 0; i < b->trials; i++)
                engine_heartbeat(b->trial[i].engine, &beat);
            break;
        case FLOW_READ_REFUSED:
            b->counts.refused++;
            break;
        case FLOW_READ_END:
            b->bytes_before += flow_reader_bytes(reader);
            return TRUE;
        case FLOW_READ_FAILED:
            return FALSE;
        }
        if (items % SHOW_EVERY == 0)
            show(b, reader);
    }
}

static gboolean check(const Backtest *b, GError **error)
{
    const BacktestCounts *c = &b->counts;
    if (c->flows == 0 && c->refused == 0)
        g_set_error(error, PST_ERROR, PST_ERROR_DATA, "there is no flow in the input");
    else if (c->flows == 0)
        g_set_error(error, PST_ERROR, PST_ERROR_DATA,
                    "nothing in the input is a flow: expected one JSON object a line, as "
                    "postern-collector --output json:- prints, or batches of our protobuf; for "
                    "pcap and IPFIX files run postern backtest");
    else if (c->flows > 0 && c->undirected == c->flows && b->o->networks == NULL)
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "no flow says which side is ours: give --networks FILE|CIDR,...");
    else
        return TRUE;
    return FALSE;
}

/* MB of all files; 0: one is a pipe, or cannot be looked at (opening it will say so). */
static guint64 megabytes_of(const char *const *files)
{
    guint64 sum = 0;
    for (gsize i = 0; files[i] != NULL; i++) {
        GStatBuf about;
        if (strcmp(files[i], "-") == 0 || g_stat(files[i], &about) != 0 || !S_ISREG(about.st_mode))
            return 0;
        sum += (guint64)about.st_size;
    }
    return sum >> 20;
}

static void begin(Backtest *b)
{
    const BacktestOptions *o = b->o;
    char *(*print)(const PstVerdict *) =
        o->format == BACKTEST_JSON ? pst_verdict_to_json : backtest_verdict_text;
    trial_init(&b->trial[b->trials++], "", o->engine, print);
    if (o->other != NULL)
        trial_init(&b->trial[b->trials++], o->other_name, o->other, print);
    if (o->svg != NULL) {
        b->survival = survival_new();
        b->peaks = engine_keep_peaks(b->trial[0].engine);
    }
    guint64 megabytes = megabytes_of(o->files);
    pst_progress_init(&b->progress, "backtest", megabytes > 0 ? "MB" : "flows", megabytes);
}

static void finish(Backtest *b)
{
    for (guint i = 0; i < b->trials; i++) {
        g_autoptr(GArray) activity = trial_finish(&b->trial[i]);
        if (b->survival != NULL && i == 0)
            survival_note(b->survival, activity);
    }
}

/* Where a result would be read wrongly: nothing was judged, or not in its time. */
static void hint(const Backtest *b)
{
    const EngineStats *s = engine_stats(b->trial[0].engine);
    if (s->sightings == 0)
        pst_log(PST_LOG_WARN, NULL,
                "no flow is a mail session that one of our addresses opened: look at --networks, "
                "and whether there are TCP flows to port 25, 465, 587 or 2525");
    else if (s->fates[ENGINE_LATE] > s->sightings / 10)
        pst_log(PST_LOG_WARN, NULL,
                "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                " sightings came too late and were not judged: give the flows in the order of "
                "their time",
                s->fates[ENGINE_LATE], s->sightings);
}

static gboolean run(Backtest *b, GError **error)
{
    const BacktestOptions *o = b->o;
    for (gsize i = 0; o->files[i] != NULL; i++)
        if (!read_file(b, o->files[i], error))
            return FALSE;
    pst_progress_end(&b->progress, b->progress.total > 0 ? b->bytes_before >> 20 : b->counts.flows);
    if (!check(b, error))
        return FALSE;
    finish(b);
    hint(b);
    backtest_print(o, &b->counts, &b->trial[0], b->trials > 1 ? &b->trial[1] : NULL);
    if (b->survival != NULL && !survival_draw(b->survival, b->peaks, o->svg, error))
        return FALSE;
    if (fflush(o->out) == 0 && !ferror(o->out))
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "cannot write the verdicts: %s", g_strerror(errno));
    return FALSE;
}

gboolean backtest(const BacktestOptions *options, GError **error)
{
    Backtest b = {.o = options};
    begin(&b);
    gboolean ok = run(&b, error);
    for (guint i = 0; i < b.trials; i++)
        trial_clear(&b.trial[i]);
    survival_free(b.survival);
    return ok;
}
