/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions of people and of the desk, as the engine takes them. */
#include "history.h"
#include "neighbourhood.h"

#define ADDRESS_BITS 10 /* of an IPv4 net whose addresses are tried one by one */

/* --- decisions --------------------------------------------------------------------------- */

static gboolean holds_unit(const PstPrefix *prefix, const PstUnit *unit)
{
    return prefix->len <= unit->len && pst_prefix_contains(prefix, &unit->addr);
}

/* Units of @prefix that are no longer cut as the rules say. */
static void recut(Engine *engine, const PstPrefix *prefix)
{
    for (guint32 id = 1; id <= unit_table_places(engine->units); id++) {
        const Unit *unit = unit_table_at(engine->units, id);
        if (unit->unit.addr.family == PST_AF_NONE ||
            !(holds_unit(prefix, &unit->unit) || holds_unit(&unit->unit, prefix)))
            continue;
        PstUnit right = rules_unit_of(engine->rules, &unit->unit.addr);
        if (!pst_prefix_equal(&right, &unit->unit) && history_bring_up(engine, id))
            engine_forget(engine, id);
    }
}

typedef void (*NetVisit)(Engine *engine, guint32 id, gpointer user);

/* The same where trying the addresses one by one is less work. */
static gboolean each_address(Engine *engine, const PstPrefix *net, NetVisit visit, gpointer user)
{
    if (net->addr.family != PST_AF_INET || net->len < 32 - ADDRESS_BITS)
        return FALSE;
    guint32 first = (guint32)net->addr.bytes[0] << 24 | (guint32)net->addr.bytes[1] << 16 |
                    (guint32)net->addr.bytes[2] << 8 | net->addr.bytes[3];
    for (guint32 i = 0; i < 1u << (32 - net->len); i++) {
        PstAddr addr = pst_addr_v4(first + i);
        PstUnit unit = pst_unit_of(&addr, PST_UNIT_LEN_V6_DEFAULT);
        guint32 id = unit_table_find(engine->units, &unit, unit_table_hash(engine->units, &unit));
        if (id != 0)
            visit(engine, id, user);
    }
    return TRUE;
}

/* Every unit held that lies in @net: a unit itself, or a wider prefix. */
static void each_unit(Engine *engine, const PstPrefix *net, NetVisit visit, gpointer user)
{
    guint32 only = unit_table_find(engine->units, net, unit_table_hash(engine->units, net));
    if (only != 0) {
        visit(engine, only, user);
        return;
    }
    if (each_address(engine, net, visit, user))
        return;
    for (guint32 id = 1; id <= unit_table_places(engine->units); id++) {
        const PstUnit *unit = &unit_table_at(engine->units, id)->unit;
        if (unit->addr.family != PST_AF_NONE && holds_unit(net, unit))
            visit(engine, id, user);
    }
}

static void put_ceiling(Engine *engine, guint32 id, gpointer user)
{
    const gboolean *less = user;
    Judged j;
    judge_unit(engine, id, &j);
    j.unit->exempt = rules_ceiling(engine->rules, &j.unit->unit) > 0;
    j.unit->credit = 0;
    judge_unit(engine, id, &j); /* under the new ceiling */
    if (*less)
        judge_restart(engine, &j);
}

/* A smaller envelope is for windows to come: those that stand were promised the larger one. */
static void exempt(Engine *engine, const PstPrefix *net, double ceiling)
{
    double before = rules_ceiling(engine->rules, net);
    rules_set_ceiling(engine->rules, net, ceiling);
    gboolean less = rules_ceiling(engine->rules, net) < before;
    each_unit(engine, net, put_ceiling, &less);
}

static void release(Engine *engine, guint32 id, gpointer user)
{
    Judged j;
    judge_unit(engine, id, &j);
    judge_end(engine, &j);
    judge_restart(engine, &j);
}

static void clear(Engine *engine, guint32 id, gpointer user)
{
    guint32 group = unit_table_at(engine->units, id)->group;
    history_false_positive(engine, id);
    release(engine, id, user);
    if (group != 0 && unit_table_at(engine->units, group)->episode != 0) {
        history_false_positive(engine, group);
        release(engine, group, user);
    }
}

static void confirm(Engine *engine, guint32 id, gpointer user)
{
    history_confirmed(engine, id);
    guint32 group = unit_table_at(engine->units, id)->group;
    if (group != 0)
        history_confirmed(engine, group);
}

static void rejoin(Engine *engine, guint32 id, gpointer user)
{
    Unit *unit = unit_table_at(engine->units, id);
    neighbourhood_join(engine, id, unit->last_s, 0);
}

static void reassign(Engine *engine, guint32 id, gpointer user)
{
    if (history_bring_up(engine, id))
        engine_forget(engine, id);
}

void engine_input(Engine *engine, const PstInput *input)
{
    const PstPrefix *net = &input->unit;
    engine->input_is_new = input->applied_at_position == PST_INPUT_NOT_APPLIED;
    switch (input->kind) {
    case PST_INPUT_UNIT_LEN:
        if (rules_set_unit_len(engine->rules, net, input->unit_len))
            recut(engine, net);
        break;
    case PST_INPUT_RELEASED:
        each_unit(engine, net, release, NULL);
        break;
    case PST_INPUT_FALSE_POSITIVE:
        each_unit(engine, net, clear, NULL);
        break;
    case PST_INPUT_CONFIRMED:
        each_unit(engine, net, confirm, NULL);
        break;
    case PST_INPUT_REASSIGNED:
        each_unit(engine, net, reassign, NULL);
        break;
    case PST_INPUT_EXEMPTED:
        exempt(engine, net, input->ceiling);
        break;
    case PST_INPUT_ASSIGNED:
        owners_set(engine->owners, net, input->owner);
        each_unit(engine, net, rejoin, NULL);
        break;
    default: /* a kind of a newer schema: not ours to judge */
        break;
    }
}
