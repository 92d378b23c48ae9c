/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Does a capture hold flow exports, or packets of the traffic itself? And the meter of the latter.
 * A capture is read as one of both, never as both; what is left out is counted.
 *
 * AUTO: the first flow export decides for exports. PACKETS_LOOK packets without one, or the end,
 * decide for packets if TCP is among them, else for exports; the records wait meanwhile.
 * Thread: its owner's. */
#include "capture.h"
#include "meter.h"

enum { PACKETS_LOOK = 100000 };

typedef enum { PACKETS_NO, PACKETS_YES, PACKETS_AUTO } PacketsMode;

typedef struct Packets Packets;

/* Watches @capture, which outlives it. @message gets the flows of packets (rate 1:@rate). Given. */
Packets *packets_new(PacketsMode mode, guint32 rate, Capture *capture, MeterMessage message,
                     gpointer user);
/* Accepts NULL. */
void packets_free(Packets *packets);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Packets, packets_free)

/* The capture gave an item. TRUE: the packet is metered, or may yet be; it is no business of the
 * decoder. FALSE: it is one of a capture of exports. */
gboolean packets_takes(Packets *packets, gboolean is_export);
/* The capture is at its end. */
void packets_end(Packets *packets);

/* It was metered. */
gboolean packets_is_metered(const Packets *packets);
typedef struct {
    guint64 others;  /* items of a capture of exports that were taken before that was known */
    guint64 tcp;     /* … of TCP, as far as it was looked */
    guint64 exports; /* of a metered capture: not read */
} PacketsCounts;
PacketsCounts packets_counts(const Packets *packets);
/* NULL: it was not metered. Borrowed. */
const MeterCounts *packets_metered(const Packets *packets);
