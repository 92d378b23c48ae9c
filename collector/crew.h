/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The collector's workers: one thread each, with sockets, exporters and a bus connection of its
 * own. An exporter's address decides its worker (steer.h); nothing that changes is shared but
 * counters.
 *
 *   main ── rules, end ──▶ worker 1, worker 2, …
 *        ◀── ready? alive? failed? ──
 *
 * On the bus a single worker is the producer NAME, several are NAME/1, NAME/2 … Another number of
 * workers after a restart is harmless: an exporter's batches then come from another producer, whose
 * epoch is the new start's, and what the old one had left was delivered or given up before it
 * ended. A worker that fails ends the crew. Thread: main's; crew_ready from any. */
#include "worker.h"

enum { CREW_MAX = 64 };

typedef struct Crew Crew;

/* @options are those of one worker: producer is NAME, bounds in bytes are those of all together.
 * @rules_take is taken. @error as worker_new, worker_tick. Given. */
Crew *crew_new(const WorkerOptions *options, guint n, Rules *rules_take, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Not while its threads run. Accepts NULL. */
void crew_free(Crew *crew);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Crew, crew_free)

/* Opens a socket for each worker; before crew_start. @error as endpoint_open. */
gboolean crew_listen(Crew *crew, const char *uri, gint64 rcvbuf_bytes, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* The worker that takes capture files; until crew_start. Borrowed. */
Worker *crew_reader(Crew *crew);

/* @error IO: no thread; then those that run go on until crew_stop. */
gboolean crew_start(Crew *crew, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Readable when a worker has ended by itself; for poll. */
int crew_fd(const Crew *crew);
gboolean crew_failed(Crew *crew);
/* Has every worker turned round lately? (for the watchdog) */
gboolean crew_alive(Crew *crew);

/* New rules; returns when every worker goes by them. @rules is taken. */
void crew_reload_take(Crew *crew, Rules *rules);

/* The end: every worker takes what has arrived and delivers what it has, within ten seconds.
 * @error: of the first worker that failed, before or now; those of others are logged. */
gboolean crew_stop(Crew *crew, GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean crew_ready(Crew *crew, GString *out_reasons);
