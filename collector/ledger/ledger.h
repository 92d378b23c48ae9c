/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The loss ledger of one observation domain: what it should have given us, what we received, and
 * where the rest went, in records. It closes at any time:
 *
 *     expected = received − twice + what was lost on the way to us (all but QUEUE, SPOOL, BUS)
 *
 * (QUEUE, SPOOL and BUS are records that were received and did not reach the bus.) Where the
 * protocol counts records (v5, IPFIX), expected is what the exporter's own count says; v9 counts
 * datagrams: there the same holds in datagrams, and its losses in records are estimated by the mean
 * of what its datagrams carried. The sequence is followed per port of the exporter:
 *
 *     expected 100 ── 100: fine ── 130: a gap 100…129 waits ── 100: late, fills it (reordered)
 *                                                 └─ a second later: 30 records lost
 *                  └─ far behind, or uptime fell: a restart, nothing lost
 *
 * Some exporters count datagrams in IPFIX, or records in v9: LEDGER_DOUBTS messages in a row that
 * count so turn the unit over; meanwhile nothing is judged. Some do not count options data
 * (pfSense's softflowd): the first message behind some tells. Some send templates and options from
 * a port of their own, in the numbering of the other: a port that begins with the very number that
 * is expected of another goes on with that one's. A gap is charged to the first cause that is
 * known: datagrams of this domain that were malformed, then our socket's queue (kernel), then the
 * network. How many records stand in data that cannot be decoded, the next message's number tells:
 * they are charged when it has come and when no hold keeps any of them any more. Counted by
 * references, because batches on their way to the bus still charge it. Thread: the worker's.
 */
#include "datagram.h"

enum { LEDGER_PORTS = 4, LEDGER_GAPS = 16, LEDGER_DOUBTS = 4, LEDGER_UNREAD = 256 };

typedef struct {
    guint32 from;
    guint32 len;
    gint64 found_ns;
    gboolean down; /* sent while no collector ran: no other cause is asked for */
} Gap;

/* What is kept of a sequence over a restart of the collector … */
typedef struct {
    guint16 version;
    guint16 port;
    gboolean datagrams;
    guint32 expected;
    guint32 uptime_ms;
    guint32 per_s; /* how fast it grows at most, in its own numbers */
    double mean;
    gint64 used_ns;
} SequenceMark;

/* … and of a ledger. */
typedef struct {
    guint64 id;
    guint64 expected; /* with what is not yet charged to anybody */
    guint64 expected_datagrams;
    guint n;
    SequenceMark sequences[LEDGER_PORTS];
} LedgerMark;

typedef struct {
    gboolean valid;
    gboolean datagrams; /* the sequence counts datagrams, not records */
    guint8 doubts;      /* messages in a row that counted the other way */
    guint16 version;
    guint16 port;
    guint16 other_port;       /* that shares the numbering; 0: none */
    gboolean alone;           /* one seemed to share it, and did not */
    gboolean without_options; /* records of options data have no numbers */
    guint32 options;          /* … so many were in the newest message */
    guint32 last;             /* sequence number of the last message … */
    guint32 last_records;     /* … and its records */
    guint32 expected;         /* next sequence number */
    guint32 uptime_ms;
    guint32 slack;         /* sequence numbers that the newest message may have used up unseen */
    guint32 newest;        /* sequence number of that message */
    guint64 doubted;       /* records that look like duplicates, while in doubt */
    guint32 doubted_times; /* … in so many datagrams */
    double mean;           /* records a datagram */
    gint64 used_ns;
    gboolean resumed; /* known from before our own restart; nothing came since */
    guint32 per_s;
    guint32 marked; /* what was expected at the last mark … */
    gint64 marked_ns;
    guint n_gaps;
    Gap gaps[LEDGER_GAPS];
} Sequence;

typedef struct Unread Unread;

typedef struct {
    guint refs;
    guint64 id;      /* stays as long as `earlier` is known; never 0 */
    guint64 earlier; /* expected, of earlier processes … */
    guint64 earlier_datagrams;
    guint64 datagrams;      /* messages decoded */
    guint64 lost_datagrams; /* on their way to us; estimated where records are counted */
    guint64 received;       /* records decoded, published or not */
    guint64 lost[PST_LOSS_COUNT];
    guint64 reordered;  /* datagrams that came late */
    guint64 duplicates; /* datagrams that came twice … */
    guint64 twice;      /* … and their records */
    guint64 restarts;
    guint64 batched;                /* records that stand, or stood, in batches of the bus */
    guint64 arrived;                /* … those of them that the ledger itself tells of */
    guint64 told[PST_GROWTH_COUNT]; /* as of the last heartbeat: all growth */
    guint32 malformed;              /* datagrams whose records will show as a gap */
    guint16 version;                /* of the last message */
    guint64 sampling_rate;          /* N of the last flow that told; 0: none did */
    PstAddr addr;                   /* whose ledger it is … */
    guint32 domain;                 /* … for what is written down beside batches */
    GArray *unread;                 /* Unread, oldest first; NULL: none yet */
    Sequence sequences[LEDGER_PORTS];
} Ledger;

/* Given. */
Ledger *ledger_new(const PstAddr *addr, guint32 domain);
Ledger *ledger_ref(Ledger *ledger);
/* Accepts NULL. */
void ledger_unref(Ledger *ledger);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ledger, ledger_unref)

/* A message was decoded. @records found in it; @unread: bytes of data that could not be decoded,
 * and are lost for @why unless a hold keeps them. */
void ledger_message(Ledger *ledger, const Message *message, guint16 port, guint32 records,
                    gsize unread, PstLoss why, gint64 now_ns);

/* The session from @port has ended: no further number will tell what it still owes. */
void ledger_end(Ledger *ledger, guint16 port);

/* A set of @message is held for its template (before its ledger_message) … */
void ledger_held(Ledger *ledger, const Message *message, guint16 port);
/* … and was decoded: @records … */
void ledger_late(Ledger *ledger, const Message *message, guint16 port, guint32 records);
/* … or thrown away. */
void ledger_held_lost(Ledger *ledger, const Message *message, guint16 port, gsize bytes);
/* A set of @message found no room in the hold (before its ledger_message). */
void ledger_not_held(Ledger *ledger, const Message *message, guint16 port, gsize bytes);

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

/* What is to be kept over a restart, as of now. */
void ledger_mark(Ledger *ledger, gint64 now_ns, LedgerMark *out);
/* A fresh @ledger goes on as another process's: its identity, and what had been sent by then. An id
 * that cannot be: nothing happens. */
void ledger_resume(Ledger *ledger, guint64 id, guint64 expected, guint64 expected_datagrams);
/* Goes on from @mark: a gap before the next message of its port is charged to DOWN. A gap too large
 * for the time that passed is a restart of the exporter. */
void ledger_resume_sequence(Ledger *ledger, const SequenceMark *mark);
/* TRUE: @message, the first since ledger_resume_sequence, comes from an exporter that started anew.
 */
gboolean ledger_resumed_anew(const Ledger *ledger, const Message *message, guint16 port);

/* TRUE: a gap waits to be filled or charged. */
gboolean ledger_waits(const Ledger *ledger);

/* What the exporter has sent in all, as far as it is accounted for: records, and datagrams. */
guint64 ledger_expected(const Ledger *ledger);
guint64 ledger_expected_datagrams(const Ledger *ledger);

/* Growth since the last call into @beat. */
void ledger_beat(Ledger *ledger, PstHeartbeat *beat);
/* @beat was lost on its way: its growth belongs into the next one. */
void ledger_unbeat(Ledger *ledger, const PstHeartbeat *beat);
/* Has it grown since the last ledger_beat? */
gboolean ledger_has_news(const Ledger *ledger);
