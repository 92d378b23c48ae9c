/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One worker's side of the state file: brings an exporter's domains back when its first datagram
 * comes, and hands over what changed, once a second.
 *
 * A domain's memory is due when something of it changed, and every SAVER_RENEW_S while the exporter
 * sends (so that the file knows which templates are in use); its sequences are due when something
 * came. At most SAVER_DOMAINS_MAX domains and SAVER_BYTES_MAX bytes of memory of proven exporters a
 * second, and a quarter of these of others: with more of them each is due less often, and a storm
 * of forged senders can neither keep the good ones out nor wear the disk down. While a batch is on
 * its way to the disk nothing is handed over: memory is bounded by one batch a worker. Thread: the
 * worker's.
 */
#include "state.h"

enum { SAVER_DOMAINS_MAX = 4096, SAVER_BYTES_MAX = 4 << 20, SAVER_RENEW_S = 60 };

typedef struct {
    guint64 domains;   /* brought back */
    guint64 templates; /* the same */
    guint64 old;       /* templates left behind: not in use for longer than their lifetime */
    guint64 refused;   /* items of the file that break a rule */
} SaverCounts;

typedef struct Saver Saver;

/* @state borrowed until saver_free; must be closed before. @lifetime_s of templates. Given. */
Saver *saver_new(State *state, gint64 lifetime_s);
/* Accepts NULL. */
void saver_free(Saver *saver);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Saver, saver_free)

/* For ExportersOptions; @saver as gpointer. */
void saver_born(gpointer saver, Exporters *exporters, Exporter *exporter, gint64 now_ns);
void saver_gone(gpointer saver, const Domain *domain);

/* At least once a second. @last: the end of the program, all that changed is handed over. */
void saver_tick(Saver *saver, Exporters *exporters, gint64 now_ns, gboolean last);

/* NULL counts nothing. */
const SaverCounts *saver_counts(const Saver *saver);
