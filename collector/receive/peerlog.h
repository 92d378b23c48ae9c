/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* When to write a log line about a peer: at most one a period and address, and at most
 * PEERLOG_LINES a period about all of them, so that nobody can flood the log, from however many
 * addresses. Bounded in memory. Thread: its owner's. */
#include "postern/addr.h"

enum { PEERLOG_LINES = 60 };

typedef struct PeerLog PeerLog;

/* @period_ns > 0. Given. */
PeerLog *peerlog_new(gint64 period_ns);
/* Accepts NULL. */
void peerlog_free(PeerLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PeerLog, peerlog_free)

/* Something happened to @addr. TRUE: write a line; @out_times tells how often it happened since the
 * last line about it (this time included). @now_ns monotonic. */
gboolean peerlog_due(PeerLog *log, const PstAddr *addr, gint64 now_ns, guint64 *out_times);
