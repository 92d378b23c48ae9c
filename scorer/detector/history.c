/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

#include <math.h>

#include "clock.h"
#include "inbound.h"

#define MEMORY_DAYS  60 /* silent for so long, a unit's history says nothing any more */
#define STRANGE_DAYS 21 /* … of one that never was known */
#define REWRITE_DAYS 7  /* a row that says the same is written again, to show it is alive */
#define KNOWN_THIN_R                                                                               \
    36.0              /* R from which one day of mail makes known: 1:1000 in both directions       \
                       */
#define STEPS_MAX 400 /* days made up for one by one */

static Learned *learned_of(const Engine *engine, const History *h, guint pair)
{
    return h->learned[pair] != 0 ? pool_at(&engine->learned, h->learned[pair]) : NULL;
}

Learned *history_learn(Engine *engine, Unit *unit, PstPortPair pair)
{
    History *h = &unit->history;
    const Block *block = unit_table_block(engine->units, unit, pair);
    gboolean first = h->learned[pair] == 0;
    if (first)
        h->learned[pair] = pool_take(&engine->learned);
    Learned *learned = learned_of(engine, h, pair);
    if (first) {
        learned->rate = block != NULL ? thinning_code((double)block->r) : 0;
        for (guint parity = 0; parity < 2; parity++)
            for (guint channel = 0; channel < CHANNELS; channel++)
                learned->mean[parity][channel] = LEVEL_NONE;
    }
    return learned;
}

void history_begin(Engine *engine, guint32 id, gint64 day, gint64 position)
{
    Unit *unit = unit_table_at(engine->units, id);
    History *h = &unit->history;
    h->since = (guint32)CLAMP(position + 1, 0, G_MAXUINT32);
    h->day = h->first_day = h->mail_day = (guint16)day;
    h->flags = (guint8)HISTORY_MAIL(day);
    unit->known = group_is(&unit->unit);
    unit->newcomer = unit->known;
}

void history_mail(Engine *engine, guint32 id, gint64 day)
{
    history_roll(engine, id, day);
    History *h = &unit_table_at(engine->units, id)->history;
    if (day < (gint64)h->day - 1 || day > (gint64)h->day)
        return; /* read again after its row was: it stands in there */
    h->flags |= (guint8)HISTORY_MAIL(day);
    h->mail_day = (guint16)MAX(h->mail_day, day);
}

void history_withhold(Unit *unit, gint64 day)
{
    History *h = &unit->history;
    if (day <= (gint64)h->day && day + 1 >= (gint64)h->day)
        h->flags |= (guint8)HISTORY_WITHHELD(day);
}

/* --- days that wait ------------------------------------------------------------------------ */

static void tell_waiting(Engine *engine, const Unit *unit, const Waiting *w, PstWaitingFate fate)
{
    if (engine->waiting_rows == NULL)
        return;
    PstWaitingDay row = {.day = w->day, .fate = fate};
    group_name(&unit->unit, &row.unit, &row.owner);
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        row.sampling[pair] = thinning_value(engine->thinning, w->data.rate[pair]);
        for (guint channel = 0; channel < CHANNELS; channel++) {
            row.count[pair][channel] = w->data.count[pair][channel];
            for (guint scale = 0; scale < SCALES; scale++)
                row.most[pair][channel][scale] =
                    thinning_count(engine->thinning, w->data.most[pair][channel][scale]);
        }
    }
    g_array_append_val(engine->waiting_rows, row);
}

/* Takes the unit's oldest waiting day out. */
static void drop_oldest(Engine *engine, Unit *unit, PstWaitingFate fate)
{
    History *h = &unit->history;
    guint32 id = h->waiting;
    const Waiting *w = pool_at(&engine->waiting, id);
    tell_waiting(engine, unit, w, fate);
    h->waiting = w->next;
    h->flags |= HISTORY_DIRTY;
    pool_put(&engine->waiting, id);
}

static void drop_all(Engine *engine, Unit *unit, PstWaitingFate fate)
{
    while (unit->history.waiting != 0)
        drop_oldest(engine, unit, fate);
}

static Waiting *append_waiting(Engine *engine, Unit *unit, guint32 unit_id, guint day)
{
    History *h = &unit->history;
    guint32 id = pool_take(&engine->waiting), *end = &h->waiting;
    while (*end != 0)
        end = &((Waiting *)pool_at(&engine->waiting, *end))->next;
    *end = id;
    Waiting *w = pool_at(&engine->waiting, id);
    w->unit = unit_id;
    w->in_use = 1;
    w->day = (guint16)day;
    return w;
}

static void withhold(Engine *engine, guint32 id, guint day, const DayData *data)
{
    Unit *unit = unit_table_at(engine->units, id);
    if (engine->waiting.count >= engine->conf.max_episodes) {
        engine->s.waiting_dropped++;
        return;
    }
    Waiting *w = append_waiting(engine, unit, id, day);
    w->data = *data;
    tell_waiting(engine, unit, w, PST_WAITING);
}

/* --- learning ------------------------------------------------------------------------------ */

static void learn(Engine *engine, Unit *unit, const DayData *data, guint age, gboolean reviewed)
{
    History *h = &unit->history;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        Learned *learned = learned_of(engine, h, pair);
        if (learned == NULL)
            continue;
        learned_take_in(engine->thinning, learned, data, (PstPortPair)pair, age);
        if (reviewed)
            learned_vouch(learned, data, (PstPortPair)pair, age, h->day);
    }
    if (h->days < KNOWN_DAYS)
        h->flags |= HISTORY_DIRTY;
    h->days = (guint8)MIN(h->days + 1, KNOWN_DAYS);
}

static void skip_day(Engine *engine, const History *h, gboolean quiet)
{
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        Learned *learned = learned_of(engine, h, pair);
        if (learned != NULL)
            learned_skip(learned, quiet);
    }
}

static gboolean is_newcomer(const History *h, gint64 day)
{
    return day < (gint64)h->first_day + NEWCOMER_DAYS;
}

static gboolean is_confirmed(const History *h, gint64 day)
{
    return h->confirmed_day != 0 && day <= (gint64)h->confirmed_day;
}

/* What becomes of the data of @day, complete and older than 24 hours. */
static void settle_day(Engine *engine, guint32 id, gint64 day, const DayData *data)
{
    Unit *unit = unit_table_at(engine->units, id);
    History *h = &unit->history;
    gboolean mail = (h->flags & HISTORY_MAIL(day)) != 0;
    gboolean withheld = (h->flags & HISTORY_WITHHELD(day)) != 0;
    h->flags &= (guint8) ~(HISTORY_MAIL(day) | HISTORY_WITHHELD(day));
    if (!mail) {
        skip_day(engine, h, TRUE);
    } else if (!withheld) {
        learn(engine, unit, data, 1, FALSE);
    } else if (is_newcomer(h, day) && h->confirmed_day == 0) {
        h->flags |= HISTORY_LENIENT;
        learn(engine, unit, data, 1, FALSE);
    } else {
        skip_day(engine, h, FALSE);
        if (!is_confirmed(h, day))
            withhold(engine, id, (guint)day, data);
    }
}

static void learn_ripe(Engine *engine, Unit *unit, gint64 today)
{
    for (;;) {
        const History *h = &unit->history;
        if (h->waiting == 0)
            return;
        const Waiting *w = pool_at(&engine->waiting, h->waiting);
        if (today < (gint64)w->day + WAITING_DAYS)
            return;
        learn(engine, unit, &w->data, (guint)(today - w->day - 1), TRUE);
        drop_oldest(engine, unit, PST_WAITING_LEARNED);
    }
}

static double present_r(const Engine *engine, const Unit *unit)
{
    double r = 1;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        const Block *block = unit_table_block(engine->units, unit, (PstPortPair)pair);
        r = block != NULL ? MAX(r, (double)block->r) : r;
    }
    return r;
}

/* What the unit counts as today. */
static void place_unit(Engine *engine, Unit *unit)
{
    const History *h = &unit->history;
    guint enough = present_r(engine, unit) >= KNOWN_THIN_R ? 1 : KNOWN_DAYS;
    unit->known = h->days >= enough || group_is(&unit->unit);
    unit->newcomer = unit->known && is_newcomer(h, h->day);
    unit->credit = 0;
}

static guint16 pair_code(const Engine *engine, const Unit *unit, guint pair, const Learned *learned)
{
    const Block *block = unit_table_block(engine->units, unit, (PstPortPair)pair);
    return block != NULL ? thinning_code((double)block->r) : learned->rate;
}

/* From one day into the next. */
static void step_day(Engine *engine, guint32 id)
{
    Unit *unit = unit_table_at(engine->units, id);
    gint64 ended = unit->history.day, next = ended + 1;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        judge_advance(engine, id, (PstPortPair)pair, next * A_DAY_S - 1);
    DayData data;
    memset(&data, 0, sizeof data);
    History *h = &unit->history;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        Learned *learned = learned_of(engine, h, pair);
        if (learned == NULL)
            continue;
        learned_fade(learned, next, pair_code(engine, unit, pair, learned),
                     (h->flags & HISTORY_VOUCHED) != 0);
        learned_take_day(learned, ended - 1, (PstPortPair)pair, &data);
    }
    settle_day(engine, id, ended - 1, &data);
    learn_ripe(engine, unit, next);
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        Learned *learned = learned_of(engine, h, pair);
        if (learned != NULL)
            learned_enforce(engine->thinning, learned, next,
                            pair_code(engine, unit, pair, learned));
    }
    h->day = (guint16)next;
}

void history_roll(Engine *engine, guint32 id, gint64 day)
{
    Unit *unit = unit_table_at(engine->units, id);
    History *h = &unit->history;
    if (day <= (gint64)h->day || day > G_MAXUINT16)
        return;
    if (day - h->day > STEPS_MAX)
        h->day = (guint16)(day - STEPS_MAX);
    while ((gint64)h->day < day)
        step_day(engine, id);
    gboolean changed = h->learned[PST_PAIR_SMTP] != 0 || h->learned[PST_PAIR_SUBMISSION] != 0;
    if ((changed && h->mail_day >= h->written_day) || h->mail_day >= h->written_day + REWRITE_DAYS)
        h->flags |= HISTORY_DIRTY;
    place_unit(engine, unit);
}

/* --- decisions ----------------------------------------------------------------------------- */

static gint64 today_of(const Engine *engine)
{
    return watermark_newest_ns(engine->watermark) / PST_NS_PER_S / A_DAY_S;
}

gboolean history_bring_up(Engine *engine, guint32 id)
{
    gint64 today = today_of(engine);
    if ((gint64)unit_table_at(engine->units, id)->history.day > today)
        return engine->input_is_new;
    history_roll(engine, id, today);
    return TRUE;
}

/* What a new decision changed before the log has come to the row's day is told at once: when the
 * log is read again, the row must know of it. */
static void tell_early(Engine *engine, Unit *unit)
{
    if ((gint64)unit->history.day > today_of(engine))
        history_tell(engine, unit);
}

/* The largest windows of today and yesterday, complete or not, are usual from now on. */
static void learn_at_once(Engine *engine, guint32 id, PstPortPair pair, gint64 today)
{
    Judged j;
    judge_unit(engine, id, &j);
    if (j.block[pair] == NULL)
        return;
    Learned *learned = history_learn(engine, j.unit, pair);
    Learned seen = *learned;
    for (gint64 day = today - 1; day <= today; day++) {
        DayData data;
        memset(&data, 0, sizeof data);
        block_learn(j.block[pair], &j.law[pair], day, &seen);
        learned_take_day(&seen, day, pair, &data);
        learned_take_most(learned, &data, pair, 1);
        learned_vouch(learned, &data, pair, 1, today);
    }
}

void history_false_positive(Engine *engine, guint32 id)
{
    if (!history_bring_up(engine, id))
        return;
    Unit *unit = unit_table_at(engine->units, id);
    History *h = &unit->history;
    gint64 today = h->day;
    while (h->waiting != 0) {
        const Waiting *w = pool_at(&engine->waiting, h->waiting);
        learn(engine, unit, &w->data, (guint)(today - w->day - 1), TRUE);
        drop_oldest(engine, unit, PST_WAITING_FALSE_POSITIVE);
    }
    h->flags &= (guint8) ~(HISTORY_WITHHELD(0) | HISTORY_WITHHELD(1));
    h->flags |= HISTORY_DIRTY | HISTORY_VOUCHED;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        learn_at_once(engine, id, (PstPortPair)pair, today);
    place_unit(engine, unit);
    tell_early(engine, unit);
}

static void unlearn(Engine *engine, Unit *unit)
{
    History *h = &unit->history;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        if (h->learned[pair] != 0)
            pool_put(&engine->learned, h->learned[pair]);
        h->learned[pair] = 0;
    }
    h->days = 0;
    h->flags &= (guint8)~HISTORY_LENIENT;
}

void history_confirmed(Engine *engine, guint32 id)
{
    if (!history_bring_up(engine, id))
        return;
    Unit *unit = unit_table_at(engine->units, id);
    History *h = &unit->history;
    drop_all(engine, unit, PST_WAITING_CONFIRMED);
    if ((h->flags & HISTORY_LENIENT) && is_newcomer(h, h->day))
        unlearn(engine, unit);
    h->confirmed_day = h->day;
    h->flags = (guint8)((h->flags | HISTORY_DIRTY) & ~HISTORY_VOUCHED);
    place_unit(engine, unit);
    tell_early(engine, unit);
}

/* --- forgetting and telling ---------------------------------------------------------------- */

static PstEnvelope *queue_row(Engine *engine, const Unit *unit)
{
    g_array_set_size(engine->envelope_rows, engine->envelope_rows->len + 1);
    PstEnvelope *row =
        &g_array_index(engine->envelope_rows, PstEnvelope, engine->envelope_rows->len - 1);
    group_name(&unit->unit, &row->unit, &row->owner);
    return row;
}

static void let_go(Engine *engine, Unit *unit)
{
    unlearn(engine, unit);
    inbound_forget(engine, unit);
    memset(&unit->history, 0, sizeof unit->history);
}

void history_drop(Engine *engine, Unit *unit)
{
    History *h = &unit->history;
    while (h->waiting != 0) { /* in silence: they stand in the database */
        guint32 id = h->waiting;
        h->waiting = ((const Waiting *)pool_at(&engine->waiting, id))->next;
        pool_put(&engine->waiting, id);
    }
    let_go(engine, unit);
}

void history_forget(Engine *engine, Unit *unit)
{
    drop_all(engine, unit, PST_WAITING_DROPPED);
    if (unit->history.written_day != 0 && engine->envelope_rows != NULL)
        queue_row(engine, unit)->gone = TRUE;
    let_go(engine, unit);
}

gboolean history_is_over(const Unit *unit, gint64 day)
{
    const History *h = &unit->history;
    gboolean nothing = h->days == 0 && h->waiting == 0 && h->confirmed_day == 0 &&
                       (h->flags & (HISTORY_MAIL(0) | HISTORY_MAIL(1))) == 0;
    gint64 memory = h->days < KNOWN_DAYS ? STRANGE_DAYS : MEMORY_DAYS;
    return nothing || day > (gint64)h->mail_day + memory;
}

static void show_learned(const Engine *engine, const Learned *learned, gint64 day, PstLearned *out)
{
    const Thinning *thinning = engine->thinning;
    out->present = TRUE;
    out->sampling = thinning_value(thinning, learned->rate);
    out->days = learned->days;
    for (guint channel = 0; channel < CHANNELS; channel++) {
        for (guint scale = 0; scale < SCALES; scale++) {
            out->record[channel][scale] =
                thinning_count(thinning, learned->record[parity_of(day)][channel][scale]);
            out->target[channel][scale] = thinning_count(thinning, learned->target[channel][scale]);
        }
        out->mean_long[channel] = (double)learned->mean_long[channel];
        out->mean_short[channel] = (double)learned->mean_short[channel];
    }
}

void history_tell(Engine *engine, Unit *unit)
{
    History *h = &unit->history;
    if (!(h->flags & HISTORY_DIRTY))
        return;
    h->flags &= (guint8)~HISTORY_DIRTY;
    h->written_day = h->day;
    if (engine->envelope_rows == NULL)
        return;
    PstEnvelope *row = queue_row(engine, unit);
    row->since = (gint64)h->since - 1;
    row->day = h->day;
    row->first_day = h->first_day;
    row->mail_day = h->mail_day;
    row->confirmed_day = h->confirmed_day;
    row->mail_days = h->days;
    row->flags = h->flags;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        if (h->learned[pair] != 0)
            show_learned(engine, learned_of(engine, h, pair), h->day, &row->pair[pair]);
}

/* --- back from the database ---------------------------------------------------------------- */

static Rank rank_of(const Thinning *thinning, double count)
{
    return thinning_rank(thinning, (guint32)CLAMP(round(count), 0, G_MAXUINT32));
}

static void restore_learned(const Engine *engine, const PstLearned *row, Learned *out, gint64 day)
{
    const Thinning *thinning = engine->thinning;
    out->rate = thinning_code(row->sampling);
    out->days = (guint8)MIN(row->days, LEARNED_DAYS);
    out->rested = HOLD_FROM; /* rows do not tell; held for too long is the lesser mistake */
    for (guint channel = 0; channel < CHANNELS; channel++) {
        for (guint scale = 0; scale < SCALES; scale++) {
            Rank record = rank_of(thinning, row->record[channel][scale]);
            out->record[0][channel][scale] = out->record[1][channel][scale] = record;
            out->target[channel][scale] = rank_of(thinning, row->target[channel][scale]);
        }
        out->mean_long[channel] = (float)row->mean_long[channel];
        out->mean_short[channel] = (float)row->mean_short[channel];
    }
    learned_set_means(out, day);
    learned_set_means(out, day - 1);
}

void history_restore(Engine *engine, guint32 id, const PstEnvelope *row)
{
    Unit *unit = unit_table_at(engine->units, id);
    History *h = &unit->history;
    h->since = (guint32)CLAMP(row->since + 1, 0, G_MAXUINT32);
    h->day = h->written_day = (guint16)row->day;
    h->first_day = (guint16)row->first_day;
    h->mail_day = (guint16)row->mail_day;
    h->confirmed_day = (guint16)row->confirmed_day;
    h->days = (guint8)MIN(row->mail_days, KNOWN_DAYS);
    h->flags = (guint8)(row->flags & ~HISTORY_DIRTY);
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++)
        if (row->pair[pair].present)
            restore_learned(engine, &row->pair[pair],
                            history_learn(engine, unit, (PstPortPair)pair), h->day);
    place_unit(engine, unit);
}

void history_restore_waiting(Engine *engine, guint32 id, const PstWaitingDay *row)
{
    Unit *unit = unit_table_at(engine->units, id);
    DayData *data = &append_waiting(engine, unit, id, row->day)->data;
    for (guint pair = 0; pair < PST_PAIR_COUNT; pair++) {
        data->rate[pair] = thinning_code(row->sampling[pair]);
        memcpy(data->count[pair], row->count[pair], sizeof data->count[pair]);
        for (guint channel = 0; channel < CHANNELS; channel++)
            for (guint scale = 0; scale < SCALES; scale++)
                data->most[pair][channel][scale] =
                    rank_of(engine->thinning, row->most[pair][channel][scale]);
    }
}
