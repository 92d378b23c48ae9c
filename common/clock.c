/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct PstClock {
    char *path;       /* NULL unless file: */
    gint64 offset_ns; /* added to the machine's time unless file: */
    gint64 last_ns;   /* file: the last moment that was read; atomic */
};

static gboolean read_file(const char *path, gint64 *out_ns)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return FALSE;
    char text[PST_TIME_TEXT_MAX + 8];
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (n <= 0)
        return FALSE;
    text[n] = '\0';
    return pst_time_parse(g_strstrip(text), out_ns);
}

static gboolean parse_offset(const char *text, gint64 *out_ns)
{
    char *end;
    errno = 0;
    double seconds = g_ascii_strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !isfinite(seconds) || fabs(seconds) > 1e9)
        return FALSE;
    *out_ns = pst_span_s(seconds).ns;
    return TRUE;
}

PstClock *pst_clock_new(const char *spec, GError **error)
{
    g_autoptr(PstClock) clock = g_new0(PstClock, 1);
    if (spec == NULL || *spec == '\0' || strcmp(spec, "system") == 0)
        return g_steal_pointer(&clock);
    if (g_str_has_prefix(spec, "offset:")) {
        if (parse_offset(spec + strlen("offset:"), &clock->offset_ns))
            return g_steal_pointer(&clock);
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "clock \"%s\": after offset: comes a number of seconds, such as offset:-3600",
                    spec);
        return NULL;
    }
    if (g_str_has_prefix(spec, "file:")) {
        clock->path = g_strdup(spec + strlen("file:"));
        if (read_file(clock->path, &clock->last_ns))
            return g_steal_pointer(&clock);
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "clock \"%s\": the file must exist and hold RFC 3339 text, such as "
                    "2026-05-01T12:34:56Z",
                    spec);
        return NULL;
    }
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                "clock \"%s\": allowed are system, offset:SECONDS and file:PATH", spec);
    return NULL;
}

void pst_clock_free(PstClock *clock)
{
    if (clock == NULL)
        return;
    g_free(clock->path);
    g_free(clock);
}

static gint64 machine_ns(clockid_t id)
{
    struct timespec t;
    int rc = clock_gettime(id, &t);
    g_assert(rc == 0);
    return (gint64)t.tv_sec * PST_NS_PER_S + t.tv_nsec;
}

PstWall pst_clock_now(PstClock *clock)
{
    if (clock->path == NULL)
        return (PstWall){machine_ns(CLOCK_REALTIME) + clock->offset_ns};
    gint64 ns;
    if (read_file(clock->path, &ns))
        __atomic_store_n(&clock->last_ns, ns, __ATOMIC_RELAXED);
    return (PstWall){__atomic_load_n(&clock->last_ns, __ATOMIC_RELAXED)};
}

PstMono pst_mono_now(void)
{
    return (PstMono){machine_ns(CLOCK_MONOTONIC)};
}

char *pst_time_format(gint64 utc_ns, gboolean with_ms, char out[PST_TIME_TEXT_MAX])
{
    gint64 rest = utc_ns % PST_NS_PER_S;
    time_t s = utc_ns / PST_NS_PER_S - (rest < 0 ? 1 : 0);
    int ms = (int)((rest < 0 ? rest + PST_NS_PER_S : rest) / PST_NS_PER_MS);
    struct tm tm;
    gmtime_r(&s, &tm);
    gsize n = strftime(out, PST_TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    if (with_ms)
        g_snprintf(out + n, PST_TIME_TEXT_MAX - n, ".%03dZ", ms);
    else
        g_strlcpy(out + n, "Z", PST_TIME_TEXT_MAX - n);
    return out;
}

/* Reads exactly @digits digits at *@p and moves past them. −1: there are fewer. */
static int take_number(const char **p, int digits)
{
    int value = 0;
    for (int i = 0; i < digits; i++, (*p)++) {
        if (!g_ascii_isdigit(**p))
            return -1;
        value = value * 10 + (**p - '0');
    }
    return value;
}

static gboolean take_char(const char **p, const char *allowed)
{
    if (**p == '\0' || strchr(allowed, **p) == NULL)
        return FALSE;
    (*p)++;
    return TRUE;
}

/* ".5" → 500,000,000; digits beyond nanoseconds are dropped. */
static gboolean take_fraction(const char **p, gint64 *out_ns)
{
    *out_ns = 0;
    if (**p != '.')
        return TRUE;
    (*p)++;
    if (!g_ascii_isdigit(**p))
        return FALSE;
    for (gint64 unit = PST_NS_PER_S / 10; g_ascii_isdigit(**p); (*p)++, unit /= 10)
        *out_ns += unit * (**p - '0');
    return TRUE;
}

/* "Z", "+01:00", "-0330", "+02" (PostgreSQL's short form) → seconds east of UTC. */
static gboolean take_zone(const char **p, int *out_s)
{
    *out_s = 0;
    if (take_char(p, "Zz"))
        return TRUE;
    int sign = **p == '-' ? -1 : 1;
    if (!take_char(p, "+-"))
        return FALSE;
    int hours = take_number(p, 2), minutes = 0;
    if (take_char(p, ":") || g_ascii_isdigit(**p))
        minutes = take_number(p, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return FALSE;
    *out_s = sign * (hours * 3600 + minutes * 60);
    return TRUE;
}

static gboolean take_date_time(const char **p, struct tm *out)
{
    *out = (struct tm){0};
    out->tm_year = take_number(p, 4) - 1900;
    gboolean ok = take_char(p, "-");
    out->tm_mon = take_number(p, 2) - 1;
    ok = take_char(p, "-") && ok;
    out->tm_mday = take_number(p, 2);
    ok = take_char(p, "Tt ") && ok;
    out->tm_hour = take_number(p, 2);
    ok = take_char(p, ":") && ok;
    out->tm_min = take_number(p, 2);
    ok = take_char(p, ":") && ok;
    out->tm_sec = take_number(p, 2);
    return ok && out->tm_year >= 70 && out->tm_year <= 361 && out->tm_mon >= 0 &&
           out->tm_mon <= 11 && out->tm_mday >= 1 && out->tm_mday <= 31 && out->tm_hour >= 0 &&
           out->tm_hour <= 23 && out->tm_min >= 0 && out->tm_min <= 59 && out->tm_sec >= 0 &&
           out->tm_sec <= 60; /* 60: a leap second, RFC 3339 §5.6 */
}

gboolean pst_time_parse(const char *text, gint64 *out_ns)
{
    struct tm tm;
    gint64 fraction;
    int zone;
    const char *p = text;
    if (!take_date_time(&p, &tm) || !take_fraction(&p, &fraction) || !take_zone(&p, &zone) ||
        *p != '\0')
        return FALSE;
    int day = tm.tm_mday, second = tm.tm_sec;
    time_t s = timegm(&tm);
    if (second < 60 && tm.tm_mday != day)
        return FALSE; /* 31 April */
    s -= zone;
    if (s < 0)
        return FALSE;
    *out_ns = (gint64)s * PST_NS_PER_S + fraction;
    return TRUE;
}
