/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The collector's own numbers as Prometheus sees them. The hot path counts in plain fields; once a
 * second they are copied into cells. Thread: the worker's. */
#include "decoder.h"
#include "publish.h"
#include "stats.h"

typedef struct {
    const DecoderCounts *decoder;
    const PublisherCounts *publisher;
    const HoldBudget *budget;
    guint exporters;
    guint64 datagrams;
    guint64 bytes;
    guint64 kernel_dropped;
} MetricsSource;

typedef struct Metrics Metrics;
Metrics *metrics_new(PstStats *stats);
void metrics_free(Metrics *metrics);
void metrics_show(Metrics *metrics, const MetricsSource *source);
