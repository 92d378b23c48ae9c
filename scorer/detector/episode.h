/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is kept of a unit while it stands out, so that a person can be shown what it did.
 *
 * An episode's record begins when the evidence first exceeds 0 (M > J): attention. It opens when a
 * band is crossed, and then ends after quiet_s of event time below watch, or with the unit's
 * release; a record that did not open is dropped after six hours without a sighting. Samples begin
 * with attention. A plain value in a pool. */
#include "channel.h"
#include "fanout.h"
#include "session.h"

#define EPISODE_ENDS   4 /* samples from the beginning, and from the end */
#define EPISODE_LOWEST 8 /* samples with the lowest keyed hash: uniform, same on every replay */

#define EPISODE_EVERYBODY (-1)

typedef struct {
    guint64 order; /* 1, 2, 3 … within the episode */
    guint64 hash;
    guint32 member; /* of a neighbourhood: whose flow it is */
    guint32 unused; /* no padding within */
    PstSample sample;
} EpisodeSample;

typedef struct {
    PstAddr addr;
    guint64 rate; /* N as it last said */
} EpisodeExporter;

/* Points beside the evidence (adjust.h), and the facts that they are for. */
typedef enum {
    ADJUST_SUBMISSION_SERVER, /* clients that sent through it in the last day or so */
    ADJUST_EXEMPTION,         /* ceiling, sessions an hour */
    ADJUST_DEAD_DESTINATIONS, /* share of openings that failed */
    ADJUST_NEW_CUSTOMER,      /* days since its first mail */
    ADJUSTMENTS
} AdjustKind;
typedef struct {
    double points[ADJUSTMENTS];
    double fact[ADJUSTMENTS];
} Adjustment;

/* What a burst was asked for, and what there was (detector.h). */
typedef struct {
    double height; /* G in force */
    double low;    /* sessions that are certain */
    guint32 servers, wanted;
    gint64 open;
} EpisodeGate;

/* A band that was crossed, as it stood then. */
typedef struct {
    gint64 time_ns, received_ns, position;
    Peak peak;
    double sampling;
    double evidence;
    int score;
    double low; /* lower bound on true sessions */
    Adjustment adjust;
    EpisodeGate gate;
    double usual; /* the most that such a window usually holds, in sightings; 0: nothing learned */
} EpisodeCrossing;

typedef struct {
    guint32 unit; /* id; first, so that a free element is known by in_use */
    guint8 in_use;
    guint8 open;
    guint8 bands; /* bits: crossed */
    guint8 ports; /* bits as PstActivity.ports */
    gint64 first_ns, last_ns;
    gint64 quiet_s; /* since when below; 0: not */
    guint64 sessions, destinations, failed, late;
    Fanout fanout;     /* of sessions, uncapped */
    EpisodeGate gate;  /* as it stood best */
    guint64 countable; /* sessions seen at 1:1, of which `failed` is a share */
    double real;       /* sum of 1/q over sessions: estimate of their true number */
    double highest_evidence;
    int highest_score;
    EpisodeCrossing crossing[PST_BAND_COUNT];
    guint64 sampled;
    guint64 told[PST_BAND_COUNT][4]; /* of a neighbourhood: bits of the members that have a row */
    EpisodeSample first[EPISODE_ENDS], last[EPISODE_ENDS], lowest[EPISODE_LOWEST];
    EpisodeExporter exporter[PST_VERDICT_EXPORTERS];
} Episode;

/* One record of the unit, as evidence. @key: of the samples' hash. */
void episode_exporter(Episode *episode, const PstAddr *sampler, guint64 rate);
void episode_sample(Episode *episode, const guint64 key[2], const PstFlow *flow,
                    const Session *session, gint64 event_ns, guint8 member);

/* Fills samples, exporters and ports of @verdict. @member: whose samples, or EPISODE_EVERYBODY. */
void episode_show(const Episode *episode, int member, PstVerdict *verdict);
