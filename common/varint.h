/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Protobuf's base-128 numbers and tags, for the two codecs (flow, evidence). Writers trust their
 * room; readers are bounded and remember nothing. Source: protobuf.dev, Encoding. */
#include <glib.h>
#include <string.h>

enum { PST_WIRE_VARINT = 0, PST_WIRE_I64 = 1, PST_WIRE_LEN = 2, PST_WIRE_I32 = 5 };

static inline guint8 *pst_put_varint(guint8 *p, guint64 v)
{
    while (v >= 0x80) {
        *p++ = (guint8)(v | 0x80);
        v >>= 7;
    }
    *p++ = (guint8)v;
    return p;
}

/* Seven bits of @v (< 2^56) into each byte of the result, lowest first. */
static inline guint64 pst_spread_7(guint64 v)
{
    v = (v & G_GUINT64_CONSTANT(0x00fffffff0000000)) << 4 | (v & 0x0fffffff);
    v = (v & G_GUINT64_CONSTANT(0x0fffc0000fffc000)) << 2 |
        (v & G_GUINT64_CONSTANT(0x00003fff00003fff));
    return (v & G_GUINT64_CONSTANT(0x3f803f803f803f80)) << 1 |
           (v & G_GUINT64_CONSTANT(0x007f007f007f007f));
}

/* The same number without a loop, for the hot path. Writes 8 bytes at least: the room behind it
 * must be ours. */
static inline guint8 *pst_put_varint_wide(guint8 *p, guint64 v)
{
    const guint64 more = G_GUINT64_CONSTANT(0x8080808080808080);
    if (v < 0x80) {
        *p = (guint8)v;
        return p + 1;
    }
    if (G_UNLIKELY(v >> 63 != 0))
        return pst_put_varint(p, v);
    guint64 low = GUINT64_TO_LE(pst_spread_7(v & G_GUINT64_CONSTANT(0x00ffffffffffffff)) | more);
    if (v >> 56 != 0) {
        memcpy(p, &low, sizeof low);
        p[8] = (guint8)(v >> 56);
        return p + 9;
    }
    guint last = (63 - (guint)__builtin_clzll(v)) / 7; /* index of the last byte, 1 … 7 */
    low ^= GUINT64_TO_LE(G_GUINT64_CONSTANT(0x80) << 8 * last);
    memcpy(p, &low, sizeof low);
    return p + last + 1;
}

/* Field numbers are constants: the compiler folds this to one or two stores. */
static inline guint8 *pst_put_tag(guint8 *p, guint32 number, guint32 wire)
{
    return pst_put_varint(p, number << 3 | wire);
}

/* Returns the position after the number, NULL if it is cut off or longer than 64 bits. */
static inline const guint8 *pst_get_varint(const guint8 *p, const guint8 *end, guint64 *out)
{
    guint64 v = 0;
    for (guint shift = 0; shift < 64 && p < end; shift += 7) {
        guint8 byte = *p++;
        if (shift == 63 && byte > 1)
            return NULL;
        v |= (guint64)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = v;
            return p;
        }
    }
    return NULL;
}

/* One field's tag, and its value: a number, or @out_len bytes at the returned position − @out_len.
 * Numbers of fixed width are read over. NULL: malformed. */
typedef struct {
    guint32 number;
    guint32 wire;
    guint64 value;       /* VARINT */
    const guint8 *bytes; /* LEN: borrowed from the input */
    gsize len;
} PstWireField;

static inline const guint8 *pst_get_field(const guint8 *p, const guint8 *end, PstWireField *out)
{
    guint64 tag, len;
    p = pst_get_varint(p, end, &tag);
    if (p == NULL || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return NULL;
    out->number = (guint32)(tag >> 3);
    out->wire = (guint32)(tag & 7);
    switch (out->wire) {
    case PST_WIRE_VARINT:
        return pst_get_varint(p, end, &out->value);
    case PST_WIRE_I64:
        return end - p >= 8 ? p + 8 : NULL;
    case PST_WIRE_I32:
        return end - p >= 4 ? p + 4 : NULL;
    case PST_WIRE_LEN:
        p = pst_get_varint(p, end, &len);
        if (p == NULL || len > (guint64)(end - p))
            return NULL;
        out->bytes = p;
        out->len = (gsize)len;
        return p + len;
    default:
        return NULL; /* groups are long gone; 6 and 7 never were */
    }
}
