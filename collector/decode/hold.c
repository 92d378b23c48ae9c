/* SPDX-License-Identifier: Apache-2.0 */
#include "hold.h"

/* What one set may cost in the table beside itself. */
enum { HELD_TABLE_BYTES = 64 };

static gsize size_for(gsize len)
{
    return sizeof(HeldSet) + HELD_TABLE_BYTES + len;
}

static gsize held_size(const HeldSet *held)
{
    return size_for(held->len);
}

static void free_queue(gpointer queue)
{
    g_free(queue); /* its links are inside the sets */
}

static GQueue *waiting_for(const Hold *hold, guint16 id)
{
    return hold->waiting != NULL ? g_hash_table_lookup(hold->waiting, GUINT_TO_POINTER(id)) : NULL;
}

static void remember(Hold *hold, HoldBudget *budget, HeldSet *held)
{
    GQueue *queue = waiting_for(hold, held->id);
    if (hold->waiting == NULL)
        hold->waiting = g_hash_table_new_full(NULL, NULL, NULL, free_queue);
    if (queue == NULL) {
        queue = g_new0(GQueue, 1);
        g_hash_table_insert(hold->waiting, GUINT_TO_POINTER(held->id), queue);
    }
    g_queue_push_tail_link(queue, &held->by_id);
    g_queue_push_tail_link(&hold->sets, &held->by_age);
    hold->bytes += held_size(held);
    budget->bytes += held_size(held);
}

static void forget(Hold *hold, HoldBudget *budget, HeldSet *held)
{
    GQueue *queue = waiting_for(hold, held->id);
    g_queue_unlink(queue, &held->by_id);
    if (g_queue_is_empty(queue))
        g_hash_table_remove(hold->waiting, GUINT_TO_POINTER(held->id));
    g_queue_unlink(&hold->sets, &held->by_age);
    if (g_queue_is_empty(&hold->sets))
        g_clear_pointer(&hold->waiting, g_hash_table_unref);
    hold->bytes -= held_size(held);
    budget->bytes -= held_size(held);
}

static void drop_oldest(Hold *hold, HoldBudget *budget, HoldLost lost, gpointer user)
{
    g_autoptr(HeldSet) held = g_queue_peek_head(&hold->sets);
    forget(hold, budget, held);
    if (lost != NULL)
        lost(user, held);
}

void hold_free(HeldSet *held)
{
    g_free(held);
}

void hold_clear(Hold *hold, HoldBudget *budget)
{
    while (!g_queue_is_empty(&hold->sets))
        drop_oldest(hold, budget, NULL, NULL);
}

gboolean hold_put(Hold *hold, HoldBudget *budget, const Message *message, const Set *set,
                  guint16 port, gint64 received_ns, HoldLost lost, gpointer user)
{
    gsize len = pst_cursor_left(&set->body);
    gsize size = size_for(len);
    if (len < HOLD_BYTES_MIN || size > budget->domain_max)
        return FALSE;
    while (hold->bytes + size > MIN(budget->domain_max, budget->bytes_max - budget->bytes)) {
        if (g_queue_is_empty(&hold->sets))
            return FALSE;
        drop_oldest(hold, budget, lost, user);
    }
    HeldSet *held = g_malloc(sizeof *held + len);
    *held = (HeldSet){
        .message = *message, .id = set->id, .port = port, .received_ns = received_ns, .len = len};
    held->by_age.data = held->by_id.data = held;
    held->message.body = (PstCursor){0};
    memcpy(held->bytes, set->body.at, len);
    remember(hold, budget, held);
    return TRUE;
}

HeldSet *hold_take(Hold *hold, HoldBudget *budget, guint16 id)
{
    GQueue *queue = waiting_for(hold, id);
    if (queue == NULL)
        return NULL;
    HeldSet *held = g_queue_peek_head(queue);
    forget(hold, budget, held);
    return held;
}

void hold_expire(Hold *hold, HoldBudget *budget, gint64 before_ns, HoldLost lost, gpointer user)
{
    while (!g_queue_is_empty(&hold->sets)) {
        const HeldSet *oldest = g_queue_peek_head(&hold->sets);
        if (oldest->received_ns >= before_ns)
            return;
        drop_oldest(hold, budget, lost, user);
    }
}
