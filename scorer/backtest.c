/* SPDX-License-Identifier: Apache-2.0 */
#include "backtest.h"

#include <string.h>

#include "clock.h"
#include "direction.h"
#include "flow_reader.h"
#include "json.h"
#include "run.h"

enum { TAKE_EVERY = 4096, SHOW_EVERY = 16384 };

/* A crossing, ready to be printed, until all are known and can be put in order. */
typedef struct {
    gint64 time_ns;
    guint64 order; /* as they arose */
    char *text;
} Line;

typedef struct {
    const BacktestOptions *o;
    Engine *engine;
    GArray *lines; /* Line */
    guint64 flows, refused, undirected;
    PstProgress progress;
} Backtest;

static void line_clear(gpointer data)
{
    g_free(((Line *)data)->text);
}

static int compare_lines(gconstpointer a, gconstpointer b)
{
    const Line *x = a, *y = b;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static char *verdict_text(const PstVerdict *v)
{
    char time[PST_TIME_TEXT_MAX], unit[PST_PREFIX_TEXT_MAX];
    GString *out = g_string_new(NULL);
    g_string_printf(out, "%s  %-5s  %s  score %d, evidence %.0f, at least %.0f sessions",
                    pst_time_format(v->time_ns, FALSE, time), pst_band_name(v->band),
                    pst_prefix_format(&v->unit, unit), v->score, v->evidence, v->sessions_low);
    for (gsize i = 0; i < G_N_ELEMENTS(v->ports) && v->ports[i] != 0; i++)
        g_string_append_printf(out, "%s%u", i == 0 ? ", port " : ", ", v->ports[i]);
    for (guint i = 0; i < v->n_reasons; i++)
        g_string_append_printf(out, "\n    %s", v->reasons[i].text);
    return g_string_free(out, FALSE);
}

static void take_outputs(Backtest *b)
{
    g_autoptr(GArray) verdicts = engine_take_verdicts(b->engine);
    g_autoptr(GArray) activity = engine_take_activity(b->engine);
    for (guint i = 0; i < verdicts->len; i++) {
        const PstVerdict *v = &g_array_index(verdicts, PstVerdict, i);
        if (v->ended)
            continue; /* completes a line that stands already */
        Line line = {.time_ns = v->time_ns,
                     .order = b->lines->len,
                     .text =
                         b->o->format == BACKTEST_JSON ? pst_verdict_to_json(v) : verdict_text(v)};
        g_array_append_val(b->lines, line);
    }
}

static void take_flow(Backtest *b, PstFlow *flow)
{
    b->flows++;
    if (flow->direction == PST_DIR_UNKNOWN && b->o->networks != NULL)
        flow->direction = (guint8)direction_of(flow, b->o->networks);
    b->undirected += flow->direction == PST_DIR_UNKNOWN;
    (void)engine_flow(b->engine, flow, (gint64)b->flows);
    if (b->flows % TAKE_EVERY == 0)
        take_outputs(b);
    if (b->flows % SHOW_EVERY == 0)
        pst_progress_update(&b->progress, b->flows);
}

static gboolean read_file(Backtest *b, const char *path, GError **error)
{
    g_autoptr(FlowReader) reader = flow_reader_open(path, error);
    if (reader == NULL)
        return FALSE;
    for (;;) {
        PstFlow flow;
        PstHeartbeat beat;
        switch (flow_reader_next(reader, &flow, &beat, error)) {
        case FLOW_READ_FLOW:
            take_flow(b, &flow);
            break;
        case FLOW_READ_HEARTBEAT:
            engine_heartbeat(b->engine, &beat);
            break;
        case FLOW_READ_REFUSED:
            b->refused++;
            break;
        case FLOW_READ_END:
            return TRUE;
        case FLOW_READ_FAILED:
            return FALSE;
        }
    }
}

/* Each unit counts once while it is held; one that was forgotten and came back counts again. */
static guint64 units_seen(const EngineStats *s)
{
    return s->units + s->units_forgotten + s->units_evicted;
}

static guint64 set_aside(const EngineStats *s)
{
    return s->fates[ENGINE_CLOCK_AHEAD] + s->fates[ENGINE_NO_TIME];
}

static void print_json_summary(const Backtest *b, const EngineStats *s)
{
    const struct {
        const char *name;
        guint64 value;
    } counts[] = {
        {"flows", b->flows},
        {"units", units_seen(s)},
        {"late", s->fates[ENGINE_LATE]},
        {"refused", b->refused + set_aside(s)},
        {"sightings", s->sightings},
        {"watch", s->watches},
        {"flag", s->flags},
        {"block", s->blocks},
        {"undirected", b->undirected},
    };
    g_autoptr(GString) out = g_string_new("{\"summary\":{");
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
        pst_json_append_name(out, counts[i].name);
        pst_json_append_u64(out, counts[i].value);
    }
    fprintf(b->o->out, "%s}}\n", out->str);
}

static void print_text_summary(const Backtest *b, const EngineStats *s)
{
    const struct {
        const char *before;
        guint64 value;
    } parts[] = {
        {"flows: ", b->flows},
        {", senders of mail: ", units_seen(s)},
        {", new sessions: ", s->fates[ENGINE_NEW]},
        {"\ncrossings: watch ", s->watches},
        {", flag ", s->flags},
        {", block ", s->blocks},
        {"\ntoo late to be scored: ", s->fates[ENGINE_LATE]},
        {", refused: ", b->refused + set_aside(s)},
    };
    if (b->lines->len > 0)
        fputc('\n', b->o->out);
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++)
        fprintf(b->o->out, "%s%" G_GUINT64_FORMAT, parts[i].before, parts[i].value);
    fputc('\n', b->o->out);
}

static gboolean check(const Backtest *b, GError **error)
{
    if (b->flows == 0 && b->refused > 0)
        g_set_error(error, PST_ERROR, PST_ERROR_DATA,
                    "nothing in the input is a flow: expected one JSON object a line, as "
                    "postern-collector --output json:- prints, or batches of our protobuf; for "
                    "pcap and IPFIX files run postern backtest");
    else if (b->flows > 0 && b->undirected == b->flows && b->o->networks == NULL)
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "no flow says which side is ours: give --networks FILE|CIDR,...");
    else
        return TRUE;
    return FALSE;
}

static void print_all(Backtest *b)
{
    const EngineStats *stats = engine_stats(b->engine);
    g_array_sort(b->lines, compare_lines);
    for (guint i = 0; i < b->lines->len; i++)
        fprintf(b->o->out, "%s\n", g_array_index(b->lines, Line, i).text);
    if (b->o->format == BACKTEST_JSON)
        print_json_summary(b, stats);
    else
        print_text_summary(b, stats);
}

gboolean backtest(const BacktestOptions *options, GError **error)
{
    g_autoptr(Engine) engine = engine_new(options->engine, 0);
    g_autoptr(GArray) lines = g_array_new(FALSE, FALSE, sizeof(Line));
    g_array_set_clear_func(lines, line_clear);
    Backtest b = {.o = options, .engine = engine, .lines = lines};
    pst_progress_init(&b.progress, "backtest", "flows", 0);
    for (gsize i = 0; options->files[i] != NULL; i++)
        if (!read_file(&b, options->files[i], error))
            return FALSE;
    pst_progress_end(&b.progress, b.flows);
    if (!check(&b, error))
        return FALSE;
    engine_finish(engine);
    take_outputs(&b);
    print_all(&b);
    if (fflush(options->out) == 0 && !ferror(options->out))
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "cannot write the verdicts: %s", g_strerror(errno));
    return FALSE;
}
