/* SPDX-License-Identifier: Apache-2.0 */
#include "datagram.h"

#include "netflow_v5.h"
#include "netflow_v9.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

enum { IPFIX_HEADER = 16, SET_HEADER = 4 };

/* A message has room for so many sets that hold a flow or a template, and for a few that are
 * shorter. What is beyond is nothing but work for us. */
enum { SETS_FREE = 32, SET_BYTES = 24 };
enum { IPFIX_SET_TEMPLATE = 2, IPFIX_SET_OPTIONS = 3, SET_DATA_MIN = 256 };

/* RFC 7011 §3.1. */
static Drop ipfix_message(PstCursor *payload, Message *out)
{
    pst_cursor_skip(payload, 2);
    guint16 length = pst_cursor_u16(payload);
    guint32 export_s = pst_cursor_u32(payload);
    out->sequence = pst_cursor_u32(payload);
    out->domain = pst_cursor_u32(payload);
    if (!pst_cursor_ok(payload))
        return DROP_SHORT;
    if (length < IPFIX_HEADER)
        return DROP_LENGTH_LIES;
    out->export_ns = export_s * NS_PER_S;
    out->body = pst_cursor_sub(payload, length - IPFIX_HEADER);
    return pst_cursor_ok(payload) ? DROP_NONE : DROP_LENGTH_LIES;
}

gboolean datagram_is_export(const guint8 *payload, gsize len)
{
    if (len < IPFIX_HEADER)
        return FALSE;
    guint16 version = pst_load_be16(payload);
    return version == VERSION_V5 || version == VERSION_V9 || version == VERSION_IPFIX;
}

static gboolean is_zero(const PstCursor *c)
{
    for (const guint8 *p = c->at; p < c->end; p++) {
        if (*p != 0)
            return FALSE;
    }
    return TRUE;
}

Drop datagram_next(PstCursor *payload, Message *out)
{
    *out = (Message){0};
    Drop drop;
    if (pst_cursor_left(payload) < 2) {
        drop = is_zero(payload) ? DROP_NONE : DROP_SHORT;
    } else {
        out->version = pst_load_be16(payload->at);
        switch (out->version) {
        case VERSION_V5:
            drop = netflow_v5_message(payload, out);
            break;
        case VERSION_V9:
            drop = netflow_v9_message(payload, out);
            break;
        case VERSION_IPFIX:
            drop = ipfix_message(payload, out);
            break;
        default:
            drop = out->version == 0 && is_zero(payload) ? DROP_NONE : DROP_VERSION;
            out->version = 0;
            break;
        }
    }
    if (drop != DROP_NONE || out->version == 0)
        payload->at = payload->end;
    out->sets_left = SETS_FREE + (guint32)(pst_cursor_left(&out->body) / SET_BYTES);
    return drop;
}

static SetKind set_kind(guint16 version, guint16 id)
{
    int shift = version == VERSION_V9 ? NETFLOW_V9_SET_SHIFT : 0;
    if (id >= SET_DATA_MIN)
        return SET_DATA;
    if (id + shift == IPFIX_SET_TEMPLATE)
        return SET_TEMPLATES;
    return id + shift == IPFIX_SET_OPTIONS ? SET_OPTIONS_TEMPLATES : SET_RESERVED;
}

static gboolean v5_set(Message *message, Set *out)
{
    if (pst_cursor_left(&message->body) == 0)
        return FALSE;
    *out = (Set){.kind = SET_DATA, .id = SET_ID_V5, .body = message->body};
    message->body.at = message->body.end;
    return TRUE;
}

static gboolean end_of_sets(PstCursor *body, Drop drop, Drop *out_drop)
{
    body->at = body->end;
    *out_drop = drop;
    return FALSE;
}

gboolean message_next_set(Message *message, Set *out, Drop *out_drop)
{
    PstCursor *body = &message->body;
    *out_drop = DROP_NONE;
    if (message->version == VERSION_V5)
        return v5_set(message, out);
    if (pst_cursor_left(body) == 0)
        return end_of_sets(body, message->overrun ? DROP_SET_LENGTH : DROP_NONE, out_drop);
    /* Some exporters fill their packets up with zeros (Palo Alto). */
    if (pst_cursor_left(body) < SET_HEADER || pst_load_be32(body->at) == 0)
        return end_of_sets(body, is_zero(body) ? DROP_NONE : DROP_SET_LENGTH, out_drop);
    if (message->sets_left-- == 0)
        return end_of_sets(body, DROP_SETS, out_drop);
    out->id = pst_cursor_u16(body);
    gsize length = pst_cursor_u16(body);
    if (length < SET_HEADER)
        return end_of_sets(body, DROP_SET_LENGTH, out_drop);
    gsize left = pst_cursor_left(body);
    if (length - SET_HEADER > left)
        message->overrun = TRUE;
    out->kind = set_kind(message->version, out->id);
    out->body = pst_cursor_sub(body, MIN(length - SET_HEADER, left));
    return TRUE;
}
