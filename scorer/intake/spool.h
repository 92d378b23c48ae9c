/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reading what lies in the spool: an embedded bus file with the topic of evidence, and beside it
 * PATH.done, a line "PARTITION POSITION" for each partition: what was taken out. One reader at a
 * time (the bus's own lock). Thread: its owner's.
 */
#include "postern/error.h"

/* Takes one message out. FALSE: it stays, and reading stops with @error. */
typedef gboolean (*SpoolVisitor)(gpointer user, const guint8 *data, gsize len, GError **error);

/* @uri "embedded:PATH". */
gboolean spool_exists(const char *uri);

/* Hands every message that was not taken out yet to @visit, in order. Does nothing while another
 * reader is at it. @out_moved counts those taken, on failure too. @error the bus's, or @visit's. */
gboolean spool_drain(const char *uri, SpoolVisitor visit, gpointer user, guint *out_moved,
                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
