/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The file of the embedded bus: one SQLite connection and every statement there is.
 *
 * A partition of a topic is a *slot*, a small number; a message's row id is slot << 40 | offset, so
 * that a partition is one range of the table, read in order without an index:
 *
 *     topic    name, first_slot, partitions      slots first_slot … first_slot + partitions - 1
 *     slot     slot, next_offset                 survives the deletion of all its messages
 *     message  id, time_ms, producer, epoch, sequence, data
 *     reader   name, slot, position              what a group has done with: retention stops there
 *     messages (a view for people: topic, partition, offset, time, stamp, size)
 *
 * A BusFile belongs to one thread. Functions with an error leave no transaction open behind them
 * unless they say so; a failed statement inside begin … commit wants bus_file_rollback.
 * @error of all: AWAY (locked by others beyond the patience), IO (disk full, permission, file
 * replaced), CORRUPT (the file breaks its own format).
 */
#include "postern/bus.h"

typedef struct BusFile BusFile;

enum { BUS_FILE_OFFSET_BITS = 40, BUS_FILE_READ_MAX = 64, BUS_FILE_DELETE_MAX = 64 };

/* Opens, makes the file where there is none. @patience_ms how long a statement waits for another
 * process's lock. @group_name the Unix group that may write, or NULL:
 * in a folder that is setgid and may be written by its group that group, else this user alone.
 * @error also USAGE: no such folder, not allowed, a newer format, no such group. Given. */
BusFile *bus_file_open(const char *path, const char *group_name, int patience_ms, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void bus_file_close(BusFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BusFile, bus_file_close)
const char *bus_file_path(const BusFile *file);
void bus_file_set_patience(BusFile *file, int patience_ms);
/* While *@stop is not 0 (read atomically; borrowed until close) nothing waits for a lock. */
void bus_file_set_stop(BusFile *file, const gint *stop);

/* FALSE (IO): the path now leads to another file, or to none; what we write would be lost. */
gboolean bus_file_check_place(BusFile *file, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A name that only this file has: inode and time of birth. @error IO. Given (g_free). */
char *bus_file_identity(const BusFile *file, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Begins to write (BEGIN IMMEDIATE) or to read one state. */
gboolean bus_file_begin(BusFile *file, gboolean to_write, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean bus_file_commit(BusFile *file, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void bus_file_rollback(BusFile *file); /* also ends reading */

/* Number that changes when another connection has committed. */
gboolean bus_file_version(BusFile *file, gint64 *out_version, GError **error);

/* Finds a topic; @out_partitions 0 if there is none. */
gboolean bus_file_find_topic(BusFile *file, const char *name, gint64 *out_first_slot,
                             gint32 *out_partitions, GError **error);
/* The same, but makes it with @wanted partitions if there is none (a transaction of its own). */
gboolean bus_file_make_topic(BusFile *file, const char *name, gint32 wanted, gint64 *out_first_slot,
                             gint32 *out_partitions, GError **error);

/* The offset that the next message of @slot gets; also after a deletion of all. */
gboolean bus_file_get_end(BusFile *file, gint64 slot, gint64 *out_end, GError **error);
gboolean bus_file_set_end(BusFile *file, gint64 slot, gint64 end, GError **error);
/* The offset of the oldest message of @slot; its end where there is none. */
gboolean bus_file_get_first(BusFile *file, gint64 slot, gint64 *out_first, GError **error);

/* Adds one message. The caller keeps ends (get_end, set_end). */
gboolean bus_file_append(BusFile *file, gint64 slot, gint64 offset, gint64 time_ms,
                         const PstBusStamp *stamp, const guint8 *data, gsize len, GError **error);

/* What bus_file_read hands over for each message; pointers are valid during the call. */
typedef void (*BusFileRow)(gpointer user, const PstBusMessage *message);
/* Hands over at most @max (≤ BUS_FILE_READ_MAX) messages of @slot from @position on; topic and
 * partition of the message are not set. Returns their number or −1. */
gssize bus_file_read(BusFile *file, gint64 slot, gint64 position, gsize max, BusFileRow row,
                     gpointer user, GError **error);

/* Notes that @reader is done with everything of @slot below @position. */
gboolean bus_file_note_reader(BusFile *file, const char *reader, gint64 slot, gint64 position,
                              GError **error);

/* The slot whose oldest message is the oldest of all that readers are done with (or that no reader
 * has noted a position for); −1 if there is nothing to delete. */
gboolean bus_file_find_oldest(BusFile *file, gint64 *out_slot, gint64 *out_time_ms, GError **error);
/* Deletes at most @max oldest messages of @slot, none from @before_ms on, none that a reader still
 * wants. Returns TRUE and how many. */
gboolean bus_file_delete_oldest(BusFile *file, gint64 slot, gint64 before_ms, gsize max,
                                gsize *out_deleted, GError **error);

/* Deletes the message at @offset, if it is there. */
gboolean bus_file_delete(BusFile *file, gint64 slot, gint64 offset, GError **error);

typedef struct {
    gint64 used_bytes; /* pages that hold something */
    gint64 free_bytes; /* pages that wait for reuse */
} BusFileSize;
gboolean bus_file_get_size(BusFile *file, BusFileSize *out_size, GError **error);
/* Gives at most @bytes of free pages back to the file system. */
gboolean bus_file_shrink(BusFile *file, gint64 bytes, GError **error);
