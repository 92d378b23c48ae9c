/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A finished backtest in words for people, or in JSON for programs. */
#include "backtest.h"
#include "trial.h"

typedef struct {
    guint64 flows, refused, undirected;
} BacktestCounts;

/* The text of one crossing, given. */
char *backtest_verdict_text(const PstVerdict *verdict);

/* @other: NULL if there is no second configuration. */
void backtest_print(const BacktestOptions *options, const BacktestCounts *counts,
                    const Trial *trial, const Trial *other);
