/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A finished backtest in words for people, or in JSON for programs. */
#include "backtest.h"
#include "trial.h"

typedef struct {
    guint64 flows, refused, undirected;
    guint64 behind;   /* flows further behind newer ones before them than the watermark … */
    gint64 behind_ns; /* … the furthest */
    const char *behind_first; /* … the file of the first; borrowed */
} BacktestCounts;

/* The text of one crossing, given. */
char *backtest_verdict_text(const PstVerdict *verdict);

/* @other: NULL if there is no second configuration. */
void backtest_print(const BacktestOptions *options, const BacktestCounts *counts,
                    const Trial *trial, const Trial *other);
