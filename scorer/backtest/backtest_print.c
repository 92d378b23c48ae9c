/* SPDX-License-Identifier: Apache-2.0 */
#include "backtest_print.h"

#include <math.h>
#include <string.h>

#include "clock.h"
#include "json.h"

/* What two configurations agree and disagree on. */
typedef struct {
    guint same, only_first, only_other;
} Agreement;

char *backtest_verdict_text(const PstVerdict *v)
{
    char time[PST_TIME_TEXT_MAX], unit[PST_PREFIX_TEXT_MAX];
    GString *out = g_string_new(NULL);
    g_string_printf(out, "%s  %-5s  %s  score %d, evidence %.0f, at least %.0f session%s",
                    pst_time_format(v->time_ns, FALSE, time), pst_band_name(v->band),
                    pst_prefix_format(&v->unit, unit), v->score, v->evidence,
                    floor(v->sessions_low), floor(v->sessions_low) == 1 ? "" : "s");
    for (gsize i = 0; i < G_N_ELEMENTS(v->ports) && v->ports[i] != 0; i++)
        g_string_append_printf(out, "%s%u", i == 0 ? ", port " : ", ", v->ports[i]);
    for (guint i = 0; i < v->n_reasons; i++)
        g_string_append_printf(out, "\n    %s", v->reasons[i].text);
    return g_string_free(out, FALSE);
}

/* Each unit counts once while it is held; one that was forgotten and came back counts again. */
static guint64 units_seen(const EngineStats *s)
{
    return s->units + s->units_forgotten + s->units_evicted;
}

static guint64 set_aside(const EngineStats *s)
{
    return s->fates[ENGINE_CLOCK_AHEAD] + s->fates[ENGINE_NO_TIME];
}

static void put_count(GString *out, const char *name, guint64 value)
{
    pst_json_append_name(out, name);
    pst_json_append_u64(out, value);
}

static void put_bands(GString *out, const EngineStats *s)
{
    put_count(out, "watch", s->watches);
    put_count(out, "flag", s->flags);
    put_count(out, "block", s->blocks);
}

/* --- a second configuration ---------------------------------------------------------------- */

static void count_pair(Agreement *agreement, const Pairing *pair)
{
    agreement->same += pair->a != NULL && pair->b != NULL;
    agreement->only_first += pair->b == NULL;
    agreement->only_other += pair->a == NULL;
}

static void print_pair_text(FILE *out, const Pairing *pair)
{
    char time[PST_TIME_TEXT_MAX], unit[PST_PREFIX_TEXT_MAX];
    if (pair->a == NULL) {
        fprintf(out, "+ %s\n", pair->b->text);
        return;
    }
    double later_s = pair->b != NULL ? (double)(pair->b->time_ns - pair->a->time_ns) / 1e9 : 0;
    if (pair->b != NULL && later_s == 0)
        return;
    fprintf(out, "%c %s  %-5s  %s", pair->b == NULL ? '-' : '=',
            pst_time_format(pair->a->time_ns, FALSE, time), pst_band_name(pair->a->band),
            pst_prefix_format(&pair->a->unit, unit));
    if (pair->b != NULL)
        fprintf(out, "  %.1f s %s", ABS(later_s), later_s > 0 ? "later" : "earlier");
    fputc('\n', out);
}

static void put_time(GString *out, const char *name, const Crossing *crossing)
{
    char time[PST_TIME_TEXT_MAX];
    pst_json_append_name(out, name);
    pst_json_append_string(out, crossing != NULL ? pst_time_format(crossing->time_ns, FALSE, time)
                                                 : NULL);
}

/* Where the two differ, one object for each; with the other's own verdict where it is alone. */
static void print_pair_json(FILE *out, const Pairing *pair)
{
    char unit[PST_PREFIX_TEXT_MAX];
    const Crossing *any = pair->a != NULL ? pair->a : pair->b;
    if (pair->a != NULL && pair->b != NULL && pair->a->time_ns == pair->b->time_ns)
        return;
    g_autoptr(GString) text = g_string_new("{\"difference\":{");
    pst_json_append_name(text, "unit");
    pst_json_append_string(text, pst_prefix_format(&any->unit, unit));
    pst_json_append_name(text, "band");
    pst_json_append_string(text, pst_band_name(any->band));
    put_time(text, "first", pair->a);
    put_time(text, "other", pair->b);
    if (pair->a == NULL) {
        pst_json_append_name(text, "verdict");
        g_string_append(text, pair->b->text);
    }
    fprintf(out, "%s}}\n", text->str);
}

static Agreement print_pairs(const BacktestOptions *o, const Trial *trial, const Trial *other)
{
    Agreement agreement = {0};
    g_autoptr(GArray) pairs = trial_pair(trial, other);
    if (o->format == BACKTEST_TEXT)
        fprintf(o->out, "%s%s beside it (- only without it, + only with it, = at another time):\n",
                trial->crossings->len > 0 ? "\n" : "", other->name);
    for (guint i = 0; i < pairs->len; i++) {
        const Pairing *pair = &g_array_index(pairs, Pairing, i);
        count_pair(&agreement, pair);
        if (o->format == BACKTEST_TEXT)
            print_pair_text(o->out, pair);
        else
            print_pair_json(o->out, pair);
    }
    return agreement;
}

/* --- summaries ----------------------------------------------------------------------------- */

static void print_json_summary(const BacktestOptions *o, const BacktestCounts *c,
                               const Trial *trial, const Trial *other, const Agreement *agreement)
{
    const EngineStats *s = engine_stats(trial->engine);
    g_autoptr(GString) out = g_string_new("{\"summary\":{");
    put_count(out, "flows", c->flows);
    put_count(out, "units", units_seen(s));
    put_count(out, "late", s->fates[ENGINE_LATE]);
    put_count(out, "refused", c->refused + set_aside(s));
    put_count(out, "sightings", s->sightings);
    put_bands(out, s);
    put_count(out, "undirected", c->undirected);
    put_count(out, "out_of_order", c->behind);
    put_count(out, "out_of_order_by_s", (guint64)(c->behind_ns / G_GINT64_CONSTANT(1000000000)));
    if (other != NULL) {
        pst_json_append_name(out, "other");
        g_string_append_c(out, '{');
        pst_json_append_name(out, "name");
        pst_json_append_string(out, other->name);
        put_bands(out, engine_stats(other->engine));
        put_count(out, "same", agreement->same);
        put_count(out, "only_first", agreement->only_first);
        put_count(out, "only_other", agreement->only_other);
        g_string_append_c(out, '}');
    }
    fprintf(o->out, "%s}}\n", out->str);
}

static void print_counts(FILE *out, const char *format, const guint64 *values)
{
    /* "#" stands for the next value. */
    for (; *format != '\0'; format++) {
        if (*format == '#')
            fprintf(out, "%" G_GUINT64_FORMAT, *values++);
        else
            fputc(*format, out);
    }
}

static void append_span(GString *out, gint64 ns)
{
    static const struct {
        double seconds;
        const char *name;
    } units[] = {{86400, "days"}, {3600, "hours"}, {60, "minutes"}};
    gsize i = 0;
    while (i + 1 < G_N_ELEMENTS(units) && (double)ns / 1e9 < units[i].seconds)
        i++;
    g_string_append_printf(out, "%.1f %s", (double)ns / 1e9 / units[i].seconds, units[i].name);
}

/* Why something was late, and what to do. */
static void print_order(FILE *out, const BacktestCounts *c)
{
    if (c->behind == 0)
        return;
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_printf(text, "out of order: %" G_GUINT64_FORMAT " flows stand up to ", c->behind);
    append_span(text, c->behind_ns);
    g_string_append_printf(text, " behind newer ones, first in %s", c->behind_first);
    fprintf(out,
            "%s.\nWhat stands further behind than the watermark is not scored: give FILEs in the "
            "order of their time;\nseveral routers' files, or one that is not sorted: flows2json "
            "postern FILE ... | postern backtest ... -\n",
            text->str);
}

static void print_text_summary(const BacktestOptions *o, const BacktestCounts *c,
                               const Trial *trial, const Trial *other, const Agreement *agreement)
{
    const EngineStats *s = engine_stats(trial->engine);
    if (trial->crossings->len > 0 || other != NULL)
        fputc('\n', o->out);
    print_counts(o->out, "flows: #, senders of mail: #, new sessions: #\n",
                 (const guint64[]){c->flows, units_seen(s), s->fates[ENGINE_NEW]});
    print_counts(o->out, "crossings: watch #, flag #, block #\n",
                 (const guint64[]){s->watches, s->flags, s->blocks});
    if (other != NULL) {
        const EngineStats *t = engine_stats(other->engine);
        fprintf(o->out, "with %s", other->name);
        print_counts(o->out,
                     ": watch #, flag #, block #; by unit and day the same: #, only without: #, "
                     "only with: #\n",
                     (const guint64[]){t->watches, t->flags, t->blocks, agreement->same,
                                       agreement->only_first, agreement->only_other});
    }
    print_counts(o->out, "too late to be scored: #, refused: #\n",
                 (const guint64[]){s->fates[ENGINE_LATE], c->refused + set_aside(s)});
    print_order(o->out, c);
}

void backtest_print(const BacktestOptions *o, const BacktestCounts *counts, const Trial *trial,
                    const Trial *other)
{
    Agreement agreement = {0};
    for (guint i = 0; i < trial->crossings->len; i++)
        fprintf(o->out, "%s\n", g_array_index(trial->crossings, Crossing, i).text);
    if (other != NULL)
        agreement = print_pairs(o, trial, other);
    if (o->format == BACKTEST_JSON)
        print_json_summary(o, counts, trial, other, &agreement);
    else
        print_text_summary(o, counts, trial, other, &agreement);
}
