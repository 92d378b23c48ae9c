/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_embedded_db.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

#define FORMAT_VERSION      1
#define APPLICATION_ID      0x50426c67 /* "PBlg": file(1) and we know the file by it */
#define OFFSET_MASK         "((1 << 40) - 1)"
#define CHECKPOINT_SOFT     (32 << 20) /* bytes of WAL: copy to the file what can be copied */
#define CHECKPOINT_HARD     (96 << 20) /* … wait for readers and start the WAL anew … */
#define CHECKPOINT_WAIT_MS  200        /* … but a person's open transaction must not stop us, */
#define CHECKPOINT_PAUSE_MS 5000       /* … nor make us wait after every commit */

/* What makes the file a bus. */
#define SET(name, value) "PRAGMA " #name " = " G_STRINGIFY(value) ";"
#define MARK             SET(application_id, APPLICATION_ID) SET(user_version, FORMAT_VERSION)

/* In this order: page size and auto_vacuum hold only before there is a table. The file is ours
 * once application_id is there; a crash before leaves an empty file, made again by the next one. */
static const char schema[] =
    "PRAGMA page_size = 16384;"
    "PRAGMA auto_vacuum = INCREMENTAL;"
    "PRAGMA journal_mode = WAL;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS topic("
    " name TEXT PRIMARY KEY, first_slot INTEGER NOT NULL, partitions INTEGER NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS slot("
    " slot INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS message("
    " id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, producer TEXT NOT NULL,"
    " epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, data BLOB NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS reader("
    " name TEXT NOT NULL, slot INTEGER NOT NULL, position INTEGER NOT NULL,"
    " PRIMARY KEY (name, slot)) STRICT, WITHOUT ROWID;"
    "CREATE VIEW IF NOT EXISTS messages AS"
    " SELECT t.name AS topic, (m.id >> 40) - t.first_slot AS partition,"
    "  m.id & " OFFSET_MASK " AS \"offset\","
    "  strftime('%Y-%m-%dT%H:%M:%fZ', m.time_ms / 1000.0, 'unixepoch') AS time,"
    "  m.producer, m.epoch, m.sequence, length(m.data) AS bytes, m.data"
    " FROM message m JOIN topic t"
    "  ON m.id >> 40 BETWEEN t.first_slot AND t.first_slot + t.partitions - 1;" MARK "COMMIT;";

/* For each connection. FULL: a commit is on the disk. A damaged file must not run SQL of its own.
 */
static const char settings[] = "PRAGMA synchronous = FULL;"
                               "PRAGMA journal_size_limit = 33554432;"
                               "PRAGMA cache_size = -16384;"
                               "PRAGMA trusted_schema = OFF;"
                               "PRAGMA cell_size_check = ON;"
                               "PRAGMA temp_store = MEMORY;";

/* Does a reader with a noted position still want message @id? */
#define WANTED(id)                                                                                 \
    "EXISTS (SELECT 1 FROM reader r WHERE r.slot = (" id " >> 40)"                                 \
    " AND r.position <= (" id " & " OFFSET_MASK "))"

static const char *const texts[N_STATEMENTS] = {
    [BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [BEGIN_READ] = "BEGIN",
    [COMMIT] = "COMMIT",
    [DATA_VERSION] = "PRAGMA data_version",
    [FIND_TOPIC] = "SELECT first_slot, partitions FROM topic WHERE name = ?1",
    [MAKE_TOPIC] = "INSERT INTO topic SELECT ?1, coalesce(max(slot) + 1, 0), ?2 FROM slot",
    [MAKE_SLOTS] = "WITH RECURSIVE n(slot) AS (SELECT ?1 UNION ALL"
                   " SELECT slot + 1 FROM n WHERE slot + 1 < ?1 + ?2)"
                   " INSERT INTO slot SELECT slot, 0 FROM n",
    [GET_END] = "SELECT next_offset FROM slot WHERE slot = ?1",
    [SET_END] = "UPDATE slot SET next_offset = ?2 WHERE slot = ?1",
    [GET_FIRST] = "SELECT min(id) & " OFFSET_MASK " FROM message"
                  " WHERE id >= ?1 << 40 AND id < (?1 + 1) << 40",
    [APPEND] = "INSERT INTO message(id, time_ms, producer, epoch, sequence, data)"
               " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [READ] = "SELECT id & " OFFSET_MASK ", time_ms, producer, epoch, sequence, data FROM message"
             " WHERE id >= ?1 << 40 | ?2 AND id < (?1 + 1) << 40 ORDER BY id LIMIT ?3",
    [NOTE_READER] = "INSERT INTO reader VALUES (?1, ?2, ?3)"
                    " ON CONFLICT (name, slot) DO UPDATE SET position = excluded.position",
    [FIND_OLDEST] = "SELECT s.slot, m.time_ms FROM slot s JOIN message m ON m.id ="
                    " (SELECT min(id) FROM message"
                    "  WHERE id >= s.slot << 40 AND id < (s.slot + 1) << 40)"
                    " WHERE NOT " WANTED("m.id") " ORDER BY m.time_ms LIMIT 1",
    [DELETE_OLDEST] = "DELETE FROM message WHERE id IN (SELECT o.id FROM"
                      " (SELECT id, time_ms FROM message WHERE id >= ?1 << 40"
                      "  AND id < (?1 + 1) << 40 ORDER BY id LIMIT ?3) o"
                      " WHERE o.time_ms < ?2 AND NOT " WANTED("o.id") ")",
    [DELETE_ONE] = "DELETE FROM message WHERE id = ?1 << 40 | ?2",
};

struct BusFile {
    sqlite3 *db;
    char *path;
    dev_t device; /* where the path led when it was opened */
    ino_t inode;
    gint64 page_bytes;
    int patience_ms;
    gint64 patience_ends_ns; /* of the statement that waits now */
    const gint *stop;        /* NULL, or: do not wait any more; borrowed */
    gint64 next_hard_ns;     /* when a hard checkpoint may be tried again */
    sqlite3_stmt *statements[N_STATEMENTS];
};

/* --- errors ------------------------------------------------------------------------------- */

static const struct {
    int status; /* SQLite's primary code */
    PstErrorCode code;
    const char *remedy;
} kinds[] = {
    {SQLITE_BUSY, PST_ERROR_AWAY, "another process holds its lock"},
    {SQLITE_LOCKED, PST_ERROR_AWAY, "another process holds its lock"},
    {SQLITE_FULL, PST_ERROR_IO, "make room on its disk"},
    {SQLITE_CORRUPT, PST_ERROR_CORRUPT,
     "the file is damaged: stop all programs, move it away; \"sqlite3 FILE .recover\" may save "
     "messages"},
    {SQLITE_NOTADB, PST_ERROR_CORRUPT, "this is no file of the embedded bus: name another one"},
    {SQLITE_READONLY, PST_ERROR_IO, "this user may not write it: see the option for a group"},
};

gboolean bus_db_fail(BusFile *file, int status, const char *what, GError **error)
{
    PstErrorCode code = PST_ERROR_IO;
    const char *remedy = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (kinds[i].status != (status & 0xff))
            continue;
        code = kinds[i].code;
        remedy = kinds[i].remedy;
    }
    int reason = file->db != NULL ? sqlite3_system_errno(file->db) : 0;
    gboolean by_system = reason != 0 && code == PST_ERROR_IO;
    g_set_error(error, PST_ERROR, code, "embedded bus %s: cannot %s: %s%s%s%s%s", file->path, what,
                sqlite3_errstr(status), by_system ? ": " : "", by_system ? g_strerror(reason) : "",
                remedy != NULL ? "; " : "", remedy != NULL ? remedy : "");
    return FALSE;
}

gboolean bus_db_fail_format(BusFile *file, const char *what, GError **error)
{
    g_set_error(error, PST_ERROR, PST_ERROR_CORRUPT, "embedded bus %s: %s: %s", file->path, what,
                kinds[3].remedy);
    return FALSE;
}

/* --- statements ---------------------------------------------------------------------------- */

/* SQLite's own busy handler sleeps up to 100 ms and starves beside a writer that never rests.
 * This one looks often, at odd times. */
static int wait_for_lock(void *user, int tries)
{
    BusFile *file = user;
    gint64 now = pst_mono_now().ns;
    if (tries == 0)
        file->patience_ends_ns = now + file->patience_ms * PST_NS_PER_MS;
    if (now >= file->patience_ends_ns || (file->stop != NULL && g_atomic_int_get(file->stop) != 0))
        return 0;
    g_usleep((gulong)(500 + now / 1000 % 2500)); /* 0.5 to 3 ms, by the clock's last digits */
    return 1;
}

sqlite3_stmt *bus_db_prepare(BusFile *file, BusStatement which, GError **error)
{
    if (file->statements[which] == NULL) {
        int status = sqlite3_prepare_v3(file->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                                        &file->statements[which], NULL);
        if (status != SQLITE_OK) {
            bus_db_fail(file, status, "prepare a statement", error);
            return NULL;
        }
    }
    return file->statements[which];
}

sqlite3_stmt *bus_db_prepare_with(BusFile *file, BusStatement which, gsize n, const gint64 *values,
                                  GError **error)
{
    sqlite3_stmt *statement = bus_db_prepare(file, which, error);
    for (gsize i = 0; i < n && statement != NULL; i++)
        g_assert(sqlite3_bind_int64(statement, (int)i + 1, values[i]) == SQLITE_OK);
    return statement;
}

gboolean bus_db_step(BusFile *file, sqlite3_stmt *statement, const char *what, gboolean *out_row,
                     GError **error)
{
    if (statement == NULL)
        return FALSE;
    int status = sqlite3_step(statement);
    if (out_row != NULL)
        *out_row = status == SQLITE_ROW;
    if (status == SQLITE_ROW)
        return TRUE;
    if (status != SQLITE_DONE)
        bus_db_fail(file, status, what, error);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status == SQLITE_DONE;
}

gboolean bus_db_run(BusFile *file, sqlite3_stmt *statement, const char *what, GError **error)
{
    gboolean row;
    if (!bus_db_step(file, statement, what, &row, error))
        return FALSE;
    if (!row)
        return TRUE;
    sqlite3_reset(statement);
    return bus_db_fail_format(file, "a statement gave a row that cannot be", error);
}

gboolean bus_db_read_ints(BusFile *file, sqlite3_stmt *statement, const char *what, gsize n,
                          gint64 *out, gboolean *out_found, GError **error)
{
    if (!bus_db_step(file, statement, what, out_found, error))
        return FALSE;
    if (!*out_found)
        return TRUE;
    for (gsize i = 0; i < n; i++)
        out[i] = sqlite3_column_type(statement, (int)i) == SQLITE_NULL
                     ? -1
                     : sqlite3_column_int64(statement, (int)i);
    sqlite3_reset(statement);
    return TRUE;
}

gboolean bus_db_ask_int(BusFile *file, const char *text, gint64 *out, GError **error)
{
    sqlite3_stmt *statement = NULL;
    int status = sqlite3_prepare_v2(file->db, text, -1, &statement, NULL);
    if (status == SQLITE_OK)
        status = sqlite3_step(statement);
    if (status == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status == SQLITE_ROW || bus_db_fail(file, status, text, error);
}

/* --- opening ------------------------------------------------------------------------------- */

/* Copies the WAL into the file in large steps. Readers hold their state for at most 64 rows, so
 * the soft step nearly always does. A step that fails is tried again after a later commit. */
static int checkpoint(void *user, sqlite3 *db, const char *name, int pages)
{
    BusFile *file = user;
    gint64 bytes = pages * file->page_bytes;
    gint64 now = pst_mono_now().ns;
    if (bytes >= CHECKPOINT_HARD && now >= file->next_hard_ns) {
        int patience_ms = file->patience_ms;
        file->patience_ms = MIN(patience_ms, CHECKPOINT_WAIT_MS);
        sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        file->patience_ms = patience_ms;
        file->next_hard_ns = now + CHECKPOINT_PAUSE_MS * PST_NS_PER_MS;
    } else if (bytes >= CHECKPOINT_SOFT) {
        sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    return SQLITE_OK;
}

gboolean bus_db_execute(BusFile *file, const char *text, const char *what, GError **error)
{
    int status = sqlite3_exec(file->db, text, NULL, NULL, NULL);
    return status == SQLITE_OK || bus_db_fail(file, status, what, error);
}

/* Is it a bus? *out_empty: it is nothing yet. */
static gboolean check_identity(BusFile *file, gboolean *out_empty, GError **error)
{
    gint64 id = 0, version = 0, objects = 0;
    if (!bus_db_ask_int(file, "PRAGMA application_id", &id, error) ||
        !bus_db_ask_int(file, "PRAGMA user_version", &version, error) ||
        !bus_db_ask_int(file, "SELECT count(*) FROM sqlite_schema", &objects, error))
        return FALSE;
    *out_empty = objects == 0 && id == 0;
    if (*out_empty)
        return TRUE;
    if (id != APPLICATION_ID) {
        g_set_error(error, PST_ERROR, PST_ERROR_CORRUPT,
                    "embedded bus %s: this is a SQLite database of something else: name another "
                    "file",
                    file->path);
        return FALSE;
    }
    if (version == FORMAT_VERSION)
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                "embedded bus %s: format %d, but this program knows format %d", file->path,
                (int)version, FORMAT_VERSION);
    return FALSE;
}

/* Makes an empty file a bus, and refuses what is none. */
static gboolean make_or_check_bus(BusFile *file, GError **error)
{
    gboolean empty;
    gboolean ok = check_identity(file, &empty, error) &&
                  (!empty || bus_db_execute(file, schema, "make the file", error));
    if (!ok && !sqlite3_get_autocommit(file->db))
        sqlite3_exec(file->db, "ROLLBACK", NULL, NULL, NULL);
    return ok;
}

/* Gives one of the three files to the group. Others than its owner find it done. */
static gboolean share_one(BusFile *file, const char *suffix, const struct group *group,
                          GError **error)
{
    g_autofree char *path = g_strconcat(file->path, suffix, NULL);
    struct stat now;
    if (stat(path, &now) != 0)
        return TRUE;
    gboolean shared = now.st_gid == group->gr_gid && (now.st_mode & 0660) == 0660;
    if (shared || (chown(path, (uid_t)-1, group->gr_gid) == 0 && chmod(path, 0660) == 0))
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                "embedded bus: cannot give %s to the group %s: %s; make its owner a member of the "
                "group",
                path, group->gr_name, g_strerror(errno));
    return FALSE;
}

static gboolean share_with_group(BusFile *file, const char *group_name, GError **error)
{
    const struct group *group = getgrnam(group_name);
    if (group == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "embedded bus %s: there is no group %s",
                    file->path, group_name);
        return FALSE;
    }
    return share_one(file, "", group, error) && share_one(file, "-wal", group, error) &&
           share_one(file, "-shm", group, error);
}

/* In a folder that belongs to its group (setgid, and the group may write) several users share the
 * bus: whoever comes first begins a file that all of them may write. SQLite gives -wal and -shm the
 * same mode. What cannot be begun here fails again, with its reason, when it is opened. */
static void begin_in_shared_folder(const char *path, int folder)
{
    struct stat place;
    if (fstat(folder, &place) != 0 || (place.st_mode & 02020) != 02020)
        return;
    int begun = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
    if (begun < 0)
        return;
    (void)fchmod(begun, 0660); /* whatever the umask is */
    close(begun);
}

static gboolean open_connection(BusFile *file, GError **error)
{
    int status = sqlite3_open_v2(file->path, &file->db,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                     SQLITE_OPEN_EXRESCODE,
                                 NULL);
    if (status != SQLITE_OK) {
        int reason = file->db != NULL ? sqlite3_system_errno(file->db) : 0;
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "embedded bus %s: cannot open it: %s",
                    file->path, reason != 0 ? g_strerror(reason) : sqlite3_errstr(status));
        return FALSE;
    }
    sqlite3_busy_handler(file->db, wait_for_lock, file);
    sqlite3_db_config(file->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_limit(file->db, SQLITE_LIMIT_LENGTH, 4 * PST_BUS_MESSAGE_MAX);
    sqlite3_wal_hook(file->db, checkpoint, file);
    /* The WAL and its index outlive the last process (emptied): who may write a file need not be
     * allowed to make one in that folder, and one made anew would lose the group. */
    int keep = 1;
    sqlite3_file_control(file->db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
    return TRUE;
}

/* Several processes may come at once: one must not look while another is half done, and switching
 * to WAL does not wait for locks. So the folder itself is the lock, from the file's beginning until
 * it is known to be a bus. */
static gboolean open_bus(BusFile *file, GError **error)
{
    g_autofree char *name = g_path_get_dirname(file->path);
    int folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        flock(folder, LOCK_EX);
        begin_in_shared_folder(file->path, folder);
    }
    gboolean ok = open_connection(file, error) && make_or_check_bus(file, error);
    if (folder >= 0)
        close(folder);
    return ok;
}

static gboolean remember_place(BusFile *file, GError **error)
{
    struct stat place;
    if (stat(file->path, &place) != 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "embedded bus %s: %s", file->path,
                    g_strerror(errno));
        return FALSE;
    }
    file->device = place.st_dev;
    file->inode = place.st_ino;
    return TRUE;
}

BusFile *bus_file_open(const char *path, const char *group_name, int patience_ms, GError **error)
{
    g_autoptr(BusFile) file = g_new0(BusFile, 1);
    file->path = g_strdup(path);
    file->patience_ms = patience_ms;
    if (!open_bus(file, error) || !bus_db_execute(file, settings, "set it up", error) ||
        !bus_db_ask_int(file, "PRAGMA page_size", &file->page_bytes, error) ||
        !remember_place(file, error) ||
        (group_name != NULL && !share_with_group(file, group_name, error)))
        return NULL;
    return g_steal_pointer(&file);
}

void bus_file_close(BusFile *file)
{
    if (file == NULL)
        return;
    for (gsize i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(file->statements[i]);
    sqlite3_close(file->db);
    g_free(file->path);
    g_free(file);
}

const char *bus_file_path(const BusFile *file)
{
    return file->path;
}

void bus_file_set_patience(BusFile *file, int patience_ms)
{
    file->patience_ms = patience_ms;
}

void bus_file_set_stop(BusFile *file, const gint *stop)
{
    file->stop = stop;
}

gboolean bus_file_check_place(BusFile *file, GError **error)
{
    struct stat place;
    if (stat(file->path, &place) == 0 && place.st_dev == file->device &&
        place.st_ino == file->inode)
        return TRUE;
    g_set_error(error, PST_ERROR, PST_ERROR_IO,
                "embedded bus %s: the file was removed or replaced while it was in use: stop all "
                "programs of this bus and start them again",
                file->path);
    return FALSE;
}

char *bus_file_identity(const BusFile *file, GError **error)
{
    struct statx now;
    if (statx(AT_FDCWD, file->path, 0, STATX_INO | STATX_BTIME, &now) != 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "embedded bus %s: %s", file->path,
                    g_strerror(errno));
        return NULL;
    }
    gboolean told = (now.stx_mask & STATX_BTIME) != 0; /* not by every file system */
    return g_strdup_printf("embedded %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT ".%09u",
                           (guint64)now.stx_ino, told ? (gint64)now.stx_btime.tv_sec : 0,
                           told ? now.stx_btime.tv_nsec : 0);
}

/* --- transactions -------------------------------------------------------------------------- */

gboolean bus_file_begin(BusFile *file, gboolean to_write, GError **error)
{
    BusStatement which = to_write ? BEGIN_WRITE : BEGIN_READ;
    return bus_db_run(file, bus_db_prepare(file, which, error), "begin a transaction", error);
}

gboolean bus_file_commit(BusFile *file, GError **error)
{
    return bus_db_run(file, bus_db_prepare(file, COMMIT, error), "commit", error);
}

void bus_file_rollback(BusFile *file)
{
    /* Some errors have rolled back already; then there is nothing to do. */
    if (!sqlite3_get_autocommit(file->db))
        sqlite3_exec(file->db, "ROLLBACK", NULL, NULL, NULL);
}

gboolean bus_file_version(BusFile *file, gint64 *out_version, GError **error)
{
    gboolean found;
    return bus_db_read_ints(file, bus_db_prepare(file, DATA_VERSION, error), "ask for news", 1,
                            out_version, &found, error);
}

gint64 bus_db_page_bytes(const BusFile *file)
{
    return file->page_bytes;
}

gsize bus_db_changes(const BusFile *file)
{
    return (gsize)sqlite3_changes(file->db);
}
