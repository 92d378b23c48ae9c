/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The reading half of the embedded bus: one reader of a group, held by a lock on PATH.GROUP.reader
 * that ends with the process. Reads in turn from every partition that has news, at most 64 rows in
 * one state of the file, so that the writer can start its WAL anew.
 * Thread: the owner's; all pointers are borrowed as postern/bus.h says.
 */
#include "bus_embedded_file.h"

typedef struct BusInbox BusInbox;

/* @file is borrowed until free. @error REFUSED (another reader), IO. Given. */
BusInbox *bus_inbox_new(BusFile *file, const char *group, const char *const *topics,
                        const PstBusAssignment *assignment, GError **error);
/* Notes positions, calls revoked for every partition, lets the lock go. */
void bus_inbox_free(BusInbox *inbox);
gssize bus_inbox_poll(BusInbox *inbox, int timeout_ms, PstBusMessage *out, gsize max,
                      GError **error);
void bus_inbox_commit(BusInbox *inbox, const char *topic, gint32 partition, gint64 position);
void bus_inbox_keep(BusInbox *inbox, const char *topic, gint32 partition, gint64 position);
