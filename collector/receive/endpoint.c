/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint.h"

#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "steer.h"

enum { BACKLOG = 256 };

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} Name;

/* One address of the URI, and how its sockets are made. */
typedef struct {
    Name name;
    socklen_t len;
    gboolean tcp;
    gboolean shared; /* SO_REUSEPORT */
} Place;

gboolean endpoint_is_tcp(const char *uri)
{
    return g_str_has_prefix(uri, "tcp://");
}

/* "udp://[::1]:2055" → host "::1", service "2055". */
static gboolean split_uri(const char *uri, char **out_host, char **out_service, GError **error)
{
    gboolean known = g_str_has_prefix(uri, "udp://") || endpoint_is_tcp(uri);
    const char *rest = known ? uri + strlen("udp://") : NULL;
    const char *colon = rest != NULL ? strrchr(rest, ':') : NULL;
    if (colon == NULL || colon[1] == '\0' || strchr(colon, ']') != NULL) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "listen %s: write udp://ADDRESS:PORT or tcp://ADDRESS:PORT, as "
                    "udp://0.0.0.0:2055 or tcp://[::1]:4739",
                    uri);
        return FALSE;
    }
    gboolean bracketed = rest[0] == '[' && colon > rest && colon[-1] == ']';
    *out_host = bracketed ? g_strndup(rest + 1, (gsize)(colon - rest) - 2)
                          : g_strndup(rest, (gsize)(colon - rest));
    *out_service = g_strdup(colon + 1);
    return TRUE;
}

static gboolean set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/* −1: errno. */
static int make_socket(const Place *place)
{
    int type = place->tcp ? SOCK_STREAM : SOCK_DGRAM;
    int fd = socket(place->name.any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (place->name.any.sa_family == AF_INET6) /* udp://:PORT hears both families */
        (void)set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if ((!place->tcp || set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)) &&
        (!place->shared || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)))
        return fd;
    close(fd);
    return -1;
}

static gboolean join(int fd, const Place *place)
{
    return bind(fd, &place->name.any, place->len) == 0 && (!place->tcp || listen(fd, BACKLOG) == 0);
}

/* No datagram gets in until this is taken away again. */
static gboolean plug(int fd)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = G_N_ELEMENTS(code), .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}

static gboolean unplug(int fd)
{
    return set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
}

/* Is the address free, and which port is it if any will do? A socket that does not share finds
 * out. */
static gboolean probe_address(Place *place)
{
    int fd = make_socket(place);
    gboolean is_free = fd >= 0 && join(fd, place);
    int code = errno;
    guint16 port = htons(is_free ? endpoint_port(fd) : 0);
    if (fd >= 0)
        close(fd);
    if (place->name.any.sa_family == AF_INET6)
        place->name.v6.sin6_port = port;
    else
        place->name.v4.sin_port = port;
    errno = code;
    return is_free;
}

static gboolean open_shared(const Place *place, guint n, int *out_fds)
{
    gboolean plugged = !place->tcp;
    for (guint i = 0; i < n; i++) {
        out_fds[i] = make_socket(place);
        if (out_fds[i] < 0 || (plugged && !plug(out_fds[i])) ||
            (i == 0 && !steer_attach(out_fds[i], n)) || !join(out_fds[i], place))
            return FALSE;
    }
    for (guint i = 0; plugged && i < n; i++) {
        if (!unplug(out_fds[i]))
            return FALSE;
    }
    return TRUE;
}

static gboolean open_place(Place *place, guint n, int *out_fds)
{
    if (n == 1) {
        out_fds[0] = make_socket(place);
        return out_fds[0] >= 0 && join(out_fds[0], place);
    }
    if (!probe_address(place))
        return FALSE;
    place->shared = TRUE;
    return open_shared(place, n, out_fds);
}

static gboolean open_first(const char *uri, const struct addrinfo *list, guint n, int *out_fds,
                           GError **error)
{
    int code = EADDRNOTAVAIL;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
        Place place = {.len = at->ai_addrlen, .tcp = endpoint_is_tcp(uri)};
        memcpy(&place.name, at->ai_addr, at->ai_addrlen);
        for (guint i = 0; i < n; i++)
            out_fds[i] = -1;
        if (open_place(&place, n, out_fds))
            return TRUE;
        code = errno;
        for (guint i = 0; i < n && out_fds[i] >= 0; i++)
            close(out_fds[i]);
    }
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "listen %s: %s%s", uri, g_strerror(code),
                code == EADDRINUSE
                    ? " (by another collector, or by another listen: [::] hears IPv4, too)"
                    : "");
    return FALSE;
}

gboolean endpoint_open(const char *uri, guint n, int *out_fds, GError **error)
{
    g_assert(n >= 1 && n <= ENDPOINT_SOCKETS_MAX);
    g_autofree char *host = NULL;
    g_autofree char *service = NULL;
    if (!split_uri(uri, &host, &service, error))
        return FALSE;
    struct addrinfo hints = {.ai_family = *host == '\0' ? AF_INET6 : AF_UNSPEC,
                             .ai_socktype = endpoint_is_tcp(uri) ? SOCK_STREAM : SOCK_DGRAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(*host != '\0' ? host : NULL, service, &hints, &list);
    if (code != 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "listen %s: %s (addresses and ports are written as numbers)", uri,
                    gai_strerror(code));
        return FALSE;
    }
    gboolean opened = open_first(uri, list, n, out_fds, error);
    freeaddrinfo(list);
    return opened;
}

guint16 endpoint_port(int fd)
{
    Name name = {0};
    socklen_t len = sizeof name;
    if (getsockname(fd, &name.any, &len) != 0)
        return 0;
    return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
}
