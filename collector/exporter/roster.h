/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The list of exporters that writes itself (exporters = learn:PATH): everyone is admitted, and who
 * sent a record and is not on the list yet gets a line in PATH, with the time. An operator reads
 * it, deletes what does not belong there, and sets exporters = PATH.
 *
 *     192.0.2.1 # first seen 2026-11-22T03:04:05Z
 *
 * The list is read again with every start and reload, so nobody is written twice. Bounded: at
 * ROSTER_MAX lines no more are added. Several workers append to one file; each line is whole.
 * Thread: the worker's; roster_prepare main's. */
#include "prefix_map.h"

enum { ROSTER_MAX = 4096 };

typedef struct {
    guint64 learned; /* lines written */
    guint64 refused; /* exporters met beyond ROSTER_MAX */
    guint64 failed;  /* lines that could not be written; tried again a minute later */
} RosterCounts;

typedef struct Roster Roster;

/* Given. */
Roster *roster_new(void);
/* Accepts NULL. */
void roster_free(Roster *roster);

/* @addr sent a record. @path NULL: nothing is learned. @known what PATH held when it was read.
 * @now_ns UTC ns, for the line. */
void roster_meet(Roster *roster, const char *path, const PstPrefixMap *known, const PstAddr *addr,
                 gint64 now_ns);

const RosterCounts *roster_counts(const Roster *roster);

/* Makes @path, if it is absent, with words that explain it, and reads it. @error USAGE, IO. Given.
 */
PstPrefixMap *roster_prepare(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
