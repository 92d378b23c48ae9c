/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger over a restart of the collector. */
#include "ledger_parts.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

/* Peaks are remembered, and slowly forgotten. */
static void note_rate(Sequence *sequence, gint64 now_ns)
{
    gint64 passed_ns = now_ns - sequence->marked_ns;
    gint32 numbers = (gint32)(sequence->expected - sequence->marked);
    if (sequence->marked_ns != 0 && passed_ns >= NS_PER_S / 2 && numbers >= 0) {
        double rate = numbers * 1e9 / (double)passed_ns;
        sequence->per_s =
            MAX((guint32)MIN(rate, G_MAXINT32), sequence->per_s - sequence->per_s / 256);
    }
    sequence->marked = sequence->expected;
    sequence->marked_ns = now_ns;
}

/* What has passed in the numbering and is not yet charged to anybody. */
static void add_undecided(const Ledger *ledger, LedgerMark *mark)
{
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        const Sequence *sequence = &ledger->sequences[i];
        for (guint gap = 0; gap < sequence->n_gaps; gap++) {
            mark->expected += ledger_gap_records(sequence, &sequence->gaps[gap]);
            mark->expected_datagrams += ledger_gap_datagrams(sequence, &sequence->gaps[gap]);
        }
    }
    for (guint i = 0; ledger->unread != NULL && i < ledger->unread->len; i++) {
        const Unread *unread = &g_array_index(ledger->unread, Unread, i);
        if (unread->state == UNREAD_TOLD && unread->records > unread->decoded)
            mark->expected += unread->records - unread->decoded;
    }
}

void ledger_mark(Ledger *ledger, gint64 now_ns, LedgerMark *out)
{
    *out = (LedgerMark){.id = ledger->id,
                        .expected = ledger_expected(ledger),
                        .expected_datagrams = ledger_expected_datagrams(ledger)};
    add_undecided(ledger, out);
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        Sequence *sequence = &ledger->sequences[i];
        if (!sequence->valid)
            continue;
        note_rate(sequence, now_ns);
        out->sequences[out->n++] = (SequenceMark){.version = sequence->version,
                                                  .port = sequence->port,
                                                  .datagrams = sequence->datagrams,
                                                  .expected = sequence->expected,
                                                  .uptime_ms = sequence->uptime_ms,
                                                  .per_s = sequence->per_s,
                                                  .mean = sequence->mean,
                                                  .used_ns = sequence->used_ns};
    }
}

void ledger_resume(Ledger *ledger, guint64 id, guint64 expected, guint64 expected_datagrams)
{
    if (id == 0 || id > G_MAXINT64)
        return;
    ledger->id = id;
    ledger->earlier = MIN(expected, G_MAXINT64);
    ledger->earlier_datagrams = MIN(expected_datagrams, G_MAXINT64);
}

void ledger_resume_sequence(Ledger *ledger, const SequenceMark *mark)
{
    Sequence *sequence = ledger_sequence_find(ledger, mark->port);
    if (sequence == NULL)
        sequence = ledger_sequence_new(ledger, mark->port, mark->used_ns);
    *sequence = (Sequence){.valid = TRUE,
                           .resumed = TRUE,
                           .version = mark->version,
                           .port = mark->port,
                           .datagrams = mark->datagrams,
                           .expected = mark->expected,
                           .uptime_ms = mark->uptime_ms,
                           .per_s = mark->per_s,
                           .mean = mark->mean,
                           .used_ns = mark->used_ns};
}

gboolean ledger_resumed_anew(const Ledger *ledger, const Message *message, guint16 port)
{
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        const Sequence *sequence = &ledger->sequences[i];
        if (sequence->valid && sequence->resumed && sequence->port == port)
            return sequence->version == message->version && ledger_uptime_fell(sequence, message);
    }
    return FALSE;
}
