/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger_parts.h"

#include <math.h>

#define GAP_NS   G_GINT64_CONSTANT(1000000000)
#define NS_PER_S GAP_NS
#define DOUBT_NS (60 * GAP_NS) /* while the exporter's unit is in doubt */

/* Datagrams that may overtake one another. */
enum { REORDER_DATAGRAMS = 64 };
/* A jump beyond this is a new counter, not a loss: datagrams, and records. */
enum { JUMP_DATAGRAMS = 1000000, JUMP_RECORDS = 8000000 };
enum { UPTIME_BACK_MS = 1000, RECORD_BYTES_USUAL = 50 };
/* Below this two numberings that began together may meet by chance. */
enum { JOIN_MIN = 16 };
/* After our own restart: how much faster than ever seen a number may have grown, and for how long
 * a time at most that is reckoned. */
enum { RATE_SLACK = 4, AWAY_S_MAX = 14 * 86400 };

static guint64 random_id(void)
{
    return ((guint64)g_random_int() << 31 ^ g_random_int()) | 1; /* fits a bigint */
}

Ledger *ledger_new(const PstAddr *addr, guint32 domain)
{
    Ledger *ledger = g_new0(Ledger, 1);
    ledger->refs = 1;
    ledger->id = random_id();
    ledger->addr = *addr;
    ledger->domain = domain;
    return ledger;
}

Ledger *ledger_ref(Ledger *ledger)
{
    ledger->refs++;
    return ledger;
}

void ledger_unref(Ledger *ledger)
{
    if (ledger == NULL || --ledger->refs > 0)
        return;
    g_clear_pointer(&ledger->unread, g_array_unref);
    g_free(ledger);
}

guint64 ledger_estimate(gsize bytes)
{
    return MAX(bytes / RECORD_BYTES_USUAL, 1);
}

/* ---- losses ---- */

static void drop_gap(Sequence *sequence, guint i)
{
    sequence->n_gaps--;
    memmove(&sequence->gaps[i], &sequence->gaps[i + 1],
            (sequence->n_gaps - i) * sizeof sequence->gaps[0]);
}

guint64 ledger_gap_datagrams(const Sequence *sequence, const Gap *gap)
{
    return sequence->datagrams ? gap->len : (guint64)ceil(gap->len / MAX(sequence->mean, 1.0));
}

guint64 ledger_gap_records(const Sequence *sequence, const Gap *gap)
{
    return sequence->datagrams ? (guint64)llround(gap->len * MAX(sequence->mean, 1.0)) : gap->len;
}

static void charge(Ledger *ledger, const Sequence *sequence, const Gap *gap,
                   guint64 *kernel_datagrams)
{
    double datagrams = (double)ledger_gap_datagrams(sequence, gap);
    guint64 records = ledger_gap_records(sequence, gap);
    ledger->lost_datagrams += (guint64)datagrams;
    if (gap->down) {
        ledger_lose(ledger, PST_LOSS_DOWN, records);
        return;
    }
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

static void charge_oldest(Ledger *ledger, Sequence *sequence, guint64 *kernel_datagrams)
{
    charge(ledger, sequence, &sequence->gaps[0], kernel_datagrams);
    drop_gap(sequence, 0);
}

/* They looked like copies because we took their unit for the other, or they were. */
static void settle_doubted(Ledger *ledger, Sequence *sequence, gboolean copies)
{
    if (copies) {
        ledger->twice += sequence->doubted;
        ledger->duplicates += sequence->doubted_times;
    }
    sequence->doubted = 0;
    sequence->doubted_times = 0;
}

/* The sequence of @port; NULL: it has none yet. */
Sequence *ledger_sequence_find(Ledger *ledger, guint16 port)
{
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        Sequence *sequence = &ledger->sequences[i];
        if (sequence->valid && (sequence->port == port || sequence->other_port == port))
            return sequence;
    }
    return NULL;
}

/* What was known of a numbering that has ended. */
static void end_sequence(Ledger *ledger, Sequence *sequence)
{
    guint64 none = 0;
    while (sequence->n_gaps > 0)
        charge_oldest(ledger, sequence, &none);
    settle_doubted(ledger, sequence, TRUE);
    Unread *unread =
        sequence->slack > 0 ? unread_open(ledger, sequence->port, sequence->newest) : NULL;
    sequence->slack = 0;
    sequence->marked_ns = 0;
    if (unread != NULL)
        unread_loosen(ledger, unread);
}

void ledger_end(Ledger *ledger, guint16 port)
{
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        Sequence *sequence = &ledger->sequences[i];
        if (sequence->other_port == port)
            sequence->other_port = 0;
        if (!sequence->valid || sequence->port != port)
            continue;
        end_sequence(ledger, sequence);
        sequence->valid = FALSE;
    }
}

/* A new port that goes on with the numbering of another (and so is no session of its own). */
static Sequence *sequence_join(Ledger *ledger, const Message *message, guint16 port)
{
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        Sequence *sequence = &ledger->sequences[i];
        if (sequence->valid && !sequence->alone && sequence->other_port == 0 &&
            sequence->version == message->version && sequence->expected == message->sequence &&
            message->sequence > JOIN_MIN) {
            sequence->other_port = port;
            return sequence;
        }
    }
    return NULL;
}

/* A new port takes the place of the one that was idle longest. */
Sequence *ledger_sequence_new(Ledger *ledger, guint16 port, gint64 now_ns)
{
    Sequence *oldest = &ledger->sequences[0];
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        Sequence *sequence = &ledger->sequences[i];
        if (oldest->valid && (!sequence->valid || sequence->used_ns < oldest->used_ns))
            oldest = sequence;
    }
    end_sequence(ledger, oldest);
    *oldest = (Sequence){.port = port, .used_ns = now_ns};
    return oldest;
}

static Sequence *sequence_for(Ledger *ledger, const Message *message, guint16 port, gint64 now_ns)
{
    Sequence *sequence = ledger_sequence_find(ledger, port);
    if (sequence == NULL)
        sequence = sequence_join(ledger, message, port);
    return sequence != NULL ? sequence : ledger_sequence_new(ledger, port, now_ns);
}

/* ---- the numbering ---- */

/* Where there is no room, the oldest has waited long enough. */
static void push_gap(Ledger *ledger, Sequence *sequence, const Gap *gap)
{
    guint64 none = 0;
    if (sequence->n_gaps == LEDGER_GAPS)
        charge_oldest(ledger, sequence, &none);
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
        Gap behind = {.from = from + len,
                      .len = gap->len - before - len,
                      .found_ns = gap->found_ns,
                      .down = gap->down};
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

typedef enum { PLACE_NEWEST, PLACE_LATE, PLACE_COPY } Place;

/* A late message's data that could not be decoded takes the rest of the gap, as far as it may. */
static guint32 fill_behind(Sequence *sequence, guint32 from, gsize unread)
{
    for (guint i = 0; i < sequence->n_gaps; i++) {
        Gap *gap = &sequence->gaps[i];
        if (gap->from != from)
            continue;
        guint32 n = (guint32)MIN(unread, gap->len);
        gap->from += n;
        gap->len -= n;
        if (gap->len == 0)
            drop_gap(sequence, i);
        return n;
    }
    return 0;
}

/* What lies between the newest message and one that is @ahead: records of the newest that could
 * not be decoded, and a gap. */
static void pass(Ledger *ledger, Sequence *sequence, guint32 ahead, gint64 now_ns)
{
    guint32 unread = 0;
    if (sequence->slack > 0) {
        unread = ahead <= sequence->slack ? ahead
                                          : (guint32)MIN(ledger_estimate(sequence->slack), ahead);
        unread_told(ledger, sequence->port, sequence->newest, unread);
    }
    if (ahead == unread)
        return;
    Gap gap = {.from = sequence->expected + unread,
               .len = ahead - unread,
               .found_ns = now_ns,
               .down = sequence->resumed};
    push_gap(ledger, sequence, &gap);
}

/* How far ahead a number may be without being that of a new numbering. */
static gint32 jump_max(const Sequence *sequence, gint64 now_ns)
{
    gint32 jump = sequence->datagrams ? JUMP_DATAGRAMS : JUMP_RECORDS;
    if (!sequence->resumed)
        return jump;
    gint64 away_s = CLAMP((now_ns - sequence->used_ns) / NS_PER_S, 0, AWAY_S_MAX) + 1;
    gint64 grown = away_s * sequence->per_s * RATE_SLACK;
    return (gint32)CLAMP(grown, jump, G_MAXINT32);
}

/* The first message behind options data tells if the exporter counts them: it is behind what is
 * expected by just so many, or ahead. A copy of the options data looks alike, but has nothing else
 * in it. */
static void judge_options(Sequence *sequence, const Message *message, guint32 records)
{
    gint32 ahead = (gint32)(message->sequence - sequence->expected);
    gint32 options = (gint32)MIN(sequence->options, G_MAXINT32);
    if (sequence->datagrams || options == 0 || records == message->options)
        return;
    if (ahead != (sequence->without_options ? options : -options))
        return;
    sequence->without_options = !sequence->without_options;
    sequence->expected = message->sequence;
}

/* What the number says about the message at @at that uses up @len numbers. */
static Place follow(Ledger *ledger, Sequence *sequence, guint32 at, guint32 len, gint64 now_ns)
{
    gint32 ahead = (gint32)(at - sequence->expected);
    gint32 jump = jump_max(sequence, now_ns);
    gint32 window = sequence->datagrams ? REORDER_DATAGRAMS
                                        : (gint32)(REORDER_DATAGRAMS * MAX(sequence->mean, 1.0));
    if (ahead < 0 && fill_gap(ledger, sequence, at, len)) {
        ledger->reordered++;
        return PLACE_LATE;
    }
    if (ahead < 0 && ahead >= -window)
        return PLACE_COPY;
    if (ahead < 0 || ahead > jump) {
        ledger->restarts++;
        end_sequence(ledger, sequence);
    } else {
        pass(ledger, sequence, (guint32)ahead, now_ns);
    }
    if (ahead == 0 && sequence->n_gaps == 0)
        ledger->malformed = 0; /* whatever it was, it was not numbered */
    sequence->expected = at + len;
    return PLACE_NEWEST;
}

gboolean ledger_uptime_fell(const Sequence *sequence, const Message *message)
{
    return message->has_uptime &&
           (gint32)(sequence->uptime_ms - message->uptime_ms) > UPTIME_BACK_MS;
}

/* Does the exporter count in the unit that its protocol says? A message of one record, or one that
 * was overtaken, tells nothing. */
static void judge_unit(Ledger *ledger, Sequence *sequence, guint32 at)
{
    guint32 step = at - sequence->last;
    if (sequence->last_records < 2)
        return;
    if (step == (sequence->datagrams ? sequence->last_records : 1)) {
        sequence->doubts++;
    } else if (step == (sequence->datagrams ? 1 : sequence->last_records)) {
        sequence->doubts = 0;
        settle_doubted(ledger, sequence, TRUE);
    }
    if (sequence->doubts < LEDGER_DOUBTS)
        return;
    sequence->datagrams = !sequence->datagrams;
    sequence->doubts = 0;
    sequence->n_gaps = 0; /* they were none */
    sequence->expected = at;
    settle_doubted(ledger, sequence, FALSE);
}

static void start_sequence(Ledger *ledger, Sequence *sequence, const Message *message,
                           guint32 records)
{
    end_sequence(ledger, sequence);
    sequence->valid = TRUE;
    sequence->version = message->version;
    sequence->datagrams = message->version == VERSION_V9;
    sequence->doubts = 0;
    sequence->mean = records;
    sequence->expected = message->sequence + (sequence->datagrams ? 1 : records);
}

static Place place_message(Ledger *ledger, Sequence *sequence, const Message *message,
                           guint32 records, gint64 now_ns)
{
    if (!sequence->valid || sequence->version != message->version) {
        start_sequence(ledger, sequence, message, records);
        return PLACE_NEWEST;
    }
    if (ledger_uptime_fell(sequence, message)) {
        ledger->restarts++;
        start_sequence(ledger, sequence, message, records);
        return PLACE_NEWEST;
    }
    if (message->version != VERSION_V5)
        judge_unit(ledger, sequence, message->sequence);
    judge_options(sequence, message, records);
    guint32 numbered = records - (sequence->without_options ? message->options : 0);
    return follow(ledger, sequence, message->sequence, sequence->datagrams ? 1 : numbered, now_ns);
}

static void count_copy(Ledger *ledger, Sequence *sequence, guint32 records)
{
    if (sequence->doubts > 0) {
        sequence->doubted += records;
        sequence->doubted_times++;
    } else {
        ledger->twice += records;
        ledger->duplicates++;
    }
}

/* What the numbering will say, or has said, of data that could not be decoded: @unread bytes. */
static void take_unread(Ledger *ledger, Sequence *sequence, guint32 behind, gsize unread,
                        PstLoss why, Place place)
{
    Unread *entry = unread_ensure(ledger, sequence->port, sequence->last);
    entry->why = (guint8)why;
    entry->state = UNREAD_OPEN;
    if (sequence->datagrams) {
        unread_loosen(ledger, entry);
    } else if (place == PLACE_COPY) {
        ledger->twice += entry->decoded;
        entry->state = UNREAD_COPY;
        if (entry->sets == 0)
            unread_close(ledger, entry);
    } else if (place == PLACE_LATE) {
        unread_told(ledger, sequence->port, sequence->last, fill_behind(sequence, behind, unread));
    } else if (entry->sets == 0 && entry->guess == 0 && why == PST_LOSS_NO_TEMPLATE) {
        unread_complete(ledger, entry, sequence);
    }
}

void ledger_message(Ledger *ledger, const Message *message, guint16 port, guint32 records,
                    gsize unread, PstLoss why, gint64 now_ns)
{
    Sequence *sequence = sequence_for(ledger, message, port, now_ns);
    ledger->datagrams++;
    ledger->received += records;
    ledger->version = message->version;
    Place place = place_message(ledger, sequence, message, records, now_ns);
    if (place == PLACE_COPY) {
        count_copy(ledger, sequence, records);
        sequence->alone |= sequence->other_port != 0; /* two numberings, after all */
        sequence->other_port = 0;
    }
    if (records > 0)
        sequence->mean += (records - sequence->mean) / 16;
    sequence->resumed = FALSE;
    sequence->used_ns = now_ns;
    sequence->uptime_ms = message->uptime_ms;
    sequence->last = message->sequence;
    sequence->last_records = records;
    if (place == PLACE_NEWEST) {
        sequence->options = message->options;
        sequence->newest = message->sequence;
        sequence->slack = sequence->datagrams ? 0 : (guint32)MIN(unread, G_MAXINT32);
    }
    if (unread > 0)
        take_unread(ledger, sequence, message->sequence + records, unread, why, place);
}

void ledger_settle(Ledger *ledger, gint64 now_ns, guint64 *kernel_datagrams)
{
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        Sequence *sequence = &ledger->sequences[i];
        gint64 patience_ns = sequence->doubts > 0 ? DOUBT_NS : GAP_NS;
        while (sequence->n_gaps > 0 && now_ns >= sequence->gaps[0].found_ns + patience_ns)
            charge_oldest(ledger, sequence, kernel_datagrams);
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

/* ---- what is told ---- */

guint64 ledger_expected(const Ledger *ledger)
{
    guint64 expected = ledger->earlier + ledger->received - ledger->twice;
    for (guint i = 0; i < PST_LOSS_COUNT; i++) {
        if (i != PST_LOSS_QUEUE && i != PST_LOSS_SPOOL && i != PST_LOSS_BUS)
            expected += ledger->lost[i];
    }
    return expected;
}

guint64 ledger_expected_datagrams(const Ledger *ledger)
{
    return ledger->earlier_datagrams + ledger->datagrams - ledger->duplicates +
           ledger->lost_datagrams;
}

/* All that has ever grown. */
static PstHeartbeat grown(const Ledger *ledger)
{
    PstHeartbeat all = {.received = ledger->received - ledger->batched + ledger->arrived,
                        .twice = ledger->twice,
                        .datagrams = ledger->datagrams,
                        .duplicates = ledger->duplicates,
                        .lost_datagrams = ledger->lost_datagrams,
                        .reordered = ledger->reordered,
                        .restarts = ledger->restarts,
                        .sent = ledger_expected(ledger) - ledger->earlier};
    memcpy(all.lost, ledger->lost, sizeof all.lost);
    return all;
}

void ledger_beat(Ledger *ledger, PstHeartbeat *beat)
{
    PstHeartbeat now = grown(ledger);
    for (guint i = 0; i < PST_GROWTH_COUNT; i++) {
        beat->growth[i] = now.growth[i] - ledger->told[i];
        ledger->told[i] = now.growth[i];
    }
    beat->ledger = ledger->id;
    beat->version = (guint8)ledger->version;
    beat->sampling_rate = ledger->sampling_rate;
    beat->expected = ledger_expected(ledger);
    beat->expected_datagrams = ledger_expected_datagrams(ledger);
}

void ledger_unbeat(Ledger *ledger, const PstHeartbeat *beat)
{
    for (guint i = 0; i < PST_GROWTH_COUNT; i++)
        ledger->told[i] -= beat->growth[i];
}

gboolean ledger_has_news(const Ledger *ledger)
{
    PstHeartbeat now = grown(ledger);
    return memcmp(now.growth, ledger->told, sizeof now.growth) != 0;
}
