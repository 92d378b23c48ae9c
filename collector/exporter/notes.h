/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an exporter tells of itself in options data, besides sampling rates: the names of its
 * interfaces, and what it sent and could not send by its own count.
 * Bounded: NOTES_INTERFACES_MAX interfaces of a domain, NOTES_TEXT_MAX bytes of each text.
 * Thread: the worker's. A value; zeroed is empty.
 * Source: IANA elements 82, 83 (names of 10, 14, 252, 253); 40–42, 163–168 (RFC 5102 §5.3).
 */
#include "cursor.h"
#include "template.h"

enum { NOTES_INTERFACES_MAX = 256, NOTES_TEXT_MAX = 64 };

typedef struct {
    guint32 number;                       /* ifIndex */
    char name[NOTES_TEXT_MAX + 1];        /* UTF-8 without control characters; "": not told */
    char description[NOTES_TEXT_MAX + 1]; /* the same */
} NotedInterface;

/* X(identifier, element, name of the metric, sentence) */
#define NOTES_COUNTS(X)                                                                            \
    X(SENT_BYTES, 40, "says_sent_bytes", "Bytes sent, by the exporter's own count.")               \
    X(SENT_MESSAGES, 41, "says_sent_messages", "Messages sent, by the exporter's own count.")      \
    X(SENT_RECORDS, 42, "says_sent_records", "Records sent, by the exporter's own count.")         \
    X(SEEN_FLOWS, 163, "says_seen_flows", "Flows observed, by the exporter's own count.")          \
    X(IGNORED_PACKETS, 164, "says_ignored_packets", "Packets the exporter did not look at.")       \
    X(IGNORED_BYTES, 165, "says_ignored_bytes", "Bytes the exporter did not look at.")             \
    X(UNSENT_RECORDS, 166, "says_unsent_records", "Records the exporter lost before sending.")     \
    X(UNSENT_PACKETS, 167, "says_unsent_packets", "Packets of these records.")                     \
    X(UNSENT_BYTES, 168, "says_unsent_bytes", "Bytes of these records.")

typedef enum {
#define NOTES_ENUM(identifier, element, name, text) NOTE_##identifier,
    NOTES_COUNTS(NOTES_ENUM)
#undef NOTES_ENUM
        NOTE_COUNT
} Note;

typedef struct {
    guint32 told;               /* bit 1 << Note */
    guint64 counts[NOTE_COUNT]; /* the newest that was told */
    GArray *interfaces;         /* of NotedInterface, sorted by number; NULL: none */
    guint changes;              /* grows whenever an interface comes or gets another name */
} Notes;

void notes_clear(Notes *notes);

/* Takes an options record of @template, whatever it is about. */
void notes_learn(Notes *notes, const Template *template, PstCursor record);

/* Keeps @interface, whose texts are any bytes that end with NUL. FALSE: no room. */
gboolean notes_put(Notes *notes, const NotedInterface *interface);
