/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_embedded_retention.h"

#include "clock.h"

enum {
    PASS_MS = 500,
    SPARE_BYTES = 64 << 20,  /* free pages kept for reuse */
    SHRINK_BYTES = 16 << 20, /* given back in one transaction */
};

/* Deletes some of the oldest messages if a limit wants it. *out_done: none does any more. */
static gboolean delete_some(BusFile *file, const BusRetention *limits, gint64 used_bytes,
                            gboolean *out_done, GError **error)
{
    gint64 slot, time_ms;
    if (!bus_file_find_oldest(file, &slot, &time_ms, error))
        return FALSE;
    gint64 too_old_ms = g_get_real_time() / 1000 - limits->retain_s * 1000;
    gboolean too_much = used_bytes > limits->retain_bytes;
    *out_done = slot < 0 || (!too_much && time_ms >= too_old_ms);
    if (*out_done)
        return TRUE;
    gsize deleted = 0;
    if (!bus_file_begin(file, TRUE, error))
        return FALSE;
    if (bus_file_delete_oldest(file, slot, too_much ? G_MAXINT64 : too_old_ms, BUS_FILE_DELETE_MAX,
                               &deleted, error) &&
        bus_file_commit(file, error)) {
        *out_done = deleted == 0; /* another process was faster: look again next time */
        return TRUE;
    }
    bus_file_rollback(file);
    return FALSE;
}

gboolean bus_retention_pass(BusFile *file, const BusRetention *limits, gboolean *out_full,
                            GError **error)
{
    PstMono end = pst_mono_add(pst_mono_now(), pst_span_ms(PASS_MS));
    BusFileSize size;
    gboolean done = FALSE;
    while (!done && pst_mono_since(end, pst_mono_now()).ns > 0)
        if (!bus_file_get_size(file, &size, error) ||
            !delete_some(file, limits, size.used_bytes, &done, error))
            return FALSE;
    if (!bus_file_get_size(file, &size, error))
        return FALSE;
    *out_full = size.used_bytes > 2 * limits->retain_bytes;
    gint64 spare = MAX((gint64)SPARE_BYTES, size.used_bytes / 8);
    if (size.free_bytes <= spare)
        return TRUE;
    return bus_file_shrink(file, MIN(size.free_bytes - spare, (gint64)SHRINK_BYTES), error);
}
