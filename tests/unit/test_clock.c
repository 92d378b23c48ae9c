/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "clock.h"

static gint64 parsed(const char *text)
{
    gint64 ns = -1;
    cr_assert(pst_time_parse(text, &ns), "%s", text);
    return ns;
}

static const char *formatted(gint64 ns, gboolean with_ms)
{
    static char out[PST_TIME_TEXT_MAX];
    return pst_time_format(ns, with_ms, out);
}

Test(time, reads_rfc3339)
{
    cr_assert_eq(parsed("1970-01-01T00:00:00Z"), 0);
    cr_assert_eq(parsed("2026-05-01T12:34:56Z"), 1777638896 * PST_NS_PER_S);
    cr_assert_eq(parsed("2026-05-01T12:34:56.5Z"), 1777638896 * PST_NS_PER_S + 500000000);
    cr_assert_eq(parsed("2026-05-01T14:34:56+02:00"), 1777638896 * PST_NS_PER_S);
    cr_assert_eq(parsed("2026-05-01 08:04:56-0430"), 1777638896 * PST_NS_PER_S);
    cr_assert_eq(parsed("2026-05-01T12:34:56.123456789123Z"), 1777638896123456789);
    cr_assert_eq(parsed("2016-12-31T23:59:60Z"), parsed("2017-01-01T00:00:00Z"));
}

Test(time, refuses_what_is_no_moment)
{
    static const char *const wrong[] = {
        "",
        "2026-05-01",
        "2026-05-01T12:34:56",
        "2026-05-01T12:34:56.Z",
        "2026-04-31T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-05-01T24:00:00Z",
        "2026-05-01T12:34:56Zx",
        "2026-05-01T12:34:56+24:00",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "2262-01-01T00:00:00Z",
        "20260501T123456Z",
    };
    gint64 ns;
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        cr_assert_not(pst_time_parse(wrong[i], &ns), "%s", wrong[i]);
}

Test(time, keeps_its_text)
{
    cr_assert_str_eq(formatted(0, FALSE), "1970-01-01T00:00:00Z");
    cr_assert_str_eq(formatted(parsed("2261-12-31T23:59:59Z"), FALSE), "2261-12-31T23:59:59Z");
    cr_assert_str_eq(formatted(1777638896123456789, TRUE), "2026-05-01T12:34:56.123Z");
    cr_assert_str_eq(formatted(-1, TRUE), "1969-12-31T23:59:59.999Z");
}

Test(clock, system_follows_the_machine)
{
    g_autoptr(PstClock) clock = pst_clock_new(NULL, NULL);
    gint64 before = g_get_real_time() * 1000;
    gint64 now = pst_clock_now(clock).ns;
    cr_assert_geq(now, before);
    cr_assert_lt(now - before, 60 * PST_NS_PER_S);
}

Test(clock, offset_moves_the_machines_time)
{
    g_autoptr(PstClock) clock = pst_clock_new("offset:-86400.5", NULL);
    gint64 expected = g_get_real_time() * 1000 - 86400500 * PST_NS_PER_MS;
    gint64 difference = pst_clock_now(clock).ns - expected;
    cr_assert(difference >= 0 && difference < 60 * PST_NS_PER_S);
}

Test(clock, file_is_read_at_each_use_and_its_last_moment_kept)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("clock-XXXXXX", &path, NULL);
    cr_assert_geq(fd, 0);
    close(fd);
    g_autofree char *spec = g_strconcat("file:", path, NULL);
    cr_assert(g_file_set_contents(path, "2026-05-01T00:00:00Z\n", -1, NULL));

    g_autoptr(PstClock) clock = pst_clock_new(spec, NULL);
    cr_assert_not_null(clock);
    cr_assert_eq(pst_clock_now(clock).ns, parsed("2026-05-01T00:00:00Z"));
    cr_assert(g_file_set_contents(path, "2026-05-02T00:00:00Z", -1, NULL));
    cr_assert_eq(pst_clock_now(clock).ns, parsed("2026-05-02T00:00:00Z"));
    cr_assert(g_file_set_contents(path, "garbage", -1, NULL));
    cr_assert_eq(pst_clock_now(clock).ns, parsed("2026-05-02T00:00:00Z"));
    g_unlink(path);
    cr_assert_eq(pst_clock_now(clock).ns, parsed("2026-05-02T00:00:00Z"));
}

Test(clock, refuses_what_it_does_not_know)
{
    static const char *const wrong[] = {"sundial", "offset:", "offset:x", "offset:1e300",
                                        "file:/nonexistent/clock"};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        cr_assert_null(pst_clock_new(wrong[i], &error), "%s", wrong[i]);
        cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE), "%s", wrong[i]);
    }
}
