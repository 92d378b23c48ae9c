/* SPDX-License-Identifier: Apache-2.0 */
#include "neighbourhood.h"

#include "clock.h"
#include "evidence_words.h"
#include "history.h"

/* --- members ------------------------------------------------------------------------------- */

/* Where the units of a group differ: the byte after its network. */
static guint member_byte(const PstAddr *addr)
{
    return addr->family == PST_AF_INET ? 3 : 7;
}

static guint8 member_of(const PstUnit *unit)
{
    return unit->addr.bytes[member_byte(&unit->addr)];
}

/* The id of the @n-th member, or 0. */
static guint32 member_at(const Engine *engine, const PstUnit *group, guint n)
{
    PstUnit net;
    guint64 owner;
    group_name(group, &net, &owner);
    net.addr.bytes[member_byte(&net.addr)] = (guint8)n;
    PstUnit unit = rules_unit_of(engine->rules, &net.addr);
    if (member_of(&unit) != n)
        return 0; /* a larger unit, met already */
    return unit_table_find(engine->units, &unit, unit_table_hash(engine->units, &unit));
}

void neighbourhood_leave(Engine *engine, const PstUnit *group)
{
    for (guint n = 0; n < NEIGHBOURS; n++) {
        guint32 id = member_at(engine, group, n);
        if (id != 0)
            unit_table_at(engine->units, id)->group = 0;
    }
}

void neighbourhood_join(Engine *engine, guint32 id, gint64 at_s, gint64 position)
{
    Unit *unit = unit_table_at(engine->units, id);
    PstUnit group;
    unit->group = 0;
    guint64 owner = owners_of(engine->owners, &unit->unit);
    if (owner == 0 || !group_of(&unit->unit, owner, &group))
        return;
    guint64 hash = unit_table_hash(engine->units, &group);
    guint32 found = unit_table_find(engine->units, &group, hash);
    if (found == 0 && !unit_table_full(engine->units)) {
        found = unit_table_add(engine->units, &group, hash);
        history_begin(engine, found, at_s / A_DAY_S, position);
    }
    unit_table_at(engine->units, id)->group = found;
}

/* --- who took part ------------------------------------------------------------------------- */

/* A member and what it did in the last hours. */
typedef struct {
    Judged j;
    guint n;
    double seen, destinations;
    double usual; /* sessions that its own history allows in the longest windows; 0: a stranger */
} Member;

static void look_at(const Engine *engine, guint32 id, gint64 at_s, Member *out)
{
    enum { LONGEST = SCALES - 1 };
    *out = (Member){0};
    judge_unit(engine, id, &out->j);
    out->n = member_of(&out->j.unit->unit);
    gint64 open_s = at_s - engine->conf.watermark_s;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        const Block *block = out->j.block[pair];
        if (block == NULL)
            continue;
        out->seen += block_sessions(block, &out->j.law[pair], open_s, at_s);
        out->destinations += block_destinations(block, &out->j.law[pair], open_s, at_s);
        /* Two windows may stand. */
        Level usual = law_envelope(&out->j.law[pair], CHANNEL_SESSIONS, LONGEST, at_s / A_DAY_S,
                                   thinning_code((double)block->r));
        out->usual += out->j.standing.known ? 2 * thinning_of_level(usual) : 0;
    }
}

static gboolean took_part(const Member *m, PstBand band)
{
    double least = band == PST_BAND_BLOCK ? 3 : 1;
    return m->seen >= least && m->seen > m->usual && !m->j.unit->exempt;
}

/* --- verdicts ------------------------------------------------------------------------------ */

static void put_row(Engine *engine, const Judged *group, Episode *episode, PstBand band,
                    const Member *m, gboolean ended)
{
    PstVerdict *v = judge_row(engine, group, episode, band, (int)m->n);
    guint64 owner;
    PstUnit net;
    char text[PST_PREFIX_TEXT_MAX];
    group_name(&group->unit->unit, &net, &owner);
    v->unit = m->j.unit->unit;
    v->sessions_seen = m->seen;
    v->destinations_seen = m->destinations;
    v->sessions_low = detector_certain(m->seen, v->sampling);
    v->failed = 0;
    v->ended = ended;
    judge_words(engine, group, episode, v, pst_prefix_format(&net, text));
}

static gboolean is_told(const Episode *episode, PstBand band, guint n)
{
    return (episode->told[band][n / 64] >> (n % 64) & 1) != 0;
}

static void tell(Engine *engine, const Judged *group, Episode *episode, PstBand band,
                 const Member *m)
{
    if (is_told(episode, band, m->n) || !took_part(m, band))
        return;
    episode->told[band][m->n / 64] |= G_GUINT64_CONSTANT(1) << (m->n % 64);
    put_row(engine, group, episode, band, m, FALSE);
}

static void each_member(Engine *engine, const Judged *group, Episode *episode, PstBand band,
                        gboolean ended)
{
    gint64 at_s = episode->last_ns / PST_NS_PER_S;
    for (guint n = 0; n < NEIGHBOURS; n++) {
        guint32 id = member_at(engine, &group->unit->unit, n);
        if (id == 0 || (ended && !is_told(episode, band, n)))
            continue;
        Member m;
        look_at(engine, id, at_s, &m);
        if (ended)
            put_row(engine, group, episode, band, &m, TRUE);
        else
            tell(engine, group, episode, band, &m);
    }
}

void neighbourhood_cross(Engine *engine, const Judged *j, Episode *episode, PstBand band)
{
    each_member(engine, j, episode, band, FALSE);
}

void neighbourhood_end(Engine *engine, const Judged *j, Episode *episode)
{
    for (guint band = 0; band < PST_BAND_COUNT; band++)
        if (episode->bands & BAND_BIT(band))
            each_member(engine, j, episode, (PstBand)band, TRUE);
}

gboolean neighbourhood_is_silent(const Engine *engine, const Judged *j)
{
    const History *h = &j->unit->history;
    gboolean young = (gint64)h->first_day < engine->s.born_s / A_DAY_S + NEWCOMER_DAYS;
    return h->days < KNOWN_DAYS && young;
}

void neighbourhood_feed(Engine *engine, guint32 id, const Sighting *s)
{
    Unit *unit = unit_table_at(engine->units, id);
    guint32 group = unit->group;
    if (group == 0 || unit->exempt || s->excused)
        return;
    Unit *hood = unit_table_at(engine->units, group);
    if (s->at_s / A_DAY_S != (gint64)hood->last_s / A_DAY_S)
        history_mail(engine, group, s->at_s / A_DAY_S);
    hood->last_s = MAX(hood->last_s, (guint32)s->at_s);
    Sighting own = *s;
    own.member = member_of(&unit->unit);
    Judged j;
    judge_open(engine, group, &own, &j);
    judge_score(engine, &j, &own);
    if (hood->episode == 0)
        return;
    Episode *episode = judge_episode(engine, hood->episode);
    if (episode->bands == 0)
        return;
    Member m;
    look_at(engine, id, s->at_s, &m);
    for (guint band = 0; band < PST_BAND_COUNT; band++)
        if (episode->bands & BAND_BIT(band))
            tell(engine, &j, episode, (PstBand)band, &m);
}
