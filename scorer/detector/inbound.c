/* SPDX-License-Identifier: Apache-2.0 */
#include "inbound.h"

#include "clock.h"
#include "history.h"

#define HALF_LIFE_S 600
#define TOKENS_MAX  200.0F
#define IN_ROW_MAX  2    /* of three */
#define LEAST       0.5F /* of a token is one: a single one is good for its half-life */
#define STEPS       64

/* 2^(−1/64), 2^(−2/64) …: half lives in 64ths, so that no exponential is asked for. */
static const float fade[STEPS] = {
    1.0000000F, 0.9892280F, 0.9785721F, 0.9680309F, 0.9576033F, 0.9472880F, 0.9370838F, 0.9269896F,
    0.9170040F, 0.9071260F, 0.8973545F, 0.8876882F, 0.8781260F, 0.8686669F, 0.8593097F, 0.8500532F,
    0.8408964F, 0.8318383F, 0.8228777F, 0.8140137F, 0.8052452F, 0.7965711F, 0.7879904F, 0.7795022F,
    0.7711054F, 0.7627991F, 0.7545822F, 0.7464539F, 0.7384131F, 0.7304589F, 0.7225904F, 0.7148067F,
    0.7071068F, 0.6994898F, 0.6919549F, 0.6845012F, 0.6771278F, 0.6698338F, 0.6626183F, 0.6554806F,
    0.6484198F, 0.6414350F, 0.6345255F, 0.6276903F, 0.6209289F, 0.6142402F, 0.6076237F, 0.6010784F,
    0.5946036F, 0.5881985F, 0.5818625F, 0.5755947F, 0.5693944F, 0.5632609F, 0.5571936F, 0.5511915F,
    0.5452539F, 0.5393802F, 0.5335697F, 0.5278217F, 0.5221356F, 0.5165107F, 0.5109463F, 0.5054418F};

/* x · 2^(−age/half_life), in 64ths; an @age below zero is none. */
static float faded(float x, gint64 age_s, gint64 half_life_s)
{
    if (age_s <= 0 || x <= 0)
        return x;
    gint64 steps = age_s * STEPS / half_life_s;
    if (steps >= 32 * STEPS)
        return 0;
    return x * fade[steps % STEPS] / (float)(1u << (steps / STEPS));
}

static Inbound *inbound_of(const Engine *engine, const Unit *unit)
{
    guint32 id = unit->history.inbound;
    return id != 0 ? pool_at(&engine->inbound, id) : NULL;
}

void inbound_take(Engine *engine, const Sighting *s)
{
    guint32 id = unit_table_find(engine->units, &s->unit, s->unit_hash);
    if (id == 0)
        return;
    History *h = &unit_table_at(engine->units, id)->history;
    if (!novelty_see(engine->novelty, s->key_session, s->at_s))
        return;
    if (h->inbound == 0) {
        h->inbound = pool_take(&engine->inbound);
        Inbound *fresh = pool_at(&engine->inbound, h->inbound);
        fresh->unit = id;
        fresh->in_use = 1;
        fresh->tokens_s = fresh->served_s = (guint32)s->at_s;
    }
    Inbound *in = pool_at(&engine->inbound, h->inbound);
    in->tokens = faded(in->tokens, s->at_s - in->tokens_s, HALF_LIFE_S);
    in->tokens = MIN(in->tokens + 1, TOKENS_MAX);
    in->tokens_s = MAX(in->tokens_s, (guint32)s->at_s);
    if (s->session.pair != PST_PAIR_SUBMISSION)
        return;
    in->served = faded(in->served, s->at_s - in->served_s, A_DAY_S) + 1;
    in->served_s = MAX(in->served_s, (guint32)s->at_s);
}

gboolean inbound_excuse(Engine *engine, const Unit *unit, gint64 at_s)
{
    Inbound *in = inbound_of(engine, unit);
    if (in == NULL)
        return FALSE;
    float tokens = faded(in->tokens, at_s - in->tokens_s, HALF_LIFE_S);
    if (tokens < LEAST || in->in_row == IN_ROW_MAX) {
        in->in_row = 0;
        return FALSE;
    }
    in->tokens = MAX(tokens - 1, 0);
    in->tokens_s = MAX(in->tokens_s, (guint32)at_s);
    in->in_row++;
    return TRUE;
}

double inbound_served(const Engine *engine, const Unit *unit, gint64 at_s)
{
    const Inbound *in = inbound_of(engine, unit);
    return in != NULL ? (double)faded(in->served, at_s - in->served_s, A_DAY_S) : 0;
}

void inbound_forget(Engine *engine, Unit *unit)
{
    History *h = &unit->history;
    if (h->inbound != 0)
        pool_put(&engine->inbound, h->inbound);
    h->inbound = 0;
}
