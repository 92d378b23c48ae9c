/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The flow codec: PstFlow and PstHeartbeat ↔ protobuf (common/flow.proto) ↔ JSON.
 *
 * A batch is a run of messages, each with its length as a varint before it: what ClickHouse's
 * Protobuf format and protoc's delimited streams read. Fields are written in the order of their
 * numbers; a field whose value is zero and absent is left out (proto3).
 * Checked against `protoc --decode` in tests/system/test_codec.py. Thread: any.
 */
#include "postern/flow.h"

#define PST_CODEC_FLOW_MAX      512 /* bytes of one encoded flow with its prefix, at most */
#define PST_CODEC_HEARTBEAT_MAX 512

/* Writes prefix and message to @out, which has room for PST_CODEC_FLOW_MAX bytes. Returns the
 * number of bytes. Hot path: no allocation. */
gsize pst_codec_put_flow(guint8 *out, const PstFlow *flow);
gsize pst_codec_put_heartbeat(guint8 *out, const PstHeartbeat *beat);

typedef enum {
    PST_CODEC_FLOW,
    PST_CODEC_HEARTBEAT,
    PST_CODEC_END,      /* the batch is read to its end */
    PST_CODEC_MALFORMED /* the rest of the batch cannot be trusted; counted by the caller */
} PstCodecItem;

/* A reader over one batch, on the caller's stack. */
typedef struct {
    const guint8 *at;
    const guint8 *end;
} PstBatch;
static inline PstBatch pst_batch(const guint8 *data, gsize len)
{
    return (PstBatch){.at = data, .end = data + len};
}
/* Reads the next message into @out_flow or @out_beat. Unknown fields are skipped (they come from a
 * newer writer), wrong wire types are MALFORMED. */
PstCodecItem pst_batch_next(PstBatch *batch, PstFlow *out_flow, PstHeartbeat *out_beat);

/* One JSON object without newline, goflow2's key names; fields that the flow has not are left
 * out. Appends. */
void pst_codec_flow_json(const PstFlow *flow, GString *out);
/* Reads ours, and goflow2's own output as it is ("proto":"TCP", "etype":"IPv4", times as numbers
 * or RFC 3339 text), and numbers as texts, decimal or 0x…. FALSE: not one flow object; @out
 * untouched. One line, no newline needed. */
gboolean pst_codec_flow_from_json(const char *line, gsize len, PstFlow *out)
    G_GNUC_WARN_UNUSED_RESULT;
/* The same for the plain form: an object of texts without escapes and of whole numbers, as
 * pst_codec_flow_json prints it; many times faster. Returns the bytes up to and with its closing
 * bracket, whatever follows. 0: @text is something else, or no flow: ask pst_codec_flow_from_json;
 * @out untouched. */
gsize pst_codec_flow_from_plain_json(const char *text, gsize len, PstFlow *out)
    G_GNUC_WARN_UNUSED_RESULT;
/* Where the first JSON object (or array) of @text ends: bytes up to and with its closing bracket; 0
 * if it does not end within @len or nests deeper than 16. goflow2 now and then prints two on a
 * line. */
gsize pst_codec_json_object_len(const char *text, gsize len);
