/* SPDX-License-Identifier: Apache-2.0 */
#include "outbox.h"

#include <string.h>

void pst_outbox_mail_free(PstOutboxMail *mail)
{
    if (mail == NULL)
        return;
    g_free(mail->kind);
    g_free(mail->unit);
    g_free(mail->contact_email);
    g_free(mail->locale);
    g_free(mail->tz);
    g_free(mail->message_id);
    g_free(mail->references_id);
    g_free(mail->envelope_from);
    g_free(mail->vars);
    g_free(mail->transport);
    g_free(mail);
}

static PstOutboxMail *read_row(const PstPgRows *rows)
{
    PstOutboxMail *mail = g_new0(PstOutboxMail, 1);
    mail->id = pst_pg_int(rows, 0, 0);
    mail->kind = g_strdup(pst_pg_text(rows, 0, 1));
    mail->contact_email = g_strdup(pst_pg_text(rows, 0, 2));
    mail->locale = g_strdup(pst_pg_text(rows, 0, 3));
    mail->tz = g_strdup(pst_pg_text(rows, 0, 4));
    mail->message_id = g_strdup(pst_pg_text(rows, 0, 5));
    mail->references_id = g_strdup(pst_pg_text(rows, 0, 6));
    mail->envelope_from = g_strdup(pst_pg_text(rows, 0, 7));
    mail->vars = g_strdup(pst_pg_text(rows, 0, 8));
    mail->attempts = (int)pst_pg_int(rows, 0, 9);
    mail->again = g_strcmp0(pst_pg_text(rows, 0, 10), "sending") == 0;
    const char *hint = pst_pg_text(rows, 0, 11);
    mail->unit = g_strdup(pst_pg_text(rows, 0, 12));
    mail->transport = hint != NULL && *hint != '\0' ? g_strdup(hint) : NULL;
    return mail;
}

PstOutboxMail *pst_outbox_claim(PstPg *pg, const char *worker, int lease_s, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, worker);
    pst_pg_add_int(&p, lease_s);
    g_autoptr(PstPgRows) rows = pst_pg_query(
        pg,
        "SELECT id, kind, contact_email, locale, tz, message_id, references_id, envelope_from,"
        " vars, attempts, state, transport_hint, vars ->> 'unit'"
        " FROM postern.claim_mail($1, make_interval(secs => $2), 1)",
        &p, error);
    return rows != NULL && pst_pg_count(rows) > 0 ? read_row(rows) : NULL;
}

gboolean pst_outbox_sending(PstPg *pg, gint64 id, const char *worker, gboolean *out_ours,
                            GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, id);
    pst_pg_add_text(&p, worker);
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, "SELECT postern.mail_sending($1, $2)", &p, error);
    if (rows == NULL)
        return FALSE;
    *out_ours = pst_pg_bool(rows, 0, 0);
    return TRUE;
}

gboolean pst_outbox_outcome(PstPg *pg, gint64 id, const char *worker, PstOutcome outcome, int code,
                            const char *detail, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_int(&p, id);
    pst_pg_add_text(&p, worker);
    pst_pg_add_text(&p, pst_outcome_name(outcome));
    pst_pg_add_int(&p, code);
    pst_pg_add_text(&p, detail);
    return pst_pg_run(pg, "SELECT postern.mail_outcome($1, $2, $3, $4, $5)", &p, NULL, error);
}
