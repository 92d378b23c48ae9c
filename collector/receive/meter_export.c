/* SPDX-License-Identifier: Apache-2.0 */
#include "meter_export.h"

#include <string.h>

#define NS_PER_S  G_GINT64_CONSTANT(1000000000)
#define NS_PER_MS G_GINT64_CONSTANT(1000000)

enum { VERSION = 10, TEMPLATE_SET = 2, TEMPLATE_V4 = 256, TEMPLATE_V6 = 257 };
enum { HEADER = 16, SET_HEADER = 4, FULL_BYTES = 32768, LENGTH_AT = 2 };

/* Both templates; the addresses come first and differ. RFC 5102. */
static const struct {
    guint16 id, len;
} fields[] = {{7, 2}, {11, 2}, {4, 1},   {136, 1}, {6, 2},
              {2, 8}, {1, 8},  {152, 8}, {153, 8}, {34, 4}};
static const guint16 addresses[2][2] = {{8, 12}, {27, 28}};

struct MeterExport {
    guint32 rate;
    MeterMessage message;
    gpointer user;
    GByteArray *bytes; /* of the message in the making; empty: none */
    gsize set_at;      /* of the set in the making; 0: none */
    guint16 set_id;
    guint32 records; /* of messages before this one, and of this one */
    guint32 waiting;
    gint64 begun_ns, now_ns;
    gboolean introduced; /* the templates were sent */
};

static void put(MeterExport *x, guint64 value, gsize len)
{
    guint64 be = GUINT64_TO_BE(value);
    g_byte_array_append(x->bytes, (const guint8 *)&be + sizeof be - len, (guint)len);
}

static void patch16(MeterExport *x, gsize at, gsize value)
{
    x->bytes->data[at] = (guint8)(value >> 8);
    x->bytes->data[at + 1] = (guint8)value;
}

static void end_set(MeterExport *x)
{
    if (x->set_at != 0)
        patch16(x, x->set_at + LENGTH_AT, x->bytes->len - x->set_at);
    x->set_at = 0;
}

static void begin_set(MeterExport *x, guint16 id)
{
    end_set(x);
    x->set_at = x->bytes->len;
    x->set_id = id;
    put(x, id, 2);
    put(x, 0, 2);
}

static void introduce(MeterExport *x)
{
    begin_set(x, TEMPLATE_SET);
    for (guint v6 = 0; v6 < 2; v6++) {
        put(x, TEMPLATE_V4 + v6, 2);
        put(x, G_N_ELEMENTS(fields) + 2, 2);
        for (guint i = 0; i < 2; i++) {
            put(x, addresses[v6][i], 2);
            put(x, v6 ? 16 : 4, 2);
        }
        for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
            put(x, fields[i].id, 2);
            put(x, fields[i].len, 2);
        }
    }
    x->introduced = TRUE;
}

static void begin_message(MeterExport *x, gint64 now_ns)
{
    x->begun_ns = now_ns;
    put(x, VERSION, 2);
    put(x, 0, 2);
    put(x, 0, 4); /* the time, when it is given */
    put(x, x->records, 4);
    put(x, 0, 4); /* one observation domain */
    if (!x->introduced)
        introduce(x);
}

static void put_addr(MeterExport *x, const PstAddr *addr, gboolean v6)
{
    static const guint8 mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    gboolean is_v4 = addr->family == PST_AF_INET;
    if (v6 && is_v4)
        g_byte_array_append(x->bytes, mapped, sizeof mapped);
    g_byte_array_append(x->bytes, addr->bytes, is_v4 ? 4 : 16);
}

static void put_flow(MeterExport *x, const MeteredFlow *flow)
{
    gboolean v6 = flow->src.family == PST_AF_INET6 || flow->dst.family == PST_AF_INET6;
    guint16 id = TEMPLATE_V4 + (guint16)v6;
    if (x->set_at == 0 || x->set_id != id)
        begin_set(x, id);
    put_addr(x, &flow->src, v6);
    put_addr(x, &flow->dst, v6);
    const guint64 values[G_N_ELEMENTS(fields)] = {
        flow->src_port,
        flow->dst_port,
        flow->proto,
        flow->end_reason,
        flow->tcp_flags,
        flow->packets,
        flow->bytes,
        (guint64)(flow->start_ns / NS_PER_MS),
        (guint64)(flow->end_ns / NS_PER_MS),
        x->rate,
    };
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        put(x, values[i], fields[i].len);
    x->waiting++;
}

MeterExport *meter_export_new(guint32 rate, MeterMessage message, gpointer user)
{
    MeterExport *x = g_new0(MeterExport, 1);
    x->rate = rate;
    x->message = message;
    x->user = user;
    x->bytes = g_byte_array_new();
    return x;
}

void meter_export_free(MeterExport *export)
{
    if (export == NULL)
        return;
    g_byte_array_unref(export->bytes);
    g_free(export);
}

void meter_export_flush(MeterExport *x)
{
    if (x->bytes->len == 0)
        return;
    end_set(x);
    patch16(x, LENGTH_AT, x->bytes->len);
    guint32 now_s = GUINT32_TO_BE((guint32)(x->now_ns / NS_PER_S));
    memcpy(x->bytes->data + 4, &now_s, sizeof now_s);
    x->message(x->user, x->bytes->data, x->bytes->len, x->now_ns);
    g_byte_array_set_size(x->bytes, 0);
    x->records += x->waiting;
    x->waiting = 0;
}

void meter_export_flow(MeterExport *x, const MeteredFlow *flow, gint64 now_ns)
{
    if (x->bytes->len > 0 &&
        (x->bytes->len >= FULL_BYTES || now_ns < x->now_ns || now_ns - x->begun_ns >= NS_PER_S))
        meter_export_flush(x);
    if (x->bytes->len == 0)
        begin_message(x, now_ns);
    put_flow(x, flow);
    x->now_ns = now_ns;
}
