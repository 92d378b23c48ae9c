/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#define CHUNK (1u << POOL_CHUNK_BITS)

void pool_init(Pool *pool, gsize element)
{
    g_assert(element >= sizeof(guint32));
    *pool = (Pool){.element = element, .chunks = g_ptr_array_new_with_free_func(g_free)};
}

void pool_clear(Pool *pool)
{
    g_clear_pointer(&pool->chunks, g_ptr_array_unref);
    pool->used = pool->free = pool->count = 0;
}

static void make_room(Pool *pool, guint32 id)
{
    while (id >> POOL_CHUNK_BITS >= pool->chunks->len)
        g_ptr_array_add(pool->chunks, g_malloc0_n(CHUNK, pool->element));
}

guint32 pool_take(Pool *pool)
{
    guint32 id = pool->free;
    if (id != 0) {
        memcpy(&pool->free, pool_at(pool, id), sizeof pool->free);
        memset(pool_at(pool, id), 0, sizeof pool->free);
    } else {
        id = ++pool->used;
        make_room(pool, id);
    }
    pool->count++;
    return id;
}

void pool_put(Pool *pool, guint32 id)
{
    g_assert(id != 0 && id <= pool->used && pool->count > 0);
    memset(pool_at(pool, id), 0, pool->element);
    memcpy(pool_at(pool, id), &pool->free, sizeof pool->free);
    pool->free = id;
    pool->count--;
}

gsize pool_bytes(const Pool *pool)
{
    return pool->chunks->len * CHUNK * pool->element;
}

void pool_write(const Pool *pool, Image *image)
{
    const guint32 head[] = {(guint32)pool->element, pool->used, pool->free, pool->count};
    image_put(image, head, sizeof head);
    for (guint32 id = 1; id <= pool->used; id++)
        image_put(image, pool_at(pool, id), pool->element);
}

gboolean pool_read(Pool *pool, PstCursor *from)
{
    guint32 head[4];
    if (!image_get(from, head, sizeof head) || head[0] != pool->element || head[2] > head[1] ||
        head[3] > head[1] || pst_cursor_left(from) / pool->element < head[1])
        return FALSE;
    pool->used = head[1];
    pool->free = head[2];
    pool->count = head[3];
    for (guint32 id = 1; id <= pool->used; id++) {
        make_room(pool, id);
        if (!image_get(from, pool_at(pool, id), pool->element))
            return FALSE;
    }
    return TRUE;
}
