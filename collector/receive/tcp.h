/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* IPFIX over TCP (RFC 7011 §10.4): a listening socket and its connections. Each connection is one
 * transport session: whole messages of it are given on with its number, and then its end.
 *
 * Nobody can hold up the others. A connection keeps at most one incomplete message (64 KiB) and
 * reads a bounded amount a turn; one whose message is not complete in TCP_SLOW_NS, or that
 * completed none for idle_ns, is closed; so is one that sends no IPFIX. Where there are too many,
 * the idle go first. When the process has no descriptor left, newcomers wait in the kernel and it
 * is tried again a second later.
 *
 * TLS would stand where connection_read() reads bytes; nothing else knows where they come from.
 * Thread: its worker's. */
#include "listener.h"

#define TCP_SLOW_NS G_GINT64_CONSTANT(30000000000)

/* Why a connection was closed: X(identifier, name, sentence) */
#define TCP_ENDS(X)                                                                                \
    X(PEER, "peer", "the exporter ended it")                                                       \
    X(CUT, "cut", "the exporter ended it inside a message")                                        \
    X(FAILED, "failed", "it broke")                                                                \
    X(VERSION, "version", "what it sent is no IPFIX")                                              \
    X(LENGTH, "length", "a message said that it is shorter than its header")                       \
    X(SLOW, "slow", "a message was not complete within 30 s")                                      \
    X(IDLE, "idle", "nothing came for too long")                                                   \
    X(REPLACED, "replaced", "idle, when room was needed for another one")                          \
    X(FULL, "full", "there were too many connections")                                             \
    X(NOT_ADMITTED, "not-admitted", "the exporter is not on the list")                             \
    X(ELSEWHERE, "elsewhere", "made while the collector was starting: another worker's")           \
    X(STOP, "stop", "the collector ended")

typedef enum {
#define TCP_END_ENUM(identifier, name, text) TCP_END_##identifier,
    TCP_ENDS(TCP_END_ENUM)
#undef TCP_END_ENUM
        TCP_END_COUNT
} TcpEnd;

/* "peer", "cut", … */
const char *tcp_end_name(TcpEnd end);

typedef struct {
    guint64 accepted; /* so many; the number of the last one's stream, too */
    guint64 ended[TCP_END_COUNT];
    guint64 accept_failures;
    guint connections; /* now */
} TcpCounts;

typedef struct {
    guint connections_max;
    guint connections_each; /* of one exporter's address */
    gint64 idle_ns;
    guint worker, workers; /* number from 1, and of how many (steer.h) */
    TcpCounts *counts; /* borrowed; all sockets of a worker share one: its bounds hold for all */
    /* Is this exporter admitted? */
    gboolean (*admits)(gpointer user, const PstAddr *addr);
    /* One whole message, its stream set; or, marked as truncated, what a connection that ended left
     * of one. */
    ListenerDatagram message;
    void (*ended)(gpointer user, const PstAddr *addr, guint32 stream);
    gpointer user;
} TcpOptions;

typedef struct Tcp Tcp;

/* @fd a listening TCP socket of endpoint.h; it is taken. @error IO. Given. */
Tcp *tcp_new_take(int fd, const TcpOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Ends all connections. Accepts NULL. */
void tcp_free(Tcp *tcp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tcp, tcp_free)

/* Readable when tcp_receive has something to do. */
int tcp_fd(const Tcp *tcp);

/* Takes newcomers and what has arrived, a bounded amount. TRUE: there may be more. */
gboolean tcp_receive(Tcp *tcp);

/* Closes what is slow or idle; at least every second. */
void tcp_tick(Tcp *tcp, gint64 mono_ns);

/* After new rules: closes the connections of who is not admitted any more. */
void tcp_review(Tcp *tcp);
