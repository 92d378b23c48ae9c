/* SPDX-License-Identifier: Apache-2.0 */
#include "hold.h"

static gsize held_size(const HeldSet *held)
{
    return sizeof *held + held->len;
}

static void forget(Hold *hold, HoldBudget *budget, const HeldSet *held)
{
    hold->bytes -= held_size(held);
    budget->bytes -= held_size(held);
}

static void drop_oldest(Hold *hold, HoldBudget *budget, HoldLost lost, gpointer user)
{
    g_autoptr(HeldSet) held = g_queue_pop_head(&hold->sets);
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
    gsize size = sizeof(HeldSet) + len;
    if (size > budget->domain_max)
        return FALSE;
    while (hold->bytes + size > budget->domain_max)
        drop_oldest(hold, budget, lost, user);
    if (budget->bytes + size > budget->bytes_max)
        return FALSE;
    HeldSet *held = g_malloc(size);
    *held = (HeldSet){
        .message = *message, .id = set->id, .port = port, .received_ns = received_ns, .len = len};
    held->message.body = (PstCursor){0};
    memcpy(held->bytes, set->body.at, len);
    g_queue_push_tail(&hold->sets, held);
    hold->bytes += size;
    budget->bytes += size;
    return TRUE;
}

HeldSet *hold_take(Hold *hold, HoldBudget *budget, guint16 id)
{
    for (GList *link = hold->sets.head; link != NULL; link = link->next) {
        HeldSet *held = link->data;
        if (held->id != id)
            continue;
        g_queue_delete_link(&hold->sets, link);
        forget(hold, budget, held);
        return held;
    }
    return NULL;
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
