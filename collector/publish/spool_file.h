/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The spool's file: an embedded bus, in which each batch stands as the bus would have it (topic,
 * partition, stamp, bytes), and at the same offset of the topic NAME.charges who is charged if it
 * is lost. Read from a cursor on, deleted batch by batch. Thread: one, whichever it is.
 * @error of all: as those of bus_embedded_file.h. */
#include "batch.h"

enum { SPOOL_TOPICS_MAX = 4 };

typedef struct {
    const char *path;
    gint64 bytes_max;
    const char *producer;                     /* whose batches these are */
    const char *topics[SPOOL_TOPICS_MAX + 1]; /* by Batch.topic; NULL-terminated */
    guint32 partitions; /* of each; a file that holds batches has the last word */
} SpoolOptions;

typedef struct {
    guint64 batches;
    guint64 bytes;    /* of the file that are in use; 0 if it holds nothing */
    gint64 oldest_ms; /* UTC ms: when the oldest was closed; 0: none */
} SpoolSize;

/* A batch's place in the file. */
typedef struct {
    guint lane;
    gint64 offset;
} SpoolPlace;

typedef struct SpoolFile SpoolFile;

/* @options texts are borrowed for the file's life. One process at a time has it.
 * @error also USAGE: another one has it. Given. */
SpoolFile *spool_file_open(const SpoolOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Accepts NULL. */
void spool_file_close(SpoolFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SpoolFile, spool_file_close)

guint32 spool_file_partitions(const SpoolFile *file);
/* Of the batches that were there when it was opened; 0: none. */
guint64 spool_file_newest_epoch(const SpoolFile *file);
SpoolPlace spool_file_place(const SpoolFile *file, const Batch *batch);

/* One transaction: adds the @batches (of Batch, sealed), forgets those at @done (of SpoolPlace). On
 * failure nothing has happened. */
gboolean spool_file_write(SpoolFile *file, const GQueue *batches, const GArray *done,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Appends the next few batches to @out; none at the end. */
gboolean spool_file_read(SpoolFile *file, GQueue *out, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean spool_file_at_end(const SpoolFile *file);
/* Reading begins again with the oldest. */
gboolean spool_file_rewind(SpoolFile *file, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Throws some of the oldest unread batches away if the file is above its bound: their sealed
 * charges into @charges, their number into *@out_evicted (0: it is not, or all are read). */
gboolean spool_file_evict(SpoolFile *file, GByteArray *charges, guint64 *out_evicted,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Also gives room back that an empty file does not need. */
gboolean spool_file_measure(SpoolFile *file, SpoolSize *out, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
