/* SPDX-License-Identifier: Apache-2.0 */
/* What verdicts, complaints and timers have in common: ids that are due, and a function that
 * settles one of them in its own transaction. */
#include "work.h"

#define BATCH 64

void dispatch_count(Dispatch *dispatch, const char *work, const char *result)
{
    g_autofree char *labels = g_strdup_printf("work=\"%s\",result=\"%s\"", work, result);
    pst_cell_add(pst_stats_cell(dispatch->run->stats, PST_COUNTER, "postern_dispatch_rows_total",
                                labels, "Rows worked on, by kind of work and what became of them."),
                 1);
}

/* The row is kept with its error, and a person is told; the row comes again later. */
static gboolean note_error(Dispatch *dispatch, const char *kind, gint64 id, const char *message,
                           GError **error)
{
    g_autofree char *subject = g_strdup_printf("%s %" G_GINT64_FORMAT, kind, id);
    pst_log(PST_LOG_ERR, subject, "could not be applied, is kept: %s", message);
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, kind);
    pst_pg_add_int(&p, id);
    pst_pg_add_text(&p, message);
    return pst_pg_run(dispatch->pg, "SELECT postern.note_apply_error($1, $2, $3)", &p, NULL, error);
}

static gboolean apply_one(Dispatch *dispatch, const char *work, const char *kind, gint64 id,
                          const char *apply_sql, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, id);
    g_autoptr(GError) why = NULL;
    g_autoptr(PstPgRows) rows = pst_pg_query(dispatch->pg, apply_sql, &p, &why);
    if (rows == NULL) {
        if (pst_error_class(why) == PST_ERROR_CLASS_TRANSIENT) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
        dispatch_count(dispatch, work, "error");
        return note_error(dispatch, kind, id, why->message, error);
    }
    const char *action = pst_pg_text(rows, 0, 0);
    dispatch_count(dispatch, work, action != NULL ? action : "none");
    g_autofree char *subject = g_strdup_printf("%s %" G_GINT64_FORMAT, kind, id);
    pst_log(PST_LOG_INFO, subject, "applied action=%s", action != NULL ? action : "none");
    return TRUE;
}

int dispatch_apply_each(Dispatch *dispatch, const char *work, const char *kind,
                        const char *claim_sql, const char *apply_sql, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, BATCH);
    g_autoptr(PstPgRows) rows = pst_pg_query(dispatch->pg, claim_sql, &p, error);
    if (rows == NULL)
        return -1;
    int n = pst_pg_count(rows);
    for (int i = 0; i < n; i++) {
        if (!apply_one(dispatch, work, kind, pst_pg_int(rows, i, 0), apply_sql, error))
            return -1;
        pst_run_tick(dispatch->run);
        if (pst_run_stopping(dispatch->run))
            break;
    }
    return n;
}
