/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The loss ledger in PostgreSQL: exporter_loss, hour by hour, and exporter_ledger, how far the sums
 * of each ledger have come. A part of the scorer's transaction. Thread: the connection's. */
#include "pg.h"
#include "postern/flow.h"

/* Adds what @beats tell. @error as pst_pg_run. */
gboolean writer_write_loss(PstPg *pg, const PstHeartbeat *beats, gsize n, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
