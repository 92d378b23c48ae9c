/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Sends recorded exports again: each recorded sender (address and port) gets a socket of its own,
 * so that sessions stay apart, bound to its recorded port where that is free.
 * With map_senders each recorded address becomes one of 127.0.1.1, 127.0.1.2 … in the order of
 * their first datagrams, so that a collector on this host sees as many exporters as there were.
 * Thread: its owner's. */
#include "clock.h"
#include "listener.h"

typedef struct Replay Replay;

typedef struct {
    const char *to;       /* HOST:PORT, [HOST6]:PORT; numbers or a name */
    gboolean map_senders; /* only to 127.0.0.0/8 */
    double speed;         /* 2 = twice as fast as recorded; 0 = as fast as it goes */
} ReplayOptions;

typedef struct {
    guint64 sent; /* datagrams that the kernel took */
    guint64 bytes;
    guint64 refused; /* nobody listened there (told by the kernel with the next datagram) */
    guint64 failed;  /* other errors of sending */
    guint senders;   /* recorded addresses */
} ReplayCounts;

/* @error USAGE (address; map_senders to elsewhere), IO. Given. */
Replay *replay_new(const ReplayOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Accepts NULL. */
void replay_free(Replay *replay);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Replay, replay_free)

/* How long to wait before a datagram recorded at @recorded_ns is due, ns; ≤ 0: now. The first call
 * starts the clock. A recording whose time steps back is not waited for. */
gint64 replay_wait_ns(Replay *replay, gint64 recorded_ns, PstMono now);

/* Sends @datagram. A datagram that cannot be sent is counted; @error: no socket can be made. */
gboolean replay_send(Replay *replay, const Datagram *datagram, GError **error);

const ReplayCounts *replay_counts(const Replay *replay);
