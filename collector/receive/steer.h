/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which worker an exporter belongs to: its address decides, and nothing else. A router's line
 * cards send from several ports; their templates, options and flows must meet in one worker.
 *
 * The kernel is told the same rule: a classic BPF program on a group of SO_REUSEPORT sockets hashes
 * the source address of each datagram (or SYN) and names the socket. Without it the kernel would
 * hash the ports, too.
 * Thread: any; pure. */
#include "postern/addr.h"

/* A number below @n (≥ 1), the same in every run; @addr of either family. */
guint steer_worker(const PstAddr *addr, guint n);

/* Makes the group of sockets that @fd will be the first member of steer so. Before @fd is bound;
 * the sockets must join (UDP: bind, TCP: listen) in the order of their workers. FALSE: errno. */
gboolean steer_attach(int fd, guint n) G_GNUC_WARN_UNUSED_RESULT;
