/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A copy of all freezes outside the database, so that a restored older dump cannot thaw one
 * unnoticed: one line per freeze, only ever appended, each chained to the one before by SHA-256.
 *
 *     2026-05-01T12:00:00Z 192.0.2.7 PST-2026-000123 zen.spamhaus.org 9f86d081884c7d65…
 *
 * The chain shows a line that was changed, removed or put in; who rewrites the whole file is not
 * seen by it. A last line without its end (we were killed, the disk was full) does not count.
 */
#include "pg.h"

/* What the database has, for both calls: columns when, unit, case, zone. */
#define PST_FREEZE_FILE_SQL                                                                        \
    "SELECT to_char(frozen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"              \
    " postern.unit_text(unit), coalesce(case_id, '-'), zone FROM api_v1.freezes"                   \
    " ORDER BY frozen_at, unit"

/* Unit → line, of the whole file; a file that is not there is empty. @error IO; DATA naming the
 * line whose chain does not hold. Given. */
GHashTable *pst_freeze_file_read(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Appends those of @freezes that are missing, and waits for the disk. Several processes may do it
 * at once. @error as above. */
gboolean pst_freeze_file_add(const char *path, const PstPgRows *freezes, guint *out_added,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
