/* SPDX-License-Identifier: Apache-2.0 */
#include "csv.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

/* Any bytes end in END or in one error that names a line; every field is clean text. */
int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    static const PstCsvColumn columns[] = {{"net", TRUE}, {"customer", FALSE}, {NULL, FALSE}};
    g_autoptr(GError) error = NULL;
    g_autoptr(PstCsv) csv = pst_csv_open("fuzz", (const char *)data, size, columns, &error);
    PstCsvItem item = csv != NULL ? PST_CSV_RECORD : PST_CSV_ERROR;
    while (item == PST_CSV_RECORD) {
        item = pst_csv_next(csv, &error);
        g_assert(g_utf8_validate(pst_csv_field(csv, 0), -1, NULL));
        g_assert(g_utf8_validate(pst_csv_field(csv, 1), -1, NULL));
    }
    g_assert((item == PST_CSV_ERROR) == (error != NULL));
    return 0;
}
