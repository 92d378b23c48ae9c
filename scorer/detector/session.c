/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#define TCP 6

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static gboolean has(const PstFlow *flow, guint32 bits)
{
    return (flow->has & bits) == bits;
}

static gboolean is_tcp(const PstFlow *flow)
{
    return !has(flow, PST_HAS_PROTO) || flow->proto == TCP;
}

/* Our side sent: nothing came back, as far as its own flags tell; or where the record tells of both
 * sides, it was refused. */
static gboolean opening_failed(guint16 client_flags, guint64 server_packets, guint16 server_flags)
{
    if (server_packets > 0)
        return (server_flags & RST) && !(client_flags & PSH);
    return (client_flags & SYN) && !(client_flags & ACK);
}

/* The server's side answered with a reset and nothing else. A record of both sides whose source is
 * the server (RFC 5103) tells of ours, too. */
static gboolean answer_refuses(const PstFlow *flow)
{
    if (has(flow, PST_HAS_REVERSE) && flow->reverse_packets > 0)
        return opening_failed(flow->reverse_tcp_flags, flow->packets, flow->tcp_flags);
    return (flow->tcp_flags & RST) && !(flow->tcp_flags & (SYN | PSH | FIN));
}

static EngineFate client_sent(const PstFlow *flow, Session *out)
{
    *out = (Session){.client = flow->src_addr,
                     .server = flow->dst_addr,
                     .client_port = flow->src_port,
                     .port = flow->dst_port};
    if (has(flow, PST_HAS_TCP_FLAGS) && flow->sampling_rate <= 1)
        out->failed =
            opening_failed(flow->tcp_flags, has(flow, PST_HAS_REVERSE) ? flow->reverse_packets : 0,
                           flow->reverse_tcp_flags);
    return ENGINE_NEW;
}

static EngineFate server_sent(const PstFlow *flow, Session *out)
{
    /* A SYN without ACK is an opening, not an answer: somebody scans us from a mail port. */
    if (has(flow, PST_HAS_TCP_FLAGS) && (flow->tcp_flags & (SYN | ACK)) == SYN)
        return ENGINE_NOT_MAIL;
    *out = (Session){.client = flow->dst_addr,
                     .server = flow->src_addr,
                     .client_port = flow->dst_port,
                     .port = flow->src_port,
                     .reply = TRUE};
    if (has(flow, PST_HAS_TCP_FLAGS) && flow->sampling_rate <= 1)
        out->failed = answer_refuses(flow);
    return ENGINE_NEW;
}

EngineFate session_of(const PstFlow *flow, Session *out)
{
    EngineFate fate = ENGINE_NOT_CLIENT;
    switch ((PstDirection)flow->direction) {
    case PST_DIR_OUT:
    case PST_DIR_INSIDE:
        fate = client_sent(flow, out);
        break;
    case PST_DIR_OUT_REPLY:
    case PST_DIR_INSIDE_REPLY:
        fate = server_sent(flow, out);
        break;
    case PST_DIR_UNKNOWN:
    case PST_DIR_IN:
    case PST_DIR_IN_REPLY:
    case PST_DIR_TRANSIT:
    default: /* a number of a newer writer */
        break;
    }
    if (fate != ENGINE_NEW)
        return fate;
    if (!is_tcp(flow) || !pst_is_mail_port(out->port) || !pst_addr_present(&out->client) ||
        !pst_addr_present(&out->server))
        return ENGINE_NOT_MAIL;
    out->pair = pst_port_pair(out->port);
    return ENGINE_NEW;
}

gboolean session_inbound(const PstFlow *flow, Session *out)
{
    gboolean reply = flow->direction == PST_DIR_IN_REPLY;
    if (flow->direction != PST_DIR_IN && !reply)
        return FALSE;
    gboolean pushed =
        has(flow, PST_HAS_TCP_FLAGS) && (flow->tcp_flags & (PSH | ACK)) == (PSH | ACK);
    if (!pushed && flow->reverse_packets == 0)
        return FALSE;
    *out = (Session){.client = reply ? flow->src_addr : flow->dst_addr,
                     .server = reply ? flow->dst_addr : flow->src_addr,
                     .client_port = reply ? flow->dst_port : flow->src_port,
                     .port = reply ? flow->src_port : flow->dst_port,
                     .reply = reply};
    if (!is_tcp(flow) || !pst_is_mail_port(out->port) || !pst_addr_present(&out->client) ||
        !pst_addr_present(&out->server))
        return FALSE;
    out->pair = pst_port_pair(out->port);
    return TRUE;
}
