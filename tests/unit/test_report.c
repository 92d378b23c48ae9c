/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect_cell(const char *text, const char *expected)
{
    g_autoptr(GString) cell = g_string_new(NULL);
    report_csv_cell(cell, text);
    cr_assert_str_eq(cell->str, expected);
}

static void expect_plain(const char *value, const char *expected)
{
    g_autofree char *plain = report_plain(value);
    cr_assert_str_eq(plain, expected);
}

Test(report, quotes_cells_of_csv_only_where_needed)
{
    expect_cell("plain", "plain");
    expect_cell("", "");
    expect_cell("a,b", "\"a,b\"");
    expect_cell("say \"x\"", "\"say \"\"x\"\"\"");
    expect_cell("two\nlines", "\"two\nlines\"");
}

Test(report, lets_no_cell_be_a_formula)
{
    expect_cell("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\"");
    expect_cell("+49 30", "\"'+49 30\"");
    expect_cell("-1+cmd|' /C calc'!A0", "\"'-1+cmd|' /C calc'!A0\"");
    expect_cell("@SUM(A1)", "\"'@SUM(A1)\"");
    expect_cell("\tx", "\"'\tx\"");
    expect_cell("-12.5", "-12.5");
    expect_cell("-", "\"'-\"");
}

Test(report, writes_values_for_people)
{
    expect_plain(NULL, "–");
    expect_plain("", "–");
    expect_plain("t", "yes");
    expect_plain("f", "no");
    expect_plain("2026-05-01 12:34:56.123456+00", "2026-05-01 12:34:56");
    expect_plain("2026-05-01 12:34:56+00", "2026-05-01 12:34:56");
    expect_plain("2026-05-01 is a day", "2026-05-01 is a day");
    expect_plain("{25,587}", "25,587");
    expect_plain("{}", "–");
    expect_plain("192.0.2.7", "192.0.2.7");
}

Test(report, has_sections_with_names_fit_for_keys)
{
    for (const ReportSection *s = report_sections; s->name != NULL; s++) {
        cr_assert_eq(strspn(s->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(s->name));
        cr_assert(*s->title != '\0');
        for (const ReportSection *t = report_sections; t != s; t++)
            cr_assert_str_neq(s->name, t->name);
    }
}
