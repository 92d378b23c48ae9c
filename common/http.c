/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "postern/addr.h"
#include "process.h"

/* Hard limits: scraping is a request every few seconds from a few hosts. */
enum { CONNECTIONS_MAX = 32, CONNECTIONS_PER_ADDRESS = 16, IDLE_S = 10, MEMORY_BYTES = 16 * 1024 };

struct PstHttp {
    struct MHD_Daemon *daemon;
    PstStats *stats; /* borrowed */
    PstReadiness ready;
    gpointer user;
};

/* "ADDR:PORT", "[V6]:PORT", ":PORT" (loopback) → a socket address. */
static gboolean parse_listen(const char *text, struct sockaddr_storage *out)
{
    const char *colon = strrchr(text, ':');
    const char *digits = colon != NULL ? colon + 1 : text;
    guint64 port;
    if (!g_ascii_string_to_unsigned(digits, 10, 0, 65535, &port, NULL))
        return FALSE;
    const char *host = text;
    gsize len = colon != NULL ? (gsize)(colon - text) : 0;
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    PstAddr addr = pst_addr_v4(INADDR_LOOPBACK);
    if (len > 0 && !pst_addr_parse(host, len, &addr))
        return FALSE;
    memset(out, 0, sizeof *out);
    if (addr.family == PST_AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons((guint16)port);
        memcpy(&in->sin_addr, addr.bytes, 4);
    } else {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((guint16)port);
        memcpy(&in6->sin6_addr, addr.bytes, 16);
    }
    return TRUE;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status,
                              GString *body_take)
{
    gsize len = body_take->len;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        len, g_string_free(body_take, FALSE), MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type",
                                  "text/plain; version=0.0.4; charset=utf-8");
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_ready(const PstHttp *http, struct MHD_Connection *connection)
{
    GString *body = g_string_new(NULL);
    gboolean ready = http->ready == NULL || http->ready(http->user, body);
    if (ready)
        g_string_assign(body, "ready\n");
    return answer(connection, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, body);
}

static enum MHD_Result answer_metrics(const PstHttp *http, struct MHD_Connection *connection)
{
    GString *body = g_string_new(NULL);
    g_autoptr(GString) reasons = g_string_new(NULL);
    pst_stats_write(http->stats, body);
    g_string_append_printf(body,
                           "# HELP postern_ready 1 while /readyz answers 200.\n"
                           "# TYPE postern_ready gauge\npostern_ready %d\n",
                           http->ready == NULL || http->ready(http->user, reasons));
    pst_process_write(body);
    return answer(connection, MHD_HTTP_OK, body);
}

/* libmicrohttpd's malloc and GLib's are the same on every system we run on: MUST_FREE is right. */
static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_len, void **state)
{
    const PstHttp *http = user;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, g_string_new("only GET here\n"));
    if (strcmp(url, "/healthz") == 0)
        return answer(connection, MHD_HTTP_OK, g_string_new("alive\n"));
    if (strcmp(url, "/readyz") == 0)
        return answer_ready(http, connection);
    if (strcmp(url, "/metrics") == 0)
        return answer_metrics(http, connection);
    return answer(connection, MHD_HTTP_NOT_FOUND,
                  g_string_new("here are /metrics, /healthz and /readyz\n"));
}

PstHttp *pst_http_open(const char *listen, PstStats *stats, PstReadiness ready, gpointer user,
                       GError **error)
{
    struct sockaddr_storage address;
    if (!parse_listen(listen, &address)) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "metrics \"%s\": expected ADDR:PORT, such as 127.0.0.1:9101 or [::1]:9101",
                    listen);
        return NULL;
    }
    g_autoptr(PstHttp) http = g_new0(PstHttp, 1);
    http->stats = stats;
    http->ready = ready;
    http->user = user;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD;
    if (address.ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    errno = 0;
    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, http, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_PER_ADDRESS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_BYTES, MHD_OPTION_END);
    if (http->daemon == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_IO, "cannot listen on %s for metrics: %s", listen,
                    errno != 0 ? g_strerror(errno) : "libmicrohttpd refused");
        return NULL;
    }
    return g_steal_pointer(&http);
}

guint16 pst_http_port(const PstHttp *http)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info != NULL ? info->port : 0;
}

void pst_http_close(PstHttp *http)
{
    if (http == NULL)
        return;
    if (http->daemon != NULL)
        MHD_stop_daemon(http->daemon);
    g_free(http);
}
