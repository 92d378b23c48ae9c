/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Errors of the world: files, sockets, databases, configuration, operators.
 *
 * Three kinds of error exist and are never mixed:
 *  (a) bad data from a peer: an enum of drop reasons, counted, no text, no allocation;
 *  (b) the world failed: gboolean or pointer plus GError in the domain PST_ERROR (this file);
 *  (c) our own bug: g_assert, in every build.
 * A message says what was tried, on what, why it failed and, where it is known, the remedy.
 * Callers prefix on the way up (g_prefix_error); whoever handles an error logs it, nobody else
 * does.
 */
#include <glib.h>

#define PST_ERROR (pst_error_quark())
GQuark pst_error_quark(void);

typedef enum {
    PST_ERROR_USAGE,    /* command line or configuration; the operator must change something */
    PST_ERROR_IO,       /* a file or socket failed: permission, disk full, missing */
    PST_ERROR_AWAY,     /* a peer (broker, database, mail server) cannot be reached; try again */
    PST_ERROR_FULL,     /* a bounded queue or file is full; try again after service */
    PST_ERROR_FENCED,   /* another owner took the partition over; give it up, do not retry */
    PST_ERROR_CORRUPT,  /* stored data breaks its own format */
    PST_ERROR_DATA,     /* an input file (CSV, mail, capture) is not what it claims to be */
    PST_ERROR_REFUSED,  /* a rule of the product says no (frozen, too early, not yours) */
    PST_ERROR_NOT_FOUND /* the named thing does not exist */
} PstErrorCode;

/* What a caller should do about it. */
typedef enum {
    PST_ERROR_CLASS_CONFIG,    /* stop and tell the operator; exit status 2 */
    PST_ERROR_CLASS_TRANSIENT, /* wait and try again; exit status 75 where one try is all */
    PST_ERROR_CLASS_DATA       /* this input will never work; count it, go on; exit status 1 */
} PstErrorClass;

/* The class of @error. An error of another domain (GIOError …) counts as transient.
 * Thread: any. */
PstErrorClass pst_error_class(const GError *error);

/* Exit statuses of every program (docs/operating.md). */
enum { PST_EXIT_DONE = 0, PST_EXIT_FAILED = 1, PST_EXIT_USAGE = 2, PST_EXIT_TRY_AGAIN = 75 };

/* The exit status for a program that ends because of @error: CONFIG 2, everything else 1. */
int pst_error_exit_status(const GError *error);
