/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A private PostgreSQL for a unit test program: one cluster for all its tests (Criterion forks each
 * test, the cluster belongs to the runner). Include it from one file per program. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

static char cluster_dir[64];

static inline int cluster_command(const char *verb, const char *argument)
{
    g_autofree char *line =
        g_strdup_printf("%s/support/postgres %s '%s' %s", TESTS_DIR, verb, cluster_dir, argument);
    return system(line);
}

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    FILE *out = popen(TESTS_DIR "/support/postgres start", "r");
    if (out == NULL || fgets(cluster_dir, sizeof cluster_dir, out) == NULL || pclose(out) != 0) {
        fprintf(stderr, "cannot start a private PostgreSQL\n");
        exit(1);
    }
    g_strchomp(cluster_dir);
    g_setenv("PGHOST", cluster_dir, TRUE);
    g_setenv("PGUSER", "postgres", TRUE);
    g_setenv("PGDATABASE", "postgres", TRUE);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    if (cluster_command("stop", "") != 0)
        fprintf(stderr, "cannot stop the private PostgreSQL in %s\n", cluster_dir);
}
