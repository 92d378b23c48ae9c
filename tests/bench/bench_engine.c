/* SPDX-License-Identifier: Apache-2.0 */
/* How many sightings a second one engine takes on one core, and what its state weighs. Traffic is
 * generated before the clock starts; flows are given as they would come from the codec.
 *
 *   bench_engine [UNITS [MILLIONS]]    units that send (default 100000), millions of flows (10)
 *
 * Prints one line of JSON: sightings per CPU second, bytes per unit, a snapshot in memory. Each
 * session is told twice (both directions), as routers do; one unit in a hundred sends to new
 * servers only, the others to a few of their own and to big providers; one in ten on port 587. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine.h"

#define BATCH 65536 /* flows made ahead, so that making them is not measured */
#define DRAIN 8192  /* flows of a tick */
#define START G_GINT64_CONSTANT(1777593600000000000)

typedef struct {
    guint64 state;
} Dice;

static guint64 roll(Dice *dice)
{
    dice->state ^= dice->state >> 12;
    dice->state ^= dice->state << 25;
    dice->state ^= dice->state >> 27;
    return dice->state * G_GUINT64_CONSTANT(2685821657736338717);
}

static guint32 server_of(Dice *dice, guint32 unit)
{
    guint64 r = roll(dice);
    if (unit % 100 == 0)
        return 0xcb000000u + (guint32)(r % 10000000); /* ever new */
    if (r % 2)
        return 0x08080000u + (guint32)(r >> 32) % 200;  /* big providers */
    return unit * 2654435761u + (guint32)(r >> 32) % 4; /* its own few */
}

static void make_batch(PstFlow *flows, Dice *dice, guint32 units, gint64 *now_ns, double per_s)
{
    for (guint i = 0; i < BATCH; i += 2) {
        guint32 unit = (guint32)(roll(dice) % units);
        *now_ns += (gint64)(2e9 / per_s);
        PstFlow out = {
            .has = PST_HAS_BYTES | PST_HAS_PACKETS | PST_HAS_PROTO | PST_HAS_TCP_FLAGS |
                   PST_HAS_START | PST_HAS_END,
            .direction = PST_DIR_OUT,
            .src_addr = pst_addr_v4(0x0a000000u + unit),
            .dst_addr = pst_addr_v4(server_of(dice, unit)),
            .sampler = pst_addr_v4(0xc6336401u),
            .src_port = (guint16)(1024 + roll(dice) % 60000),
            .dst_port = unit % 10 == 9 ? 587 : 25,
            .proto = 6,
            .bytes = 5000,
            .packets = 14,
            .tcp_flags = 0x1b,
            .sampling_rate = 1,
            .start_ns = *now_ns,
            .end_ns = *now_ns + 2000000000,
            .received_ns = *now_ns + 10000000000,
        };
        flows[i] = out;
        flows[i + 1] = out;
        flows[i + 1].direction = PST_DIR_OUT_REPLY;
        flows[i + 1].src_addr = out.dst_addr;
        flows[i + 1].dst_addr = out.src_addr;
        flows[i + 1].src_port = out.dst_port;
        flows[i + 1].dst_port = out.src_port;
    }
}

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A tick's worth of outputs, thrown away. */
static guint drain(Engine *engine)
{
    g_autoptr(GArray) verdicts = engine_take_verdicts(engine);
    g_autoptr(GArray) activity = engine_take_activity(engine);
    return verdicts->len;
}

/* The state as bytes in memory, and an engine made of it again. Returns the bytes. */
static gsize measure_snapshot(Engine *engine, const EngineConf *conf, double *out_serialise_s,
                              double *out_load_s)
{
    drain(engine);
    g_autoptr(GByteArray) image = g_byte_array_new();
    double begin = cpu_s();
    engine_serialise(engine, image);
    *out_serialise_s = cpu_s() - begin;
    begin = cpu_s();
    g_autoptr(GError) error = NULL;
    g_autoptr(Engine) again = engine_load(conf, 0, image->data, image->len, &error);
    *out_load_s = cpu_s() - begin;
    if (again == NULL)
        g_error("%s", error->message);
    return image->len;
}

int main(int argc, char **argv)
{
    guint32 units = argc > 1 ? (guint32)strtoul(argv[1], NULL, 10) : 100000;
    guint64 millions = argc > 2 ? strtoul(argv[2], NULL, 10) : 10;
    if (units == 0 || millions == 0) {
        fprintf(stderr, "usage: bench_engine [UNITS [MILLIONS]]\n");
        return 2;
    }
    EngineConf conf;
    engine_conf_init(&conf);
    conf.novelty_bytes = MAX(1 << 20, (guint64)units * 171); /* 4.5 sessions in 15 minutes */
    conf.max_units = MAX(units, 1000);
    g_autoptr(Engine) engine = engine_new(&conf, 0);
    g_autofree PstFlow *flows = g_new0(PstFlow, BATCH);
    Dice dice = {42};
    gint64 now_ns = START;
    /* Event time: each unit opens 18 sessions an hour, told twice. */
    double spent = 0, per_s = units * 36 / 3600.0;
    guint64 taken = 0, verdicts = 0;
    while (taken < millions * 1000000) {
        make_batch(flows, &dice, units, &now_ns, per_s);
        double begin = cpu_s();
        for (guint i = 0; i < BATCH; i += ENGINE_FLOWS_BEST) {
            EngineFate fates[ENGINE_FLOWS_BEST];
            engine_flows(engine, &flows[i], ENGINE_FLOWS_BEST, (gint64)taken, fates);
            taken += ENGINE_FLOWS_BEST;
            if (taken % DRAIN == 0)
                verdicts += drain(engine);
        }
        spent += cpu_s() - begin;
    }
    double serialise_s = 0, load_s = 0;
    gsize snapshot = measure_snapshot(engine, &conf, &serialise_s, &load_s);
    const EngineStats *stats = engine_stats(engine);
    printf("{\"units\":%" G_GUINT64_FORMAT ",\"flows\":%" G_GUINT64_FORMAT
           ",\"new\":%" G_GUINT64_FORMAT ",\"verdicts\":%" G_GUINT64_FORMAT
           ",\"sightings_per_cpu_s\":%.0f,\"state_bytes_per_unit\":%.0f,\"novelty_fill\":%.3f"
           ",\"state_bytes\":%" G_GSIZE_FORMAT ",\"novelty_bytes\":%" G_GUINT64_FORMAT
           ",\"snapshot_bytes\":%" G_GSIZE_FORMAT ",\"serialise_s\":%.3f,\"load_s\":%.3f}\n",
           stats->units, taken, stats->fates[ENGINE_NEW], verdicts, (double)taken / spent,
           (double)(stats->state_bytes - conf.novelty_bytes) / (double)MAX(stats->units, 1),
           stats->novelty_fill, stats->state_bytes, conf.novelty_bytes, snapshot, serialise_s,
           load_s);
    return 0;
}
