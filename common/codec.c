/* SPDX-License-Identifier: Apache-2.0 */
#include "codec.h"

#include "flow_fields.h"
#include "varint.h"

enum {
    NUMBER_END = 1020, /* after the last number of a flow's field */
    FIELD_SAMPLER = 11,
    FIELD_DOMAIN = 70,
    FIELD_RECEIVED = 110,
    FIELD_BEAT_EVENT = 1100,
    FIELD_BEAT_GROWTH = 1101, /* received, twice, … */
    FIELD_BEAT_LOST = 1110,   /* + PstLoss */
    FIELD_BEAT_SUMS = 1130,   /* ledger, expected, … */
};

/* Numbers of a heartbeat that are not growth, from FIELD_BEAT_SUMS on. */
static const guint16 sum_offsets[] = {
    offsetof(PstHeartbeat, ledger),
    offsetof(PstHeartbeat, expected),
    offsetof(PstHeartbeat, expected_datagrams),
    offsetof(PstHeartbeat, sampling_rate),
};
enum {
    FIELD_BEAT_CLOCK = FIELD_BEAT_SUMS + G_N_ELEMENTS(sum_offsets), /* zigzag */
    FIELD_BEAT_VERSION
};
enum { GROWTH_BEFORE_LOST = PST_GROWTH_COUNT - PST_LOSS_COUNT };

static guint64 *beat_sum(PstHeartbeat *beat, guint32 i)
{
    return (guint64 *)(void *)((guint8 *)beat + sum_offsets[i]);
}

static guint32 growth_field(guint32 i)
{
    return i < GROWTH_BEFORE_LOST ? FIELD_BEAT_GROWTH + i
                                  : FIELD_BEAT_LOST + i - GROWTH_BEFORE_LOST;
}

static inline guint8 *put_number(guint8 *p, guint32 number, guint64 value)
{
    return value == 0 ? p : pst_put_varint_wide(pst_put_tag(p, number, PST_WIRE_VARINT), value);
}

static inline guint8 *put_addr(guint8 *p, guint32 number, PstAddr addr)
{
    if (addr.family == PST_AF_NONE)
        return p;
    p = pst_put_tag(p, number, PST_WIRE_LEN);
    guint8 n = addr.family == PST_AF_INET ? 4 : 16;
    *p++ = n;
    memcpy(p, addr.bytes, sizeof addr.bytes); /* the rest is overwritten by what follows */
    return p + n;
}

/* Puts the length before a message that was written at out + 2 and ends at @end. */
static inline gsize close_message(guint8 *out, const guint8 *end)
{
    gsize n = (gsize)(end - (out + 2));
    if (G_LIKELY(n >= 0x80)) { /* < 16384: PST_CODEC_FLOW_MAX */
        out[0] = (guint8)(n | 0x80);
        out[1] = (guint8)(n >> 7);
        return n + 2;
    }
    out[0] = (guint8)n;
    memmove(out + 1, out + 2, n);
    return n + 1;
}

gsize pst_codec_put_flow(guint8 *out, const PstFlow *flow)
{
    guint8 *p = out + 2;
#define PUT(number, kind, member, has_bit, key)                                                    \
    p = _Generic(flow->member, PstAddr : put_addr, default : put_number)(p, number, flow->member);
    PST_FLOW_FIELDS(PUT)
    if (G_UNLIKELY(flow->has & PST_HAS_RARE)) {
        PST_FLOW_RARE_FIELDS(PUT)
    }
    return close_message(out, p);
}

gsize pst_codec_put_heartbeat(guint8 *out, const PstHeartbeat *beat)
{
    guint8 *p = out + 2;
    p = put_number(p, 1, PST_FLOW_HEARTBEAT);
    p = put_addr(p, FIELD_SAMPLER, beat->sampler);
    p = put_number(p, FIELD_DOMAIN, beat->domain);
    p = put_number(p, FIELD_RECEIVED, (guint64)beat->received_ns);
    p = put_number(p, FIELD_BEAT_EVENT, (guint64)beat->newest_event_ns);
    for (guint i = 0; i < PST_GROWTH_COUNT; i++)
        p = put_number(p, growth_field(i), beat->growth[i]);
    for (guint i = 0; i < G_N_ELEMENTS(sum_offsets); i++)
        p = put_number(p, FIELD_BEAT_SUMS + i, *beat_sum((PstHeartbeat *)(gsize)beat, i));
    guint64 clock = (guint64)beat->clock_offset_ms;
    p = put_number(p, FIELD_BEAT_CLOCK, clock << 1 ^ (beat->clock_offset_ms < 0 ? ~0ull : 0));
    p = put_number(p, FIELD_BEAT_VERSION, beat->version);
    return close_message(out, p);
}

/* How a field is read: an address, or a number of @width bytes at @offset. */
typedef struct {
    guint16 offset;
    guint8 width; /* 0: no such field */
    gboolean is_addr;
    guint32 has;
} Reader;

#define IS_ADDR(member) _Generic(((PstFlow *)0)->member, PstAddr : TRUE, default : FALSE)
#define READER(number, kind, member, has_bit, key)                                                 \
    [number] = {offsetof(PstFlow, member), sizeof((PstFlow *)0)->member, IS_ADDR(member), has_bit},

static const Reader readers[NUMBER_END] = {PST_FLOW_FIELDS(READER) PST_FLOW_RARE_FIELDS(READER)};

static gboolean read_addr(const PstWireField *field, PstAddr *out)
{
    if (field->wire != PST_WIRE_LEN)
        return FALSE;
    if (field->len == 4)
        *out = pst_addr_v4_bytes(field->bytes);
    else if (field->len == 16)
        *out = pst_addr_v6_bytes(field->bytes);
    else if (field->len == 0)
        *out = (PstAddr){0};
    else
        return FALSE;
    return TRUE;
}

static gboolean read_flow_field(const PstWireField *field, PstFlow *flow, guint32 *seen)
{
    const Reader *reader = &readers[field->number];
    if (reader->width == 0)
        return TRUE; /* from a newer writer */
    guint8 *at = (guint8 *)flow + reader->offset;
    if (reader->is_addr)
        return read_addr(field, (PstAddr *)(void *)at);
    if (field->wire != PST_WIRE_VARINT || !pst_flow_put_number(at, reader->width, field->value))
        return FALSE;
    *seen |= reader->has;
    return TRUE;
}

/* Where a heartbeat keeps field @number, if that is one of its plain numbers; else NULL. */
static guint64 *beat_place(PstHeartbeat *beat, guint32 number)
{
    if (number - FIELD_BEAT_GROWTH < GROWTH_BEFORE_LOST)
        return &beat->growth[number - FIELD_BEAT_GROWTH];
    if (number - FIELD_BEAT_LOST < PST_LOSS_COUNT)
        return &beat->lost[number - FIELD_BEAT_LOST];
    if (number - FIELD_BEAT_SUMS < G_N_ELEMENTS(sum_offsets))
        return beat_sum(beat, number - FIELD_BEAT_SUMS);
    return NULL;
}

static gboolean read_beat_field(const PstWireField *field, PstHeartbeat *beat)
{
    guint64 *place = beat_place(beat, field->number);
    gboolean other = field->number == FIELD_BEAT_EVENT || field->number == FIELD_BEAT_CLOCK ||
                     field->number == FIELD_BEAT_VERSION;
    if (place == NULL && !other)
        return TRUE; /* from a newer writer */
    if (field->wire != PST_WIRE_VARINT)
        return FALSE;
    if (place != NULL)
        *place = field->value;
    else if (field->number == FIELD_BEAT_EVENT)
        beat->newest_event_ns = (gint64)field->value;
    else if (field->number == FIELD_BEAT_CLOCK)
        beat->clock_offset_ms = (gint64)(field->value >> 1 ^ -(field->value & 1));
    else
        return pst_flow_put_number(&beat->version, sizeof beat->version, field->value);
    return TRUE;
}

/* What a newer writer may know and we do not becomes "unknown". */
static void settle(PstFlow *flow, guint32 seen)
{
    flow->has |= seen;
    if (flow->direction > PST_DIR_TRANSIT)
        flow->direction = PST_DIR_UNKNOWN;
    if (flow->rate_source > PST_RATE_OPERATOR)
        flow->rate_source = PST_RATE_NONE;
    if (flow->sampling_rate == 0)
        flow->sampling_rate = 1;
}

PstCodecItem pst_batch_next(PstBatch *batch, PstFlow *out_flow, PstHeartbeat *out_beat)
{
    if (batch->at == batch->end)
        return PST_CODEC_END;
    guint64 len;
    const guint8 *p = pst_get_varint(batch->at, batch->end, &len);
    if (p == NULL || len > (guint64)(batch->end - p))
        goto malformed;
    const guint8 *end = p + len;
    guint32 seen = 0;
    memset(out_flow, 0, sizeof *out_flow);
    memset(out_beat, 0, sizeof *out_beat);
    while (p < end) {
        PstWireField field = {0};
        p = pst_get_field(p, end, &field);
        if (p == NULL)
            goto malformed;
        gboolean ok = field.number < NUMBER_END ? read_flow_field(&field, out_flow, &seen)
                                                : read_beat_field(&field, out_beat);
        if (!ok)
            goto malformed;
    }
    batch->at = end;
    if (out_flow->type == PST_FLOW_HEARTBEAT) {
        out_beat->sampler = out_flow->sampler;
        out_beat->domain = out_flow->domain;
        out_beat->received_ns = out_flow->received_ns;
        return PST_CODEC_HEARTBEAT;
    }
    settle(out_flow, seen);
    return PST_CODEC_FLOW;

malformed:
    batch->at = batch->end;
    return PST_CODEC_MALFORMED;
}
