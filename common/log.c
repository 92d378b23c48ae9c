/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

enum { MESSAGE_MAX = 1024, LINE_MAX_BYTES = 4 * MESSAGE_MAX + 128 };

/* The writer: set once by pst_log_open before threads exist, read-only afterwards. */
static struct {
    char program[32];
    PstLogLevel level;
    gboolean on_terminal;
    gboolean open;
} writer = {.program = "postern", .level = PST_LOG_INFO};

/* Guards library_limit only. */
static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;
static PstLogLimit library_limit;
static guint64 library_swallowed; /* atomic */

/* Bytes as they came, except control characters and what is no UTF-8: those become \xNN. */
static gsize append_escaped(char *out, gsize at, gsize max, const char *text)
{
    const char *p = text;
    while (*p != '\0' && at + 8 < max) {
        gunichar c = g_utf8_get_char_validated(p, -1);
        gboolean valid = c != (gunichar)-1 && c != (gunichar)-2;
        gsize n = valid ? (gsize)(g_utf8_next_char(p) - p) : 1;
        gboolean plain = valid && c >= 0x20 && !(c >= 0x7f && c < 0xa0);
        for (gsize i = 0; i < n && plain; i++)
            out[at + i] = p[i];
        if (plain)
            at += n;
        for (gsize i = 0; i < n && !plain; i++)
            at += (gsize)g_snprintf(out + at, max - at, "\\x%02x", (guint8)p[i]);
        p += n;
    }
    return at;
}

static const char *level_name(PstLogLevel level)
{
    static const char *const names[] = {
        [PST_LOG_ERR] = "error: ", [PST_LOG_WARN] = "warning: ", [PST_LOG_NOTICE] = "notice: ",
        [PST_LOG_INFO] = "",       [PST_LOG_DEBUG] = "debug: ",
    };
    return names[level];
}

static gsize line_start(char *line, gsize max, PstLogLevel level)
{
    if (!writer.on_terminal)
        return (gsize)g_snprintf(line, max, "<%d>%s ", level, writer.program);
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    return (gsize)g_snprintf(line, max, "%02d:%02d:%02d %s %s", tm.tm_hour, tm.tm_min, tm.tm_sec,
                             writer.program, level_name(level));
}

/* One write per line, so that lines of several processes do not mix. */
static void write_line(PstLogLevel level, const char *subject, const char *message)
{
    char line[LINE_MAX_BYTES];
    gsize n = line_start(line, sizeof line, level);
    if (subject != NULL && *subject != '\0') {
        n = append_escaped(line, n, sizeof line / 2, subject);
        line[n++] = ':';
        line[n++] = ' ';
    }
    n = append_escaped(line, n, sizeof line - 1, message);
    line[n++] = '\n';
    const char *p = line;
    while (n > 0) {
        ssize_t written = write(STDERR_FILENO, p, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* nobody left to tell */
        p += written;
        n -= (gsize)written;
    }
}

G_GNUC_PRINTF(3, 0)
static void log_v(PstLogLevel level, const char *subject, const char *format, va_list args)
{
    if (level > writer.level)
        return;
    int saved_errno = errno;
    char message[MESSAGE_MAX];
    int n = vsnprintf(message, sizeof message, format, args);
    if (n >= (int)sizeof message)
        memcpy(message + sizeof message - 4, "...", 4);
    write_line(level, subject, message);
    errno = saved_errno;
}

void pst_log(PstLogLevel level, const char *subject, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_v(level, subject, format, args);
    va_end(args);
}

/* TRUE: write now; *out_suppressed lines were held back before. */
static gboolean limit_passes(PstLogLimit *limit, guint64 *out_suppressed)
{
    gint64 now = pst_mono_now().ns;
    if (now < limit->next_ns) {
        limit->suppressed++;
        return FALSE;
    }
    *out_suppressed = limit->suppressed;
    *limit = (PstLogLimit){.next_ns = now + 60 * PST_NS_PER_S};
    return TRUE;
}

void pst_log_limited(PstLogLimit *limit, PstLogLevel level, const char *subject, const char *format,
                     ...)
{
    guint64 suppressed = 0;
    if (level > writer.level || !limit_passes(limit, &suppressed))
        return;
    va_list args;
    va_start(args, format);
    log_v(level, subject, format, args);
    va_end(args);
    if (suppressed > 0)
        pst_log(level, subject, "like the line before, not shown suppressed=%" G_GUINT64_FORMAT,
                suppressed);
}

static PstLogLevel level_of_glib(GLogLevelFlags flags)
{
    if (flags & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
        return PST_LOG_ERR;
    if (flags & G_LOG_LEVEL_WARNING)
        return PST_LOG_WARN;
    return flags & G_LOG_LEVEL_DEBUG ? PST_LOG_DEBUG : PST_LOG_INFO;
}

static const char *field_of(const GLogField *fields, gsize n, const char *key)
{
    for (gsize i = 0; i < n; i++)
        if (strcmp(fields[i].key, key) == 0 && fields[i].length < 0)
            return fields[i].value;
    return NULL;
}

/* Libraries' own messages: criticals are bugs and always shown; the rest is one line a minute. */
static GLogWriterOutput library_writer(GLogLevelFlags flags, const GLogField *fields, gsize n,
                                       gpointer user)
{
    PstLogLevel level = level_of_glib(flags);
    const char *domain = field_of(fields, n, "GLIB_DOMAIN");
    const char *message = field_of(fields, n, "MESSAGE");
    gboolean bug = (flags & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL)) != 0;
    guint64 suppressed = 0;
    if (!bug) {
        if (level > writer.level)
            return G_LOG_WRITER_HANDLED;
        pthread_mutex_lock(&library_lock);
        gboolean show = limit_passes(&library_limit, &suppressed);
        pthread_mutex_unlock(&library_lock);
        if (!show) {
            __atomic_fetch_add(&library_swallowed, 1, __ATOMIC_RELAXED);
            return G_LOG_WRITER_HANDLED;
        }
    }
    write_line(level, domain != NULL ? domain : "library", message != NULL ? message : "");
    if (suppressed > 0)
        pst_log(level, "libraries", "messages not shown suppressed=%" G_GUINT64_FORMAT, suppressed);
    return G_LOG_WRITER_HANDLED;
}

void pst_log_open(const char *program, PstLogLevel level)
{
    const char *name = g_str_has_prefix(program, "postern-") ? program + 8 : program;
    g_strlcpy(writer.program, name, sizeof writer.program);
    writer.level = level;
    writer.on_terminal = isatty(STDERR_FILENO) == 1;
    if (!writer.open) /* GLib allows it once per process */
        g_log_set_writer_func(library_writer, NULL, NULL);
    writer.open = TRUE;
}

guint64 pst_log_swallowed(void)
{
    return __atomic_load_n(&library_swallowed, __ATOMIC_RELAXED);
}
