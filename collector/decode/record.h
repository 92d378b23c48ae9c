/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A data record between the wire and PstFlow: the flow as far as it can be copied, and beside it
 * what must be thought about first (normalize.h): times in their many forms, sampling.
 * A value. */
#include "postern/flow.h"

/* Values that normalize turns into times and rates. */
typedef enum {
    RAW_START_S,
    RAW_END_S,
    RAW_START_MS,
    RAW_END_MS,
    RAW_START_US, /* NTP 64 bits, RFC 7011 §6.1.9 */
    RAW_END_US,
    RAW_START_NS, /* NTP 64 bits, §6.1.10 */
    RAW_END_NS,
    RAW_START_DELTA_US, /* before the export time */
    RAW_END_DELTA_US,
    RAW_START_UPTIME_MS,
    RAW_END_UPTIME_MS,
    RAW_INIT_MS, /* systemInitTimeMilliseconds: when uptime was 0 */
    RAW_DURATION_MS,
    RAW_DURATION_US,
    RAW_SEEN_S, /* observationTime: when the event was */
    RAW_SEEN_MS,
    RAW_SEEN_US,
    RAW_SEEN_NS,
    RAW_INTERVAL,        /* 1 of N: samplingInterval, samplerRandomInterval */
    RAW_PACKET_INTERVAL, /* samplingPacketInterval: so many in a row … */
    RAW_PACKET_SPACE,    /* … then so many not */
    RAW_SIZE,            /* samplingSize: n … */
    RAW_POPULATION,      /* … of N */
    RAW_PROBABILITY,     /* IEEE 754 of 4 or 8 bytes, as bits */
    RAW_SELECTOR,        /* samplerId, selectorId */
    RAW_COUNT            /* ≤ 32 */
} Raw;

typedef struct {
    PstFlow flow;
    guint16 icmp; /* type << 8 | code, where a record has both in one */
    guint8 ip_version;
    guint32 seen;   /* bit 1 << Raw: raw[] holds a value of the record */
    guint32 narrow; /* the same: an 8-byte time that came in 4 bytes (Sophos) */
    guint64 raw[RAW_COUNT];
} Record;

static inline gboolean record_saw(const Record *record, Raw raw)
{
    return (record->seen >> raw & 1) != 0;
}
