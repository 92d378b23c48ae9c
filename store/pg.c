/* SPDX-License-Identifier: Apache-2.0 */
#include "pg.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000

struct PstPg {
    PGconn *conn; /* never NULL after open */
    gboolean lost;
    gboolean lost_told; /* pst_pg_wait has returned LOST for this loss */
    guint failures;     /* connection attempts failed in a row */
    char sqlstate[6];
    GPtrArray *channels; /* char *, listened to again after a reconnect */
};

struct PstPgRows {
    PGresult *result;
};

/* ---- errors ---- */

/* SQLSTATE prefixes (PostgreSQL 15 manual, appendix A) and what they mean to us; the longest that
 * matches stands first. */
static const struct {
    const char *prefix;
    PstErrorCode code;
} classes[] = {
    {"PT", PST_ERROR_REFUSED},    /* raised by the schema's own rules */
    {"42501", PST_ERROR_REFUSED}, /* insufficient privilege */
    {"08", PST_ERROR_AWAY},       /* connection exceptions */
    {"57P", PST_ERROR_AWAY},      /* shutdown, crash, cannot connect now */
    {"57014", PST_ERROR_AWAY},    /* cancelled by a time-out or a person */
    {"40", PST_ERROR_AWAY},       /* serialisation failure, deadlock */
    {"55P03", PST_ERROR_AWAY},    /* lock not available */
    {"53300", PST_ERROR_AWAY},    /* too many connections */
    {"25006", PST_ERROR_AWAY},    /* read only: a standby that is being promoted */
    {"53", PST_ERROR_FULL},       /* disk full, out of memory */
    {"58030", PST_ERROR_FULL},    /* I/O error */
};

/* A partition was made while the statement waited to write into another one: the same statement
 * finds it. A check of ours that failed has a name. */
static gboolean is_moved_partition(const char *sqlstate, const PGresult *result)
{
    return strcmp(sqlstate, "23514") == 0 &&
           PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME) == NULL;
}

static PstErrorCode code_of(const char *sqlstate)
{
    for (gsize i = 0; i < G_N_ELEMENTS(classes); i++)
        if (g_str_has_prefix(sqlstate, classes[i].prefix))
            return classes[i].code;
    return PST_ERROR_DATA;
}

/* libpq's texts end in a newline and may have several lines. */
static char *one_line(const char *text)
{
    char *line = g_strdup(text != NULL ? text : "");
    g_strchomp(line);
    g_strdelimit(line, "\n\t", ' ');
    return line;
}

static void mark_lost(PstPg *pg)
{
    if (!pg->lost)
        pg->lost_told = FALSE;
    pg->lost = TRUE;
}

static void fail_away(PstPg *pg, GError **error)
{
    mark_lost(pg);
    g_autofree char *why = one_line(PQerrorMessage(pg->conn));
    g_set_error(error, PST_ERROR, PST_ERROR_AWAY, "database: %s",
                why[0] != '\0' ? why : "connection lost");
}

/* "line N: " for an error whose place in the text of several statements the server told. */
static char *place_in(const char *sql, const PGresult *result)
{
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    gint64 at = position != NULL ? g_ascii_strtoll(position, NULL, 10) : 0;
    if (at < 1 || at > g_utf8_strlen(sql, -1))
        return g_strdup("");
    int line = 1;
    const char *end = g_utf8_offset_to_pointer(sql, at - 1);
    for (const char *c = sql; c < end; c++)
        line += *c == '\n';
    return line > 1 ? g_strdup_printf("line %d: ", line) : g_strdup("");
}

static void fail_result(PstPg *pg, const char *sql, const PGresult *result, GError **error)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    g_strlcpy(pg->sqlstate, state != NULL ? state : "", sizeof pg->sqlstate);
    if (PQstatus(pg->conn) != CONNECTION_OK)
        mark_lost(pg);
    if (state == NULL) {
        fail_away(pg, error);
        return;
    }
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    g_autofree char *line = one_line(text);
    g_autofree char *place = place_in(sql, result);
    gboolean again = pg->lost || is_moved_partition(state, result);
    g_set_error(error, PST_ERROR, again ? PST_ERROR_AWAY : code_of(state), "%s%s%s%s%s%s", place,
                line, detail != NULL ? ": " : "", detail != NULL ? detail : "",
                hint != NULL ? "; " : "", hint != NULL ? hint : "");
}

const char *pst_pg_sqlstate(const PstPg *pg)
{
    return pg->sqlstate;
}

/* ---- connection ---- */

/* What our statements have to say they say by rows and errors; notices ("already exists, skipping")
 * belong to nobody. */
static void ignore_notice(void *user, const PGresult *result)
{
}

static gboolean check_conninfo(const char *conninfo, GError **error)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &why);
    if (options == NULL) {
        g_autofree char *line = one_line(why);
        PQfreemem(why);
        /* Without the string itself: it may hold a password. */
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "the database's connection string cannot be read: %s; write it like "
                    "\"host=/run/postgresql dbname=postern user=postern_desk\"",
                    line);
        return FALSE;
    }
    PQconninfoFree(options);
    return TRUE;
}

/* Keys before dbname are our defaults; what the expanded connection string says wins, what stands
 * behind it is fixed. */
static PGconn *connect_to(const char *conninfo, const char *application_name,
                          const char *session_attrs)
{
    const char *const keys[] = {"connect_timeout",
                                "tcp_user_timeout",
                                "target_session_attrs",
                                "fallback_application_name",
                                "dbname",
                                "client_encoding",
                                "options",
                                NULL};
    const char *const values[] = {"10",
                                  "30000",
                                  session_attrs,
                                  application_name,
                                  conninfo,
                                  "UTF8",
                                  "-c timezone=UTC -c datestyle=ISO -c extra_float_digits=3",
                                  NULL};
    PGconn *conn = PQconnectdbParams(keys, values, 1);
    if (conn == NULL)
        g_error("libpq: out of memory");
    PQsetNoticeReceiver(conn, ignore_notice, NULL);
    return conn;
}

static PstPg *open_as(const char *conninfo, const char *application_name, const char *session_attrs,
                      GError **error)
{
    if (!check_conninfo(conninfo, error))
        return NULL;
    PstPg *pg = g_new0(PstPg, 1);
    pg->channels = g_ptr_array_new_with_free_func(g_free);
    pg->conn = connect_to(conninfo, application_name, session_attrs);
    if (PQstatus(pg->conn) != CONNECTION_OK) {
        mark_lost(pg);
        pg->failures = 1;
    }
    return pg;
}

/* A standby that is not promoted yet is one that is away: of several hosts the one that takes
 * writes is found, and found again after a failover. */
PstPg *pst_pg_open_lazy(const char *conninfo, const char *application_name, GError **error)
{
    return open_as(conninfo, application_name, "read-write", error);
}

PstPg *pst_pg_open(const char *conninfo, const char *application_name, GError **error)
{
    g_autoptr(PstPg) pg = open_as(conninfo, application_name, "any", error);
    if (pg == NULL)
        return NULL;
    if (pg->lost) {
        fail_away(pg, error);
        return NULL;
    }
    return g_steal_pointer(&pg);
}

void pst_pg_close(PstPg *pg)
{
    if (pg == NULL)
        return;
    PQfinish(pg->conn);
    g_ptr_array_unref(pg->channels);
    g_free(pg);
}

gboolean pst_pg_connected(const PstPg *pg)
{
    return !pg->lost;
}

int pst_pg_backoff_ms(const PstPg *pg)
{
    if (!pg->lost)
        return 0;
    guint shift = MIN(pg->failures, 7);
    int base = MIN(BACKOFF_MIN_MS << shift, BACKOFF_MAX_MS);
    return base / 2 + g_random_int_range(0, base / 2 + 1);
}

static gboolean listen_now(PstPg *pg, const char *channel, GError **error)
{
    /* LISTEN takes a name, not a parameter: libpq quotes it. */
    char *name = PQescapeIdentifier(pg->conn, channel, strlen(channel));
    g_assert(name != NULL); /* channels are constants of ours */
    g_autofree char *sql = g_strconcat("LISTEN ", name, NULL);
    PQfreemem(name);
    return pst_pg_run(pg, sql, NULL, NULL, error);
}

gboolean pst_pg_reconnect(PstPg *pg, GError **error)
{
    if (!pg->lost)
        return TRUE;
    PQreset(pg->conn);
    if (PQstatus(pg->conn) != CONNECTION_OK) {
        pg->failures++;
        fail_away(pg, error);
        return FALSE;
    }
    pg->lost = FALSE;
    for (guint i = 0; i < pg->channels->len; i++)
        if (!listen_now(pg, g_ptr_array_index(pg->channels, i), error))
            return FALSE;
    pg->failures = 0;
    return TRUE;
}

/* ---- statements ---- */

static PGresult *refuse_when_lost(PstPg *pg, GError **error)
{
    g_set_error(error, PST_ERROR, PST_ERROR_AWAY, "database: not connected");
    pg->sqlstate[0] = '\0';
    return NULL;
}

/* Takes @result; returns it if it is a success. */
static PGresult *check_take(PstPg *pg, const char *sql, PGresult *result, GError **error)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) {
        pg->sqlstate[0] = '\0';
        return result;
    }
    fail_result(pg, sql, result, error);
    PQclear(result);
    return NULL;
}

static PGresult *execute(PstPg *pg, const char *sql, const PstPgParams *params, GError **error)
{
    if (pg->lost)
        return refuse_when_lost(pg, error);
    int n = params != NULL ? params->n : 0;
    const char *const *values = params != NULL ? (const char *const *)params->values : NULL;
    return check_take(pg, sql, PQexecParams(pg->conn, sql, n, NULL, values, NULL, NULL, 0), error);
}

PstPgRows *pst_pg_query(PstPg *pg, const char *sql, const PstPgParams *params, GError **error)
{
    PGresult *result = execute(pg, sql, params, error);
    if (result == NULL)
        return NULL;
    PstPgRows *rows = g_new(PstPgRows, 1);
    rows->result = result;
    return rows;
}

gboolean pst_pg_run(PstPg *pg, const char *sql, const PstPgParams *params, gint64 *out_changed,
                    GError **error)
{
    PGresult *result = execute(pg, sql, params, error);
    if (result == NULL)
        return FALSE;
    if (out_changed != NULL)
        *out_changed = g_ascii_strtoll(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return TRUE;
}

gboolean pst_pg_script(PstPg *pg, const char *sql, GError **error)
{
    if (pg->lost)
        return refuse_when_lost(pg, error) != NULL;
    PGresult *result = check_take(pg, sql, PQexec(pg->conn, sql), error);
    PQclear(result);
    return result != NULL;
}

gboolean pst_pg_begin(PstPg *pg, GError **error)
{
    return pst_pg_run(pg, "BEGIN", NULL, NULL, error);
}

gboolean pst_pg_commit(PstPg *pg, GError **error)
{
    PGresult *result = execute(pg, "COMMIT", NULL, error);
    if (result == NULL)
        return FALSE;
    gboolean committed = strcmp(PQcmdStatus(result), "COMMIT") == 0;
    PQclear(result);
    if (!committed)
        g_set_error(error, PST_ERROR, PST_ERROR_DATA,
                    "database: the transaction had failed and was rolled back");
    return committed;
}

void pst_pg_rollback(PstPg *pg)
{
    if (pg->lost || PQtransactionStatus(pg->conn) == PQTRANS_IDLE)
        return;
    /* Keep the SQLSTATE of what went wrong before. */
    char before[sizeof pg->sqlstate];
    memcpy(before, pg->sqlstate, sizeof before);
    g_autoptr(GError) ignored = NULL;
    if (pst_pg_run(pg, "ROLLBACK", NULL, NULL, &ignored))
        memcpy(pg->sqlstate, before, sizeof before);
}

/* ---- rows ---- */

void pst_pg_rows_free(PstPgRows *rows)
{
    if (rows == NULL)
        return;
    PQclear(rows->result);
    g_free(rows);
}

int pst_pg_count(const PstPgRows *rows)
{
    return PQntuples(rows->result);
}

int pst_pg_columns(const PstPgRows *rows)
{
    return PQnfields(rows->result);
}

const char *pst_pg_column_name(const PstPgRows *rows, int column)
{
    g_assert(column >= 0 && column < PQnfields(rows->result));
    return PQfname(rows->result, column);
}

int pst_pg_column(const PstPgRows *rows, const char *name)
{
    int column = PQfnumber(rows->result, name);
    g_assert(column >= 0);
    return column;
}

gboolean pst_pg_is_null(const PstPgRows *rows, int row, int column)
{
    g_assert(row >= 0 && row < PQntuples(rows->result));
    g_assert(column >= 0 && column < PQnfields(rows->result));
    return PQgetisnull(rows->result, row, column);
}

const char *pst_pg_text(const PstPgRows *rows, int row, int column)
{
    return pst_pg_is_null(rows, row, column) ? NULL : PQgetvalue(rows->result, row, column);
}

gint64 pst_pg_int(const PstPgRows *rows, int row, int column)
{
    const char *text = pst_pg_text(rows, row, column);
    return text != NULL ? g_ascii_strtoll(text, NULL, 10) : 0;
}

double pst_pg_real(const PstPgRows *rows, int row, int column)
{
    const char *text = pst_pg_text(rows, row, column);
    return text != NULL ? g_ascii_strtod(text, NULL) : 0.0;
}

gboolean pst_pg_bool(const PstPgRows *rows, int row, int column)
{
    const char *text = pst_pg_text(rows, row, column);
    return text != NULL && text[0] == 't';
}

/* "2026-05-01 12:34:56.123456+00", and years of more than four digits are none of ours. */
gint64 pst_pg_time(const PstPgRows *rows, int row, int column)
{
    const char *text = pst_pg_text(rows, row, column);
    if (text == NULL)
        return 0;
    if (strcmp(text, "infinity") == 0)
        return G_MAXINT64;
    if (strcmp(text, "-infinity") == 0)
        return G_MININT64;
    g_autoptr(GDateTime) at = g_date_time_new_from_iso8601(text, NULL);
    if (at == NULL)
        return 0;
    return g_date_time_to_unix(at) * G_GINT64_CONSTANT(1000000000) +
           g_date_time_get_microsecond(at) * G_GINT64_CONSTANT(1000);
}

gboolean pst_pg_prefix(const PstPgRows *rows, int row, int column, PstPrefix *out)
{
    const char *text = pst_pg_text(rows, row, column);
    return text != NULL && pst_prefix_parse(text, strlen(text), FALSE, out);
}

/* ---- notifications ---- */

gboolean pst_pg_listen(PstPg *pg, const char *channel, GError **error)
{
    g_ptr_array_add(pg->channels, g_strdup(channel));
    return pg->lost ? refuse_when_lost(pg, error) != NULL : listen_now(pg, channel, error);
}

static gboolean take_notifications(PstPg *pg)
{
    gboolean any = FALSE;
    PGnotify *notify;
    while ((notify = PQnotifies(pg->conn)) != NULL) {
        PQfreemem(notify);
        any = TRUE;
    }
    return any;
}

static PstPgWait wait_on(PstPg *pg, int timeout_ms, int wake_fd)
{
    struct pollfd fds[2] = {{.fd = wake_fd, .events = POLLIN}};
    nfds_t n = 1;
    if (!pg->lost)
        fds[n++] = (struct pollfd){.fd = PQsocket(pg->conn), .events = POLLIN};
    if (poll(fds, n, timeout_ms) < 0 && errno == EINTR)
        return PST_PG_WAIT_WOKEN;
    if (fds[0].revents != 0)
        return PST_PG_WAIT_WOKEN;
    if (n == 1 || fds[1].revents == 0)
        return PST_PG_WAIT_TIMEOUT;
    if (!PQconsumeInput(pg->conn) || PQstatus(pg->conn) != CONNECTION_OK) {
        mark_lost(pg);
        pg->lost_told = TRUE;
        return PST_PG_WAIT_LOST;
    }
    return take_notifications(pg) ? PST_PG_WAIT_NOTIFIED : PST_PG_WAIT_TIMEOUT;
}

PstPgWait pst_pg_wait(PstPg *pg, int timeout_ms, int wake_fd)
{
    if (pg->lost && !pg->lost_told) {
        pg->lost_told = TRUE;
        return PST_PG_WAIT_LOST;
    }
    /* Notifications may have come with the answer to an earlier statement. */
    if (!pg->lost && take_notifications(pg))
        return PST_PG_WAIT_NOTIFIED;
    return wait_on(pg, timeout_ms, wake_fd);
}
