/* SPDX-License-Identifier: Apache-2.0 */
#include "direction.h"

enum { PROTO_TCP = 6, TCP_SYN = 0x02, TCP_ACK = 0x10 };
enum { INITIATOR = 1, REVERSE_INITIATOR = 2 }; /* RFC 5103 §6.3; 3, perimeter, says who is inside */

typedef enum { CLIENT_UNKNOWN, CLIENT_SRC, CLIENT_DST } Client;

static Client client_of(const PstFlow *flow)
{
    gboolean src = (flow->has & PST_HAS_SRC_PORT) && pst_is_mail_port(flow->src_port);
    gboolean dst = (flow->has & PST_HAS_DST_PORT) && pst_is_mail_port(flow->dst_port);
    if (flow->proto != PROTO_TCP || (!src && !dst))
        return CLIENT_UNKNOWN;
    if (src != dst)
        return dst ? CLIENT_SRC : CLIENT_DST;
    gboolean opens = (flow->has & PST_HAS_TCP_FLAGS) && (flow->tcp_flags & TCP_SYN) &&
                     !(flow->tcp_flags & TCP_ACK);
    if (opens || flow->rare.biflow_direction == INITIATOR)
        return CLIENT_SRC;
    return flow->rare.biflow_direction == REVERSE_INITIATOR ? CLIENT_DST : CLIENT_UNKNOWN;
}

PstDirection direction_of(const PstFlow *flow, const PstPrefixMap *networks)
{
    static const PstDirection table[2][2][2] = {
        /* [client is dst][src ours][dst ours] */
        {{PST_DIR_TRANSIT, PST_DIR_IN}, {PST_DIR_OUT, PST_DIR_INSIDE}},
        {{PST_DIR_TRANSIT, PST_DIR_OUT_REPLY}, {PST_DIR_IN_REPLY, PST_DIR_INSIDE_REPLY}},
    };
    Client client = client_of(flow);
    if (client == CLIENT_UNKNOWN)
        return PST_DIR_UNKNOWN;
    gboolean src = pst_prefix_map_find(networks, &flow->src_addr, NULL, NULL);
    gboolean dst = pst_prefix_map_find(networks, &flow->dst_addr, NULL, NULL);
    return table[client == CLIENT_DST][src][dst];
}
