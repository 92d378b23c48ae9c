/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The loss ledger of one observation domain: what it should have given us, what we received, and
 * where the rest went, in records.
 *
 * The sequence number says how much was sent: records in v5 and IPFIX, datagrams in v9 (turned into
 * records by the mean of what its datagrams carried). It is followed per port of the exporter:
 *
 *     expected 100 ── 100: fine ── 130: a gap 100…129 waits ── 100: late, fills it (reordered)
 *                                                 └─ a second later: 30 records lost
 *                  └─ far behind, or uptime fell: a restart, nothing lost
 *
 * Some exporters count datagrams in IPFIX, or records in v9: LEDGER_DOUBTS messages in a row that
 * count so turn the unit over.
 * A gap is charged to the first cause that is known: datagrams of this domain that were malformed,
 * then our socket's queue (kernel), then the network.
 * Counted by references, because batches on their way to the bus still charge it.
 * Thread: the worker's.
 */
#include "datagram.h"

enum { LEDGER_PORTS = 4, LEDGER_GAPS = 8, LEDGER_DOUBTS = 4 };

typedef struct {
    guint32 from;
    guint32 len;
    gint64 found_ns;
} Gap;

typedef struct {
    gboolean valid;
    gboolean datagrams; /* the sequence counts datagrams, not records */
    guint8 doubts;      /* messages in a row that counted the other way */
    guint16 version;
    guint16 port;
    guint32 last;         /* sequence number of the last message … */
    guint32 last_records; /* … and its records */
    guint32 expected;     /* next sequence number */
    guint32 uptime_ms;
    guint32 slack; /* sequence numbers that the last message may have used up unseen */
    double mean;   /* records a datagram */
    gint64 used_ns;
    guint n_gaps;
    Gap gaps[LEDGER_GAPS];
} Sequence;

typedef struct {
    guint refs;
    guint64 datagrams;
    guint64 received; /* records decoded, published or not */
    guint64 lost[PST_LOSS_COUNT];
    guint64 reordered;  /* datagrams that came late */
    guint64 duplicates; /* datagrams that came twice */
    guint64 restarts;
    guint64 beat_received; /* as of the last heartbeat */
    guint64 beat_lost[PST_LOSS_COUNT];
    guint32 malformed; /* datagrams whose records will show as a gap */
    Sequence sequences[LEDGER_PORTS];
} Ledger;

Ledger *ledger_new(void);
Ledger *ledger_ref(Ledger *ledger);
/* Accepts NULL. */
void ledger_unref(Ledger *ledger);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ledger, ledger_unref)

/* A message was decoded. @records found in it; @unseen: bytes of data that could not be decoded,
 * so that records in them are not known. */
void ledger_message(Ledger *ledger, const Message *message, guint16 port, guint32 records,
                    gsize unseen, gint64 now_ns);

/* Records that are known to be lost. */
static inline void ledger_lose(Ledger *ledger, PstLoss loss, guint64 records)
{
    ledger->lost[loss] += records;
}

/* A datagram of this domain was malformed as a whole. */
static inline void ledger_malformed(Ledger *ledger)
{
    ledger->malformed++;
}

/* About how many records stand in @bytes of data that nobody can decode. */
guint64 ledger_estimate(gsize bytes);

/* Charges gaps that nobody filled within a second. @kernel_datagrams: what the socket dropped and
 * nobody was charged for yet; used up. */
void ledger_settle(Ledger *ledger, gint64 now_ns, guint64 *kernel_datagrams);

/* TRUE: a gap waits to be filled or charged. */
gboolean ledger_waits(const Ledger *ledger);

/* Growth since the last call into @beat. */
void ledger_beat(Ledger *ledger, PstHeartbeat *beat);
/* @beat was lost on its way: its growth belongs into the next one. */
void ledger_unbeat(Ledger *ledger, const PstHeartbeat *beat);
/* Has it grown since the last ledger_beat? */
gboolean ledger_has_news(const Ledger *ledger);
