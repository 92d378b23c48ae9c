/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A bounded reader of bytes from the wire that remembers its first error.
 *
 * A parser becomes a straight list of reads with one check at the end: after the first read past
 * the end every further read returns zero and moves nothing. Big-endian, as all our protocols.
 * A cursor never allocates and never asserts on what it reads. Thread: its owner's.
 */
#include <glib.h>
#include <string.h>

typedef struct {
    const guint8 *at;
    const guint8 *end;
    gboolean failed; /* a read went past the end; stays so */
} PstCursor;

static inline PstCursor pst_cursor(const guint8 *data, gsize len)
{
    return (PstCursor){.at = data, .end = data + len, .failed = FALSE};
}

static inline gsize pst_cursor_left(const PstCursor *c)
{
    return c->failed ? 0 : (gsize)(c->end - c->at);
}

static inline gboolean pst_cursor_ok(const PstCursor *c)
{
    return !c->failed;
}

/* Borrowed pointer to the next @n bytes, which are consumed; NULL if there are fewer. */
static inline const guint8 *pst_cursor_take(PstCursor *c, gsize n)
{
    if (G_UNLIKELY(c->failed || (gsize)(c->end - c->at) < n)) {
        c->failed = TRUE;
        return NULL;
    }
    const guint8 *p = c->at;
    c->at += n;
    return p;
}

static inline void pst_cursor_skip(PstCursor *c, gsize n)
{
    (void)pst_cursor_take(c, n);
}

/* A cursor over the next @n bytes, which are consumed here. Fewer: both fail. */
static inline PstCursor pst_cursor_sub(PstCursor *c, gsize n)
{
    const guint8 *p = pst_cursor_take(c, n);
    return p != NULL ? pst_cursor(p, n) : (PstCursor){.at = c->end, .end = c->end, .failed = TRUE};
}

static inline guint8 pst_cursor_u8(PstCursor *c)
{
    const guint8 *p = pst_cursor_take(c, 1);
    return p != NULL ? p[0] : 0;
}

static inline guint16 pst_load_be16(const guint8 *p)
{
    guint16 v;
    memcpy(&v, p, sizeof v);
    return GUINT16_FROM_BE(v);
}

static inline guint32 pst_load_be32(const guint8 *p)
{
    guint32 v;
    memcpy(&v, p, sizeof v);
    return GUINT32_FROM_BE(v);
}

static inline guint64 pst_load_be64(const guint8 *p)
{
    guint64 v;
    memcpy(&v, p, sizeof v);
    return GUINT64_FROM_BE(v);
}

static inline guint16 pst_cursor_u16(PstCursor *c)
{
    const guint8 *p = pst_cursor_take(c, 2);
    return p != NULL ? pst_load_be16(p) : 0;
}

static inline guint32 pst_cursor_u32(PstCursor *c)
{
    const guint8 *p = pst_cursor_take(c, 4);
    return p != NULL ? pst_load_be32(p) : 0;
}

static inline guint64 pst_cursor_u64(PstCursor *c)
{
    const guint8 *p = pst_cursor_take(c, 8);
    return p != NULL ? pst_load_be64(p) : 0;
}

/* An unsigned number of 1 … 8 bytes (IPFIX reduced-size encoding, RFC 7011 §6.2). */
static inline guint64 pst_load_be(const guint8 *p, gsize n)
{
    guint64 v = 0;
    for (gsize i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}
