/* SPDX-License-Identifier: Apache-2.0 */
/* What the detector learns over days and weeks, told as traffic. All of it is generated. */
#include <criterion/criterion.h>
#include <math.h>

#include "engine_maker.h"

#define A_DAY 86400.0

/* One sender and what it did. */
typedef struct {
    Trial trial;
    Dice dice;
    double at;
    guint32 fresh; /* servers never used before */
    guint64 rate;
} Sender;

static Sender sender_at(guint64 seed, guint64 rate)
{
    Sender s = {.dice = {seed}, .fresh = 1000, .rate = rate};
    trial_begin(&s.trial, NULL);
    return s;
}

/* A mail to a new server in two of three cases, to one of five hundred otherwise; seen if a packet
 * of it is. */
static void mail(Sender *s, double at)
{
    s->trial.told++;
    gboolean fresh = dice_unit(&s->dice) < 2.0 / 3;
    guint32 to = fresh ? s->fresh++ : (guint32)(dice_next(&s->dice) % 500);
    Told told = {.at = at,
                 .to = server(to),
                 .rate = s->rate,
                 .client_port = (guint16)(1024 + dice_next(&s->dice) % 60000)};
    if (s->rate <= 1 || dice_unit(&s->dice) < 1 - pow(1 - 1.0 / (double)s->rate, 14))
        trial_tell(&s->trial, told);
}

/* Mails at random, @per_h an hour, until @day has ended. */
static void until(Sender *s, guint day, double per_h)
{
    s->at = MAX(s->at, 60);
    for (;;) {
        double next = s->at - log(1 - dice_unit(&s->dice)) * 3600 / per_h;
        if (next >= (day + 1) * A_DAY)
            break;
        s->at = next;
        mail(s, s->at);
    }
    s->at = (day + 1) * A_DAY;
}

/* @n mails, five a second, at noon of @day. */
static void blast(Sender *s, guint day, guint n)
{
    for (guint i = 0; i < n; i++)
        mail(s, (day + 0.5) * A_DAY + i * 0.2);
    s->at = (day + 0.5) * A_DAY + n * 0.2;
}

/* Crossings of @band on @first … @last. */
static guint crossings(const Sender *s, PstBand band, guint first, guint last)
{
    guint n = 0;
    for (guint i = 0; i < s->trial.rows->len; i++) {
        const PstVerdict *v = &g_array_index(s->trial.rows, PstVerdict, i);
        n += !v->ended && v->band == band && v->time_ns >= ns_at(first * A_DAY) &&
             v->time_ns < ns_at((last + 1) * A_DAY);
    }
    return n;
}

static void decide(Sender *s, PstInputKind kind)
{
    PstInput input = {.kind = kind, .unit = unit_named(A_UNIT)};
    engine_input(s->trial.engine, &input);
}

/* A web server that mails thirty times a day, for four weeks: known, no newcomer any more. */
static Sender old_web_server(guint64 seed)
{
    Sender s = sender_at(seed, 1);
    for (guint day = 0; day < 28; day++)
        until(&s, day, 30 / 24.0);
    cr_assert_eq(s.trial.rows->len, 0, "and quiet all the time");
    return s;
}

Test(history, busy_mail_server_is_quiet_once_its_days_are_learned)
{
    static const struct {
        double per_h;
        guint64 rate;
    } rows[] = {{200, 1}, {2000, 1}, {2000, 100}, {2000, 1000}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Sender s = sender_at(i + 1, rows[i].rate);
        for (guint day = 0; day < 16; day++)
            until(&s, day, rows[i].per_h);
        cr_assert_gt(crossings(&s, PST_BAND_FLAG, 0, 5), 0, "row %u: it is not known at first", i);
        cr_assert_eq(crossings(&s, PST_BAND_FLAG, 6, 15), 0, "row %u", i);
        trial_end(&s.trial);
    }
}

Test(history, steady_mail_server_that_grows_is_followed)
{
    Sender s = sender_at(5, 1);
    double per_h = 20;
    for (guint day = 0; day < 30; day++) {
        until(&s, day, per_h);
        per_h *= 1.15;
    }
    cr_assert_eq(crossings(&s, PST_BAND_FLAG, 0, 29), 0, "ends at %.0f an hour", per_h);
    trial_end(&s.trial);
}

Test(history, weekly_newsletter_alarms_once)
{
    Sender s = old_web_server(7);
    for (guint week = 0; week < 6; week++) {
        guint day = 28 + 7 * week;
        blast(&s, day, 3000);
        for (guint i = 0; i < 7; i++)
            until(&s, day + i, 30 / 24.0);
    }
    cr_assert_eq(crossings(&s, PST_BAND_FLAG, 28, 28), 1, "the first is an event");
    cr_assert_eq(crossings(&s, PST_BAND_FLAG, 29, 70), 0, "nobody complained: learned");
    trial_end(&s.trial);
}

Test(history, newsletter_of_a_host_that_is_silent_otherwise_alarms_once)
{
    /* Where packets are sampled nothing is seen of the host for days: its attention ends, and its
     * windows stand still, long before its day is learned. */
    Sender s = sender_at(11, 100);
    for (guint day = 0; day < 28; day++)
        until(&s, day, 30 / 24.0);
    for (guint week = 0; week < 5; week++) {
        guint day = 28 + 7 * week;
        blast(&s, day, 3000);
        for (double at = s.at; at < (day + 7) * A_DAY; at += 60)
            trial_beat(&s.trial, A_ROUTER, at);
    }
    cr_assert_eq(crossings(&s, PST_BAND_FLAG, 28, 28), 1, "the first is an event");
    cr_assert_eq(crossings(&s, PST_BAND_FLAG, 29, 63), 0, "nobody complained: learned");
    trial_end(&s.trial);
}

Test(history, withheld_days_are_learned_after_seven_days)
{
    Sender s = old_web_server(8);
    /* It turns into a mail server: 600 an hour. */
    for (guint day = 28; day < 45; day++)
        until(&s, day, 600);
    cr_assert_eq(crossings(&s, PST_BAND_FLAG, 28, 28), 1);
    cr_assert_eq(crossings(&s, PST_BAND_FLAG, 36, 44), 0);
    cr_assert_gt(engine_stats(s.trial.engine)->learned, 0);
    trial_end(&s.trial);
}

Test(history, spam_that_was_confirmed_is_never_learned)
{
    Sender s = old_web_server(9);
    guint flags = 0;
    for (guint day = 28; day < 56; day += 4) {
        blast(&s, day, 2000);
        until(&s, day, 30 / 24.0);
        decide(&s, PST_INPUT_CONFIRMED);
        decide(&s, PST_INPUT_RELEASED);
        for (guint i = 1; i < 4; i++)
            until(&s, day + i, 30 / 24.0);
        flags += crossings(&s, PST_BAND_FLAG, day, day + 3);
    }
    cr_assert_eq(flags, 7, "every time: %u", flags);
    cr_assert_eq(engine_stats(s.trial.engine)->waiting, 0);
    trial_end(&s.trial);
}

Test(history, false_positive_is_learned_at_once)
{
    Sender s = old_web_server(10);
    blast(&s, 28, 1000);
    cr_assert_eq(crossings(&s, PST_BAND_FLAG, 28, 28), 1);
    decide(&s, PST_INPUT_FALSE_POSITIVE);
    /* The record rises to four times the floor today, sixteen times tomorrow. */
    until(&s, 28, 30 / 24.0);
    blast(&s, 29, 1000);
    until(&s, 29, 30 / 24.0);
    blast(&s, 30, 1000);
    until(&s, 30, 30 / 24.0);
    cr_assert_eq(crossings(&s, PST_BAND_FLAG, 29, 30), 0);
    trial_end(&s.trial);
}

/* Invoices: what a month leaves of the record must be enough after a false positive. */
Test(history, monthly_mailing_is_quiet_after_a_false_positive)
{
    for (guint vouched = 0; vouched < 2; vouched++) {
        Sender s = sender_at(11, 1);
        for (guint day = 0; day <= 62; day++) {
            if (day == 30 || day == 61)
                blast(&s, day, 600);
            until(&s, day, 3);
            if (day == 30 && vouched)
                decide(&s, PST_INPUT_FALSE_POSITIVE);
        }
        cr_assert_eq(crossings(&s, PST_BAND_FLAG, 30, 30), 1);
        cr_assert_eq(crossings(&s, PST_BAND_FLAG, 61, 61), vouched ? 0 : 1);
        trial_end(&s.trial);
    }
}

Test(history, spam_on_top_of_a_web_server_is_found)
{
    for (guint64 seed = 20; seed < 30; seed++) {
        Sender s = old_web_server(seed);
        guint64 before = s.trial.told;
        blast(&s, 28, 1000);
        cr_assert_gt(s.trial.band_at[PST_BAND_FLAG], 0);
        cr_assert_leq(s.trial.band_at[PST_BAND_FLAG] - before, 280);
        cr_assert_not(row(&s.trial, PST_BAND_FLAG, FALSE)->cold);
        trial_end(&s.trial);
    }
}

Test(history, newcomer_with_mail_is_flagged_at_ten_times_the_gate)
{
    Sender s = sender_at(3, 1);
    for (guint day = 0; day < 7; day++)
        until(&s, day, 2);
    guint64 before = s.trial.told;
    blast(&s, 7, 3000);
    cr_assert_geq(s.trial.band_at[PST_BAND_FLAG] - before, 950);
    cr_assert_leq(s.trial.band_at[PST_BAND_FLAG] - before, 1100);
    trial_end(&s.trial);
}

Test(history, complaint_about_a_newcomer_takes_back_what_was_learned)
{
    Sender s = sender_at(4, 1);
    for (guint day = 0; day < 6; day++) {
        blast(&s, day, 2000);
        until(&s, day, 1);
    }
    cr_assert_gt(engine_stats(s.trial.engine)->learned, 0);
    decide(&s, PST_INPUT_CONFIRMED);
    decide(&s, PST_INPUT_RELEASED);
    cr_assert_eq(engine_stats(s.trial.engine)->learned, 0);
    blast(&s, 6, 200);
    cr_assert_eq(crossings(&s, PST_BAND_BLOCK, 6, 6), 1, "cold again");
    trial_end(&s.trial);
}

Test(history, evidence_names_what_is_usual)
{
    Sender s = sender_at(6, 1);
    for (guint day = 0; day < 25; day++)
        until(&s, day, 200);
    blast(&s, 25, 5000);
    const PstVerdict *flag = NULL;
    for (guint i = 0; i < s.trial.rows->len; i++) {
        const PstVerdict *v = &g_array_index(s.trial.rows, PstVerdict, i);
        if (v->band == PST_BAND_FLAG && !v->ended && v->time_ns > ns_at(25 * A_DAY))
            flag = v;
    }
    cr_assert_not_null(flag);
    cr_assert_not_null(strstr(reason(flag, "burst"), "its usual most is "), "%s",
                       reason(flag, "burst"));
    trial_end(&s.trial);
}

/* --- rows ---------------------------------------------------------------------------------- */

/* The newest row of A_UNIT among those taken. */
static gboolean take_row(Engine *engine, PstEnvelope *out)
{
    g_autoptr(GArray) rows = engine_take_envelopes(engine);
    g_autoptr(GArray) waiting = engine_take_waiting(engine);
    PstUnit unit = unit_named(A_UNIT);
    for (guint i = rows->len; i-- > 0;)
        if (pst_prefix_equal(&g_array_index(rows, PstEnvelope, i).unit, &unit)) {
            *out = g_array_index(rows, PstEnvelope, i);
            return TRUE;
        }
    return FALSE;
}

Test(history, rows_bring_an_engine_back_that_lost_its_log)
{
    /* One engine sees forty days. Another gets the row of day 36 and the log from day 33 on, as
     * retention left it: from then on it learns, and says, the same. */
    Sender whole = sender_at(77, 1), late = sender_at(77, 1);
    engine_keep_rows(whole.trial.engine);
    engine_keep_rows(late.trial.engine);
    PstEnvelope row = {0}, later = {0}, again = {0};
    EngineConf conf = small_conf();
    for (guint day = 0; day < 40; day++) {
        if (day == 33) { /* it forgets all that it knew */
            engine_free(late.trial.engine);
            late.trial.engine = engine_new(&conf, 3);
            engine_keep_rows(late.trial.engine);
        }
        until(&whole, day, 300);
        if (day == 36)
            cr_assert(take_row(whole.trial.engine, &row));
        if (day < 33)
            until(&late, day, 300);
    }
    cr_assert(take_row(whole.trial.engine, &later));
    engine_restore(late.trial.engine, &row);
    for (guint day = 33; day < 40; day++)
        until(&late, day, 300);
    cr_assert(take_row(late.trial.engine, &again));
    cr_assert_eq(row.day, ns_at(36 * A_DAY) / PST_NS_PER_S / 86400);
    cr_assert_eq(later.day, again.day);
    for (guint channel = 0; channel < PST_ENVELOPE_CHANNELS; channel++) {
        const PstLearned *a = &later.pair[PST_PAIR_SMTP], *b = &again.pair[PST_PAIR_SMTP];
        for (guint scale = 0; scale < PST_ENVELOPE_SCALES; scale++) {
            cr_assert_eq(a->record[channel][scale], b->record[channel][scale]);
            cr_assert_eq(a->target[channel][scale], b->target[channel][scale]);
        }
        cr_assert_float_eq(a->mean_long[channel], b->mean_long[channel], 1e-3);
        cr_assert_float_eq(a->mean_short[channel], b->mean_short[channel], 1e-3);
    }
    cr_assert_eq(crossings(&whole, PST_BAND_FLAG, 33, 39), 0);
    cr_assert_eq(crossings(&late, PST_BAND_FLAG, 33, 39), 0, "known without a cold start");
    trial_end(&whole.trial);
    trial_end(&late.trial);
}

Test(history, rows_are_few)
{
    /* Once a day for what changes, once a week for what does not. */
    Sender s = sender_at(78, 1);
    engine_keep_rows(s.trial.engine);
    guint rows = 0;
    for (guint day = 0; day < 40; day++) {
        until(&s, day, 30 / 24.0);
        g_autoptr(GArray) taken = engine_take_envelopes(s.trial.engine);
        rows += taken->len;
    }
    cr_assert_leq(rows, 12, "%u", rows);
    cr_assert_geq(rows, 6);
    trial_end(&s.trial);
}
