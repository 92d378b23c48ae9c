/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_embedded_outbox.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "bus_embedded_file.h"
#include "bus_embedded_retention.h"
#include "clock.h"
#include "log.h"

enum {
    PATIENCE_MS = 5000,
    BATCH_BYTES = 8 << 20, /* of one transaction */
    BATCH_MESSAGES = 2048,
    RETRY_MS = 100,
    RETENTION_MS = 1000,        /* between passes while there is something to write … */
    RETENTION_IDLE_MS = 30000,  /* … and while there is nothing … */
    RETENTION_BYTES = 32 << 20, /* … but after so much at the latest */
    RETENTION_PART = 8,         /* … or this part of what is retained */
};

typedef struct {
    gint64 slot;
    guint64 epoch;
    guint64 sequence;
    gint64 expires_ns; /* monotonic */
    gpointer cookie;
    GError *error; /* of a message that was given up */
    gsize len;
    guint8 *data; /* NULL once written */
} Letter;

struct BusOutbox {
    /* Constant after the first push. */
    char *path;
    char *producer;
    char *group_name;
    guint64 queue_bytes;
    gint64 timeout_ns;
    BusRetention retention;

    /* Owner's. */
    pthread_t thread;
    gboolean started;
    guint undelivered;

    /* pthread's, because ThreadSanitizer does not understand GLib's. */
    pthread_mutex_t lock; /* guards the rest; never held while the disk works */
    pthread_cond_t for_writer;
    pthread_cond_t for_owner;
    GQueue waiting; /* Letter */
    GQueue done;    /* Letter */
    guint64 bytes;  /* of letters that are not done */
    char *trouble;
    gint stopping; /* written under the lock; a wait for the file's lock reads it without */
};

/* What the writer's thread has for itself. */
typedef struct {
    BusOutbox *outbox;
    BusFile *file;    /* NULL: not open (yet) */
    GQueue batch;     /* Letter */
    GHashTable *ends; /* slot → next offset, of the present transaction */
    gint64 next_retention_ns;
    gint64 written_bytes; /* since the last retention */
    gboolean full;
    PstLogLimit log_limit;
} Writer;

/* A moment for wait_until. */
static struct timespec moment_in(gint64 ms)
{
    gint64 ns = pst_mono_now().ns + ms * PST_NS_PER_MS;
    return (struct timespec){.tv_sec = ns / PST_NS_PER_S, .tv_nsec = ns % PST_NS_PER_S};
}

/* Waits for a signal until @end; FALSE once that has passed. */
static gboolean wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *end)
{
    return pthread_cond_timedwait(cond, lock, end) == 0;
}

static void letter_free(gpointer data)
{
    Letter *letter = data;
    g_clear_error(&letter->error);
    g_free(letter->data);
    g_free(letter);
}

/* --- the writer's thread ------------------------------------------------------------------- */

static gboolean open_file(Writer *writer, GError **error)
{
    if (writer->file == NULL)
        writer->file =
            bus_file_open(writer->outbox->path, writer->outbox->group_name, PATIENCE_MS, error);
    return writer->file != NULL && bus_file_check_place(writer->file, error);
}

/* Another process may have written since our last transaction: ends are read anew in each. */
static gboolean take_offset(Writer *writer, gint64 slot, gint64 *out_offset, GError **error)
{
    gint64 *end = g_hash_table_lookup(writer->ends, &slot);
    if (end == NULL) {
        gint64 found;
        if (!bus_file_get_end(writer->file, slot, &found, error))
            return FALSE;
        end = g_memdup2(&found, sizeof found);
        g_hash_table_insert(writer->ends, g_memdup2(&slot, sizeof slot), end);
    }
    *out_offset = (*end)++;
    return TRUE;
}

static gboolean append_batch(Writer *writer, GError **error)
{
    gint64 now_ms = g_get_real_time() / 1000;
    for (GList *l = writer->batch.head; l != NULL; l = l->next) {
        Letter *letter = l->data;
        PstBusStamp stamp = {writer->outbox->producer, letter->epoch, letter->sequence};
        gint64 offset;
        if (!take_offset(writer, letter->slot, &offset, error) ||
            !bus_file_append(writer->file, letter->slot, offset, now_ms, &stamp, letter->data,
                             letter->len, error))
            return FALSE;
    }
    GHashTableIter iter;
    gpointer slot, end;
    g_hash_table_iter_init(&iter, writer->ends);
    while (g_hash_table_iter_next(&iter, &slot, &end))
        if (!bus_file_set_end(writer->file, *(gint64 *)slot, *(gint64 *)end, error))
            return FALSE;
    return TRUE;
}

static gboolean retention_is_due(const Writer *writer)
{
    gint64 much =
        MIN((gint64)RETENTION_BYTES, writer->outbox->retention.retain_bytes / RETENTION_PART);
    return writer->written_bytes > much || pst_mono_now().ns >= writer->next_retention_ns;
}

/* Runs retention when it is due. Its failure alone stops nobody: a write would meet it too. */
static void run_retention(Writer *writer)
{
    g_autoptr(GError) ignored = NULL;
    if (writer->file == NULL || !retention_is_due(writer))
        return;
    if (!bus_retention_pass(writer->file, &writer->outbox->retention, &writer->full, &ignored))
        pst_log_limited(&writer->log_limit, PST_LOG_WARN, "bus", "retention failed: %s",
                        ignored->message);
    writer->next_retention_ns = pst_mono_now().ns + RETENTION_MS * PST_NS_PER_MS;
    writer->written_bytes = 0;
}

static gboolean write_batch(Writer *writer, GError **error)
{
    if (!open_file(writer, error))
        return FALSE;
    run_retention(writer);
    if (writer->full) {
        writer->next_retention_ns = 0;
        g_set_error(error, PST_ERROR, PST_ERROR_FULL,
                    "embedded bus %s: its readers are behind by more than %" G_GINT64_FORMAT
                    " MiB (twice its limit): start them, or raise the limit",
                    writer->outbox->path, 2 * writer->outbox->retention.retain_bytes >> 20);
        return FALSE;
    }
    g_hash_table_remove_all(writer->ends);
    if (!bus_file_begin(writer->file, TRUE, error))
        return FALSE;
    if (append_batch(writer, error) && bus_file_commit(writer->file, error))
        return TRUE;
    bus_file_rollback(writer->file);
    return FALSE;
}

/* Takes what waits, up to a transaction's size. An empty batch: time to look after the file.
 * FALSE: time to stop. */
static gboolean fill_batch(Writer *writer)
{
    BusOutbox *outbox = writer->outbox;
    gint64 wait_ms = writer->written_bytes > 0 ? RETENTION_MS : RETENTION_IDLE_MS;
    struct timespec end = moment_in(wait_ms);
    gsize bytes = 0;
    pthread_mutex_lock(&outbox->lock);
    while (outbox->waiting.length == 0 && !outbox->stopping)
        if (!wait_until(&outbox->for_writer, &outbox->lock, &end))
            break;
    gboolean stopping = outbox->stopping;
    while (!stopping && outbox->waiting.length > 0 && writer->batch.length < BATCH_MESSAGES) {
        Letter *letter = g_queue_peek_head(&outbox->waiting);
        if (writer->batch.length > 0 && bytes + letter->len > BATCH_BYTES)
            break;
        bytes += letter->len;
        g_queue_push_tail_link(&writer->batch, g_queue_pop_head_link(&outbox->waiting));
    }
    pthread_mutex_unlock(&outbox->lock);
    return !stopping;
}

/* Hands letters of the batch over as done: all of them, or those that have expired. */
static void finish(Writer *writer, const GError *error, gboolean only_expired)
{
    BusOutbox *outbox = writer->outbox;
    gint64 now = pst_mono_now().ns;
    GQueue done = G_QUEUE_INIT;
    gsize bytes = 0;
    for (GList *l = writer->batch.head, *next; l != NULL; l = next) {
        Letter *letter = l->data;
        next = l->next;
        if (only_expired && now < letter->expires_ns)
            continue;
        bytes += letter->len;
        if (error == NULL)
            g_clear_pointer(&letter->data, g_free);
        letter->error = error != NULL ? g_error_copy(error) : NULL;
        g_queue_unlink(&writer->batch, l);
        g_queue_push_tail_link(&done, l);
    }
    if (error == NULL)
        writer->written_bytes += (gint64)bytes;
    pthread_mutex_lock(&outbox->lock);
    outbox->bytes -= bytes;
    while (done.length > 0)
        g_queue_push_tail_link(&outbox->done, g_queue_pop_head_link(&done));
    g_free(outbox->trouble);
    outbox->trouble = error != NULL ? g_strdup(error->message) : NULL;
    pthread_cond_signal(&outbox->for_owner);
    pthread_mutex_unlock(&outbox->lock);
}

static gboolean is_stopping(BusOutbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    gboolean stopping = outbox->stopping;
    pthread_mutex_unlock(&outbox->lock);
    return stopping;
}

/* Waits a little before the next try; stopping ends the wait. */
static void pause_writer(BusOutbox *outbox)
{
    struct timespec end = moment_in(RETRY_MS);
    pthread_mutex_lock(&outbox->lock);
    while (!outbox->stopping && wait_until(&outbox->for_writer, &outbox->lock, &end))
        ;
    pthread_mutex_unlock(&outbox->lock);
}

/* Writes the batch, again and again while that may help. On stopping one try is all. */
static void deliver(Writer *writer)
{
    while (writer->batch.length > 0) {
        g_autoptr(GError) error = NULL;
        if (write_batch(writer, &error)) {
            finish(writer, NULL, FALSE);
            return;
        }
        pst_log_limited(&writer->log_limit, PST_LOG_WARN, "bus", "writing failed: %s",
                        error->message);
        gboolean lasting = pst_error_class(error) != PST_ERROR_CLASS_TRANSIENT;
        gboolean stopping = is_stopping(writer->outbox);
        finish(writer, error, !lasting && !stopping);
        if (writer->batch.length > 0)
            pause_writer(writer->outbox);
    }
}

static void *write_letters(void *data)
{
    Writer writer = {.outbox = data};
    g_queue_init(&writer.batch);
    writer.ends = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    while (fill_batch(&writer)) {
        deliver(&writer);
        run_retention(&writer);
    }
    g_hash_table_unref(writer.ends);
    bus_file_close(writer.file);
    return NULL;
}

/* --- the owner's side ---------------------------------------------------------------------- */

BusOutbox *bus_outbox_new(const char *path, const PstBusOptions *options)
{
    BusOutbox *outbox = g_new0(BusOutbox, 1);
    outbox->path = g_strdup(path);
    outbox->group_name = g_strdup(options->group_name);
    outbox->queue_bytes = options->queue_bytes;
    outbox->timeout_ns = options->delivery_timeout_ms * PST_NS_PER_MS;
    outbox->retention = (BusRetention){options->retain_bytes, options->retain_s};
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&outbox->lock, NULL);
    pthread_cond_init(&outbox->for_writer, &monotonic);
    pthread_cond_init(&outbox->for_owner, &monotonic);
    pthread_condattr_destroy(&monotonic);
    g_queue_init(&outbox->waiting);
    g_queue_init(&outbox->done);
    return outbox;
}

static void stop_thread(BusOutbox *outbox)
{
    if (!outbox->started)
        return;
    pthread_mutex_lock(&outbox->lock);
    g_atomic_int_set(&outbox->stopping, TRUE);
    pthread_cond_signal(&outbox->for_writer);
    pthread_mutex_unlock(&outbox->lock);
    pthread_join(outbox->thread, NULL);
    outbox->started = FALSE;
    g_atomic_int_set(&outbox->stopping, FALSE);
}

void bus_outbox_free(BusOutbox *outbox)
{
    if (outbox == NULL)
        return;
    stop_thread(outbox);
    g_queue_clear_full(&outbox->waiting, letter_free);
    g_queue_clear_full(&outbox->done, letter_free);
    pthread_mutex_destroy(&outbox->lock);
    pthread_cond_destroy(&outbox->for_writer);
    pthread_cond_destroy(&outbox->for_owner);
    g_free(outbox->trouble);
    g_free(outbox->producer);
    g_free(outbox->group_name);
    g_free(outbox->path);
    g_free(outbox);
}

/* A process that cannot have one more thread cannot go on. Signals are main's. */
static void start_thread(BusOutbox *outbox)
{
    if (outbox->started)
        return;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&outbox->thread, NULL, write_letters, outbox);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        g_error("bus: cannot start the writer's thread: %s", g_strerror(failed));
    pthread_setname_np(outbox->thread, "bus-writer");
    outbox->started = TRUE;
}

gboolean bus_outbox_push(BusOutbox *outbox, gint64 slot, const PstBusStamp *stamp,
                         guint8 *data_take, gsize len, gpointer cookie, GError **error)
{
    if (outbox->producer == NULL)
        outbox->producer = g_strdup(stamp->producer);
    Letter *letter = g_new(Letter, 1);
    *letter = (Letter){.slot = slot,
                       .epoch = stamp->epoch,
                       .sequence = stamp->sequence,
                       .expires_ns = pst_mono_now().ns + outbox->timeout_ns,
                       .cookie = cookie,
                       .len = len,
                       .data = data_take};
    pthread_mutex_lock(&outbox->lock);
    gboolean fits = outbox->bytes == 0 || outbox->bytes + len <= outbox->queue_bytes;
    if (fits) {
        outbox->bytes += len;
        g_queue_push_tail(&outbox->waiting, letter);
        pthread_cond_signal(&outbox->for_writer);
    }
    pthread_mutex_unlock(&outbox->lock);
    if (!fits) {
        g_free(letter); /* its data stay the caller's */
        g_set_error(error, PST_ERROR, PST_ERROR_FULL,
                    "embedded bus %s: %" G_GUINT64_FORMAT " bytes wait to be written", outbox->path,
                    outbox->queue_bytes);
        return FALSE;
    }
    outbox->undelivered++;
    start_thread(outbox);
    return TRUE;
}

static void report_all(BusOutbox *outbox, GQueue *letters, BusOutboxReport report, gpointer user)
{
    while (letters->length > 0) {
        Letter *letter = g_queue_pop_head(letters);
        outbox->undelivered--;
        report(user, letter->cookie, letter->data, letter->len, letter->error);
        letter_free(letter);
    }
}

guint bus_outbox_collect(BusOutbox *outbox, int timeout_ms, BusOutboxReport report, gpointer user)
{
    GQueue done = G_QUEUE_INIT;
    struct timespec end = moment_in(timeout_ms);
    pthread_mutex_lock(&outbox->lock);
    while (timeout_ms > 0 && outbox->undelivered > 0 && outbox->done.length == 0)
        if (!wait_until(&outbox->for_owner, &outbox->lock, &end))
            break;
    done = outbox->done;
    g_queue_init(&outbox->done);
    pthread_mutex_unlock(&outbox->lock);
    report_all(outbox, &done, report, user);
    return outbox->undelivered;
}

void bus_outbox_give_up(BusOutbox *outbox, BusOutboxReport report, gpointer user)
{
    stop_thread(outbox);
    for (GList *l = outbox->waiting.head; l != NULL; l = l->next)
        g_set_error(&((Letter *)l->data)->error, PST_ERROR, PST_ERROR_AWAY,
                    "embedded bus %s: closed before it was written%s%s", outbox->path,
                    outbox->trouble != NULL ? "; the last try: " : "",
                    outbox->trouble != NULL ? outbox->trouble : "");
    outbox->bytes = 0;
    report_all(outbox, &outbox->done, report, user);
    report_all(outbox, &outbox->waiting, report, user);
}

char *bus_outbox_trouble(BusOutbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    char *trouble = g_strdup(outbox->trouble);
    pthread_mutex_unlock(&outbox->lock);
    return trouble;
}
