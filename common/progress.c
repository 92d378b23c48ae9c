/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>

#include "run.h"

enum { SHOW_AFTER_MS = 2000, SHOW_EVERY_MS = 100 };

void pst_progress_init(PstProgress *progress, const char *what, const char *unit, guint64 total)
{
    *progress =
        (PstProgress){.what = what, .unit = unit, .total = total, .started_ns = pst_mono_now().ns};
}

static void show(const PstProgress *progress, guint64 done, gint64 now_ns, const char *end)
{
    double seconds = (double)(now_ns - progress->started_ns) / 1e9;
    fprintf(stderr, "\r\033[K%s: %" G_GUINT64_FORMAT, progress->what, done);
    if (progress->total > 0)
        fprintf(stderr, " of %" G_GUINT64_FORMAT, progress->total);
    fprintf(stderr, " %s", progress->unit);
    if (progress->total > 0)
        fprintf(stderr, " (%.0f %%)", 100.0 * (double)done / (double)progress->total);
    fprintf(stderr, ", %.0f/s, %.0f s%s", seconds > 0 ? (double)done / seconds : 0, seconds, end);
    (void)fflush(stderr);
}

static gboolean is_shown(const PstProgress *progress, gint64 now_ns)
{
    return now_ns - progress->started_ns >= SHOW_AFTER_MS * PST_NS_PER_MS &&
           isatty(STDERR_FILENO) == 1;
}

void pst_progress_update(PstProgress *progress, guint64 done)
{
    gint64 now_ns = pst_mono_now().ns;
    if (now_ns - progress->shown_ns < SHOW_EVERY_MS * PST_NS_PER_MS || !is_shown(progress, now_ns))
        return;
    progress->shown_ns = now_ns;
    show(progress, done, now_ns, "");
}

void pst_progress_end(PstProgress *progress, guint64 done)
{
    gint64 now_ns = pst_mono_now().ns;
    if (is_shown(progress, now_ns))
        show(progress, done, now_ns, "\n");
}
