/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a unit's cells mean: evidence, the lower bound on its true sessions, gates, bands, score.
 * Pure functions over a unit and its blocks. Source: docs/detector.md, Decision. */
#include "channel.h"
#include "unit_table.h"

/* What is known of a unit beside its records. */
typedef struct {
    gboolean known;    /* has history */
    gboolean newcomer; /* … from its first 21 days only, which are learned unreviewed: 10·G */
    double ceiling;    /* exempted up to so many sessions an hour; 0: not exempted */
    double adjust;     /* A: −200 … 200 */
    guint32 recent;    /* uncapped sessions of the last half hour to hour, while under attention */
    guint servers;     /* that it reached since then … */
    guint wanted;      /* … and so many are strangers (fanout.h) */
} Standing;

/* A unit as it stands at one moment. */
typedef struct {
    Peak peak;
    double evidence;     /* 0 … 1000 */
    double seen;         /* n: uncapped sessions seen, both port pairs together */
    double low;          /* LCB/q̄: lower bound on true sessions */
    double destinations; /* new destinations seen, both pairs */
    double sampling;     /* R of both pairs together: true sessions per session seen */
    double gate;         /* G: 50 cold, 100, 1000 of a newcomer; or what three or four sightings
                            make certain, if that is more */
    double recent;      /* new sessions, as capped, or destinations of the last half hour to hour */
    double burst;       /* n that the gate asks for: of a cold unit in half an hour to an hour */
    double gate_low;    /* LCB/q̄ of what is held against it */
    gboolean gate_open; /* that is ≥ G, and to strangers */
    guint bands;        /* bits of the bands whose conditions hold */
    int score;
    double most;                 /* true sessions that one more sighting may stand for */
    guint pairs;                 /* bits of the port pairs that there are */
    Reach reach[PST_PAIR_COUNT]; /* of those */
} Assessment;

/* LCB: the number of true sightings, thinned with q̄ to @n, is at least this with 95 % confidence
 * (Wilson and Hilferty's cube root approximation of the Poisson bound, with the variance scaled by
 * 1 − q̄); n itself at q̄ = 1. */
double detector_lower_bound(double n, double q);
/* So many true sessions are certain where @seen were, one in @sampling. */
double detector_certain(double seen, double sampling);

/* @blocks, @laws: per port pair, NULL where there is no block. Windows still open at @open_s count,
 * seen from @at_s. */
void detector_assess(const EngineConf *conf, const Standing *standing, const Law *laws,
                     const Block *const *blocks, gint64 open_s, gint64 at_s, Assessment *out);

/* So many more sightings of the unit cannot bring it from @now to @band, or, for PST_BAND_COUNT, to
 * attention (evidence above 0). */
guint32 detector_credit(const EngineConf *conf, const Standing *standing, const Assessment *now,
                        PstBand band);

/* The same for an evidence, whatever the gates. */
guint32 detector_evidence_credit(const Assessment *now, double evidence);

#define BAND_BIT(band) (1u << (band))
