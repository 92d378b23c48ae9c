/* SPDX-License-Identifier: Apache-2.0 */
#include "roster.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define AGAIN_NS (60 * PST_NS_PER_S)

static const char words[] =
    "# Exporters that were met, one a line, written by postern-collector (exporters = "
    "learn:FILE).\n"
    "# Read it, delete what does not belong here, and set exporters = FILE: then nobody else is\n"
    "# admitted.\n";

struct Roster {
    GTree *met;       /* PstAddr, a set: those that we wrote ourselves; owns */
    gint64 failed_ns; /* monotonic: when a line could not be written; 0: never */
    PstLogLimit met_log;
    PstLogLimit full_log;
    RosterCounts counts;
};

static int compare_addrs(gconstpointer a, gconstpointer b, gpointer user)
{
    return pst_addr_compare(a, b);
}

Roster *roster_new(void)
{
    Roster *roster = g_new0(Roster, 1);
    roster->met = g_tree_new_full(compare_addrs, NULL, g_free, NULL);
    return roster;
}

void roster_free(Roster *roster)
{
    if (roster == NULL)
        return;
    g_tree_unref(roster->met);
    g_free(roster);
}

/* Whole or not at all: a torn line would read as another address. The lock keeps other workers from
 * writing behind a line that is taken back. */
static gboolean append_line(const char *path, const char *line)
{
    gssize len = (gssize)strlen(line);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        return FALSE;
    struct stat status;
    gboolean good = flock(fd, LOCK_EX) == 0 && fstat(fd, &status) == 0;
    gssize n = good ? write(fd, line, (gsize)len) : -1;
    int code = n >= 0 && n < len ? ENOSPC : errno;
    if (n > 0 && n < len && ftruncate(fd, status.st_size) != 0)
        code = errno;
    close(fd); /* and the lock */
    errno = code;
    return n == len;
}

static void write_line(Roster *roster, const char *path, const PstAddr *addr, gint64 now_ns)
{
    char text[PST_ADDR_TEXT_MAX], time[PST_TIME_TEXT_MAX];
    g_autofree char *line = g_strdup_printf("%s # first seen %s\n", pst_addr_format(addr, text),
                                            pst_time_format(now_ns, FALSE, time));
    if (!append_line(path, line)) {
        roster->counts.failed++;
        roster->failed_ns = pst_mono_now().ns;
        pst_log(PST_LOG_ERR, path, "an exporter that was met cannot be written exporter=%s: %s",
                text, g_strerror(errno));
        return;
    }
    roster->failed_ns = 0;
    roster->counts.learned++;
    g_tree_insert(roster->met, g_memdup2(addr, sizeof *addr), NULL);
    pst_log_limited(&roster->met_log, PST_LOG_NOTICE, path, "an exporter was met exporter=%s",
                    text);
}

void roster_meet(Roster *roster, const char *path, const PstPrefixMap *known, const PstAddr *addr,
                 gint64 now_ns)
{
    if (path == NULL || pst_prefix_map_find(known, addr, NULL, NULL) ||
        g_tree_lookup_extended(roster->met, addr, NULL, NULL))
        return;
    if (roster->failed_ns != 0 && pst_mono_now().ns - roster->failed_ns < AGAIN_NS)
        return;
    if (pst_prefix_map_size(known) + (gsize)g_tree_nnodes(roster->met) < ROSTER_MAX) {
        write_line(roster, path, addr, now_ns);
        return;
    }
    roster->counts.refused++;
    pst_log_limited(&roster->full_log, PST_LOG_WARN, path,
                    "has %u lines: exporters that are met now are not written: review it",
                    ROSTER_MAX);
}

const RosterCounts *roster_counts(const Roster *roster)
{
    return &roster->counts;
}

PstPrefixMap *roster_prepare(const char *path, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    gboolean made = fd >= 0 && write(fd, words, sizeof words - 1) == (gssize)sizeof words - 1;
    if (!made && !(fd < 0 && errno == EEXIST)) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "%s: %s", path, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    if (fd >= 0)
        close(fd);
    return pst_networks_load(path, error);
}
