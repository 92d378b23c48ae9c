/* SPDX-License-Identifier: Apache-2.0 */
#include "adjust.h"

#include "history.h"
#include "inbound.h"

/* A fact of at least so much is worth so many points; the first that fits counts. */
typedef struct {
    double least, points;
} Worth;

static double worth(const Worth *table, guint n, double fact)
{
    for (guint i = 0; i < n; i++)
        if (fact >= table[i].least)
            return table[i].points;
    return 0;
}

/* Who relays for many clients sends much; they log in to its submission ports. */
static const Worth clients[] = {{200, -100}, {20, -50}};
/* Openings that fail: old lists, dead servers; or our own network's trouble. */
static const Worth dead[] = {{0.5, 100}, {0.25, 50}};

#define COUNTABLE 20 /* openings below which their share says nothing */
#define VOUCHED   -50
#define NEW       50

static double r_of(const Judged *j)
{
    double r = 1;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        r = j->block[pair] != NULL ? MAX(r, (double)j->block[pair]->r) : r;
    return r;
}

static double dead_share(const Engine *engine, const Judged *j)
{
    if (j->unit->episode == 0)
        return 0;
    const Episode *episode = judge_episode(engine, j->unit->episode);
    if (episode->countable < COUNTABLE)
        return 0;
    return (double)episode->failed / (double)episode->countable;
}

/* Days since its first mail, where the engine could have known it for longer; −1: it could not. */
static gint64 days_old(const Engine *engine, const Judged *j, gint64 at_s)
{
    const History *h = &j->unit->history;
    if ((gint64)h->first_day < engine->s.born_s / A_DAY_S + NEWCOMER_DAYS)
        return -1;
    return at_s / A_DAY_S - (gint64)h->first_day;
}

double adjust_find(const Engine *engine, const Judged *j, gint64 at_s, Adjustment *out)
{
    memset(out, 0, sizeof *out);
    double served = inbound_served(engine, j->unit, at_s) * r_of(j);
    out->fact[ADJUST_SUBMISSION_SERVER] = served;
    out->points[ADJUST_SUBMISSION_SERVER] = worth(clients, G_N_ELEMENTS(clients), served);
    out->fact[ADJUST_EXEMPTION] = j->standing.ceiling;
    out->points[ADJUST_EXEMPTION] = j->standing.ceiling > 0 ? VOUCHED : 0;
    double share = dead_share(engine, j);
    out->fact[ADJUST_DEAD_DESTINATIONS] = share;
    out->points[ADJUST_DEAD_DESTINATIONS] = worth(dead, G_N_ELEMENTS(dead), share);
    gint64 days = days_old(engine, j, at_s);
    out->fact[ADJUST_NEW_CUSTOMER] = (double)days;
    out->points[ADJUST_NEW_CUSTOMER] = days >= 0 && days < NEWCOMER_DAYS ? NEW : 0;
    double sum = 0;
    for (guint i = 0; i < ADJUSTMENTS; i++)
        sum += out->points[i];
    return CLAMP(sum, -ADJUST_MAX, ADJUST_MAX);
}
