/* SPDX-License-Identifier: Apache-2.0 */
#include "pages.h"

#include <sys/mman.h>

static gsize whole(gsize bytes)
{
    return (bytes + PAGES_HUGE - 1) / PAGES_HUGE * PAGES_HUGE;
}

gpointer pages_new(gsize bytes)
{
    gsize wanted = whole(bytes);
    guint8 *at = mmap(NULL, wanted + PAGES_HUGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        g_error("out of memory: no room for %" G_GSIZE_FORMAT " bytes", bytes);
    gsize before = (PAGES_HUGE - (gsize)at % PAGES_HUGE) % PAGES_HUGE;
    if (before > 0)
        (void)munmap(at, before);
    if (before < PAGES_HUGE)
        (void)munmap(at + before + wanted, PAGES_HUGE - before);
    return at + before;
}

void pages_free(gpointer pages, gsize bytes)
{
    if (pages != NULL)
        (void)munmap(pages, whole(bytes));
}

void pages_want_huge(gpointer pages, gsize from, gsize bytes)
{
    if (whole(from) < whole(bytes)) /* a kernel without them does without */
        (void)madvise((guint8 *)pages + whole(from), whole(bytes) - whole(from), MADV_HUGEPAGE);
}

void pages_hint_huge(gpointer data, gsize bytes)
{
    gsize skip = (PAGES_HUGE - (gsize)data % PAGES_HUGE) % PAGES_HUGE;
    if (bytes >= skip + PAGES_HUGE)
        (void)madvise((guint8 *)data + skip, (bytes - skip) / PAGES_HUGE * PAGES_HUGE,
                      MADV_HUGEPAGE);
}
