/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include "clock.h"
#include "history.h"
#include "inbound.h"
#include "neighbourhood.h"

#define FIRST_S  86400 /* event times of the first day of 1970 are no times */
#define MINUTE_S 60
#define HOUR_S   3600
#define DAY_MIN  1440

void engine_conf_init(EngineConf *conf)
{
    *conf = (EngineConf){
        .key = {G_GUINT64_CONSTANT(0x706f737465726e31), G_GUINT64_CONSTANT(0x6e6f76656c747931)},
        .novelty_bytes = 32 << 20,
        .max_units = 1000000,
        .max_episodes = 20000,
        .idle_s = 2 * 86400,
        .watermark_s = 120,
        .straggler_s = 120,
        .clock_ahead_s = 300,
        .quiet_s = 1800,
        .session_packets = {14, 23},
        .both_directions = 1.93,
        .floor_sessions = {8, 20, 50, 150, 450},
        .floor_destinations = {6, 15, 35, 90, 250},
        .phi_cold = {0.18, 0.075, 0.0018, 0.00035},
        .phi_known = {0.8, 0.5, 0.06, 0.03},
        .gate_cold = 50,
        .gate_known = 100,
        .strangers = 5,
        .band_at = {300, 600, 900},
        .v6_unit_len = PST_UNIT_LEN_V6_DEFAULT,
    };
}

static gboolean conf_is_sane(const EngineConf *conf)
{
    for (guint scale = 0; scale < SCALES; scale++)
        if (!(conf->floor_sessions[scale] > 0 && conf->floor_destinations[scale] > 0))
            return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(conf->phi_cold); i++)
        if (!(conf->phi_cold[i] > 0 && conf->phi_known[i] > 0))
            return FALSE;
    return conf->novelty_bytes >= 1 << 20 && conf->novelty_bytes <= G_GUINT64_CONSTANT(16) << 30 &&
           conf->max_units >= 1000 && conf->max_units <= 50000000 && conf->max_episodes >= 16 &&
           conf->max_episodes <= 1000000 && conf->idle_s >= 21600 &&
           conf->session_packets[PST_PAIR_SMTP] >= 1 &&
           conf->session_packets[PST_PAIR_SUBMISSION] >= 1 && conf->both_directions >= 1 &&
           conf->both_directions <= 10 && conf->gate_cold > 0 && conf->gate_known > 0 &&
           conf->strangers >= 1 && conf->strangers <= FANOUT_SERVERS &&
           conf->band_at[PST_BAND_WATCH] > 0 &&
           conf->band_at[PST_BAND_FLAG] >= conf->band_at[PST_BAND_WATCH] &&
           conf->band_at[PST_BAND_BLOCK] >= conf->band_at[PST_BAND_FLAG] &&
           conf->band_at[PST_BAND_BLOCK] <= 1000 && conf->v6_unit_len >= PST_UNIT_LEN_V6_MIN &&
           conf->v6_unit_len <= PST_UNIT_LEN_V6_DEFAULT;
}

static void clear_verdict(gpointer verdict)
{
    pst_verdict_clear(verdict);
}

static GArray *verdict_queue(void)
{
    GArray *queue = g_array_new(FALSE, TRUE, sizeof(PstVerdict));
    g_array_set_clear_func(queue, clear_verdict);
    return queue;
}

Engine *engine_new(const EngineConf *conf, guint32 partition)
{
    g_assert(conf_is_sane(conf));
    Engine *engine = g_new0(Engine, 1);
    engine->conf = *conf;
    engine->partition = partition;
    engine->thinning = thinning_new(conf);
    engine->cells = cell_book_new(engine->thinning);
    engine->watermark = watermark_new(conf);
    engine->novelty = novelty_new(conf->novelty_bytes);
    engine->units = unit_table_new(conf->key, conf->max_units);
    engine->rules = rules_new((guint8)conf->v6_unit_len);
    engine->owners = owners_new();
    pool_init(&engine->episodes, sizeof(Episode));
    pool_init(&engine->learned, sizeof(Learned));
    pool_init(&engine->waiting, sizeof(Waiting));
    pool_init(&engine->inbound, sizeof(Inbound));
    engine->activity = activity_new();
    engine->verdicts = verdict_queue();
    return engine;
}

void engine_free(Engine *engine)
{
    if (engine == NULL)
        return;
    g_clear_pointer(&engine->cells, cell_book_free);
    g_clear_pointer(&engine->thinning, thinning_free);
    g_clear_pointer(&engine->watermark, watermark_free);
    g_clear_pointer(&engine->novelty, novelty_free);
    g_clear_pointer(&engine->units, unit_table_free);
    g_clear_pointer(&engine->rules, rules_free);
    g_clear_pointer(&engine->owners, owners_free);
    pool_clear(&engine->episodes);
    pool_clear(&engine->learned);
    pool_clear(&engine->waiting);
    pool_clear(&engine->inbound);
    g_clear_pointer(&engine->envelope_rows, g_array_unref);
    g_clear_pointer(&engine->waiting_rows, g_array_unref);
    g_clear_pointer(&engine->activity, activity_free);
    g_clear_pointer(&engine->peaks, peaks_free);
    g_clear_pointer(&engine->verdicts, g_array_unref);
    g_free(engine);
}

const char *engine_fate_name(EngineFate fate)
{
    static const char *const names[ENGINE_FATES] = {
        [ENGINE_NEW] = "new",           [ENGINE_KNOWN] = "known",
        [ENGINE_LATE] = "late",         [ENGINE_NOT_CLIENT] = "not-client",
        [ENGINE_NOT_MAIL] = "not-mail", [ENGINE_CLOCK_AHEAD] = "clock-ahead",
        [ENGINE_NO_TIME] = "no-time",
    };
    g_assert(fate < ENGINE_FATES);
    return names[fate];
}

/* --- one sighting ------------------------------------------------------------------------ */

/* Notes that the exporter saw the unit; returns 1/q over all that did in the last hour:
 * q = 1 − ∏(1 − q_e). */
static double see_exporter(Engine *engine, Unit *unit, const Sighting *s)
{
    guint own = UNIT_EXPORTERS, oldest = 0;
    double missed = 1;
    for (guint i = 0; i < UNIT_EXPORTERS; i++) {
        if (unit->seen_s[i] < unit->seen_s[oldest])
            oldest = i;
        if (unit->seen_s[i] == 0)
            continue;
        const Exporter *exporter = watermark_at(engine->watermark, unit->seen_by[i]);
        if (unit->seen_s[i] < exporter->born_s)
            continue; /* the place is another's by now */
        if (unit->seen_by[i] == s->place)
            own = i;
        else if ((gint64)unit->seen_s[i] + HOUR_S >= s->at_s)
            missed *= 1 - exporter->sees.q[s->session.pair];
    }
    if (own == UNIT_EXPORTERS) {
        own = oldest;
        unit->seen_s[own] = 0;
        unit->seen_by[own] = s->place;
    }
    unit->seen_s[own] = MAX(unit->seen_s[own], (guint32)s->at_s);
    missed *= 1 - watermark_at(engine->watermark, s->place)->sees.q[s->session.pair];
    return 1 / (1 - missed);
}

static guint64 mix(guint64 x)
{
    /* The finaliser of splitmix64. */
    x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Keys of the three questions: this destination, this session up to the cap, this session. */
static void make_keys(const Engine *engine, Sighting *s)
{
    guint64 server = pst_addr_hash_keyed(&s->session.server, engine->conf.key);
    s->key_d = mix(s->unit_hash + (server << 31 | server >> 33) +
                   ((guint64)s->session.pair + 1) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));
    s->key_session = mix(s->key_d + 0x10000 + s->session.client_port);
}

static guint64 capped_key(const Sighting *s, guint cap)
{
    return mix(s->key_d + 1 + s->session.client_port % cap);
}

/* A session that stands in its own quarter of an hour already was asked for in all three ways
 * then: nothing is new, and nothing need be refreshed. */
static void ask_novelty(Engine *engine, Sighting *s, guint cap)
{
    NoveltyAnswer session = novelty_ask(engine->novelty, s->key_session, s->at_s);
    if (session == NOVELTY_AGAIN)
        return;
    s->new_session = session == NOVELTY_NEW;
    s->new_d = novelty_see(engine->novelty, s->key_d, s->at_s);
    s->new_s = novelty_see(engine->novelty, capped_key(s, cap), s->at_s);
}

static void add_activity(Engine *engine, const Sighting *s)
{
    PstActivity *row = activity_row(engine->activity, &s->unit, s->unit_hash, s->event_ns);
    row->sessions += s->new_session ? 1 : 0;
    row->destinations += s->new_d ? 1 : 0;
    row->bytes += s->flow->bytes + s->flow->reverse_bytes;
    row->packets += s->flow->packets + s->flow->reverse_packets;
    row->failed += s->new_session && s->session.failed ? 1 : 0;
    row->ports |= activity_port_bit(s->session.port);
}

/* Older than the watermark: traffic and evidence, nothing for the cells. */
static EngineFate take_late(Engine *engine, Sighting *s)
{
    guint32 id = unit_table_find(engine->units, &s->unit, s->unit_hash);
    /* Known again later in the hour; files replayed from long ago leave no trace. */
    if (novelty_holds(engine->novelty, s->at_s))
        ask_novelty(engine, s, thinning_cap(engine->thinning, 1, s->session.pair));
    add_activity(engine, s);
    if (id != 0 && unit_table_at(engine->units, id)->episode != 0) {
        Judged j;
        judge_unit(engine, id, &j);
        Episode *episode = judge_episode(engine, j.unit->episode);
        episode->late += s->new_session ? 1 : 0;
        judge_add(engine, &j, s);
    }
    return ENGINE_LATE;
}

/* Out of memory; what the database knows of it stays. */
static void evict(Engine *engine, guint32 id)
{
    Judged j;
    judge_unit(engine, id, &j);
    judge_end(engine, &j);
    if (group_is(&j.unit->unit))
        neighbourhood_leave(engine, &j.unit->unit);
    history_drop(engine, j.unit);
    unit_table_drop(engine->units, id);
}

void engine_forget(Engine *engine, guint32 id)
{
    Judged j;
    judge_unit(engine, id, &j);
    judge_end(engine, &j);
    history_forget(engine, j.unit);
    unit_table_drop(engine->units, id);
}

guint32 engine_add_unit(Engine *engine, const PstUnit *unit, guint64 hash, gint64 at_s,
                        gint64 position)
{
    if (unit_table_full(engine->units)) {
        evict(engine, unit_table_idlest(engine->units));
        engine->s.units_evicted++;
    }
    guint32 id = unit_table_add(engine->units, unit, hash);
    history_begin(engine, id, at_s / A_DAY_S, position);
    return id;
}

static guint32 find_unit(const Engine *engine, const Sighting *s)
{
    if (s->hint != 0 && pst_prefix_equal(&unit_table_at(engine->units, s->hint)->unit, &s->unit))
        return s->hint;
    return unit_table_find(engine->units, &s->unit, s->unit_hash);
}

static guint32 hold_unit(Engine *engine, const Sighting *s)
{
    guint32 id = find_unit(engine, s);
    if (id == 0) {
        id = engine_add_unit(engine, &s->unit, s->unit_hash, s->at_s, s->position);
        unit_table_at(engine->units, id)->exempt = rules_ceiling(engine->rules, &s->unit) > 0;
        neighbourhood_join(engine, id, s->at_s, s->position);
    } else if (s->at_s / A_DAY_S != (gint64)unit_table_at(engine->units, id)->last_s / A_DAY_S) {
        history_mail(engine, id, s->at_s / A_DAY_S);
        neighbourhood_join(engine, id, s->at_s, s->position);
    }
    return id;
}

static EngineFate take_sighting(Engine *engine, Sighting *s)
{
    guint32 id = hold_unit(engine, s);
    Unit *unit = unit_table_at(engine->units, id);
    visibility_tell(&watermark_at(engine->watermark, s->place)->sees, &engine->conf, s->flow,
                    &s->session, unit->episode == 0);
    unit->last_s = MAX(unit->last_s, (guint32)s->at_s);
    s->inverse_q = see_exporter(engine, unit, s);
    ask_novelty(engine, s, thinning_cap(engine->thinning, 1 / s->inverse_q, s->session.pair));
    add_activity(engine, s);
    if (!s->new_session && !s->new_s && !s->new_d)
        return ENGINE_KNOWN;
    if (s->new_s || s->new_d)
        s->excused = inbound_excuse(engine, unit, s->at_s);
    engine->s.excused += s->excused ? 1 : 0;
    Judged j;
    judge_open(engine, id, s, &j);
    judge_score(engine, &j, s);
    neighbourhood_feed(engine, id, s);
    return s->new_session ? ENGINE_NEW : ENGINE_KNOWN;
}

/* --- event time -------------------------------------------------------------------------- */

/* Each unit once a day: its day ends also if it is silent, and it is forgotten at last. */
static void visit_unit(gpointer user, guint32 id)
{
    Engine *engine = user;
    Unit *unit = unit_table_at(engine->units, id);
    gint64 now_s = engine->s.minute * MINUTE_S;
    history_roll(engine, id, now_s / A_DAY_S);
    history_tell(engine, unit);
    if (unit->episode != 0 || (gint64)unit->last_s + engine->conf.idle_s > now_s)
        return;
    if (history_is_over(unit, now_s / A_DAY_S)) {
        if (group_is(&unit->unit))
            neighbourhood_leave(engine, &unit->unit);
        history_forget(engine, unit);
        unit_table_drop(engine->units, id);
        engine->s.units_forgotten++;
    } else {
        unit_table_drop_blocks(engine->units, unit);
    }
}

/* What is due at a full minute of the watermark. */
static void tick(Engine *engine)
{
    for (guint32 id = 1; id <= engine->episodes.used; id++)
        if (judge_episode(engine, id)->in_use)
            judge_tick(engine, id, engine->s.minute * MINUTE_S);
    unit_table_walk(engine->units, unit_table_places(engine->units) / DAY_MIN + 1, visit_unit,
                    engine);
}

/* What units carry over midnight is a peak of the new day too. */
static void carry_peaks(Engine *engine, gint64 day)
{
    g_autoptr(GArray) units = peaks_of_day(engine->peaks, day - 1);
    for (guint i = 0; i < units->len; i++) {
        const PstUnit *unit = &g_array_index(units, PstUnit, i);
        guint32 id = unit_table_find(engine->units, unit, unit_table_hash(engine->units, unit));
        if (id != 0)
            judge_peak(engine, id, day);
    }
}

static void watermark_moved(Engine *engine)
{
    gint64 minute = watermark_ns(engine->watermark) / PST_NS_PER_S / MINUTE_S;
    if (engine->peaks != NULL && minute / DAY_MIN > engine->s.minute / DAY_MIN)
        carry_peaks(engine, minute / DAY_MIN);
    /* After a jump of event time the last minutes are enough to find who has been quiet. */
    gint64 catch_up = engine->conf.quiet_s / MINUTE_S + 4;
    engine->s.minute = MAX(engine->s.minute, minute - catch_up);
    while (engine->s.minute < minute) {
        engine->s.minute++;
        tick(engine);
    }
}

/* Event time, clock and watermark of a flow; ENGINE_NEW: it may go on. */
static EngineFate take_time(Engine *engine, const PstFlow *flow, Sighting *s)
{
    s->event_ns = pst_flow_event_ns(flow);
    if (s->event_ns < FIRST_S * PST_NS_PER_S || s->event_ns >= G_MAXUINT32 * PST_NS_PER_S)
        return ENGINE_NO_TIME;
    s->at_s = s->event_ns / PST_NS_PER_S;
    s->place = watermark_exporter(engine->watermark, &flow->sampler, flow->domain, s->event_ns);
    visibility_rate(&watermark_at(engine->watermark, s->place)->sees, &engine->conf,
                    flow->sampling_rate);
    if (!watermark_admit(engine->watermark, s->place, s->event_ns, flow->received_ns))
        return ENGINE_CLOCK_AHEAD;
    novelty_advance(engine->novelty, s->at_s);
    if (engine->s.born_s == 0)
        engine->s.born_s = s->at_s;
    if (watermark_flow(engine->watermark, s->place, s->event_ns))
        watermark_moved(engine);
    return ENGINE_NEW;
}

/* Mail that comes in to a unit that sends. What is late explains nothing any more. */
static void take_inbound(Engine *engine, const Sighting *s)
{
    if (s->event_ns >= watermark_ns(engine->watermark) && novelty_holds(engine->novelty, s->at_s))
        inbound_take(engine, s);
}

/* What a record says by itself, whatever the engine knows; the table's place of its unit and the
 * filter's line of its session are fetched meanwhile. */
static void prepare(const Engine *engine, const PstFlow *flow, gint64 position, Sighting *s)
{
    memset(s, 0, sizeof *s);
    s->flow = flow;
    s->position = position;
    s->kind = session_of(flow, &s->session);
    s->inbound = s->kind == ENGINE_NOT_CLIENT && session_inbound(flow, &s->session);
    if (s->kind != ENGINE_NEW && !s->inbound)
        return;
    s->unit = rules_unit_of(engine->rules, &s->session.client);
    s->unit_hash = unit_table_hash(engine->units, &s->unit);
    unit_table_prefetch_place(engine->units, s->unit_hash);
    if (s->inbound)
        s->key_session =
            mix(mix(s->unit_hash + 0x20000 + s->session.port) +
                pst_addr_hash_keyed(&s->session.server, engine->conf.key) + s->session.client_port);
    else
        make_keys(engine, s);
    novelty_prefetch(engine->novelty, s->key_session);
}

static void fetch_unit(const Engine *engine, Sighting *s)
{
    if (s->unit_hash == 0)
        return;
    s->hint = unit_table_find(engine->units, &s->unit, s->unit_hash);
    if (s->hint != 0)
        unit_table_prefetch(engine->units, s->hint);
}

/* What a session takes that looks new. */
static void fetch_rest(const Engine *engine, const Sighting *s)
{
    if (s->kind != ENGINE_NEW || novelty_may_know(engine->novelty, s->key_session))
        return;
    guint cap = thinning_cap_at(s->flow->sampling_rate);
    novelty_prefetch(engine->novelty, s->key_d);
    novelty_prefetch(engine->novelty, capped_key(s, cap));
    if (s->hint == 0)
        return;
    const Unit *unit = unit_table_at(engine->units, s->hint);
    unit_table_prefetch_block(engine->units, unit, s->session.pair);
}

static EngineFate take_flow(Engine *engine, Sighting *s)
{
    EngineFate fate = take_time(engine, s->flow, s);
    if (fate != ENGINE_NEW)
        return fate;
    if (s->inbound)
        take_inbound(engine, s);
    if (s->kind != ENGINE_NEW)
        return s->kind;
    engine->s.sightings++;
    gboolean late =
        s->event_ns < watermark_ns(engine->watermark) || !novelty_holds(engine->novelty, s->at_s);
    return late ? take_late(engine, s) : take_sighting(engine, s);
}

void engine_flows(Engine *engine, const PstFlow *flows, guint n, gint64 position,
                  EngineFate *out_fates)
{
    Sighting sightings[ENGINE_FLOWS_BEST];
    for (guint done = 0; done < n;) {
        guint some = MIN(n - done, ENGINE_FLOWS_BEST);
        for (guint i = 0; i < some; i++)
            prepare(engine, &flows[done + i], position, &sightings[i]);
        for (guint i = 0; i < some; i++)
            fetch_unit(engine, &sightings[i]);
        for (guint i = 0; i < some; i++)
            fetch_rest(engine, &sightings[i]);
        for (guint i = 0; i < some; i++) {
            EngineFate fate = take_flow(engine, &sightings[i]);
            engine->s.fates[fate]++;
            out_fates[done + i] = fate;
        }
        done += some;
    }
}

EngineFate engine_flow(Engine *engine, const PstFlow *flow, gint64 position)
{
    EngineFate fate;
    engine_flows(engine, flow, 1, position, &fate);
    return fate;
}

void engine_heartbeat(Engine *engine, const PstHeartbeat *beat)
{
    engine->s.heartbeats++;
    if (beat->newest_event_ns < FIRST_S * PST_NS_PER_S ||
        beat->newest_event_ns >= G_MAXUINT32 * PST_NS_PER_S)
        return;
    guint16 place =
        watermark_exporter(engine->watermark, &beat->sampler, beat->domain, beat->newest_event_ns);
    if (watermark_beat(engine->watermark, place, beat->newest_event_ns, beat->received_ns))
        watermark_moved(engine);
}

void engine_finish(Engine *engine)
{
    for (guint32 id = 1; id <= engine->episodes.used; id++) {
        const Episode *episode = judge_episode(engine, id);
        if (!episode->in_use)
            continue;
        Judged j;
        judge_unit(engine, episode->unit, &j);
        judge_end(engine, &j);
    }
}

/* --- what comes out ---------------------------------------------------------------------- */

GArray *engine_take_verdicts(Engine *engine)
{
    GArray *taken = engine->verdicts;
    engine->verdicts = verdict_queue();
    return taken;
}

GArray *engine_take_activity(Engine *engine)
{
    return activity_take(engine->activity);
}

const Peaks *engine_keep_peaks(Engine *engine)
{
    if (engine->peaks == NULL)
        engine->peaks = peaks_new();
    return engine->peaks;
}

const EngineStats *engine_stats(Engine *engine)
{
    const EngineState *s = &engine->s;
    EngineStats *stats = &engine->stats;
    *stats = (EngineStats){
        .sightings = s->sightings,
        .heartbeats = s->heartbeats,
        .watches = s->watches,
        .flags = s->flags,
        .blocks = s->blocks,
        .episodes_ended = s->episodes_ended,
        .units_forgotten = s->units_forgotten,
        .units_evicted = s->units_evicted,
        .waiting = engine->waiting.count,
        .excused = s->excused,
        .waiting_dropped = s->waiting_dropped,
        .learned = engine->learned.count,
        .episodes_evicted = s->episodes_evicted,
        .exporters_evicted = watermark_evicted(engine->watermark),
        .units = unit_table_count(engine->units),
        .episodes = s->open,
        .novelty_fill = novelty_fill(engine->novelty),
        .watermark_ns = watermark_ns(engine->watermark),
        .newest_ns = watermark_newest_ns(engine->watermark),
        .state_bytes = unit_table_bytes(engine->units) + pool_bytes(&engine->episodes) +
                       pool_bytes(&engine->learned) + pool_bytes(&engine->waiting) +
                       pool_bytes(&engine->inbound) + novelty_bytes(engine->novelty),
    };
    memcpy(stats->fates, s->fates, sizeof stats->fates);
    return stats;
}
