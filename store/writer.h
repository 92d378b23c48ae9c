/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The scorer's sink on PostgreSQL: include/postern/sink.h says what it promises.
 *
 * Everything of a tick is one transaction; its last statement moves the positions and names the
 * epoch and the old positions, so that a scorer that lost the partition changes nothing (FENCED).
 * A tick is small: rows are gathered by add_… and written in one statement per table.
 *
 * Errors: as pg.h, and FENCED from commit. After any failure call rollback, then, if the class is
 * transient, begin again with the same rows. The connection is made again by begin, take or
 * inputs.
 * Thread: the consumer's. Source: docs/recovery.md, S1 … S9.
 */
#include "pg.h"
#include "postern/sink.h"

/* @pg is taken. Runs as role postern_ingest. Given (free with sink->free(sink)). */
PstSink *writer_new_take(PstPg *pg);
