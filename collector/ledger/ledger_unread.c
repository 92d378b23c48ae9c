/* SPDX-License-Identifier: Apache-2.0 */
/* Data that could not be decoded when it came: held for its template, or thrown away. */
#include "ledger_parts.h"

/* The oldest of that message for which @fits. */
static Unread *unread_find(Ledger *ledger, guint16 port, guint32 sequence,
                           gboolean (*fits)(const Unread *unread))
{
    for (guint i = 0; ledger->unread != NULL && i < ledger->unread->len; i++) {
        Unread *unread = &g_array_index(ledger->unread, Unread, i);
        if (unread->port == port && unread->sequence == sequence && fits(unread))
            return unread;
    }
    return NULL;
}

static gboolean is_new(const Unread *unread)
{
    return unread->state == UNREAD_NEW;
}

static gboolean is_open(const Unread *unread)
{
    return unread->state == UNREAD_OPEN;
}

static gboolean is_held(const Unread *unread)
{
    return unread->sets > 0;
}

/* Records whose number is known: those that were not decoded are lost. */
void unread_close(Ledger *ledger, Unread *unread)
{
    if (unread->state == UNREAD_TOLD && unread->records > unread->decoded)
        ledger_lose(ledger, unread->why, unread->records - unread->decoded);
    guint i = (guint)(unread - (Unread *)(void *)ledger->unread->data);
    g_array_remove_index(ledger->unread, i);
}

static Unread *unread_newest(const Ledger *ledger)
{
    guint n = ledger->unread != NULL ? ledger->unread->len : 0;
    return n > 0 ? &g_array_index(ledger->unread, Unread, n - 1) : NULL;
}

/* That of the message that is being decoded. */
Unread *unread_ensure(Ledger *ledger, guint16 port, guint32 sequence)
{
    Unread *unread = unread_newest(ledger);
    if (unread == NULL || unread->port != port || unread->sequence != sequence || !is_new(unread))
        unread = unread_find(ledger, port, sequence, is_new);
    if (unread != NULL)
        return unread;
    if (ledger->unread == NULL)
        ledger->unread = g_array_new(FALSE, TRUE, sizeof(Unread));
    if (ledger->unread->len >= LEDGER_UNREAD)
        unread_close(ledger, &g_array_index(ledger->unread, Unread, 0));
    Unread fresh = {.port = port, .sequence = sequence, .why = PST_LOSS_NO_TEMPLATE};
    g_array_append_val(ledger->unread, fresh);
    return &g_array_index(ledger->unread, Unread, ledger->unread->len - 1);
}

/* The numbering has gone on: there were @records in what could not be decoded. */
void unread_told(Ledger *ledger, guint16 port, guint32 sequence, guint32 records)
{
    Unread *unread = unread_find(ledger, port, sequence, is_open);
    if (unread == NULL) { /* forgotten in a storm of them */
        ledger_lose(ledger, PST_LOSS_NO_TEMPLATE, records);
        return;
    }
    unread->state = UNREAD_TOLD;
    unread->records = records;
    if (unread->sets == 0)
        unread_close(ledger, unread);
}

/* No number will tell how many they were: what is thrown away is charged by a guess. */
void unread_loosen(Ledger *ledger, Unread *unread)
{
    gboolean known = unread->why == PST_LOSS_NO_TEMPLATE;
    ledger_lose(ledger, unread->why, known ? unread->guess : MAX(unread->guess, 1));
    unread->state = UNREAD_LOOSE;
    if (unread->sets == 0)
        unread_close(ledger, unread);
}

/* The sequence whose newest message is @unread's; NULL: it has gone on. */
static Sequence *sequence_at(Ledger *ledger, const Unread *unread)
{
    for (guint i = 0; i < LEDGER_PORTS; i++) {
        Sequence *sequence = &ledger->sequences[i];
        if (sequence->valid && sequence->port == unread->port && sequence->slack > 0 &&
            sequence->newest == unread->sequence)
            return sequence;
    }
    return NULL;
}

/* All of it was decoded before the next message came: its numbers are used up. */
void unread_complete(Ledger *ledger, Unread *unread, Sequence *sequence)
{
    sequence->expected += unread->decoded;
    sequence->slack = 0;
    unread->state = UNREAD_TOLD;
    unread->records = unread->decoded;
    unread_close(ledger, unread);
}

/* One set less is held of @unread. */
static void unread_settle(Ledger *ledger, Unread *unread)
{
    if (--unread->sets > 0 || unread->state == UNREAD_NEW)
        return;
    if (unread->state != UNREAD_OPEN) {
        unread_close(ledger, unread);
        return;
    }
    Sequence *sequence = sequence_at(ledger, unread);
    if (sequence == NULL)
        unread_loosen(ledger, unread);
    else if (unread->guess == 0 && unread->why == PST_LOSS_NO_TEMPLATE)
        unread_complete(ledger, unread, sequence);
}

/* The port that a numbering is known by. */
static guint16 known_port(Ledger *ledger, guint16 port)
{
    const Sequence *sequence = ledger_sequence_find(ledger, port);
    return sequence != NULL ? sequence->port : port;
}

void ledger_held(Ledger *ledger, const Message *message, guint16 port)
{
    unread_ensure(ledger, known_port(ledger, port), message->sequence)->sets++;
}

void ledger_late(Ledger *ledger, const Message *message, guint16 port, guint32 records)
{
    Unread *unread = unread_find(ledger, known_port(ledger, port), message->sequence, is_held);
    ledger->received += records;
    if (unread == NULL)
        return;
    unread->decoded += records;
    if (unread->state == UNREAD_COPY)
        ledger->twice += records;
    unread_settle(ledger, unread);
}

void ledger_held_lost(Ledger *ledger, const Message *message, guint16 port, gsize bytes)
{
    Unread *unread = unread_find(ledger, known_port(ledger, port), message->sequence, is_held);
    guint64 guess = ledger_estimate(bytes);
    if (unread == NULL || unread->state == UNREAD_LOOSE)
        ledger_lose(ledger, PST_LOSS_NO_TEMPLATE, guess);
    if (unread == NULL)
        return;
    unread->guess += (guint32)guess;
    unread_settle(ledger, unread);
}

void ledger_not_held(Ledger *ledger, const Message *message, guint16 port, gsize bytes)
{
    unread_ensure(ledger, known_port(ledger, port), message->sequence)->guess +=
        (guint32)ledger_estimate(bytes);
}

Unread *unread_open(Ledger *ledger, guint16 port, guint32 sequence)
{
    return unread_find(ledger, port, sequence, is_open);
}
