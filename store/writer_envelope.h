/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The scorer's sink on PostgreSQL: what was learned of units (tables unit_envelope, unit_waiting).
 * Part of writer.c: contracts and errors are those of include/postern/sink.h. */
#include "pg.h"
#include "postern/sink.h"

GArray *writer_read_envelopes(PstPg *pg, guint32 partition, guint32 partitions,
                              const PstEnvelope *after, guint max, GError **error);
GArray *writer_read_waiting(PstPg *pg, guint32 partition, guint32 partitions,
                            const PstWaitingDay *after, guint max, GError **error);
gboolean writer_write_envelopes(PstPg *pg, guint32 partition, const PstEnvelope *rows, gsize n,
                                GError **error);
gboolean writer_write_waiting(PstPg *pg, guint32 partition, const PstWaitingDay *rows, gsize n,
                              GError **error);
/* Another bus begins: its positions say nothing about what was learned from the one before. */
gboolean writer_envelopes_outlive(PstPg *pg, guint32 partition, GError **error);
