/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A private PostgreSQL for a unit test program: one cluster for all its tests (Criterion forks each
 * test, the cluster belongs to the runner). Include it from one file per program. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#include "pg.h"

static char cluster_dir[64];

/* "pg-start", "pg-stop", "pg-stop --kill" on the cluster. */
static inline int cluster_command(const char *command)
{
    g_autofree char *line =
        g_strdup_printf("%s/support/postgres/%s '%s' >/dev/null", TESTS_DIR, command, cluster_dir);
    return system(line);
}

/* Makes and starts the cluster; libpq's defaults lead to it. */
static inline gboolean cluster_start(void)
{
    g_strlcpy(cluster_dir, "/tmp/postern-pg.XXXXXX", sizeof cluster_dir);
    if (g_mkdtemp_full(cluster_dir, 0711) == NULL || cluster_command("pg-start --fsync=off") != 0)
        return FALSE;
    g_autofree char *socket = g_build_filename(cluster_dir, "socket", NULL);
    g_setenv("PGHOST", socket, TRUE);
    g_setenv("PGUSER", "postgres", TRUE);
    g_setenv("PGDATABASE", "postgres", TRUE);
    return TRUE;
}

/* Waits for this test's turn to make a database and its roles; kept until ADMIN is closed. Tests of
 * one program may run at the same time, and template1 and roles belong to all of them. */
static inline void cluster_turn(PstPg *admin)
{
    cr_assert(pst_pg_run(admin, "SELECT pg_advisory_lock(1)", NULL, NULL, NULL));
}

static inline gboolean cluster_remove(void)
{
    g_autofree char *line = g_strdup_printf("rm -rf '%s'", cluster_dir);
    return cluster_command("pg-stop") == 0 && system(line) == 0;
}

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    if (!cluster_start()) {
        fprintf(stderr, "cannot start a private PostgreSQL\n");
        exit(1);
    }
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    if (!cluster_remove())
        fprintf(stderr, "cannot stop the private PostgreSQL in %s\n", cluster_dir);
}
