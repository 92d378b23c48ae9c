/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bytes of a state: where every part of an engine writes itself, in the machine's byte order.
 *
 * An image goes to a byte array (snapshot) or into a hash (digest), so that both always speak of
 * the same bytes. It is read back through the bounded cursor. Structs are written as they lie in
 * memory: they are made zeroed, so that their padding is zero too.
 */
#include "cursor.h"

typedef struct {
    GByteArray *bytes; /* borrowed, or NULL */
    GChecksum *hash;   /* borrowed, or NULL */
} Image;

static inline void image_put(Image *image, gconstpointer data, gsize len)
{
    const guint8 *at = data;
    while (len > 0) { /* GLib counts in guint and gssize: pieces of at most 1 GiB */
        guint piece = (guint)MIN(len, (gsize)1 << 30);
        if (image->bytes != NULL)
            g_byte_array_append(image->bytes, at, piece);
        if (image->hash != NULL)
            g_checksum_update(image->hash, at, piece);
        at += piece;
        len -= piece;
    }
}

static inline gboolean image_get(PstCursor *from, gpointer out, gsize len)
{
    const guint8 *at = pst_cursor_take(from, len);
    if (at == NULL)
        return FALSE;
    memcpy(out, at, len);
    return TRUE;
}

/* Tells damage, not malice: a state is our own file. @data may lie anywhere. */
static inline guint64 image_checksum(const guint8 *data, gsize len)
{
    const guint64 odd = G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    guint64 sum = len;
    for (gsize at = 0; at < len; at += sizeof(guint64)) {
        guint64 word = 0;
        memcpy(&word, data + at, MIN(len - at, sizeof word));
        sum = (sum ^ word) * odd;
        sum ^= sum >> 29;
    }
    return sum;
}
