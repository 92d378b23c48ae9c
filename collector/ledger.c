/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <math.h>

#define GAP_NS G_GINT64_CONSTANT(1000000000)

/* Datagrams that may overtake one another. */
enum { REORDER_DATAGRAMS = 64 };
/* A jump beyond this is a new counter, not a loss: datagrams, and records. */
enum { JUMP_DATAGRAMS = 1000000, JUMP_RECORDS = 8000000 };
enum { UPTIME_BACK_MS = 1000, RECORD_BYTES_USUAL = 50 };

Ledger *ledger_new(void)
{
    Ledger *ledger = g_new0(Ledger, 1);
    ledger->refs = 1;
    return ledger;
}

Ledger *ledger_ref(Ledger *ledger)
{
    ledger->refs++;
    return ledger;
}

void ledger_unref(Ledger *ledger)
{
    if (ledger != NULL && --ledger->refs == 0)
        g_free(ledger);
}

guint64 ledger_estimate(gsize bytes)
{
    return MAX(bytes / RECORD_BYTES_USUAL, 1);
}

/* The sequence of @port; a new port takes the place of the one that was idle longest. */
static Sequence *sequence_of(Ledger *ledger, guint16 port, gint64 now_ns)
{
    Sequence *oldest = &ledger->sequences[0];
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        Sequence *sequence = &ledger->sequences[i];
        if (sequence->valid && sequence->port == port) {
            sequence->used_ns = now_ns;
            return sequence;
        }
        if (oldest->valid && (!sequence->valid || sequence->used_ns < oldest->used_ns))
            oldest = sequence;
    }
    *oldest = (Sequence){.port = port, .used_ns = now_ns};
    return oldest;
}

static void drop_gap(Sequence *sequence, guint i)
{
    sequence->n_gaps--;
    memmove(&sequence->gaps[i], &sequence->gaps[i + 1],
            (sequence->n_gaps - i) * sizeof sequence->gaps[0]);
}

static void charge(Ledger *ledger, const Sequence *sequence, const Gap *gap,
                   guint64 *kernel_datagrams)
{
    double mean = MAX(sequence->mean, 1.0);
    double datagrams = sequence->datagrams ? gap->len : ceil(gap->len / mean);
    guint64 records = sequence->datagrams ? (guint64)llround(gap->len * mean) : gap->len;

    double malformed = MIN(datagrams, ledger->malformed);
    ledger->malformed -= (guint32)malformed;
    double kernel = MIN(datagrams - malformed, (double)*kernel_datagrams);
    *kernel_datagrams -= (guint64)kernel;

    guint64 lost_malformed = (guint64)llround((double)records * malformed / datagrams);
    guint64 lost_kernel = (guint64)llround((double)records * kernel / datagrams);
    lost_kernel = MIN(lost_kernel, records - lost_malformed);
    ledger->lost[PST_LOSS_MALFORMED] += lost_malformed;
    ledger->lost[PST_LOSS_KERNEL] += lost_kernel;
    ledger->lost[PST_LOSS_NETWORK] += records - lost_malformed - lost_kernel;
}

/* Where there is no room, the oldest has waited long enough. */
static void push_gap(Ledger *ledger, Sequence *sequence, const Gap *gap)
{
    if (sequence->n_gaps == LEDGER_GAPS) {
        guint64 none = 0;
        charge(ledger, sequence, &sequence->gaps[0], &none);
        drop_gap(sequence, 0);
    }
    sequence->gaps[sequence->n_gaps++] = *gap;
}

/* A late datagram [from, from + len) takes its part out of the gap that it left. */
static gboolean fill_gap(Ledger *ledger, Sequence *sequence, guint32 from, guint32 len)
{
    for (guint i = 0; i < sequence->n_gaps; i++) {
        Gap *gap = &sequence->gaps[i];
        guint32 before = from - gap->from;
        if (before >= gap->len || len > gap->len - before)
            continue;
        Gap behind = {
            .from = from + len, .len = gap->len - before - len, .found_ns = gap->found_ns};
        if (before > 0)
            gap->len = before;
        else
            drop_gap(sequence, i);
        if (behind.len > 0)
            push_gap(ledger, sequence, &behind);
        return TRUE;
    }
    return FALSE;
}

/* What the counter says about the message at @at that uses up @len numbers. */
static void follow(Ledger *ledger, Sequence *sequence, guint32 at, guint32 len, gint64 now_ns)
{
    gint32 ahead = (gint32)(at - sequence->expected);
    gint32 jump = sequence->datagrams ? JUMP_DATAGRAMS : JUMP_RECORDS;
    gint32 window = sequence->datagrams ? REORDER_DATAGRAMS
                                        : (gint32)(REORDER_DATAGRAMS * MAX(sequence->mean, 1.0));
    if (ahead > 0 && (guint32)ahead <= sequence->slack)
        ahead = 0; /* the records that could not be seen */
    if (ahead < 0 && fill_gap(ledger, sequence, at, len)) {
        ledger->reordered++;
        return;
    }
    if (ahead < 0 && ahead >= -window) {
        ledger->duplicates++;
        return;
    }
    if (ahead < 0 || ahead > jump) {
        ledger->restarts++;
        sequence->n_gaps = 0;
    } else if (ahead > 0) {
        Gap gap = {.from = sequence->expected, .len = (guint32)ahead, .found_ns = now_ns};
        push_gap(ledger, sequence, &gap);
    }
    sequence->expected = at + len;
}

static gboolean uptime_fell(const Sequence *sequence, const Message *message)
{
    return message->has_uptime &&
           (gint32)(sequence->uptime_ms - message->uptime_ms) > UPTIME_BACK_MS;
}

/* Does the exporter count in the unit that its protocol says? A message of one record, or one that
 * was overtaken, tells nothing. */
static void judge_unit(Sequence *sequence, guint32 at)
{
    guint32 step = at - sequence->last;
    if (sequence->last_records < 2)
        return;
    if (step == (sequence->datagrams ? sequence->last_records : 1))
        sequence->doubts++;
    else if (step == (sequence->datagrams ? 1 : sequence->last_records))
        sequence->doubts = 0;
    if (sequence->doubts < LEDGER_DOUBTS)
        return;
    sequence->datagrams = !sequence->datagrams;
    sequence->doubts = 0;
    sequence->n_gaps = 0; /* they were none */
    sequence->expected = at;
}

static void start_sequence(Sequence *sequence, const Message *message, guint32 records)
{
    sequence->valid = TRUE;
    sequence->version = message->version;
    sequence->datagrams = message->version == VERSION_V9;
    sequence->doubts = 0;
    sequence->n_gaps = 0;
    sequence->mean = records;
    sequence->expected = message->sequence + (sequence->datagrams ? 1 : records);
}

void ledger_message(Ledger *ledger, const Message *message, guint16 port, guint32 records,
                    gsize unseen, gint64 now_ns)
{
    Sequence *sequence = sequence_of(ledger, port, now_ns);
    ledger->datagrams++;
    ledger->received += records;
    if (!sequence->valid || sequence->version != message->version) {
        start_sequence(sequence, message, records);
    } else if (uptime_fell(sequence, message)) {
        ledger->restarts++;
        start_sequence(sequence, message, records);
    } else {
        if (message->version != VERSION_V5)
            judge_unit(sequence, message->sequence);
        follow(ledger, sequence, message->sequence, sequence->datagrams ? 1 : records, now_ns);
    }
    if (records > 0)
        sequence->mean += (records - sequence->mean) / 16;
    sequence->uptime_ms = message->uptime_ms;
    sequence->last = message->sequence;
    sequence->last_records = records;
    sequence->slack = sequence->datagrams ? 0 : (guint32)MIN(unseen, G_MAXINT32);
}

void ledger_settle(Ledger *ledger, gint64 now_ns, guint64 *kernel_datagrams)
{
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        Sequence *sequence = &ledger->sequences[i];
        while (sequence->n_gaps > 0 && now_ns >= sequence->gaps[0].found_ns + GAP_NS) {
            charge(ledger, sequence, &sequence->gaps[0], kernel_datagrams);
            drop_gap(sequence, 0);
        }
    }
}

gboolean ledger_waits(const Ledger *ledger)
{
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        if (ledger->sequences[i].n_gaps > 0)
            return TRUE;
    }
    return FALSE;
}

void ledger_beat(Ledger *ledger, PstHeartbeat *beat)
{
    beat->received = ledger->received - ledger->beat_received;
    ledger->beat_received = ledger->received;
    for (guint i = 0; i < PST_LOSS_COUNT; i++) {
        beat->lost[i] = ledger->lost[i] - ledger->beat_lost[i];
        ledger->beat_lost[i] = ledger->lost[i];
    }
}

void ledger_unbeat(Ledger *ledger, const PstHeartbeat *beat)
{
    ledger->beat_received -= beat->received;
    for (guint i = 0; i < PST_LOSS_COUNT; i++)
        ledger->beat_lost[i] -= beat->lost[i];
}

gboolean ledger_has_news(const Ledger *ledger)
{
    return ledger->received != ledger->beat_received ||
           memcmp(ledger->lost, ledger->beat_lost, sizeof ledger->lost) != 0;
}
