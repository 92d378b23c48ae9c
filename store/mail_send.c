/* SPDX-License-Identifier: Apache-2.0 */
#include "mail_send.h"

#include <curl/curl.h>
#include <string.h>

#include "maildir.h"

#define TIMEOUT_S         120
#define CONNECT_TIMEOUT_S 30
#define REPLY_MAX         400

struct PstTransport {
    CURL *curl; /* NULL: a maildir */
    char *url;
    char *maildir;
    PstTransportOptions options;
};

/* One message on its way. */
typedef struct {
    const PstTransport *transport;
    const char *at;
    gsize left;
    gboolean all_given;    /* libcurl has the whole message and sends the final dot */
    char reply[REPLY_MAX]; /* the server's last line */
} Flight;

static gsize give_data(char *buffer, gsize size, gsize n, void *user)
{
    Flight *flight = user;
    gsize take = MIN(size * n, flight->left);
    memcpy(buffer, flight->at, take);
    flight->at += take;
    flight->left -= take;
    flight->all_given = take == 0;
    return take;
}

static int watch(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                 curl_off_t up)
{
    const Flight *flight = user;
    const PstTransportOptions *o = &flight->transport->options;
    return !flight->all_given && o->stop != NULL && o->stop(o->stop_user);
}

/* libcurl keeps reply codes but not their words; those say what a person needs. */
static int overhear(CURL *curl, curl_infotype type, char *data, size_t size, void *user)
{
    Flight *flight = user;
    if (type != CURLINFO_HEADER_IN || size == 0)
        return 0;
    g_autofree char *line = g_strndup(data, size);
    if (g_str_has_prefix(line, "221")) /* the answer to QUIT tells nothing about the mail */
        return 0;
    g_strlcpy(flight->reply, g_strstrip(line), sizeof flight->reply);
    for (char *c = flight->reply; *c != '\0'; c++)
        if (!g_ascii_isprint(*c))
            *c = '?';
    return 0;
}

static void set_security(CURL *curl, const char *uri, const PstTransportOptions *o)
{
    gboolean implicit = g_str_has_prefix(uri, "smtps://");
    gboolean check = implicit || o->tls == PST_MAIL_TLS_REQUIRE;
    long use = o->tls == PST_MAIL_TLS_OFF   ? CURLUSESSL_NONE
               : o->tls == PST_MAIL_TLS_TRY ? CURLUSESSL_TRY
                                            : CURLUSESSL_ALL;
    curl_easy_setopt(curl, CURLOPT_USE_SSL, implicit ? (long)CURLUSESSL_ALL : use);
    /* Encryption that is taken when offered cannot be checked: who can strip the offer can forge
     * the certificate. It still keeps listeners out. */
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, check ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, check ? 2L : 0L);
    if (o->ca_file != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, o->ca_file);
    if (o->user != NULL) {
        curl_easy_setopt(curl, CURLOPT_USERNAME, o->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, o->password != NULL ? o->password : "");
    }
}

/* libcurl takes the name for EHLO from the URL's path, and port 25 by itself. */
static char *submission_url(const char *uri, const PstTransportOptions *o, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GUri) parsed = g_uri_parse(uri, G_URI_FLAGS_NONE, &why);
    gboolean plain = parsed != NULL && g_uri_get_host(parsed) != NULL &&
                     g_uri_get_host(parsed)[0] != '\0' && g_uri_get_userinfo(parsed) == NULL &&
                     strlen(g_uri_get_path(parsed)) <= 1 && g_uri_get_query(parsed) == NULL;
    if (!plain) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "mail transport \"%s\": write smtp://HOST[:PORT] or smtps://HOST[:PORT]; user "
                    "and password have options of their own",
                    uri);
        return NULL;
    }
    int port = g_uri_get_port(parsed);
    if (port < 0)
        port = strcmp(g_uri_get_scheme(parsed), "smtps") == 0 ? 465 : 587;
    g_autofree char *path =
        o->helo != NULL ? g_uri_escape_string(o->helo, NULL, FALSE) : g_strdup("");
    const char *host = g_uri_get_host(parsed);
    gboolean v6 = strchr(host, ':') != NULL;
    return g_strdup_printf("%s://%s%s%s:%d/%s", g_uri_get_scheme(parsed), v6 ? "[" : "", host,
                           v6 ? "]" : "", port, path);
}

static gboolean open_smtp(PstTransport *t, const char *uri, GError **error)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        g_once_init_leave(&once, 1);
    }
    t->url = submission_url(uri, &t->options, error);
    if (t->url == NULL)
        return FALSE;
    t->curl = curl_easy_init();
    g_assert(t->curl != NULL);
    long timeout = t->options.timeout_s > 0 ? t->options.timeout_s : TIMEOUT_S;
    curl_easy_setopt(t->curl, CURLOPT_URL, t->url);
    curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(t->curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(t->curl, CURLOPT_TIMEOUT, timeout);
    curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT, MIN(timeout, CONNECT_TIMEOUT_S));
    /* Also how long an answer to QUIT is waited for, when the time above is over already. */
    curl_easy_setopt(t->curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, timeout);
    curl_easy_setopt(t->curl, CURLOPT_UPLOAD, 1L);
    /* A connection that was kept and died meanwhile would cost the next mail its try. */
    curl_easy_setopt(t->curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(t->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(t->curl, CURLOPT_READFUNCTION, give_data);
    curl_easy_setopt(t->curl, CURLOPT_XFERINFOFUNCTION, watch);
    curl_easy_setopt(t->curl, CURLOPT_DEBUGFUNCTION, overhear);
    curl_easy_setopt(t->curl, CURLOPT_VERBOSE, 1L);
    set_security(t->curl, uri, &t->options);
    return TRUE;
}

PstTransport *pst_transport_new(const char *uri, const PstTransportOptions *options, GError **error)
{
    g_autoptr(PstTransport) t = g_new0(PstTransport, 1);
    if (options != NULL)
        t->options = *options;
    if (g_str_has_prefix(uri, "maildir:") && uri[strlen("maildir:")] != '\0') {
        t->maildir = g_strdup(uri + strlen("maildir:"));
    } else if (g_str_has_prefix(uri, "smtp://") || g_str_has_prefix(uri, "smtps://")) {
        if (!open_smtp(t, uri, error))
            return NULL;
    } else {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "mail transport \"%s\": it is smtp://HOST[:PORT], smtps://HOST[:PORT] or "
                    "maildir:PATH",
                    uri);
        return NULL;
    }
    return g_steal_pointer(&t);
}

void pst_transport_free(PstTransport *transport)
{
    if (transport == NULL)
        return;
    if (transport->curl != NULL)
        curl_easy_cleanup(transport->curl);
    g_free(transport->url);
    g_free(transport->maildir);
    g_free(transport);
}

/* What a failure means for the mailbox. A 5xx that came before MAIL FROM (greeting, EHLO, AUTH) is
 * about us and this server, not about the mail: it goes on when somebody has mended it. */
static PstOutcome judge(CURLcode result, long code, const Flight *flight)
{
    if (result == CURLE_OK)
        return PST_OUTCOME_DONE;
    if (code >= 400 && code < 500)
        return PST_OUTCOME_RETRY;
    if (code >= 500 && code < 600)
        return result == CURLE_SEND_ERROR || flight->all_given ? PST_OUTCOME_REFUSED
                                                               : PST_OUTCOME_RETRY;
    return flight->all_given ? PST_OUTCOME_UNCERTAIN : PST_OUTCOME_RETRY;
}

static PstOutcome send_smtp(PstTransport *t, const PstLetter *letter, int *out_code,
                            char **out_detail)
{
    Flight flight = {.transport = t, .at = letter->data, .left = letter->len};
    char why[CURL_ERROR_SIZE] = "";
    struct curl_slist *to = curl_slist_append(NULL, letter->to);
    curl_easy_setopt(t->curl, CURLOPT_MAIL_FROM, letter->envelope_from);
    curl_easy_setopt(t->curl, CURLOPT_MAIL_RCPT, to);
    curl_easy_setopt(t->curl, CURLOPT_READDATA, &flight);
    curl_easy_setopt(t->curl, CURLOPT_XFERINFODATA, &flight);
    curl_easy_setopt(t->curl, CURLOPT_DEBUGDATA, &flight);
    curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, why);
    CURLcode result = curl_easy_perform(t->curl);
    long code = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_setopt(t->curl, CURLOPT_MAIL_RCPT, NULL);
    curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(t->curl, CURLOPT_DEBUGDATA, NULL);
    curl_slist_free_all(to);

    PstOutcome outcome = judge(result, code, &flight);
    /* 354 or 250 is the last that was heard, not an answer to the message. */
    gboolean answered = result == CURLE_OK || code >= 400;
    *out_code = answered ? (int)code : 0;
    if (result == CURLE_OK)
        *out_detail = g_strdup(flight.reply);
    else
        *out_detail =
            g_strdup_printf("%s%s%s", why[0] != '\0' ? why : curl_easy_strerror(result),
                            answered ? "; the server said: " : "", answered ? flight.reply : "");
    return outcome;
}

PstOutcome pst_transport_send(PstTransport *transport, const PstLetter *letter, int *out_code,
                              char **out_detail)
{
    if (transport->curl != NULL)
        return send_smtp(transport, letter, out_code, out_detail);
    *out_code = 0;
    g_autoptr(GError) error = NULL;
    g_autofree char *path =
        pst_maildir_put(transport->maildir, letter->message_id, letter->data, letter->len, &error);
    if (path == NULL) {
        *out_detail = g_strdup(error->message);
        return PST_OUTCOME_RETRY;
    }
    *out_detail = g_strdup_printf("delivered to %s", path);
    return PST_OUTCOME_DONE;
}
