/* SPDX-License-Identifier: Apache-2.0 */
/* The engine as a function of its log: replays, order, snapshots. Generated traffic. */
#include <criterion/criterion.h>

#include "engine_maker.h"

#define ENTRIES 20000

/* One entry of a log: a flow, a heartbeat or an input before the next. */
typedef struct {
    PstFlow flow;
    PstHeartbeat beat;
    PstInput input;
    gboolean is_beat, is_input;
} Entry;

/* Decisions at their places. */
static const struct {
    guint at;
    PstInputKind kind;
    const char *unit;
} decisions[] = {
    {50, PST_INPUT_ASSIGNED, "192.0.2.0/26"},       {9000, PST_INPUT_RELEASED, "192.0.2.1"},
    {12000, PST_INPUT_EXEMPTED, "192.0.2.1"},       {12500, PST_INPUT_FALSE_POSITIVE, "192.0.2.2"},
    {13000, PST_INPUT_CONFIRMED, "192.0.2.0/24"},   {17000, PST_INPUT_REASSIGNED, "192.0.2.3"},
    {18000, PST_INPUT_FALSE_POSITIVE, "192.0.2.0"},
};

static gboolean decide(guint i, Entry *entry)
{
    for (guint d = 0; d < G_N_ELEMENTS(decisions); d++)
        if (decisions[d].at == i) {
            entry->is_input = TRUE;
            entry->input = (PstInput){.id = i,
                                      .kind = decisions[d].kind,
                                      .unit = unit_named(decisions[d].unit),
                                      .ceiling = 50,
                                      .owner = 7};
        }
    return entry->is_input;
}

/* A mail that came in: the flow the other way round. */
static void turn_round(PstFlow *flow)
{
    PstAddr ours = flow->src_addr;
    flow->src_addr = flow->dst_addr;
    flow->dst_addr = ours;
    flow->direction = PST_DIR_IN;
}

/* Fifty units, some of them bursting, three routers of different density, heartbeats, decisions,
 * mail that comes in. Made once per test from a seed. @days: a day passes after each so many. */
static GArray *make_log_over(guint64 seed, guint days)
{
    static const char *const routers[] = {A_ROUTER, B_ROUTER, "198.51.100.3"};
    static const guint64 rates[] = {1, 1, 100};
    GArray *log = g_array_new(FALSE, TRUE, sizeof(Entry));
    Dice dice = {seed};
    double at = 1000;
    for (guint i = 0; i < ENTRIES; i++) {
        Entry entry;
        memset(&entry, 0, sizeof entry);
        at += dice_unit(&dice) * 0.4;
        if (days > 0 && i % (ENTRIES / days) == 0)
            at += 86400;
        if (days > 0 && decide(i, &entry)) {
            g_array_append_val(log, entry);
            continue;
        }
        if (i % 50 == 49) {
            entry.is_beat = TRUE;
            entry.beat = (PstHeartbeat){.sampler = addr_of(routers[i / 50 % 3]),
                                        .newest_event_ns = ns_at(at),
                                        .received_ns = ns_at(at + 5)};
        } else if (i == 9000 || i == 12000) {
            entry.is_input = TRUE;
            entry.input = (PstInput){.id = i,
                                     .kind = i == 9000 ? PST_INPUT_RELEASED : PST_INPUT_EXEMPTED,
                                     .unit = unit_named("192.0.2.1"),
                                     .ceiling = 50};
        } else {
            char unit[40];
            guint u = (guint)(dice_next(&dice) % 50);
            gboolean bursting = dice_next(&dice) % 2 != 0;
            g_snprintf(unit, sizeof unit, "192.0.2.%u", bursting ? u % 4 : u);
            guint r = (guint)(dice_next(&dice) % 3);
            entry.flow = flow_told(&(Told){
                .at = at - dice_unit(&dice) * 60,
                .unit = unit,
                .router = routers[r],
                .rate = rates[r],
                .to = server((guint32)(dice_next(&dice) % (bursting ? 100000 : 5))),
                .client_port = (guint16)(1024 + dice_next(&dice) % 60000),
                .port = dice_next(&dice) % 8 == 0 ? 587 : 25,
            });
            if (days > 0 && i % 31 == 0)
                turn_round(&entry.flow);
        }
        g_array_append_val(log, entry);
    }
    return log;
}

static GArray *make_log(guint64 seed)
{
    return make_log_over(seed, 0);
}

static void apply(Engine *engine, const Entry *entry, guint position)
{
    if (entry->is_beat)
        engine_heartbeat(engine, &entry->beat);
    else if (entry->is_input)
        engine_input(engine, &entry->input);
    else
        engine_flow(engine, &entry->flow, position);
}

/* Appends the verdicts taken, a line each. */
static void take(Engine *engine, GString *lines)
{
    g_autoptr(GArray) verdicts = engine_take_verdicts(engine);
    g_autoptr(GArray) activity = engine_take_activity(engine);
    for (guint i = 0; i < verdicts->len; i++) {
        g_autofree char *json = pst_verdict_to_json(&g_array_index(verdicts, PstVerdict, i));
        g_string_append_printf(lines, "%s\n", json);
    }
}

/* Runs [from, to) of the log, taking every @tick entries. */
static void run(Engine *engine, const GArray *log, guint from, guint to, guint tick, GString *lines)
{
    for (guint i = from; i < to; i++) {
        apply(engine, &g_array_index(log, Entry, i), i);
        if ((i + 1) % tick == 0)
            take(engine, lines);
    }
    take(engine, lines);
}

Test(engine_log, same_log_gives_the_same_verdicts_and_state_whatever_the_tick)
{
    g_autoptr(GArray) log = make_log(11);
    EngineConf conf = small_conf();
    g_autoptr(Engine) once = engine_new(&conf, 3), again = engine_new(&conf, 3);
    g_autoptr(GString) first = g_string_new(NULL), second = g_string_new(NULL);
    run(once, log, 0, log->len, 1000, first);
    run(again, log, 0, log->len, 7, second);
    cr_assert_str_eq(first->str, second->str);
    cr_assert_not_null(strstr(first->str, "\"block\""), "the log holds bursts");
    g_autofree char *a = engine_digest(once), *b = engine_digest(again);
    cr_assert_str_eq(a, b);
}

/* Flows between two other entries, up to @most at a time, all of one message. */
static void run_together(Engine *engine, const GArray *log, guint most, GString *lines)
{
    PstFlow flows[100];
    EngineFate fates[100];
    guint n = 0;
    for (guint i = 0; i <= log->len; i++) {
        const Entry *entry = i < log->len ? &g_array_index(log, Entry, i) : NULL;
        gboolean is_flow = entry != NULL && !entry->is_beat && !entry->is_input;
        if (n == most || !is_flow) {
            engine_flows(engine, flows, n, 1, fates);
            n = 0;
        }
        if (is_flow)
            flows[n++] = entry->flow;
        else if (entry != NULL)
            apply(engine, entry, 1);
    }
    take(engine, lines);
}

Test(engine_log, is_the_same_however_many_flows_are_given_at_a_time)
{
    g_autoptr(GArray) log = make_log_over(17, 3);
    EngineConf conf = small_conf();
    static const guint most[] = {1, 7, ENGINE_FLOWS_BEST, 100};
    g_autofree char *expected = NULL, *digest = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(most); i++) {
        g_autoptr(Engine) engine = engine_new(&conf, 3);
        g_autoptr(GString) lines = g_string_new(NULL);
        run_together(engine, log, most[i], lines);
        g_autofree char *now = engine_digest(engine);
        if (i == 0) {
            expected = g_strdup(lines->str);
            digest = g_strdup(now);
        }
        cr_assert_str_eq(lines->str, expected, "%u at a time", most[i]);
        cr_assert_str_eq(now, digest, "%u at a time", most[i]);
    }
    cr_assert_not_null(strstr(expected, "\"flag\""), "the log holds bursts");
}

Test(engine_log, another_log_gives_another_state)
{
    g_autoptr(GArray) log = make_log(11);
    EngineConf conf = small_conf();
    g_autoptr(Engine) once = engine_new(&conf, 3), again = engine_new(&conf, 3);
    g_autoptr(GString) lines = g_string_new(NULL);
    run(once, log, 0, log->len, 1000, lines);
    run(again, log, 0, log->len - 1, 1000, lines);
    g_autofree char *a = engine_digest(once), *b = engine_digest(again);
    cr_assert_str_neq(a, b);
}

Test(engine_log, rebuild_with_outputs_suppressed_goes_on_the_same)
{
    /* Killed at a position that was committed; a new process reads from the oldest message. */
    g_autoptr(GArray) log = make_log(12);
    EngineConf conf = small_conf();
    static const guint kills[] = {1, 777, 5000, 9001, 15003};
    g_autoptr(Engine) whole = engine_new(&conf, 3);
    g_autoptr(GString) expected = g_string_new(NULL);
    run(whole, log, 0, log->len, 100, expected);
    for (guint k = 0; k < G_N_ELEMENTS(kills); k++) {
        g_autoptr(GString) said = g_string_new(NULL), suppressed = g_string_new(NULL);
        g_autoptr(Engine) before = engine_new(&conf, 3), after = engine_new(&conf, 3);
        run(before, log, 0, kills[k], 100, said);
        run(after, log, 0, kills[k], 100, suppressed);
        run(after, log, kills[k], log->len, 100, said);
        cr_assert_str_eq(said->str, expected->str, "killed at %u", kills[k]);
    }
}

Test(engine_log, state_loaded_from_its_bytes_goes_on_the_same)
{
    g_autoptr(GArray) log = make_log(13);
    EngineConf conf = small_conf();
    static const guint cuts[] = {0, 777, 9001, 15003};
    g_autoptr(Engine) whole = engine_new(&conf, 3);
    g_autoptr(GString) expected = g_string_new(NULL);
    run(whole, log, 0, log->len, 100, expected);
    g_autofree char *end = engine_digest(whole);
    for (guint c = 0; c < G_N_ELEMENTS(cuts); c++) {
        g_autoptr(GString) said = g_string_new(NULL);
        g_autoptr(Engine) before = engine_new(&conf, 3);
        run(before, log, 0, cuts[c], 100, said);
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        engine_serialise(before, bytes);
        g_autoptr(GError) error = NULL;
        g_autoptr(Engine) after = engine_load(&conf, 3, bytes->data, bytes->len, &error);
        cr_assert_not_null(after, "%s", error != NULL ? error->message : "");
        g_autofree char *a = engine_digest(before), *b = engine_digest(after);
        cr_assert_str_eq(a, b);
        run(after, log, cuts[c], log->len, 100, said);
        cr_assert_str_eq(said->str, expected->str, "cut at %u", cuts[c]);
        g_autofree char *done = engine_digest(after);
        cr_assert_str_eq(done, end);
    }
}

/* Thirty days: all that is learned, withheld, excused, added up over neighbours. */
Test(engine_log, weeks_of_learning_repeat_bit_by_bit)
{
    for (guint64 seed = 51; seed < 54; seed++) {
        g_autoptr(GArray) log = make_log_over(seed, 30);
        EngineConf conf = small_conf();
        g_autoptr(Engine) whole = engine_new(&conf, 3);
        g_autoptr(GString) expected = g_string_new(NULL);
        run(whole, log, 0, log->len, 100, expected);
        const EngineStats *stats = engine_stats(whole);
        cr_assert_gt(stats->learned, 0);
        cr_assert_gt(stats->excused, 0);
        cr_assert_not_null(strstr(expected->str, "\"flag\""));
        g_autofree char *end = engine_digest(whole);
        Dice dice = {seed};
        for (guint cut = 0; cut < 8; cut++) {
            guint at = (guint)(dice_next(&dice) % log->len);
            g_autoptr(GString) said = g_string_new(NULL);
            g_autoptr(Engine) before = engine_new(&conf, 3);
            run(before, log, 0, at, 77, said);
            g_autoptr(GByteArray) bytes = g_byte_array_new();
            engine_serialise(before, bytes);
            g_autoptr(GError) error = NULL;
            g_autoptr(Engine) after = engine_load(&conf, 3, bytes->data, bytes->len, &error);
            cr_assert_not_null(after, "%s", error != NULL ? error->message : "");
            run(after, log, at, log->len, 13, said);
            cr_assert_str_eq(said->str, expected->str, "seed %u, cut at %u", (guint)seed, at);
            g_autofree char *done = engine_digest(after);
            cr_assert_str_eq(done, end, "seed %u, cut at %u", (guint)seed, at);
        }
    }
}

Test(engine_log, rows_that_are_kept_change_nothing)
{
    g_autoptr(GArray) log = make_log_over(61, 10);
    EngineConf conf = small_conf();
    g_autoptr(Engine) kept = engine_new(&conf, 3), plain = engine_new(&conf, 3);
    g_autoptr(GString) a = g_string_new(NULL), b = g_string_new(NULL);
    engine_keep_rows(kept);
    run(kept, log, 0, log->len, 100, a);
    run(plain, log, 0, log->len, 100, b);
    g_autoptr(GArray) rows = engine_take_envelopes(kept);
    cr_assert_gt(rows->len, 0);
    cr_assert_str_eq(a->str, b->str);
    g_autofree char *x = engine_digest(kept), *y = engine_digest(plain);
    cr_assert_str_eq(x, y);
}

Test(engine_log, state_of_another_kind_is_refused)
{
    g_autoptr(GArray) log = make_log(14);
    EngineConf conf = small_conf();
    g_autoptr(Engine) engine = engine_new(&conf, 3);
    g_autoptr(GString) lines = g_string_new(NULL);
    run(engine, log, 0, 3000, 100, lines);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    engine_serialise(engine, bytes);
    g_autoptr(GError) error = NULL;
    cr_assert_null(engine_load(&conf, 4, bytes->data, bytes->len, &error), "another partition");
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_CORRUPT));
    EngineConf other = conf;
    other.gate_cold = 60;
    cr_assert_null(engine_load(&other, 3, bytes->data, bytes->len, NULL), "another configuration");
    cr_assert_null(engine_load(&conf, 3, bytes->data, bytes->len - 1, NULL), "cut short");
    for (gsize len = 0; len < 400; len++)
        cr_assert_null(engine_load(&conf, 3, bytes->data, len, NULL));
    Dice dice = {5};
    for (guint i = 0; i < 30; i++) {
        gsize at = dice_next(&dice) % bytes->len;
        bytes->data[at] ^= 1 << i % 8;
        cr_assert_null(engine_load(&conf, 3, bytes->data, bytes->len, NULL), "one bit wrong");
        bytes->data[at] ^= 1 << i % 8;
    }
}

/* Every flow of @log moved, but at most 250 places: 50 s of event time. */
static void shuffle(GArray *log, guint64 seed)
{
    Dice dice = {seed};
    for (guint first = 0; first < log->len; first += 250) {
        guint n = MIN(250, log->len - first);
        for (guint i = n - 1; i > 0; i--) {
            Entry *a = &g_array_index(log, Entry, first + i);
            Entry *b = &g_array_index(log, Entry, first + dice_next(&dice) % (i + 1));
            Entry t = *a;
            *a = *b;
            *b = t;
        }
    }
}

static gboolean not_flow(const Entry *entry)
{
    return entry->is_beat || entry->is_input;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "unit band" of every flag and block, sorted. */
static char *flagged(Engine *engine, const GArray *log)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < log->len; i++)
        apply(engine, &g_array_index(log, Entry, i), i);
    g_autoptr(GArray) verdicts = engine_take_verdicts(engine);
    for (guint i = 0; i < verdicts->len; i++) {
        const PstVerdict *v = &g_array_index(verdicts, PstVerdict, i);
        char unit[PST_PREFIX_TEXT_MAX];
        if (!v->ended && v->band != PST_BAND_WATCH)
            g_ptr_array_add(names, g_strdup_printf("%s %s", pst_prefix_format(&v->unit, unit),
                                                   pst_band_name(v->band)));
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return g_strjoinv("\n", (char **)names->pdata);
}

Test(engine_log, records_shuffled_within_the_watermark_flag_the_same_units)
{
    for (guint64 seed = 21; seed < 29; seed++) {
        g_autoptr(GArray) log = make_log(seed);
        for (guint i = log->len; i-- > 0;)
            if (not_flow(&g_array_index(log, Entry, i)))
                g_array_remove_index(log, i);
        EngineConf conf = small_conf();
        g_autoptr(Engine) in_order = engine_new(&conf, 3), shuffled = engine_new(&conf, 3);
        g_autofree char *expected = flagged(in_order, log);
        shuffle(log, seed);
        g_autofree char *got = flagged(shuffled, log);
        cr_assert_str_eq(got, expected, "seed %u", (guint)seed);
        cr_assert_not_null(strstr(expected, "block"));
        cr_assert_eq(engine_stats(shuffled)->fates[ENGINE_LATE], 0);
    }
}

Test(engine_log, replayed_file_adds_nothing)
{
    g_autoptr(GArray) log = make_log(31);
    EngineConf conf = small_conf();
    g_autoptr(Engine) engine = engine_new(&conf, 3);
    g_autoptr(GString) lines = g_string_new(NULL);
    run(engine, log, 0, log->len, 1000, lines);
    guint64 fresh = engine_stats(engine)->fates[ENGINE_NEW];
    g_string_truncate(lines, 0);
    run(engine, log, 0, log->len, 1000, lines);
    /* The last two minutes are on time, and known; all before is late. */
    cr_assert_eq(engine_stats(engine)->fates[ENGINE_NEW], fresh);
    cr_assert_null(strstr(lines->str, "\"ended\":false"));
}
