/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Between the files of the ledger; only these include it. Thread: the worker's. */
#include "ledger.h"

/* A message that held data which could not be decoded at once. */
typedef enum {
    UNREAD_NEW,   /* it is still being decoded */
    UNREAD_OPEN,  /* the next message will tell how many records these were */
    UNREAD_TOLD,  /* it has */
    UNREAD_LOOSE, /* no message will: datagrams are counted. Each set is charged by itself */
    UNREAD_COPY   /* of a datagram that came twice: nothing is missing */
} UnreadState;

struct Unread {
    guint8 state;
    guint8 why; /* PstLoss of what is never decoded */
    guint16 port;
    guint32 sequence; /* of the message */
    guint32 sets;     /* that are still held */
    guint32 decoded;  /* records, late */
    guint32 records;  /* TOLD: there were so many */
    guint32 guess;    /* records in what was thrown away */
};

/* The sequence of @port; NULL: it has none yet. Borrowed, as the next. */
Sequence *ledger_sequence_find(Ledger *ledger, guint16 port);
/* A new port takes the place of the one that was idle longest. */
Sequence *ledger_sequence_new(Ledger *ledger, guint16 port, gint64 now_ns);
gboolean ledger_uptime_fell(const Sequence *sequence, const Message *message);
guint64 ledger_gap_datagrams(const Sequence *sequence, const Gap *gap);
guint64 ledger_gap_records(const Sequence *sequence, const Gap *gap);

/* That of the message that is being decoded; made if there is none. Borrowed until the next call
 * of any of these. */
Unread *unread_ensure(Ledger *ledger, guint16 port, guint32 sequence);
/* That of the message at @sequence, if the next one is to tell about it; or NULL. */
Unread *unread_open(Ledger *ledger, guint16 port, guint32 sequence);
/* The numbering has gone on: there were @records in what could not be decoded. */
void unread_told(Ledger *ledger, guint16 port, guint32 sequence, guint32 records);
/* No number will tell how many they were: what is thrown away is charged by a guess. */
void unread_loosen(Ledger *ledger, Unread *unread);
/* All of it was decoded before the next message came: its numbers are used up. */
void unread_complete(Ledger *ledger, Unread *unread, Sequence *sequence);
/* Forgets it. Of records whose number is known, those that were not decoded are lost. */
void unread_close(Ledger *ledger, Unread *unread);
