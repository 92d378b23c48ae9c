/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_embedded_file.h"

#include <string.h>

#include "bus_embedded_db.h"

/* --- topics and ends ----------------------------------------------------------------------- */

gboolean bus_file_find_topic(BusFile *file, const char *name, gint64 *out_first_slot,
                             gint32 *out_partitions, GError **error)
{
    sqlite3_stmt *statement = bus_db_prepare(file, FIND_TOPIC, error);
    if (statement == NULL)
        return FALSE;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    gint64 row[2] = {-1, 0};
    gboolean found;
    if (!bus_db_read_ints(file, statement, "find a topic", 2, row, &found, error))
        return FALSE;
    if (found && (row[0] < 0 || row[0] > 1 << 20 || row[1] < 1 || row[1] > 1 << 20))
        return bus_db_fail_format(file, "a topic's partitions are impossible", error);
    *out_first_slot = row[0];
    *out_partitions = found ? (gint32)row[1] : 0;
    return TRUE;
}

static gboolean add_topic(BusFile *file, const char *name, gint32 wanted, gint64 *out_first_slot,
                          gint32 *out_partitions, GError **error)
{
    if (!bus_file_find_topic(file, name, out_first_slot, out_partitions, error))
        return FALSE;
    if (*out_partitions != 0)
        return TRUE; /* somebody was faster */
    sqlite3_stmt *statement = BUS_DB_PREPARE(file, MAKE_TOPIC, error, 0, wanted);
    if (statement == NULL)
        return FALSE;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    return bus_db_run(file, statement, "make a topic", error) &&
           bus_file_find_topic(file, name, out_first_slot, out_partitions, error) &&
           bus_db_run(file, BUS_DB_PREPARE(file, MAKE_SLOTS, error, *out_first_slot, wanted),
                      "make partitions", error);
}

gboolean bus_file_make_topic(BusFile *file, const char *name, gint32 wanted, gint64 *out_first_slot,
                             gint32 *out_partitions, GError **error)
{
    if (!bus_file_find_topic(file, name, out_first_slot, out_partitions, error))
        return FALSE;
    if (*out_partitions != 0)
        return TRUE;
    if (!bus_file_begin(file, TRUE, error))
        return FALSE;
    if (add_topic(file, name, wanted, out_first_slot, out_partitions, error) &&
        bus_file_commit(file, error))
        return TRUE;
    bus_file_rollback(file);
    return FALSE;
}

gboolean bus_file_get_end(BusFile *file, gint64 slot, gint64 *out_end, GError **error)
{
    gboolean found;
    if (!bus_db_read_ints(file, BUS_DB_PREPARE(file, GET_END, error, slot),
                          "read a partition's end", 1, out_end, &found, error))
        return FALSE;
    if (!found || *out_end < 0)
        return bus_db_fail_format(file, "a partition has no end", error);
    return TRUE;
}

gboolean bus_file_set_end(BusFile *file, gint64 slot, gint64 end, GError **error)
{
    return bus_db_run(file, BUS_DB_PREPARE(file, SET_END, error, slot, end),
                      "note a partition's end", error);
}

gboolean bus_file_get_first(BusFile *file, gint64 slot, gint64 *out_first, GError **error)
{
    gboolean found;
    if (!bus_db_read_ints(file, BUS_DB_PREPARE(file, GET_FIRST, error, slot),
                          "find the oldest message", 1, out_first, &found, error))
        return FALSE;
    return *out_first >= 0 || bus_file_get_end(file, slot, out_first, error);
}

/* --- messages ------------------------------------------------------------------------------ */

gboolean bus_file_append(BusFile *file, gint64 slot, gint64 offset, gint64 time_ms,
                         const PstBusStamp *stamp, const guint8 *data, gsize len, GError **error)
{
    gint64 id = slot << BUS_FILE_OFFSET_BITS | offset;
    sqlite3_stmt *statement = BUS_DB_PREPARE(file, APPEND, error, id, time_ms, 0,
                                             (gint64)stamp->epoch, (gint64)stamp->sequence);
    if (statement == NULL)
        return FALSE;
    sqlite3_bind_text(statement, 3, stamp->producer, -1, SQLITE_STATIC);
    sqlite3_bind_blob(statement, 6, len > 0 ? (const void *)data : "", (int)len, SQLITE_STATIC);
    return bus_db_run(file, statement, "append a message", error);
}

/* A row as a message; FALSE if it cannot have been written by us. */
static gboolean take_row(sqlite3_stmt *statement, PstBusMessage *out)
{
    out->offset = sqlite3_column_int64(statement, 0);
    out->time_ms = sqlite3_column_int64(statement, 1);
    out->stamp.producer = (const char *)sqlite3_column_text(statement, 2);
    out->stamp.epoch = (guint64)sqlite3_column_int64(statement, 3);
    out->stamp.sequence = (guint64)sqlite3_column_int64(statement, 4);
    gboolean is_blob = sqlite3_column_type(statement, 5) == SQLITE_BLOB;
    out->data = sqlite3_column_blob(statement, 5);
    out->len = (gsize)sqlite3_column_bytes(statement, 5);
    return is_blob && out->len <= PST_BUS_MESSAGE_MAX && (out->len == 0 || out->data != NULL) &&
           out->stamp.producer != NULL && strlen(out->stamp.producer) <= PST_BUS_PRODUCER_MAX;
}

gssize bus_file_read(BusFile *file, gint64 slot, gint64 position, gsize max, BusFileRow row,
                     gpointer user, GError **error)
{
    sqlite3_stmt *statement = BUS_DB_PREPARE(file, READ, error, slot, position,
                                             (gint64)MIN(max, (gsize)BUS_FILE_READ_MAX));
    gint64 next = position; /* a damaged tree may give rows out of order, for ever */
    gssize n = 0;
    gboolean more;
    while (bus_db_step(file, statement, "read messages", &more, error)) {
        PstBusMessage message = {0};
        if (!more)
            return n;
        if (!take_row(statement, &message) || message.offset < next) {
            sqlite3_reset(statement);
            bus_db_fail_format(file, "a message breaks the format", error);
            return -1;
        }
        next = message.offset + 1;
        row(user, &message);
        n++;
    }
    return -1;
}

gboolean bus_file_note_reader(BusFile *file, const char *reader, gint64 slot, gint64 position,
                              GError **error)
{
    sqlite3_stmt *statement = BUS_DB_PREPARE(file, NOTE_READER, error, 0, slot, position);
    if (statement == NULL)
        return FALSE;
    sqlite3_bind_text(statement, 1, reader, -1, SQLITE_STATIC);
    return bus_db_run(file, statement, "note a reader's position", error);
}

/* --- retention ----------------------------------------------------------------------------- */

gboolean bus_file_find_oldest(BusFile *file, gint64 *out_slot, gint64 *out_time_ms, GError **error)
{
    gint64 row[2] = {-1, -1};
    gboolean found;
    if (!bus_db_read_ints(file, bus_db_prepare(file, FIND_OLDEST, error), "find the oldest message",
                          2, row, &found, error))
        return FALSE;
    *out_slot = row[0];
    *out_time_ms = row[1];
    return TRUE;
}

gboolean bus_file_delete_oldest(BusFile *file, gint64 slot, gint64 before_ms, gsize max,
                                gsize *out_deleted, GError **error)
{
    if (!bus_db_run(file, BUS_DB_PREPARE(file, DELETE_OLDEST, error, slot, before_ms, (gint64)max),
                    "delete old messages", error))
        return FALSE;
    *out_deleted = bus_db_changes(file);
    return TRUE;
}

gboolean bus_file_delete(BusFile *file, gint64 slot, gint64 offset, GError **error)
{
    return bus_db_run(file, BUS_DB_PREPARE(file, DELETE_ONE, error, slot, offset),
                      "delete a message", error);
}

gboolean bus_file_get_size(BusFile *file, BusFileSize *out_size, GError **error)
{
    gint64 pages, free_pages;
    if (!bus_db_ask_int(file, "PRAGMA page_count", &pages, error) ||
        !bus_db_ask_int(file, "PRAGMA freelist_count", &free_pages, error))
        return FALSE;
    out_size->used_bytes = (pages - free_pages) * bus_db_page_bytes(file);
    out_size->free_bytes = free_pages * bus_db_page_bytes(file);
    return TRUE;
}

gboolean bus_file_shrink(BusFile *file, gint64 bytes, GError **error)
{
    g_autofree char *text = g_strdup_printf("PRAGMA incremental_vacuum(%" G_GINT64_FORMAT ")",
                                            bytes / bus_db_page_bytes(file));
    return bus_db_execute(file, text, "give free pages back", error);
}
