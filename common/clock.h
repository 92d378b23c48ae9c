/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Time: three types that do not mix, and the clock that every program reads through.
 *
 * PstWall  a moment, UTC, ns since 1970. What is stored, shown and compared with other machines.
 * PstMono  a moment of the monotonic clock. What timers and rates use. Never stored.
 * PstSpan  a duration in ns.
 *
 * A PstClock gives wall time as --clock says:
 *   system           the machine's
 *   offset:SECONDS   the machine's, moved (may be negative, may have a fraction)
 *   file:PATH        RFC 3339 text in a file, reread at each use: tests move it. A file that is
 *                    missing or unreadable keeps the last moment that was read.
 * Monotonic time is always the machine's. Scoring uses no clock at all: event time rules there.
 * The database follows the same setting through postern.now() where it was installed with --test.
 */
#include "postern/error.h"

typedef struct {
    gint64 ns;
} PstWall;
typedef struct {
    gint64 ns;
} PstMono;
typedef struct {
    gint64 ns;
} PstSpan;

#define PST_NS_PER_S  G_GINT64_CONSTANT(1000000000)
#define PST_NS_PER_MS G_GINT64_CONSTANT(1000000)

typedef struct PstClock PstClock;

/* @spec "system" (or NULL), "offset:…", "file:…". @error USAGE. Given. */
PstClock *pst_clock_new(const char *spec, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void pst_clock_free(PstClock *clock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstClock, pst_clock_free)

/* Thread: any. */
PstWall pst_clock_now(PstClock *clock);
PstMono pst_mono_now(void);

static inline PstSpan pst_span_s(double seconds)
{
    return (PstSpan){(gint64)(seconds * 1e9)};
}
static inline PstSpan pst_span_ms(gint64 ms)
{
    return (PstSpan){ms * PST_NS_PER_MS};
}
static inline PstSpan pst_mono_since(PstMono later, PstMono earlier)
{
    return (PstSpan){later.ns - earlier.ns};
}
static inline PstMono pst_mono_add(PstMono at, PstSpan span)
{
    return (PstMono){at.ns + span.ns};
}
static inline double pst_span_seconds(PstSpan span)
{
    return (double)span.ns / 1e9;
}

#define PST_TIME_TEXT_MAX 40
/* "2026-05-01T12:34:56Z" (whole seconds) or with a fraction of ms if @with_ms. Returns @out. */
char *pst_time_format(gint64 utc_ns, gboolean with_ms, char out[PST_TIME_TEXT_MAX]);
/* RFC 3339 with Z or ±hh:mm, optional fraction; UTC ns into @out. Years 1970…2261. */
gboolean pst_time_parse(const char *text, gint64 *out_ns) G_GNUC_WARN_UNUSED_RESULT;
