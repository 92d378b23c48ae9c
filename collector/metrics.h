/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The collector's own numbers as Prometheus sees them. The hot path counts in plain fields; once a
 * second what they grew by goes into cells. All workers' growth goes into the same cells, which so
 * are sums (of gauges, too); what tells the workers apart has a label `worker`.
 * Thread: the worker's. */
#include "decoder.h"
#include "publish.h"
#include "roster.h"
#include "saver.h"
#include "stats.h"
#include "tcp.h"

typedef struct {
    const DecoderCounts *decoder;
    const PublisherCounts *publisher;
    const HoldBudget *budget;
    const TcpCounts *tcp;
    const RosterCounts *roster;
    guint exporters;
    guint64 datagrams;
    guint64 bytes;
    guint64 kernel_dropped;
    guint64 cpu_us; /* of the worker's thread */
    const SaverCounts *saver;
} MetricsSource;

typedef struct Metrics Metrics;
/* @worker its number, from 1. @stats borrowed. Given. */
Metrics *metrics_new(PstStats *stats, guint worker);
void metrics_free(Metrics *metrics);
void metrics_show(Metrics *metrics, const MetricsSource *source);
