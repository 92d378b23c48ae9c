/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A copy of all freezes outside the database, so that a restored older dump cannot thaw one
 * unnoticed: one line per freeze, only ever appended, each chained to the one before.
 *
 *     2026-05-01T12:00:00Z 192.0.2.7 PST-2026-000123 zen.spamhaus.org hmac:9f86d081884c7d65…
 *
 * With a key the chain is HMAC-SHA256: whoever has not the key can neither change, remove or put in
 * a line nor write the file anew. Without one it is SHA-256 alone, which shows what was changed by
 * somebody who did not compute the rest again. Neither shows lines that were cut off at the end:
 * the comparison with the table does. A last line without its end (we were killed, the disk was
 * full) does not count.
 */
#include "pg.h"

/* What the database has, for both calls: columns when, unit, case, zone. */
#define PST_FREEZE_FILE_SQL                                                                        \
    "SELECT to_char(frozen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"              \
    " postern.unit_text(unit), coalesce(case_id, '-'), zone FROM api_v1.freezes"                   \
    " ORDER BY frozen_at, unit"

/* The key of a file that others may neither read nor write (mode 0640 or less), 32 bytes or more.
 * @path NULL or "": TRUE, *out_key NULL. Given. @error IO; USAGE naming the remedy. */
gboolean pst_freeze_key_load(const char *path, GBytes **out_key, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    GHashTable *units;    /* unit → whole line, both char * */
    gboolean is_signed;   /* its lines are */
    gboolean is_verified; /* … by the key that was given */
    gboolean is_cut;      /* it ends in the middle of a line, which does not count */
} PstFreezeFile;

void pst_freeze_file_clear(PstFreezeFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PstFreezeFile, pst_freeze_file_clear)

/* Words of a line: when, unit, case, zone, chain. */
enum {
    PST_FREEZE_WHEN,
    PST_FREEZE_UNIT,
    PST_FREEZE_CASE,
    PST_FREEZE_ZONE,
    PST_FREEZE_CHAIN,
    PST_FREEZE_WORDS
};

/* The whole file; one that is not there is empty. @key NULL: a signed file is taken unverified.
 * @error IO; DATA naming the line whose chain does not hold, or that is not signed though there is
 * a key. */
gboolean pst_freeze_file_read(const char *path, GBytes *key, PstFreezeFile *out_file,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Appends those of @freezes that are missing, and waits for the disk. Several processes may do it
 * at once. @out_lost how many the file has and @freezes has not. @error as above; DATA also if the
 * file is signed and there is no key. */
gboolean pst_freeze_file_add(const char *path, GBytes *key, const PstPgRows *freezes,
                             guint *out_added, guint *out_lost, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
