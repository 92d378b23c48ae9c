/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A UDP socket that receives flow exports: many datagrams a system call (recvmmsg), each with the
 * kernel's receive time (SO_TIMESTAMPNS), and the count of what the socket's queue had no room for
 * (SO_MEMINFO). Thread: its worker's. */
#include "postern/addr.h"
#include "postern/error.h"

enum { LISTENER_BATCH = 64, LISTENER_DATAGRAM_MAX = 65535 };

typedef struct Listener Listener;

/* What came at once: a datagram; or a message of a TCP connection or a file.
 * @payload borrowed until the callback returns. @kernel_ns UTC ns of the machine's clock. */
typedef struct {
    const guint8 *payload;
    gsize len;
    gboolean truncated; /* the end is missing */
    PstAddr sender;
    guint16 port;   /* of the sender */
    guint32 stream; /* number of the TCP connection or file; 0: a datagram */
    gint64 kernel_ns;
} Datagram;

typedef void (*ListenerDatagram)(gpointer user, const Datagram *datagram);

/* @fd a bound UDP socket of endpoint.h; it is taken. @rcvbuf_bytes of queue are asked for;
 * listener_rcvbuf tells what the kernel gave. Given. */
Listener *listener_new_take(int fd, gint64 rcvbuf_bytes);
void listener_close(Listener *listener);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listener, listener_close)

int listener_fd(const Listener *listener);
/* Bytes that the kernel gave the queue. */
gint64 listener_rcvbuf(const Listener *listener);

/* Takes up to LISTENER_BATCH waiting datagrams, without blocking. Returns their number; 0: none. */
guint listener_receive(Listener *listener, ListenerDatagram visit, gpointer user);

/* How many datagrams the kernel had no room for since the last call. */
guint64 listener_take_dropped(Listener *listener);
