/* SPDX-License-Identifier: Apache-2.0 */
#include "spool.h"

#include <stdio.h>
#include <string.h>

#include "postern/bus.h"
#include "postern/unit.h"

#define EMBEDDED "embedded:"

enum { BATCH = 64 };

typedef struct {
    char *done_file;
    gint64 positions[PST_PARTITIONS_MAX]; /* offset of the next message; 0: from the oldest */
} Marks;

static const char *path_of(const char *uri)
{
    return g_str_has_prefix(uri, EMBEDDED) ? uri + strlen(EMBEDDED) : uri;
}

gboolean spool_exists(const char *uri)
{
    return g_file_test(path_of(uri), G_FILE_TEST_EXISTS);
}

/* A missing or damaged file means that everything is read again: twice is better than never. */
static Marks *marks_load(const char *uri)
{
    Marks *marks = g_new0(Marks, 1);
    g_autofree char *content = NULL;
    marks->done_file = g_strconcat(path_of(uri), ".done", NULL);
    if (!g_file_get_contents(marks->done_file, &content, NULL, NULL))
        return marks;
    g_auto(GStrv) lines = g_strsplit(content, "\n", PST_PARTITIONS_MAX + 1);
    for (guint i = 0; lines[i] != NULL; i++) {
        gint64 partition, position;
        if (sscanf(lines[i], "%" G_GINT64_FORMAT " %" G_GINT64_FORMAT, &partition, &position) ==
                2 &&
            partition >= 0 && partition < PST_PARTITIONS_MAX && position > 0)
            marks->positions[partition] = position;
    }
    return marks;
}

static void marks_free(Marks *marks)
{
    g_free(marks->done_file);
    g_free(marks);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Marks, marks_free)

static gboolean marks_save(const Marks *marks, GError **error)
{
    g_autoptr(GString) out = g_string_new(NULL);
    for (guint i = 0; i < PST_PARTITIONS_MAX; i++)
        if (marks->positions[i] > 0)
            g_string_append_printf(out, "%u %" G_GINT64_FORMAT "\n", i, marks->positions[i]);
    return g_file_set_contents_full(marks->done_file, out->str, (gssize)out->len,
                                    G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                    0660, error);
}

static gboolean assigned(gpointer user, const char *topic, gint32 partition, gint64 *out_position)
{
    const Marks *marks = user;
    gint64 position = partition < PST_PARTITIONS_MAX ? marks->positions[partition] : 0;
    *out_position = position > 0 ? position : PST_BUS_OLDEST;
    return TRUE;
}

static void revoked(gpointer user, const char *topic, gint32 partition)
{
}

/* Visits one batch; what was visited is marked even if a later one fails. */
static gboolean take(PstBus *bus, Marks *marks, const PstBusMessage *messages, gssize n,
                     SpoolVisitor visit, gpointer user, guint *out_moved, GError **error)
{
    gboolean ok = TRUE;
    for (gssize i = 0; ok && i < n; i++) {
        const PstBusMessage *m = &messages[i];
        ok = visit(user, m->data, m->len, error);
        if (ok && m->partition < PST_PARTITIONS_MAX) {
            marks->positions[m->partition] = m->offset + 1;
            pst_bus_commit(bus, m->topic, m->partition, m->offset + 1);
            (*out_moved)++;
        }
    }
    return marks_save(marks, ok ? error : NULL) && ok;
}

gboolean spool_drain(const char *uri, SpoolVisitor visit, gpointer user, guint *out_moved,
                     GError **error)
{
    const char *const topics[] = {PST_TOPIC_EVIDENCE, NULL};
    g_autoptr(Marks) marks = NULL;
    g_autoptr(GError) refused = NULL;
    g_autoptr(PstBus) bus = pst_bus_open(uri, NULL, error);
    PstBusMessage messages[BATCH];
    gssize n;
    if (bus == NULL)
        return FALSE;
    marks = marks_load(uri);
    const PstBusAssignment assignment = {assigned, revoked, marks};
    if (!pst_bus_subscribe(bus, "intake", topics, &assignment, &refused)) {
        if (g_error_matches(refused, PST_ERROR, PST_ERROR_REFUSED))
            return TRUE;
        g_propagate_error(error, g_steal_pointer(&refused));
        return FALSE;
    }
    while ((n = pst_bus_poll(bus, 0, messages, BATCH, error)) > 0)
        if (!take(bus, marks, messages, n, visit, user, out_moved, error))
            return FALSE;
    return n == 0;
}
