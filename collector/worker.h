/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One worker: sockets, exporters, decoder and publisher of one thread; nothing is shared with
 * another worker but the read-only rules. A datagram goes its whole way here, whether a socket or a
 * capture file brought it.
 * Thread: its own; worker_ready from any. */
#include "decoder.h"
#include "heirs.h"
#include "listener.h"
#include "state.h"

/* What a reload swaps. Read-only; all workers share it by reference. */
typedef struct {
    guint refs;             /* atomic */
    PstPrefixMap *networks; /* NULL: unknown */
    PstPrefixMap *admitted; /* NULL: everyone */
    char *list;             /* where admitted comes from: a file's name or "exporters" */
    char *learn;            /* file to write newcomers to (roster.h); NULL: none */
    PstPrefixMap *known;    /* what that file held; NULL without it */
    PstPrefixMap *rates;    /* NULL: none */
} Rules;

typedef struct {
    guint number; /* of the worker, from 1, and of how many */
    guint count;
    PublisherOptions publisher;
    const PortSet *ports; /* borrowed */
    guint exporters_max;
    gsize hold_bytes_max;
    gsize hold_domain_bytes;
    gint64 hold_s;
    gint64 template_lifetime_s;
    guint tcp_connections;      /* at a time */
    guint tcp_connections_each; /* of one exporter */
    gint64 tcp_idle_s;
    gboolean verify; /* ask libfixbuf for a second opinion on every data set */
    State *state;    /* borrowed; closed before worker_free; NULL: nothing outlives us */
    PstClock *clock; /* borrowed */
    PstStats *stats; /* borrowed */
} WorkerOptions;

typedef struct Worker Worker;

/* @rules is taken. @error as publisher_open. Given. */
Worker *worker_new(const WorkerOptions *options, Rules *rules_take, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Replays the spools that a run with another number of workers has left. @program: the options of
 * all workers together, its texts borrowed for the worker's life. @error as publisher_open. */
gboolean worker_inherit(Worker *worker, const PublisherOptions *program, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Accepts NULL. */
void worker_free(Worker *worker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Worker, worker_free)

/* @listener is taken. */
void worker_listen_take(Worker *worker, Listener *listener);
/* @fd, a listening TCP socket, is taken. @error IO. */
gboolean worker_listen_tcp_take(Worker *worker, int fd, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* File descriptors to poll. Borrowed until the next listen. */
guint worker_inputs(const Worker *worker);
int worker_input_fd(const Worker *worker, guint i);

/* Takes what waits at input @i, a bounded amount. TRUE: there may be more. */
gboolean worker_receive(Worker *worker, guint i);

/* Takes a datagram from elsewhere (a capture). @received_ns UTC ns. */
void worker_datagram(Worker *worker, const Datagram *datagram, gint64 received_ns);
/* Session @stream of @sender is over (a file was read). */
void worker_end_stream(Worker *worker, const PstAddr *sender, guint32 stream);
/* Counts so many packets of a capture that were not used. */
void worker_dropped(Worker *worker, Drop drop, guint64 times);

/* Heartbeats, batches, expiry, metrics; at least every 200 ms. @error as publisher_tick. */
gboolean worker_tick(Worker *worker, GError **error);
/* The same for captures, whose time runs as fast as they are read. */
gboolean worker_tick_at(Worker *worker, gint64 now_ns, GError **error);

/* New rules from the next datagram on. @rules is taken. */
void worker_reload_take(Worker *worker, Rules *rules);

/* What was taken, and what came of it. */
typedef struct {
    guint64 datagrams; /* messages of files and connections count, too */
    guint64 bytes;
    guint64 records;
    guint64 flows;   /* written */
    guint64 dropped; /* by whatever reason: datagrams, sets, templates, records, packets */
} WorkerReport;
WorkerReport worker_report(const Worker *worker);

/* The end: last heartbeats, everything delivered within @timeout_ms. */
gboolean worker_finish(Worker *worker, int timeout_ms, GError **error);

gboolean worker_ready(const Worker *worker, GString *out_reasons);

/* One reference, nothing in it. Given. */
Rules *rules_new(void);
/* Thread: any. */
Rules *rules_ref(Rules *rules);
/* Accepts NULL. Thread: any. */
void rules_unref(Rules *rules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rules, rules_unref)
