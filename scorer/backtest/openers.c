/* SPDX-License-Identifier: Apache-2.0 */
#include "openers.h"

enum { PROTO_TCP = 6 };

static gboolean is_opening(const PstFlow *flow)
{
    return flow->proto == PROTO_TCP && pst_is_mail_port(flow->dst_port) &&
           !pst_is_mail_port(flow->src_port) && flow->direction != PST_DIR_OUT &&
           flow->direction != PST_DIR_INSIDE;
}

void openers_note(Openers *openers, const PstFlow *flow)
{
    if (!is_opening(flow))
        return;
    gsize vacant = OPENERS_MAX;
    for (gsize i = 0; i < OPENERS_MAX; i++) {
        if (openers->slots[i].count == 0)
            vacant = i;
        else if (pst_addr_equal(&openers->slots[i].addr, &flow->src_addr)) {
            openers->slots[i].count++;
            return;
        }
    }
    if (vacant < OPENERS_MAX) {
        openers->slots[vacant].addr = flow->src_addr;
        openers->slots[vacant].count = 1;
        return;
    }
    for (gsize i = 0; i < OPENERS_MAX; i++)
        openers->slots[i].count--;
}

char *openers_text(const Openers *openers)
{
    Openers left = *openers;
    g_autoptr(GString) out = g_string_new(NULL);
    for (guint told = 0; told < OPENERS_TOLD; told++) {
        gsize best = 0;
        for (gsize i = 1; i < OPENERS_MAX; i++)
            if (left.slots[i].count > left.slots[best].count)
                best = i;
        if (left.slots[best].count == 0)
            break;
        char text[PST_ADDR_TEXT_MAX];
        g_string_append_printf(out, "%s%s", told > 0 ? ", " : "",
                               pst_addr_format(&left.slots[best].addr, text));
        left.slots[best].count = 0;
    }
    return out->len > 0 ? g_string_free(g_steal_pointer(&out), FALSE) : NULL;
}
