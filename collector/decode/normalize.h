/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* From what a record carried to what it means: times in UTC nanoseconds, the sampling rate with its
 * source, ICMP, ether type, and on which side of the gate the flow runs.
 *
 * A time that cannot be true (before 1990, or more than a day ahead of our receive time) is left
 * out and counted: the receive time then stands in for it (pst_flow_event_ns). An end before the
 * start becomes the start.
 * Thread: the worker's.
 */
#include "datagram.h"
#include "portset.h"
#include "prefix_map.h"
#include "record.h"
#include "sampling.h"

/* What a record does not say because its message or its exporter does. */
typedef struct {
    PstAddr sampler;
    guint32 domain;
    guint32 sequence;
    gint64 export_ns; /* UTC ns of the exporter's clock: normalize_export_ns */
    gint64 received_ns;
    gboolean has_uptime;
    guint32 uptime_ms;         /* at export */
    guint64 init_ms;           /* UTC ms when uptime was 0, from options data; 0: unknown */
    guint32 header_rate;       /* v5; 0: none */
    guint64 operator_rate;     /* 0: none */
    const Sampling *sampling;  /* of the domain; may be NULL */
    const Sampling *elsewhere; /* of another domain of the exporter; may be NULL */
} FlowContext;

/* Nonsense that was set right. Owned by one thread. */
typedef struct {
    guint64 times_left_out;
    guint64 times_backwards;
} NormalizeCounts;

/* When a message was exported, for the times that are told relative to it. An exporter that does
 * not know the time (before 1990: no clock, or its uptime in the wrong place) sent it just now. */
gint64 normalize_export_ns(gint64 export_ns, gint64 received_ns);

/* Finishes @record->flow, all but its direction. */
void normalize_record(Record *record, const FlowContext *context, NormalizeCounts *counts);

/* TRUE: TCP with one of @ports on either side. */
gboolean flow_is_mail(const PstFlow *flow, const PortSet *ports);

/* Sets @flow's direction from @networks (NULL: unknown). For mail the side on the mail port is the
 * server; with both sides on mail ports a SYN without ACK comes from the client, else the side is
 * unknown. For other flows OUT, IN and INSIDE say which way the packets went.
 * @out_ours: a side is ours. Returns the customer's address, which decides the partition (borrowed
 * from @flow): our side, of two the client; where no side is ours, the source. */
const PstAddr *normalize_direction(PstFlow *flow, const PstPrefixMap *networks,
                                   const PortSet *ports, gboolean *out_ours);
