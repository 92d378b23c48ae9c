/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The SQLite connection below bus_embedded_file: opening, settings, statements, errors. Only
 * bus_embedded_db.c and bus_embedded_file.c include this. Belongs to one thread.
 */
#include <sqlite3.h>

#include "bus_embedded_file.h"

typedef enum {
    BEGIN_WRITE,
    BEGIN_READ,
    COMMIT,
    DATA_VERSION,
    FIND_TOPIC,
    MAKE_TOPIC,
    MAKE_SLOTS,
    GET_END,
    SET_END,
    GET_FIRST,
    APPEND,
    READ,
    NOTE_READER,
    FIND_OLDEST,
    DELETE_OLDEST,
    DELETE_ONE,
    N_STATEMENTS
} BusStatement;

/* Sets @error from SQLite's @status; returns FALSE. @what follows "cannot". */
gboolean bus_db_fail(BusFile *file, int status, const char *what, GError **error);
/* Sets CORRUPT; returns FALSE. */
gboolean bus_db_fail_format(BusFile *file, const char *what, GError **error);

/* A prepared statement, kept by the file; NULL on failure. */
sqlite3_stmt *bus_db_prepare(BusFile *file, BusStatement which, GError **error);
sqlite3_stmt *bus_db_prepare_with(BusFile *file, BusStatement which, gsize n, const gint64 *values,
                                  GError **error);
/* The same with its first parameters bound to integers. */
#define BUS_DB_PREPARE(file, which, error, ...)                                                    \
    bus_db_prepare_with(file, which, sizeof((gint64[]){__VA_ARGS__}) / sizeof(gint64),             \
                        (gint64[]){__VA_ARGS__}, error)

/* Steps once. Returns TRUE for a row and for the end, telling which. At the end and on failure the
 * statement is reset. @statement NULL (its preparation failed): FALSE. */
gboolean bus_db_step(BusFile *file, sqlite3_stmt *statement, const char *what, gboolean *out_row,
                     GError **error);
/* Runs a statement that gives no rows. */
gboolean bus_db_run(BusFile *file, sqlite3_stmt *statement, const char *what, GError **error);
/* Reads one row of @n integers; *out_found FALSE if there is none. NULL reads as −1. */
gboolean bus_db_read_ints(BusFile *file, sqlite3_stmt *statement, const char *what, gsize n,
                          gint64 *out, gboolean *out_found, GError **error);
/* The first integer that @text gives; for PRAGMAs. */
gboolean bus_db_ask_int(BusFile *file, const char *text, gint64 *out, GError **error);
gboolean bus_db_execute(BusFile *file, const char *text, const char *what, GError **error);

gint64 bus_db_page_bytes(const BusFile *file);
/* Rows changed by the last statement. */
gsize bus_db_changes(const BusFile *file);
