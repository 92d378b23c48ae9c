/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshots.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "pages.h"
#include "snapshot.h"

#define STATE_MAX ((gsize)3 << 30) /* bytes; an array of GLib's holds less than 4 GiB */
#define PIECE     ((gsize)8 << 20)

enum { KEPT = 2 };

/* One that is written. Of the writer's thread until done. */
typedef struct {
    char *folder;
    char *name;
    GByteArray *bytes;
    gsize state; /* where in these the engine's begin */
    GError *error;
    SnapshotDone report;
    gint done; /* atomic */
} Job;

struct Snapshots {
    char *folder;
    char *bus;
    GThread *writer; /* NULL: none */
    Job *job;
    PstLogLimit failed;
    gboolean too_large; /* said */
};

/* A file by its name: pPARTITION-POSITION-eEPOCH.snapshot */
typedef struct {
    guint32 partition;
    gint64 position;
    guint64 epoch;
} Named;

static char *name_of(const PstHold *at)
{
    return g_strdup_printf("p%u-%020" G_GINT64_FORMAT "-e%" G_GUINT64_FORMAT ".snapshot",
                           at->partition, at->smtp_position, at->epoch);
}

static gboolean read_name(const char *name, Named *out)
{
    int end = 0;
    return sscanf(name, "p%" SCNu32 "-%" SCNd64 "-e%" SCNu64 ".snapshot%n", &out->partition,
                  &out->position, &out->epoch, &end) == 3 &&
           end > 0 && name[end] == '\0';
}

/* Newest first. */
static int compare_names(gconstpointer a, gconstpointer b)
{
    Named x, y;
    if (!read_name(*(char *const *)a, &x) || !read_name(*(char *const *)b, &y))
        return 0;
    if (x.position != y.position)
        return x.position > y.position ? -1 : 1;
    return x.epoch == y.epoch ? 0 : x.epoch > y.epoch ? -1 : 1;
}

/* Names of the partition's files, newest first. Given. */
static GPtrArray *list(const char *folder, guint32 partition)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        Named found;
        if (read_name(name, &found) && found.partition == partition)
            g_ptr_array_add(names, g_strdup(name));
    }
    g_ptr_array_sort(names, compare_names);
    return names;
}

static void remove_one(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    (void)g_unlink(path);
}

/* What a writer left that died. It had this partition before. */
static void remove_parts(const char *folder, guint32 partition)
{
    g_autofree char *mine = g_strdup_printf("p%u-", partition);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        if (g_str_has_prefix(name, mine) && strstr(name, ".snapshot.part") != NULL)
            remove_one(folder, name);
}

Snapshots *snapshots_open(const char *folder, GError **error)
{
    if (g_mkdir_with_parents(folder, 0700) != 0 || access(folder, R_OK | W_OK | X_OK) != 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "folder of snapshots %s: %s; name another with --snapshots, or none", folder,
                    g_strerror(errno));
        return NULL;
    }
    Snapshots *snapshots = g_new0(Snapshots, 1);
    snapshots->folder = g_strdup(folder);
    return snapshots;
}

void snapshots_name_bus(Snapshots *snapshots, const char *bus)
{
    g_free(snapshots->bus);
    snapshots->bus = g_strdup(bus);
}

void snapshots_free(Snapshots *snapshots)
{
    if (snapshots == NULL)
        return;
    SnapshotDone done;
    (void)snapshots_collect(snapshots, TRUE, &done);
    g_free(snapshots->folder);
    g_free(snapshots->bus);
    g_free(snapshots);
}

/* ---- writing, on the writer's thread ---- */

static gboolean fail(GError **error, const char *what, const char *path)
{
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "cannot %s %s: %s", what, path, g_strerror(errno));
    return FALSE;
}

static gboolean write_all(int fd, const GByteArray *bytes)
{
    for (gsize at = 0; at < bytes->len;) {
        gssize n = write(fd, bytes->data + at, MIN(bytes->len - at, PIECE));
        if (n < 0 && errno != EINTR)
            return FALSE;
        at += (gsize)MAX(n, 0);
    }
    return fsync(fd) == 0;
}

static gboolean sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static gboolean write_file(const Job *job, GError **error)
{
    g_autofree char *path = g_build_filename(job->folder, job->name, NULL);
    g_autofree char *part = g_strdup_printf("%s.part-%s-%d", path, g_get_host_name(), getpid());
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(error, "make", part);
    gboolean ok = write_all(fd, job->bytes) || fail(error, "write", part);
    close(fd);
    ok = ok && (rename(part, path) == 0 || fail(error, "name", path));
    if (!ok)
        (void)unlink(part);
    return ok && (sync_folder(job->folder) || fail(error, "sync", job->folder));
}

/* Of names, newest first, those that are kept. */
static gint64 oldest_kept(const GPtrArray *names)
{
    Named oldest = {.position = -1};
    if (names->len > 0)
        (void)read_name(g_ptr_array_index(names, MIN(names->len, KEPT) - 1), &oldest);
    return oldest.position;
}

static void keep_the_newest(Job *job)
{
    g_autoptr(GPtrArray) names = list(job->folder, job->report.partition);
    for (guint i = KEPT; i < names->len; i++)
        remove_one(job->folder, g_ptr_array_index(names, i));
    job->report.oldest = oldest_kept(names);
}

static gpointer write_job(gpointer user)
{
    Job *job = user;
    PstMono began = pst_mono_now();
    engine_seal(job->bytes, job->state);
    job->report.bytes = job->bytes->len;
    job->report.written = write_file(job, &job->error);
    if (job->report.written)
        keep_the_newest(job);
    job->report.write_us = pst_mono_since(pst_mono_now(), began).ns / 1000;
    g_atomic_int_set(&job->done, 1);
    return NULL;
}

/* ---- taking ---- */

gboolean snapshots_busy(const Snapshots *snapshots)
{
    return snapshots->writer != NULL;
}

static gboolean is_too_large(Snapshots *snapshots, const PstHold *at, gsize bytes)
{
    if (bytes <= STATE_MAX)
        return FALSE;
    if (!snapshots->too_large)
        pst_log(PST_LOG_ERR, "snapshots",
                "the state of partition %u is too large for one: more partitions or less "
                "novelty_memory bytes=%" G_GSIZE_FORMAT,
                at->partition, bytes);
    snapshots->too_large = TRUE;
    return TRUE;
}

void snapshots_take(Snapshots *snapshots, const PstHold *at, Engine *engine)
{
    g_assert(!snapshots_busy(snapshots) && snapshots->bus != NULL);
    gsize state = engine_stats(engine)->state_bytes;
    if (is_too_large(snapshots, at, state))
        return;
    PstMono began = pst_mono_now();
    Job *job = g_new0(Job, 1);
    job->folder = g_strdup(snapshots->folder);
    job->name = name_of(at);
    gsize room = state + state / 16 + PIECE;
    job->bytes = g_byte_array_sized_new((guint)room);
    pages_hint_huge(job->bytes->data, room);
    snapshot_put_head(job->bytes, at, snapshots->bus);
    job->state = job->bytes->len;
    engine_copy(engine, job->bytes);
    job->report = (SnapshotDone){.partition = at->partition,
                                 .taken_s = g_get_real_time() / G_USEC_PER_SEC,
                                 .pause_us = pst_mono_since(pst_mono_now(), began).ns / 1000,
                                 .oldest = -1};
    snapshots->job = job;
    snapshots->writer = g_thread_new("snapshot", write_job, job);
}

gboolean snapshots_collect(Snapshots *snapshots, gboolean wait, SnapshotDone *out)
{
    Job *job = snapshots->job;
    if (snapshots->writer == NULL || (!wait && !g_atomic_int_get(&job->done)))
        return FALSE;
    g_thread_join(snapshots->writer);
    snapshots->writer = NULL;
    snapshots->job = NULL;
    *out = job->report;
    if (job->error != NULL)
        pst_log_limited(&snapshots->failed, PST_LOG_ERR, "snapshots", "%s", job->error->message);
    g_clear_error(&job->error);
    g_byte_array_unref(job->bytes);
    g_free(job->folder);
    g_free(job->name);
    g_free(job);
    return TRUE;
}

/* ---- loading ---- */

/* Not by mapping it: a file that is cut meanwhile must not end us. */
static guint8 *read_file(const char *path, gsize *out_len, GError **error)
{
    struct stat now;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    gboolean ok = (fd >= 0 && fstat(fd, &now) == 0) || fail(error, "open", path);
    guint8 *data = NULL;
    if (ok) {
        *out_len = (gsize)MAX(now.st_size, 0);
        data = g_try_malloc(*out_len + 1);
        ok = data != NULL || fail(error, "hold", path);
    }
    for (gsize at = 0; ok && at < *out_len;) {
        gssize n = read(fd, data + at, *out_len - at);
        if (n == 0)
            *out_len = at; /* cut short meanwhile: the checksum tells */
        ok = n >= 0 || errno == EINTR || fail(error, "read", path);
        at += (gsize)MAX(n, 0);
    }
    if (fd >= 0)
        close(fd);
    if (!ok)
        g_clear_pointer(&data, g_free);
    return data;
}

static gboolean is_ahead(const PstHold *at, const PstHold *hold)
{
    return at->smtp_position > hold->smtp_position || at->input_id > hold->input_id ||
           at->epoch >= hold->epoch;
}

/* Has the log all from @at to @hold, or is all of that gone, so that nothing better will come? */
static gboolean log_reaches(const PstHold *at, const PstHold *hold, gint64 first)
{
    return at->smtp_position >= first || at->smtp_position == hold->smtp_position ||
           hold->smtp_position < first;
}

typedef struct {
    Snapshots *snapshots;
    const EngineConf *conf;
    const PstHold *hold;
    gint64 first;
} Search;

/* @error REFUSED: ahead of PostgreSQL. */
static Engine *load_one(const Search *search, const char *path, PstHold **out_at, GError **error)
{
    const PstHold *hold = search->hold;
    gsize len = 0;
    g_autofree guint8 *data = read_file(path, &len, error);
    g_auto(Snapshot) found = {0};
    if (data == NULL ||
        !snapshot_read(data, len, hold->partition, search->snapshots->bus, &found, error))
        return NULL;
    if (is_ahead(found.at, hold)) {
        g_set_error_literal(error, PST_ERROR, PST_ERROR_REFUSED,
                            "it is ahead of PostgreSQL, which lost what it is of; removed");
        return NULL;
    }
    if (!log_reaches(found.at, hold, search->first)) {
        g_set_error_literal(error, PST_ERROR, PST_ERROR_NOT_FOUND,
                            "the bus threw messages away that came after it");
        return NULL;
    }
    Engine *engine =
        engine_load(search->conf, hold->partition, found.image, found.image_len, error);
    if (engine != NULL)
        *out_at = g_steal_pointer(&found.at);
    return engine;
}

Engine *snapshots_load(Snapshots *snapshots, const EngineConf *conf, const PstHold *hold,
                       gint64 first, PstHold **out_at)
{
    g_assert(snapshots->bus != NULL);
    Search search = {snapshots, conf, hold, first};
    remove_parts(snapshots->folder, hold->partition);
    g_autoptr(GPtrArray) names = list(snapshots->folder, hold->partition);
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *path = g_build_filename(snapshots->folder, name, NULL);
        g_autoptr(GError) why = NULL;
        Engine *engine = load_one(&search, path, out_at, &why);
        if (engine != NULL)
            return engine;
        pst_log(PST_LOG_WARN, "snapshots", "not used: %s: %s", path, why->message);
        if (g_error_matches(why, PST_ERROR, PST_ERROR_REFUSED))
            remove_one(snapshots->folder, name);
    }
    return NULL;
}

gint64 snapshots_oldest(const Snapshots *snapshots, guint32 partition)
{
    g_autoptr(GPtrArray) names = list(snapshots->folder, partition);
    return oldest_kept(names);
}

void snapshots_forget(Snapshots *snapshots, guint32 partition)
{
    SnapshotDone done;
    (void)snapshots_collect(snapshots, TRUE, &done);
    g_autoptr(GPtrArray) names = list(snapshots->folder, partition);
    for (guint i = 0; i < names->len; i++)
        remove_one(snapshots->folder, g_ptr_array_index(names, i));
}
