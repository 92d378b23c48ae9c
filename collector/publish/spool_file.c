/* SPDX-License-Identifier: Apache-2.0 */
#include "spool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "bus_embedded_file.h"

enum {
    PATIENCE_MS = 1000,
    READ_ROWS = 4,   /* of one partition at a time */
    EVICT_ROWS = 16, /* in one transaction */
    SHRINK_BYTES = 16 << 20,
    SPARE_BYTES = 32 << 20 /* free pages that an empty file keeps */
};

/* One topic and partition. */
typedef struct {
    gint64 slot;
    gint64 charge_slot;
    gint64 first;  /* offset of the oldest batch; end if there is none */
    gint64 cursor; /* … of the next to be read */
    gint64 end;
} Lane;

struct SpoolFile {
    SpoolOptions options;
    BusFile *file;
    int lock_fd;
    guint32 partitions;
    guint n_lanes;
    Lane *lanes;
    guint turn; /* lane where the next reading begins */
    guint64 newest_epoch;
};

guint32 spool_file_partitions(const SpoolFile *file)
{
    return file->partitions;
}

guint64 spool_file_newest_epoch(const SpoolFile *file)
{
    return file->newest_epoch;
}

SpoolPlace spool_file_place(const SpoolFile *file, const Batch *batch)
{
    return (SpoolPlace){batch->topic * file->partitions + batch->partition, batch->offset};
}

/* ---- opening ---- */

static gboolean take_lock(SpoolFile *file, GError **error)
{
    g_autofree char *path = g_strconcat(file->options.path, ".lock", NULL);
    file->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file->lock_fd >= 0 && flock(file->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return TRUE;
    gboolean taken = file->lock_fd >= 0 && errno == EWOULDBLOCK;
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "spool %s: %s", file->options.path,
                taken ? "another collector uses it: give each one a spool of its own"
                      : g_strerror(errno));
    return FALSE;
}

/* The slots of each topic and of its charges; the partitions that the file has go before ours. */
static gboolean make_topics(SpoolFile *file, guint n_topics, gint64 *slots, GError **error)
{
    for (guint i = 0; i < 2 * n_topics; i++) {
        g_autofree char *charges = g_strconcat(file->options.topics[i / 2], ".charges", NULL);
        gint32 found;
        if (!bus_file_make_topic(file->file, i % 2 == 0 ? file->options.topics[i / 2] : charges,
                                 (gint32)file->partitions, &slots[i], &found, error))
            return FALSE;
        file->partitions = (guint32)found;
    }
    return TRUE;
}

static gboolean open_lanes(SpoolFile *file, GError **error)
{
    gint64 slots[2 * SPOOL_TOPICS_MAX] = {0};
    guint n_topics = g_strv_length((char **)(gsize)file->options.topics);
    if (!make_topics(file, n_topics, slots, error))
        return FALSE;
    file->n_lanes = n_topics * file->partitions;
    g_free(file->lanes);
    file->lanes = g_new0(Lane, file->n_lanes);
    for (guint i = 0; i < file->n_lanes; i++) {
        Lane *lane = &file->lanes[i];
        guint topic = i / file->partitions;
        lane->slot = slots[2 * topic] + i % file->partitions;
        lane->charge_slot = slots[2 * topic + 1] + i % file->partitions;
        if (!bus_file_get_end(file->file, lane->slot, &lane->end, error))
            return FALSE;
    }
    return spool_file_rewind(file, error);
}

static void note_epoch(gpointer user, const PstBusMessage *row)
{
    guint64 *newest = user;
    *newest = MAX(*newest, row->stamp.epoch);
}

static gboolean open_file(SpoolFile *file, GError **error)
{
    file->file = bus_file_open(file->options.path, NULL, PATIENCE_MS, error);
    if (file->file == NULL || !open_lanes(file, error))
        return FALSE;
    for (guint i = 0; i < file->n_lanes; i++) {
        const Lane *lane = &file->lanes[i];
        if (lane->first < lane->end && bus_file_read(file->file, lane->slot, lane->end - 1, 1,
                                                     note_epoch, &file->newest_epoch, error) < 0)
            return FALSE;
    }
    return TRUE;
}

/* An empty file of another partition count is made anew. */
static gboolean open_fitting(SpoolFile *file, GError **error)
{
    file->partitions = file->options.partitions;
    if (!open_file(file, error))
        return FALSE;
    if (file->partitions == file->options.partitions || !spool_file_at_end(file))
        return TRUE;
    g_clear_pointer(&file->file, bus_file_close);
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *path = g_strconcat(file->options.path, suffixes[i], NULL);
        (void)g_unlink(path);
    }
    file->partitions = file->options.partitions;
    return open_file(file, error);
}

SpoolFile *spool_file_open(const SpoolOptions *options, GError **error)
{
    g_autoptr(SpoolFile) file = g_new0(SpoolFile, 1);
    file->options = *options;
    file->lock_fd = -1;
    if (!take_lock(file, error) || !open_fitting(file, error))
        return NULL;
    return g_steal_pointer(&file);
}

void spool_file_close(SpoolFile *file)
{
    if (file == NULL)
        return;
    bus_file_close(file->file);
    if (file->lock_fd >= 0)
        close(file->lock_fd);
    g_free(file->lanes);
    g_free(file);
}

/* ---- writing ---- */

static gboolean append(SpoolFile *file, const Batch *batch, GError **error)
{
    Lane *lane = &file->lanes[spool_file_place(file, batch).lane];
    PstBusStamp stamp = {file->options.producer, batch->epoch, batch->sequence};
    gint64 offset = lane->end++;
    return bus_file_append(file->file, lane->slot, offset, batch->closed_ms, &stamp, batch->data,
                           batch->len, error) &&
           bus_file_append(file->file, lane->charge_slot, offset, batch->closed_ms, &stamp,
                           batch->beats, batch->beats_len, error);
}

static gboolean append_all(SpoolFile *file, const GQueue *batches, GError **error)
{
    for (const GList *l = batches->head; l != NULL; l = l->next) {
        if (!append(file, l->data, error))
            return FALSE;
    }
    for (guint i = 0; i < file->n_lanes && batches->length > 0; i++) {
        const Lane *lane = &file->lanes[i];
        if (!bus_file_set_end(file->file, lane->slot, lane->end, error) ||
            !bus_file_set_end(file->file, lane->charge_slot, lane->end, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean delete_at(SpoolFile *file, const Lane *lane, gint64 offset, GError **error)
{
    return bus_file_delete(file->file, lane->slot, offset, error) &&
           bus_file_delete(file->file, lane->charge_slot, offset, error);
}

static gboolean delete_done(SpoolFile *file, const GArray *done, GError **error)
{
    for (guint i = 0; i < done->len; i++) {
        const SpoolPlace *place = &g_array_index(done, SpoolPlace, i);
        if (!delete_at(file, &file->lanes[place->lane], place->offset, error))
            return FALSE;
    }
    return TRUE;
}

gboolean spool_file_write(SpoolFile *file, const GQueue *batches, const GArray *done,
                          GError **error)
{
    if (batches->length == 0 && done->len == 0)
        return TRUE;
    g_autofree Lane *before = g_memdup2(file->lanes, file->n_lanes * sizeof(Lane));
    if (!bus_file_check_place(file->file, error) || !bus_file_begin(file->file, TRUE, error))
        return FALSE;
    if (append_all(file, batches, error) && delete_done(file, done, error) &&
        bus_file_commit(file->file, error))
        return TRUE;
    bus_file_rollback(file->file);
    memcpy(file->lanes, before, file->n_lanes * sizeof(Lane));
    return FALSE;
}

/* ---- reading ---- */

/* Rows of one lane on their way out. */
typedef struct {
    const SpoolFile *file;
    guint lane;
    GPtrArray *batches; /* Batch */
} Reading;

static void take_row(gpointer user, const PstBusMessage *row)
{
    Reading *reading = user;
    Batch *batch = g_new0(Batch, 1);
    batch->topic = (guint8)(reading->lane / reading->file->partitions);
    batch->partition = reading->lane % reading->file->partitions;
    batch->epoch = row->stamp.epoch;
    batch->sequence = row->stamp.sequence;
    batch->offset = row->offset;
    batch->closed_ms = row->time_ms;
    batch->len = row->len;
    batch->data = g_memdup2(row->data, row->len);
    g_ptr_array_add(reading->batches, batch);
}

static void take_charges(gpointer user, const PstBusMessage *row)
{
    Reading *reading = user;
    for (guint i = 0; i < reading->batches->len; i++) {
        Batch *batch = g_ptr_array_index(reading->batches, i);
        if (batch->offset != row->offset)
            continue;
        batch->beats_len = row->len;
        batch->beats = g_memdup2(row->data, row->len);
    }
}

static gboolean read_lane(SpoolFile *file, guint at, GQueue *out, GError **error)
{
    Lane *lane = &file->lanes[at];
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)batch_free);
    Reading reading = {file, at, rows};
    if (bus_file_read(file->file, lane->slot, lane->cursor, READ_ROWS, take_row, &reading, error) <
            0 ||
        bus_file_read(file->file, lane->charge_slot, lane->cursor, READ_ROWS, take_charges,
                      &reading, error) < 0)
        return FALSE;
    lane->cursor = lane->end;
    if (rows->len == READ_ROWS)
        lane->cursor = ((Batch *)g_ptr_array_index(rows, rows->len - 1))->offset + 1;
    for (guint i = 0; i < rows->len; i++)
        g_queue_push_tail(out, g_steal_pointer(&g_ptr_array_index(rows, i)));
    return TRUE;
}

gboolean spool_file_read(SpoolFile *file, GQueue *out, GError **error)
{
    guint before = out->length;
    for (guint i = 0; i < file->n_lanes && out->length == before; i++) {
        guint at = file->turn;
        file->turn = (at + 1) % file->n_lanes;
        if (file->lanes[at].cursor < file->lanes[at].end && !read_lane(file, at, out, error))
            return FALSE;
    }
    return TRUE;
}

gboolean spool_file_at_end(const SpoolFile *file)
{
    for (guint i = 0; i < file->n_lanes; i++) {
        if (file->lanes[i].cursor < file->lanes[i].end)
            return FALSE;
    }
    return TRUE;
}

static gboolean find_firsts(SpoolFile *file, GError **error)
{
    for (guint i = 0; i < file->n_lanes; i++) {
        if (!bus_file_get_first(file->file, file->lanes[i].slot, &file->lanes[i].first, error))
            return FALSE;
    }
    return TRUE;
}

gboolean spool_file_rewind(SpoolFile *file, GError **error)
{
    if (!find_firsts(file, error))
        return FALSE;
    for (guint i = 0; i < file->n_lanes; i++)
        file->lanes[i].cursor = file->lanes[i].first;
    return TRUE;
}

/* ---- the bound ---- */

/* The lane of the oldest batch of all; if all of that lane is read, the one with the most unread.
 * NULL: everything is read (or @error). */
static Lane *find_victim(SpoolFile *file, GError **error)
{
    gint64 slot, time_ms;
    if (!bus_file_find_oldest(file->file, &slot, &time_ms, error))
        return NULL;
    Lane *victim = NULL;
    for (guint i = 0; i < file->n_lanes; i++) {
        Lane *lane = &file->lanes[i];
        if (lane->cursor >= lane->end)
            continue;
        if (lane->slot == slot || lane->charge_slot == slot)
            return lane;
        if (victim == NULL || lane->end - lane->cursor > victim->end - victim->cursor)
            victim = lane;
    }
    return victim;
}

typedef struct {
    GByteArray *charges;
    gint64 offsets[EVICT_ROWS];
    guint n;
} Eviction;

static void note_victim(gpointer user, const PstBusMessage *row)
{
    Eviction *eviction = user;
    eviction->offsets[eviction->n++] = row->offset;
    g_byte_array_append(eviction->charges, row->data, (guint)row->len);
}

static gboolean evict_from(SpoolFile *file, Lane *lane, Eviction *eviction, GError **error)
{
    gint64 next = lane->end;
    if (!bus_file_begin(file->file, TRUE, error))
        return FALSE;
    gboolean good = bus_file_read(file->file, lane->charge_slot, lane->cursor, EVICT_ROWS,
                                  note_victim, eviction, error) >= 0;
    for (guint i = 0; i < eviction->n && good; i++)
        good = delete_at(file, lane, eviction->offsets[i], error);
    if (eviction->n > 0)
        next = eviction->offsets[eviction->n - 1] + 1;
    if (good && bus_file_commit(file->file, error)) {
        lane->cursor = next;
        return TRUE;
    }
    bus_file_rollback(file->file);
    return FALSE;
}

gboolean spool_file_evict(SpoolFile *file, GByteArray *charges, guint64 *out_evicted,
                          GError **error)
{
    BusFileSize size;
    *out_evicted = 0;
    if (!bus_file_get_size(file->file, &size, error))
        return FALSE;
    if (size.used_bytes <= file->options.bytes_max)
        return TRUE;
    GError *failure = NULL;
    Lane *lane = find_victim(file, &failure);
    Eviction eviction = {.charges = charges};
    if (lane != NULL && evict_from(file, lane, &eviction, &failure))
        *out_evicted = eviction.n;
    if (failure == NULL)
        return TRUE;
    g_propagate_error(error, failure);
    return FALSE;
}

gboolean spool_file_measure(SpoolFile *file, SpoolSize *out, GError **error)
{
    BusFileSize size;
    gint64 slot;
    *out = (SpoolSize){0};
    if (!find_firsts(file, error) || !bus_file_get_size(file->file, &size, error))
        return FALSE;
    for (guint i = 0; i < file->n_lanes; i++)
        out->batches += (guint64)(file->lanes[i].end - file->lanes[i].first);
    if (out->batches > 0) {
        out->bytes = (guint64)size.used_bytes;
        return bus_file_find_oldest(file->file, &slot, &out->oldest_ms, error);
    }
    return size.free_bytes <= SPARE_BYTES || bus_file_shrink(file->file, SHRINK_BYTES, error);
}
