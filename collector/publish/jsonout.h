/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Flows as lines of JSON into a file or to standard output. Thread: the worker's. */
#include "postern/error.h"
#include "postern/flow.h"

typedef struct JsonOut JsonOut;

/* @path "-" is standard output; a file is appended to. @error IO. Given. */
JsonOut *json_out_open(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void json_out_flow(JsonOut *out, const PstFlow *flow);
/* Writes what is buffered. @error IO: what was not written is lost, and said. */
gboolean json_out_flush(JsonOut *out, GError **error);
/* Accepts NULL; does not flush. */
void json_out_close(JsonOut *out);
