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
#include "openers.h"
#include "run.h"
#include "survival.h"

enum { TCP_SYN = 2 };
enum { TAKE_EVERY = 4096, SHOW_EVERY = 16384 };

typedef struct {
    const BacktestOptions *o;
    Trial trial[2]; /* the second where there is another configuration */
    guint trials;
    Survival *survival; /* NULL: no curve is wanted */
    const struct Peaks *peaks;
    BacktestCounts counts;
    guint64 ours;         /* flows that a customer began … */
    Openers openers;      /* … and as long as there is none: who began others */
    guint64 whole, thin;  /* sessions at 1:1 with their SYN; and single packets of them */
    gint64 newest_ns;     /* event time of all flows so far */
    guint64 bytes_before; /* of files read to their end */
    char *refused;        /* where the first stands that could not be read; NULL: all could */
    GString *broken;      /* what is wrong with files that broke off */
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

/* Is it far behind what came before it? */
static void note_order(Backtest *b, const PstFlow *flow, const char *path)
{
    gint64 event_ns = pst_flow_event_ns(flow);
    gint64 behind_ns = b->counts.flows > 1 ? b->newest_ns - event_ns : 0;
    b->newest_ns = b->counts.flows > 1 ? MAX(b->newest_ns, event_ns) : event_ns;
    if (event_ns <= 0 || behind_ns <= b->o->engine->watermark_s * G_GINT64_CONSTANT(1000000000))
        return;
    if (b->counts.behind++ == 0)
        b->counts.behind_first = path;
    b->counts.behind_ns = MAX(b->counts.behind_ns, behind_ns);
}

/* Of a session some record shows the SYN, unless packets were sampled. */
static void note_thin(Backtest *b, const PstFlow *flow)
{
    if (flow->direction != PST_DIR_OUT || flow->sampling_rate > 1 || flow->tcp_flags == 0 ||
        !pst_is_mail_port(flow->dst_port))
        return;
    b->whole += (flow->tcp_flags & TCP_SYN) != 0;
    b->thin += (flow->tcp_flags & TCP_SYN) == 0 && flow->packets == 1;
}

static void take_flow(Backtest *b, PstFlow *flow, const char *path)
{
    b->counts.flows++;
    note_order(b, flow, path);
    if (flow->direction == PST_DIR_UNKNOWN && b->o->networks != NULL)
        flow->direction = (guint8)direction_of(flow, b->o->networks);
    if (flow->rate_source == PST_RATE_NONE && b->o->sampled > 1) {
        flow->sampling_rate = b->o->sampled;
        flow->rate_source = PST_RATE_OPERATOR;
    }
    b->counts.undirected += flow->direction == PST_DIR_UNKNOWN;
    note_thin(b, flow);
    b->ours += flow->direction == PST_DIR_OUT;
    if (b->ours == 0)
        openers_note(&b->openers, flow);
    for (guint i = 0; i < b->trials; i++)
        (void)engine_flow(b->trial[i].engine, flow, (gint64)b->counts.flows);
    if (b->counts.flows % TAKE_EVERY == 0)
        take_outputs(b);
}

/* MB where the size is known, flows else. */
static void show(Backtest *b, const Source *source)
{
    guint64 bytes = b->bytes_before + source_position(source);
    if (!source_shows_itself(source))
        pst_progress_update(&b->progress, b->progress.total > 0 ? bytes >> 20 : b->counts.flows);
}

/* A file that breaks off is judged as far as it goes, and told of at the end. */
static void end_file(Backtest *b, Source *source, guint64 size)
{
    g_autoptr(GError) failure = NULL;
    b->bytes_before += size;
    if (!source_finish(source, &failure))
        g_string_append_printf(b->broken, "%s%s", b->broken->len > 0 ? "; " : "", failure->message);
}

/* 0: it has none, or cannot be looked at (opening it will say so). */
static guint64 size_of(const char *path)
{
    GStatBuf about;
    gboolean known = strcmp(path, "-") != 0 && g_stat(path, &about) == 0 && S_ISREG(about.st_mode);
    return known ? (guint64)about.st_size : 0;
}

static void note_refused(Backtest *b, const char *path, guint64 line)
{
    if (b->counts.refused++ > 0)
        return;
    b->refused =
        line > 0 ? g_strdup_printf("line %" G_GUINT64_FORMAT " of %s", line, path) : g_strdup(path);
}

static gboolean read_file(Backtest *b, const char *path, GError **error)
{
    g_autoptr(FlowReader) reader = flow_reader_open(path, b->o->collector, error);
    if (reader == NULL)
        return FALSE;
    Source *source = flow_reader_source(reader);
    for (guint64 items = 1;; items++) {
        PstFlow flow;
        PstHeartbeat beat;
        switch (flow_reader_next(reader, &flow, &beat, error)) {
        case FLOW_READ_FLOW:
            take_flow(b, &flow, path);
            break;
        case FLOW_READ_HEARTBEAT:
            for (guint i = 0; i < b->trials; i++)
                engine_heartbeat(b->trial[i].engine, &beat);
            break;
        case FLOW_READ_REFUSED:
            note_refused(b, path, flow_reader_line(reader));
            break;
        case FLOW_READ_END:
            end_file(b, source, size_of(path));
            return TRUE;
        case FLOW_READ_FAILED:
            return FALSE;
        }
        if (items % SHOW_EVERY == 0)
            show(b, source);
    }
}

static gboolean check(const Backtest *b, GError **error)
{
    const BacktestCounts *c = &b->counts;
    g_autofree char *openers = openers_text(&b->openers);
    if (c->flows == 0 && b->broken->len > 0)
        g_set_error(error, PST_ERROR, PST_ERROR_DATA, "%s", b->broken->str);
    else if (c->flows == 0 && c->refused == 0)
        g_set_error(error, PST_ERROR, PST_ERROR_DATA, "there is no flow in the input");
    else if (c->flows == 0)
        g_set_error(error, PST_ERROR, PST_ERROR_DATA,
                    "nothing in the input is a flow: expected one JSON object a line, as "
                    "postern-collector --output json:- prints, batches of our protobuf, a capture "
                    "or an IPFIX file; for others: docs/operating.md, Backtests");
    else if (c->flows > 0 && c->undirected == c->flows && b->o->networks == NULL)
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "no flow says which side is ours: give --networks FILE|CIDR,...%s%s",
                    openers != NULL ? "; most mail sessions are opened by " : "",
                    openers != NULL ? openers : "");
    else
        return TRUE;
    return FALSE;
}

/* MB of all files; 0: one is a pipe. */
static guint64 megabytes_of(const char *const *files)
{
    guint64 sum = 0;
    for (gsize i = 0; files[i] != NULL; i++) {
        guint64 size = size_of(files[i]);
        if (size == 0)
            return 0;
        sum += size;
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

/* What of the input did not become a flow in its time. */
static void hint_input(const Backtest *b)
{
    const EngineStats *s = engine_stats(b->trial[0].engine);
    if (b->counts.refused > 0)
        pst_log(PST_LOG_WARN, NULL,
                "lines or messages that cannot be read: %" G_GUINT64_FORMAT
                ", the first of them is %s; "
                "postern-collector --output json:- shows what is expected",
                b->counts.refused, b->refused);
    if (s->fates[ENGINE_NO_TIME] > 0)
        pst_log(PST_LOG_WARN, NULL,
                "flows without a time: %" G_GUINT64_FORMAT
                "; expected is time_flow_start_ns, time_flow_end_ns or time_received_ns, in "
                "nanoseconds since 1970",
                s->fates[ENGINE_NO_TIME]);
    if (b->thin > 100 && b->thin > b->whole)
        pst_log(PST_LOG_WARN, NULL,
                "most flows are single packets out of sessions, and tell no sampling rate: if the "
                "routers sample 1 packet of N, say --sampled N");
    if (s->fates[ENGINE_CLOCK_AHEAD] > s->sightings / 100)
        pst_log(PST_LOG_WARN, NULL,
                "flows that were not judged, as they lie more than %u s ahead of all before them "
                "or of their own time_received_ns: %" G_GUINT64_FORMAT,
                b->o->engine->clock_ahead_s, s->fates[ENGINE_CLOCK_AHEAD]);
}

/* Where a result would be read wrongly: nothing was judged, or not in its time. */
static void hint(const Backtest *b)
{
    const EngineStats *s = engine_stats(b->trial[0].engine);
    g_autofree char *openers = openers_text(&b->openers);
    hint_input(b);
    if (s->sightings == 0 && s->fates[ENGINE_NO_TIME] < b->counts.flows)
        pst_log(
            PST_LOG_WARN, NULL,
            "no flow is a mail session that one of our addresses opened: look at --networks%s%s",
            openers != NULL ? "; most mail sessions are opened by "
                            : ", and whether there are TCP flows to port 25, 465, 587 or 2525",
            openers != NULL ? openers : "");
    else if (s->fates[ENGINE_LATE] > s->sightings / 100)
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
    if (fflush(o->out) != 0 || ferror(o->out))
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "cannot write the verdicts: %s",
                    g_strerror(errno));
    else if (b->broken->len > 0)
        g_set_error_literal(error, PST_ERROR, PST_ERROR_DATA, b->broken->str);
    else
        return TRUE;
    return FALSE;
}

gboolean backtest(const BacktestOptions *options, GError **error)
{
    Backtest b = {.o = options, .broken = g_string_new(NULL)};
    begin(&b);
    gboolean ok = run(&b, error);
    for (guint i = 0; i < b.trials; i++)
        trial_clear(&b.trial[i]);
    survival_free(b.survival);
    g_free(b.refused);
    (void)g_string_free(b.broken, TRUE);
    return ok;
}
