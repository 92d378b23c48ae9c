/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Writing JSON by hand, correctly: a GString, and calls in the order of the text.
 * A member is appended with its comma: first call after '{' gets none. Thread: the GString's.
 */
#include <glib.h>

/* Appends @text as a JSON string with its quotes. Control characters are escaped; bytes that are no
 * UTF-8 become U+FFFD, so the output is always valid. NULL appends null. */
void pst_json_append_string(GString *out, const char *text);
/* The same for @len bytes, which may hold NUL. */
void pst_json_append_bytes(GString *out, const char *text, gsize len);

/* Appends "name": with a comma before it unless it is the object's first. @name is ours: plain. */
void pst_json_append_name(GString *out, const char *name);
void pst_json_append_u64(GString *out, guint64 value);
void pst_json_append_i64(GString *out, gint64 value);
/* Shortest text that reads back as the same double; not finite: null. */
void pst_json_append_real(GString *out, double value);
