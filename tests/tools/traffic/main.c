/* SPDX-License-Identifier: Apache-2.0 */
/* traffic: generated mail traffic with its ground truth, as routers would tell of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cast.h"
#include "codec.h"
#include "json.h"
#include "postern/error.h"
#include "router.h"

#define BEAT_NS G_GINT64_CONSTANT(10000000000)

typedef struct {
    char *classes, *format, *truth, *output;
    char **only;
    gint64 seed;
    double addresses, trials;
    gint history, days, rate, directions, routers;
} Options;

typedef struct {
    gint64 first_ns, last_ns;
    guint64 sessions, spam;
} Fate;

typedef struct {
    const Options *o;
    const Cast *cast;
    Router *router;
    gboolean json;
    gint64 beat_ns;
    GString *line;
    Fate *fates; /* by life */
    FILE *truth, *out;
} Play;

static const char summary[] =
    "Generated mail traffic, with its ground truth: the classes of address in classes.conf (or "
    "your\n"
    "own in the same format), as sampling routers would tell of them. The same seed gives the "
    "same\n"
    "bytes on every machine. Our side is " CAST_NETWORKS ".\n"
    "\n"
    "  traffic --class spam-5 --trials 3 --days 1 | postern-scorer --backtest -\n"
    "  traffic --addresses 20000 --days 7 --rate 1000 --truth truth.json >week.pb\n";

static void put(Play *p, const PstFlow *flow)
{
    if (p->json) {
        g_string_truncate(p->line, 0);
        pst_codec_flow_json(flow, p->line);
        g_string_append_c(p->line, '\n');
        (void)fwrite(p->line->str, 1, p->line->len, p->out);
        return;
    }
    guint8 out[PST_CODEC_FLOW_MAX];
    (void)fwrite(out, 1, pst_codec_put_flow(out, flow), p->out);
}

/* JSON has no heartbeats; event time follows the flows then. */
static void put_beats(Play *p, gint64 now_ns)
{
    for (; p->beat_ns <= now_ns; p->beat_ns += BEAT_NS) {
        for (guint i = 0; !p->json && i < (guint)p->o->routers; i++) {
            guint8 out[PST_CODEC_HEARTBEAT_MAX];
            PstHeartbeat beat = router_beat(i, p->beat_ns);
            (void)fwrite(out, 1, pst_codec_put_heartbeat(out, &beat), p->out);
        }
    }
}

static void put_until(Play *p, gint64 until_ns)
{
    guint n;
    const Record *records = router_take(p->router, until_ns, &n);
    for (guint i = 0; i < n; i++) {
        PstFlow flow;
        put_beats(p, records[i].arrival_ns);
        router_flow(p->router, &records[i], &p->cast->lives[records[i].life], &flow);
        put(p, &flow);
    }
    put_beats(p, until_ns);
}

static void note_truth(Fate *fate, const Session *sessions, guint n)
{
    for (guint i = 0; i < n; i++) {
        fate->sessions += !sessions[i].inbound;
        if (!sessions[i].spam)
            continue;
        gint64 at_ns = sessions[i].start_ns;
        fate->first_ns = fate->spam == 0 ? at_ns : MIN(fate->first_ns, at_ns);
        fate->last_ns = MAX(fate->last_ns, at_ns);
        fate->spam++;
    }
}

static void print_fate(Play *p, guint i)
{
    const Life *life = &p->cast->lives[i];
    const Fate *fate = &p->fates[i];
    const Session first = {.host = 0};
    PstAddr addr = life_addr(life, &first);
    guint8 len = life->class->v6 ? 64 : life->hosts > 1 ? 24 : 32;
    PstPrefix unit = pst_prefix_of(&addr, len);
    char text[PST_PREFIX_TEXT_MAX];
    g_autoptr(GString) out = g_string_new("{\"unit\":");
    pst_json_append_string(out, pst_prefix_format(&unit, text));
    pst_json_append_name(out, "class");
    pst_json_append_string(out, life->class->name);
    pst_json_append_name(out, "sessions");
    pst_json_append_u64(out, fate->sessions);
    if (fate->spam > 0) {
        pst_json_append_name(out, "spam");
        pst_json_append_u64(out, fate->spam);
        pst_json_append_name(out, "spam_from_ns");
        pst_json_append_i64(out, fate->first_ns);
        pst_json_append_name(out, "spam_to_ns");
        pst_json_append_i64(out, fate->last_ns);
    }
    fprintf(p->truth, "%s}\n", out->str);
}

static void play(Play *p)
{
    g_autoptr(GArray) sessions = g_array_new(FALSE, FALSE, sizeof(Session));
    gint days = p->o->history + p->o->days;
    for (gint day = 0; day < days; day++) {
        for (guint i = 0; i < p->cast->n; i++) {
            g_array_set_size(sessions, 0);
            life_day(&p->cast->lives[i], day, i, sessions);
            const Session *own = (const Session *)(const void *)sessions->data;
            router_see(p->router, &p->cast->lives[i], day, own, sessions->len);
            note_truth(&p->fates[i], own, sessions->len);
        }
        put_until(p, (FIRST_DAY + day + 1) * DAY_NS);
    }
    put_until(p, (FIRST_DAY + days + 1) * DAY_NS);
    for (guint i = 0; p->truth != NULL && i < p->cast->n; i++)
        if (p->fates[i].sessions > 0)
            print_fate(p, i);
}

static gboolean parse(int argc, char **argv, Options *o, GError **error)
{
    const GOptionEntry entries[] = {
        {"classes", 0, 0, G_OPTION_ARG_FILENAME, &o->classes, "Description of the classes", "FILE"},
        {"class", 'c', 0, G_OPTION_ARG_STRING_ARRAY, &o->only, "Only this class; again for more",
         "NAME"},
        {"seed", 's', 0, G_OPTION_ARG_INT64, &o->seed, "Where all chance comes from (1)", "N"},
        {"addresses", 'n', 0, G_OPTION_ARG_DOUBLE, &o->addresses,
         "Legitimate addresses, silent ones too (10000)", "N"},
        {"trials", 't', 0, G_OPTION_ARG_DOUBLE, &o->trials,
         "Spam episodes of a class with units = 1 (1)", "N"},
        {"history", 0, 0, G_OPTION_ARG_INT, &o->history, "Days without spam before (0)", "N"},
        {"days", 'd', 0, G_OPTION_ARG_INT, &o->days, "Days after these (1)", "N"},
        {"rate", 'r', 0, G_OPTION_ARG_INT, &o->rate, "Packet sampling 1:N (1)", "N"},
        {"directions", 0, 0, G_OPTION_ARG_INT, &o->directions, "1: only what leaves (1)", "1|2"},
        {"routers", 0, 0, G_OPTION_ARG_INT, &o->routers, "That see every packet, up to 4 (1)", "N"},
        {"format", 'f', 0, G_OPTION_ARG_STRING, &o->format, "Of the flows (protobuf)",
         "protobuf|json"},
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &o->output, "Write the flows there (stdout)",
         "FILE"},
        {"truth", 0, 0, G_OPTION_ARG_FILENAME, &o->truth, "Write each address' truth there",
         "FILE"},
        {0},
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_set_summary(context, summary);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error))
        return FALSE;
    if (o->addresses >= 0 && o->trials >= 0 && o->history >= 0 && o->days >= 1 && o->rate >= 1 &&
        (o->directions == 1 || o->directions == 2) && o->routers >= 1 &&
        o->routers <= ROUTERS_MAX &&
        (o->format == NULL || strcmp(o->format, "json") == 0 || strcmp(o->format, "protobuf") == 0))
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "an option is out of its range: see --help");
    return FALSE;
}

static FILE *open_file(const char *path, FILE *otherwise, GError **error)
{
    FILE *file = path != NULL ? fopen(path, "we") : otherwise;
    if (path != NULL && file == NULL)
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "%s: %s", path, g_strerror(errno));
    return file;
}

static gboolean run(const Options *o, GError **error)
{
    g_autofree char *own = g_build_filename(TRAFFIC_DIR, "classes.conf", NULL);
    g_autoptr(Scene) scene = scene_load(o->classes != NULL ? o->classes : own, error);
    if (scene == NULL)
        return FALSE;
    for (guint i = 0; o->only != NULL && o->only[i] != NULL; i++)
        if (scene_find(scene, o->only[i]) < 0) {
            g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "there is no class %s", o->only[i]);
            return FALSE;
        }
    const CastPlan plan = {.scene = scene,
                           .seed = (guint64)o->seed,
                           .span = {o->history, o->days},
                           .addresses = o->addresses,
                           .trials = o->trials,
                           .only = (const char *const *)o->only,
                           .shards = 1};
    const View view = {(guint32)o->rate, (guint)o->directions, (guint)o->routers};
    Cast cast;
    if (!cast_init(&cast, &plan))
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "too many addresses");
    FILE *truth = *error == NULL ? open_file(o->truth, NULL, error) : NULL;
    FILE *out = *error == NULL ? open_file(o->output, stdout, error) : NULL;
    if (*error == NULL) {
        g_autoptr(GString) line = g_string_new(NULL);
        g_autofree Fate *fates = g_new0(Fate, MAX(cast.n, 1));
        Play p = {.o = o,
                  .cast = &cast,
                  .router = router_new(&view, plan.seed),
                  .json = o->format != NULL && strcmp(o->format, "json") == 0,
                  .beat_ns = FIRST_DAY * DAY_NS,
                  .line = line,
                  .fates = fates,
                  .truth = truth,
                  .out = out};
        play(&p);
        router_free(p.router);
        if (fflush(out) != 0 || (truth != NULL && fflush(truth) != 0))
            g_set_error(error, PST_ERROR, PST_ERROR_IO, "cannot write: %s", g_strerror(errno));
    }
    if (truth != NULL)
        fclose(truth);
    if (out != NULL && out != stdout)
        fclose(out);
    cast_clear(&cast);
    return *error == NULL;
}

int main(int argc, char **argv)
{
    Options o = {.seed = 1,
                 .addresses = 10000,
                 .trials = 1,
                 .days = 1,
                 .rate = 1,
                 .directions = 1,
                 .routers = 1};
    g_autoptr(GError) error = NULL;
    int status = PST_EXIT_DONE;
    if (!parse(argc, argv, &o, &error) || !run(&o, &error)) {
        fprintf(stderr, "traffic: %s\n", error->message);
        status = error->domain == PST_ERROR && error->code == PST_ERROR_IO ? PST_EXIT_FAILED
                                                                           : PST_EXIT_USAGE;
    }
    g_free(o.classes);
    g_free(o.format);
    g_free(o.truth);
    g_free(o.output);
    g_strfreev(o.only);
    return status;
}
