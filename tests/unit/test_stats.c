/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "stats.h"

static char *text_of(PstStats *stats)
{
    GString *out = g_string_new(NULL);
    pst_stats_write(stats, out);
    return g_string_free(out, FALSE);
}

Test(stats, are_shown_sorted_with_help_and_type)
{
    g_autoptr(PstStats) stats = pst_stats_new();
    pst_cell_add(pst_stats_cell(stats, PST_COUNTER, "postern_b_total", "reason=\"z\"", "Bs\\\n."),
                 2);
    pst_cell_add(pst_stats_cell(stats, PST_COUNTER, "postern_b_total", "reason=\"a\"", "other"), 1);
    pst_cell_set(pst_stats_cell(stats, PST_GAUGE, "postern_a", NULL, "As."), 7);
    g_autofree char *text = text_of(stats);
    cr_assert_str_eq(text, "# HELP postern_a As.\n"
                           "# TYPE postern_a gauge\n"
                           "postern_a 7\n"
                           "# HELP postern_b_total Bs\\\\\\n.\n"
                           "# TYPE postern_b_total counter\n"
                           "postern_b_total{reason=\"a\"} 1\n"
                           "postern_b_total{reason=\"z\"} 2\n"
                           "# HELP postern_stats_series_refused_total Requests for a new series "
                           "that were refused because there are too many.\n"
                           "# TYPE postern_stats_series_refused_total counter\n"
                           "postern_stats_series_refused_total 0\n");
}

Test(stats, the_same_name_and_labels_are_the_same_cell)
{
    g_autoptr(PstStats) stats = pst_stats_new();
    PstCell *a = pst_stats_cell(stats, PST_COUNTER, "x_total", "k=\"1\"", NULL);
    cr_assert_eq(a, pst_stats_cell(stats, PST_COUNTER, "x_total", "k=\"1\"", NULL));
    cr_assert_neq(a, pst_stats_cell(stats, PST_COUNTER, "x_total", "k=\"2\"", NULL));
}

Test(stats, refuses_to_grow_without_bound)
{
    g_autoptr(PstStats) stats = pst_stats_new();
    for (guint i = 0; i < 50000; i++) {
        char labels[32];
        g_snprintf(labels, sizeof labels, "peer=\"%u\"", i);
        pst_cell_add(pst_stats_cell(stats, PST_COUNTER, "x_total", labels, NULL), 1);
    }
    g_autofree char *text = text_of(stats);
    cr_assert_not_null(strstr(text, "x_total{peer=\"39998\"} 1\n"));
    cr_assert_null(strstr(text, "peer=\"39999\""));
    cr_assert_not_null(strstr(text, "postern_stats_series_refused_total 10001\n"));
}

Test(stats, shows_millionths_as_fractions)
{
    g_autoptr(PstStats) stats = pst_stats_new();
    pst_cell_add(
        pst_stats_cell(stats, PST_COUNTER_MICROS, "postern_x_seconds_total", NULL, "Seconds."),
        2000150);
    g_autoptr(GString) text = g_string_new(NULL);
    pst_stats_write(stats, text);
    cr_assert_not_null(strstr(text->str, "# TYPE postern_x_seconds_total counter\n"));
    cr_assert_not_null(strstr(text->str, "\npostern_x_seconds_total 2.000150\n"), "%s", text->str);
}
