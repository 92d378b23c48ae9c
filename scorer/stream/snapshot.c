/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot.h"

#include "image.h"
#include "postern/error.h"

#define MAGIC "PSTSNAP\n"
#define ORDER 0x01020304u /* tells byte order */

enum { BUS_MAX = 1024, KEY_MAX = 1024 };

/* Followed by the bus's name, the marks, and the checksum of all of it. No padding. */
typedef struct {
    char magic[8];
    guint32 format;
    guint32 order;
    guint32 partition;
    guint32 bus_len;
    guint64 marks;
    guint64 epoch;
    gint64 position;
    gint64 input_id;
} Head;

typedef struct {
    guint64 epoch;
    guint64 sequence;
    guint64 key_len;
} Mark;

G_STATIC_ASSERT(sizeof(Head) == 56);

static void put_marks(Image *image, GHashTable *marks)
{
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, marks);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const PstProducerMark *mark = value;
        Mark out = {mark->epoch, mark->sequence, strlen(key)};
        image_put(image, &out, sizeof out);
        image_put(image, key, out.key_len);
    }
}

void snapshot_put_head(GByteArray *out, const PstHold *at, const char *bus)
{
    guint first = out->len;
    Image image = {.bytes = out};
    Head head = {.format = SNAPSHOT_FORMAT,
                 .order = ORDER,
                 .partition = at->partition,
                 .bus_len = (guint32)strlen(bus),
                 .marks = g_hash_table_size(at->producers),
                 .epoch = at->epoch,
                 .position = at->smtp_position,
                 .input_id = at->input_id};
    memcpy(head.magic, MAGIC, sizeof head.magic);
    image_put(&image, &head, sizeof head);
    image_put(&image, bus, head.bus_len);
    put_marks(&image, at->producers);
    guint64 sum = image_checksum(out->data + first, out->len - first);
    image_put(&image, &sum, sizeof sum);
}

static gboolean refuse(GError **error, const char *why)
{
    g_set_error_literal(error, PST_ERROR, PST_ERROR_CORRUPT, why);
    return FALSE;
}

static gboolean read_marks(PstCursor *from, guint64 n, GHashTable *out)
{
    for (; n > 0; n--) {
        Mark mark;
        if (!image_get(from, &mark, sizeof mark) || mark.key_len > KEY_MAX)
            return FALSE;
        const guint8 *key = pst_cursor_take(from, mark.key_len);
        if (key == NULL || memchr(key, 0, mark.key_len) != NULL)
            return FALSE;
        PstProducerMark known = {mark.epoch, mark.sequence};
        g_hash_table_insert(out, g_strndup((const char *)key, mark.key_len),
                            g_memdup2(&known, sizeof known));
    }
    return TRUE;
}

static gboolean read_checksum(PstCursor *from, const guint8 *first)
{
    guint64 expected = image_checksum(first, (gsize)(from->at - first)), sum;
    return image_get(from, &sum, sizeof sum) && sum == expected;
}

static gboolean check_kind(const Head *head, GError **error)
{
    if (memcmp(head->magic, MAGIC, sizeof head->magic) != 0)
        return refuse(error, "it is no snapshot");
    if (head->order != ORDER)
        return refuse(error, "it was written on a machine of another byte order");
    if (head->format != SNAPSHOT_FORMAT) {
        g_set_error(error, PST_ERROR, PST_ERROR_CORRUPT,
                    "it has format %u, but this version knows format %d", head->format,
                    SNAPSHOT_FORMAT);
        return FALSE;
    }
    return TRUE;
}

gboolean snapshot_read(const guint8 *data, gsize len, guint32 partition, const char *bus,
                       Snapshot *out, GError **error)
{
    PstCursor from = pst_cursor(data, len);
    g_auto(Snapshot) found = {.at = pst_hold_new(partition)};
    Head head;
    if (!image_get(&from, &head, sizeof head))
        return refuse(error, "it is cut short");
    if (!check_kind(&head, error))
        return FALSE;
    const guint8 *name = head.bus_len <= BUS_MAX ? pst_cursor_take(&from, head.bus_len) : NULL;
    if (name == NULL || !read_marks(&from, head.marks, found.at->producers) ||
        !read_checksum(&from, data) || head.position < 0)
        return refuse(error, "its head is damaged");
    if (head.partition != partition)
        return refuse(error, "it is of another partition");
    if (head.bus_len != strlen(bus) || memcmp(name, bus, head.bus_len) != 0)
        return refuse(error, "it is of another bus");
    found.at->epoch = head.epoch;
    found.at->smtp_position = head.position;
    found.at->input_id = head.input_id;
    found.image = from.at;
    found.image_len = pst_cursor_left(&from);
    *out = found;
    found.at = NULL; /* taken */
    return TRUE;
}

void snapshot_clear(Snapshot *snapshot)
{
    g_clear_pointer(&snapshot->at, pst_hold_free);
}
