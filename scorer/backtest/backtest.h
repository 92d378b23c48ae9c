/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The engine over recorded flows: what would have been flagged. No bus, no database, no clock. */
#include <stdio.h>

#include "engine.h"
#include "prefix_map.h"

typedef enum { BACKTEST_TEXT, BACKTEST_JSON } BacktestFormat;

typedef struct {
    const EngineConf *engine;
    const EngineConf *other; /* a second configuration beside it; NULL: none */
    const char *other_name;
    const PstPrefixMap *networks; /* NULL: only flows that carry a direction can be judged */
    guint64 sampled; /* N of 1:N, of flows that do not tell it; 0: take them for unsampled */
    BacktestFormat format;
    const char *const *files;     /* in the order of their time; "-" is stdin; NULL-terminated */
    const char *const *collector; /* how captures are read (source.h); NULL: not */
    const char *svg;              /* draw the survival curve of `engine` there; NULL: do not */
    FILE *out;
} BacktestOptions;

/* Writes the crossings in the order of their event time, where a second configuration differs, then
 * the summary.
 * @error USAGE: a file cannot be opened, or no flow has a direction and there are no networks;
 * DATA: nothing in the files is a flow, or (all is written then) one broke off; IO. */
gboolean backtest(const BacktestOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;
