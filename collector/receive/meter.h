/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The metering process of a capture: packets in, flow records of one direction each out, as IPFIX
 * messages (meter_export.h). A flow is what has the same addresses, ports and protocol. Its record
 * is made
 *
 *   idle      when no packet came for METER_IDLE_S,
 *   active    when it lasts METER_ACTIVE_S: what follows is another record of it,
 *   ended     a second after FIN or RST (so that the last acknowledgement is in it), or when a
 *             SYN begins anew,
 *   forced    at the end, or where the capture's time steps back by more than METER_IDLE_S,
 *   no room   when flows_max others are open and it was silent longest.
 *
 * The only clock is that of the capture. What a packet may do is bounded: one table entry, and the
 * records of those that it ends; later fragments go to the flow of their first one, of which 4096
 * are remembered. Thread: its owner's.
 * Source: RFC 7011 §2 (Flow, Metering Process), RFC 5470 §5.1, RFC 5102 §5.11.3. */
#include "ip_packet.h"
#include "meter_export.h"

enum { METER_IDLE_S = 15, METER_ACTIVE_S = 60, METER_FLOWS_MAX = 1 << 20 };

typedef struct Meter Meter;

typedef struct {
    guint32 rate;    /* the capture holds 1 of so many packets; ≥ 1 */
    guint flows_max; /* open at a time; ≥ 1 */
    MeterMessage message;
    gpointer user;
} MeterOptions;

typedef struct {
    guint64 packets; /* that became part of flows */
    guint64 tcp;     /* … of these */
    guint64 bytes;
    guint64 flows;               /* records made */
    guint64 not_ip, cut, broken; /* packets that did not: IpResult, or the transport header */
    guint64 evicted;             /* records made for want of room */
    guint64 steps_back;          /* of the capture's time */
    guint64 early; /* packets of before 1990: times of their records are not believed */
} MeterCounts;

/* Given. */
Meter *meter_new(const MeterOptions *options);
/* Accepts NULL. */
void meter_free(Meter *meter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Meter, meter_free)

void meter_frame(Meter *meter, const CapturedFrame *frame);
/* No more will come: all records, and the last message. */
void meter_end(Meter *meter);

const MeterCounts *meter_counts(const Meter *meter);
