/* SPDX-License-Identifier: Apache-2.0 */
/* What was learned, as rows: out to the database, and back. */
#include "history.h"

void engine_keep_rows(Engine *engine)
{
    if (engine->envelope_rows != NULL)
        return;
    engine->envelope_rows = g_array_new(FALSE, TRUE, sizeof(PstEnvelope));
    engine->waiting_rows = g_array_new(FALSE, TRUE, sizeof(PstWaitingDay));
}

static GArray *take_rows(GArray **rows)
{
    g_assert(*rows != NULL);
    GArray *taken = *rows;
    *rows = g_array_new(FALSE, TRUE, g_array_get_element_size(taken));
    return taken;
}

GArray *engine_take_envelopes(Engine *engine)
{
    return take_rows(&engine->envelope_rows);
}

GArray *engine_take_waiting(Engine *engine)
{
    return take_rows(&engine->waiting_rows);
}

/* What a row speaks of, as the table of units names it. FALSE: nothing that could be held. */
static gboolean row_unit(const PstUnit *name, guint64 owner, PstUnit *out)
{
    *out = *name;
    return owner == 0 || group_net(name, owner, out);
}

void engine_restore(Engine *engine, const PstEnvelope *row)
{
    PstUnit unit;
    if (!row_unit(&row->unit, row->owner, &unit))
        return;
    guint64 hash = unit_table_hash(engine->units, &unit);
    if (unit_table_find(engine->units, &unit, hash) != 0)
        return;
    if (unit_table_full(engine->units)) {
        engine->s.units_evicted++;
        return;
    }
    guint32 id = engine_add_unit(engine, &unit, hash, (gint64)row->mail_day * A_DAY_S, 0);
    gint64 first_s = (gint64)row->first_day * A_DAY_S;
    if (engine->s.born_s == 0 || first_s < engine->s.born_s)
        engine->s.born_s = first_s;
    Unit *held = unit_table_at(engine->units, id);
    held->last_s = row->mail_day * A_DAY_S;
    held->exempt = row->owner == 0 && rules_ceiling(engine->rules, &unit) > 0;
    history_restore(engine, id, row);
}

void engine_restore_waiting(Engine *engine, const PstWaitingDay *row)
{
    PstUnit unit;
    if (!row_unit(&row->unit, row->owner, &unit))
        return;
    guint32 id = unit_table_find(engine->units, &unit, unit_table_hash(engine->units, &unit));
    if (id != 0)
        history_restore_waiting(engine, id, row);
}
