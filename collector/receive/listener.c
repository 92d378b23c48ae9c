/* SPDX-License-Identifier: Apache-2.0 */
#include "listener.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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
    gint64 rcvbuf_bytes;
    guint32 overflow; /* the kernel's count, as last told */
    guint8 *buffers;  /* LISTENER_BATCH × STRIDE; owned */
    struct mmsghdr headers[LISTENER_BATCH];
    struct iovec vectors[LISTENER_BATCH];
    Name senders[LISTENER_BATCH];
    _Alignas(struct cmsghdr) guint8 controls[LISTENER_BATCH][CONTROL_MAX];
};

static void set_rcvbuf(Listener *listener, gint64 wanted)
{
    int bytes = (int)CLAMP(wanted, 4096, G_MAXINT / 2);
    if (setsockopt(listener->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(listener->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    int given = 0;
    socklen_t len = sizeof given;
    if (getsockopt(listener->fd, SOL_SOCKET, SO_RCVBUF, &given, &len) != 0)
        given = 0;
    listener->rcvbuf_bytes = given / 2; /* the kernel doubles it for its own needs */
}

/* The kernel's count of what it dropped since the socket was made; it wraps. */
static guint32 overflow_of(const Listener *listener)
{
    guint32 info[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof info;
    return getsockopt(listener->fd, SOL_SOCKET, SO_MEMINFO, info, &len) == 0
               ? info[SK_MEMINFO_DROPS]
               : listener->overflow;
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

Listener *listener_new_take(int fd, gint64 rcvbuf_bytes)
{
    Listener *listener = g_new0(Listener, 1);
    listener->fd = fd;
    set_rcvbuf(listener, rcvbuf_bytes);
    int one = 1; /* where it fails, our own clock stands in */
    (void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    listener->overflow = overflow_of(listener);
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

static void read_time(struct msghdr *header, Datagram *out)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS)
            continue;
        struct timespec at;
        memcpy(&at, CMSG_DATA(c), sizeof at);
        out->kernel_ns = at.tv_sec * NS_PER_S + at.tv_nsec;
    }
}

guint listener_receive(Listener *listener, ListenerDatagram visit, gpointer user)
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
        read_time(&header->msg_hdr, &datagram);
        visit(user, &datagram);
    }
    return n > 0 ? (guint)n : 0;
}

guint64 listener_take_dropped(Listener *listener)
{
    guint32 overflow = overflow_of(listener);
    guint32 dropped = overflow - listener->overflow;
    listener->overflow = overflow;
    return dropped;
}
