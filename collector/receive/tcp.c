/* SPDX-License-Identifier: Apache-2.0 */
#include "tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "frame.h"
#include "log.h"
#include "peerlog.h"
#include "steer.h"

enum {
    EVENTS_MAX = 64,    /* a turn */
    ACCEPTS_MAX = 64,   /* a turn */
    READ_BYTES = 65536, /* a system call … */
    READS_MAX = 4,      /* … and calls a connection and turn */
    KEEPALIVE_S = 60,   /* silence after which the kernel asks whether the peer still lives … */
    KEEPALIVE_EVERY_S = 20,
    KEEPALIVE_TIMES = 3 /* … so often, before it says no */
};
#define TRY_AGAIN_NS PST_NS_PER_S
#define LINE_NS      (60 * PST_NS_PER_S)
#define YOUNG_NS     (10 * PST_NS_PER_S) /* time to send a first message in */

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} Name;

typedef struct {
    int fd;
    guint32 stream;
    PstAddr addr;
    guint16 port;
    guint64 messages;
    gint64 good_ns;  /* monotonic: when it was made, or completed a message */
    gint64 begun_ns; /* when the incomplete message began; 0: there is none */
    Frame frame;
} Connection;

struct Tcp {
    TcpOptions options;
    int fd;          /* listening */
    int epoll_fd;    /* of fd (data NULL) and all connections */
    gint64 again_ns; /* accept again then; 0: it is not held up */
    gint64 now_ns;   /* monotonic, as of the last tick or turn */
    gint64 ticked_ns;
    GHashTable *connections; /* of Connection, a set; owned */
    PeerLog *log;
    PstLogLimit accept_log;
    guint8 bytes[READ_BYTES];
};

static const char *const end_names[TCP_END_COUNT] = {
#define TCP_END_NAME(identifier, name, text) [TCP_END_##identifier] = name,
    TCP_ENDS(TCP_END_NAME)
#undef TCP_END_NAME
};
static const char *const end_texts[TCP_END_COUNT] = {
#define TCP_END_TEXT(identifier, name, text) [TCP_END_##identifier] = text,
    TCP_ENDS(TCP_END_TEXT)
#undef TCP_END_TEXT
};

const char *tcp_end_name(TcpEnd end)
{
    return end_names[end];
}

static gboolean watch(const Tcp *tcp, int operation, int fd, guint32 events, gpointer data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};
    return epoll_ctl(tcp->epoll_fd, operation, fd, &event) == 0;
}

Tcp *tcp_new_take(int fd, const TcpOptions *options, GError **error)
{
    Tcp *tcp = g_new0(Tcp, 1);
    tcp->options = *options;
    tcp->fd = fd;
    tcp->connections = g_hash_table_new(NULL, NULL);
    tcp->log = peerlog_new(LINE_NS);
    tcp->now_ns = pst_mono_now().ns;
    tcp->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (tcp->epoll_fd >= 0 && watch(tcp, EPOLL_CTL_ADD, fd, EPOLLIN, NULL))
        return tcp;
    g_set_error(error, PST_ERROR, PST_ERROR_IO, "epoll: %s", g_strerror(errno));
    tcp_free(tcp);
    return NULL;
}

/* --- ends ------------------------------------------------------------------------------------ */

/* Is the operator to know? Not of what is in order, nor of what we did ourselves. */
static gboolean is_trouble(TcpEnd end)
{
    return end != TCP_END_PEER && end != TCP_END_ELSEWHERE && end != TCP_END_STOP &&
           end != TCP_END_NOT_ADMITTED; /* told by who keeps the list */
}

static void count_end(Tcp *tcp, const PstAddr *addr, guint16 port, guint64 messages, TcpEnd end)
{
    guint64 times = 0;
    tcp->options.counts->ended[end]++;
    if (!is_trouble(end) || !peerlog_due(tcp->log, addr, tcp->now_ns, &times))
        return;
    char text[PST_ADDR_TEXT_MAX];
    g_autofree char *subject = g_strconcat("exporter ", pst_addr_format(addr, text), NULL);
    pst_log(PST_LOG_WARN, subject,
            "TCP connection closed: %s reason=%s port=%u messages=%" G_GUINT64_FORMAT
            " closed_since_last_line=%" G_GUINT64_FORMAT,
            end_texts[end], end_names[end], port, messages, times);
}

/* The beginning of a message whose end will not come. */
static void give_rest(Tcp *tcp, const Connection *connection)
{
    if (frame_waiting(&connection->frame) == 0)
        return;
    Datagram rest = {.payload = connection->frame.bytes,
                     .len = frame_waiting(&connection->frame),
                     .truncated = TRUE,
                     .sender = connection->addr,
                     .port = connection->port,
                     .stream = connection->stream,
                     .kernel_ns = g_get_real_time() * 1000};
    tcp->options.message(tcp->options.user, &rest);
}

static void end_connection(Tcp *tcp, Connection *connection, TcpEnd end)
{
    count_end(tcp, &connection->addr, connection->port, connection->messages, end);
    give_rest(tcp, connection);
    tcp->options.ended(tcp->options.user, &connection->addr, connection->stream);
    tcp->options.counts->connections--;
    g_hash_table_remove(tcp->connections, connection);
    close(connection->fd); /* and epoll forgets it */
    frame_clear(&connection->frame);
    g_free(connection);
}

/* Ends each connection for the reason that @judge gives, if it gives one. */
static void end_some(Tcp *tcp, TcpEnd (*judge)(const Tcp *tcp, const Connection *connection))
{
    g_autoptr(GList) all = g_hash_table_get_keys(tcp->connections);
    for (GList *at = all; at != NULL; at = at->next) {
        TcpEnd end = judge(tcp, at->data);
        if (end != TCP_END_COUNT)
            end_connection(tcp, at->data, end);
    }
}

static TcpEnd judge_stop(const Tcp *tcp, const Connection *connection)
{
    return TCP_END_STOP;
}

static TcpEnd judge_admission(const Tcp *tcp, const Connection *connection)
{
    return tcp->options.admits(tcp->options.user, &connection->addr) ? TCP_END_COUNT
                                                                     : TCP_END_NOT_ADMITTED;
}

static TcpEnd judge_pace(const Tcp *tcp, const Connection *connection)
{
    if (connection->begun_ns != 0 && tcp->now_ns - connection->begun_ns >= TCP_SLOW_NS)
        return TCP_END_SLOW;
    return tcp->now_ns - connection->good_ns >= tcp->options.idle_ns ? TCP_END_IDLE : TCP_END_COUNT;
}

void tcp_free(Tcp *tcp)
{
    if (tcp == NULL)
        return;
    end_some(tcp, judge_stop);
    g_hash_table_unref(tcp->connections);
    peerlog_free(tcp->log);
    close(tcp->fd);
    if (tcp->epoll_fd >= 0)
        close(tcp->epoll_fd);
    g_free(tcp);
}

void tcp_review(Tcp *tcp)
{
    end_some(tcp, judge_admission);
}

/* --- newcomers ------------------------------------------------------------------------------- */

/* The connection that may go when room is needed: of @addr (NULL: of anybody, then only one that
 * never completed a message and had time to), the one that is idle longest. */
static Connection *find_idle(Tcp *tcp, const PstAddr *addr, guint *out_n)
{
    Connection *idle = NULL;
    GHashTableIter iter;
    gpointer key;
    *out_n = 0;
    g_hash_table_iter_init(&iter, tcp->connections);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Connection *connection = key;
        gboolean counts = addr != NULL ? pst_addr_equal(&connection->addr, addr)
                                       : connection->messages == 0 &&
                                             tcp->now_ns - connection->good_ns >= YOUNG_NS;
        *out_n += counts;
        if (counts && (idle == NULL || connection->good_ns < idle->good_ns))
            idle = connection;
    }
    return idle;
}

/* An exporter that made many connections (it restarts, and its old ones were never ended) loses its
 * own oldest; nobody else's goes for a newcomer but one that never said anything. */
static gboolean make_room(Tcp *tcp, const PstAddr *addr)
{
    guint n;
    Connection *own = find_idle(tcp, addr, &n);
    if (n >= tcp->options.connections_each)
        end_connection(tcp, own, TCP_END_REPLACED);
    if (tcp->options.counts->connections < tcp->options.connections_max)
        return TRUE;
    Connection *silent = find_idle(tcp, NULL, &n);
    if (silent == NULL)
        return FALSE;
    end_connection(tcp, silent, TCP_END_REPLACED);
    return TRUE;
}

/* Why a newcomer may not stay; COUNT: he may. */
static TcpEnd judge_newcomer(Tcp *tcp, const PstAddr *addr)
{
    const TcpOptions *options = &tcp->options;
    if (steer_worker(addr, options->workers) + 1 != options->worker)
        return TCP_END_ELSEWHERE;
    if (!options->admits(options->user, addr))
        return TCP_END_NOT_ADMITTED;
    return make_room(tcp, addr) ? TCP_END_COUNT : TCP_END_FULL;
}

static void keep_alive(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S},
                   {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S},
                   {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TIMES}};
    for (gsize i = 0; i < G_N_ELEMENTS(options); i++) /* where it fails, idle_ns remains */
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

static void admit(Tcp *tcp, int fd, const PstAddr *addr, guint16 port)
{
    TcpEnd refusal = judge_newcomer(tcp, addr);
    tcp->options.counts->accepted++;
    if (refusal != TCP_END_COUNT) {
        count_end(tcp, addr, port, 0, refusal);
        close(fd);
        return;
    }
    Connection *connection = g_new0(Connection, 1);
    connection->fd = fd;
    connection->addr = *addr;
    connection->port = port;
    connection->good_ns = tcp->now_ns;
    connection->stream = MAX((guint32)tcp->options.counts->accepted, 1);
    g_hash_table_add(tcp->connections, connection);
    tcp->options.counts->connections++;
    keep_alive(fd);
    if (!watch(tcp, EPOLL_CTL_ADD, fd, EPOLLIN, connection))
        end_connection(tcp, connection, TCP_END_FAILED);
}

/* No descriptor, no memory: it is tried again in a second; until then poll is not woken. */
static void hold_up(Tcp *tcp)
{
    tcp->options.counts->accept_failures++;
    pst_log_limited(&tcp->accept_log, PST_LOG_ERR, "tcp",
                    "no new connection can be taken, tried again in a second: %s",
                    g_strerror(errno));
    tcp->again_ns = tcp->now_ns + TRY_AGAIN_NS;
    (void)watch(tcp, EPOLL_CTL_MOD, tcp->fd, 0, NULL);
}

static gboolean is_lack(int code)
{
    return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

static void accept_some(Tcp *tcp)
{
    for (guint i = 0; i < ACCEPTS_MAX; i++) {
        Name name = {0};
        socklen_t len = sizeof name;
        int fd = accept4(tcp->fd, &name.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && is_lack(errno)) {
            hold_up(tcp);
            return;
        }
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (fd < 0)
            continue; /* the newcomer has gone already */
        gboolean v6 = name.any.sa_family == AF_INET6;
        PstAddr addr = v6 ? pst_addr_v6_bytes(name.v6.sin6_addr.s6_addr)
                          : pst_addr_v4(ntohl(name.v4.sin_addr.s_addr));
        admit(tcp, fd, &addr, ntohs(v6 ? name.v6.sin6_port : name.v4.sin_port));
    }
}

/* --- bytes ----------------------------------------------------------------------------------- */

static gssize connection_read(const Connection *connection, guint8 *out, gsize max)
{
    gssize n;
    do
        n = recv(connection->fd, out, max, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Gives on what is complete. Returns COUNT, or why the connection is to be ended. */
static TcpEnd take_bytes(Tcp *tcp, Connection *connection, gsize n)
{
    Datagram datagram = {.sender = connection->addr,
                         .port = connection->port,
                         .stream = connection->stream,
                         .kernel_ns = g_get_real_time() * 1000};
    PstCursor piece = pst_cursor(tcp->bytes, n), message;
    FrameResult result;
    while ((result = frame_next(&connection->frame, &piece, &message)) == FRAME_MESSAGE) {
        datagram.payload = message.at;
        datagram.len = pst_cursor_left(&message);
        tcp->options.message(tcp->options.user, &datagram);
        connection->messages++;
        connection->good_ns = tcp->now_ns;
        connection->begun_ns = 0;
    }
    if (result != FRAME_MORE) {
        frame_clear(&connection->frame); /* no message of ours */
        return result == FRAME_VERSION ? TCP_END_VERSION : TCP_END_LENGTH;
    }
    if (connection->begun_ns == 0 && frame_waiting(&connection->frame) > 0)
        connection->begun_ns = tcp->now_ns;
    return TCP_END_COUNT;
}

static TcpEnd serve(Tcp *tcp, Connection *connection)
{
    for (guint i = 0; i < READS_MAX; i++) {
        gssize n = connection_read(connection, tcp->bytes, sizeof tcp->bytes);
        if (n == 0)
            return frame_waiting(&connection->frame) > 0 ? TCP_END_CUT : TCP_END_PEER;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? TCP_END_COUNT : TCP_END_FAILED;
        TcpEnd end = take_bytes(tcp, connection, (gsize)n);
        if (end != TCP_END_COUNT || (gsize)n < sizeof tcp->bytes)
            return end;
    }
    return TCP_END_COUNT;
}

int tcp_fd(const Tcp *tcp)
{
    return tcp->epoll_fd;
}

gboolean tcp_receive(Tcp *tcp)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(tcp->epoll_fd, events, EVENTS_MAX, 0);
    gboolean newcomers = FALSE;
    tcp->now_ns = pst_mono_now().ns;
    for (int i = 0; i < n; i++) {
        Connection *connection = events[i].data.ptr;
        if (connection == NULL) {
            newcomers = TRUE;
            continue;
        }
        TcpEnd end = serve(tcp, connection);
        if (end != TCP_END_COUNT)
            end_connection(tcp, connection, end);
    }
    if (newcomers) /* last: they may take the place of others, that have an event, too */
        accept_some(tcp);
    return n > 0;
}

void tcp_tick(Tcp *tcp, gint64 mono_ns)
{
    tcp->now_ns = mono_ns;
    if (tcp->again_ns != 0 && mono_ns >= tcp->again_ns) {
        tcp->again_ns = 0;
        (void)watch(tcp, EPOLL_CTL_MOD, tcp->fd, EPOLLIN, NULL);
    }
    if (mono_ns - tcp->ticked_ns < PST_NS_PER_S)
        return;
    tcp->ticked_ns = mono_ns;
    end_some(tcp, judge_pace);
}
