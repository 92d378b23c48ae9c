/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What stands in a datagram: messages, and in them sets.
 *
 *     PstCursor payload = pst_cursor(bytes, len);
 *     while (payload has bytes left && datagram_next(&payload, &message) == DROP_NONE)
 *         while (message_next_set(&message, &set, &drop))
 *             …
 *
 * One format behind it: whatever the version, a message has an export time, a sequence number, a
 * domain and sets of templates or data. NetFlow v5 (netflow_v5.h) and v9 (netflow_v9.h) are
 * rewritten into this form; their records need no rewriting, because a v9 record is an IPFIX
 * record, and a v5 record is one of a template that never changes. So the bytes of the records stay
 * where they are (copying them would cost 2 ns a record and gain nothing).
 *
 * Several messages may be glued together in one datagram (v5, IPFIX). Nothing here allocates. All
 * pointers are borrowed from the payload. Thread: any.
 * Source: RFC 7011 §3, RFC 3954 §5, Cisco "NetFlow Export Datagram Format" (v5).
 */
#include "cursor.h"
#include "drop.h"

enum { VERSION_V5 = 5, VERSION_V9 = 9, VERSION_IPFIX = 10 };

typedef struct {
    guint16 version;
    gboolean has_uptime; /* v5, v9 */
    guint32 uptime_ms;   /* of the exporter when it sent this */
    gint64 export_ns;    /* UTC ns: the exporter's clock when it sent this */
    guint32 sequence;
    guint32 domain;
    guint16 records;     /* v5: number of records; else 0: not known before decoding */
    guint32 options;     /* records of options data; known after decoding */
    guint32 header_rate; /* v5: sampling interval of the header; 0: none */
    gboolean overrun;    /* a set reached beyond the message */
    guint32 sets_left;   /* so many more are read */
    PstCursor body;      /* what is left of it */
} Message;

typedef enum { SET_TEMPLATES, SET_OPTIONS_TEMPLATES, SET_DATA, SET_RESERVED } SetKind;

#define SET_ID_V5 0u /* the one data set of a v5 message; no template id can be 0 */

typedef struct {
    SetKind kind;
    guint16 id; /* of the template, if DATA */
    PstCursor body;
} Set;

/* Does a UDP payload begin like a flow export? For captures, which hold other packets, too. */
gboolean datagram_is_export(const guint8 *payload, gsize len);

/* Reads the next message's header and takes the message off @payload. On a reason to drop, @payload
 * is used up: what follows a message that lies about its length cannot be found.
 * Zero bytes at the end of a datagram are padding: they give NONE with an empty body of version 0.
 */
Drop datagram_next(PstCursor *payload, Message *out);

/* The next set of @message; FALSE at its end. Then @out_drop is NONE, or says why the rest of the
 * message could not be used. A set that claims more than the message holds is given as far as it
 * goes (whole records in it are good), and the end then says SET_LENGTH. A set with a reserved id
 * is RESERVED: the sets behind it are good. Sets of a few bytes in masses end it with SETS. */
gboolean message_next_set(Message *message, Set *out, Drop *out_drop);
