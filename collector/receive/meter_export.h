/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Writes metered flows as IPFIX messages of one transport session, so that they go the way of
 * every other exporter's. One template for IPv4, one for IPv6; a message is given when it is full
 * or a second old. Thread: its owner's. Source: RFC 7011 §3. */
#include "postern/addr.h"

/* flowEndReason, RFC 5102 §5.11.3. */
typedef enum {
    METERED_IDLE = 1,
    METERED_ACTIVE = 2,
    METERED_ENDED = 3,
    METERED_FORCED = 4,
    METERED_NO_ROOM = 5
} MeteredEnd;

/* One direction of a conversation. Of ICMP the type and code stand in dst_port, as routers do. */
typedef struct {
    PstAddr src, dst; /* of which one is IPv6: both are told as IPv6 */
    guint16 src_port, dst_port;
    guint8 proto;
    guint8 end_reason; /* MeteredEnd */
    guint16 tcp_flags; /* of all packets */
    guint64 packets;
    guint64 bytes; /* IP headers and all */
    gint64 start_ns, end_ns;
} MeteredFlow;

/* @message is borrowed for the call; @now_ns as given with its last flow. */
typedef void (*MeterMessage)(gpointer user, const guint8 *message, gsize len, gint64 now_ns);

typedef struct MeterExport MeterExport;

/* @rate N, if the packets are 1 of N. Given. */
MeterExport *meter_export_new(guint32 rate, MeterMessage message, gpointer user);
/* Accepts NULL. What was not given is thrown away. */
void meter_export_free(MeterExport *export);

/* @now_ns capture time, UTC; not before the flow's end. */
void meter_export_flow(MeterExport *export, const MeteredFlow *flow, gint64 now_ns);
/* Gives what is there. */
void meter_export_flush(MeterExport *export);
