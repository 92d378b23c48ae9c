/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The one door to PostgreSQL. Nothing else includes libpq.
 *
 * A PstPg is one connection and belongs to one thread. A statement is a constant text with $1 …
 * and its parameters; no text is ever pasted into SQL. Results are values in memory.
 *
 *     g_auto(PstPgParams) p = pst_pg_params();
 *     pst_pg_add_int(&p, 42);
 *     g_autoptr(PstPgRows) rows = pst_pg_query(pg, "SELECT … WHERE id = $1", &p, error);
 *
 * Errors, all in PST_ERROR:
 *   USAGE    the connection string cannot be parsed
 *   AWAY     the server cannot be reached, went away, shuts down, recovers from a crash, or refused
 *            for the moment (deadlock, serialisation, lock time-out): try the transaction again
 *   FULL     the server's disk or memory is full
 *   REFUSED  a rule of the schema said no (SQLSTATE class PT), or the role may not do this
 *   DATA     everything else: a constraint, a value out of range, a missing table or function
 * pst_pg_sqlstate() keeps the server's five letters of the last failure.
 *
 * When the connection is lost every call fails with AWAY until pst_pg_reconnect() succeeds; what a
 * COMMIT that failed with AWAY did is unknown: ask the database, do not guess.
 */
#include "postern/addr.h"
#include "postern/error.h"

typedef struct PstPg PstPg;
typedef struct PstPgRows PstPgRows;

/* Connects. @conninfo key=value text or URI (kept as a copy); @application_name shows in
 * pg_stat_activity unless @conninfo names one. Waits at most 10 s unless @conninfo says otherwise.
 * @error USAGE, AWAY. Given (free with pst_pg_close). */
PstPg *pst_pg_open(const char *conninfo, const char *application_name, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* The same for a daemon, which writes: the server may be away, and it starts anyway and reconnects;
 * a server that takes no writes (a standby) counts as away, unless @conninfo names its own
 * target_session_attrs. @error USAGE. */
PstPg *pst_pg_open_lazy(const char *conninfo, const char *application_name, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void pst_pg_close(PstPg *pg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstPg, pst_pg_close)

/* TRUE: the last call left a usable connection. */
gboolean pst_pg_connected(const PstPg *pg);
/* Connects again if the connection is lost, and listens again to what was listened to. TRUE at once
 * if it is not lost. @error AWAY. */
gboolean pst_pg_reconnect(PstPg *pg, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* How long to wait before the next pst_pg_reconnect, ms: grows from 100 to 10,000 with each failure
 * in a row, with jitter; 0 while connected. */
int pst_pg_backoff_ms(const PstPg *pg);

/* SQLSTATE of the last failed statement, e.g. "23505"; "" if there was none. Borrowed until the
 * next call. */
const char *pst_pg_sqlstate(const PstPg *pg);

/* ---- parameters ---- */

#define PST_PG_PARAMS_MAX 48

/* On the caller's stack; cleared with pst_pg_params_clear (g_auto). Adding past the maximum is our
 * bug. Values are copied. Types are given by the statement ($1::cidr …). */
typedef struct {
    int n;
    char *values[PST_PG_PARAMS_MAX]; /* text form; NULL is SQL NULL */
} PstPgParams;

static inline PstPgParams pst_pg_params(void)
{
    return (PstPgParams){.n = 0};
}
void pst_pg_params_clear(PstPgParams *params);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PstPgParams, pst_pg_params_clear)

void pst_pg_add_null(PstPgParams *params);
/* @text NULL is SQL NULL. It must be UTF-8 without NUL (the server refuses the rest: DATA). */
void pst_pg_add_text(PstPgParams *params, const char *text);
void pst_pg_add_int(PstPgParams *params, gint64 value);
void pst_pg_add_real(PstPgParams *params, double value); /* round-trips exactly */
void pst_pg_add_bool(PstPgParams *params, gboolean value);
void pst_pg_add_bytes(PstPgParams *params, const guint8 *data, gsize len); /* bytea */
/* timestamptz with µs from UTC ns; 0 is SQL NULL. */
void pst_pg_add_time(PstPgParams *params, gint64 utc_ns);
/* inet; an absent address is SQL NULL. */
void pst_pg_add_addr(PstPgParams *params, const PstAddr *addr);
/* inet or cidr. */
void pst_pg_add_prefix(PstPgParams *params, const PstPrefix *prefix);

/* An array parameter, built element by element, for statements over unnest($1::…[], …): the way to
 * write many rows in one round trip. */
typedef struct {
    GString *text; /* the array's literal so far */
} PstPgArray;
PstPgArray pst_pg_array(void);
void pst_pg_array_clear(PstPgArray *array);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PstPgArray, pst_pg_array_clear)
void pst_pg_array_null(PstPgArray *array);
void pst_pg_array_text(PstPgArray *array, const char *text); /* NULL is SQL NULL */
void pst_pg_array_int(PstPgArray *array, gint64 value);
void pst_pg_array_real(PstPgArray *array, double value);
void pst_pg_array_bool(PstPgArray *array, gboolean value);
void pst_pg_array_time(PstPgArray *array, gint64 utc_ns); /* 0 is SQL NULL */
void pst_pg_array_addr(PstPgArray *array, const PstAddr *addr);
void pst_pg_array_prefix(PstPgArray *array, const PstPrefix *prefix);
/* Adds the array as the next parameter and empties it. */
void pst_pg_add_array(PstPgParams *params, PstPgArray *array);
/* Rows to write are @n arrays, one a column: makes them, and adds them as the next @n parameters,
 * which takes them. */
void pst_pg_arrays(PstPgArray *columns, gsize n);
void pst_pg_add_arrays_take(PstPgParams *params, PstPgArray *columns, gsize n);

/* ---- statements ---- */

/* Runs one statement. @params may be NULL. Zero rows is a result, not an error. Given (free with
 * pst_pg_rows_free). */
PstPgRows *pst_pg_query(PstPg *pg, const char *sql, const PstPgParams *params, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* The same where only success and the number of rows that the statement changed or returned are
 * wanted (@out_changed may be NULL). */
gboolean pst_pg_run(PstPg *pg, const char *sql, const PstPgParams *params, gint64 *out_changed,
                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Several statements without parameters, separated by semicolons: migrations only. */
gboolean pst_pg_script(PstPg *pg, const char *sql, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One transaction at a time. A commit that the server turned into a rollback is an error. */
gboolean pst_pg_begin(PstPg *pg, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean pst_pg_commit(PstPg *pg, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Never fails: a connection that is lost has rolled back already. Outside a transaction: nothing.
 */
void pst_pg_rollback(PstPg *pg);

/* ---- rows ---- */

void pst_pg_rows_free(PstPgRows *rows);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstPgRows, pst_pg_rows_free)
int pst_pg_count(const PstPgRows *rows);
int pst_pg_columns(const PstPgRows *rows);
/* Borrowed until the rows are freed. */
const char *pst_pg_column_name(const PstPgRows *rows, int column);
/* The number of the column called @name; a name that the statement does not return is our bug. */
int pst_pg_column(const PstPgRows *rows, const char *name);
gboolean pst_pg_is_null(const PstPgRows *rows, int row, int column);
/* Values as the server wrote them; NULL for SQL NULL. Borrowed until the rows are freed. */
const char *pst_pg_text(const PstPgRows *rows, int row, int column);
/* Numbers, booleans; SQL NULL gives 0 and FALSE. */
gint64 pst_pg_int(const PstPgRows *rows, int row, int column);
double pst_pg_real(const PstPgRows *rows, int row, int column);
gboolean pst_pg_bool(const PstPgRows *rows, int row, int column);
/* UTC ns of a timestamptz (sessions run with TimeZone UTC, DateStyle ISO); SQL NULL gives 0,
 * infinity G_MAXINT64, -infinity G_MININT64. */
gint64 pst_pg_time(const PstPgRows *rows, int row, int column);
/* inet or cidr; FALSE for SQL NULL. */
gboolean pst_pg_prefix(const PstPgRows *rows, int row, int column, PstPrefix *out)
    G_GNUC_WARN_UNUSED_RESULT;

/* ---- notifications ---- */

/* Listens to @channel, now and after every reconnect. @error AWAY. */
gboolean pst_pg_listen(PstPg *pg, const char *channel, GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef enum {
    PST_PG_WAIT_NOTIFIED, /* at least one notification came; all are consumed */
    PST_PG_WAIT_TIMEOUT,
    PST_PG_WAIT_WOKEN, /* @wake_fd is readable; it was not read */
    PST_PG_WAIT_LOST   /* the connection broke: pst_pg_reconnect */
} PstPgWait;

/* Waits at most @timeout_ms for a notification or for @wake_fd (−1: none) to become readable. A
 * lost connection returns LOST at once the first time, afterwards waits like a sleep and returns
 * TIMEOUT or WOKEN. */
PstPgWait pst_pg_wait(PstPg *pg, int timeout_ms, int wake_fd);
