/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Large zeroed memory straight from the kernel. Nothing of it costs anything before it is touched.
 * Where the state of a million units is looked up at random, most of the time goes into finding the
 * page: pages of 2 MiB, where the kernel has them (transparent_hugepage = madvise or always), take
 * that away. */
#include <glib.h>

#define PAGES_HUGE ((gsize)2 << 20)

/* @bytes of zeros on a boundary of 2 MiB. Ends the program if the address space is used up, as
 * g_malloc does. Given (free with pages_free and the same @bytes). */
gpointer pages_new(gsize bytes) G_GNUC_WARN_UNUSED_RESULT;
void pages_free(gpointer pages, gsize bytes);
/* From @from on, large pages are better: what is touched there is soon used all over. */
void pages_want_huge(gpointer pages, gsize from, gsize bytes);
/* The same of memory from anywhere, as far as whole pages lie in it. */
void pages_hint_huge(gpointer data, gsize bytes);
