/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What one method said about every life of a cast, against the truth. */
#include "cast.h"

/* The truth of a life's spam, and what a method said of the life. */
typedef struct {
    guint64 days[2];   /* [flag, block]: bits of the days of history and measured days */
    guint64 until[2];  /* spam sessions that had begun at its event time; 0: not said */
    guint64 told[2];   /* … by the newest event that the method had been told of */
    double event_s[2]; /* and how long after the first, in event time and at arrival */
    double arrival_s[2];
    guint64 gone[2]; /* spam sessions that had begun when the record arrived */
} Said;

typedef struct {
    const char *name;
    Said *said; /* by life */
} Tally;

typedef struct {
    gint64 *start_ns; /* of spam sessions, ascending */
    guint n;
} Spam;

typedef enum { SAID_FLAG, SAID_BLOCK, SAID_KINDS } SaidKind;

void tally_init(Tally *tally, const char *name, const Cast *cast);
void tally_clear(Tally *tally);

/* When something was said, UTC ns: the event time of what was said, that of the newest session told
 * until then, and the arrival of the record that made it. */
typedef struct {
    gint64 event_ns, newest_ns, arrival_ns;
} SaidTimes;

void tally_say(Tally *tally, const Cast *cast, const Spam *spam, guint life, SaidKind kind,
               const SaidTimes *at);

/* Appends {"name": …, "classes": {…}}: what was said of each class. */
void tally_print(const Tally *tally, const Cast *cast, GString *out);
