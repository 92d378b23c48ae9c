/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Logging: one line an event, to stderr, in the form that the journal understands:
 *     <6>collector exporter 192.0.2.1: template refused id=256 reason=zero-length
 * (priority prefix only when stderr is the journal or a pipe; a terminal gets a readable time.)
 * A line is: program, subject ("exporter 192.0.2.1"), event in words, then fields name=value with
 * the unit in the name (_s, _bytes, _ns). Control characters of values are escaped.
 * Log or return an error, never both. What a peer can cause goes through pst_log_limited.
 * Thread: any. The writer is the one mutable file-scope state allowed.
 */
#include <glib.h>

typedef enum {
    PST_LOG_ERR = 3,
    PST_LOG_WARN = 4,
    PST_LOG_NOTICE = 5,
    PST_LOG_INFO = 6,
    PST_LOG_DEBUG = 7
} PstLogLevel;

/* Once, from main. Also takes over g_log so that libraries' warnings (libfixbuf's among them) are
 * counted and rate limited instead of flooding. @level: what is written, INFO by default. */
void pst_log_open(const char *program, PstLogLevel level);

/* @subject "exporter 192.0.2.1", "bus", NULL; @format the event and its fields. */
void pst_log(PstLogLevel level, const char *subject, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* One line per @limit and minute; the next line says how many were suppressed.
 * A PstLogLimit is zeroed by its owner and belongs to one thread. */
typedef struct {
    gint64 next_ns;
    guint64 suppressed;
} PstLogLimit;
void pst_log_limited(PstLogLimit *limit, PstLogLevel level, const char *subject, const char *format,
                     ...) G_GNUC_PRINTF(4, 5);

/* How many messages of libraries were swallowed (metric). */
guint64 pst_log_swallowed(void);
