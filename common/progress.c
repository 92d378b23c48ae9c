/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

enum { SHOW_AFTER_MS = 2000, SHOW_EVERY_MS = 100, TEXT_MAX = 48 };

void pst_progress_init(PstProgress *progress, const char *what, const char *unit, guint64 total)
{
    *progress = (PstProgress){.what = what,
                              .unit = unit,
                              .total = total,
                              .on_terminal = isatty(STDERR_FILENO) == 1,
                              .started_ns = pst_mono_now().ns};
}

static char *bytes_text(double n, char out[TEXT_MAX])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    gsize unit = 0;
    for (; n >= 1000 && unit + 1 < G_N_ELEMENTS(units); unit++)
        n /= 1000;
    g_snprintf(out, TEXT_MAX, unit > 0 && n < 10 ? "%.1f %s" : "%.0f %s", n, units[unit]);
    return out;
}

char *pst_quantity(double n, const char *unit, char out[48])
{
    if (strcmp(unit, "bytes") == 0)
        return bytes_text(n, out);
    char digits[32];
    int len = g_snprintf(digits, sizeof digits, "%.0f", n);
    gsize at = 0;
    for (int i = 0; i < len; i++) {
        out[at++] = digits[i];
        if ((len - i) % 3 == 1 && i + 1 < len)
            out[at++] = ',';
    }
    g_snprintf(out + at, TEXT_MAX - at, "%s%s", *unit != '\0' ? " " : "", unit);
    return out;
}

static void show(const PstProgress *progress, guint64 done, gint64 now_ns, const char *end)
{
    char text[TEXT_MAX];
    double seconds = MAX((double)(now_ns - progress->started_ns) / 1e9, 1e-3);
    fprintf(stderr, "\r\033[K%s: %s", progress->what,
            pst_quantity((double)done, progress->unit, text));
    if (progress->total > 0)
        fprintf(stderr, " of %s (%.0f %%)",
                pst_quantity((double)progress->total, progress->unit, text),
                100.0 * (double)done / (double)progress->total);
    fprintf(stderr, ", %s/s", pst_quantity((double)done / seconds, progress->unit, text));
    if (progress->yielded != NULL) {
        fprintf(stderr, ", %s", pst_quantity((double)progress->yield, progress->yielded, text));
        fprintf(stderr, " (%s/s)", pst_quantity((double)progress->yield / seconds, "", text));
    }
    if (*end == '\0' && done > 0 && done < progress->total)
        fprintf(stderr, ", %.0f s left", seconds * (double)(progress->total - done) / (double)done);
    else
        fprintf(stderr, ", %.0f s%s", seconds, end);
    (void)fflush(stderr);
}

static gboolean is_shown(const PstProgress *progress, gint64 now_ns)
{
    return progress->on_terminal && now_ns - progress->started_ns >= SHOW_AFTER_MS * PST_NS_PER_MS;
}

gboolean pst_progress_due(const PstProgress *progress)
{
    gint64 now_ns = pst_mono_now().ns;
    return now_ns - progress->shown_ns >= SHOW_EVERY_MS * PST_NS_PER_MS &&
           is_shown(progress, now_ns);
}

void pst_progress_update(PstProgress *progress, guint64 done)
{
    if (!pst_progress_due(progress))
        return;
    progress->shown_ns = pst_mono_now().ns;
    show(progress, done, progress->shown_ns, "");
}

void pst_progress_end(PstProgress *progress, guint64 done)
{
    gint64 now_ns = pst_mono_now().ns;
    if (is_shown(progress, now_ns))
        show(progress, done, now_ns, "\n");
}
