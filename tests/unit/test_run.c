/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "run.h"

typedef struct {
    gint64 idle_s;
    char **ports;
    gboolean strict;
    char *bus;
} Target;

static const PstConfRow rows[] = {
    {"test", "idle_timeout", PST_CONF_SPAN_S, offsetof(Target, idle_s), "s", 1, 0x7fffffff, NULL,
     "60", TRUE, "How long to wait."},
    {"test", "ports", PST_CONF_LIST, offsetof(Target, ports), "", 0, 0, NULL, "25", TRUE,
     "Which ports."},
    {"test", "strict", PST_CONF_BOOL, offsetof(Target, strict), "", 0, 0, NULL, "yes", TRUE,
     "Whether to be strict."},
    {"test", "bus", PST_CONF_TEXT, offsetof(Target, bus), "", 0, 0, NULL, "", FALSE, "Where."},
    {NULL},
};

static Target target;
static char *own_option;
static const GOptionEntry options[] = {
    {"own", 0, 0, G_OPTION_ARG_STRING, &own_option, "An option that is no key", "X"}, {NULL}};
static const PstProgram program = {
    .program = "postern-test",
    .summary = "Tests the life of a program.",
    .positional = "[FILE...]",
    .rows = rows,
    .target = &target,
    .options = options,
};

static PstRun run;

static gboolean init(int *status, ...)
{
    char *argv[16] = {g_strdup("postern-test")};
    int argc = 1;
    va_list args;
    va_start(args, status);
    for (const char *arg; (arg = va_arg(args, const char *)) != NULL;)
        argv[argc++] = g_strdup(arg);
    va_end(args);
    gboolean ok = pst_run_init(&program, argc, argv, &run, status);
    for (int i = 0; i < argc; i++)
        g_free(argv[i]);
    return ok;
}

static void done(void)
{
    pst_run_done(&run);
    pst_conf_clear(rows, &target);
    g_clear_pointer(&own_option, g_free);
}

Test(run, options_are_made_from_the_rows)
{
    int status = -1;
    cr_assert(init(&status, "--idle-timeout", "5m", "--ports=465", "--ports=587", "--no-strict",
                   "--own", "x", "a.pcap", "b.pcap", NULL));
    cr_assert_eq(target.idle_s, 300);
    cr_assert_str_eq(target.ports[0], "465");
    cr_assert_str_eq(target.ports[1], "587");
    cr_assert_null(target.ports[2]);
    cr_assert_not(target.strict);
    cr_assert_str_eq(own_option, "x");
    cr_assert_str_eq(run.args[0], "a.pcap");
    cr_assert_str_eq(run.args[1], "b.pcap");
    cr_assert_null(run.args[2]);
    done();
}

Test(run, a_double_dash_ends_the_options)
{
    int status = -1;
    cr_assert(init(&status, "--strict", "--", "-", "--x", NULL));
    cr_assert_str_eq(run.args[0], "-");
    cr_assert_str_eq(run.args[1], "--x");
    done();
}

Test(run, command_line_wins_over_the_file_after_a_reload_too)
{
    g_autofree char *path = NULL;
    close(g_file_open_tmp("run-XXXXXX", &path, NULL));
    cr_assert(
        g_file_set_contents(path, "[test]\nidle_timeout = 7\nports = 1,2\nmetrics=\n", -1, NULL));
    int status = -1;
    cr_assert(init(&status, "--config", path, "--ports", "9", NULL));
    cr_assert_eq(target.idle_s, 7);
    cr_assert_str_eq(target.ports[0], "9");
    cr_assert_null(target.ports[1]);

    cr_assert(g_file_set_contents(path, "[test]\nidle_timeout = 8\nports = 1,2\n", -1, NULL));
    Target again = {0};
    cr_assert(pst_run_load(&run, &again, NULL));
    cr_assert_eq(again.idle_s, 8);
    cr_assert_str_eq(again.ports[0], "9");
    pst_conf_clear(rows, &again);
    g_unlink(path);
    done();
}

Test(run, help_and_version_end_with_status_0, .init = cr_redirect_stdout)
{
    int status = -1;
    cr_assert_not(init(&status, "--help", NULL));
    cr_assert_eq(status, PST_EXIT_DONE);
    status = -1;
    cr_assert_not(init(&status, "--version", NULL));
    cr_assert_eq(status, PST_EXIT_DONE);
    status = -1;
    cr_assert_not(init(&status, "--show-config", NULL));
    cr_assert_eq(status, PST_EXIT_DONE);
}

Test(run, wrong_usage_ends_with_status_2, .init = cr_redirect_stderr)
{
    static const char *const wrong[][2] = {
        {"--nonsense", NULL},     {"--idle-timeout", "soon"},
        {"--idle-timeout", NULL}, {"--config", "/nonexistent/file"},
        {"--clock", "sundial"},   {"--log-level", "loud"},
        {"--metrics", "nowhere"}};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        int status = -1;
        cr_assert_not(init(&status, wrong[i][0], wrong[i][1], NULL), "%s", wrong[i][0]);
        cr_assert_eq(status, PST_EXIT_USAGE, "%s: %d", wrong[i][0], status);
        pst_conf_clear(rows, &target);
    }
}

Test(run, signals_ask_to_reload_and_to_stop)
{
    int status = -1;
    cr_assert(init(&status, NULL));
    cr_assert_not(pst_run_take_reload(&run));
    raise(SIGHUP);
    struct pollfd fd = {.fd = pst_run_signal_fd(&run), .events = POLLIN};
    cr_assert_eq(poll(&fd, 1, 0), 1);
    cr_assert(pst_run_take_reload(&run));
    cr_assert_not(pst_run_take_reload(&run));
    cr_assert_eq(poll(&fd, 1, 0), 0);
    cr_assert_not(pst_run_stopping(&run));
    raise(SIGTERM);
    cr_assert(pst_run_stopping(&run));
    pst_run_wait(&run, 60000); /* returns at once */
    done();
}

Test(run, a_second_signal_ends_at_once, .signal = SIGTERM)
{
    int status = -1;
    cr_assert(init(&status, NULL));
    raise(SIGTERM);
    raise(SIGTERM);
    cr_assert_fail("still here");
}

Test(run, quantities_are_written_for_people)
{
    static const struct {
        double n;
        const char *unit, *text;
    } cases[] = {{0, "bytes", "0 bytes"},        {999, "bytes", "999 bytes"},
                 {1200, "bytes", "1.2 kB"},      {45678901, "bytes", "46 MB"},
                 {1.25e13, "bytes", "12 TB"},    {7, "flows", "7 flows"},
                 {1000, "flows", "1,000 flows"}, {1234567, "", "1,234,567"}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        char text[48];
        cr_assert_str_eq(pst_quantity(cases[i].n, cases[i].unit, text), cases[i].text);
    }
}
