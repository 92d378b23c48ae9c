/* SPDX-License-Identifier: Apache-2.0 */
/* Subcommands that other programs of ours do: replay, backtest, report. What follows the name is
 * handed on as it stands, --help too. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

/* Becomes the program; returns only when it cannot be started. */
static int become(const char *program, char **arguments)
{
    g_autofree char *path = cli_program_path(program);
    g_autofree char **argv = g_new0(char *, g_strv_length(arguments) + 2);
    argv[0] = path;
    for (gsize i = 0; arguments[i] != NULL; i++)
        argv[i + 1] = arguments[i];
    execvp(path, argv);
    fprintf(stderr, "postern: cannot start %s: %s\n", path, g_strerror(errno));
    return PST_EXIT_FAILED;
}

int cmd_replay(int argc, char **argv)
{
    return become("postern-replay", argv + 1);
}

int cmd_report(int argc, char **argv)
{
    return become("postern-report", argv + 1);
}

/* ---- backtest ---- */

static const char help[] =
    "Usage:\n"
    "  postern backtest --networks FILE|CIDR,… [--format text|json] [--compare CONF] [--svg FILE]\n"
    "                   FILE…\n"
    "\n"
    "What the detector would have said about recorded flows: captures of flow exports (.pcap,\n"
    ".pcapng), IPFIX files (.ipfix), or flows as postern-collector --output json:- prints them.\n"
    "Captures and IPFIX files go through postern-collector first, everything else straight to\n"
    "postern-scorer --backtest (its --help tells more). Nothing is stored, nobody is told.\n"
    "A capture of the traffic itself holds no flows; softflowd makes some of it:\n"
    "\n"
    "  postern-collector --listen udp://127.0.0.1:2055 --publish all --output json:flows.json &\n"
    "  softflowd -r traffic.pcap -v 10 -n 127.0.0.1:2055\n"
    "\n"
    "  --compare CONF  a second configuration beside the one in force: the same with the keys of\n"
    "                  CONF instead. Tells what only one of them finds.\n"
    "  --svg FILE      draw how often each evidence was reached, beside what is promised\n"
    "\n"
    "Examples:\n"
    "  postern backtest --networks 192.0.2.0/24 monday.pcap\n"
    "  postern backtest --networks nets.txt --format json flows.json | jq .unit\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 usage.\n";

static gboolean is_capture(const char *file)
{
    static const char *const endings[] = {".pcap", ".pcapng", ".cap", ".ipfix"};
    for (gsize i = 0; i < G_N_ELEMENTS(endings); i++)
        if (g_str_has_suffix(file, endings[i]))
            return TRUE;
    return FALSE;
}

/* Arguments as the shell gave them, told apart: captures, the value of --networks, the rest. */
typedef struct {
    GPtrArray *collector, *scorer; /* borrowed texts, with a NULL at the end */
    const char *networks;
    guint captures;
} Backtest;

static void backtest_clear(Backtest *b)
{
    g_ptr_array_unref(b->collector);
    g_ptr_array_unref(b->scorer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Backtest, backtest_clear)

static gpointer as_item(const char *text)
{
    return (gpointer)(guintptr)text;
}

static void sort_arguments(Backtest *b, char **argv)
{
    for (char **a = argv; *a != NULL; a++) {
        if (strcmp(*a, "--networks") == 0 && a[1] != NULL)
            b->networks = a[1];
        else if (g_str_has_prefix(*a, "--networks="))
            b->networks = *a + strlen("--networks=");
        if (is_capture(*a)) {
            g_ptr_array_add(b->collector, as_item("--read"));
            g_ptr_array_add(b->collector, *a);
            b->captures++;
        } else {
            g_ptr_array_add(b->scorer, *a);
        }
    }
}

/* collector | scorer; we become the scorer. A collector that fails closes the pipe early: its
 * status decides then. */
static int pipe_through(Backtest *b)
{
    int fds[2];
    if (pipe(fds) != 0) {
        fprintf(stderr, "postern backtest: pipe: %s\n", g_strerror(errno));
        return PST_EXIT_FAILED;
    }
    pid_t reader = fork();
    pid_t scorer = reader > 0 ? fork() : -1;
    if (reader == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        _exit(become("postern-collector", (char **)b->collector->pdata));
    }
    if (scorer == 0) {
        dup2(fds[0], STDIN_FILENO);
        close(fds[0]);
        close(fds[1]);
        _exit(become("postern-scorer", (char **)b->scorer->pdata));
    }
    close(fds[0]);
    close(fds[1]);
    if (reader < 0 || scorer < 0)
        fprintf(stderr, "postern backtest: fork: %s\n", g_strerror(errno));
    int read_status = 0, score_status = 0;
    gboolean waited = (reader < 0 || waitpid(reader, &read_status, 0) == reader) &&
                      (scorer < 0 || waitpid(scorer, &score_status, 0) == scorer);
    if (!waited || reader < 0 || scorer < 0)
        return PST_EXIT_FAILED;
    int first = WIFEXITED(read_status) ? WEXITSTATUS(read_status) : PST_EXIT_FAILED;
    int second = WIFEXITED(score_status) ? WEXITSTATUS(score_status) : PST_EXIT_FAILED;
    return first != PST_EXIT_DONE ? first : second;
}

int cmd_backtest(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(help, argc < 2 ? stderr : stdout);
        return argc < 2 ? PST_EXIT_USAGE : PST_EXIT_DONE;
    }
    g_auto(Backtest) b = {.collector = g_ptr_array_new(), .scorer = g_ptr_array_new()};
    g_ptr_array_add(b.scorer, as_item("--backtest"));
    sort_arguments(&b, argv + 1);
    if (b.captures > 0) {
        const char *const read_as[] = {"--publish", "all", "--output", "json:-"};
        for (gsize i = 0; i < G_N_ELEMENTS(read_as); i++)
            g_ptr_array_add(b.collector, as_item(read_as[i]));
        if (b.networks != NULL) {
            g_ptr_array_add(b.collector, as_item("--networks"));
            g_ptr_array_add(b.collector, as_item(b.networks));
        }
        g_ptr_array_add(b.scorer, as_item("-"));
    }
    g_ptr_array_add(b.collector, NULL);
    g_ptr_array_add(b.scorer, NULL);
    if (b.captures > 0)
        return pipe_through(&b);
    return become("postern-scorer", (char **)b.scorer->pdata);
}
