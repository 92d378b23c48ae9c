/* SPDX-License-Identifier: Apache-2.0 */
/* How many sightings a second one engine takes on one core, and what its state weighs. Traffic is
 * generated before the clock starts; flows are given as they would come from the codec.
 *
 *   bench_engine [UNITS [MILLIONS [RATE]]]    units that send (default 100000), millions of flows
 *                                             (10), sampling 1:RATE (1)
 *
 * Prints one line of JSON: sightings per CPU second, bytes per unit, resident memory, what a
 * snapshot takes while the stream goes on, and what an engine made of it takes. Each session is
 * told twice (both directions), as routers do; where packets are sampled it is told by the one
 * packet that was seen, by either of two routers, and time passes faster; one unit in a hundred
 * sends to new servers only, the others to a few of their own and to big providers; one in ten on
 * port 587. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <glib/gstdio.h>

#include "engine.h"
#include "snapshots.h"

#define BATCH   65536 /* flows made ahead, so that making them is not measured */
#define DRAIN   8192  /* flows of a tick */
#define PACKETS 14    /* of a session, a direction */
#define START   G_GINT64_CONSTANT(1777593600000000000)

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

/* How many records tell of a session that is seen. */
static guint told_times(guint64 rate)
{
    return rate == 1 ? 2 : 1;
}

/* Records of a session, both directions together, on the average. */
static double told_of_one(guint64 rate)
{
    return 2 * (1 - pow(1 - 1.0 / (double)rate, PACKETS));
}

static PstFlow reply_to(const PstFlow *out)
{
    PstFlow reply = *out;
    reply.direction = PST_DIR_OUT_REPLY;
    reply.src_addr = out->dst_addr;
    reply.dst_addr = out->src_addr;
    reply.src_port = out->dst_port;
    reply.dst_port = out->src_port;
    reply.tcp_flags |= 0x10; /* ACK */
    return reply;
}

/* One packet of it, seen by either of two routers. */
static void sample(PstFlow *flow, Dice *dice, guint64 rate)
{
    guint64 r = roll(dice);
    flow->sampling_rate = rate;
    flow->packets = 1;
    flow->bytes = 5000 / PACKETS;
    flow->tcp_flags = r % PACKETS == 0 ? 0x02 : 0x18;
    flow->sampler = pst_addr_v4(0xc6336401u + (guint32)(r >> 32 & 1));
    if (r >> 33 & 1)
        *flow = reply_to(flow);
}

/* A session of 14 packets, as the router of the sender's side tells it. */
static PstFlow make_session(Dice *dice, guint32 units, gint64 now_ns)
{
    guint32 unit = (guint32)(roll(dice) % units);
    return (PstFlow){
        .has = PST_HAS_BYTES | PST_HAS_PACKETS | PST_HAS_PROTO | PST_HAS_TCP_FLAGS | PST_HAS_START |
               PST_HAS_END,
        .direction = PST_DIR_OUT,
        .src_addr = pst_addr_v4(0x0a000000u + unit),
        .dst_addr = pst_addr_v4(server_of(dice, unit)),
        .sampler = pst_addr_v4(0xc6336401u),
        .src_port = (guint16)(1024 + roll(dice) % 60000),
        .dst_port = unit % 10 == 9 ? 587 : 25,
        .proto = 6,
        .bytes = 5000,
        .packets = PACKETS,
        .tcp_flags = 0x1b,
        .sampling_rate = 1,
        .start_ns = now_ns,
        .end_ns = now_ns + 2000000000,
        .received_ns = now_ns + 10000000000,
    };
}

static void make_batch(PstFlow *flows, Dice *dice, guint32 units, guint64 rate, gint64 *now_ns,
                       double per_s)
{
    guint told = told_times(rate);
    for (guint i = 0; i < BATCH; i += told) {
        *now_ns += (gint64)(told * 1e9 / per_s);
        flows[i] = make_session(dice, units, *now_ns);
        if (rate == 1)
            flows[i + 1] = reply_to(&flows[i]);
        else
            sample(&flows[i], dice, rate);
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

/* Resident memory of this process, bytes. */
static guint64 resident(void)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/self/status", &text, NULL, NULL))
        return 0;
    const char *at = strstr(text, "VmRSS:");
    return at != NULL ? strtoull(at + strlen("VmRSS:"), NULL, 10) * 1024 : 0;
}

/* A stream that has begun. */
typedef struct {
    Engine *engine;
    PstFlow *flows;
    Dice dice;
    guint32 units;
    guint64 rate;
    gint64 now_ns;
    double per_s;
    guint64 taken, verdicts;
    double spent;
} Stream;

static void run_batch(Stream *s)
{
    make_batch(s->flows, &s->dice, s->units, s->rate, &s->now_ns, s->per_s);
    double begin = cpu_s();
    for (guint i = 0; i < BATCH; i += ENGINE_FLOWS_BEST) {
        EngineFate fates[ENGINE_FLOWS_BEST];
        engine_flows(s->engine, &s->flows[i], ENGINE_FLOWS_BEST, (gint64)s->taken, fates);
        s->taken += ENGINE_FLOWS_BEST;
        if (s->taken % DRAIN == 0)
            s->verdicts += drain(s->engine);
    }
    s->spent += cpu_s() - begin;
}

typedef struct {
    SnapshotDone done;
    guint64 meanwhile; /* flows that were taken while it was written */
    double total_s, load_s;
} Snapped;

static double wall_s(void)
{
    return (double)g_get_monotonic_time() / 1e6;
}

/* A snapshot into a file while the stream goes on, and an engine made of the file. */
static void measure_snapshot(Stream *s, const EngineConf *conf, Snapped *out)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp("postern-bench-XXXXXX", &error);
    g_autoptr(Snapshots) snapshots = folder != NULL ? snapshots_open(folder, &error) : NULL;
    if (snapshots == NULL)
        g_error("%s", error->message);
    snapshots_name_bus(snapshots, "bench");
    drain(s->engine);
    g_autoptr(PstHold) hold = pst_hold_new(0);
    hold->smtp_position = (gint64)s->taken;
    hold->epoch = 1;
    double began = wall_s(), before = s->spent;
    guint64 taken = s->taken;
    snapshots_take(snapshots, hold, s->engine);
    while (!snapshots_collect(snapshots, FALSE, &out->done))
        run_batch(s);
    out->total_s = wall_s() - began;
    out->meanwhile = s->taken - taken;
    s->taken = taken; /* what two threads did at once is no measure of one */
    s->spent = before;
    began = wall_s();
    hold->epoch = 2;
    g_autoptr(PstHold) at = NULL;
    g_autoptr(Engine) again = snapshots_load(snapshots, conf, hold, 0, &at);
    out->load_s = wall_s() - began;
    if (again == NULL)
        g_error("the snapshot cannot be used");
    snapshots_forget(snapshots, 0);
    (void)g_rmdir(folder);
}

int main(int argc, char **argv)
{
    guint32 units = argc > 1 ? (guint32)strtoul(argv[1], NULL, 10) : 100000;
    guint64 millions = argc > 2 ? strtoul(argv[2], NULL, 10) : 10;
    guint64 rate = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
    if (units == 0 || millions == 0 || rate == 0) {
        fprintf(stderr, "usage: bench_engine [UNITS [MILLIONS [RATE]]]\n");
        return 2;
    }
    EngineConf conf;
    engine_conf_init(&conf);
    /* 4.5 sessions in 15 minutes, as far as they are seen; sampled, hardly a server comes twice. */
    double sessions = units * 4.5 * MIN(told_of_one(rate), 1);
    conf.novelty_bytes = MAX(1 << 20, (guint64)(sessions * (rate == 1 ? 38 : 45)));
    conf.max_units = MAX(units, 1000);
    Stream stream = {.flows = g_new0(PstFlow, BATCH),
                     .dice = {42},
                     .units = units,
                     .rate = rate,
                     .now_ns = START,
                     /* Event time: each unit opens 18 sessions an hour. */
                     .per_s = units * 18 / 3600.0 * told_of_one(rate)};
    memset(stream.flows, 1, BATCH * sizeof(PstFlow));
    guint64 without = resident();
    g_autoptr(Engine) engine = stream.engine = engine_new(&conf, 0);
    while (stream.taken < millions * 1000000)
        run_batch(&stream);
    const EngineStats *stats = engine_stats(engine);
    guint64 fresh = stats->fates[ENGINE_NEW], held = stats->units, state = stats->state_bytes;
    guint64 rss = resident() - without, taken = stream.taken;
    double fill = stats->novelty_fill;
    Snapped snapped;
    measure_snapshot(&stream, &conf, &snapped);
    printf("{\"units\":%" G_GUINT64_FORMAT ",\"flows\":%" G_GUINT64_FORMAT
           ",\"new\":%" G_GUINT64_FORMAT ",\"verdicts\":%" G_GUINT64_FORMAT
           ",\"sightings_per_cpu_s\":%.0f,\"state_bytes_per_unit\":%.0f,\"novelty_fill\":%.3f"
           ",\"missed_novelty\":%.4f,\"state_bytes\":%" G_GUINT64_FORMAT
           ",\"novelty_bytes\":%" G_GUINT64_FORMAT ",\"resident_bytes\":%" G_GUINT64_FORMAT
           ",\"snapshot_bytes\":%" G_GSIZE_FORMAT ",\"pause_s\":%.3f,\"written_s\":%.3f"
           ",\"meanwhile\":%" G_GUINT64_FORMAT ",\"load_s\":%.3f}\n",
           held, taken, fresh, stream.verdicts, (double)stream.taken / stream.spent,
           (double)(state - conf.novelty_bytes) / (double)MAX(held, 1), fill,
           1 - told_times(rate) * (double)fresh / (double)taken, state, conf.novelty_bytes, rss,
           snapped.done.bytes, (double)snapped.done.pause_us / 1e6, snapped.total_s,
           snapped.meanwhile, snapped.load_s);
    g_free(stream.flows);
    return 0;
}
