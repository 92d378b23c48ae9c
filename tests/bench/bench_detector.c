/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_detector: plays one shard of generated traffic through the engine and its rivals, at
 * several sampling rates, and prints what each of them said as one line of JSON. tests/bench/run
 * detector starts many of these and adds them up.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "baseline.h"
#include "engine.h"
#include "json.h"
#include "peaks.h"
#include "router.h"
#include "settings.h"
#include "tally.h"

#define BEAT_NS    G_GINT64_CONSTANT(10000000000)
#define TAKE_BEATS 30
#define RATES_MAX  8
#define STEPS      (1000 / PEAKS_STEP + 1)

/* One view of the same traffic, and what is made of it. */
typedef struct {
    View view;
    Router *router;
    Engine *engine;
    Tally edet, rival[BASELINES];
    Baseline *baselines; /* by address */
    const Peaks *peaks;  /* NULL: not kept */
    gint64 beat_ns, position;
    guint beats;
    guint64 flows;
    double engine_s;
} Lane;

typedef struct {
    char *classes, *config;
    char **only, **rates;
    EngineConf engine;
    gint64 seed;
    double addresses, trials;
    gint history, days, directions, routers, shard, shards;
    gboolean no_review, no_rivals, describe, peaks;
} Options;

typedef struct {
    const Options *o;
    Cast cast;
    Spam *spam;           /* by life */
    guint64 *null_days;   /* by life: bits of measured days that chance alone should explain */
    guint64 *cold_days;   /* and of its first three days, where nothing is known of it */
    guint *first_address; /* by life: place in baselines */
    guint n_addresses;
    Lane lane[RATES_MAX];
    guint n_lanes;
    guint64 sessions;
} Bench;

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- a lane -------------------------------------------------------------------------------- */

static void take_verdicts(Bench *b, Lane *lane)
{
    static const SaidKind kinds[PST_BAND_COUNT] = {
        [PST_BAND_WATCH] = SAID_KINDS, [PST_BAND_FLAG] = SAID_FLAG, [PST_BAND_BLOCK] = SAID_BLOCK};
    g_autoptr(GArray) verdicts = engine_take_verdicts(lane->engine);
    g_autoptr(GArray) activity = engine_take_activity(lane->engine);
    for (guint i = 0; i < verdicts->len; i++) {
        const PstVerdict *v = &g_array_index(verdicts, PstVerdict, i);
        gint life = cast_find(&b->cast, &v->unit);
        if (v->ended || kinds[v->band] == SAID_KINDS || life < 0)
            continue;
        const SaidTimes at = {v->time_ns, MAX(v->time_ns, v->last_ns), v->received_ns};
        tally_say(&lane->edet, &b->cast, b->spam, (guint)life, kinds[v->band], &at);
    }
}

static void beat(Bench *b, Lane *lane)
{
    for (guint router = 0; router < lane->view.routers; router++) {
        PstHeartbeat heartbeat = router_beat(router, lane->beat_ns);
        engine_heartbeat(lane->engine, &heartbeat);
    }
    lane->beat_ns += BEAT_NS;
    if (++lane->beats % TAKE_BEATS == 0)
        take_verdicts(b, lane);
}

static void ask_rivals(Bench *b, Lane *lane, const Record *record)
{
    const Life *life = &b->cast.lives[record->life];
    guint at = b->first_address[record->life] + (life->class->v6 ? 0 : record->host);
    const SaidTimes when = {record->start_ns, record->start_ns, record->arrival_ns};
    guint alarms = baseline_take(&lane->baselines[at], record->start_ns, lane->view.rate);
    for (guint rule = 0; alarms != 0 && rule < BASELINES; rule++)
        if (alarms & 1u << rule)
            tally_say(&lane->rival[rule], &b->cast, b->spam, record->life, SAID_FLAG, &when);
}

static void play_until(Bench *b, Lane *lane, gint64 until_ns)
{
    guint n;
    const Record *records = router_take(lane->router, until_ns, &n);
    double begin = cpu_s();
    for (guint i = 0; i < n; i++) {
        while (lane->beat_ns <= records[i].arrival_ns)
            beat(b, lane);
        PstFlow flow;
        router_flow(lane->router, &records[i], &b->cast.lives[records[i].life], &flow);
        engine_flow(lane->engine, &flow, ++lane->position);
        if (records[i].direction == PST_DIR_OUT && !b->o->no_rivals)
            ask_rivals(b, lane, &records[i]);
    }
    while (lane->beat_ns <= until_ns)
        beat(b, lane);
    lane->flows += n;
    lane->engine_s += cpu_s() - begin;
}

/* The officer looks at the day's flags each midnight: what was legitimate is a false positive. */
static void review(Bench *b, Lane *lane, gint day)
{
    take_verdicts(b, lane);
    for (guint i = 0; i < b->cast.n; i++) {
        const Life *life = &b->cast.lives[i];
        if (b->spam[i].n > 0 || !(lane->edet.said[i].days[SAID_FLAG] >> day & 1))
            continue;
        const Session first = {.host = 0};
        PstAddr addr = life_addr(life, &first);
        const PstInput input = {.kind = PST_INPUT_FALSE_POSITIVE,
                                .unit = pst_unit_of(&addr, PST_UNIT_LEN_V6_DEFAULT)};
        engine_input(lane->engine, &input);
    }
}

/* Whoever has several addresses has them as one customer's net. */
static void assign_nets(const Bench *b, Lane *lane)
{
    for (guint i = 0; i < b->cast.n; i++) {
        const Life *life = &b->cast.lives[i];
        if (life->hosts < 2)
            continue;
        const Session first = {.host = 0};
        PstAddr addr = life_addr(life, &first);
        const PstInput input = {
            .kind = PST_INPUT_ASSIGNED, .unit = pst_prefix_of(&addr, 24), .owner = i + 1};
        engine_input(lane->engine, &input);
    }
}

static void lane_init(Bench *b, Lane *lane, guint rate)
{
    EngineConf conf = b->o->engine;
    conf.novelty_bytes = 2 << 20; /* 35,000 new sessions in 15 minutes */
    lane->view = (View){rate, (guint)b->o->directions, (guint)b->o->routers};
    lane->router = router_new(&lane->view, b->cast.plan.seed);
    lane->engine = engine_new(&conf, 0);
    assign_nets(b, lane);
    lane->peaks = b->o->peaks ? engine_keep_peaks(lane->engine) : NULL;
    lane->baselines = g_new0(Baseline, MAX(b->n_addresses, 1));
    lane->beat_ns = FIRST_DAY * DAY_NS;
    tally_init(&lane->edet, "edet", &b->cast);
    for (guint rule = 0; rule < BASELINES; rule++)
        tally_init(&lane->rival[rule], baseline_names[rule], &b->cast);
}

static void lane_clear(Lane *lane)
{
    router_free(lane->router);
    engine_free(lane->engine);
    g_free(lane->baselines);
    tally_clear(&lane->edet);
    for (guint rule = 0; rule < BASELINES; rule++)
        tally_clear(&lane->rival[rule]);
}

/* --- the days ------------------------------------------------------------------------------ */

static int compare_times(gconstpointer a, gconstpointer b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
    return (x > y) - (x < y);
}

static void note_spam(Spam *spam, const Session *sessions, guint n)
{
    guint more = 0;
    for (guint i = 0; i < n; i++)
        more += sessions[i].spam;
    if (more == 0)
        return;
    spam->start_ns = g_renew(gint64, spam->start_ns, spam->n + more);
    for (guint i = 0; i < n; i++)
        if (sessions[i].spam)
            spam->start_ns[spam->n++] = sessions[i].start_ns;
    qsort(spam->start_ns, spam->n, sizeof spam->start_ns[0], compare_times);
}

/* No event on the day or the day before, three weeks old, and hardly growing. */
static gboolean is_null(const Life *life, const Span *span, gint day)
{
    return !life->class->spam && day >= span->history && day >= life->first_day + 21 &&
           life->last_event != day && life->last_event != day - 1 && life_growth(life, day) < 1.2;
}

/* The same of a stranger's days. */
static gboolean is_cold(const Life *life, gint day)
{
    return !life->class->spam && day >= life->first_day && day < life->first_day + 3 &&
           life->last_event != day && life->last_event != day - 1;
}

static void play_day(Bench *b, gint day, GArray *sessions)
{
    for (guint i = 0; i < b->cast.n; i++) {
        g_array_set_size(sessions, 0);
        life_day(&b->cast.lives[i], day, i, sessions);
        const Session *own = (const Session *)(const void *)sessions->data;
        note_spam(&b->spam[i], own, sessions->len);
        if (is_null(&b->cast.lives[i], &b->cast.plan.span, day))
            b->null_days[i] |= G_GUINT64_CONSTANT(1) << day;
        if (is_cold(&b->cast.lives[i], day))
            b->cold_days[i] |= G_GUINT64_CONSTANT(1) << day;
        b->sessions += sessions->len;
        for (guint l = 0; l < b->n_lanes; l++)
            router_see(b->lane[l].router, &b->cast.lives[i], day, own, sessions->len);
    }
    for (guint l = 0; l < b->n_lanes; l++) {
        play_until(b, &b->lane[l], (FIRST_DAY + day + 1) * DAY_NS);
        if (!b->o->no_review)
            review(b, &b->lane[l], day);
    }
}

static void play(Bench *b)
{
    g_autoptr(GArray) sessions = g_array_new(FALSE, FALSE, sizeof(Session));
    gint days = b->o->history + b->o->days;
    for (gint day = 0; day < days; day++)
        play_day(b, day, sessions);
    for (guint l = 0; l < b->n_lanes; l++) {
        play_until(b, &b->lane[l], (FIRST_DAY + days + 1) * DAY_NS);
        engine_finish(b->lane[l].engine);
        take_verdicts(b, &b->lane[l]);
    }
}

static guint class_index(const Bench *b, guint life)
{
    const GArray *classes = b->cast.plan.scene->classes;
    return (guint)(b->cast.lives[life].class - (const Class *)(const void *)classes->data);
}

/* {CLASS: {"unit_days": such days, "reached": [days whose evidence reached 0 (any), 10, … 1000]}}
 */
static void print_peaks(const Bench *b, const Lane *lane, const guint64 *which, GString *out)
{
    guint classes = b->cast.plan.scene->classes->len;
    g_autofree guint64 *reached = g_new0(guint64, (gsize)classes * STEPS);
    g_autofree guint64 *days = g_new0(guint64, classes);
    g_autoptr(GArray) peaks = peaks_all(lane->peaks);
    for (guint i = 0; i < b->cast.n; i++)
        days[class_index(b, i)] += (guint64)__builtin_popcountll(which[i]);
    for (guint i = 0; i < peaks->len; i++) {
        const Peaked *peaked = &g_array_index(peaks, Peaked, i);
        gint life = cast_find(&b->cast, &peaked->unit);
        gint64 day = peaked->day - FIRST_DAY;
        if (life >= 0 && day >= 0 && day < 64 && which[life] >> day & 1)
            for (guint step = 0; step <= (guint)(peaked->evidence / PEAKS_STEP); step++)
                reached[class_index(b, (guint)life) * STEPS + step]++;
    }
    g_string_append_c(out, '{');
    for (guint c = 0; c < classes; c++) {
        if (days[c] == 0)
            continue;
        pst_json_append_name(out, scene_class(b->cast.plan.scene, c)->name);
        g_string_append_printf(out, "{\"unit_days\":%" G_GUINT64_FORMAT ",\"reached\":[", days[c]);
        for (guint step = 0; step < STEPS; step++)
            g_string_append_printf(out, "%s%" G_GUINT64_FORMAT, step > 0 ? "," : "",
                                   reached[c * STEPS + step]);
        g_string_append(out, "]}");
    }
    g_string_append_c(out, '}');
}

static void print_lane(const Bench *b, const Lane *lane, GString *out)
{
    const EngineStats *stats = engine_stats(lane->engine);
    g_string_append_c(out, '{');
    pst_json_append_name(out, "rate");
    pst_json_append_u64(out, lane->view.rate);
    pst_json_append_name(out, "flows");
    pst_json_append_u64(out, lane->flows);
    pst_json_append_name(out, "late");
    pst_json_append_u64(out, stats->fates[ENGINE_LATE]);
    pst_json_append_name(out, "engine_s");
    pst_json_append_real(out, lane->engine_s);
    if (lane->peaks != NULL) {
        pst_json_append_name(out, "null");
        print_peaks(b, lane, b->null_days, out);
        pst_json_append_name(out, "cold");
        print_peaks(b, lane, b->cold_days, out);
    }
    pst_json_append_name(out, "methods");
    g_string_append_c(out, '[');
    tally_print(&lane->edet, &b->cast, out);
    for (guint rule = 0; rule < BASELINES && !b->o->no_rivals; rule++) {
        g_string_append_c(out, ',');
        tally_print(&lane->rival[rule], &b->cast, out);
    }
    g_string_append(out, "]}");
}

static void print_all(const Bench *b)
{
    g_autoptr(GString) out = g_string_new("{");
    pst_json_append_name(out, "sessions");
    pst_json_append_u64(out, b->sessions);
    pst_json_append_name(out, "cpu_s");
    pst_json_append_real(out, cpu_s());
    pst_json_append_name(out, "lanes");
    g_string_append_c(out, '[');
    for (guint l = 0; l < b->n_lanes; l++) {
        if (l > 0)
            g_string_append_c(out, ',');
        print_lane(b, &b->lane[l], out);
    }
    printf("%s]}\n", out->str);
}

/* --- the command --------------------------------------------------------------------------- */

static gboolean parse(int argc, char **argv, Options *o, GError **error)
{
    const GOptionEntry entries[] = {
        {"classes", 0, 0, G_OPTION_ARG_FILENAME, &o->classes, "Description of the classes", "FILE"},
        {"config", 0, 0, G_OPTION_ARG_FILENAME, &o->config, "Keys of the scorer's configuration",
         "FILE"},
        {"class", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o->only, "Only this class", "NAME"},
        {"seed", 0, 0, G_OPTION_ARG_INT64, &o->seed, "Where all chance comes from (1)", "N"},
        {"addresses", 0, 0, G_OPTION_ARG_DOUBLE, &o->addresses, "Of all shards", "N"},
        {"trials", 0, 0, G_OPTION_ARG_DOUBLE, &o->trials, "Of all shards", "N"},
        {"history", 0, 0, G_OPTION_ARG_INT, &o->history, "Days before the measured", "N"},
        {"days", 0, 0, G_OPTION_ARG_INT, &o->days, "Measured days; 64 at most with them", "N"},
        {"rate", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o->rates, "Sampling 1:N", "N"},
        {"directions", 0, 0, G_OPTION_ARG_INT, &o->directions, "That routers tell of", "1|2"},
        {"routers", 0, 0, G_OPTION_ARG_INT, &o->routers, "That see every packet", "N"},
        {"shard", 0, 0, G_OPTION_ARG_INT, &o->shard, "Which", "I"},
        {"shards", 0, 0, G_OPTION_ARG_INT, &o->shards, "Of how many", "N"},
        {"no-review", 0, 0, G_OPTION_ARG_NONE, &o->no_review, "Nobody reviews flags", NULL},
        {"no-rivals", 0, 0, G_OPTION_ARG_NONE, &o->no_rivals, "The engine only", NULL},
        {"peaks", 0, 0, G_OPTION_ARG_NONE, &o->peaks, "Keep the daily highest evidence", NULL},
        {"describe", 0, 0, G_OPTION_ARG_NONE, &o->describe, "Print what the classes are", NULL},
        {0},
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error))
        return FALSE;
    if (o->history >= 0 && o->days >= 1 && o->history + o->days <= 64 && o->shards >= 1 &&
        o->shard >= 0 && o->shard < o->shards && (o->directions == 1 || o->directions == 2) &&
        o->routers >= 1 && o->routers <= ROUTERS_MAX && o->rates != NULL &&
        g_strv_length(o->rates) <= RATES_MAX)
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "an option is missing or out of its range");
    return FALSE;
}

/* The scorer's defaults, and over them what a configuration file says. */
static gboolean load_engine(Options *o, GError **error)
{
    Settings settings = {0};
    pst_conf_defaults(settings_rows, &settings);
    gboolean ok =
        (o->config == NULL || pst_conf_load(settings_rows, o->config, &settings, error)) &&
        settings_engine(&settings, &o->engine, error);
    pst_conf_clear(settings_rows, &settings);
    return ok;
}

static gboolean place_addresses(Bench *b)
{
    b->spam = g_new0(Spam, MAX(b->cast.n, 1));
    b->null_days = g_new0(guint64, MAX(b->cast.n, 1));
    b->cold_days = g_new0(guint64, MAX(b->cast.n, 1));
    b->first_address = g_new0(guint, MAX(b->cast.n, 1));
    for (guint i = 0; i < b->cast.n; i++) {
        b->first_address[i] = b->n_addresses;
        b->n_addresses += b->cast.lives[i].hosts;
    }
    for (guint i = 0; b->o->rates[i] != NULL; i++) {
        guint64 rate = g_ascii_strtoull(b->o->rates[i], NULL, 10);
        if (rate < 1 || rate > 1000000)
            return FALSE;
        lane_init(b, &b->lane[b->n_lanes++], (guint)rate);
    }
    return TRUE;
}

static void bench_clear(Bench *b)
{
    for (guint i = 0; b->spam != NULL && i < b->cast.n; i++)
        g_free(b->spam[i].start_ns);
    g_free(b->spam);
    g_free(b->null_days);
    g_free(b->cold_days);
    g_free(b->first_address);
    for (guint l = 0; l < b->n_lanes; l++)
        lane_clear(&b->lane[l]);
    cast_clear(&b->cast);
}

static void describe(const Scene *scene)
{
    double silent = 1e6;
    g_autoptr(GString) out = g_string_new("{\"classes\":{");
    for (guint i = 0; i < scene->classes->len; i++) {
        const Class *class = scene_class(scene, i);
        silent -= class->spam ? 0 : class->units;
        pst_json_append_name(out, class->name);
        g_string_append_printf(out, "{\"spam\":%s,\"hard\":%s,\"first_list\":%s,\"about\":",
                               class->spam ? "true" : "false", class->hard ? "true" : "false",
                               class->once ? "true" : "false");
        pst_json_append_string(out, class->about);
        g_string_append_c(out, '}');
    }
    printf("%s},\"silent\":%.0f}\n", out->str, MAX(silent, 0));
}

static gboolean run(const Options *o, GError **error)
{
    g_autofree char *own = g_build_filename(TRAFFIC_DIR, "classes.conf", NULL);
    g_autoptr(Scene) scene = scene_load(o->classes != NULL ? o->classes : own, error);
    if (scene == NULL)
        return FALSE;
    if (o->describe) {
        describe(scene);
        return TRUE;
    }
    Bench b = {.o = o};
    const CastPlan plan = {.scene = scene,
                           .seed = (guint64)o->seed,
                           .span = {o->history, o->days},
                           .addresses = o->addresses,
                           .trials = o->trials,
                           .only = (const char *const *)o->only,
                           .shard = (guint)o->shard,
                           .shards = (guint)o->shards};
    gboolean ok = cast_init(&b.cast, &plan) && place_addresses(&b);
    if (ok) {
        play(&b);
        print_all(&b);
    } else {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "too many addresses, or a rate is none");
    }
    bench_clear(&b);
    return ok;
}

int main(int argc, char **argv)
{
    Options o = {.seed = 1, .history = 28, .days = 28, .directions = 1, .routers = 1, .shards = 1};
    g_autoptr(GError) error = NULL;
    int status = PST_EXIT_DONE;
    if (!parse(argc, argv, &o, &error) || !load_engine(&o, &error) || !run(&o, &error)) {
        fprintf(stderr, "bench_detector: %s\n", error->message);
        status = PST_EXIT_USAGE;
    }
    g_free(o.classes);
    g_free(o.config);
    g_strfreev(o.only);
    g_strfreev(o.rates);
    return status;
}
