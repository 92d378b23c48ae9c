/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What /metrics shows of exporters and of their domains: the ledger of both, and of an exporter
 * also its clock, its templates, and what it tells of itself. The number of series is bounded:
 *
 *   exporters   the first `max` that send a record
 *   domains     the first `max` of them, and SHOWN_DOMAINS_EACH of one exporter, that send a record
 *   interfaces  the first INTERFACES_SHOWN_MAX names
 *
 * Series stay when what they show is forgotten, as Prometheus wants it. Thread: the worker's. */
#include "exporter.h"

enum { SHOWN_DOMAINS_EACH = 32 };

typedef struct {
    PstStats *stats; /* borrowed; NULL: nothing is shown */
    guint max;
    guint n_exporters; /* now */
    guint n_domains;   /* ever, as the next */
    guint n_interfaces;
} Shown;

/* Sets @exporter's series, makes them if it has proven to be one, and makes remarks to the log. */
void shown_exporter(Shown *shown, Exporter *exporter);

/* @exporter goes; its domains' cells are theirs to free. */
void shown_forget(Shown *shown, Exporter *exporter);
