/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Event time of a partition: its exporters, the watermark that follows the slowest of them, and
 * clocks that are ahead of everybody's.
 *
 * A beat says how far an exporter (address and domain) has come: a heartbeat of the log; before the
 * first of these, a flow a second or more newer than its exporter's last. An exporter is silent,
 * and holds nothing any more, once the others sent many beats without it. Among the rest
 *   median    lower median of the newest event times: an event time further ahead of it than
 *             clock_ahead_s is a wrong clock, and so is one that is that far ahead of the time at
 *             which it was received;
 *   newest    the newest beat that is not more than straggler_s ahead of the median (one clock
 *             slightly ahead must not turn all others into stragglers);
 *   watermark the slowest beat within straggler_s of newest, − watermark_s; it never goes back.
 * All of it is a function of the log. Source: docs/detector.md, Time.
 */
#include "image.h"
#include "visibility.h"

#define EXPORTERS_MAX 4096

typedef struct {
    PstAddr addr;
    guint8 in_use;
    guint32 domain;
    guint32 born_s;    /* event time of its first record: tells a reused place from the old one */
    gint64 newest_ns;  /* newest event time, of flows and heartbeats */
    gint64 beat_ns;    /* … that it has beaten; 0: none yet */
    guint64 last_beat; /* number of its last beat */
    Visibility sees;
} Exporter;

typedef struct Watermark Watermark;

Watermark *watermark_new(const EngineConf *conf);
void watermark_free(Watermark *watermark);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Watermark, watermark_free)

/* Finds or makes the exporter's place, 0 … EXPORTERS_MAX − 1. The longest silent goes if all
 * places are taken. */
guint16 watermark_exporter(Watermark *watermark, const PstAddr *addr, guint32 domain,
                           gint64 event_ns);
/* Places are 0 … this − 1. */
guint32 watermark_exporters(const Watermark *watermark);
/* Borrowed until the next watermark_exporter. */
Exporter *watermark_at(Watermark *watermark, guint16 place);

/* FALSE: the event time is too far ahead. Otherwise it counts as this exporter's newest. */
gboolean watermark_admit(Watermark *watermark, guint16 place, gint64 event_ns, gint64 received_ns);
/* A heartbeat of the log; from the first on flows beat no more. TRUE: the watermark moved. */
gboolean watermark_beat(Watermark *watermark, guint16 place, gint64 event_ns, gint64 received_ns);
/* A flow that was admitted. TRUE: the watermark moved. */
gboolean watermark_flow(Watermark *watermark, guint16 place, gint64 event_ns);

gint64 watermark_ns(const Watermark *watermark);        /* 0: none yet */
gint64 watermark_newest_ns(const Watermark *watermark); /* newest admitted event time */
guint64 watermark_evicted(const Watermark *watermark);

void watermark_write(const Watermark *watermark, Image *image);
gboolean watermark_read(Watermark *watermark, PstCursor *from) G_GNUC_WARN_UNUSED_RESULT;
