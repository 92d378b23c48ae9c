/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/random.h>

#include "log.h"
#include "postern/error.h"

#define FORMAT_VERSION 1
#define APPLICATION_ID 0x50427374 /* "PBst" */
#define KEEP_NS        (7 * 86400 * G_GINT64_CONSTANT(1000000000))

enum { IMAGE_MAX = 4 << 20, IMAGES_MAX = 256 << 20 };

static const char settings[] = "PRAGMA locking_mode = EXCLUSIVE;"
                               "PRAGMA trusted_schema = OFF;"
                               "PRAGMA cell_size_check = ON;"
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA cache_size = -4096;";

/* The lock is ours from here on, whatever the file is. */
static const char lock[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                           "PRAGMA journal_size_limit = 4194304; BEGIN IMMEDIATE; COMMIT;";

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS memory("
    " exporter TEXT NOT NULL, domain INTEGER NOT NULL, image BLOB NOT NULL,"
    " PRIMARY KEY (exporter, domain)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS sequence("
    " exporter TEXT NOT NULL, domain INTEGER NOT NULL, seen_ns INTEGER NOT NULL,"
    " image BLOB NOT NULL, PRIMARY KEY (exporter, domain)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS run(clean INTEGER NOT NULL) STRICT;"
    "INSERT INTO run SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM run);"
    "PRAGMA application_id = " G_STRINGIFY(APPLICATION_ID) ";"
                                                           "PRAGMA user_version = " G_STRINGIFY(
                                                               FORMAT_VERSION) ";"
                                                                               "COMMIT;";

typedef enum { PUT_MEMORY, PUT_SEQUENCE, DROP_MEMORY, DROP_SEQUENCE, N_STATEMENTS } Statement;

static const char *const texts[N_STATEMENTS] = {
    [PUT_MEMORY] = "INSERT INTO memory VALUES (?1, ?2, ?3)"
                   " ON CONFLICT DO UPDATE SET image = excluded.image",
    [PUT_SEQUENCE] = "INSERT INTO sequence VALUES (?1, ?2, ?4, ?3)"
                     " ON CONFLICT DO UPDATE SET seen_ns = excluded.seen_ns,"
                     " image = excluded.image",
    [DROP_MEMORY] = "DELETE FROM memory WHERE exporter = ?1 AND domain = ?2",
    [DROP_SEQUENCE] = "DELETE FROM sequence WHERE exporter = ?1 AND domain = ?2",
};

typedef struct {
    PstAddr addr;
    StateDomain domain;
} Change;

struct StateBatch {
    StateDesk *desk; /* borrowed; NULL: the last of all */
    GArray *changes; /* of Change */
};

struct State {
    char *path;
    sqlite3 *db;
    sqlite3_stmt *statements[N_STATEMENTS];
    GMutex lock;
    GHashTable *index;  /* PstAddr → GArray of StateDomain; under the lock */
    guint64 key[2];     /* of the hash */
    GAsyncQueue *queue; /* of StateBatch */
    GThread *thread;
    gboolean whole; /* the last batch was saved; of the thread */
    PstCell *saves;
    PstCell *failures;
    PstLogLimit log;
};

/* ---- the index ---- */

typedef struct {
    guint64 hash;
    PstAddr addr;
} Key;

static guint key_hash(gconstpointer key)
{
    return (guint)((const Key *)key)->hash;
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
    return pst_addr_equal(&((const Key *)a)->addr, &((const Key *)b)->addr);
}

static Key key_of(const State *state, const PstAddr *addr)
{
    return (Key){.hash = pst_addr_hash_keyed(addr, state->key), .addr = *addr};
}

static void clear_domain(gpointer element)
{
    StateDomain *domain = element;
    g_clear_pointer(&domain->memory, g_bytes_unref);
    g_clear_pointer(&domain->sequences, g_bytes_unref);
}

static void index_add(State *state, const PstAddr *addr, const StateDomain *domain)
{
    Key key = key_of(state, addr);
    GArray *domains = g_hash_table_lookup(state->index, &key);
    if (domains == NULL) {
        domains = g_array_new(FALSE, TRUE, sizeof(StateDomain));
        g_array_set_clear_func(domains, clear_domain);
        g_hash_table_insert(state->index, g_memdup2(&key, sizeof key), domains);
    }
    g_array_append_val(domains, *domain);
}

GArray *state_take(State *state, const PstAddr *addr)
{
    Key key = key_of(state, addr);
    gpointer known = NULL, domains = NULL;
    g_mutex_lock(&state->lock);
    if (g_hash_table_steal_extended(state->index, &key, &known, &domains))
        g_free(known);
    g_mutex_unlock(&state->lock);
    return domains;
}

/* ---- the file ---- */

static gboolean fail(State *state, int status, const char *what, GError **error)
{
    int primary = status & 0xff;
    PstErrorCode code = PST_ERROR_IO;
    const char *remedy = "";
    if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED) {
        code = PST_ERROR_USAGE;
        remedy = "; another collector has it: give each its own state = PATH";
    } else if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
        code = PST_ERROR_CORRUPT;
    }
    g_set_error(error, PST_ERROR, code, "state %s: cannot %s: %s%s", state->path, what,
                state->db != NULL ? sqlite3_errmsg(state->db) : sqlite3_errstr(status), remedy);
    return FALSE;
}

static gboolean execute(State *state, const char *text, const char *what, GError **error)
{
    int status = sqlite3_exec(state->db, text, NULL, NULL, NULL);
    return status == SQLITE_OK || fail(state, status, what, error);
}

static gboolean ask(State *state, const char *text, gint64 *out, GError **error)
{
    sqlite3_stmt *statement = NULL;
    int status = sqlite3_prepare_v2(state->db, text, -1, &statement, NULL);
    if (status == SQLITE_OK)
        status = sqlite3_step(statement);
    gboolean row = status == SQLITE_ROW;
    if (row)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return row || fail(state, status, "read it", error);
}

static gboolean reject(const State *state, PstErrorCode code, const char *why, GError **error)
{
    g_set_error(error, PST_ERROR, code, "state %s: %s", state->path, why);
    return FALSE;
}

/* Is the file ours, of our version, and whole? */
static gboolean check(State *state, GError **error)
{
    gint64 application, version, tables, damaged;
    if (!ask(state, "PRAGMA application_id", &application, error) ||
        !ask(state, "PRAGMA user_version", &version, error) ||
        !ask(state, "SELECT count(*) FROM sqlite_schema", &tables, error))
        return FALSE;
    if (application != APPLICATION_ID && (application != 0 || tables > 0))
        return reject(state, PST_ERROR_USAGE,
                      "is another program's database; name another file as state = PATH", error);
    if (version > FORMAT_VERSION)
        return reject(state, PST_ERROR_CORRUPT, "was written by a newer version", error);
    if (!ask(state, "SELECT quick_check <> 'ok' FROM pragma_quick_check(1)", &damaged, error))
        return FALSE;
    return damaged == 0 || reject(state, PST_ERROR_CORRUPT, "is damaged", error);
}

static void close_file(State *state)
{
    for (guint i = 0; i < N_STATEMENTS; i++)
        g_clear_pointer(&state->statements[i], sqlite3_finalize);
    if (state->db != NULL)
        (void)sqlite3_close(state->db);
    state->db = NULL;
}

static gboolean open_file(State *state, GError **error)
{
    int status =
        sqlite3_open_v2(state->path, &state->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (status != SQLITE_OK)
        return fail(state, status, "open it", error);
    (void)sqlite3_extended_result_codes(state->db, 1);
    if (!execute(state, settings, "open it", error) || !check(state, error) ||
        !execute(state, lock, "lock it", error) || !execute(state, schema, "write it", error))
        return FALSE;
    for (guint i = 0; i < N_STATEMENTS; i++) {
        status = sqlite3_prepare_v3(state->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &state->statements[i], NULL);
        if (status != SQLITE_OK) /* its tables are not ours */
            return reject(state, PST_ERROR_CORRUPT, sqlite3_errmsg(state->db), error);
    }
    return TRUE;
}

static GBytes *column_bytes(sqlite3_stmt *row, int column)
{
    const void *bytes = sqlite3_column_blob(row, column);
    int len = sqlite3_column_bytes(row, column);
    return g_bytes_new(bytes, (gsize)(len > 0 && len <= IMAGE_MAX ? len : 0));
}

static void load_row(State *state, sqlite3_stmt *row, gsize *bytes)
{
    const char *text = (const char *)sqlite3_column_text(row, 0);
    PstAddr addr;
    if (text == NULL || !pst_addr_parse(text, strlen(text), &addr))
        return;
    gint64 id = sqlite3_column_int64(row, 1);
    StateDomain domain = {.domain = (guint32)CLAMP(id, 0, G_MAXUINT32),
                          .seen_ns = sqlite3_column_int64(row, 2),
                          .sequences = column_bytes(row, 3),
                          .memory = column_bytes(row, 4)};
    *bytes += g_bytes_get_size(domain.sequences) + g_bytes_get_size(domain.memory);
    index_add(state, &addr, &domain);
}

static gboolean load(State *state, GError **error)
{
    static const char text[] =
        "SELECT s.exporter, s.domain, s.seen_ns, s.image, m.image FROM sequence s"
        " LEFT JOIN memory m USING (exporter, domain) ORDER BY s.seen_ns DESC LIMIT ?1";
    sqlite3_stmt *rows = NULL;
    int status = sqlite3_prepare_v2(state->db, text, -1, &rows, NULL);
    if (status == SQLITE_OK)
        status = sqlite3_bind_int(rows, 1, STATE_DOMAINS_MAX);
    gsize bytes = 0;
    guint domains = 0;
    while (status == SQLITE_OK || status == SQLITE_ROW) {
        status = sqlite3_step(rows);
        if (status != SQLITE_ROW || bytes > IMAGES_MAX)
            break;
        load_row(state, rows, &bytes);
        domains++;
    }
    sqlite3_finalize(rows);
    gint64 clean = 1;
    if ((status != SQLITE_DONE && status != SQLITE_ROW && !fail(state, status, "read it", error)) ||
        !ask(state, "SELECT clean FROM run", &clean, error))
        return FALSE;
    if (domains > 0)
        pst_log(PST_LOG_INFO, "state", "known from before exporters=%u domains=%u ended=%s",
                g_hash_table_size(state->index), domains, clean ? "cleanly" : "killed");
    return TRUE;
}

/* From now on a process that is killed leaves a file that says so. What nobody heard of for a week
 * goes; the newest row's time is the measure, for captures have other times than we. */
static gboolean begin(State *state, GError **error)
{
    g_autofree char *text = g_strdup_printf(
        "BEGIN IMMEDIATE; UPDATE run SET clean = 0;"
        "DELETE FROM sequence WHERE seen_ns < (SELECT max(seen_ns) FROM sequence) - "
        "%" G_GINT64_FORMAT ";"
        "DELETE FROM memory WHERE NOT EXISTS (SELECT 1 FROM sequence s"
        " WHERE s.exporter = memory.exporter AND s.domain = memory.domain); COMMIT;",
        KEEP_NS);
    return execute(state, text, "write it", error);
}

static gboolean set_up(State *state, GError **error)
{
    return open_file(state, error) && load(state, error) && begin(state, error);
}

/* TRUE: out of the way. Its name tells the operator, who may look at it. */
static gboolean move_aside(const State *state, GError **error)
{
    static const char *const tails[] = {"", "-wal", "-shm"};
    for (guint i = 0; i < G_N_ELEMENTS(tails); i++) {
        g_autofree char *from = g_strconcat(state->path, tails[i], NULL);
        g_autofree char *to = g_strconcat(state->path, ".unusable", tails[i], NULL);
        if (g_rename(from, to) != 0 && errno != ENOENT) {
            g_set_error(error, PST_ERROR, PST_ERROR_IO, "state %s: cannot move it away: %s", from,
                        g_strerror(errno));
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean set_up_anyway(State *state, GError **error)
{
    g_autoptr(GError) problem = NULL;
    if (set_up(state, &problem))
        return TRUE;
    close_file(state);
    g_hash_table_remove_all(state->index);
    if (!g_error_matches(problem, PST_ERROR, PST_ERROR_CORRUPT)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return FALSE;
    }
    if (!move_aside(state, error))
        return FALSE;
    pst_log(PST_LOG_ERR, NULL, "%s; it is kept as %s.unusable, and a new one begun",
            problem->message, state->path);
    if (set_up(state, error))
        return TRUE;
    close_file(state);
    return FALSE;
}

/* ---- the thread ---- */

static int run_statement(State *state, Statement which, const char *addr, const Change *change,
                         GBytes *image)
{
    sqlite3_stmt *statement = state->statements[which];
    int status = sqlite3_bind_text(statement, 1, addr, -1, SQLITE_STATIC);
    if (status == SQLITE_OK)
        status = sqlite3_bind_int64(statement, 2, change->domain.domain);
    if (status == SQLITE_OK && image != NULL) {
        gsize len;
        const void *bytes = g_bytes_get_data(image, &len);
        status = sqlite3_bind_blob64(statement, 3, len > 0 ? bytes : "", len, SQLITE_STATIC);
    }
    if (status == SQLITE_OK && which == PUT_SEQUENCE)
        status = sqlite3_bind_int64(statement, 4, change->domain.seen_ns);
    if (status == SQLITE_OK)
        status = sqlite3_step(statement);
    (void)sqlite3_reset(statement);
    return status == SQLITE_DONE ? SQLITE_OK : status;
}

static int save_change(State *state, const Change *change)
{
    char addr[PST_ADDR_TEXT_MAX];
    (void)pst_addr_format(&change->addr, addr);
    const StateDomain *domain = &change->domain;
    int status = SQLITE_OK;
    if (domain->sequences == NULL) {
        status = run_statement(state, DROP_SEQUENCE, addr, change, NULL);
        return status == SQLITE_OK ? run_statement(state, DROP_MEMORY, addr, change, NULL) : status;
    }
    if (domain->memory != NULL)
        status = run_statement(state, PUT_MEMORY, addr, change, domain->memory);
    return status == SQLITE_OK ? run_statement(state, PUT_SEQUENCE, addr, change, domain->sequences)
                               : status;
}

static gboolean save(State *state, const StateBatch *batch, GError **error)
{
    if (!execute(state, "BEGIN IMMEDIATE", "write it", error))
        return FALSE;
    int status = SQLITE_OK;
    for (guint i = 0; i < batch->changes->len && status == SQLITE_OK; i++)
        status = save_change(state, &g_array_index(batch->changes, Change, i));
    if (status == SQLITE_OK && batch->desk == NULL && state->whole)
        status = sqlite3_exec(state->db, "UPDATE run SET clean = 1", NULL, NULL, NULL);
    if (status == SQLITE_OK && execute(state, "COMMIT", "write it", error))
        return TRUE;
    if (status != SQLITE_OK)
        (void)fail(state, status, "write it", error);
    (void)sqlite3_exec(state->db, "ROLLBACK", NULL, NULL, NULL);
    return FALSE;
}

static gpointer run(gpointer data)
{
    State *state = data;
    for (;;) {
        g_autoptr(StateBatch) batch = g_async_queue_pop(state->queue);
        StateDesk *desk = batch->desk;
        g_autoptr(GError) error = NULL;
        state->whole = save(state, batch, &error);
        if (state->whole) {
            pst_cell_add(state->saves, 1);
        } else {
            pst_cell_add(state->failures, 1);
            pst_log_limited(&state->log, PST_LOG_WARN, NULL,
                            "%s; exporters are known only as long as this process lives",
                            error->message);
            if (desk != NULL)
                g_atomic_int_inc(&desk->failed);
        }
        if (desk == NULL)
            return NULL;
        g_atomic_int_set(&desk->busy, 0);
    }
}

/* ---- what others call ---- */

static void free_domains(gpointer domains)
{
    g_array_unref(domains);
}

static void state_free(State *state)
{
    close_file(state);
    g_async_queue_unref(state->queue);
    g_hash_table_unref(state->index);
    g_mutex_clear(&state->lock);
    g_free(state->path);
    g_free(state);
}

State *state_open(const char *path, PstStats *stats, GError **error)
{
    State *state = g_new0(State, 1);
    state->path = g_strdup(path);
    g_mutex_init(&state->lock);
    if (getrandom(state->key, sizeof state->key, 0) != (gssize)sizeof state->key)
        state->key[0] = (guint64)g_get_monotonic_time();
    state->index = g_hash_table_new_full(key_hash, key_equal, g_free, free_domains);
    state->queue = g_async_queue_new();
    state->saves = pst_stats_cell(stats, PST_COUNTER, "postern_collector_state_saves_total", NULL,
                                  "Times that the state file was written.");
    state->failures = pst_stats_cell(stats, PST_COUNTER, "postern_collector_state_failures_total",
                                     NULL, "Times that the state file could not be written.");
    if (!set_up_anyway(state, error)) {
        state_free(state);
        return NULL;
    }
    state->whole = TRUE;
    state->thread = g_thread_new("state", run, state);
    return state;
}

void state_close(State *state)
{
    if (state == NULL)
        return;
    g_async_queue_push(state->queue, state_batch_new(NULL));
    g_thread_join(state->thread);
    state_free(state);
}

static void clear_change(gpointer element)
{
    clear_domain(&((Change *)element)->domain);
}

StateBatch *state_batch_new(StateDesk *desk)
{
    StateBatch *batch = g_new0(StateBatch, 1);
    batch->desk = desk;
    batch->changes = g_array_new(FALSE, TRUE, sizeof(Change));
    g_array_set_clear_func(batch->changes, clear_change);
    return batch;
}

void state_batch_free(StateBatch *batch)
{
    if (batch == NULL)
        return;
    g_array_unref(batch->changes);
    g_free(batch);
}

void state_batch_add(StateBatch *batch, const PstAddr *addr, const StateDomain *domain)
{
    Change change = {.addr = *addr, .domain = *domain};
    g_array_append_val(batch->changes, change);
}

guint state_batch_len(const StateBatch *batch)
{
    return batch->changes->len;
}

void state_save_take(State *state, StateBatch *batch)
{
    if (batch->desk != NULL)
        g_atomic_int_set(&batch->desk->busy, 1);
    g_async_queue_push(state->queue, batch);
}
