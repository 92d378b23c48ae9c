/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_embedded_inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

enum {
    LOOK_MS = 10,    /* between looks for news */
    NOTE_MS = 1000,  /* between notes of positions */
    PLACE_MS = 1000, /* between looks whether the file is still there */
    NOTE_PATIENCE_MS = 50,
};

typedef struct {
    const char *topic; /* borrowed from the inbox */
    gint32 partition;
    gint64 slot;
    gint64 position; /* of the next message; −1: we do not read it */
    gint64 noted;    /* what the owner is done with; −1: nothing yet */
    gint64 kept;     /* … and retention must leave, all the same */
    gboolean unsaved;
} Part;

typedef struct {
    char *name;
    gint32 assigned; /* so many of its partitions; 0: not there yet */
} Topic;

struct BusInbox {
    BusFile *file;
    char *group;
    int lock_fd;
    PstBusAssignment assignment;
    GArray *topics; /* Topic */
    GArray *parts;  /* Part */
    guint turn;     /* where the next reading starts */
    gint64 version; /* of the file when it was read to its end */
    gboolean at_end;
    gint64 next_note_ns;
    gint64 next_place_ns;
    GPtrArray *blocks; /* bytes of the messages of the last poll */
    PstBusMessage *out;
    gsize n_out;
};

/* --- one reader ---------------------------------------------------------------------------- */

static gboolean refuse(const char *path, int fd, GError **error)
{
    char holder[32] = "";
    if (pread(fd, holder, sizeof holder - 1, 0) <= 0)
        g_strlcpy(holder, "?", sizeof holder);
    g_set_error(error, PST_ERROR, PST_ERROR_REFUSED,
                "embedded bus: process %s holds %s: one reader of a group at a time; for more use "
                "kafka://",
                g_strstrip(holder), path);
    return FALSE;
}

static gboolean take_lock(BusInbox *inbox, GError **error)
{
    g_autofree char *path =
        g_strdup_printf("%s.%s.reader", bus_file_path(inbox->file), inbox->group);
    inbox->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (inbox->lock_fd < 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "embedded bus: cannot open %s: %s", path,
                    g_strerror(errno));
        return FALSE;
    }
    if (flock(inbox->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return refuse(path, inbox->lock_fd, error);
    /* For people and for refuse(); the lock itself is the kernel's. */
    if (ftruncate(inbox->lock_fd, 0) == 0)
        dprintf(inbox->lock_fd, "%d\n", (int)getpid());
    return TRUE;
}

/* --- partitions ---------------------------------------------------------------------------- */

/* A position beyond the end was given by another file at this path. */
static gint64 start_position(const char *topic, gint32 partition, gint64 wanted, gint64 end)
{
    if (wanted > end)
        pst_log(PST_LOG_WARN, "bus",
                "%s[%d]: position %" G_GINT64_FORMAT " lies beyond the end %" G_GINT64_FORMAT
                ": the file was replaced; reading from its oldest message",
                topic, partition, wanted, end);
    return wanted < 0 || wanted > end ? 0 : wanted;
}

static gboolean assign(BusInbox *inbox, const char *topic, gint32 partition, gint64 slot,
                       GError **error)
{
    Part part = {.topic = topic,
                 .partition = partition,
                 .slot = slot,
                 .position = -1,
                 .noted = -1,
                 .kept = G_MAXINT64};
    gint64 wanted = PST_BUS_OLDEST;
    gint64 end;
    if (!bus_file_get_end(inbox->file, slot, &end, error))
        return FALSE;
    guint place = inbox->parts->len;
    g_array_append_val(inbox->parts, part); /* first: the owner may say what he keeps */
    if (inbox->assignment.assigned(inbox->assignment.user, topic, partition, &wanted))
        g_array_index(inbox->parts, Part, place).position =
            start_position(topic, partition, wanted, end);
    inbox->at_end = FALSE;
    return TRUE;
}

/* A topic may be made after we have come. */
static gboolean find_topics(BusInbox *inbox, GError **error)
{
    for (guint i = 0; i < inbox->topics->len; i++) {
        Topic *topic = &g_array_index(inbox->topics, Topic, i);
        gint64 slot;
        gint32 partitions = topic->assigned;
        if (partitions == 0 &&
            !bus_file_find_topic(inbox->file, topic->name, &slot, &partitions, error))
            return FALSE;
        for (; topic->assigned < partitions; topic->assigned++)
            if (!assign(inbox, topic->name, topic->assigned, slot + topic->assigned, error))
                return FALSE;
    }
    return TRUE;
}

BusInbox *bus_inbox_new(BusFile *file, const char *group, const char *const *topics,
                        const PstBusAssignment *assignment, GError **error)
{
    BusInbox *inbox = g_new0(BusInbox, 1);
    inbox->file = file;
    inbox->group = g_strdup(group);
    inbox->assignment = *assignment;
    inbox->topics = g_array_new(FALSE, TRUE, sizeof(Topic));
    inbox->parts = g_array_new(FALSE, TRUE, sizeof(Part));
    inbox->blocks = g_ptr_array_new_with_free_func(g_free);
    for (gsize i = 0; topics[i] != NULL; i++) {
        Topic topic = {.name = g_strdup(topics[i])};
        g_array_append_val(inbox->topics, topic);
    }
    if (take_lock(inbox, error))
        return inbox;
    bus_inbox_free(inbox);
    return NULL;
}

/* --- reading ------------------------------------------------------------------------------- */

/* Copies a row: it must outlive the reading of the file's state. */
static void keep_row(gpointer user, const PstBusMessage *row)
{
    BusInbox *inbox = user;
    gsize name_bytes = strlen(row->stamp.producer) + 1;
    guint8 *block = g_malloc(row->len + name_bytes);
    g_ptr_array_add(inbox->blocks, block);
    if (row->len > 0)
        memcpy(block, row->data, row->len);
    memcpy(block + row->len, row->stamp.producer, name_bytes);
    PstBusMessage *out = &inbox->out[inbox->n_out++];
    *out = *row;
    out->data = block;
    out->stamp.producer = (const char *)(block + row->len);
}

static gboolean read_part(BusInbox *inbox, Part *part, gsize max, GError **error)
{
    if (part->position < 0)
        return TRUE;
    gsize first = inbox->n_out;
    if (bus_file_read(inbox->file, part->slot, part->position, max, keep_row, inbox, error) < 0) {
        g_prefix_error(error, "%s[%d] at %" G_GINT64_FORMAT ": ", part->topic, part->partition,
                       part->position);
        return FALSE;
    }
    for (gsize i = first; i < inbox->n_out; i++) {
        inbox->out[i].topic = part->topic;
        inbox->out[i].partition = part->partition;
    }
    return TRUE;
}

/* One state of the file: first an equal share of every partition, then what still fits. */
static gboolean read_parts(BusInbox *inbox, gsize max, GError **error)
{
    guint n = inbox->parts->len;
    gsize share = MAX(max / MAX(n, 1), 1);
    for (guint i = 0; i < n && inbox->n_out < max; i++) {
        Part *part = &g_array_index(inbox->parts, Part, (inbox->turn + i) % n);
        gsize before = inbox->n_out;
        if (!read_part(inbox, part, MIN(share, max - before), error))
            return FALSE;
        if (inbox->n_out > before)
            part->position = inbox->out[inbox->n_out - 1].offset + 1;
    }
    if (n > 0)
        inbox->turn = (inbox->turn + 1) % n;
    return TRUE;
}

/* On failure no position has moved: the next poll gives the same messages again. */
static gboolean read_state(BusInbox *inbox, gsize max, GError **error)
{
    g_autofree Part *before = g_memdup2(inbox->parts->data, inbox->parts->len * sizeof(Part));
    if (!bus_file_begin(inbox->file, FALSE, error))
        return FALSE;
    gboolean ok = read_parts(inbox, max, error);
    bus_file_rollback(inbox->file);
    if (!ok && before != NULL)
        memcpy(inbox->parts->data, before, inbox->parts->len * sizeof(Part));
    return ok;
}

static gboolean look(BusInbox *inbox, gsize max, GError **error)
{
    gint64 version;
    if (!find_topics(inbox, error) || !bus_file_version(inbox->file, &version, error))
        return FALSE;
    if (inbox->at_end && version == inbox->version)
        return TRUE;
    inbox->n_out = 0;
    if (!read_state(inbox, max, error))
        return FALSE;
    inbox->at_end = inbox->n_out == 0;
    inbox->version = version;
    return TRUE;
}

/* --- positions that the owner is done with --------------------------------------------------- */

static gboolean note_parts(BusInbox *inbox, GError **error)
{
    for (guint i = 0; i < inbox->parts->len; i++) {
        const Part *part = &g_array_index(inbox->parts, Part, i);
        if (part->unsaved && !bus_file_note_reader(inbox->file, inbox->group, part->slot,
                                                   MIN(part->noted, part->kept), error))
            return FALSE;
    }
    return bus_file_commit(inbox->file, error);
}

/* Best effort and without patience: a writer's lock must not stop a reader. */
static void save_notes(BusInbox *inbox)
{
    g_autoptr(GError) ignored = NULL;
    gboolean any = FALSE;
    for (guint i = 0; i < inbox->parts->len; i++)
        any |= g_array_index(inbox->parts, Part, i).unsaved;
    inbox->next_note_ns = pst_mono_now().ns + NOTE_MS * PST_NS_PER_MS;
    if (!any || !bus_file_begin(inbox->file, TRUE, &ignored))
        return;
    if (!note_parts(inbox, &ignored)) {
        bus_file_rollback(inbox->file);
        return;
    }
    for (guint i = 0; i < inbox->parts->len; i++)
        g_array_index(inbox->parts, Part, i).unsaved = FALSE;
}

void bus_inbox_commit(BusInbox *inbox, const char *topic, gint32 partition, gint64 position)
{
    for (guint i = 0; i < inbox->parts->len; i++) {
        Part *part = &g_array_index(inbox->parts, Part, i);
        if (part->partition != partition || strcmp(part->topic, topic) != 0)
            continue;
        part->unsaved |= part->noted != position;
        part->noted = position;
        return;
    }
}

void bus_inbox_keep(BusInbox *inbox, const char *topic, gint32 partition, gint64 position)
{
    for (guint i = 0; i < inbox->parts->len; i++) {
        Part *part = &g_array_index(inbox->parts, Part, i);
        if (part->partition != partition || strcmp(part->topic, topic) != 0)
            continue;
        part->unsaved |= part->kept != position && part->noted >= 0;
        part->kept = position;
        return;
    }
}

/* --- polling ------------------------------------------------------------------------------- */

static gboolean look_after_file(BusInbox *inbox, GError **error)
{
    gint64 now = pst_mono_now().ns;
    if (now >= inbox->next_note_ns)
        save_notes(inbox);
    if (now < inbox->next_place_ns)
        return TRUE;
    inbox->next_place_ns = now + PLACE_MS * PST_NS_PER_MS;
    return bus_file_check_place(inbox->file, error);
}

gssize bus_inbox_poll(BusInbox *inbox, int timeout_ms, PstBusMessage *out, gsize max,
                      GError **error)
{
    PstMono end = pst_mono_add(pst_mono_now(), pst_span_ms(timeout_ms));
    g_ptr_array_set_size(inbox->blocks, 0);
    inbox->out = out;
    inbox->n_out = 0;
    bus_file_set_patience(inbox->file, NOTE_PATIENCE_MS);
    while (look_after_file(inbox, error) &&
           look(inbox, MIN(max, (gsize)BUS_FILE_READ_MAX), error)) {
        gint64 rest_us = pst_mono_since(end, pst_mono_now()).ns / 1000;
        if (inbox->n_out > 0 || rest_us <= 0)
            return (gssize)inbox->n_out;
        g_usleep((gulong)MIN(rest_us, LOOK_MS * 1000));
    }
    return -1;
}

void bus_inbox_free(BusInbox *inbox)
{
    if (inbox == NULL)
        return;
    if (inbox->lock_fd >= 0)
        save_notes(inbox);
    for (guint i = 0; i < inbox->parts->len; i++) {
        const Part *part = &g_array_index(inbox->parts, Part, i);
        if (part->position >= 0)
            inbox->assignment.revoked(inbox->assignment.user, part->topic, part->partition);
    }
    for (guint i = 0; i < inbox->topics->len; i++)
        g_free(g_array_index(inbox->topics, Topic, i).name);
    g_array_unref(inbox->topics);
    g_array_unref(inbox->parts);
    g_ptr_array_unref(inbox->blocks);
    if (inbox->lock_fd >= 0)
        close(inbox->lock_fd);
    g_free(inbox->group);
    g_free(inbox);
}
