/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include "pages.h"

#define CHUNK ((gsize)32 << 20) /* bytes, at most: reserved at once, touched bit by bit */
#define SMALL ((gsize)4 << 20)  /* of the first chunk: what a small partition needs at most */

void pool_init(Pool *pool, gsize element)
{
    g_assert(element >= sizeof(guint32) && element <= CHUNK);
    *pool = (Pool){.element = element};
    while (((gsize)2 << pool->bits) * element <= CHUNK)
        pool->bits++;
}

static gsize chunk_bytes(const Pool *pool)
{
    return pool->element << pool->bits;
}

void pool_clear(Pool *pool)
{
    for (guint32 i = 0; i < pool->n_chunks; i++)
        pages_free(pool->chunks[i], chunk_bytes(pool));
    g_clear_pointer(&pool->chunks, g_free);
    pool->n_chunks = pool->used = pool->free = pool->count = 0;
}

static void make_room(Pool *pool, guint32 id)
{
    while (id >> pool->bits >= pool->n_chunks) {
        guint8 *chunk = pages_new(chunk_bytes(pool));
        pages_want_huge(chunk, pool->n_chunks == 0 ? SMALL : 0, chunk_bytes(pool));
        pool->chunks = g_renew(guint8 *, pool->chunks, (gsize)pool->n_chunks + 1);
        pool->chunks[pool->n_chunks++] = chunk;
    }
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
    return pool->n_chunks > 0 ? ((gsize)pool->used + 1) * pool->element : 0;
}

/* Elements that lie side by side, from @first on. */
static guint32 run_of(const Pool *pool, guint32 first)
{
    guint32 chunk_end = ((first >> pool->bits) + 1) << pool->bits;
    return MIN(chunk_end, pool->used + 1) - first;
}

void pool_write(const Pool *pool, Image *image)
{
    const guint32 head[] = {(guint32)pool->element, pool->used, pool->free, pool->count};
    image_put(image, head, sizeof head);
    for (guint32 id = 1; id <= pool->used; id += run_of(pool, id))
        image_put(image, pool_at(pool, id), run_of(pool, id) * pool->element);
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
    if (pool->used > 0)
        make_room(pool, pool->used);
    for (guint32 id = 1; id <= pool->used; id += run_of(pool, id))
        if (!image_get(from, pool_at(pool, id), run_of(pool, id) * pool->element))
            return FALSE;
    return TRUE;
}
