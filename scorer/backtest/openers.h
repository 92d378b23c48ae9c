/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which addresses open most mail sessions among those that are not ours: what somebody wants to
 * know whose --networks are missing or wrong. Bounded: with OPENERS_MAX others between, who opens
 * rarely is forgotten. Source: J. Misra, D. Gries, Finding repeated elements, 1982. */
#include "postern/flow.h"

enum { OPENERS_MAX = 32, OPENERS_TOLD = 3 };

/* A value; zeroed is empty. */
typedef struct {
    struct {
        PstAddr addr;
        guint64 count; /* 0: free */
    } slots[OPENERS_MAX];
} Openers;

/* Counts @flow's source if it looks like the client of a mail session that is not ours. */
void openers_note(Openers *openers, const PstFlow *flow);

/* "192.0.2.1, 192.0.2.7": those with most, OPENERS_TOLD at most; NULL: there was none. Given. */
char *openers_text(const Openers *openers);
