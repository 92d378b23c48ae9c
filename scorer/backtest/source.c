/* SPDX-License-Identifier: Apache-2.0 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

enum { HEAD = 64, PROGRAMS_MAX = 4, RELAY_BYTES = 65536 };

typedef struct {
    const char *name; /* NULL: a relay, of whose end nothing is to be told */
    GPid pid;
} Program;

struct Source {
    char *name;
    const char *path; /* for programs that open it themselves; NULL: they read a pipe */
    int fd;
    int file; /* a regular file, at the position of who reads it; −1: there is none */
    guint64 bytes;
    guint8 head[HEAD]; /* read already, not given yet: head[at … len) */
    gsize at, len;
    Program programs[PROGRAMS_MAX];
    guint n_programs;
    gboolean collects;
};

typedef enum { THROUGH_UNPACKER, THROUGH_COLLECTOR, THROUGH_NOTHING } Through;

#define NFCAPD                                                                                     \
    "is a file of nfcapd: flows2json nfcapd FILE | postern backtest --networks ... - (flows2json " \
    "stands in Postern's share folder)"

/* What begins like this is not ours; nor does any batch, or JSON. */
static const struct {
    gsize len;
    const char *bytes;
    Through through;
    const char *what; /* the unpacker, or words */
} forms[] = {
    {4, "\xd4\xc3\xb2\xa1", THROUGH_COLLECTOR, "is a capture"},
    {4, "\xa1\xb2\xc3\xd4", THROUGH_COLLECTOR, "is a capture"},
    {4, "\x4d\x3c\xb2\xa1", THROUGH_COLLECTOR, "is a capture"},
    {4, "\xa1\xb2\x3c\x4d", THROUGH_COLLECTOR, "is a capture"},
    {4, "\x0a\x0d\x0d\x0a", THROUGH_COLLECTOR, "is a capture"},
    {2, "\x00\x0a", THROUGH_COLLECTOR, "is an IPFIX file"},
    {2, "\x1f\x8b", THROUGH_UNPACKER, "gzip"},
    {4, "\x28\xb5\x2f\xfd", THROUGH_UNPACKER, "zstd"},
    {6, "\xfd\x37zXZ\x00", THROUGH_UNPACKER, "xz"},
    {3, "BZh", THROUGH_UNPACKER, "bzip2"},
    {2, "\x0c\xa5", THROUGH_NOTHING, NFCAPD},
};

static gssize read_fd(int fd, void *out, gsize size)
{
    gssize n;
    do
        n = read(fd, out, size);
    while (n < 0 && errno == EINTR);
    return n;
}

static gboolean fail_read(const Source *s, GError **error)
{
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "cannot read %s: %s", s->name, g_strerror(errno));
    return FALSE;
}

static gboolean read_head(Source *s, GError **error)
{
    s->at = s->len = 0;
    for (gssize n = 1; n > 0 && s->len < HEAD; s->len += (gsize)n) {
        n = read_fd(s->fd, s->head + s->len, HEAD - s->len);
        if (n < 0)
            return fail_read(s, error);
    }
    return TRUE;
}

static void forget_descriptor(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void add_program(Source *s, const char *name, GPid pid)
{
    g_assert(s->n_programs < PROGRAMS_MAX);
    s->programs[s->n_programs++] = (Program){name, pid};
}

/* The life of a relay: the head, then the rest. Nothing here but system calls. */
static G_GNUC_NORETURN void be_relay(const Source *s, int out)
{
    guint8 buffer[RELAY_BYTES];
    if (dup2(s->fd, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        close_range(STDERR_FILENO + 1, ~0U, 0) != 0)
        _exit(1);
    memcpy(buffer, s->head, s->len);
    for (gssize n = (gssize)s->len; n > 0; n = read_fd(STDIN_FILENO, buffer, sizeof buffer))
        for (gssize at = 0, w; at < n; at += w)
            if ((w = write(STDOUT_FILENO, buffer + at, (gsize)(n - at))) < 0)
                _exit(1);
    _exit(0);
}

/* What was read of a pipe to look at it is put before its rest. */
static gboolean unread(Source *s, GError **error)
{
    if (lseek(s->fd, -(off_t)s->len, SEEK_CUR) >= 0)
        return TRUE;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return fail_read(s, error);
    pid_t pid = fork();
    if (pid == 0)
        be_relay(s, fds[1]);
    close(fds[1]);
    forget_descriptor(&s->fd);
    s->fd = fds[0];
    if (pid < 0)
        return fail_read(s, error);
    add_program(s, NULL, pid);
    return TRUE;
}

/* We ignore it; others expect to end by it. */
static void restore_sigpipe(gpointer nothing)
{
    signal(SIGPIPE, SIG_DFL);
}

/* What @argv makes of the stream takes its place. */
static gboolean go_through(Source *s, const char *name, const char *const *argv, GError **error)
{
    g_autoptr(GError) why = NULL;
    GPid pid;
    int out;
    if (!unread(s, error))
        return FALSE;
    if (!g_spawn_async_with_pipes_and_fds(
            NULL, argv, NULL,
            G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CLOEXEC_PIPES,
            restore_sigpipe, NULL, s->fd, -1, -1, NULL, NULL, 0, &pid, NULL, &out, NULL, &why)) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s cannot be read, for %s does not start: %s",
                    s->name, name, why->message);
        return FALSE;
    }
    if (s->file < 0 || s->fd != s->file)
        close(s->fd);
    s->fd = out;
    s->at = s->len = 0;
    add_program(s, name, pid);
    return TRUE;
}

static gboolean unpack(Source *s, const char *program, GError **error)
{
    const char *const argv[] = {program, "-dc", NULL};
    if (!go_through(s, program, argv, error))
        return FALSE;
    s->path = NULL;
    return TRUE;
}

static gboolean collect(Source *s, const char *const *collector, GError **error)
{
    g_autofree char *program = pst_program_path("postern-collector");
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_ptr_array_add(argv, program);
    for (; *collector != NULL; collector++)
        g_ptr_array_add(argv, (gpointer)(guintptr)*collector);
    g_ptr_array_add(argv, (gpointer)(guintptr) "--read");
    g_ptr_array_add(argv, (gpointer)(guintptr)(s->path != NULL ? s->path : "-"));
    g_ptr_array_add(argv, NULL);
    s->collects = TRUE;
    return go_through(s, "postern-collector", (const char *const *)argv->pdata, error);
}

/* FALSE without @error: it is read as it stands. */
static gboolean step(Source *s, const char *const *collector, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        if (s->len < forms[i].len || memcmp(s->head, forms[i].bytes, forms[i].len) != 0)
            continue;
        if (forms[i].through == THROUGH_UNPACKER && collector != NULL)
            return unpack(s, forms[i].what, error);
        if (forms[i].through == THROUGH_COLLECTOR && collector != NULL)
            return collect(s, collector, error);
        g_set_error(error, PST_ERROR, PST_ERROR_DATA, "%s %s%s", s->name,
                    forms[i].through == THROUGH_UNPACKER ? "is packed by " : "", forms[i].what);
        return FALSE;
    }
    return FALSE;
}

/* Packed, and a capture: two steps, and one more in which there is nothing to do. */
static gboolean look(Source *s, const char *const *collector, GError **error)
{
    g_autoptr(GError) failure = NULL;
    do {
        if (!read_head(s, &failure))
            break;
    } while (!s->collects && s->n_programs < PROGRAMS_MAX - 1 && step(s, collector, &failure));
    if (failure == NULL)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

Source *source_open(const char *path, const char *const *collector, GError **error)
{
    g_autoptr(Source) s = g_new0(Source, 1);
    gboolean is_stdin = strcmp(path, "-") == 0;
    s->name = g_strdup(is_stdin ? "standard input" : path);
    s->path = is_stdin ? NULL : path;
    s->file = -1;
    s->fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (s->fd < 0 || fstat(s->fd, &about) != 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "cannot open %s: %s", s->name,
                    g_strerror(errno));
        return NULL;
    }
    if (S_ISREG(about.st_mode))
        s->file = s->fd;
    else
        s->path = NULL;
    return look(s, collector, error) ? g_steal_pointer(&s) : NULL;
}

static gboolean end_program(const Program *program)
{
    int status;
    pid_t pid;
    do
        pid = waitpid(program->pid, &status, 0);
    while (pid < 0 && errno == EINTR);
    return program->name == NULL || (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

gboolean source_finish(Source *s, GError **error)
{
    const char *failed = NULL;
    for (guint i = 0; i < s->n_programs; i++)
        if (!end_program(&s->programs[i]) && failed == NULL)
            failed = s->programs[i].name;
    s->n_programs = 0;
    if (failed == NULL)
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_DATA,
                "%s could not be read to its end (%s said why); what came before counts", s->name,
                failed);
    return FALSE;
}

void source_close(Source *s)
{
    if (s == NULL)
        return;
    if (s->fd != s->file)
        forget_descriptor(&s->fd);
    forget_descriptor(&s->file);
    for (guint i = 0; i < s->n_programs; i++) {
        (void)kill(s->programs[i].pid, SIGTERM);
        (void)end_program(&s->programs[i]);
    }
    g_free(s->name);
    g_free(s);
}

gssize source_read(Source *s, void *out, gsize size, GError **error)
{
    gsize left = MIN(s->len - s->at, size);
    if (left > 0) {
        memcpy(out, s->head + s->at, left);
        s->at += left;
        s->bytes += left;
        return (gssize)left;
    }
    gssize n = read_fd(s->fd, out, size);
    if (n < 0)
        (void)fail_read(s, error);
    else
        s->bytes += (guint64)n;
    return n;
}

guint64 source_position(const Source *s)
{
    off_t at = s->file >= 0 ? lseek(s->file, 0, SEEK_CUR) : -1;
    return at >= 0 ? (guint64)at : s->bytes;
}

gboolean source_shows_itself(const Source *s)
{
    return s->collects;
}

const char *source_name(const Source *s)
{
    return s->name;
}
