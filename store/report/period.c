/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "clock.h"
#include "report.h"

void report_period_clear(ReportPeriod *period)
{
    char **texts[] = {&period->from,    &period->to,        &period->from_text,
                      &period->to_text, &period->made_text, &period->from_json,
                      &period->to_json, &period->made_json};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        g_clear_pointer(texts[i], g_free);
}

/* A moment that lies within the wanted period, in a parameter: NULL is now. */
static gboolean add_moment(PstPgParams *p, const char *at, GError **error)
{
    if (at == NULL || strcmp(at, "today") == 0) {
        pst_pg_add_null(p);
        return TRUE;
    }
    g_autofree char *day =
        strlen(at) == strlen("2026-05-01") ? g_strconcat(at, "T00:00:00Z", NULL) : g_strdup(at);
    gint64 ns;
    if (!pst_time_parse(day, &ns)) {
        g_set_error(
            error, PST_ERROR, PST_ERROR_USAGE,
            "--at \"%s\": write a day like 2026-05-01, a time like 2026-05-01T12:00:00Z, or "
            "today",
            at);
        return FALSE;
    }
    pst_pg_add_time(p, ns);
    return TRUE;
}

gboolean report_period_read(PstPg *pg, const char *kind, const char *at, ReportPeriod *out,
                            GError **error)
{
    /* Calendar arithmetic is done on UTC's wall clock; "last" steps one period back. */
    static const char sql[] =
        "SELECT f AT TIME ZONE 'UTC', t AT TIME ZONE 'UTC',"
        " to_char(f, 'YYYY-MM-DD HH24:MI'), to_char(t, 'YYYY-MM-DD HH24:MI'),"
        " to_char(n, 'YYYY-MM-DD HH24:MI:SS'), to_char(f, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
        " to_char(t, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), to_char(n, "
        "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
        " FROM (SELECT f, f + step AS t, n FROM (SELECT step, n, date_trunc($2, m - CASE WHEN $3"
        "  THEN step ELSE interval '0' END) AS f FROM (SELECT ('1 ' || $2)::interval AS step,"
        "   postern.now() AT TIME ZONE 'UTC' AS n,"
        "   coalesce($1::timestamptz, postern.now()) AT TIME ZONE 'UTC' AS m) AS a) AS b) AS c";
    g_auto(PstPgParams) p = pst_pg_params();
    if (!add_moment(&p, at, error))
        return FALSE;
    pst_pg_add_text(&p, kind);
    pst_pg_add_bool(&p, at == NULL);
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, sql, &p, error);
    if (rows == NULL)
        return FALSE;
    out->kind = kind;
    out->from = g_strdup(pst_pg_text(rows, 0, 0));
    out->to = g_strdup(pst_pg_text(rows, 0, 1));
    out->from_text = g_strdup(pst_pg_text(rows, 0, 2));
    out->to_text = g_strdup(pst_pg_text(rows, 0, 3));
    out->made_text = g_strdup(pst_pg_text(rows, 0, 4));
    out->from_json = g_strdup(pst_pg_text(rows, 0, 5));
    out->to_json = g_strdup(pst_pg_text(rows, 0, 6));
    out->made_json = g_strdup(pst_pg_text(rows, 0, 7));
    return TRUE;
}
