/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Migrations: numbered SQL files, each applied once, in order, forward only.
 *
 * A file NNNN_name.sql is one transaction together with its row in postern.schema_migration, which
 * keeps the SHA-256 of the text: a file that changed after it was applied is refused. An advisory
 * lock lets one program at a time do this. Nothing is applied if anything is wrong beforehand.
 */
#include "embedded.h"
#include "pg.h"

typedef enum {
    PST_MIGRATION_APPLIED,
    PST_MIGRATION_PENDING, /* the program has it, the database has not */
    PST_MIGRATION_CHANGED, /* applied with another text than the program has */
    PST_MIGRATION_UNKNOWN  /* the database has it, the program has not: the program is older */
} PstMigrationState;

typedef struct {
    int version;
    char *name;        /* "0001_roles" */
    gint64 applied_ns; /* UTC ns; 0: pending */
    PstMigrationState state;
} PstMigration;

/* "applied", "pending", "changed", "unknown". */
const char *pst_migration_state_name(PstMigrationState state);

/* Every migration that program or database know, by version. @files as embedded: names NNNN_…
 * counting from 0001 without a gap (anything else is our bug). Given: GPtrArray of PstMigration. */
GPtrArray *pst_migrate_status(PstPg *pg, const PstEmbedded *files, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Told before each file is applied; may be NULL. */
typedef void (*PstMigrateProgress)(gpointer user, const char *name);

/* Applies what is pending. @out_applied how many (may be NULL); what was committed before a failure
 * stays.
 * @error REFUSED: a changed file, a newer database, or another program at work; DATA "file, line";
 * AWAY. */
gboolean pst_migrate_upgrade(PstPg *pg, const PstEmbedded *files, PstMigrateProgress progress,
                             gpointer user, int *out_applied, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Runs the files of a test database (a clock that can be moved) once more, in one transaction. */
gboolean pst_migrate_test_files(PstPg *pg, const PstEmbedded *files, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* The newest version that is applied; 0: nothing is installed. */
gboolean pst_migrate_version(PstPg *pg, int *out_version, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TRUE: all of @files are applied, or more: a newer schema keeps what older programs call.
 * @error REFUSED: install or upgrade it first, as the text says; AWAY. */
gboolean pst_migrate_check(PstPg *pg, const PstEmbedded *files, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
