/* SPDX-License-Identifier: Apache-2.0 */
/* A bus by hand: reads commands, one a line, and answers each with lines that end in one beginning
 * with "ok" or "error". The contract tests talk to it; so may a person. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/bus.h"

enum { POLL_MAX = 256, SHOWN_MAX = 60 };

static const char help[] =
    "Commands (one a line):\n"
    "  topic NAME PARTITIONS                   make it if it is absent; ok COUNT\n"
    "  publish TOPIC PARTITION SEQUENCE TEXT   queue one message\n"
    "  fill TOPIC PARTITION FIRST COUNT BYTES  queue COUNT messages from sequence FIRST on,\n"
    "                                          waiting where the queue is full\n"
    "  service MS                              run what is due; ok LEFT\n"
    "  flush MS\n"
    "  start TOPIC PARTITION POSITION|oldest|never   where to start when it is assigned\n"
    "  subscribe GROUP TOPIC…\n"
    "  poll MS MAX                             message lines; ok COUNT\n"
    "  commit TOPIC PARTITION POSITION\n"
    "  keep TOPIC PARTITION POSITION\n"
    "  bounds TOPIC PARTITION                  ok FIRST END\n"
    "Lines in between: delivered SEQUENCE; failed SEQUENCE CODE TEXT; assigned TOPIC PARTITION;\n"
    "revoked TOPIC PARTITION; message TOPIC PARTITION OFFSET PRODUCER EPOCH SEQUENCE BYTES TEXT.";

typedef struct {
    PstBus *bus;
    const char *producer;
    gint64 epoch;
    GHashTable *starts; /* "TOPIC PARTITION" → text of the position */
} Buscat;

static const char *const code_names[] = {"USAGE",   "IO",   "AWAY",    "FULL",     "FENCED",
                                         "CORRUPT", "DATA", "REFUSED", "NOT_FOUND"};

static void on_delivered(gpointer user, gpointer cookie, const GError *error)
{
    if (error == NULL)
        printf("delivered %u\n", GPOINTER_TO_UINT(cookie));
    else
        printf("failed %u %s %s\n", GPOINTER_TO_UINT(cookie), code_names[error->code],
               error->message);
}

static gboolean on_assigned(gpointer user, const char *topic, gint32 partition,
                            gint64 *out_position)
{
    Buscat *self = user;
    g_autofree char *key = g_strdup_printf("%s %d", topic, partition);
    const char *start = g_hash_table_lookup(self->starts, key);
    printf("assigned %s\n", key);
    if (g_strcmp0(start, "never") == 0)
        return FALSE;
    gboolean oldest = start == NULL || strcmp(start, "oldest") == 0;
    *out_position = oldest ? PST_BUS_OLDEST : g_ascii_strtoll(start, NULL, 10);
    return TRUE;
}

static void on_revoked(gpointer user, const char *topic, gint32 partition)
{
    printf("revoked %s %d\n", topic, partition);
}

static gint64 number(const char *text)
{
    return text != NULL ? g_ascii_strtoll(text, NULL, 10) : 0;
}

/* --- commands: arguments without the command's name; TRUE has printed "ok" ---------------------
 */

static gboolean do_topic(Buscat *self, char **args, GError **error)
{
    gint32 partitions = 0;
    if (!pst_bus_ensure_topic(self->bus, args[0], (gint32)number(args[1]), &partitions, error))
        return FALSE;
    printf("ok %d\n", partitions);
    return TRUE;
}

static gboolean publish(Buscat *self, char **args, guint sequence, const char *data, gsize len,
                        GError **error)
{
    PstBusStamp stamp = {self->producer, (guint64)self->epoch, sequence};
    return pst_bus_publish(self->bus, args[0], (gint32)number(args[1]), &stamp,
                           (const guint8 *)data, len, GUINT_TO_POINTER(sequence), error);
}

static gboolean do_publish(Buscat *self, char **args, GError **error)
{
    g_autofree char *text = g_strjoinv(" ", args + 3);
    if (!publish(self, args, (guint)number(args[2]), text, strlen(text), error))
        return FALSE;
    printf("ok\n");
    return TRUE;
}

static gboolean do_fill(Buscat *self, char **args, GError **error)
{
    guint first = (guint)number(args[2]), count = (guint)number(args[3]);
    gsize len = (gsize)number(args[4]);
    g_autofree char *data = g_malloc(len + 1);
    memset(data, 'x', len);
    for (guint i = 0; i < count; i++) {
        g_autoptr(GError) full = NULL;
        g_snprintf(data, len, "%u ", first + i);
        while (!publish(self, args, first + i, data, len, &full)) {
            if (!g_error_matches(full, PST_ERROR, PST_ERROR_FULL)) {
                g_propagate_error(error, g_steal_pointer(&full));
                return FALSE;
            }
            g_clear_error(&full);
            pst_bus_service(self->bus, 100);
        }
    }
    printf("ok\n");
    return TRUE;
}

static gboolean do_service(Buscat *self, char **args, GError **error)
{
    guint left = pst_bus_service(self->bus, (int)number(args[0]));
    printf("ok %u\n", left);
    return TRUE;
}

static gboolean do_flush(Buscat *self, char **args, GError **error)
{
    if (!pst_bus_flush(self->bus, (int)number(args[0]), error))
        return FALSE;
    printf("ok\n");
    return TRUE;
}

static gboolean do_start(Buscat *self, char **args, GError **error)
{
    char *key = g_strdup_printf("%s %s", args[0], args[1]);
    g_hash_table_insert(self->starts, key, g_strdup(args[2]));
    printf("ok\n");
    return TRUE;
}

static gboolean do_subscribe(Buscat *self, char **args, GError **error)
{
    PstBusAssignment assignment = {on_assigned, on_revoked, self};
    const char *const *topics = (const char *const *)args + 1;
    if (!pst_bus_subscribe(self->bus, args[0], topics, &assignment, error))
        return FALSE;
    printf("ok\n");
    return TRUE;
}

static void print_message(const PstBusMessage *message)
{
    const PstBusStamp *stamp = &message->stamp;
    int shown = (int)MIN(message->len, (gsize)SHOWN_MAX);
    printf("message %s %d %" G_GINT64_FORMAT " %s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
           " %" G_GSIZE_FORMAT " %.*s\n",
           message->topic, message->partition, message->offset,
           stamp->producer[0] != '\0' ? stamp->producer : "-", stamp->epoch, stamp->sequence,
           message->len, shown, (const char *)message->data);
}

static gboolean do_poll(Buscat *self, char **args, GError **error)
{
    PstBusMessage messages[POLL_MAX];
    gsize max = (gsize)CLAMP(number(args[1]), 1, POLL_MAX);
    gssize n = pst_bus_poll(self->bus, (int)number(args[0]), messages, max, error);
    for (gssize i = 0; i < n; i++)
        print_message(&messages[i]);
    if (n >= 0)
        printf("ok %d\n", (int)n);
    return n >= 0;
}

static gboolean do_commit(Buscat *self, char **args, GError **error)
{
    pst_bus_commit(self->bus, args[0], (gint32)number(args[1]), number(args[2]));
    printf("ok\n");
    return TRUE;
}

static gboolean do_keep(Buscat *self, char **args, GError **error)
{
    pst_bus_keep(self->bus, args[0], (gint32)number(args[1]), number(args[2]));
    printf("ok\n");
    return TRUE;
}

static gboolean do_bounds(Buscat *self, char **args, GError **error)
{
    gint64 first, end;
    if (!pst_bus_bounds(self->bus, args[0], (gint32)number(args[1]), &first, &end, error))
        return FALSE;
    printf("ok %" G_GINT64_FORMAT " %" G_GINT64_FORMAT "\n", first, end);
    return TRUE;
}

static const struct {
    const char *name;
    guint arguments; /* at least */
    gboolean (*run)(Buscat *self, char **args, GError **error);
} commands[] = {
    {"topic", 2, do_topic},         {"publish", 4, do_publish}, {"fill", 5, do_fill},
    {"service", 1, do_service},     {"flush", 1, do_flush},     {"start", 3, do_start},
    {"subscribe", 2, do_subscribe}, {"poll", 2, do_poll},       {"commit", 3, do_commit},
    {"keep", 3, do_keep},           {"bounds", 2, do_bounds},
};

static void run_line(Buscat *self, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    g_autoptr(GError) error = NULL;
    guint n = g_strv_length(words);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (n == 0 || strcmp(words[0], commands[i].name) != 0 || n - 1 < commands[i].arguments)
            continue;
        if (!commands[i].run(self, words + 1, &error))
            printf("error %s %s\n", code_names[error->code], error->message);
        return;
    }
    printf("error USAGE no such command, or too few arguments: %s\n", line);
}

static void run_lines(Buscat *self)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    while ((len = getline(&line, &room, stdin)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        run_line(self, line);
    }
    free(line);
}

int main(int argc, char **argv)
{
    g_autofree char *producer = g_strdup("buscat");
    g_autofree char *group_name = NULL, *extra = NULL;
    gint64 epoch = 1, queue_bytes = 0, timeout_ms = 0, retain_bytes = 0, retain_s = 0;
    const GOptionEntry entries[] = {
        {"producer", 0, 0, G_OPTION_ARG_STRING, &producer, "Name in the stamps; - for none",
         "NAME"},
        {"epoch", 0, 0, G_OPTION_ARG_INT64, &epoch, "Epoch in the stamps", "N"},
        {"queue-bytes", 0, 0, G_OPTION_ARG_INT64, &queue_bytes, "Bound of the queue", "N"},
        {"timeout-ms", 0, 0, G_OPTION_ARG_INT64, &timeout_ms, "Delivery time-out", "N"},
        {"retain-bytes", 0, 0, G_OPTION_ARG_INT64, &retain_bytes, "Retention by size", "N"},
        {"retain-s", 0, 0, G_OPTION_ARG_INT64, &retain_s, "Retention by age", "N"},
        {"group", 0, 0, G_OPTION_ARG_STRING, &group_name, "Unix group that may write", "NAME"},
        {"extra", 0, 0, G_OPTION_ARG_STRING, &extra, "Settings of librdkafka", "NAME=VALUE;…"},
        {NULL}};
    g_autoptr(GOptionContext) context = g_option_context_new("URI");
    g_autoptr(GError) error = NULL;
    g_option_context_set_summary(context, help);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || argc != 2) {
        fprintf(stderr, "buscat: %s\n", error != NULL ? error->message : "expected one URI");
        return 2;
    }
    PstBusOptions options = {.queue_bytes = (guint64)queue_bytes,
                             .delivery_timeout_ms = timeout_ms,
                             .delivered = on_delivered,
                             .retain_bytes = retain_bytes,
                             .retain_s = retain_s,
                             .group_name = group_name,
                             .extra = extra};
    Buscat self = {.producer = strcmp(producer, "-") == 0 ? "" : producer, .epoch = epoch};
    setvbuf(stdout, NULL, _IOLBF, 0);
    self.bus = pst_bus_open(argv[1], &options, &error);
    if (self.bus == NULL) {
        printf("error %s %s\n", code_names[error->code], error->message);
        return 1;
    }
    printf("ok\n");
    self.starts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    run_lines(&self);
    pst_bus_close(self.bus);
    g_hash_table_unref(self.starts);
    return 0;
}
