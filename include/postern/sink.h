/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The sink of the scorer: where a tick's results go, all or nothing. store/writer implements it on
 * PostgreSQL; the scorer's backtest implements it on a stream of text. The scorer knows only this.
 *
 * Per partition:  take → (load inputs) → tick … → released.
 * A tick is built by add calls and ended by commit: one transaction in which everything below and
 * the new positions become true together. A tick whose partition was taken over meanwhile fails
 * with FENCED and changes nothing. Thread: the consumer's. Nothing here is called while a lock is
 * held.
 */
#include "postern/bus.h"
#include "postern/envelope.h"
#include "postern/evidence.h"
#include "postern/verdict.h"

/* Where the consumer of one partition stands: PostgreSQL's rows bus_offset and bus_producer. */
typedef struct {
    guint32 partition;
    guint64 epoch;        /* the fence: ours until somebody takes over */
    gint64 smtp_position; /* next offset to read of postern.smtp; PST_BUS_OLDEST at first */
    gint64 evidence_position;
    gint64 input_id;       /* last scorer_input row that was applied */
    gboolean another_log;  /* of a tick: the bus was replaced before it; what was written before
                              speaks of no position in this log */
    GHashTable *producers; /* pst_hold_producer_key() → PstProducerMark*; owned */
} PstHold;

/* Between topic and producer in a key of producers. */
#define PST_HOLD_KEY_SEPARATOR '\x1f'
/* Given. */
char *pst_hold_producer_key(const char *topic, const char *producer);

typedef struct {
    guint64 epoch;
    guint64 sequence;
} PstProducerMark;

/* @partition's hold before anything was taken: both positions OLDEST. Given. */
PstHold *pst_hold_new(guint32 partition);
/* A copy to build the next tick's hold in. Given. */
PstHold *pst_hold_copy(const PstHold *hold);
void pst_hold_free(PstHold *hold);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstHold, pst_hold_free)

/* A decision of people or of the state machine that changes scoring (table scorer_input). */
#define PST_INPUT_NOT_APPLIED G_MININT64

typedef enum {
    PST_INPUT_RELEASED,       /* the unit was released: its episode ends, its cells restart */
    PST_INPUT_EXEMPTED,       /* exemption with a ceiling begins or ends */
    PST_INPUT_FALSE_POSITIVE, /* an officer's false positive: quarantined data is learned */
    PST_INPUT_UNIT_LEN,       /* the IPv6 unit length of a prefix changed */
    PST_INPUT_REASSIGNED,     /* the address went to another tenant: history is not his */
    PST_INPUT_CONFIRMED,      /* complaint, listing or confirmed block: withheld data is dropped */
    PST_INPUT_ASSIGNED        /* a net of several units belongs to a customer, or no longer does */
} PstInputKind;

typedef struct {
    gint64 id;
    PstInputKind kind;
    PstUnit unit;    /* or the prefix, for UNIT_LEN */
    double ceiling;  /* EXEMPTED: sessions an hour, 0 = ended */
    guint8 unit_len; /* UNIT_LEN */
    guint64 owner;   /* ASSIGNED: hash of the customer, 0 = nobody */
    /* Inputs are applied at the start of a tick: before the first message at this position of
     * postern.smtp (PST_BUS_OLDEST: before all). PST_INPUT_NOT_APPLIED: not yet. */
    gint64 applied_at_position;
} PstInput;

/* Growth of one unit's 5-minute bucket since the last tick (table smtp_activity). */
typedef struct {
    PstUnit unit;
    gint64 bucket_s; /* UTC s, multiple of 300 */
    guint64 sessions;
    guint64 destinations;
    guint64 bytes;
    guint64 packets;
    guint64 failed;
    guint32 ports; /* bits: 1 = 25, 2 = 465, 4 = 587, 8 = 2525, 16 = other */
} PstActivity;

typedef struct PstSink PstSink;
struct PstSink {
    /* Takes the partition over: epoch + 1. @partitions is the bus's count; a count that differs
     * from the one in the database is an error of class CONFIG. Given. */
    PstHold *(*take)(PstSink *sink, guint32 partition, guint32 partitions, const char *owner,
                     GError **error);
    /* Rows of scorer_input with id > @after that concern @partition (or all of them), in id order,
     * at most @max. Given: array of PstInput. */
    GArray *(*inputs)(PstSink *sink, guint32 partition, gint64 after, guint max, GError **error);
    /* What was learned of units of @partition of @partitions and of its neighbourhoods, in the
     * order of unit and owner: those after @after (NULL: from the first), at most @max. Given:
     * array of PstEnvelope. */
    GArray *(*envelopes)(PstSink *sink, guint32 partition, guint32 partitions,
                         const PstEnvelope *after, guint max, GError **error);
    /* The days that wait, in the order of unit, owner and day. Given: array of PstWaitingDay. */
    GArray *(*waiting)(PstSink *sink, guint32 partition, guint32 partitions,
                       const PstWaitingDay *after, guint max, GError **error);
    gboolean (*begin)(PstSink *sink, const PstHold *hold, GError **error);
    gboolean (*add_activity)(PstSink *sink, const PstActivity *rows, gsize n, GError **error);
    gboolean (*add_verdict)(PstSink *sink, const PstVerdict *verdict, GError **error);
    gboolean (*add_evidence)(PstSink *sink, guint32 partition, const PstEvidence *evidence,
                             gint64 position, GError **error);
    gboolean (*add_envelopes)(PstSink *sink, guint32 partition, const PstEnvelope *rows, gsize n,
                              GError **error);
    gboolean (*add_waiting)(PstSink *sink, guint32 partition, const PstWaitingDay *rows, gsize n,
                            GError **error);
    gboolean (*add_loss)(PstSink *sink, const PstHeartbeat *beats, gsize n, GError **error);
    /* Commits with the positions and producer marks of @next; @hold is the one begun with. Where
     * @next is of another log, what was learned and decided before is before its first message.
     * On success the caller's hold becomes @next. On failure nothing happened:
     * FENCED: give the partition up; AWAY: the same tick may be tried again from begin. */
    gboolean (*commit)(PstSink *sink, const PstHold *hold, const PstHold *next, GError **error);
    void (*rollback)(PstSink *sink);
    void (*free)(PstSink *sink);
};
