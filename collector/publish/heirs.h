/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Spools that a run with another number of workers has left. Each is replayed under the producer's
 * name that it was written with, beside the work of the present run, and removed when it is empty.
 * Thread: the worker's that has them. */
#include "publish.h"

/* The spool of worker @number of @n: @base alone, or with its number. Given. */
char *heirs_spool_of(const char *base, guint n, guint number);
/* Its name on the bus. Given. */
char *heirs_producer_of(const char *base, guint n, guint number);

typedef struct Heirs Heirs;

/* What there is beside the spools of @n workers. @options: those of a worker, with spool and
 * producer of the whole program; its texts are borrowed for the heirs' life. NULL: nothing, or
 * @error. Given. */
Heirs *heirs_open(const PublisherOptions *options, guint n, GError **error);
/* What is left stays in its files. Accepts NULL, as all of these. */
void heirs_close(Heirs *heirs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Heirs, heirs_close)

/* @error as publisher_tick. */
gboolean heirs_tick(Heirs *heirs, PstMono now, GError **error);
