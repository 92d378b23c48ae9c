/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the database knows of a partition, in pages: for an engine that is made anew.
 * @error of all as the sink's. All are given. Thread: the consumer's. */
#include "postern/sink.h"

/* Decisions with @after < id ≤ @last, in order: PstInput. */
GArray *recall_inputs(PstSink *sink, guint32 partition, gint64 after, gint64 last, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Everything learned of @partition of @partitions: PstEnvelope. */
GArray *recall_learned(PstSink *sink, guint32 partition, guint32 partitions, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* Days that were withheld: PstWaitingDay. */
GArray *recall_waiting(PstSink *sink, guint32 partition, guint32 partitions, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
