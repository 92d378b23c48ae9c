/* SPDX-License-Identifier: Apache-2.0 */
/* Are the freezes of the database those of the file outside it? */
#include "doctor.h"
#include "freeze_file.h"

static void tell_lost(Doctor *doctor, GHashTable *only_in_file)
{
    GHashTableIter iter;
    gpointer unit, line;
    g_hash_table_iter_init(&iter, only_in_file);
    while (g_hash_table_iter_next(&iter, &unit, &line))
        doctor_wrong(doctor, "freezes",
                     "was an older dump restored? postern freeze restore FILE --freeze-key KEY",
                     "%s is frozen in %s and not in the database: %s", (const char *)unit,
                     doctor->freezes, (const char *)line);
}

static void compare(Doctor *doctor, const PstPgRows *rows, PstFreezeFile *file)
{
    guint before = doctor->wrong;
    for (int i = 0; i < pst_pg_count(rows); i++)
        if (!g_hash_table_remove(file->units, pst_pg_text(rows, i, 1)))
            doctor_wrong(doctor, "freezes",
                         "it is older than the database, or was cut: postern-dispatch "
                         "--work=deadline --freeze-file writes what is missing within a minute",
                         "%s is frozen and not in %s", pst_pg_text(rows, i, 1), doctor->freezes);
    tell_lost(doctor, file->units);
    if (file->is_cut)
        doctor_wrong(doctor, "freezes",
                     "its dispatcher was killed, or its disk is full; the line is written again "
                     "within a minute",
                     "%s ends in the middle of a line", doctor->freezes);
    if (doctor->wrong == before)
        doctor_ok(doctor, "freezes", "%d, as in %s%s", pst_pg_count(rows), doctor->freezes,
                  file->is_verified ? ", its signatures hold"
                  : file->is_signed ? " (--freeze-key FILE would check its signatures)"
                                    : " (not signed)");
}

gboolean doctor_freezes(Doctor *doctor, GError **error)
{
    g_autoptr(PstPgRows) rows = pst_pg_query(doctor->pg, PST_FREEZE_FILE_SQL, NULL, error);
    if (rows == NULL)
        return FALSE;
    if (doctor->freezes == NULL) {
        doctor_ok(doctor, "freezes", "%d (--freezes FILE compares the dispatcher's file)",
                  pst_pg_count(rows));
        return TRUE;
    }
    g_autoptr(GBytes) key = NULL;
    g_auto(PstFreezeFile) file = {0};
    if (!pst_freeze_key_load(doctor->freeze_key, &key, error) ||
        !pst_freeze_file_read(doctor->freezes, key, &file, error))
        return FALSE;
    compare(doctor, rows, &file);
    return TRUE;
}
