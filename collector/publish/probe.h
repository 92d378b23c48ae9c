/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Asks, in a thread of its own, until a bus answers and has the topics: a broker that is away lets
 * a question hang for seconds, and the worker has sockets to empty meanwhile. Thread: the owner's;
 * the probe's own thread and bus connection are inside. */
#include "postern/bus.h"

typedef struct Probe Probe;

/* @uri and @topics (NULL-terminated) are borrowed for the probe's life. Given. */
Probe *probe_start(const char *uri, const char *const *topics, gint32 partitions);
/* TRUE: the bus has answered; asking it now is quick. Also TRUE when it has answered with an error
 * that waiting will not heal: the same question will say which. */
gboolean probe_answered(const Probe *probe);
/* Waits for a question that hangs (seconds at most). Accepts NULL. */
void probe_free(Probe *probe);
