/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A domain as bytes, to be kept over a restart (state.h): the templates in force, as the template
 * records that the exporter sent; its sampling rates, the start of its uptime, its interfaces'
 * names; and what its sequences expect.
 *
 *     image = item …      item = kind (1 byte)  length (2)  body      all numbers big-endian
 *
 * Two images of a domain, because one of them changes all the time: its memory and its sequences.
 * What is read back is any bytes, as from the wire: a template goes through the same reader and the
 * same checks, all bounds hold, an item of unknown kind is left out.
 * Thread: the worker's.
 */
#include "exporter.h"

/* Appends to @out. */
void image_memory(const Domain *domain, GByteArray *out);
void image_sequences(Domain *domain, gint64 now_ns, GByteArray *out);

typedef struct {
    guint templates;
    guint old;     /* templates too old to be trusted */
    guint refused; /* items that break a rule */
} ImageCounts;

/* Puts what @image holds into the fresh @domain. Templates that were neither sent nor used since
 * @before_ns are left out. @spec is scratch. */
void image_restore(Domain *domain, const guint8 *image, gsize len, gint64 before_ns,
                   TemplateSpec *spec, ImageCounts *counts);
