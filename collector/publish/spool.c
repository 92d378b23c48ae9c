/* SPDX-License-Identifier: Apache-2.0 */
#include "spool.h"

#include <pthread.h>
#include <signal.h>

#include "log.h"

enum { RETRY_MS = 1000, WRITE_BYTES = 8 << 20 /* of one transaction */ };

struct Spool {
    /* Constant. */
    char *path;
    char *producer;

    /* The thread's, once it runs. */
    pthread_t thread;
    gboolean running;
    SpoolFile *file;
    GArray *deleting; /* SpoolPlace */
    PstLogLimit log;

    pthread_mutex_t lock; /* guards the rest; never held while the disk works */
    pthread_cond_t for_thread;
    pthread_cond_t for_owner;
    GQueue unwritten; /* Batch */
    GQueue writing;   /* Batch; the thread looks at them without the lock */
    GArray *done;     /* SpoolPlace */
    GQueue ready;     /* Batch */
    gsize ready_bytes;
    gsize want;
    guint taken;       /* of the file, not done */
    gboolean all_read; /* the file holds nothing that was not read */
    gboolean rewind;
    gboolean stopping;
    GByteArray *evicted; /* sealed charges */
    char *trouble;
    SpoolState state;
};

static void wait_until(Spool *spool, pthread_cond_t *cond, PstMono end)
{
    struct timespec moment = {.tv_sec = end.ns / PST_NS_PER_S, .tv_nsec = end.ns % PST_NS_PER_S};
    pthread_cond_timedwait(cond, &spool->lock, &moment);
}

/* ---- the thread ---- */

static gboolean has_work(const Spool *spool)
{
    return spool->unwritten.length > 0 || spool->done->len > 0 || spool->rewind ||
           (!spool->all_read && spool->ready_bytes < spool->want);
}

/* Takes over what there is to do. FALSE: the end, after this turn. */
static gboolean begin_turn(Spool *spool)
{
    PstMono retry = pst_mono_add(pst_mono_now(), pst_span_ms(RETRY_MS));
    pthread_mutex_lock(&spool->lock);
    while (!spool->stopping && (spool->trouble != NULL || !has_work(spool)) &&
           pst_mono_now().ns < retry.ns)
        wait_until(spool, &spool->for_thread, retry);
    gsize bytes = 0;
    while (spool->unwritten.length > 0 && (bytes < WRITE_BYTES || spool->stopping)) {
        Batch *batch = g_queue_pop_head(&spool->unwritten);
        bytes += batch_size(batch);
        g_queue_push_tail(&spool->writing, batch);
    }
    g_array_append_vals(spool->deleting, spool->done->data, spool->done->len);
    g_array_set_size(spool->done, 0);
    gboolean goes_on = !spool->stopping;
    pthread_mutex_unlock(&spool->lock);
    return goes_on;
}

/* What the turn has written is the file's now; what it could not write waits again. */
static void end_writing(Spool *spool, gboolean written)
{
    GQueue over = G_QUEUE_INIT;
    pthread_mutex_lock(&spool->lock);
    if (written) {
        over = spool->writing;
        g_queue_init(&spool->writing);
        spool->state.written += over.length;
        spool->state.replayed += spool->deleting->len;
        spool->all_read &= over.length == 0;
        for (const GList *l = over.head; l != NULL; l = l->next)
            spool->state.unwritten -= batch_size(l->data);
    }
    while (spool->writing.length > 0)
        g_queue_push_head(&spool->unwritten, g_queue_pop_tail(&spool->writing));
    pthread_cond_broadcast(&spool->for_owner);
    pthread_mutex_unlock(&spool->lock);
    if (written)
        g_array_set_size(spool->deleting, 0);
    g_queue_clear_full(&over, (GDestroyNotify)batch_free);
}

static gboolean keep_bound(Spool *spool, GError **error)
{
    g_autoptr(GByteArray) charges = g_byte_array_new();
    guint64 evicted = 0, all = 0;
    gboolean good;
    do {
        good = spool_file_evict(spool->file, charges, &evicted, error);
        all += evicted;
    } while (good && evicted > 0);
    if (all == 0)
        return good;
    pthread_mutex_lock(&spool->lock);
    spool->state.evicted += all;
    spool->all_read = spool_file_at_end(spool->file);
    g_byte_array_append(spool->evicted, charges->data, charges->len);
    pthread_mutex_unlock(&spool->lock);
    pst_log_limited(&spool->log, PST_LOG_ERR, "spool",
                    "%s is full: its oldest batches are thrown away, and counted", spool->path);
    return good;
}

static gboolean rewind_if_asked(Spool *spool, GError **error)
{
    pthread_mutex_lock(&spool->lock);
    gboolean asked = spool->rewind;
    pthread_mutex_unlock(&spool->lock);
    if (!asked)
        return TRUE;
    if (!spool_file_rewind(spool->file, error))
        return FALSE;
    pthread_mutex_lock(&spool->lock);
    spool->rewind = FALSE;
    spool->all_read = spool_file_at_end(spool->file);
    pthread_mutex_unlock(&spool->lock);
    return TRUE;
}

static gboolean read_ahead(Spool *spool, GError **error)
{
    for (gboolean more = TRUE; more;) {
        GQueue rows = G_QUEUE_INIT;
        pthread_mutex_lock(&spool->lock);
        more = !spool->rewind && !spool->all_read && spool->ready_bytes < spool->want;
        pthread_mutex_unlock(&spool->lock);
        if (more && !spool_file_read(spool->file, &rows, error))
            return FALSE;
        pthread_mutex_lock(&spool->lock);
        while (rows.length > 0 && !spool->rewind) {
            Batch *batch = g_queue_pop_head(&rows);
            spool->ready_bytes += batch_size(batch);
            g_queue_push_tail(&spool->ready, batch);
        }
        spool->all_read = spool_file_at_end(spool->file);
        pthread_mutex_unlock(&spool->lock);
        g_queue_clear_full(&rows, (GDestroyNotify)batch_free);
    }
    return TRUE;
}

static gboolean measure(Spool *spool, GError **error)
{
    SpoolSize size;
    if (!spool_file_measure(spool->file, &size, error))
        return FALSE;
    pthread_mutex_lock(&spool->lock);
    spool->state.file = size;
    pthread_mutex_unlock(&spool->lock);
    return TRUE;
}

static void note_trouble(Spool *spool, const GError *error)
{
    if (error != NULL)
        pst_log_limited(&spool->log, PST_LOG_ERR, "spool", "%s", error->message);
    pthread_mutex_lock(&spool->lock);
    g_free(spool->trouble);
    spool->trouble = error != NULL ? g_strdup(error->message) : NULL;
    pthread_mutex_unlock(&spool->lock);
}

/* A disk that takes nothing more can still be read. */
static void *work(void *data)
{
    Spool *spool = data;
    for (gboolean goes_on = TRUE; goes_on;) {
        g_autoptr(GError) error = NULL, other = NULL;
        goes_on = begin_turn(spool);
        gboolean written = spool_file_write(spool->file, &spool->writing, spool->deleting, &error);
        end_writing(spool, written);
        if (written && keep_bound(spool, &error))
            (void)measure(spool, &error);
        (void)(rewind_if_asked(spool, &other) && read_ahead(spool, &other));
        note_trouble(spool, error != NULL ? error : other);
    }
    return NULL;
}

/* ---- opening ---- */

static void start(Spool *spool)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&spool->thread, NULL, work, spool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        g_error("spool: cannot start its thread: %s", g_strerror(failed));
    pthread_setname_np(spool->thread, "spool");
    spool->running = TRUE;
}

Spool *spool_open(const SpoolOptions *options, GError **error)
{
    g_autoptr(Spool) spool = g_new0(Spool, 1);
    spool->path = g_strdup(options->path);
    spool->producer = g_strdup(options->producer);
    g_queue_init(&spool->writing);
    g_queue_init(&spool->unwritten);
    g_queue_init(&spool->ready);
    spool->deleting = g_array_new(FALSE, FALSE, sizeof(SpoolPlace));
    spool->done = g_array_new(FALSE, FALSE, sizeof(SpoolPlace));
    spool->evicted = g_byte_array_new();
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&spool->lock, NULL);
    pthread_cond_init(&spool->for_thread, &monotonic);
    pthread_cond_init(&spool->for_owner, &monotonic);
    pthread_condattr_destroy(&monotonic);
    SpoolOptions own = *options;
    own.path = spool->path;
    own.producer = spool->producer;
    spool->file = spool_file_open(&own, error);
    if (spool->file == NULL || !measure(spool, error))
        return NULL;
    spool->all_read = spool_file_at_end(spool->file);
    start(spool);
    return g_steal_pointer(&spool);
}

void spool_close(Spool *spool)
{
    if (spool == NULL)
        return;
    if (spool->running) {
        pthread_mutex_lock(&spool->lock);
        spool->stopping = TRUE;
        pthread_cond_signal(&spool->for_thread);
        pthread_mutex_unlock(&spool->lock);
        pthread_join(spool->thread, NULL);
    }
    g_queue_clear_full(&spool->writing, (GDestroyNotify)batch_free);
    g_queue_clear_full(&spool->unwritten, (GDestroyNotify)batch_free);
    g_queue_clear_full(&spool->ready, (GDestroyNotify)batch_free);
    g_array_unref(spool->deleting);
    g_array_unref(spool->done);
    g_byte_array_unref(spool->evicted);
    pthread_mutex_destroy(&spool->lock);
    pthread_cond_destroy(&spool->for_thread);
    pthread_cond_destroy(&spool->for_owner);
    spool_file_close(spool->file);
    g_free(spool->trouble);
    g_free(spool->producer);
    g_free(spool->path);
    g_free(spool);
}

guint32 spool_partitions(const Spool *spool)
{
    return spool_file_partitions(spool->file);
}

guint64 spool_newest_epoch(const Spool *spool)
{
    return spool_file_newest_epoch(spool->file);
}

/* ---- the owner ---- */

void spool_put_take(Spool *spool, Batch *batch)
{
    batch_seal(batch);
    pthread_mutex_lock(&spool->lock);
    spool->state.unwritten += batch_size(batch);
    g_queue_push_tail(&spool->unwritten, batch);
    pthread_cond_signal(&spool->for_thread);
    pthread_mutex_unlock(&spool->lock);
}

static Batch *pop_unwritten(Spool *spool)
{
    Batch *batch = g_queue_pop_head(&spool->unwritten);
    if (batch != NULL)
        spool->state.unwritten -= batch_size(batch);
    return batch;
}

Batch *spool_unput(Spool *spool)
{
    pthread_mutex_lock(&spool->lock);
    Batch *batch = spool->writing.length == 0 ? pop_unwritten(spool) : NULL;
    pthread_mutex_unlock(&spool->lock);
    return batch;
}

void spool_want(Spool *spool, gsize bytes)
{
    pthread_mutex_lock(&spool->lock);
    spool->want = bytes;
    if (has_work(spool))
        pthread_cond_signal(&spool->for_thread);
    pthread_mutex_unlock(&spool->lock);
}

Batch *spool_take(Spool *spool, gboolean unwritten)
{
    Batch *batch = NULL;
    pthread_mutex_lock(&spool->lock);
    gboolean nothing_older = spool->all_read && spool->taken == 0 && spool->writing.length == 0;
    if (spool->rewind) {
        batch = NULL; /* what is ready is out of date */
    } else if (spool->ready.length > 0) {
        batch = g_queue_pop_head(&spool->ready);
        spool->ready_bytes -= batch_size(batch);
        spool->taken++;
    } else if (unwritten && nothing_older) {
        batch = pop_unwritten(spool);
    }
    pthread_mutex_unlock(&spool->lock);
    return batch;
}

void spool_done(Spool *spool, const Batch *batch)
{
    SpoolPlace place = spool_file_place(spool->file, batch);
    pthread_mutex_lock(&spool->lock);
    g_array_append_val(spool->done, place);
    spool->taken--;
    pthread_cond_signal(&spool->for_thread);
    pthread_mutex_unlock(&spool->lock);
}

void spool_rewind(Spool *spool)
{
    pthread_mutex_lock(&spool->lock);
    g_queue_clear_full(&spool->ready, (GDestroyNotify)batch_free);
    spool->ready_bytes = 0;
    spool->taken = 0;
    spool->rewind = TRUE;
    pthread_cond_signal(&spool->for_thread);
    pthread_mutex_unlock(&spool->lock);
}

gboolean spool_has_any(Spool *spool)
{
    pthread_mutex_lock(&spool->lock);
    gboolean any = spool->unwritten.length > 0 || spool->writing.length > 0 ||
                   spool->ready.length > 0 || spool->taken > 0 || !spool->all_read || spool->rewind;
    pthread_mutex_unlock(&spool->lock);
    return any;
}

void spool_each_evicted(Spool *spool, BatchCharged charged, gpointer user)
{
    pthread_mutex_lock(&spool->lock);
    g_autoptr(GByteArray) evicted = g_steal_pointer(&spool->evicted);
    spool->evicted = g_byte_array_new();
    pthread_mutex_unlock(&spool->lock);
    batch_each_beat(evicted->data, evicted->len, charged, user);
}

void spool_state(Spool *spool, SpoolState *out)
{
    pthread_mutex_lock(&spool->lock);
    *out = spool->state;
    pthread_mutex_unlock(&spool->lock);
}

char *spool_trouble(Spool *spool)
{
    pthread_mutex_lock(&spool->lock);
    char *trouble = g_strdup(spool->trouble);
    pthread_mutex_unlock(&spool->lock);
    return trouble;
}

char *spool_describe(Spool *spool)
{
    SpoolState state;
    spool_state(spool, &state);
    g_autofree char *trouble = spool_trouble(spool);
    if (trouble != NULL)
        return g_strdup_printf("the spool does not take them: %s", trouble);
    if (state.file.batches == 0)
        return g_strdup("the spool is empty");
    g_autoptr(GDateTime) oldest = g_date_time_new_from_unix_utc(state.file.oldest_ms / 1000);
    g_autofree char *since = g_date_time_format_iso8601(oldest);
    return g_strdup_printf("the spool keeps %" G_GUINT64_FORMAT " batches (%" G_GUINT64_FORMAT
                           " MiB), the oldest of %s",
                           state.file.batches, (state.file.bytes + (1 << 20) - 1) >> 20, since);
}

gboolean spool_sync(Spool *spool, int timeout_ms)
{
    PstMono end = pst_mono_add(pst_mono_now(), pst_span_ms(timeout_ms));
    pthread_mutex_lock(&spool->lock);
    while (spool->unwritten.length + spool->writing.length > 0 && pst_mono_now().ns < end.ns)
        wait_until(spool, &spool->for_owner, end);
    gboolean all = spool->unwritten.length + spool->writing.length == 0;
    pthread_mutex_unlock(&spool->lock);
    return all;
}
