/* SPDX-License-Identifier: Apache-2.0 */
#include "netflow_v9.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

enum { VENDOR_BIT = 0x8000, HEADER = 20, SET_HEADER = 4 };

/* v9 has no message length. A message goes to the end of the datagram, unless the number of a set,
 * where 2 … 255 are reserved, is the version of another message that was glued on. */
static gsize body_len(const PstCursor *payload)
{
    PstCursor c = *payload;
    while (pst_cursor_left(&c) >= SET_HEADER) {
        gsize at = (gsize)(c.at - payload->at);
        if (pst_load_be16(c.at) == VERSION_V9 && pst_cursor_left(&c) >= HEADER)
            return at;
        pst_cursor_skip(&c, 2);
        guint16 len = pst_cursor_u16(&c);
        if (len < SET_HEADER)
            break;
        pst_cursor_skip(&c, len - (gsize)SET_HEADER);
    }
    return pst_cursor_left(payload);
}

Drop netflow_v9_message(PstCursor *payload, Message *out)
{
    pst_cursor_skip(payload, 4); /* version; count, which exporters read in different ways */
    out->uptime_ms = pst_cursor_u32(payload);
    out->export_ns = pst_cursor_u32(payload) * NS_PER_S;
    out->sequence = pst_cursor_u32(payload);
    out->domain = pst_cursor_u32(payload);
    if (!pst_cursor_ok(payload))
        return DROP_SHORT;
    out->has_uptime = TRUE;
    out->body = pst_cursor_sub(payload, body_len(payload));
    return DROP_NONE;
}

static Field rewrite_field(guint16 type, guint16 len)
{
    if (type & VENDOR_BIT)
        return (Field){.pen = NETFLOW_V9_VENDOR_PEN, .id = type & ~VENDOR_BIT, .len = len};
    return (Field){.id = type, .len = len};
}

/* RFC 3954 §6.1: what an options record is about. */
static Field rewrite_scope(guint16 type, guint16 len)
{
    static const guint16 element[] = {
        [1] = 144, /* system: exportingProcessId */
        [2] = 10,  /* interface: ingressInterface */
        [3] = 141, /* line card: lineCardId */
        [4] = 0,   /* cache: no such element */
        [5] = 145, /* template: templateId */
    };
    guint16 id = type < G_N_ELEMENTS(element) ? element[type] : 0;
    return (Field){.id = id != 0 ? id : FIELD_OPAQUE, .len = len};
}

Drop netflow_v9_template(PstCursor *set, gboolean options, TemplateSpec *out)
{
    template_start(out, set);
    out->id = pst_cursor_u16(set);
    gsize n_scope = 0;
    gsize n;
    if (options) {
        /* lengths in bytes, of which each field specifier takes four */
        n_scope = pst_cursor_u16(set) / 4;
        n = n_scope + pst_cursor_u16(set) / 4;
    } else {
        n = pst_cursor_u16(set);
    }
    if (!pst_cursor_ok(set))
        return DROP_TEMPLATE_SHORT;
    Drop drop = template_begin(out, options, n, n_scope);
    for (gsize i = 0; i < n && pst_cursor_ok(set); i++) {
        guint16 type = pst_cursor_u16(set);
        guint16 len = pst_cursor_u16(set);
        if (drop == DROP_NONE)
            out->fields[i] = i < n_scope ? rewrite_scope(type, len) : rewrite_field(type, len);
    }
    if (!pst_cursor_ok(set))
        return DROP_TEMPLATE_SHORT;
    template_stop(out, set);
    return drop != DROP_NONE ? drop : template_check(out);
}
