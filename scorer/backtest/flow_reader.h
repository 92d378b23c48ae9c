/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Flows out of files and pipes, for backtests: JSON lines (the collector's and goflow2's), or our
 * protobuf batches one after another. The first bytes tell which. Memory is constant. Of what
 * programs make these out of other files: source.h. */
#include "codec.h"
#include "postern/error.h"
#include "source.h"

typedef struct FlowReader FlowReader;

/* As source_open. Given. */
FlowReader *flow_reader_open(const char *path, const char *const *collector, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void flow_reader_close(FlowReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FlowReader, flow_reader_close)

/* Number of the line that was read last, from 1; 0: it is not JSON. */
guint64 flow_reader_line(const FlowReader *reader);
/* Where the bytes come from. Borrowed. */
Source *flow_reader_source(const FlowReader *reader);

typedef enum {
    FLOW_READ_FLOW,
    FLOW_READ_HEARTBEAT,
    FLOW_READ_REFUSED, /* a line that is no flow; or protobuf that breaks off: END follows */
    FLOW_READ_END,
    FLOW_READ_FAILED /* the file cannot be read on: @error IO */
} FlowRead;

FlowRead flow_reader_next(FlowReader *reader, PstFlow *out_flow, PstHeartbeat *out_beat,
                          GError **error);
