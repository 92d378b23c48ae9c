/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The cells of one unit and port pair: windows behind the watermark, and the e-detector over them.
 *
 * Per channel (S, D) and scale τ stand the counts of the newest windows, and per multiplier θ the
 * detector's value M as it was some idle windows before the oldest of these. M now is recomputed
 * from all three, so a late record counts as if it had been on time:
 *
 *     closed M │ gap │ n₁₂ … n₂ n₁ n₀ │          n₀: window of the newest event
 *              │     └ a ring: windows leave it on the left, into M, as event time moves on
 *              └ windows without a sighting, not yet in M
 *
 * Null: whatever happened before, the number of new sightings in a window is stochastically
 * dominated by NB(m, s = 2). Under it the likelihood ratio of NB with mean θm is the product of
 * c0 = ((s+m)/(s+θm))^s for the window and c⁺ = θ(s+m)/(s+θm) for each sighting, and
 *     window opens:  M ← (g·M + w)·c0      g = exp(−τ/86400), w = (1 − g)/2
 *     per sighting:  M ← M·c⁺
 * is a discounted Shiryaev–Roberts e-detector (J. Shin, A. Ramdas, A. Rinaldo, E-detectors: a
 * nonparametric framework for sequential change detection, 2023): P(sup M ≥ c in a day) ≤ 1/c.
 * M is cut at CELL_MAX and kept in 16 bits, rounded down: both only lower it. It is rounded after
 * each window with sightings and after each run of idle ones (which is why the gap is kept: runs
 * begin and end with sightings, not with looks), so while R and the envelope stay M is a function
 * of the counts alone, to the bit. Source: docs/detector.md, Evidence.
 */
#include "cell.h"
#include "pool.h"

#define SLOTS  22 /* 13 + 3 + 2 + 2 + 2 windows */
#define RATES  9  /* those of a minute and longer; the shorter ones have their minute's */
#define GAPS   4  /* scales that have one; M of the longest is rounded at every window */
#define COUNTS (CHANNELS * SLOTS + 2)

/* Counts in use: the windows by channel and slot, then uncapped sessions by window of 10800 s. Each
 * has its low byte in the block; where one is higher than 255, the block has a carry. */

/* Made zeroed, then block_init. A plain value: moved, hashed and stored as bytes. */
typedef struct {
    guint32 newest_s; /* event time of the newest sighting; its window is n₀ */
    float r;          /* R = EWMA(1/q), rising slowly, falling at once */
    guint32 carry;    /* id; 0: no count is above 255 */
    Kept closed[CHANNELS][SCALES][THETAS]; /* M before the gap */
    guint16 rate[RATES];                   /* code of R in force when the window opened */
    guint8 gap[GAPS];                      /* windows; all opened under the present R */
    guint8 low[COUNTS];
} Block;

/* The high bytes of a block's counts, which end at 2^24 − 1. */
typedef struct {
    guint16 high[COUNTS];
} Carry;

/* The highest cell found so far. Zeroed at first. */
typedef struct {
    double m_value; /* M */
    double usual;   /* envelope of its window */
    guint32 count;  /* sightings in it */
    guint8 channel, scale, theta, pair;
} Peak;

/* What the arithmetic needs beside a block: all that envelopes are made of. */
typedef struct {
    CellBook *book;
    gboolean known;     /* has history: the other φ */
    Level ceiling;      /* exempted up to so many sessions an hour; LEVEL_NONE: not exempted */
    Learned *learned;   /* of this unit and port pair, windows that leave the ring go into it; NULL:
                           nothing yet */
    const guint16 *day; /* that learning stands at: windows of days before yesterday are old */
    Pool *carries;      /* Carry, of all blocks */
} Law;

/* The envelope of a window of @day that opened under R = @code. */
Level law_envelope(const Law *law, Channel channel, guint scale, gint64 day, guint16 code);

/* Cells to the idle state and windows empty at @at_s, under R = @r. Keeps nothing: also begins a
 * block anew. */
void block_init(Block *block, const Law *law, gint64 at_s, double r);
/* Moves the ring on to @at_s; earlier times change nothing. Where the law has nothing learned, and
 * a window left the ring that should be, it is in @out_first (counts and largest windows), and
 * TRUE. */
gboolean block_advance(Block *block, const Law *law, gint64 at_s, Learned *out_first);
/* Windows of @day that are still in the ring, into @into; they stay there. */
void block_learn(const Block *block, const Law *law, gint64 day, Learned *into);
/* Takes 1/q of a new sighting into R. Returns TRUE if R changed: a credit is void then. */
gboolean block_thin(Block *block, const Law *law, double inverse_q);
/* Adds one sighting at @at_s to channel's windows (those that still stand). */
void block_count(Block *block, const Law *law, Channel channel, gint64 at_s);
void block_count_session(Block *block, const Law *law, gint64 at_s);
/* Gives its carry back: the block ends. */
void block_drop(Block *block, Pool *carries);

/* Upper bounds of a block's cells: M or the idle state, whichever is higher, and the fewest
 * sightings that double it. */
typedef struct {
    double high[CHANNELS][SCALES][THETAS];
    double doubling[CHANNELS][SCALES][THETAS];
} Reach;

/* The highest M over all cells at the ends of the windows that were still open at @open_s, seen
 * from @at_s ≥ newest_s; into @io_peak if it is higher. @out_reach may be NULL. */
void block_peak(const Block *block, const Law *law, PstPortPair pair, gint64 open_s, gint64 at_s,
                Peak *io_peak, Reach *out_reach);
/* Credit: so many more sightings cannot lift any cell to @target, whether time moves on or not, as
 * long as R and the rules stay. A window without a sighting never lifts M above max(M, idle). */
guint32 reach_credit(const Reach *reach, double target);

/* n: uncapped sessions in the current and the previous window of 10800 s, highest of those open
 * after @open_s, seen from @at_s. As a window of any shorter scale and the one before it always
 * lie within these two, this is the largest such count of any scale. */
guint32 block_sessions(const Block *block, const Law *law, gint64 open_s, gint64 at_s);
/* The same for new destinations. */
guint32 block_destinations(const Block *block, const Law *law, gint64 open_s, gint64 at_s);
/* The most of new sessions, as capped, or of new destinations in the current and the previous
 * window of 1800 s, likewise. */
guint32 block_recent(const Block *block, const Law *law, gint64 open_s, gint64 at_s);
