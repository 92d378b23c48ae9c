/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Throws away what is too old or too much, oldest first, in small transactions; never what a reader
 * with a noted position still wants. Every producer process does it beside its writing.
 */
#include "bus_embedded_file.h"

typedef struct {
    gint64 retain_bytes;
    gint64 retain_s;
} BusRetention;

/* One pass of at most about half a second. *out_full: readers hold back more than twice
 * retain_bytes; new messages have to wait for them. Thread: the file's. @error as bus_file. */
gboolean bus_retention_pass(BusFile *file, const BusRetention *limits, gboolean *out_full,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
