/* SPDX-License-Identifier: Apache-2.0 */
#include "cast.h"

#include <math.h>
#include <string.h>

#define NEIGHBOURHOOD 256 /* addresses that act together get one to themselves */
#define V4_END        0x0b000000u

static gboolean plays(const CastPlan *plan, const Class *class)
{
    return plan->only == NULL || g_strv_contains(plan->only, class->name);
}

guint cast_count(const CastPlan *plan, const Class *class)
{
    double n = class->spam ? plan->trials * class->units : plan->addresses * class->units / 1e6;
    if (!plays(plan, class) || !(n > 0))
        return 0;
    return MAX(1, (guint)floor(n + 0.5));
}

/* FALSE: no room. */
static gboolean settle(Life *life, guint32 *v4, guint32 *v6)
{
    if (life->class->v6) {
        life->address = (*v6)++;
        return TRUE;
    }
    if (life->hosts > 1)
        *v4 = (*v4 + NEIGHBOURHOOD - 1) & ~(guint32)(NEIGHBOURHOOD - 1);
    life->address = *v4;
    *v4 += life->hosts > 1 ? NEIGHBOURHOOD : 1;
    return *v4 < V4_END;
}

gboolean cast_init(Cast *cast, const CastPlan *plan)
{
    g_autoptr(GArray) lives = g_array_new(FALSE, FALSE, sizeof(Life));
    guint32 v4 = CAST_V4 + 1, v6 = 1;
    guint dealt = 0;
    gboolean room = TRUE;
    for (guint c = 0; c < plan->scene->classes->len; c++) {
        const Class *class = scene_class(plan->scene, c);
        guint count = cast_count(plan, class);
        for (guint number = 0; number < count; number++) {
            if (dealt++ % plan->shards != plan->shard)
                continue;
            Life life;
            life_begin(&life, plan->scene, class, plan->seed, number, &plan->span);
            room = room && settle(&life, &v4, &v6);
            g_array_append_val(lives, life);
        }
    }
    cast->plan = *plan;
    cast->n = lives->len;
    cast->lives = (Life *)(void *)g_array_free(g_steal_pointer(&lives), FALSE);
    return room;
}

void cast_clear(Cast *cast)
{
    g_clear_pointer(&cast->lives, g_free);
}

/* Lives stand in the order of their addresses, IPv4 and IPv6 each for themselves. */
static gint find_v4(const Cast *cast, guint32 address)
{
    gint best = -1;
    for (guint low = 0, high = cast->n; low < high;) {
        guint at = (low + high) / 2, probe = at;
        while (probe < high && cast->lives[probe].class->v6)
            probe++;
        if (probe == high || cast->lives[probe].address > address) {
            high = at;
        } else {
            best = (gint)probe;
            low = probe + 1;
        }
    }
    if (best >= 0 && address >= cast->lives[best].address + cast->lives[best].hosts)
        return -1;
    return best;
}

static gint find_v6(const Cast *cast, guint32 number)
{
    for (guint i = 0; i < cast->n; i++)
        if (cast->lives[i].class->v6)
            return cast->lives[i].address <= number && i + number - cast->lives[i].address < cast->n
                       ? (gint)(i + number - cast->lives[i].address)
                       : -1;
    return -1;
}

gint cast_find(const Cast *cast, const PstPrefix *unit)
{
    guint at = unit->addr.family == PST_AF_INET6 ? 4 : 0;
    guint32 word;
    memcpy(&word, unit->addr.bytes + at, sizeof word);
    word = GUINT32_FROM_BE(word);
    return unit->addr.family == PST_AF_INET6 ? find_v6(cast, word) : find_v4(cast, word);
}
