/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where to listen: "udp://ADDR:PORT", "tcp://[ADDR6]:PORT", "udp://:PORT" (all addresses, both
 * families), and the sockets that are bound there, one for each worker.
 *
 * One worker has the address for itself. Several share it (SO_REUSEPORT), each hearing the
 * exporters that steer.h gives it. UDP sockets begin to hear when all of them are bound, so that
 * nobody's first datagram gets to the wrong worker; a connection made while the TCP ones are being
 * opened may, and is the worker's to refuse. A second collector on the same address is refused
 * either way.
 * Thread: any. */
#include "postern/error.h"

/* A worker is told by its number in a socket group: no group is larger. */
enum { ENDPOINT_SOCKETS_MAX = 64 };

gboolean endpoint_is_tcp(const char *uri);

/* Fills @out_fds with @n sockets, not blocking, TCP ones listening. @error USAGE, IO. The sockets
 * are given. */
gboolean endpoint_open(const char *uri, guint n, int *out_fds, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* The port that a socket is bound to, for tests that bind port 0. */
guint16 endpoint_port(int fd);
