/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include "json.h"

void tally_init(Tally *tally, const char *name, const Cast *cast)
{
    g_assert(cast->plan.span.history + cast->plan.span.measured <= 64);
    *tally = (Tally){.name = name, .said = g_new0(Said, MAX(cast->n, 1))};
}

void tally_clear(Tally *tally)
{
    g_clear_pointer(&tally->said, g_free);
}

static guint begun_until(const Spam *spam, gint64 at_ns)
{
    guint low = 0, high = spam->n;
    while (low < high) {
        guint middle = (low + high) / 2;
        if (spam->start_ns[middle] <= at_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void tally_say(Tally *tally, const Cast *cast, const Spam *spam, guint life, SaidKind kind,
               const SaidTimes *at)
{
    Said *said = &tally->said[life];
    gint64 day = at->event_ns / DAY_NS - FIRST_DAY;
    if (day >= 0 && day < 64)
        said->days[kind] |= G_GUINT64_CONSTANT(1) << day;
    if (spam[life].n == 0 || said->until[kind] > 0 || at->newest_ns < spam[life].start_ns[0])
        return;
    gint64 first_ns = spam[life].start_ns[0];
    said->until[kind] = MAX(begun_until(&spam[life], at->event_ns), 1);
    said->told[kind] = begun_until(&spam[life], at->newest_ns);
    said->event_s[kind] = (double)(at->event_ns - first_ns) / 1e9;
    said->arrival_s[kind] = (double)(at->arrival_ns - first_ns) / 1e9;
    said->gone[kind] = begun_until(&spam[life], at->arrival_ns);
}

/* --- what it comes to ---------------------------------------------------------------------- */

static guint64 bits(gint from, gint to)
{
    guint64 below = to >= 64 ? G_MAXUINT64 : (G_GUINT64_CONSTANT(1) << to) - 1;
    return from >= to ? 0 : below & ~((G_GUINT64_CONSTANT(1) << from) - 1);
}

static guint count_bits(guint64 x)
{
    return (guint)__builtin_popcountll(x);
}

static void put(GString *out, const char *name, guint64 value)
{
    pst_json_append_name(out, name);
    pst_json_append_u64(out, value);
}

/* Days of legitimate lives: in the measured days, and before them. */
static void print_days(const Tally *tally, const Cast *cast, guint from, guint to, GString *out)
{
    const Span *span = &cast->plan.span;
    guint64 days = 0, early = 0, said[SAID_KINDS] = {0}, before[SAID_KINDS] = {0},
            lives[SAID_KINDS] = {0};
    for (guint i = from; i < to; i++) {
        gint first = cast->lives[i].first_day;
        guint64 measured = bits(MAX(first, span->history), span->history + span->measured);
        guint64 history = bits(first, span->history);
        days += count_bits(measured);
        early += count_bits(history);
        for (guint kind = 0; kind < SAID_KINDS; kind++) {
            guint64 on = tally->said[i].days[kind];
            said[kind] += count_bits(on & measured);
            before[kind] += count_bits(on & history);
            lives[kind] += (on & measured) != 0;
        }
    }
    put(out, "unit_days", days);
    put(out, "flags", said[SAID_FLAG]);
    put(out, "blocks", said[SAID_BLOCK]);
    put(out, "lives_flagged", lives[SAID_FLAG]);
    put(out, "lives_blocked", lives[SAID_BLOCK]);
    put(out, "history_days", early);
    put(out, "history_flags", before[SAID_FLAG]);
    put(out, "history_blocks", before[SAID_BLOCK]);
}

static void print_list(GString *out, const char *name, const Tally *tally, guint from, guint to,
                       double (*value)(const Said *said))
{
    pst_json_append_name(out, name);
    g_string_append_c(out, '[');
    for (guint i = from; i < to; i++) {
        if (i > from)
            g_string_append_c(out, ',');
        pst_json_append_real(out, value(&tally->said[i]));
    }
    g_string_append_c(out, ']');
}

static double flag_until(const Said *said)
{
    return (double)said->until[SAID_FLAG];
}

static double block_until(const Said *said)
{
    return (double)said->until[SAID_BLOCK];
}

static double flag_told(const Said *said)
{
    return (double)said->told[SAID_FLAG];
}

static double flag_gone(const Said *said)
{
    return (double)said->gone[SAID_FLAG];
}

static double flag_event_s(const Said *said)
{
    return said->event_s[SAID_FLAG];
}

static double flag_arrival_s(const Said *said)
{
    return said->arrival_s[SAID_FLAG];
}

/* Spam by trial, in the order of their numbers; 0: never said. */
static void print_trials(const Tally *tally, guint from, guint to, GString *out)
{
    print_list(out, "flag_until", tally, from, to, flag_until);
    print_list(out, "block_until", tally, from, to, block_until);
    print_list(out, "flag_told", tally, from, to, flag_told);
    print_list(out, "flag_gone", tally, from, to, flag_gone);
    print_list(out, "flag_event_s", tally, from, to, flag_event_s);
    print_list(out, "flag_arrival_s", tally, from, to, flag_arrival_s);
}

void tally_print(const Tally *tally, const Cast *cast, GString *out)
{
    g_string_append_c(out, '{');
    pst_json_append_name(out, "name");
    pst_json_append_string(out, tally->name);
    pst_json_append_name(out, "classes");
    g_string_append_c(out, '{');
    for (guint from = 0, to; from < cast->n; from = to) {
        const Class *class = cast->lives[from].class;
        for (to = from; to < cast->n && cast->lives[to].class == class; to++)
            ;
        pst_json_append_name(out, class->name);
        g_string_append_c(out, '{');
        put(out, "lives", to - from);
        if (class->spam)
            print_trials(tally, from, to, out);
        else
            print_days(tally, cast, from, to, out);
        g_string_append_c(out, '}');
    }
    g_string_append(out, "}}");
}
