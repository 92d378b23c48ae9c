/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The information elements that we understand: one row each. Everything else is skipped by its
 * length. Source: IANA "IPFIX Information Elements"; RFC 5103 (reverse); Cisco ASA NSEL. */
#include "record.h"

enum { ELEMENT_PEN_REVERSE = 29305 }; /* RFC 5103 §6.1 */

typedef enum {
    ELEMENT_NUMBER, /* big-endian, 1 … 8 bytes, into an unsigned member; too large is clamped */
    ELEMENT_TIME,   /* a number of Raw that may come in 4 bytes instead of 8 */
    ELEMENT_ADDR4,
    ELEMENT_ADDR6,
    ELEMENT_MAC,   /* 6 bytes into a guint64 */
    ELEMENT_FLAGS, /* a number; several of one target are joined bit by bit */
    ELEMENT_LABEL, /* 3 bytes of an MPLS label stack entry: the upper 20 bits are the label */
} ElementKind;

typedef struct {
    guint32 pen;
    guint16 id;
    guint8 kind;    /* ElementKind */
    guint8 rank;    /* of several elements with one target the highest that is not zero wins */
    guint8 proto;   /* the element says the protocol: 6 or 17; 0: it does not */
    guint8 size;    /* bytes of the target */
    guint16 target; /* offset in Record */
    guint32 has;    /* bits of PstFlow.has */
    guint32 seen;   /* bits of Record.seen */
    const char *name;
} Element;

/* The row of (pen, id), or NULL: skip it. Borrowed, static. */
const Element *element_find(guint32 pen, guint16 id);

/* May @element have @len bytes on the wire (RFC 7011 §6.2)? FIELD_VARIABLE: no. */
gboolean element_len_legal(const Element *element, guint16 len);

/* All rows, sorted by (pen, id): for the manual and for tests. */
const Element *element_rows(gsize *out_n);
