/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Elements of templates that we do not understand, by number: what an operator would look at when
 * an exporter seems to say less than it should. Bounded: SKIPPED_MAX numbers of a worker, what
 * comes after them counts as one. Thread: the worker's. */
#include "stats.h"
#include "template.h"

enum { SKIPPED_MAX = 256 };

typedef struct Skipped Skipped;

/* @stats borrowed; may be NULL. Given. */
Skipped *skipped_new(PstStats *stats);
void skipped_free(Skipped *skipped);

/* Counts the fields of a new template that nobody reads. Returns how many. */
guint skipped_count(Skipped *skipped, const TemplateSpec *spec);
/* How many numbers have a count of their own. */
guint skipped_numbers(const Skipped *skipped);
