/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Equal elements named by a number that stays: what a pointer would be, but serialisable.
 *
 * Elements stand in chunks that never move, so a pointer from pool_at is good until its element is
 * put back. Ids start at 1; 0 means none. A free element is zero but for its first four bytes, so a
 * type that is walked over needs a field behind those that is never zero while it is in use.
 * The order of ids is a function of the calls alone. Owner thread: one.
 */
#include "image.h"

typedef struct {
    gsize element; /* bytes of one */
    guint bits;    /* a chunk holds 2^bits elements */
    guint32 used;  /* ids 1 … used were handed out at some time */
    guint32 free;  /* first free id below, or 0 */
    guint32 count; /* in use now */
    guint32 n_chunks;
    guint8 **chunks;
} Pool;

/* @element at least 4 bytes. */
void pool_init(Pool *pool, gsize element);
void pool_clear(Pool *pool);
/* A zeroed element. */
guint32 pool_take(Pool *pool) G_GNUC_WARN_UNUSED_RESULT;
void pool_put(Pool *pool, guint32 id);
/* Of what was handed out at some time; more is reserved, but not touched. */
gsize pool_bytes(const Pool *pool);

static inline gpointer pool_at(const Pool *pool, guint32 id)
{
    return pool->chunks[id >> pool->bits] + (id & ((1u << pool->bits) - 1)) * pool->element;
}

void pool_write(const Pool *pool, Image *image);
/* Into a pool fresh from pool_init. FALSE: broken. */
gboolean pool_read(Pool *pool, PstCursor *from) G_GNUC_WARN_UNUSED_RESULT;
