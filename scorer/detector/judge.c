/* SPDX-License-Identifier: Apache-2.0 */
#include "judge.h"

#include "adjust.h"
#include "clock.h"
#include "detector.h"
#include "evidence_words.h"
#include "history.h"
#include "neighbourhood.h"

#define LOOKS  64          /* for an episode to end early */
#define RING_S (2 * 10800) /* after so long no window stands in the ring any more */

/* --- one unit ---------------------------------------------------------------------------- */

void judge_unit(const Engine *engine, guint32 id, Judged *out)
{
    Unit *unit = unit_table_at(engine->units, id);
    out->unit = unit;
    out->id = id;
    out->standing = (Standing){
        .known = unit->known,
        .newcomer = unit->newcomer,
        .ceiling = unit->exempt ? rules_ceiling(engine->rules, &unit->unit) : 0,
    };
    Level ceiling = unit->exempt ? thinning_level(out->standing.ceiling) : LEVEL_NONE;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        guint32 learned = unit->history.learned[pair];
        out->block[pair] = unit_table_block(engine->units, unit, (PstPortPair)pair);
        out->law[pair] = (Law){.book = engine->cells,
                               .known = unit->known,
                               .ceiling = ceiling,
                               .learned = learned != 0 ? pool_at(&engine->learned, learned) : NULL,
                               .day = &unit->history.day,
                               .carries = unit_table_carries(engine->units)};
    }
}

void judge_open(Engine *engine, guint32 id, const Sighting *s, Judged *out)
{
    PstPortPair pair = s->session.pair;
    Unit *unit = unit_table_at(engine->units, id);
    gboolean first = unit->block[pair] == 0;
    if (first) {
        unit_table_add_block(engine->units, unit, pair);
        unit->credit = 0;
    }
    judge_unit(engine, id, out);
    if (first)
        block_init(out->block[pair], &out->law[pair], s->at_s, s->inverse_q);
}

static void advance(Engine *engine, Judged *j, PstPortPair pair, gint64 at_s)
{
    Learned first;
    if (block_advance(j->block[pair], &j->law[pair], at_s, &first)) {
        Learned *learned = history_learn(engine, j->unit, pair);
        memcpy(learned->most, first.most, sizeof first.most);
        memcpy(learned->count, first.count, sizeof first.count);
        j->law[pair].learned = learned;
    }
}

void judge_advance(Engine *engine, guint32 id, PstPortPair pair, gint64 at_s)
{
    Judged j;
    judge_unit(engine, id, &j);
    if (j.block[pair] != NULL)
        advance(engine, &j, pair, at_s);
}

static gint64 newest_of(const Judged *j)
{
    gint64 newest = 0;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        if (j->block[pair] != NULL)
            newest = MAX(newest, (gint64)j->block[pair]->newest_s);
    return newest;
}

static void assess(const Engine *engine, Judged *j, gint64 open_s, gint64 at_s, Assessment *out)
{
    j->standing.adjust = adjust_find(engine, j, at_s, &j->adjust);
    static const Fanout nothing;
    const Fanout *fanout = &nothing;
    if (j->unit->episode != 0)
        fanout = &judge_episode(engine, j->unit->episode)->fanout;
    j->standing.recent = fanout_recent(fanout, at_s);
    j->standing.servers = fanout_servers(fanout);
    j->standing.wanted = fanout_wanted(fanout, (guint)engine->conf.strangers);
    detector_assess(&engine->conf, &j->standing, j->law, (const Block *const *)j->block, open_s,
                    at_s, out);
}

void judge_restart(Engine *engine, Judged *j)
{
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        Block *block = j->block[pair];
        if (block == NULL)
            continue;
        gint64 newest_s = block->newest_s;
        /* What stands in the ring is no less usual for it: it leaves as if time had moved on. */
        advance(engine, j, (PstPortPair)pair, newest_s + RING_S);
        block_init(block, &j->law[pair], newest_s, (double)block->r);
    }
    j->unit->credit = 0;
}

/* --- episodes ---------------------------------------------------------------------------- */

Episode *judge_episode(const Engine *engine, guint32 id)
{
    return pool_at(&engine->episodes, id);
}

PstVerdict *judge_row(Engine *engine, const Judged *j, const Episode *episode, PstBand band,
                      int member)
{
    const EpisodeCrossing *crossing = &episode->crossing[band];
    g_array_set_size(engine->verdicts, engine->verdicts->len + 1);
    PstVerdict *v = &g_array_index(engine->verdicts, PstVerdict, engine->verdicts->len - 1);
    v->unit = j->unit->unit;
    v->partition = engine->partition;
    v->position = crossing->position;
    v->episode_ns = episode->first_ns;
    v->band = band;
    v->time_ns = crossing->time_ns;
    v->received_ns = crossing->received_ns;
    v->usual = crossing->peak.usual;
    v->window_s = scale_tau_s[crossing->peak.scale];
    v->channel = crossing->peak.channel == CHANNEL_SESSIONS ? 'S' : 'D';
    v->pair = (PstPortPair)crossing->peak.pair;
    v->failed = (guint32)MIN(episode->failed, G_MAXUINT32);
    v->sampling = crossing->sampling;
    v->cold = !j->standing.known;
    v->first_ns = episode->first_ns;
    v->last_ns = episode->last_ns;
    v->evidence = crossing->evidence;
    v->score = crossing->score;
    episode_show(episode, member, v);
    return v;
}

void judge_words(const Engine *engine, const Judged *j, const Episode *episode, PstVerdict *verdict,
                 const char *neighbourhood)
{
    const EpisodeCrossing *crossing = &episode->crossing[verdict->band];
    const WordsFacts facts = {
        .episode = episode,
        .peak = &crossing->peak,
        .gate = verdict->ended ? &episode->gate : &crossing->gate,
        .usual = crossing->usual,
        .adjust = &crossing->adjust,
        .neighbourhood = neighbourhood,
        .low = crossing->low,
    };
    evidence_words(verdict, &facts);
}

static void queue_ended(Engine *engine, const Judged *j, const Episode *episode, PstBand band)
{
    PstVerdict *v = judge_row(engine, j, episode, band, EPISODE_EVERYBODY);
    v->ended = TRUE;
    v->evidence = episode->highest_evidence;
    v->score = episode->highest_score;
    v->sessions_seen = (double)episode->sessions;
    v->destinations_seen = (double)episode->destinations;
    v->sampling = episode->sessions > 0 ? episode->real / (double)episode->sessions : 1;
    v->sessions_low = detector_certain(v->sessions_seen, v->sampling);
    judge_words(engine, j, episode, v, NULL);
}

static void complete_rows(Engine *engine, const Judged *j, Episode *episode)
{
    if (group_is(&j->unit->unit)) {
        neighbourhood_end(engine, j, episode);
        return;
    }
    for (guint band = 0; band < PST_BAND_COUNT; band++)
        if (episode->bands & BAND_BIT(band))
            queue_ended(engine, j, episode, (PstBand)band);
}

/* Ends the unit's episode, if it has one. One that never opened goes in silence. */
void judge_end(Engine *engine, Judged *j)
{
    guint32 id = j->unit->episode;
    if (id == 0)
        return;
    Episode *episode = judge_episode(engine, id);
    complete_rows(engine, j, episode);
    if (episode->open) {
        engine->s.episodes_ended++;
        engine->s.open--;
        judge_restart(engine, j);
    }
    pool_put(&engine->episodes, id);
    j->unit->episode = 0;
    j->unit->credit = 0;
}

/* The episode to end early: the longest silent of some, not an open one if there is another. */
static guint32 least_episode(Engine *engine)
{
    guint32 best = 0, open = 0;
    for (guint32 looks = 0; looks < engine->episodes.used; looks++) {
        if (looks >= LOOKS && (best != 0 || open != 0))
            break;
        engine->s.episode_hand = engine->s.episode_hand % engine->episodes.used + 1;
        const Episode *episode = judge_episode(engine, engine->s.episode_hand);
        if (!episode->in_use)
            continue;
        guint32 *slot = episode->open ? &open : &best;
        if (*slot == 0 || episode->last_ns < judge_episode(engine, *slot)->last_ns)
            *slot = engine->s.episode_hand;
    }
    return best != 0 ? best : open;
}

void judge_add(Engine *engine, const Judged *j, const Sighting *s)
{
    Episode *episode = judge_episode(engine, j->unit->episode);
    const Exporter *exporter = watermark_at(engine->watermark, s->place);
    episode->first_ns = episode->open ? episode->first_ns : MIN(episode->first_ns, s->event_ns);
    episode->last_ns = MAX(episode->last_ns, s->event_ns);
    episode->ports |= (guint8)activity_port_bit(s->session.port);
    episode_exporter(episode, &exporter->addr, exporter->sees.rate);
    if (!s->new_session)
        return;
    fanout_note(&episode->fanout, pst_addr_hash_keyed(&s->session.server, engine->conf.key),
                s->at_s);
    if (s->flow->sampling_rate <= 1 && (s->flow->has & PST_HAS_TCP_FLAGS)) {
        episode->countable++;
        episode->failed += s->session.failed ? 1 : 0;
    }
    episode_sample(episode, engine->conf.key, s->flow, &s->session, s->event_ns, s->member);
}

static void begin_episode(Engine *engine, Judged *j, const Assessment *now, const Sighting *s)
{
    if (engine->episodes.count >= engine->conf.max_episodes) {
        Judged other;
        judge_unit(engine, judge_episode(engine, least_episode(engine))->unit, &other);
        judge_end(engine, &other);
        engine->s.episodes_evicted++;
    }
    j->unit->episode = pool_take(&engine->episodes);
    Episode *episode = judge_episode(engine, j->unit->episode);
    episode->unit = j->id;
    episode->in_use = 1;
    episode->first_ns = episode->last_ns = s->event_ns;
    /* What the windows hold is the beginning of it; the sighting at hand is among it. */
    episode->sessions = (guint64)now->seen;
    episode->destinations = (guint64)now->destinations;
    episode->real = now->seen * now->sampling;
    guint32 before = (guint32)now->recent;
    fanout_begin(&episode->fanout, before - MIN(before, s->new_session ? 1 : 0), s->at_s);
    judge_add(engine, j, s);
}

static void count_totals(Engine *engine, const Judged *j, const Sighting *s)
{
    Episode *episode = judge_episode(engine, j->unit->episode);
    episode->sessions += s->new_session ? 1 : 0;
    episode->real += s->new_session ? s->inverse_q : 0;
    episode->destinations += s->new_d ? 1 : 0;
}

/* The record of the winning cell, in sightings; 0: none. */
static double usual_most(const Engine *engine, const Judged *j, const Peak *peak, gint64 at_s)
{
    const Learned *learned = j->law[peak->pair].learned;
    if (learned == NULL)
        return 0;
    Rank most = learned->record[parity_of(at_s / A_DAY_S)][peak->channel][peak->scale];
    return thinning_count(engine->thinning, most);
}

static EpisodeGate gate_as_it_stands(const Judged *j, const Assessment *now)
{
    return (EpisodeGate){.height = now->gate,
                         .low = now->gate_low,
                         .servers = j->standing.servers,
                         .wanted = j->standing.wanted,
                         .open = now->gate_open};
}

static void keep_highest(Episode *episode, const Judged *j, const Assessment *now)
{
    episode->highest_evidence = MAX(episode->highest_evidence, now->evidence);
    episode->highest_score = MAX(episode->highest_score, now->score);
    if (!episode->gate.open && (now->gate_open || now->gate_low > episode->gate.low))
        episode->gate = gate_as_it_stands(j, now);
}

static void cross(Engine *engine, const Judged *j, Episode *episode, const Assessment *now,
                  const Sighting *s, PstBand band)
{
    guint64 *const crossings[] = {&engine->s.watches, &engine->s.flags, &engine->s.blocks};
    (*crossings[band])++;
    if (!episode->open) {
        episode->open = 1;
        engine->s.open++;
    }
    episode->bands |= (guint8)BAND_BIT(band);
    episode->quiet_s = 0;
    EpisodeCrossing *crossing = &episode->crossing[band];
    crossing->time_ns = s->event_ns;
    crossing->received_ns = s->flow->received_ns;
    crossing->position = s->position;
    crossing->peak = now->peak;
    crossing->sampling = now->sampling;
    crossing->gate = gate_as_it_stands(j, now);
    crossing->usual = usual_most(engine, j, &now->peak, s->at_s);
    history_withhold(j->unit, episode->first_ns / PST_NS_PER_S / A_DAY_S);
    history_withhold(j->unit, s->at_s / A_DAY_S);
    crossing->evidence = now->evidence;
    crossing->score = now->score;
    crossing->low = now->low;
    crossing->adjust = j->adjust;
    if (group_is(&j->unit->unit)) {
        neighbourhood_cross(engine, j, episode, band);
        return;
    }
    PstVerdict *v = judge_row(engine, j, episode, band, EPISODE_EVERYBODY);
    v->sessions_seen = now->seen;
    v->sessions_low = now->low;
    v->destinations_seen = now->destinations;
    judge_words(engine, j, episode, v, NULL);
}

static void note_peak(Engine *engine, const Judged *j, const Assessment *now, gint64 at_s)
{
    if (engine->peaks != NULL && !group_is(&j->unit->unit))
        peaks_note(engine->peaks, &j->unit->unit, at_s / A_DAY_S, now->evidence);
}

/* So many more sightings cannot bring the unit to a peak that was not noted. */
static guint32 peak_credit(const Engine *engine, const Judged *j, const Assessment *now,
                           gint64 at_s)
{
    if (engine->peaks == NULL || group_is(&j->unit->unit))
        return G_MAXUINT32;
    double evidence = peaks_next(engine->peaks, &j->unit->unit, at_s / A_DAY_S);
    return detector_evidence_credit(now, evidence);
}

/* Judges the unit after a sighting, and says how many more need no judging. */
static void look(Engine *engine, Judged *j, const Sighting *s)
{
    Assessment now;
    gint64 at_s = newest_of(j), open_s = at_s - engine->conf.watermark_s;
    assess(engine, j, open_s, at_s, &now);
    note_peak(engine, j, &now, at_s);
    if (group_is(&j->unit->unit) && neighbourhood_is_silent(engine, j))
        now.bands = 0;
    if (j->unit->episode == 0 && now.evidence > 0) {
        begin_episode(engine, j, &now, s);
    }
    PstBand next = PST_BAND_COUNT;
    if (j->unit->episode != 0) {
        Episode *episode = judge_episode(engine, j->unit->episode);
        keep_highest(episode, j, &now);
        for (guint band = 0; band < PST_BAND_COUNT; band++)
            if ((now.bands & BAND_BIT(band)) && !(episode->bands & BAND_BIT(band)))
                cross(engine, j, episode, &now, s, (PstBand)band);
        next = PST_BAND_WATCH;
        while (next < PST_BAND_COUNT && (episode->bands & BAND_BIT(next)))
            next++;
        if (next == PST_BAND_COUNT) { /* nothing left to cross */
            j->unit->credit = peak_credit(engine, j, &now, at_s);
            return;
        }
    }
    j->unit->credit = MIN(detector_credit(&engine->conf, &j->standing, &now, next),
                          peak_credit(engine, j, &now, at_s));
}

void judge_score(Engine *engine, Judged *j, const Sighting *s)
{
    Block *block = j->block[s->session.pair];
    const Law *law = &j->law[s->session.pair];
    advance(engine, j, s->session.pair, s->at_s);
    if (block_thin(block, law, s->inverse_q))
        j->unit->credit = 0;
    if (s->new_s && !s->excused)
        block_count(block, law, CHANNEL_SESSIONS, s->at_s);
    if (s->new_d && !s->excused)
        block_count(block, law, CHANNEL_DESTINATIONS, s->at_s);
    if (s->new_session)
        block_count_session(block, law, s->at_s);
    if (j->unit->episode != 0) {
        count_totals(engine, j, s);
        judge_add(engine, j, s);
    }
    if (j->unit->credit > 0)
        j->unit->credit--;
    else
        look(engine, j, s);
}

void judge_peak(Engine *engine, guint32 id, gint64 day)
{
    Judged j;
    Assessment now;
    judge_unit(engine, id, &j);
    gint64 at_s = MAX(day * A_DAY_S, newest_of(&j));
    assess(engine, &j, at_s, at_s, &now);
    note_peak(engine, &j, &now, at_s);
    j.unit->credit = 0; /* it was given for another day */
}

void judge_tick(Engine *engine, guint32 id, gint64 now_s)
{
    Episode *episode = judge_episode(engine, id);
    Judged j;
    Assessment now;
    judge_unit(engine, episode->unit, &j);
    if (!episode->open) {
        /* Attention ends with silence: at sampled rates M itself would stay high for days. It lasts
         * as long as sessions count together, else who sends seldom would seem new at each. */
        if (now_s - episode->last_ns / PST_NS_PER_S >= MAX((gint64)engine->conf.quiet_s, RING_S))
            judge_end(engine, &j);
        return;
    }
    gint64 at_s = MAX(now_s, newest_of(&j));
    assess(engine, &j, at_s, at_s, &now);
    keep_highest(episode, &j, &now);
    if (now.evidence >= engine->conf.band_at[PST_BAND_WATCH]) {
        episode->quiet_s = 0;
        history_withhold(j.unit, now_s / A_DAY_S);
    }
    if (now.evidence >= engine->conf.band_at[PST_BAND_WATCH])
        return;
    if (episode->quiet_s == 0)
        episode->quiet_s = now_s;
    else if (now_s - episode->quiet_s >= (gint64)engine->conf.quiet_s)
        judge_end(engine, &j);
}
