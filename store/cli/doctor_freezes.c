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
                     "an older dump was restored? Freeze it again (operating.md, Backups)",
                     "%s is frozen in %s and not in the database: %s", (const char *)unit,
                     doctor->freezes, (const char *)line);
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
    g_autoptr(GHashTable) file = pst_freeze_file_read(doctor->freezes, error);
    if (file == NULL)
        return FALSE;
    guint before = doctor->wrong;
    for (int i = 0; i < pst_pg_count(rows); i++)
        if (!g_hash_table_remove(file, pst_pg_text(rows, i, 1)))
            doctor_wrong(doctor, "freezes",
                         "postern-dispatch --work=deadline --freeze-file writes it within a minute",
                         "%s is frozen and not in %s", pst_pg_text(rows, i, 1), doctor->freezes);
    tell_lost(doctor, file);
    if (doctor->wrong == before)
        doctor_ok(doctor, "freezes", "%d, as in %s", pst_pg_count(rows), doctor->freezes);
    return TRUE;
}
