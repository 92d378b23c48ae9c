/* SPDX-License-Identifier: Apache-2.0 */
/* Daily peaks of evidence, and the curve that is drawn from them. */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "engine_maker.h"
#include "peaks.h"
#include "survival.h"

#define DAY (DAY_S / 86400)

static void note(Peaks *peaks, const char *unit, gint64 day, double evidence)
{
    PstUnit named = unit_named(unit);
    peaks_note(peaks, &named, day, evidence);
}

Test(survival, a_days_peak_is_its_highest_note)
{
    Peaks *peaks = peaks_new();
    note(peaks, "192.0.2.1", 5, 120);
    note(peaks, "192.0.2.1", 5, 90);
    note(peaks, "192.0.2.1", 6, 0);
    note(peaks, "192.0.2.1", 7, 33);
    note(peaks, "192.0.2.2", 5, 700);
    g_autoptr(GArray) all = peaks_all(peaks);
    cr_assert_eq(all->len, 3, "days without evidence are none");
    cr_assert_eq(g_array_index(all, Peaked, 0).evidence, 120);
    cr_assert_eq(g_array_index(all, Peaked, 1).day, 7);
    cr_assert_eq(g_array_index(all, Peaked, 2).evidence, 700);
    PstUnit unit = unit_named("192.0.2.1");
    cr_assert_eq(peaks_next(peaks, &unit, 7), 40);
    cr_assert_eq(peaks_next(peaks, &unit, 8), PEAKS_STEP, "a new day begins anew");
    g_autoptr(GArray) of_day = peaks_of_day(peaks, 7);
    cr_assert_eq(of_day->len, 1);
    peaks_free(peaks);
}

static void note_mail(Survival *survival, const char *unit, gint64 day)
{
    PstActivity row = {.unit = unit_named(unit), .bucket_s = day * 86400 + 300};
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof row);
    g_array_append_val(rows, row);
    g_array_append_val(rows, row);
    survival_note(survival, rows);
}

Test(survival, counts_each_unit_day_once_and_from_the_top)
{
    Survival *survival = survival_new();
    Peaks *peaks = peaks_new();
    guint64 reached[SURVIVAL_STEPS];
    for (gint64 day = 1; day <= 50; day++)
        note_mail(survival, "192.0.2.1", day);
    note_mail(survival, "192.0.2.1", 50);
    note(peaks, "192.0.2.1", 3, 5);
    note(peaks, "192.0.2.1", 9, 305);
    note(peaks, "192.0.2.1", 12, 1000);
    cr_assert_eq(survival_count(survival, peaks, reached), 50);
    cr_assert_eq(reached[0], 3);
    cr_assert_eq(reached[1], 2);
    cr_assert_eq(reached[30], 2);
    cr_assert_eq(reached[31], 1);
    cr_assert_eq(reached[100], 1);
    peaks_free(peaks);
    survival_free(survival);
}

Test(survival, slack_is_the_exact_interval_nearly)
{
    /* Garwood's intervals. */
    static const struct {
        guint64 count;
        double low, high;
    } exact[] = {{0, 0, 3.69}, {1, 0.025, 5.57}, {10, 4.80, 18.39}, {100, 81.36, 121.63}};
    for (gsize i = 0; i < G_N_ELEMENTS(exact); i++) {
        double low, high;
        survival_slack(exact[i].count, &low, &high);
        cr_assert_float_eq(low, exact[i].low, 0.05);
        cr_assert_float_eq(high, exact[i].high, 0.05);
    }
}

/* Bursts of two units on two days; one of them is at work over midnight. */
static void play(Trial *trial)
{
    burst(trial, 1000, 5, 400, 25);
    for (guint i = 0; i < 80; i++)
        trial_tell(trial, (Told){.at = 86360 + i,
                                 .unit = "192.0.2.77",
                                 .to = server(5000 + i),
                                 .client_port = (guint16)(1024 + i)});
    trial_tell(trial, (Told){.at = 86400 + 4000, .to = server(1), .client_port = 9});
}

Test(survival, keeping_peaks_changes_no_crossing)
{
    Trial with, without;
    trial_begin(&with, NULL);
    trial_begin(&without, NULL);
    const Peaks *peaks = engine_keep_peaks(with.engine);
    play(&with);
    play(&without);
    cr_assert_gt(with.rows->len, 3);
    cr_assert_eq(with.rows->len, without.rows->len);
    for (guint i = 0; i < with.rows->len; i++) {
        PstVerdict *a = &g_array_index(with.rows, PstVerdict, i);
        PstVerdict *b = &g_array_index(without.rows, PstVerdict, i);
        cr_assert_eq(a->position, b->position);
        cr_assert_eq(a->band, b->band);
        if (a->ended) /* the highest ever seen: closer looks see more */
            cr_assert_geq(a->evidence, b->evidence);
        else
            cr_assert_eq(a->evidence, b->evidence);
    }
    g_autoptr(GArray) all = peaks_all(peaks);
    double highest[2] = {0};
    guint days = 0;
    PstUnit late = unit_named("192.0.2.77");
    for (guint i = 0; i < all->len; i++) {
        const Peaked *peaked = &g_array_index(all, Peaked, i);
        gboolean is_late = pst_prefix_equal(&peaked->unit, &late);
        days += is_late;
        highest[is_late] = MAX(highest[is_late], peaked->evidence);
    }
    cr_assert_eq(days, 2, "the burst over midnight stands on both days");
    cr_assert_geq(highest[0], 900);
    cr_assert_geq(highest[1], 300);
    trial_end(&with);
    trial_end(&without);
}

Test(survival, drawing_is_a_well_formed_picture)
{
    g_autofree char *path = NULL, *svg = NULL;
    g_autoptr(GError) error = NULL;
    close(g_file_open_tmp("curve-XXXXXX", &path, NULL));
    Survival *survival = survival_new();
    Peaks *peaks = peaks_new();
    cr_assert(survival_draw(survival, peaks, path, &error), "nothing is a picture too");
    note_mail(survival, "192.0.2.1", 1);
    note(peaks, "192.0.2.1", 1, 444);
    cr_assert(survival_draw(survival, peaks, path, &error));
    cr_assert(g_file_get_contents(path, &svg, NULL, NULL));
    const GMarkupParser parser = {0};
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, NULL, NULL);
    cr_assert(g_markup_parse_context_parse(context, svg, -1, &error) &&
              g_markup_parse_context_end_parse(context, &error));
    g_markup_parse_context_free(context);
    cr_assert_not_null(strstr(svg, "seen on 1 day of"));
    cr_assert_not(survival_draw(survival, peaks, "/nonexistent/curve.svg", &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_IO));
    g_unlink(path);
    peaks_free(peaks);
    survival_free(survival);
}
