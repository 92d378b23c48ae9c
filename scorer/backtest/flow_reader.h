/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Flows out of files and pipes, for backtests: JSON lines (the collector's and goflow2's), or our
 * protobuf batches one after another. The first bytes tell which. Memory is constant. What flows
 * and traffic are usually kept in otherwise is named, with a way to read it. */
#include "codec.h"
#include "postern/error.h"

typedef struct FlowReader FlowReader;

/* @path "-" is stdin. @error USAGE: it cannot be opened. Given. */
FlowReader *flow_reader_open(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void flow_reader_close(FlowReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FlowReader, flow_reader_close)

/* Bytes read so far, those that wait included. */
guint64 flow_reader_bytes(const FlowReader *reader);

typedef enum {
    FLOW_READ_FLOW,
    FLOW_READ_HEARTBEAT,
    FLOW_READ_REFUSED, /* a line that is no flow; or protobuf that breaks off: END follows */
    FLOW_READ_END,
    FLOW_READ_FAILED /* the file cannot be read on: @error IO; DATA: it is of another kind */
} FlowRead;

FlowRead flow_reader_next(FlowReader *reader, PstFlow *out_flow, PstHeartbeat *out_beat,
                          GError **error);
