/* SPDX-License-Identifier: Apache-2.0 */
/* Mails of the outbox: made, handed over, and what became of them written down.
 *
 *   claimed ──▶ composed ──▶ `sending` committed ──▶ DATA ──▶ outcome written
 *      │            └ cannot be made: outcome without sending
 *      └ killed here: nothing left us      └ killed here: it is sent once more, same Message-ID
 *
 * An outcome that cannot be written because the database is away is kept and written when it is
 * back: the mail is not sent again for that.
 */
#include <string.h>

#include "mail_compose.h"
#include "mail_send.h"
#include "mail_words.h"
#include "work.h"

#define LEASE_MARGIN_S 60
#define TRANSPORTS_MAX 16
#define PASSWORD_MAX   1024
#define REVERSE_DNS_MS 1500
#define PUT_OFF_MAX    3 /* greylisting puts one mail off; a server in trouble all of them */

typedef struct {
    gint64 id; /* 0: none */
    char *message_id;
    PstOutcome outcome;
    int code;
    char *detail;
} Unwritten;

typedef struct {
    char *password;
    PstTransportOptions options;
    PstTransport *own;
    GHashTable *others; /* URI → PstTransport: transports that rows ask for */
    PstMailTemplates *templates;
    PstResolver *resolver; /* NULL: reverse DNS is not asked for */
    Unwritten unwritten;
    guint put_off; /* mails that the server did not take now (4xx), in a row */
    char *trouble; /* why mails wait; NULL: they do not */
} Mailer;

static void unwritten_clear(Unwritten *u)
{
    g_free(u->message_id);
    g_free(u->detail);
    *u = (Unwritten){.id = 0};
}

static void mail_close(gpointer self)
{
    Mailer *mailer = self;
    if (mailer == NULL)
        return;
    pst_transport_free(mailer->own);
    g_hash_table_unref(mailer->others);
    pst_mail_templates_free(mailer->templates);
    pst_resolver_free(mailer->resolver);
    unwritten_clear(&mailer->unwritten);
    g_free(mailer->password);
    g_free(mailer->trouble);
    g_free(mailer);
}

static gboolean asks_to_stop(gpointer user)
{
    return pst_run_stopping(user);
}

static gboolean read_password(Mailer *mailer, const char *file, GError **error)
{
    if (file == NULL || *file == '\0')
        return TRUE;
    g_autoptr(GError) why = NULL;
    gsize len = 0;
    if (!g_file_get_contents(file, &mailer->password, &len, &why)) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "mail_password_file: %s", why->message);
        return FALSE;
    }
    if (len > PASSWORD_MAX) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "mail_password_file: %s is longer than a password", file);
        return FALSE;
    }
    g_strchomp(mailer->password);
    return TRUE;
}

static const char *or_null(const char *text)
{
    return text != NULL && *text != '\0' ? text : NULL;
}

static gboolean mail_open(Dispatch *dispatch, gpointer *out_self, GError **error)
{
    const DispatchConfig *c = dispatch->config;
    Mailer *mailer = g_new0(Mailer, 1);
    *out_self = mailer;
    mailer->others =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)pst_transport_free);
    if (or_null(c->mail) == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "--work=mail needs --mail smtp://HOST[:PORT], smtps://HOST[:PORT] or "
                    "maildir:PATH");
        return FALSE;
    }
    if (!read_password(mailer, c->mail_password_file, error))
        return FALSE;
    mailer->options = (PstTransportOptions){.user = or_null(c->mail_user),
                                            .password = mailer->password,
                                            .tls = (PstMailTls)c->mail_tls,
                                            .ca_file = or_null(c->mail_ca_file),
                                            .helo = or_null(c->mail_helo),
                                            .timeout_s = (int)c->mail_timeout_s,
                                            .stop = asks_to_stop,
                                            .stop_user = dispatch->run};
    mailer->own = pst_transport_new(c->mail, &mailer->options, error);
    if (mailer->own == NULL)
        return FALSE;
    if (c->reverse_dns)
        mailer->resolver = pst_resolver_new();
    mailer->templates = pst_mail_templates_load(c->mail_templates, error);
    return mailer->templates != NULL;
}

static void mail_reload(Dispatch *dispatch, gpointer self)
{
    Mailer *mailer = self;
    g_autoptr(GError) error = NULL;
    PstMailTemplates *fresh = pst_mail_templates_load(dispatch->config->mail_templates, &error);
    if (fresh == NULL) {
        pst_log(PST_LOG_ERR, "templates", "kept as they were: %s", error->message);
        return;
    }
    pst_mail_templates_free(mailer->templates);
    mailer->templates = fresh;
    pst_log(PST_LOG_NOTICE, "templates", "read again");
}

/* ---- making the mail ---- */

typedef struct {
    char *from;
    gint64 now_ns;
} Sender;

static gboolean read_sender(PstPg *pg, Sender *sender, GError **error)
{
    g_autoptr(PstPgRows) rows =
        pst_pg_query(pg, "SELECT postern.setting('mail.from'), postern.now()", NULL, error);
    if (rows == NULL)
        return FALSE;
    sender->from = g_strdup(pst_pg_text(rows, 0, 0));
    sender->now_ns = pst_pg_time(rows, 0, 1);
    return TRUE;
}

static char *make_message(Dispatch *dispatch, Mailer *mailer, const PstOutboxMail *row,
                          gsize *out_len, GError **error)
{
    Sender sender = {0};
    if (!read_sender(dispatch->pg, &sender, error))
        return NULL;
    g_autofree char *from = sender.from;
    g_auto(PstReverseDns) name = {.state = PST_REVERSE_DNS_UNKNOWN};
    if (mailer->resolver != NULL && row->unit != NULL)
        pst_reverse_dns(mailer->resolver, row->unit, REVERSE_DNS_MS, &name);
    g_autoptr(PstTemplateValues) words = pst_mail_words(dispatch->pg, row, from, &name, error);
    g_auto(PstMailText) text = {0};
    if (words == NULL ||
        !pst_mail_templates_render(mailer->templates, row->kind, row->locale, words, &text, error))
        return NULL;
    PstMail mail = {.message_id = row->message_id,
                    .references = row->references_id,
                    .from = from,
                    .to = row->contact_email,
                    .date_ns = sender.now_ns,
                    .subject = text.subject,
                    .text = text.text,
                    .html = text.html};
    return pst_mail_compose(&mail, out_len, error);
}

/* ---- sending it ---- */

static PstTransport *transport_of(Mailer *mailer, const PstOutboxMail *row, GError **error)
{
    if (row->transport == NULL)
        return mailer->own;
    PstTransport *t = g_hash_table_lookup(mailer->others, row->transport);
    if (t != NULL)
        return t;
    t = pst_transport_new(row->transport, &mailer->options, error);
    if (t == NULL)
        return NULL;
    if (g_hash_table_size(mailer->others) >= TRANSPORTS_MAX)
        g_hash_table_remove_all(mailer->others);
    g_hash_table_insert(mailer->others, g_strdup(row->transport), t);
    return t;
}

static void log_outcome(const PstOutboxMail *row, const Unwritten *u)
{
    g_autofree char *subject = g_strdup_printf("mail %s", row->message_id);
    pst_log(u->outcome == PST_OUTCOME_DONE ? PST_LOG_INFO : PST_LOG_WARN, subject,
            "%s kind=%s to=%s attempt=%d code=%d%s: %s", pst_outcome_name(u->outcome), row->kind,
            row->contact_email, row->attempts, u->code, row->again ? " again=yes" : "",
            u->detail != NULL ? u->detail : "");
}

/* A server that does not answer, a disk that is full: trouble at once. A mail that was taken or
 * refused shows a server that works. */
static void note_trouble(Mailer *mailer, const Unwritten *u)
{
    gboolean waits = u->outcome == PST_OUTCOME_RETRY || u->outcome == PST_OUTCOME_UNCERTAIN;
    mailer->put_off = waits ? mailer->put_off + 1 : 0;
    g_clear_pointer(&mailer->trouble, g_free);
    gboolean unmet = u->outcome == PST_OUTCOME_RETRY && u->code == 0;
    if (waits && (unmet || mailer->put_off >= PUT_OFF_MAX))
        mailer->trouble = g_strdup_printf("mails wait, %u in a row were not taken: %s",
                                          mailer->put_off, u->detail);
}

/* Mails that waited may have been given up or become untrue: then nothing is hindered. */
static gboolean end_trouble(Dispatch *dispatch, Mailer *mailer, GError **error)
{
    if (mailer->trouble == NULL)
        return TRUE;
    g_autoptr(PstPgRows) rows = pst_pg_query(
        dispatch->pg,
        "SELECT EXISTS (SELECT FROM postern.outbox WHERE state IN ('pending', 'sending'))", NULL,
        error);
    if (rows == NULL)
        return FALSE;
    if (!pst_pg_bool(rows, 0, 0))
        g_clear_pointer(&mailer->trouble, g_free);
    return TRUE;
}

static const char *mail_trouble(gpointer self)
{
    return ((const Mailer *)self)->trouble;
}

/* Writes the outcome that waits; it stays when the database is away. */
static gboolean write_outcome(Dispatch *dispatch, Mailer *mailer, GError **error)
{
    Unwritten *u = &mailer->unwritten;
    g_autoptr(GError) why = NULL;
    if (!pst_outbox_outcome(dispatch->pg, u->id, dispatch->worker, u->outcome, u->code, u->detail,
                            &why)) {
        if (pst_error_class(why) == PST_ERROR_CLASS_TRANSIENT) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
        pst_log(PST_LOG_ERR, "mail", "outcome %s of %s is refused by the database: %s",
                pst_outcome_name(u->outcome), u->message_id, why->message);
    }
    dispatch_count(dispatch, "mail", pst_outcome_name(u->outcome));
    unwritten_clear(u);
    return TRUE;
}

/* A mail that cannot be made: a bad address will never work; anything else (a template, a setting)
 * somebody can mend. */
static gboolean give_up_making(Dispatch *dispatch, Mailer *mailer, const PstOutboxMail *row,
                               const GError *why, GError **error)
{
    g_assert(why != NULL);
    if (pst_error_class(why) == PST_ERROR_CLASS_TRANSIENT) {
        g_propagate_error(error, g_error_copy(why));
        return FALSE;
    }
    gboolean fit = pst_mail_is_address(row->contact_email);
    mailer->unwritten = (Unwritten){.id = row->id,
                                    .message_id = g_strdup(row->message_id),
                                    .outcome = fit ? PST_OUTCOME_RETRY : PST_OUTCOME_REFUSED,
                                    .detail = g_strdup(why->message)};
    log_outcome(row, &mailer->unwritten);
    return write_outcome(dispatch, mailer, error);
}

static gboolean send_one(Dispatch *dispatch, Mailer *mailer, const PstOutboxMail *row,
                         GError **error)
{
    g_autoptr(GError) why = NULL;
    gsize len = 0;
    PstTransport *transport = transport_of(mailer, row, &why);
    g_autofree char *message =
        transport != NULL ? make_message(dispatch, mailer, row, &len, &why) : NULL;
    if (message == NULL)
        return give_up_making(dispatch, mailer, row, why, error);
    gboolean ours = FALSE;
    if (!pst_outbox_sending(dispatch->pg, row->id, dispatch->worker, &ours, error))
        return FALSE;
    if (!ours)
        return TRUE;
    PstLetter letter = {.message_id = row->message_id,
                        .envelope_from = row->envelope_from,
                        .to = row->contact_email,
                        .data = message,
                        .len = len};
    Unwritten *u = &mailer->unwritten;
    *u = (Unwritten){.id = row->id, .message_id = g_strdup(row->message_id)};
    u->outcome = pst_transport_send(transport, &letter, &u->code, &u->detail);
    log_outcome(row, u);
    note_trouble(mailer, u);
    return write_outcome(dispatch, mailer, error);
}

static int mail_turn(Dispatch *dispatch, gpointer self, GError **error)
{
    Mailer *mailer = self;
    if (mailer->unwritten.id != 0 && !write_outcome(dispatch, mailer, error))
        return -1;
    int lease_s = 2 * (int)dispatch->config->mail_timeout_s + LEASE_MARGIN_S;
    g_autoptr(GError) why = NULL;
    g_autoptr(PstOutboxMail) row = pst_outbox_claim(dispatch->pg, dispatch->worker, lease_s, &why);
    if (why != NULL) {
        g_propagate_error(error, g_steal_pointer(&why));
        return -1;
    }
    if (row == NULL)
        return end_trouble(dispatch, mailer, error) ? 0 : -1;
    return send_one(dispatch, mailer, row, error) ? 1 : -1;
}

const Work work_mail = {
    .name = "mail",
    .help = "send the outbox's mails (role postern_mailer)",
    .open = mail_open,
    .turn = mail_turn,
    .reload = mail_reload,
    .close = mail_close,
    .trouble = mail_trouble,
    .queries = 1,
};
