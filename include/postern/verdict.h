/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A verdict: the scorer's statement that a unit crossed a band, with what a person needs to
 * believe it. One per (unit, episode, band); the end of the episode completes its evidence and
 * never applies it again. A function of the partition's log alone. Source: docs/detector.md. */
#include "postern/flow.h"
#include "postern/unit.h"

typedef enum { PST_BAND_WATCH, PST_BAND_FLAG, PST_BAND_BLOCK, PST_BAND_COUNT } PstBand;

/* "watch", "flag", "block". */
const char *pst_band_name(PstBand band);

#define PST_VERDICT_SAMPLES     16
#define PST_VERDICT_REASONS_MAX 12
#define PST_VERDICT_EXPORTERS   8
#define PST_MODEL               "edet-1"

/* One flow that stands as evidence. */
typedef struct {
    gint64 at_ns;
    PstAddr destination;
    guint16 port;
    guint16 src_port;
    guint64 packets;
    guint64 bytes;
    guint16 tcp_flags;
    gboolean has_flags;
} PstSample;

/* One itemised reason: a name of a fixed vocabulary, its share of the score, words. */
typedef struct {
    const char *name; /* borrowed, static: "burst", "submission-server", … */
    double points;    /* added to or taken from the evidence; 0: explains only */
    char *text;       /* given; a sentence for the customer */
    char *facts;      /* given; what the sentence says, for programs: the members of a JSON object
                         without its braces, by name of the reason (docs/detector.md); NULL: none */
} PstReason;

typedef struct {
    PstUnit unit;
    guint32 partition;
    gint64 position;   /* bus offset of the batch that crossed */
    gint64 episode_ns; /* UTC ns of the episode's first sighting: names the episode */
    PstBand band;
    gint64 time_ns;       /* event time of the crossing */
    gint64 received_ns;   /* receive time of the record that crossed */
    double evidence;      /* 0 … 1000: 100·log10(max M / J) */
    int score;            /* 0 … 1000 */
    double sessions_seen; /* new sightings, uncapped, current and previous window */
    double sessions_low;  /* lower bound on true sessions: LCB / q̄ */
    double destinations_seen;
    double usual;     /* the envelope m of the winning cell, sightings per window */
    guint32 window_s; /* of the winning cell */
    char channel;     /* 'S' or 'D' */
    PstPortPair pair;
    guint32 failed;                           /* sightings that look like failed openings */
    guint16 ports[4];                         /* mail ports seen, 0 ends */
    double sampling;                          /* effective N: R = EWMA(1/q) */
    gboolean cold;                            /* no history */
    PstAddr exporters[PST_VERDICT_EXPORTERS]; /* family NONE ends */
    gint64 first_ns;
    gint64 last_ns;
    gboolean ended; /* completes an earlier row: totals and samples are final */
    guint n_reasons;
    PstReason reasons[PST_VERDICT_REASONS_MAX];
    guint n_samples;
    PstSample samples[PST_VERDICT_SAMPLES];
} PstVerdict;

/* Frees the reasons' texts and facts; the struct itself is the caller's. */
void pst_verdict_clear(PstVerdict *verdict);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PstVerdict, pst_verdict_clear)

/* The line of `--backtest --format json` (no newline), and the reasons as JSON array text.
 * Both given (free with g_free). */
char *pst_verdict_to_json(const PstVerdict *verdict);
char *pst_verdict_reasons_json(const PstVerdict *verdict);
char *pst_verdict_samples_json(const PstVerdict *verdict);
