/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* Every test is a process of its own: stderr becomes a pipe that the test reads. */
static int capture_fd;

static void capture(void)
{
    int fds[2];
    cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
    cr_assert_geq(dup2(fds[1], STDERR_FILENO), 0);
    capture_fd = fds[0];
    pst_log_open("postern-collector", PST_LOG_INFO);
}

static const char *captured(void)
{
    static char text[65536];
    ssize_t n = read(capture_fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

Test(log, line_has_priority_program_subject_and_event, .init = capture)
{
    pst_log(PST_LOG_WARN, "exporter 192.0.2.1", "template refused id=%d", 256);
    cr_assert_str_eq(captured(), "<4>collector exporter 192.0.2.1: template refused id=256\n");
}

Test(log, subject_may_be_absent, .init = capture)
{
    pst_log(PST_LOG_INFO, NULL, "started");
    cr_assert_str_eq(captured(), "<6>collector started\n");
}

Test(log, hides_what_is_below_its_level, .init = capture)
{
    pst_log(PST_LOG_DEBUG, NULL, "hidden");
    cr_assert_str_eq(captured(), "");
}

Test(log, escapes_control_characters_and_bad_utf8, .init = capture)
{
    pst_log(PST_LOG_INFO, "a\nb", "x\x1b[31m \xc3\xa9 \xff \xc2\x9b");
    cr_assert_str_eq(captured(), "<6>collector a\\x0ab: x\\x1b[31m \xc3\xa9 \\xff \\xc2\\x9b\n");
}

Test(log, cuts_long_messages_and_stays_one_line, .init = capture)
{
    char text[5000];
    memset(text, '\n', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    pst_log(PST_LOG_INFO, text, "%s", text);
    const char *line = captured();
    cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
    cr_assert_lt(strlen(line), 4300);
}

Test(log, limited_shows_one_line_a_minute, .init = capture)
{
    PstLogLimit limit = {0};
    for (int i = 0; i < 5; i++)
        pst_log_limited(&limit, PST_LOG_INFO, NULL, "event %d", i);
    cr_assert_str_eq(captured(), "<6>collector event 0\n");
    cr_assert_eq(limit.suppressed, 4);
    limit.next_ns = 0; /* the minute is over */
    pst_log_limited(&limit, PST_LOG_INFO, NULL, "event 5");
    const char *text = captured();
    cr_assert_not_null(strstr(text, "event 5"), "%s", text);
    cr_assert_not_null(strstr(text, "suppressed=4"), "%s", text);
}

Test(log, libraries_cannot_flood_it, .init = capture)
{
    for (int i = 0; i < 1000; i++)
        g_warning("sequence gap %d", i);
    cr_assert_str_eq(captured(), "<4>collector postern: sequence gap 0\n");
    cr_assert_eq(pst_log_swallowed(), 999);
}
