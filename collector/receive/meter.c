/* SPDX-License-Identifier: Apache-2.0 */
#include "meter.h"

#include <sys/random.h>

#define NS_PER_S  G_GINT64_CONSTANT(1000000000)
#define IDLE_NS   (METER_IDLE_S * NS_PER_S)
#define ACTIVE_NS (METER_ACTIVE_S * NS_PER_S)
#define EARLY_NS  (G_GINT64_CONSTANT(631152000) * NS_PER_S) /* 1990-01-01 */

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_DCCP = 33, PROTO_ICMP6 = 58 };
enum { PROTO_SCTP = 132, PROTO_UDPLITE = 136 };
enum { FIN = 0x01, SYN = 0x02, RST = 0x04, ACK = 0x10, FLAGS_MASK = 0x01ff };
enum { PIECES_MAX = 4096 }; /* a power of two */

/* Flows of one time-out each, so that their order of touching is that of their ends. */
typedef enum { QUEUE_OPEN, QUEUE_ENDED, QUEUE_COUNT } Queue;

static const struct {
    gint64 wait_ns;
    MeteredEnd reason;
} queues[QUEUE_COUNT] = {{IDLE_NS, METERED_IDLE}, {NS_PER_S, METERED_ENDED}};

typedef struct {
    MeteredFlow told;
    guint64 hash;
    gint64 touched_ns; /* when its last packet was read, by our clock */
    Queue queue;
    GList link; /* in its queue; data is the flow */
} OpenFlow;

/* The first fragment of a datagram, which alone has the ports. */
typedef struct {
    PstAddr src, dst;
    guint32 id;
    guint8 piece_proto;
    gboolean used;
    guint8 proto;
    guint16 src_port, dst_port;
} FirstPiece;

struct Meter {
    MeterOptions options;
    MeterExport *export;
    guint64 key[2];
    GHashTable *flows; /* OpenFlow → itself; owned */
    GQueue queues[QUEUE_COUNT];
    gint64 now_ns; /* newest time of the capture */
    gboolean begun;
    FirstPiece pieces[PIECES_MAX];
    MeterCounts counts;
};

/* --- the table ----------------------------------------------------------------------------- */

static guint flow_hash(gconstpointer data)
{
    return (guint)((const OpenFlow *)data)->hash;
}

static gboolean flow_equal(gconstpointer a, gconstpointer b)
{
    const MeteredFlow *x = &((const OpenFlow *)a)->told, *y = &((const OpenFlow *)b)->told;
    return x->src_port == y->src_port && x->dst_port == y->dst_port && x->proto == y->proto &&
           pst_addr_equal(&x->src, &y->src) && pst_addr_equal(&x->dst, &y->dst);
}

/* Keyed: a capture's packets are made by strangers. */
static guint64 hash_of(const Meter *m, const PstAddr *src, const PstAddr *dst, guint64 rest)
{
    const guint64 key[2] = {m->key[0] ^ rest, m->key[1] ^ pst_addr_hash_keyed(src, m->key)};
    return pst_addr_hash_keyed(dst, key);
}

Meter *meter_new(const MeterOptions *options)
{
    Meter *m = g_new0(Meter, 1);
    m->options = *options;
    m->export = meter_export_new(options->rate, options->message, options->user);
    m->flows = g_hash_table_new_full(flow_hash, flow_equal, NULL, g_free);
    gssize got = getrandom(m->key, sizeof m->key, 0);
    g_assert(got == sizeof m->key); /* so few bytes are never refused */
    return m;
}

void meter_free(Meter *meter)
{
    if (meter == NULL)
        return;
    g_hash_table_unref(meter->flows);
    meter_export_free(meter->export);
    g_free(meter);
}

static void end_flow(Meter *m, OpenFlow *flow, MeteredEnd reason)
{
    flow->told.end_reason = (guint8)reason;
    meter_export_flow(m->export, &flow->told, m->now_ns);
    m->counts.flows++;
    g_queue_unlink(&m->queues[flow->queue], &flow->link);
    g_hash_table_remove(m->flows, flow);
}

static OpenFlow *oldest(Meter *m, Queue queue)
{
    return g_queue_peek_head(&m->queues[queue]);
}

static void make_room(Meter *m)
{
    if (g_hash_table_size(m->flows) < m->options.flows_max)
        return;
    OpenFlow *open = oldest(m, QUEUE_OPEN), *ended = oldest(m, QUEUE_ENDED);
    m->counts.evicted++;
    end_flow(
        m, open == NULL || (ended != NULL && ended->touched_ns <= open->touched_ns) ? ended : open,
        METERED_NO_ROOM);
}

static void end_silent(Meter *m)
{
    for (Queue queue = 0; queue < QUEUE_COUNT; queue++) {
        OpenFlow *flow;
        while ((flow = oldest(m, queue)) != NULL &&
               m->now_ns - flow->touched_ns >= queues[queue].wait_ns)
            end_flow(m, flow, queues[queue].reason);
    }
}

static void end_all(Meter *m)
{
    for (Queue queue = 0; queue < QUEUE_COUNT; queue++) {
        OpenFlow *flow;
        while ((flow = oldest(m, queue)) != NULL)
            end_flow(m, flow, queue == QUEUE_OPEN ? METERED_FORCED : queues[queue].reason);
    }
}

/* A packet may be a little older than one that stands before it; a clock that was set back, or
 * another capture behind the first, begins anew. */
static void advance(Meter *m, gint64 time_ns)
{
    if (m->begun && time_ns < m->now_ns - IDLE_NS) {
        m->counts.steps_back++;
        end_all(m);
        m->now_ns = time_ns;
    }
    m->now_ns = m->begun ? MAX(m->now_ns, time_ns) : time_ns;
    m->begun = TRUE;
    end_silent(m);
}

/* --- a packet ------------------------------------------------------------------------------ */

/* Later fragments have the ports of the first one, if that came before them. */
static void join_pieces(Meter *m, const IpPacket *ip, MeteredFlow *told)
{
    guint64 hash = hash_of(m, &ip->src, &ip->dst, (guint64)ip->piece_proto << 32 | ip->id);
    FirstPiece *piece = &m->pieces[hash % PIECES_MAX];
    if (ip->offset == 0) {
        *piece = (FirstPiece){.src = ip->src,
                              .dst = ip->dst,
                              .id = ip->id,
                              .piece_proto = ip->piece_proto,
                              .used = TRUE,
                              .proto = told->proto,
                              .src_port = told->src_port,
                              .dst_port = told->dst_port};
    } else if (piece->used && piece->id == ip->id && piece->piece_proto == ip->piece_proto &&
               pst_addr_equal(&piece->src, &ip->src) && pst_addr_equal(&piece->dst, &ip->dst)) {
        told->proto = piece->proto;
        told->src_port = piece->src_port;
        told->dst_port = piece->dst_port;
    }
}

static void read_tcp_flags(const IpPacket *ip, PstCursor *c, MeteredFlow *told)
{
    pst_cursor_skip(c, 8);
    guint16 flags = pst_cursor_u16(c) & FLAGS_MASK;
    if (pst_cursor_ok(c))
        told->tcp_flags = flags;
    else if (ip->piece) /* its rest is in the next one */
        c->failed = FALSE;
}

/* FALSE: the header is not all there. */
static gboolean read_transport(const IpPacket *ip, MeteredFlow *told)
{
    PstCursor c = ip->rest;
    switch (ip->proto) {
    case PROTO_TCP:
    case PROTO_UDP:
    case PROTO_DCCP:
    case PROTO_SCTP:
    case PROTO_UDPLITE:
        told->src_port = pst_cursor_u16(&c);
        told->dst_port = pst_cursor_u16(&c);
        if (ip->proto == PROTO_TCP && pst_cursor_ok(&c))
            read_tcp_flags(ip, &c, told);
        break;
    case PROTO_ICMP:
    case PROTO_ICMP6:
        told->dst_port = pst_cursor_u16(&c);
        break;
    default:
        break;
    }
    return pst_cursor_ok(&c);
}

/* What one packet tells of its flow. */
static IpResult read_frame(Meter *m, const CapturedFrame *frame, MeteredFlow *out)
{
    IpPacket ip;
    IpResult result = ip_packet_read(frame->link, frame->bytes, frame->len, &ip);
    if (result != IP_PACKET)
        return result;
    gsize wire = frame->wire_len > ip.at ? frame->wire_len - ip.at : 0;
    *out = (MeteredFlow){.src = ip.src,
                         .dst = ip.dst,
                         .proto = ip.proto,
                         .packets = 1,
                         .bytes = ip.bytes != 0 ? ip.bytes : wire,
                         .start_ns = frame->time_ns,
                         .end_ns = frame->time_ns};
    if (ip.offset == 0 && !read_transport(&ip, out))
        return frame->wire_len > frame->len ? IP_CUT : IP_BROKEN;
    if (ip.piece)
        join_pieces(m, &ip, out);
    return IP_PACKET;
}

/* TRUE: @packet is no more of @flow, which is told. */
static gboolean is_over(Meter *m, OpenFlow *flow, const MeteredFlow *packet)
{
    gint64 start_ns = MIN(flow->told.start_ns, packet->start_ns);
    gint64 end_ns = MAX(flow->told.end_ns, packet->end_ns);
    if (flow->queue == QUEUE_ENDED && (packet->tcp_flags & (SYN | ACK)) == SYN)
        end_flow(m, flow, METERED_ENDED);
    else if (end_ns - start_ns >= ACTIVE_NS)
        end_flow(m, flow, METERED_ACTIVE);
    else
        return FALSE;
    return TRUE;
}

static OpenFlow *begin_flow(Meter *m, const OpenFlow *wanted)
{
    make_room(m);
    OpenFlow *flow = g_memdup2(wanted, sizeof *wanted);
    flow->link = (GList){.data = flow};
    flow->queue = QUEUE_OPEN;
    g_queue_push_tail_link(&m->queues[QUEUE_OPEN], &flow->link);
    g_hash_table_add(m->flows, flow);
    return flow;
}

static void add_packet(MeteredFlow *told, const MeteredFlow *packet)
{
    told->packets += packet->packets;
    told->bytes += packet->bytes;
    told->tcp_flags |= packet->tcp_flags;
    told->start_ns = MIN(told->start_ns, packet->start_ns);
    told->end_ns = MAX(told->end_ns, packet->end_ns);
}

static void touch(Meter *m, OpenFlow *flow, guint16 tcp_flags)
{
    g_queue_unlink(&m->queues[flow->queue], &flow->link);
    if (tcp_flags & (FIN | RST))
        flow->queue = QUEUE_ENDED;
    g_queue_push_tail_link(&m->queues[flow->queue], &flow->link);
    flow->touched_ns = m->now_ns;
}

void meter_frame(Meter *m, const CapturedFrame *frame)
{
    OpenFlow wanted = {0};
    switch (read_frame(m, frame, &wanted.told)) {
    case IP_PACKET:
        break;
    case IP_NONE:
        m->counts.not_ip++;
        return;
    case IP_CUT:
        m->counts.cut++;
        return;
    case IP_BROKEN:
        m->counts.broken++;
        return;
    }
    advance(m, frame->time_ns);
    const MeteredFlow *packet = &wanted.told;
    m->counts.packets++;
    m->counts.bytes += packet->bytes;
    m->counts.tcp += packet->proto == PROTO_TCP;
    m->counts.early += packet->start_ns < EARLY_NS;
    wanted.hash =
        hash_of(m, &packet->src, &packet->dst,
                (guint64)packet->proto << 32 | (guint64)packet->src_port << 16 | packet->dst_port);
    OpenFlow *flow = g_hash_table_lookup(m->flows, &wanted);
    if (flow != NULL && !is_over(m, flow, packet))
        add_packet(&flow->told, packet);
    else
        flow = begin_flow(m, &wanted);
    touch(m, flow, packet->tcp_flags);
}

void meter_end(Meter *meter)
{
    end_all(meter);
    meter_export_flush(meter->export);
}

const MeterCounts *meter_counts(const Meter *meter)
{
    return &meter->counts;
}
