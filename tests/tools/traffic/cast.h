/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Everybody who plays in one simulation, or in one shard of it: all lives of a seed, each with
 * addresses of its own. Silent addresses do nothing and are only counted. */
#include "life.h"

typedef struct {
    const Scene *scene;
    guint64 seed;
    Span span;
    double addresses;        /* how many legitimate addresses, the silent ones too */
    double trials;           /* of a spam class with units = 1 */
    const char *const *only; /* names of classes, NULL: all */
    guint shard, shards;     /* this one of so many; lives are dealt in turn */
} CastPlan;

typedef struct {
    CastPlan plan;
    Life *lives; /* by class, then number */
    guint n;
} Cast;

#define CAST_V4       0x0a000000u /* 10.0.0.0/8 */
#define CAST_NETWORKS "10.0.0.0/8,2001:db8::/36"

/* @plan->scene and ->only are borrowed as long as the cast lives. FALSE: more lives than
 * 10.0.0.0/8 has addresses. */
gboolean cast_init(Cast *cast, const CastPlan *plan) G_GNUC_WARN_UNUSED_RESULT;
void cast_clear(Cast *cast);

/* The life that an address or prefix belongs to, or −1. */
gint cast_find(const Cast *cast, const PstPrefix *unit);

/* How many lives of a class the plan has, over all shards. */
guint cast_count(const CastPlan *plan, const Class *class);
