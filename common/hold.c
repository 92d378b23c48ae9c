/* SPDX-License-Identifier: Apache-2.0 */
#include "postern/sink.h"

char *pst_hold_producer_key(const char *topic, const char *producer)
{
    return g_strdup_printf("%s%c%s", topic, PST_HOLD_KEY_SEPARATOR, producer);
}

PstHold *pst_hold_new(guint32 partition)
{
    PstHold *hold = g_new0(PstHold, 1);
    hold->partition = partition;
    hold->smtp_position = PST_BUS_OLDEST;
    hold->evidence_position = PST_BUS_OLDEST;
    hold->producers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return hold;
}

PstHold *pst_hold_copy(const PstHold *hold)
{
    PstHold *copy = pst_hold_new(hold->partition);
    copy->epoch = hold->epoch;
    copy->smtp_position = hold->smtp_position;
    copy->evidence_position = hold->evidence_position;
    copy->input_id = hold->input_id;
    GHashTableIter iter;
    gpointer key, mark;
    g_hash_table_iter_init(&iter, hold->producers);
    while (g_hash_table_iter_next(&iter, &key, &mark))
        g_hash_table_insert(copy->producers, g_strdup(key),
                            g_memdup2(mark, sizeof(PstProducerMark)));
    return copy;
}

void pst_hold_free(PstHold *hold)
{
    if (hold == NULL)
        return;
    g_hash_table_unref(hold->producers);
    g_free(hold);
}
