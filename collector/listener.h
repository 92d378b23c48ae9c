/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A UDP socket that receives flow exports: many datagrams a system call (recvmmsg), each with the
 * kernel's receive time (SO_TIMESTAMPNS), and the count of what the socket's queue had no room for
 * (SO_RXQ_OVFL). With SO_REUSEPORT, so that several workers can share an address.
 * Thread: its worker's. */
#include "postern/addr.h"
#include "postern/error.h"

enum { LISTENER_BATCH = 64, LISTENER_DATAGRAM_MAX = 65535 };

typedef struct Listener Listener;

/* @payload borrowed until the callback returns. @kernel_ns UTC ns of the machine's clock. */
typedef struct {
    const guint8 *payload;
    gsize len;
    gboolean truncated; /* longer than LISTENER_DATAGRAM_MAX: cannot be, but is asked */
    PstAddr sender;
    guint16 port; /* of the sender */
    gint64 kernel_ns;
} Datagram;

typedef void (*ListenerDatagram)(gpointer user, const Datagram *datagram);

/* @uri "udp://ADDR:PORT", "udp://[ADDR6]:PORT", "udp://:PORT" (all addresses, both families).
 * @rcvbuf_bytes is asked for; what the kernel gave is logged if it is less. @error USAGE, IO.
 * Given. */
Listener *listener_open(const char *uri, gint64 rcvbuf_bytes, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void listener_close(Listener *listener);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listener, listener_close)

int listener_fd(const Listener *listener);
/* The port, for tests that bind port 0. */
guint16 listener_port(const Listener *listener);
/* Bytes that the kernel gave the queue. */
gint64 listener_rcvbuf(const Listener *listener);

/* Takes up to LISTENER_BATCH waiting datagrams, without blocking. Returns their number; 0: none.
 * @out_dropped grows by what the kernel dropped since the last call. */
guint listener_receive(Listener *listener, ListenerDatagram visit, gpointer user,
                       guint64 *out_dropped);
