/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The outbox: mails that wait in the database, each of them sent by one worker at a time.
 *
 *     claim → (row, lease) → mail_sending (committed before DATA) → the transport → mail_outcome
 *
 * A worker that dies leaves a lease; when it has run out the row is claimed again. From `pending`
 * nothing had left us; from `sending` it may have, and the mail goes out once more under the same
 * Message-ID. What follows from an outcome (next try, next contact, deadline) the database decides.
 */
#include "pg.h"
#include "postern/outcome.h"

typedef struct {
    gint64 id;
    char *kind; /* "warning", "blocked", "digest" … */
    char *unit; /* "192.0.2.7", "2001:db8::/64"; NULL: a digest */
    char *contact_email;
    char *locale;        /* "de" */
    char *tz;            /* IANA name */
    char *message_id;    /* without <> */
    char *references_id; /* Message-ID of the case's first mail, or NULL */
    char *envelope_from; /* VERP address of this mail */
    char *vars;          /* JSON text: what happened, as data */
    int attempts;        /* this one included */
    gboolean again;      /* claimed out of `sending`: it may have arrived already */
    char *transport;     /* URI of another transport than the worker's own, or NULL */
} PstOutboxMail;

void pst_outbox_mail_free(PstOutboxMail *mail);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PstOutboxMail, pst_outbox_mail_free)

/* Takes the next due mail for @lease_s seconds. NULL without error: nothing is due. One
 * transaction. @worker names us over all processes. Given. */
PstOutboxMail *pst_outbox_claim(PstPg *pg, const char *worker, int lease_s, GError **error);
/* Commits `sending`; DATA may begin. @out_ours FALSE: the lease went to somebody else. */
gboolean pst_outbox_sending(PstPg *pg, gint64 id, const char *worker, gboolean *out_ours,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Writes down what became of it. @code SMTP reply or 0; @detail a sentence or NULL. */
gboolean pst_outbox_outcome(PstPg *pg, gint64 id, const char *worker, PstOutcome outcome, int code,
                            const char *detail, GError **error) G_GNUC_WARN_UNUSED_RESULT;
