/* SPDX-License-Identifier: Apache-2.0 */
#include "listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* Buffers are not a power of two apart: else all of them would share the same cache sets. */
enum { STRIDE = LISTENER_DATAGRAM_MAX + 1 + 1088, CONTROL_MAX = 128 };

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} Name;

struct Listener {
    int fd;
    guint16 port;
    gint64 rcvbuf_bytes;
    guint32 overflow; /* the kernel's count, as last told */
    guint8 *buffers;  /* LISTENER_BATCH × STRIDE; owned */
    struct mmsghdr headers[LISTENER_BATCH];
    struct iovec vectors[LISTENER_BATCH];
    Name senders[LISTENER_BATCH];
    _Alignas(struct cmsghdr) guint8 controls[LISTENER_BATCH][CONTROL_MAX];
};

/* "udp://[::1]:2055" → host "::1", service "2055". */
static gboolean split_uri(const char *uri, char **out_host, char **out_service, GError **error)
{
    const char *rest = g_str_has_prefix(uri, "udp://") ? uri + strlen("udp://") : NULL;
    const char *colon = rest != NULL ? strrchr(rest, ':') : NULL;
    if (colon == NULL || colon[1] == '\0' || strchr(colon, ']') != NULL) {
        g_set_error(
            error, PST_ERROR, PST_ERROR_USAGE,
            "listen %s: write udp://ADDRESS:PORT, as udp://0.0.0.0:2055 or udp://[::1]:2055", uri);
        return FALSE;
    }
    gboolean bracketed = rest[0] == '[' && colon > rest && colon[-1] == ']';
    *out_host = bracketed ? g_strndup(rest + 1, (gsize)(colon - rest) - 2)
                          : g_strndup(rest, (gsize)(colon - rest));
    *out_service = g_strdup(colon + 1);
    return TRUE;
}

static gboolean set_flag(int fd, int level, int name)
{
    int one = 1;
    return setsockopt(fd, level, name, &one, sizeof one) == 0;
}

static void set_rcvbuf(Listener *listener, const char *uri, gint64 wanted)
{
    int bytes = (int)CLAMP(wanted, 4096, G_MAXINT / 2);
    if (setsockopt(listener->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(listener->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    int given = 0;
    socklen_t len = sizeof given;
    if (getsockopt(listener->fd, SOL_SOCKET, SO_RCVBUF, &given, &len) != 0)
        given = 0;
    listener->rcvbuf_bytes = given / 2; /* the kernel doubles it for its own needs */
    if (listener->rcvbuf_bytes < bytes)
        pst_log(PST_LOG_WARN, uri,
                "socket queue is smaller than asked for: raise net.core.rmem_max "
                "wanted_bytes=%d given_bytes=%" G_GINT64_FORMAT,
                bytes, listener->rcvbuf_bytes);
}

static int bind_first(const char *uri, const struct addrinfo *list, GError **error)
{
    int code = EADDRNOTAVAIL;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
        int fd = socket(at->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            code = errno;
            continue;
        }
        int zero = 0;
        if (at->ai_family == AF_INET6) /* udp://:PORT hears both families */
            (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
        if (set_flag(fd, SOL_SOCKET, SO_REUSEPORT) && set_flag(fd, SOL_SOCKET, SO_TIMESTAMPNS) &&
            set_flag(fd, SOL_SOCKET, SO_RXQ_OVFL) && bind(fd, at->ai_addr, at->ai_addrlen) == 0)
            return fd;
        code = errno;
        close(fd);
    }
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "listen %s: %s", uri, g_strerror(code));
    return -1;
}

static int open_socket(const char *uri, GError **error)
{
    g_autofree char *host = NULL;
    g_autofree char *service = NULL;
    if (!split_uri(uri, &host, &service, error))
        return -1;
    struct addrinfo hints = {.ai_family = *host == '\0' ? AF_INET6 : AF_UNSPEC,
                             .ai_socktype = SOCK_DGRAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(*host != '\0' ? host : NULL, service, &hints, &list);
    if (code != 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "listen %s: %s (addresses and ports are written as numbers)", uri,
                    gai_strerror(code));
        return -1;
    }
    int fd = bind_first(uri, list, error);
    freeaddrinfo(list);
    return fd;
}

static guint16 bound_port(int fd)
{
    Name name = {0};
    socklen_t len = sizeof name;
    if (getsockname(fd, &name.any, &len) != 0)
        return 0;
    return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
}

static void prepare_buffers(Listener *listener)
{
    listener->buffers = g_malloc((gsize)LISTENER_BATCH * STRIDE);
    for (guint i = 0; i < LISTENER_BATCH; i++) {
        listener->vectors[i] = (struct iovec){.iov_base = listener->buffers + (gsize)i * STRIDE,
                                              .iov_len = LISTENER_DATAGRAM_MAX};
        struct msghdr *header = &listener->headers[i].msg_hdr;
        header->msg_iov = &listener->vectors[i];
        header->msg_iovlen = 1;
        header->msg_name = &listener->senders[i];
        header->msg_control = listener->controls[i];
    }
}

Listener *listener_open(const char *uri, gint64 rcvbuf_bytes, GError **error)
{
    int fd = open_socket(uri, error);
    if (fd < 0)
        return NULL;
    Listener *listener = g_new0(Listener, 1);
    listener->fd = fd;
    listener->port = bound_port(fd);
    set_rcvbuf(listener, uri, rcvbuf_bytes);
    prepare_buffers(listener);
    return listener;
}

void listener_close(Listener *listener)
{
    if (listener == NULL)
        return;
    close(listener->fd);
    g_free(listener->buffers);
    g_free(listener);
}

int listener_fd(const Listener *listener)
{
    return listener->fd;
}

guint16 listener_port(const Listener *listener)
{
    return listener->port;
}

gint64 listener_rcvbuf(const Listener *listener)
{
    return listener->rcvbuf_bytes;
}

static void read_sender(const Name *from, Datagram *out)
{
    if (from->any.sa_family == AF_INET6) {
        out->sender = pst_addr_v6_bytes(from->v6.sin6_addr.s6_addr);
        out->port = ntohs(from->v6.sin6_port);
    } else {
        out->sender = pst_addr_v4(ntohl(from->v4.sin_addr.s_addr));
        out->port = ntohs(from->v4.sin_port);
    }
}

static void read_control(Listener *listener, struct msghdr *header, Datagram *out,
                         guint64 *out_dropped)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(c), sizeof at);
            out->kernel_ns = at.tv_sec * NS_PER_S + at.tv_nsec;
        } else if (c->cmsg_type == SO_RXQ_OVFL) {
            guint32 overflow;
            memcpy(&overflow, CMSG_DATA(c), sizeof overflow);
            *out_dropped += overflow - listener->overflow;
            listener->overflow = overflow;
        }
    }
}

guint listener_receive(Listener *listener, ListenerDatagram visit, gpointer user,
                       guint64 *out_dropped)
{
    for (guint i = 0; i < LISTENER_BATCH; i++) {
        struct msghdr *header = &listener->headers[i].msg_hdr;
        header->msg_namelen = sizeof listener->senders[i];
        header->msg_controllen = CONTROL_MAX;
    }
    int n = recvmmsg(listener->fd, listener->headers, LISTENER_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        struct mmsghdr *header = &listener->headers[i];
        Datagram datagram = {.payload = listener->vectors[i].iov_base,
                             .len = header->msg_len,
                             .truncated = (header->msg_hdr.msg_flags & MSG_TRUNC) != 0};
        read_sender(&listener->senders[i], &datagram);
        read_control(listener, &header->msg_hdr, &datagram, out_dropped);
        visit(user, &datagram);
    }
    return n > 0 ? (guint)n : 0;
}
