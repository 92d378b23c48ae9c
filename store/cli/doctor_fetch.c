/* SPDX-License-Identifier: Apache-2.0 */
/* The least of HTTP that /readyz and /metrics need. */
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "doctor.h"

#define ANSWER_MAX (16 * 1024 * 1024) /* /metrics of a collector with its bound of series */
#define TIMEOUT_S  5

static int connect_to(const char *host, int port, GError **error)
{
    char service[8];
    g_snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int why = getaddrinfo(host, service, &hints, &list);
    if (why != 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_AWAY, "%s: %s", host, gai_strerror(why));
        return -1;
    }
    int fd = -1, err = 0;
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            err = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        g_set_error(error, PST_ERROR, PST_ERROR_AWAY, "nobody answers at %s:%d: %s", host, port,
                    g_strerror(err));
    return fd;
}

static GString *exchange(int fd, const char *request)
{
    GString *answer = g_string_new(NULL);
    gsize len = strlen(request);
    if (send(fd, request, len, MSG_NOSIGNAL) != (gssize)len)
        return answer;
    char buffer[4096];
    gssize n;
    while (answer->len < ANSWER_MAX && (n = recv(fd, buffer, sizeof buffer, 0)) > 0)
        g_string_append_len(answer, buffer, n);
    return answer;
}

char *doctor_fetch(const char *url, const char *path, int *out_status, GError **error)
{
    g_autoptr(GUri) parsed = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
    if (parsed == NULL || g_strcmp0(g_uri_get_scheme(parsed), "http") != 0 ||
        g_uri_get_host(parsed) == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "--metrics \"%s\": write http://127.0.0.1:9101, a program's --metrics address",
                    url);
        return NULL;
    }
    int port = g_uri_get_port(parsed) > 0 ? g_uri_get_port(parsed) : 80;
    int fd = connect_to(g_uri_get_host(parsed), port, error);
    if (fd < 0)
        return NULL;
    g_autofree char *request = g_strdup_printf(
        "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n", path, g_uri_get_host(parsed));
    g_autoptr(GString) answer = exchange(fd, request);
    close(fd);
    const char *body = strstr(answer->str, "\r\n\r\n");
    if (!g_str_has_prefix(answer->str, "HTTP/1.") || answer->len < 12 || body == NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_AWAY, "%s does not answer like a program of ours",
                    url);
        return NULL;
    }
    *out_status = (int)g_ascii_strtoll(answer->str + strlen("HTTP/1.x "), NULL, 10);
    return g_strdup(body + 4);
}
