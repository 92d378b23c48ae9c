/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"

enum { ERROR_MAX = 4096, LINE_MAX_BYTES = 400, PIPES = 3 };

typedef struct {
    pid_t pid;
    int pidfd;
    int fds[PIPES]; /* our ends of stdin, stdout, stderr; −1: closed */
    const GString *input;
    gsize written;
    GString *out, *error;
    gsize out_max;
} Running;

void child_clear(Child *child)
{
    if (child->out != NULL)
        g_string_free(child->out, TRUE);
    g_free(child->error_line);
    *child = (Child){0};
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* In the child, between fork and exec: only what is safe there. */
static _Noreturn void become(char *const *argv, const int ends[PIPES], pid_t parent)
{
    char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char lang[] = "LANG=C.UTF-8";
    char *const environment[] = {path, lang, NULL};
    static const char failed[] = "cannot be executed\n";
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < PIPES; i++)
        if (dup2(ends[i], i) < 0)
            _exit(127);
    close_range(PIPES, ~0U, 0);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (getppid() == parent && chdir("/") == 0)
        execve(argv[0], argv, environment);
    if (write(STDERR_FILENO, failed, sizeof failed - 1) < 0)
        _exit(126);
    _exit(127);
}

/* Pipes above the three that a child has, so that dup2 never meets itself. */
static gboolean make_pipe(int ends[2])
{
    int raw[2];
    if (pipe2(raw, O_CLOEXEC) != 0)
        return FALSE;
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(raw[i], F_DUPFD_CLOEXEC, PIPES);
        close(raw[i]);
    }
    return ends[0] >= 0 && ends[1] >= 0;
}

static gboolean start(char *const *argv, Running *running)
{
    int theirs[PIPES] = {-1, -1, -1};
    gboolean made = TRUE;
    for (int i = 0; i < PIPES; i++) {
        int ends[2] = {-1, -1};
        made = made && make_pipe(ends);
        theirs[i] = ends[i == 0 ? 0 : 1];
        running->fds[i] = ends[i == 0 ? 1 : 0];
        if (running->fds[i] >= 0)
            fcntl(running->fds[i], F_SETFL, O_NONBLOCK);
    }
    pid_t parent = getpid();
    running->pid = made ? fork() : -1;
    if (running->pid == 0)
        become(argv, theirs, parent);
    for (int i = 0; i < PIPES; i++)
        close_fd(&theirs[i]);
    if (running->pid < 0)
        return FALSE;
    setpgid(running->pid, running->pid); /* whoever of the two comes first */
    running->pidfd = pidfd_open(running->pid, 0);
    return TRUE;
}

static void feed(Running *running)
{
    gsize left = running->input->len - running->written;
    gssize n = write(running->fds[0], running->input->str + running->written, left);
    if (n >= 0)
        running->written += (gsize)n;
    if ((n < 0 && errno != EAGAIN && errno != EINTR) || running->written == running->input->len)
        close_fd(&running->fds[0]);
}

/* Takes what is there. What is past @max is dropped; FALSE: there was such. */
static gboolean drain(int *fd, GString *into, gsize max)
{
    char buffer[16384];
    gboolean fits = TRUE;
    while (*fd >= 0) {
        gssize n = read(*fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            close_fd(fd);
            break;
        }
        gsize room = max - MIN(into->len, max);
        fits = fits && (gsize)n <= room;
        g_string_append_len(into, buffer, (gssize)MIN((gsize)n, room));
        if (!fits)
            break;
    }
    return fits;
}

/* Until it has ended. NULL: by itself; otherwise why it has to be killed. */
static const char *attend(Running *running, PstMono until)
{
    for (;;) {
        gint64 left_ms = pst_mono_since(until, pst_mono_now()).ns / PST_NS_PER_MS;
        if (left_ms <= 0)
            return "its time was over";
        struct pollfd polled[] = {{.fd = running->pidfd, .events = POLLIN},
                                  {.fd = running->fds[0], .events = POLLOUT},
                                  {.fd = running->fds[1], .events = POLLIN},
                                  {.fd = running->fds[2], .events = POLLIN}};
        if (poll(polled, G_N_ELEMENTS(polled), (int)MIN(left_ms, G_MAXINT)) < 0 && errno != EINTR)
            return "it could not be waited for";
        if (polled[1].revents != 0)
            feed(running);
        if (!drain(&running->fds[1], running->out, running->out_max))
            return "it wrote too much";
        drain(&running->fds[2], running->error, ERROR_MAX);
        if (polled[0].revents != 0)
            return NULL;
    }
}

static char *first_line(GString *text)
{
    g_string_truncate(text, strcspn(text->str, "\r\n"));
    g_string_truncate(text, MIN(text->len, LINE_MAX_BYTES));
    for (char *c = text->str; *c != '\0'; c++)
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    return text->len > 0 ? g_utf8_make_valid(text->str, -1) : NULL;
}

/* The group first: as long as its leader is not reaped, nobody else can have its number. */
static void finish(Running *running, const char *why, Child *out_child)
{
    int status = 0;
    kill(-running->pid, SIGKILL);
    while (waitpid(running->pid, &status, 0) < 0 && errno == EINTR)
        ;
    out_child->why = why;
    if (why == NULL && WIFSIGNALED(status))
        out_child->why = "a signal ended it";
    out_child->status = out_child->why == NULL && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void child_run(char *const *argv, const GString *input, int timeout_s, gsize out_max,
               Child *out_child)
{
    g_assert(g_path_is_absolute(argv[0]));
    Running running = {.pidfd = -1,
                       .fds = {-1, -1, -1},
                       .input = input,
                       .out = g_string_new(NULL),
                       .error = g_string_new(NULL),
                       .out_max = out_max};
    *out_child = (Child){.status = -1, .why = "it could not be started", .out = running.out};
    if (start(argv, &running)) {
        PstMono until = pst_mono_add(pst_mono_now(), pst_span_ms(timeout_s * 1000));
        const char *why =
            running.pidfd >= 0 ? attend(&running, until) : "it could not be waited for";
        if (why == NULL) {
            if (!drain(&running.fds[1], running.out, running.out_max))
                why = "it wrote too much";
            drain(&running.fds[2], running.error, ERROR_MAX);
        }
        finish(&running, why, out_child);
    }
    for (int i = 0; i < PIPES; i++)
        close_fd(&running.fds[i]);
    close_fd(&running.pidfd);
    out_child->error_line = first_line(running.error);
    g_string_free(running.error, TRUE);
}
