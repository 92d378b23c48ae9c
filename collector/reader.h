/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reads capture files into a worker, as fast as it goes, with progress on a terminal and one line
 * at the end of each. An IPFIX file is one transport session (exporter.h, Stream), and so are the
 * flows of a capture of packets (packets.h), whose exporter is 0.0.0.0.
 * Thread: main's, before the worker's own runs. */
#include "packets.h"
#include "run.h"
#include "worker.h"

typedef struct {
    PacketsMode packets;
    guint32 packets_sampled; /* packets of a capture are 1 of so many; ≥ 1 */
} ReaderOptions;

/* @session a number of its own for each file, from 1. Ends early, and says so, when the program is
 * asked to stop. @error IO, DATA (what came before is taken), or as worker_tick_at. */
gboolean reader_file(PstRun *run, Worker *worker, const ReaderOptions *options, const char *path,
                     guint32 session, GError **error) G_GNUC_WARN_UNUSED_RESULT;
