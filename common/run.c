/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* What a signal handler may touch; a process has one of each. */
static volatile sig_atomic_t stop_asked, reload_asked;
static int wake_fd = -1;

/* The keys that every program has. */
typedef struct {
    char *clock;
    gint64 log_level;
    char *metrics;
} Common;

enum { LOG_LEVEL_FIRST = PST_LOG_ERR };

static const PstConfRow common_rows[] = {
    {"postern", "clock", PST_CONF_TEXT, offsetof(Common, clock), "", 0, 0, NULL, "system", FALSE,
     "What time it is: system, offset:SECONDS or file:PATH (RFC 3339 text, for tests)."},
    {"postern", "log_level", PST_CONF_ENUM, offsetof(Common, log_level), "", 0, 0,
     "error|warning|notice|info|debug", "info", FALSE, "The least important lines to log."},
    {"postern", "metrics", PST_CONF_TEXT, offsetof(Common, metrics), "", 0, 0, NULL, "", FALSE,
     "ADDR:PORT for /metrics, /healthz and /readyz; not set: none."},
    {NULL},
};

typedef struct {
    const PstConfRow *row;
    char *value;
} Given; /* one option of the command line */

struct PstRunState {
    const PstProgram *program;
    PstConfRow *own_common; /* common_rows, with metrics in the program's own section */
    Common common;
    char *config_file;
    gboolean show_config, version, help;
    GPtrArray *given;   /* Given*, in order */
    GPtrArray *strings; /* names made for GOption */
    PstMono watchdog_next;
    PstSpan watchdog_every; /* 0: no watchdog */
    gint is_ready;          /* atomic: pst_run_ready was called */
};

static void given_free(gpointer data)
{
    Given *given = data;
    g_free(given->value);
    g_free(given);
}

static void state_free(struct PstRunState *state)
{
    if (state == NULL)
        return;
    if (state->own_common != NULL)
        pst_conf_clear(state->own_common, &state->common);
    g_free(state->own_common);
    g_free(state->config_file);
    g_ptr_array_unref(state->given);
    g_ptr_array_unref(state->strings);
    g_free(state);
}

static const char *short_name(const char *program)
{
    return g_str_has_prefix(program, "postern-") ? program + strlen("postern-") : program;
}

static struct PstRunState *state_new(const PstProgram *program)
{
    struct PstRunState *state = g_new0(struct PstRunState, 1);
    state->program = program;
    state->given = g_ptr_array_new_with_free_func(given_free);
    state->strings = g_ptr_array_new_with_free_func(g_free);
    state->own_common = g_memdup2(common_rows, sizeof common_rows);
    for (PstConfRow *row = state->own_common; row->name != NULL; row++)
        if (strcmp(row->name, "metrics") == 0) /* several programs share a file, not a port */
            row->section = short_name(program->program);
    return state;
}

/* "--idle-timeout" or "--no-xyz" → the row idle_timeout, xyz. */
static const PstConfRow *row_of_option(const struct PstRunState *state, const char *option)
{
    const PstConfRow *tables[] = {state->own_common, state->program->rows};
    g_autofree char *name = g_strdelimit(g_strdup(option + strspn(option, "-")), "-", '_');
    for (gsize t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (const PstConfRow *row = tables[t]; row != NULL && row->name != NULL; row++) {
            gboolean negated = row->type == PST_CONF_BOOL && g_str_has_prefix(name, "no_") &&
                               strcmp(row->name, name + 3) == 0;
            if (strcmp(row->name, name) == 0 || negated)
                return row;
        }
    }
    return NULL;
}

static gboolean take_option(const char *option, const char *value, gpointer data, GError **error)
{
    struct PstRunState *state = data;
    const PstConfRow *row = row_of_option(state, option);
    g_assert(row != NULL);
    if (row->type == PST_CONF_BOOL)
        value = g_str_has_prefix(option, "--no-") ? "no" : "yes";
    Given *given = g_new0(Given, 1);
    *given = (Given){.row = row, .value = g_strdup(value)};
    g_ptr_array_add(state->given, given);
    return TRUE;
}

static const char *keep_take(struct PstRunState *state, char *text)
{
    g_ptr_array_add(state->strings, text);
    return text;
}

static const char *value_word(const PstConfRow *row)
{
    static const char *const words[] = {
        [PST_CONF_BOOL] = NULL,      [PST_CONF_INT] = "N",       [PST_CONF_REAL] = "X",
        [PST_CONF_BYTES] = "BYTES",  [PST_CONF_SPAN_S] = "TIME", [PST_CONF_TEXT] = "TEXT",
        [PST_CONF_LIST] = "A,B,...",
    };
    return row->type == PST_CONF_ENUM ? row->choices : words[row->type];
}

static void add_option(struct PstRunState *state, GArray *entries, const PstConfRow *row,
                       const char *prefix, GOptionFlags flags)
{
    char *name = g_strconcat(prefix, row->name, NULL);
    GOptionEntry entry = {
        .long_name = keep_take(state, g_strdelimit(name, "_", '-')),
        .flags = (int)flags,
        .arg = G_OPTION_ARG_CALLBACK,
        .arg_data = take_option,
        .description = row->help,
        .arg_description = value_word(row),
    };
    if (*row->def != '\0' && row->type != PST_CONF_BOOL)
        entry.description = keep_take(state, g_strdup_printf("%s (%s)", row->help, row->def));
    g_array_append_val(entries, entry);
}

static gboolean has_option(const GOptionEntry *options, const char *row_name)
{
    g_autofree char *name = g_strdelimit(g_strdup(row_name), "_", '-');
    for (const GOptionEntry *entry = options; entry != NULL && entry->long_name != NULL; entry++)
        if (strcmp(entry->long_name, name) == 0)
            return TRUE;
    return FALSE;
}

static void add_rows(struct PstRunState *state, GOptionGroup *group, const PstConfRow *rows)
{
    g_autoptr(GArray) entries = g_array_new(TRUE, TRUE, sizeof(GOptionEntry));
    for (const PstConfRow *row = rows; row != NULL && row->name != NULL; row++) {
        if (has_option(state->program->options, row->name))
            continue;
        GOptionFlags flags = row->type == PST_CONF_BOOL ? G_OPTION_FLAG_NO_ARG : G_OPTION_FLAG_NONE;
        add_option(state, entries, row, "", flags);
        if (row->type == PST_CONF_BOOL)
            add_option(state, entries, row, "no_", flags | G_OPTION_FLAG_HIDDEN);
    }
    g_option_group_add_entries(group, &g_array_index(entries, GOptionEntry, 0));
}

static GOptionContext *make_context(struct PstRunState *state)
{
    const PstProgram *program = state->program;
    const GOptionEntry common[] = {
        {"config", 0, 0, G_OPTION_ARG_FILENAME, &state->config_file, "Read this configuration file",
         "FILE"},
        {"show-config", 0, 0, G_OPTION_ARG_NONE, &state->show_config,
         "Print every key with its meaning and the value in force, and end", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &state->version, "Print the version and end", NULL},
        {"help", 'h', 0, G_OPTION_ARG_NONE, &state->help, "Print this and end", NULL},
        {NULL},
    };
    GOptionContext *context = g_option_context_new(program->positional);
    /* In the order of --help: what it is for, what only it has, what every program has. */
    g_autofree char *top = g_strconcat(program->summary, "\n\n", program->description, NULL);
    g_option_context_set_summary(context, g_strchomp(top));
    g_option_context_set_help_enabled(context, FALSE);
    if (program->options != NULL) {
        GOptionGroup *own = g_option_group_new("own", "Options:", "", NULL, NULL);
        g_option_group_add_entries(own, program->options);
        g_option_context_add_group(context, own);
    }
    GOptionGroup *group =
        g_option_group_new("common", "Options of every program:", "", state, NULL);
    add_rows(state, group, state->own_common);
    g_option_group_add_entries(group, common);
    if (program->rows != NULL) {
        GOptionGroup *keys =
            g_option_group_new("keys", "Options, also keys of the file:", "", state, NULL);
        add_rows(state, keys, program->rows);
        g_option_context_add_group(context, keys);
    }
    g_option_context_add_group(context, group);
    return context;
}

static gboolean apply_given(const struct PstRunState *state, gpointer target, gpointer common,
                            GError **error)
{
    for (guint i = 0; i < state->given->len; i++) {
        const Given *given = g_ptr_array_index(state->given, i);
        gboolean is_common = given->row >= state->own_common &&
                             given->row < state->own_common + G_N_ELEMENTS(common_rows);
        gboolean repeated = FALSE;
        for (guint j = 0; j < i; j++)
            repeated |= ((const Given *)g_ptr_array_index(state->given, j))->row == given->row;
        gpointer to = is_common ? common : target;
        if (to != NULL &&
            !pst_conf_set(is_common ? state->own_common : state->program->rows, given->row->section,
                          given->row->name, given->value, repeated, to, error)) {
            g_prefix_error(error, "--");
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean load_all(const struct PstRunState *state, gpointer target, Common *common,
                         GError **error)
{
    static const PstConfRow none[] = {{NULL}};
    const PstConfRow *rows = state->program->rows != NULL ? state->program->rows : none;
    const PstConfTable tables[] = {{rows, target}, {state->own_common, common}};
    pst_conf_defaults(rows, target);
    pst_conf_defaults(state->own_common, common);
    if ((state->config_file == NULL ||
         pst_conf_load_tables(tables, G_N_ELEMENTS(tables), state->config_file, error)) &&
        apply_given(state, target, common, error))
        return TRUE;
    pst_conf_clear(rows, target);
    pst_conf_clear(state->own_common, common);
    return FALSE;
}

gboolean pst_run_load(const PstRun *run, gpointer target, GError **error)
{
    Common common = {0};
    if (!load_all(run->state, target, &common, error))
        return FALSE;
    pst_conf_clear(run->state->own_common, &common);
    return TRUE;
}

static const int caught[] = {SIGTERM, SIGINT, SIGHUP};

static void on_signal(int number)
{
    int saved_errno = errno;
    if (number == SIGHUP) {
        reload_asked = 1;
    } else if (stop_asked) {
        signal(number, SIG_DFL); /* the second one ends at once */
        raise(number);
    } else {
        stop_asked = 1;
    }
    guint64 one = 1;
    ssize_t n = write(wake_fd, &one, sizeof one);
    (void)n; /* a full counter is awake enough */
    errno = saved_errno;
}

static gboolean catch_signals(gboolean brief, GError **error)
{
    stop_asked = reload_asked = 0;
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "eventfd: %s", g_strerror(errno));
        return FALSE;
    }
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    for (gsize i = 0; !brief && i < G_N_ELEMENTS(caught); i++)
        sigaction(caught[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader that left is an error of write */
    return TRUE;
}

/* Ready when the program said so and its own readiness agrees. On the server's thread. */
static gboolean is_ready(gpointer user, GString *out_reasons)
{
    struct PstRunState *state = user;
    if (!g_atomic_int_get(&state->is_ready)) {
        g_string_append(out_reasons, "still starting\n");
        return FALSE;
    }
    return state->program->ready == NULL ||
           state->program->ready(state->program->ready_user, out_reasons);
}

static gboolean open_common(PstRun *run, GError **error)
{
    struct PstRunState *state = run->state;
    pst_log_open(state->program->program, (PstLogLevel)(state->common.log_level + LOG_LEVEL_FIRST));
    run->clock = pst_clock_new(state->common.clock, error);
    if (run->clock == NULL)
        return FALSE;
    run->stats = pst_stats_new();
    pst_cell_set(pst_stats_cell(run->stats, PST_GAUGE, "postern_build_info",
                                "version=\"" PST_VERSION "\"", "The version that runs."),
                 1);
    if (!catch_signals(state->program->brief, error))
        return FALSE;
    if (state->common.metrics != NULL) {
        run->http = pst_http_open(state->common.metrics, run->stats, is_ready, state, error);
        if (run->http == NULL)
            return FALSE;
        pst_log(PST_LOG_INFO, "metrics", "listening port=%u", pst_http_port(run->http));
    }
    guint64 watchdog_us = 0;
    if (sd_watchdog_enabled(0, &watchdog_us) > 0)
        state->watchdog_every = (PstSpan){(gint64)watchdog_us * 1000 / 2};
    return TRUE;
}

static gboolean print_and_end(struct PstRunState *state, GOptionContext *context)
{
    const PstProgram *program = state->program;
    if (state->help) {
        g_autofree char *help = g_option_context_get_help(context, FALSE, NULL);
        fputs(help, stdout);
    } else if (state->version) {
        printf("%s %s\n", program->program, PST_VERSION);
    } else {
        return FALSE;
    }
    return TRUE;
}

static void show_config(const struct PstRunState *state)
{
    pst_conf_show(state->own_common, &state->common, stdout);
    printf("\n");
    if (state->program->rows != NULL)
        pst_conf_show(state->program->rows, state->program->target, stdout);
}

static gboolean parse_command_line(struct PstRunState *state, GOptionContext *context, int argc,
                                   char **argv, char ***out_args, GError **error)
{
    g_auto(GStrv) copy = g_new0(char *, (gsize)argc + 1);
    for (int i = 0; i < argc; i++)
        copy[i] = g_strdup(argv[i]);
    g_autoptr(GError) why = NULL;
    if (!g_option_context_parse_strv(context, &copy, &why)) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "%s", why->message);
        return FALSE;
    }
    gsize first = copy[0] != NULL && copy[1] != NULL && strcmp(copy[1], "--") == 0 ? 2 : 1;
    *out_args =
        copy[0] != NULL ? g_strdupv(copy + MIN(first, g_strv_length(copy))) : g_new0(char *, 1);
    if (state->program->positional == NULL && (*out_args)[0] != NULL && !state->help) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "what is \"%s\"? No argument is expected",
                    (*out_args)[0]);
        return FALSE;
    }
    return TRUE;
}

static gboolean start(PstRun *run, GOptionContext *context, int argc, char **argv,
                      gboolean *out_end, GError **error)
{
    struct PstRunState *state = run->state;
    if (!parse_command_line(state, context, argc, argv, &run->args, error))
        return FALSE;
    *out_end = print_and_end(state, context);
    if (*out_end)
        return TRUE;
    run->config_file = state->config_file;
    if (!load_all(state, state->program->target, &state->common, error))
        return FALSE;
    *out_end = state->show_config;
    if (*out_end)
        show_config(state);
    return *out_end || open_common(run, error);
}

gboolean pst_run_init(const PstProgram *program, int argc, char **argv, PstRun *out_run,
                      int *out_status)
{
    *out_run = (PstRun){.state = state_new(program)};
    g_set_prgname(program->program);
    g_autoptr(GOptionContext) context = make_context(out_run->state);
    g_autoptr(GError) error = NULL;
    gboolean end = FALSE;
    if (start(out_run, context, argc, argv, &end, &error) && !end)
        return TRUE;
    *out_status = PST_EXIT_DONE;
    if (error != NULL) {
        *out_status = pst_error_exit_status(error);
        fprintf(stderr, "%s: %s\n", program->program, error->message);
        if (*out_status == PST_EXIT_USAGE)
            fprintf(stderr, "Try %s --help\n", program->program);
    }
    if (program->rows != NULL)
        pst_conf_clear(program->rows, program->target);
    pst_run_done(out_run);
    return FALSE;
}

void pst_run_ready(PstRun *run)
{
    g_atomic_int_set(&run->state->is_ready, 1);
    (void)sd_notify(0, "READY=1");
}

gboolean pst_run_stopping(const PstRun *run)
{
    return stop_asked != 0;
}

static void drain_wake(void)
{
    guint64 count;
    ssize_t n = read(wake_fd, &count, sizeof count);
    (void)n; /* EAGAIN: nothing to drain */
}

gboolean pst_run_take_reload(PstRun *run)
{
    if (!reload_asked)
        return FALSE;
    drain_wake();
    reload_asked = 0;
    return TRUE;
}

void pst_run_tick(PstRun *run)
{
    struct PstRunState *state = run->state;
    if (state->watchdog_every.ns == 0)
        return;
    PstMono now = pst_mono_now();
    if (now.ns < state->watchdog_next.ns)
        return;
    state->watchdog_next = pst_mono_add(now, state->watchdog_every);
    (void)sd_notify(0, "WATCHDOG=1");
}

int pst_run_signal_fd(const PstRun *run)
{
    return wake_fd;
}

void pst_run_wait(PstRun *run, int timeout_ms)
{
    if (stop_asked || reload_asked)
        return;
    struct pollfd fd = {.fd = wake_fd, .events = POLLIN};
    if (poll(&fd, 1, timeout_ms) > 0)
        drain_wake();
}

void pst_run_done(PstRun *run)
{
    if (stop_asked)
        (void)sd_notify(0, "STOPPING=1");
    g_clear_pointer(&run->http, pst_http_close);
    g_clear_pointer(&run->stats, pst_stats_free);
    g_clear_pointer(&run->clock, pst_clock_free);
    g_clear_pointer(&run->args, g_strfreev);
    g_clear_pointer(&run->state, state_free);
    run->config_file = NULL;
    if (wake_fd >= 0)
        close(wake_fd);
    wake_fd = -1;
}

int pst_run_fail_take(const char *what, GError *error)
{
    g_autoptr(GError) owned = error;
    pst_log(PST_LOG_ERR, what, "%s", owned->message);
    return pst_error_exit_status(owned);
}
