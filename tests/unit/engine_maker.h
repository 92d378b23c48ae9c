/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Builders for tests of the detector: flows that an exporter would tell, an engine that counts its
 * verdicts. Times are seconds after a full day in May 2026. All traffic here is made up. */
#include "clock.h"
#include "engine.h"

#define DAY_S    ((gint64)1777593600) /* 2026-05-01T00:00:00Z */
#define A_UNIT   "192.0.2.10"
#define A_ROUTER "198.51.100.1"
#define B_ROUTER "198.51.100.2"

static inline PstAddr addr_of(const char *text)
{
    PstAddr addr;
    g_assert_true(pst_addr_parse(text, strlen(text), &addr));
    return addr;
}

static inline PstUnit unit_named(const char *text)
{
    PstUnit unit;
    g_assert_true(pst_prefix_parse(text, strlen(text), TRUE, &unit));
    return unit;
}

/* The @n-th of many mail servers. */
static inline PstAddr server(guint32 n)
{
    return pst_addr_v4(0xcb007100u + n * 2654435761u);
}

static inline gint64 ns_at(double second)
{
    return DAY_S * PST_NS_PER_S + (gint64)(second * 1e9);
}

/* One session's record, seen by A_ROUTER at 1:1: client side, all packets, answered. */
typedef struct {
    double at;
    const char *unit;
    const char *router;
    PstAddr to;
    guint16 port;
    guint16 client_port;
    guint64 rate;
    gboolean reply;
} Told;

static inline PstFlow flow_told(const Told *told)
{
    PstFlow flow = {
        .has = PST_HAS_BYTES | PST_HAS_PACKETS | PST_HAS_SRC_PORT | PST_HAS_DST_PORT |
               PST_HAS_PROTO | PST_HAS_TCP_FLAGS | PST_HAS_START | PST_HAS_END,
        .type = PST_FLOW_IPFIX,
        .direction = told->reply ? PST_DIR_OUT_REPLY : PST_DIR_OUT,
        .src_addr = addr_of(told->unit != NULL ? told->unit : A_UNIT),
        .dst_addr = told->to,
        .sampler = addr_of(told->router != NULL ? told->router : A_ROUTER),
        .src_port = told->client_port,
        .dst_port = told->port != 0 ? told->port : 25,
        .proto = 6,
        .etype = 0x0800,
        .bytes = 5000,
        .packets = 14,
        .tcp_flags = 0x1b,
        .sampling_rate = told->rate != 0 ? told->rate : 1,
        .start_ns = ns_at(told->at),
        .end_ns = ns_at(told->at + 2),
        .received_ns = ns_at(told->at + 5),
    };
    if (told->reply) {
        PstAddr client = flow.src_addr;
        guint16 port = flow.dst_port;
        flow.src_addr = flow.dst_addr;
        flow.dst_addr = client;
        flow.dst_port = flow.src_port;
        flow.src_port = port;
    }
    return flow;
}

/* What an engine has said so far. */
typedef struct {
    Engine *engine;
    GArray *rows; /* PstVerdict, all taken */
    gint64 position;
    guint64 told;                    /* sessions given to it */
    guint64 band_at[PST_BAND_COUNT]; /* `told` when the band was first crossed; 0: not */
} Trial;

static inline EngineConf small_conf(void)
{
    EngineConf conf;
    engine_conf_init(&conf);
    conf.novelty_bytes = 1 << 20;
    return conf;
}

static inline void trial_begin(Trial *trial, const EngineConf *conf)
{
    EngineConf small = small_conf();
    *trial = (Trial){.engine = engine_new(conf != NULL ? conf : &small, 3),
                     .rows = g_array_new(FALSE, TRUE, sizeof(PstVerdict))};
}

static inline void trial_take(Trial *trial)
{
    g_autoptr(GArray) taken = engine_take_verdicts(trial->engine);
    for (guint i = 0; i < taken->len; i++) {
        PstVerdict *v = &g_array_index(taken, PstVerdict, i);
        if (!v->ended && trial->band_at[v->band] == 0)
            trial->band_at[v->band] = trial->told;
        g_array_append_val(trial->rows, *v);
        v->n_reasons = 0; /* ours now */
    }
    g_autoptr(GArray) activity = engine_take_activity(trial->engine);
}

static inline void trial_end(Trial *trial)
{
    for (guint i = 0; i < trial->rows->len; i++)
        pst_verdict_clear(&g_array_index(trial->rows, PstVerdict, i));
    g_array_unref(trial->rows);
    engine_free(trial->engine);
}

static inline EngineFate trial_flow(Trial *trial, const PstFlow *flow)
{
    EngineFate fate = engine_flow(trial->engine, flow, ++trial->position);
    trial_take(trial);
    return fate;
}

static inline EngineFate trial_tell(Trial *trial, Told told)
{
    PstFlow flow = flow_told(&told);
    return trial_flow(trial, &flow);
}

static inline void trial_beat(Trial *trial, const char *router, double at)
{
    PstHeartbeat beat = {
        .sampler = addr_of(router), .newest_event_ns = ns_at(at), .received_ns = ns_at(at + 1)};
    engine_heartbeat(trial->engine, &beat);
    trial_take(trial);
}

static inline guint trial_count(const Trial *trial, PstBand band, gboolean ended)
{
    guint n = 0;
    for (guint i = 0; i < trial->rows->len; i++) {
        const PstVerdict *v = &g_array_index(trial->rows, PstVerdict, i);
        n += v->band == band && v->ended == ended;
    }
    return n;
}

/* @n sessions to ever new servers, @per_s a second, from @at on. */
static inline void burst(Trial *trial, double at, double per_s, guint n, guint16 port)
{
    for (guint i = 0; i < n; i++) {
        trial->told++;
        trial_tell(trial, (Told){.at = at + i / per_s,
                                 .to = server(i),
                                 .port = port,
                                 .client_port = (guint16)(1024 + i)});
    }
}

/* The first such row; there must be one. */
static inline const PstVerdict *row(const Trial *trial, PstBand band, gboolean ended)
{
    for (guint i = 0; i < trial->rows->len; i++) {
        const PstVerdict *v = &g_array_index(trial->rows, PstVerdict, i);
        if (v->band == band && v->ended == ended)
            return v;
    }
    g_error("no %s row", pst_band_name(band));
    return NULL;
}

/* The words of a reason, or NULL. */
static inline const char *reason(const PstVerdict *v, const char *name)
{
    for (guint i = 0; i < v->n_reasons; i++)
        if (g_str_equal(v->reasons[i].name, name))
            return v->reasons[i].text;
    return NULL;
}

/* Its facts, or NULL. */
static inline const char *facts(const PstVerdict *v, const char *name)
{
    for (guint i = 0; i < v->n_reasons; i++)
        if (g_str_equal(v->reasons[i].name, name))
            return v->reasons[i].facts;
    return NULL;
}

static inline guint64 fate(const Trial *trial, EngineFate f)
{
    return engine_stats(trial->engine)->fates[f];
}

/* A small generator of numbers that is the same everywhere (xorshift64*). */
typedef struct {
    guint64 state;
} Dice;

static inline guint64 dice_next(Dice *dice)
{
    dice->state ^= dice->state >> 12;
    dice->state ^= dice->state << 25;
    dice->state ^= dice->state >> 27;
    return dice->state * G_GUINT64_CONSTANT(2685821657736338717);
}

/* 0 … below 1. */
static inline double dice_unit(Dice *dice)
{
    return (double)(dice_next(dice) >> 11) / 9007199254740992.0;
}
