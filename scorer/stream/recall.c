/* SPDX-License-Identifier: Apache-2.0 */
#include "recall.h"

enum { INPUTS_PAGE = 1000, ROWS_PAGE = 5000 };

GArray *recall_inputs(PstSink *sink, guint32 partition, gint64 after, gint64 last, GError **error)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(PstInput));
    for (gboolean more = after < last; more;) {
        g_autoptr(GArray) page = sink->inputs(sink, partition, after, INPUTS_PAGE, error);
        if (page == NULL)
            return NULL;
        for (guint i = 0; i < page->len; i++) {
            const PstInput *input = &g_array_index(page, PstInput, i);
            if (input->id <= last)
                g_array_append_val(all, *input);
            after = input->id;
        }
        more = page->len == INPUTS_PAGE && after < last;
    }
    return g_steal_pointer(&all);
}

GArray *recall_learned(PstSink *sink, guint32 partition, guint32 partitions, GError **error)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(PstEnvelope));
    const PstEnvelope *last = NULL;
    for (gboolean more = TRUE; more;) {
        g_autoptr(GArray) page =
            sink->envelopes(sink, partition, partitions, last, ROWS_PAGE, error);
        if (page == NULL)
            return NULL;
        g_array_append_vals(all, page->data, page->len);
        last = all->len > 0 ? &g_array_index(all, PstEnvelope, all->len - 1) : NULL;
        more = page->len == ROWS_PAGE;
    }
    return g_steal_pointer(&all);
}

GArray *recall_waiting(PstSink *sink, guint32 partition, guint32 partitions, GError **error)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(PstWaitingDay));
    const PstWaitingDay *last = NULL;
    for (gboolean more = TRUE; more;) {
        g_autoptr(GArray) page = sink->waiting(sink, partition, partitions, last, ROWS_PAGE, error);
        if (page == NULL)
            return NULL;
        g_array_append_vals(all, page->data, page->len);
        last = all->len > 0 ? &g_array_index(all, PstWaitingDay, all->len - 1) : NULL;
        more = page->len == ROWS_PAGE;
    }
    return g_steal_pointer(&all);
}
