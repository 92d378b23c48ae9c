/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reads capture files into a worker, as fast as it goes, with progress on a terminal and one line
 * at the end of each. An IPFIX file is one transport session (exporter.h, Stream).
 * Thread: main's, before the worker's own runs. */
#include "run.h"
#include "worker.h"

/* @session a number of its own for each file, from 1. Ends early, and says so, when the program is
 * asked to stop. @error IO, DATA (what came before is taken), or as worker_tick_at. */
gboolean reader_file(PstRun *run, Worker *worker, const char *path, guint32 session, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
