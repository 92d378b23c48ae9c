/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the log says about an exporter: at most one line a minute for each kind of remark, with the
 * exporter as subject; the next one says how many were kept back. The figures are in the metrics,
 * a line is there to be found by somebody who looks for the exporter's address.
 * Thread: the worker's. */
#include "drop.h"
#include "log.h"
#include "postern/addr.h"

typedef enum { REMARK_LOST, REMARK_BROKEN, REMARK_CLOCK, REMARK_COUNT } RemarkKind;

/* A value; zeroed at the start. */
typedef struct {
    PstLogLimit limits[REMARK_COUNT];
    guint64 lost;   /* as of the last look */
    guint64 broken; /* the same */
    gboolean clock_wrong;
} Remarks;

/* What there may be to remark, in all since the exporter is known. */
typedef struct {
    const guint64 *lost; /* records, by PstLoss */
    guint64 received;
    guint64 broken; /* what broke its format, and the newest reason */
    Drop drop;
    gint64 clock_ahead_ns; /* its clock − ours */
} RemarkSource;

/* A clock that is off by more is remarked on, once, and once when it is right again. */
#define REMARK_CLOCK_NS (60 * G_GINT64_CONSTANT(1000000000))

void remarks_make(Remarks *remarks, const PstAddr *exporter, const RemarkSource *source);
