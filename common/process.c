/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void write_sample(GString *out, const char *name, const char *kind, const char *help,
                         double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    g_string_append_printf(out, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %s\n", name,
                           help, name, kind, name,
                           g_ascii_formatd(text, sizeof text, "%.2f", value));
}

static guint count_open_files(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint n = 0;
    while (dir != NULL && g_dir_read_name(dir) != NULL)
        n++;
    return n > 0 ? n - 1 : 0; /* less the one that looks */
}

/* Seconds since 1970; 0: unknown. */
static double boot_time_s(void)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/stat", &text, NULL, NULL))
        return 0;
    const char *line = strstr(text, "\nbtime ");
    return line != NULL ? g_ascii_strtod(line + strlen("\nbtime "), NULL) : 0;
}

void pst_process_write(GString *out)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/self/stat", &text, NULL, NULL))
        return;
    const char *rest = strrchr(text, ')'); /* the name may hold anything */
    unsigned long user, system, bytes;
    unsigned long long start;
    long pages;
    if (rest == NULL ||
        sscanf(rest, /* proc(5): utime and stime are 14 and 15, starttime 22, vsize 23, rss 24 */
               ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d "
               "%llu %lu %ld",
               &user, &system, &start, &bytes, &pages) != 5)
        return;
    double ticks = (double)sysconf(_SC_CLK_TCK);
    write_sample(out, "cpu_seconds_total", "counter", "User and system time spent, in seconds.",
                 (double)(user + system) / ticks);
    write_sample(out, "resident_memory_bytes", "gauge", "Memory that is resident.",
                 (double)pages * (double)sysconf(_SC_PAGESIZE));
    write_sample(out, "virtual_memory_bytes", "gauge", "Memory that is mapped.", (double)bytes);
    write_sample(out, "open_fds", "gauge", "Open file descriptors.", count_open_files());
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        write_sample(out, "max_fds", "gauge", "File descriptors that may be open.",
                     (double)files.rlim_cur);
    double boot_s = boot_time_s();
    if (boot_s > 0)
        write_sample(out, "start_time_seconds", "gauge",
                     "When the process started, in UTC seconds.", boot_s + (double)start / ticks);
}

char *pst_program_path(const char *name)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    if (self != NULL) {
        g_autofree char *folder = g_path_get_dirname(self);
        g_autofree char *beside = g_build_filename(folder, name, NULL);
        if (g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE))
            return g_steal_pointer(&beside);
    }
    return g_strdup(name);
}
