/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

enum { MAPPED_NETWORK = 0x7f000100 /* 127.0.1.0 */, MAPPED_MAX = 0xfe00, SNDBUF = 4 * 1024 * 1024 };

/* A recorded sender's socket. */
typedef struct {
    PstAddr addr;
    guint16 port;
    int fd;
} Session;

struct Replay {
    ReplayOptions options;
    struct sockaddr_storage target;
    socklen_t target_len;
    GArray *sessions;  /* of Session */
    GArray *addresses; /* of PstAddr: index + 1 is the last part of 127.0.1.x */
    gint64 first_ns;   /* recorded */
    PstMono started;   /* ns 0: not yet */
    ReplayCounts counts;
};

static gboolean resolve(Replay *replay, const char *to, GError **error)
{
    const char *colon = strrchr(to, ':');
    if (colon == NULL || colon == to || colon[1] == '\0') {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "--to %s: write HOST:PORT", to);
        return FALSE;
    }
    gboolean bracketed = to[0] == '[' && colon[-1] == ']';
    g_autofree char *host =
        bracketed ? g_strndup(to + 1, (gsize)(colon - to) - 2) : g_strndup(to, (gsize)(colon - to));
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(host, colon + 1, &hints, &list);
    if (code != 0) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE, "--to %s: %s", to, gai_strerror(code));
        return FALSE;
    }
    memcpy(&replay->target, list->ai_addr, list->ai_addrlen);
    replay->target_len = list->ai_addrlen;
    freeaddrinfo(list);
    return TRUE;
}

static gboolean is_loopback4(const struct sockaddr_storage *target)
{
    return target->ss_family == AF_INET &&
           ntohl(((const struct sockaddr_in *)target)->sin_addr.s_addr) >> 24 == 127;
}

static void session_clear(gpointer data)
{
    close(((Session *)data)->fd);
}

Replay *replay_new(const ReplayOptions *options, GError **error)
{
    g_autoptr(Replay) replay = g_new0(Replay, 1);
    replay->options = *options;
    replay->sessions = g_array_new(FALSE, FALSE, sizeof(Session));
    g_array_set_clear_func(replay->sessions, session_clear);
    replay->addresses = g_array_new(FALSE, FALSE, sizeof(PstAddr));
    if (!resolve(replay, options->to, error))
        return NULL;
    if (options->map_senders && !is_loopback4(&replay->target)) {
        g_set_error(error, PST_ERROR, PST_ERROR_USAGE,
                    "--map-senders sends from 127.0.1.x and so reaches only 127.0.0.0/8, not %s",
                    options->to);
        return NULL;
    }
    return g_steal_pointer(&replay);
}

void replay_free(Replay *replay)
{
    if (replay == NULL)
        return;
    g_array_unref(replay->sessions);
    g_array_unref(replay->addresses);
    g_free(replay);
}

gint64 replay_wait_ns(Replay *replay, gint64 recorded_ns, PstMono now)
{
    if (replay->started.ns == 0) {
        replay->started = now;
        replay->first_ns = recorded_ns;
    }
    if (replay->options.speed <= 0 || recorded_ns <= replay->first_ns)
        return 0;
    double due_ns = (double)(recorded_ns - replay->first_ns) / replay->options.speed;
    return (gint64)due_ns - pst_mono_since(now, replay->started).ns;
}

/* The number of @addr among the recorded addresses, from 1. */
static guint number_of(Replay *replay, const PstAddr *addr)
{
    for (guint i = 0; i < replay->addresses->len; i++) {
        if (pst_addr_equal(&g_array_index(replay->addresses, PstAddr, i), addr))
            return i + 1;
    }
    g_array_append_val(replay->addresses, *addr);
    replay->counts.senders = replay->addresses->len;
    if (replay->options.map_senders) {
        char from[PST_ADDR_TEXT_MAX], text[PST_ADDR_TEXT_MAX];
        PstAddr mapped = pst_addr_v4(MAPPED_NETWORK + replay->addresses->len % MAPPED_MAX);
        pst_log(PST_LOG_INFO, "replay", "sender %s is sent from %s", pst_addr_format(addr, text),
                pst_addr_format(&mapped, from));
    }
    return replay->addresses->len;
}

/* The recorded port if it is free, else any: the session stays one of its own all the same. */
static gboolean bind_source(const Replay *replay, int fd, guint number, guint16 port)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (replay->options.map_senders)
        any4.sin_addr.s_addr = htonl(MAPPED_NETWORK + number % MAPPED_MAX);
    if (replay->target.ss_family == AF_INET6) {
        if (bind(fd, (struct sockaddr *)&any6, sizeof any6) == 0)
            return TRUE;
        any6.sin6_port = 0;
        return bind(fd, (struct sockaddr *)&any6, sizeof any6) == 0;
    }
    if (bind(fd, (struct sockaddr *)&any4, sizeof any4) == 0)
        return TRUE;
    any4.sin_port = 0;
    return bind(fd, (struct sockaddr *)&any4, sizeof any4) == 0;
}

static int open_source(const Replay *replay, guint number, guint16 port, GError **error)
{
    int fd = socket(replay->target.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int bytes = SNDBUF;
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if (fd >= 0 && bind_source(replay, fd, number, port) &&
        connect(fd, (const struct sockaddr *)&replay->target, replay->target_len) == 0)
        return fd;
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "a socket to %s: %s", replay->options.to,
                g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static int fd_of(Replay *replay, const Datagram *datagram, GError **error)
{
    for (guint i = 0; i < replay->sessions->len; i++) {
        const Session *session = &g_array_index(replay->sessions, Session, i);
        if (session->port == datagram->port && pst_addr_equal(&session->addr, &datagram->sender))
            return session->fd;
    }
    Session session = {.addr = datagram->sender, .port = datagram->port};
    session.fd = open_source(replay, number_of(replay, &session.addr), session.port, error);
    if (session.fd >= 0)
        g_array_append_val(replay->sessions, session);
    return session.fd;
}

gboolean replay_send(Replay *replay, const Datagram *datagram, GError **error)
{
    int fd = fd_of(replay, datagram, error);
    if (fd < 0)
        return FALSE;
    ReplayCounts *counts = &replay->counts;
    gssize n = send(fd, datagram->payload, datagram->len, 0);
    if (n < 0 && errno == ECONNREFUSED) { /* told about an earlier one: this one was not sent yet */
        counts->refused++;
        n = send(fd, datagram->payload, datagram->len, 0);
    }
    if (n < 0) {
        counts->failed++;
        return TRUE;
    }
    counts->sent++;
    counts->bytes += (guint64)n;
    return TRUE;
}

const ReplayCounts *replay_counts(const Replay *replay)
{
    return &replay->counts;
}
