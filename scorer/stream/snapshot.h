/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One snapshot as bytes: a head that says what it is of, and the image of an engine
 * (engine_serialise). The head names format, partition, bus, and the place in the log that the
 * image belongs to: position, decision applied last, producers' marks. Numbers stand in the
 * machine's byte order. Head and image have a checksum each, against damage: who can write a
 * snapshot can write the scorer's key beside it, too. Nothing that a file says is believed
 * unchecked.
 */
#include "postern/sink.h"

#define SNAPSHOT_FORMAT 1

typedef struct {
    PstHold *at;         /* owned; evidence_position means nothing */
    const guint8 *image; /* borrowed of the bytes read */
    gsize image_len;
} Snapshot;

/* Appends the head of a snapshot at @at of @bus; an image of any length follows. */
void snapshot_put_head(GByteArray *out, const PstHold *at, const char *bus);
/* Reads what is whole and of this @partition and @bus; the image is not looked at.
 * @error CORRUPT: the words say what is wrong with it. Clear with snapshot_clear. */
gboolean snapshot_read(const guint8 *data, gsize len, guint32 partition, const char *bus,
                       Snapshot *out, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void snapshot_clear(Snapshot *snapshot);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Snapshot, snapshot_clear)
