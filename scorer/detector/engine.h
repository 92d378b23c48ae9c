/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The detector of one partition: flows and heartbeats in, verdicts and activity out.
 *
 * An engine is a deterministic function of its configuration, its partition's log and the inputs
 * at their places in it: it reads no clock, no file and no database, and draws no random number.
 * The same calls in the same order give the same verdicts bit by bit (docs/detector.md).
 *
 *   engine = engine_new(&conf, partition);
 *   for each message of the log, in order:
 *       engine_flow(engine, &flow, offset)  or  engine_heartbeat(engine, &beat)
 *       (many flows in a row: engine_flows)
 *   at a tick, before the next message:
 *       engine_input(engine, &input) for each new scorer_input row, in id order
 *       verdicts = engine_take_verdicts(engine); activity = engine_take_activity(engine);
 *   a backtest only, after the last record: engine_finish(engine), then take once more
 *
 * Taking changes nothing of what the engine will say later. To suppress outputs (rebuild, replay
 * up to PostgreSQL's position) take and free them. To repeat a run, call engine_input between the
 * same two messages as before: scorer_input.applied_at_position says where.
 * Before the first message of a partition that has inputs from earlier, feed all of these.
 *
 * Owner thread: one at a time; engines share nothing.
 */
#include "postern/envelope.h"
#include "postern/sink.h"

typedef struct Engine Engine;

/* Parameters. All are defaults of docs/detector.md; engine_conf_init fills them. An engine copies
 * its configuration; a change needs a new engine (and gives other verdicts from then on). */
typedef struct {
    guint64 key[2];        /* secret of the hashes: filter places, evidence samples */
    guint64 novelty_bytes; /* memory of the novelty filter; 1 MiB … 16 GiB; rounded down to
                              a multiple of 64. 45 bytes for each new session of
                              15 minutes (it has three keys) keep missed novelty at 1 % */
    guint32 max_units;     /* units held; more evicts the idle, counted. 1,000 … 50,000,000 */
    guint32 max_episodes;  /* units under attention at the same time; 16 … 1,000,000 */
    guint32 idle_s;        /* a unit silent for so long is forgotten; 21,600 … */
    guint32 watermark_s;   /* how far the watermark stays behind the slowest exporter: 120 */
    guint32 straggler_s;   /* an exporter further behind than this does not hold it: 120 */
    guint32 clock_ahead_s; /* event times further ahead of the median are refused: 300 */
    guint32 quiet_s;       /* an episode ends after so long below watch: 1800 */
    guint32 v6_unit_len;   /* where no input says otherwise: 64; 48 … 64 */
    double session_packets[PST_PAIR_COUNT]; /* k of q = 1 − (1 − 1/N)^k, one direction: 14, 23 */
    double both_directions;       /* so many times k where an exporter tells both: 1.93; 1 … 10 */
    double floor_sessions[5];     /* per window of 10, 60, 300, 1800, 10800 s: 8 20 50 150 450 */
    double floor_destinations[5]; /* 6 15 35 90 250 */
    /* How much of its floors a unit without history is granted, and one with: at q = 1, 0.13,
     * 0.014, 0.0034. */
    double phi_cold[4], phi_known[4];
    double gate_cold;               /* G for units without history: 50 */
    double gate_known;              /* G for the others: 100 */
    double strangers;               /* servers that a burst must reach: 5 */
    double band_at[PST_BAND_COUNT]; /* evidence: 300, 600, 900 */
} EngineConf;

void engine_conf_init(EngineConf *conf);

/* @conf is copied; asserts that it is within its ranges (the caller's rows check what an operator
 * wrote). Given (free with engine_free). */
Engine *engine_new(const EngineConf *conf, guint32 partition) G_GNUC_WARN_UNUSED_RESULT;
void engine_free(Engine *engine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Engine, engine_free)

/* What became of a flow; each is a counter. */
typedef enum {
    ENGINE_NEW,         /* a session not seen in the last hour: scored */
    ENGINE_KNOWN,       /* seen in the last hour: refreshed, counted as traffic */
    ENGINE_LATE,        /* a sighting older than the watermark: kept as evidence, not scored */
    ENGINE_NOT_CLIENT,  /* inbound, transit or no direction: says nothing about a customer's
                           sending */
    ENGINE_NOT_MAIL,    /* not TCP, no mail port on the server's side, or not a session of ours */
    ENGINE_CLOCK_AHEAD, /* event time too far ahead: set aside */
    ENGINE_NO_TIME,     /* neither start, end nor receive time */
    ENGINE_FATES
} EngineFate;

/* "new", "known", "late", "not-client", … as in metrics and the backtest's summary. */
const char *engine_fate_name(EngineFate fate);

/* Takes one flow of the log; @flow is borrowed. @position is the bus offset of its message (or
 * any number that grows, for files). Hot path: no allocation for units already held. */
EngineFate engine_flow(Engine *engine, const PstFlow *flow, gint64 position);

/* The same for @n flows of one message, in their order: what it needs of memory is fetched for many
 * at a time, which is several times as fast where there are many units. @out_fates: n of them. */
void engine_flows(Engine *engine, const PstFlow *flows, guint n, gint64 position,
                  EngineFate *out_fates);
#define ENGINE_FLOWS_BEST 32 /* more at a time is no faster */

/* Takes one heartbeat of the log: moves event time on and ends episodes. From the first heartbeat
 * on the watermark follows heartbeats only; before, the flows' own event time per exporter. */
void engine_heartbeat(Engine *engine, const PstHeartbeat *beat);

/* Applies a decision:
 *  RELEASED                  the unit's episode ends and its cells restart from the idle state;
 *  FALSE_POSITIVE            the same, and its data that were withheld, today's too, are learned;
 *  CONFIRMED                 its data that were withheld are dropped;
 *  ASSIGNED                  units of the net that belong to one customer are judged as a
 *                            neighbourhood too; owner 0 ends it;
 *  REASSIGNED                the same, and everything known of the unit is forgotten;
 *  EXEMPTED                  its envelopes are at least `ceiling` sessions in any hour; 0 ends it;
 *  UNIT_LEN                  IPv6 addresses in the prefix belong to units of `unit_len` from now
 *                            on; units cut otherwise are forgotten, their episodes end.
 * All but UNIT_LEN take a unit or a wider prefix, which means every unit held in it (EXEMPTED: and
 * those to come; the most specific exemption holds).
 * An input that fits no unit of this partition changes nothing. */
void engine_input(Engine *engine, const PstInput *input);

/* The end of all data: event time passes everything, so all episodes end. */
void engine_finish(Engine *engine);

/* Verdicts since the last take, in the order in which they arose; each element is cleared with the
 * array. Rows with ended = TRUE repeat the identity and the crossing of an earlier row of the same
 * (unit, episode, band); their sessions_seen, sessions_low, destinations_seen and failed are totals
 * of the episode, evidence and score its highest, samples and last_ns final.
 * Given: GArray of PstVerdict (free with g_array_unref). */
GArray *engine_take_verdicts(Engine *engine) G_GNUC_WARN_UNUSED_RESULT;

/* Growth of units' 5-minute buckets since the last take, ordered by unit, then bucket. sessions and
 * destinations are new sightings, bytes and packets as the records counted them, not scaled by the
 * sampling rate; late records are in it.
 * Given: GArray of PstActivity. */
GArray *engine_take_activity(Engine *engine) G_GNUC_WARN_UNUSED_RESULT;

/* From now on rows of what was learned are kept for the two functions below; before, nobody is
 * thought to want them. No part of the state. */
void engine_keep_rows(Engine *engine);
/* Rows of units whose learned state changed, each at most once a day of event time, spread over the
 * day; and days that were withheld, or were decided. Given: arrays of PstEnvelope, PstWaitingDay.
 */
GArray *engine_take_envelopes(Engine *engine) G_GNUC_WARN_UNUSED_RESULT;
GArray *engine_take_waiting(Engine *engine) G_GNUC_WARN_UNUSED_RESULT;

/* Gives such a row back to an engine that has taken no flow yet, because the log does not reach
 * back to it; then the log is read on from its oldest message. What it holds of the days that the
 * row knows is not learned twice; it must reach two days behind the newest. Rows of waiting days
 * come after those of their units. What finds no room is left out and counted as evicted. */
void engine_restore(Engine *engine, const PstEnvelope *row);
void engine_restore_waiting(Engine *engine, const PstWaitingDay *row);

typedef struct {
    guint64 fates[ENGINE_FATES]; /* flows by what became of them */
    guint64 sightings;           /* NEW + KNOWN + LATE */
    guint64 heartbeats;
    guint64 watches, flags, blocks; /* crossings */
    guint64 episodes_ended;
    guint64 units_forgotten;  /* idle for idle_s */
    guint64 units_evicted;    /* thrown out because max_units was reached */
    guint64 excused;          /* sightings, by mail that came in just before */
    guint64 waiting_dropped;  /* withheld days that found no room to wait in */
    guint64 episodes_evicted; /* ended early because max_episodes was reached */
    guint64 exporters_evicted;
    /* Present values, not counters: */
    guint64 units;       /* held */
    guint64 episodes;    /* open: at or above watch, or not yet quiet for quiet_s */
    guint64 waiting;     /* withheld days that wait for a decision */
    guint64 learned;     /* envelopes: of a unit and port pair */
    double novelty_fill; /* share of the filter's slots in use when the newest full generation
                            ended; above 0.67 missed novelty exceeds 1 % */
    gint64 watermark_ns; /* UTC ns; 0: none yet */
    gint64 newest_ns;    /* newest event time taken */
    gsize state_bytes;   /* memory of the state */
} EngineStats;

/* Borrowed until the next call on this engine. */
const EngineStats *engine_stats(Engine *engine);

/* From now on keep the highest evidence of each unit on each UTC day (peaks.h); for backtests, as
 * it takes memory for each day and a closer look. Verdicts stay the same, but for the highest
 * evidence told at an episode's end. Borrowed, with the engine: what is kept so far. */
const struct Peaks *engine_keep_peaks(Engine *engine);

/* SHA-256 (hex) over the whole state, outputs not yet taken excepted. Equal digests: everything
 * said from here on will be equal. Given (free with g_free). */
char *engine_digest(const Engine *engine) G_GNUC_WARN_UNUSED_RESULT;

/* Appends the state. Verdicts and activity must have been taken (asserted). */
void engine_serialise(const Engine *engine, GByteArray *out);
/* The same in two steps: only the first one looks at the engine, and it does nothing but copy. The
 * second is for any thread; @first: length of @io_state before the first one. */
void engine_copy(const Engine *engine, GByteArray *out);
void engine_seal(GByteArray *io_state, gsize first);

/* Makes an engine from what engine_serialise wrote, under the same @conf and @partition.
 * @error CORRUPT: not such a state, cut short, of another version, another configuration or
 * another machine's byte order; the remedy is to rebuild from the log. Given. */
Engine *engine_load(const EngineConf *conf, guint32 partition, const guint8 *data, gsize len,
                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
