/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An amount that differs from draw to draw: "150 ~2.5 >10 <3000" is a lognormal with median 150 and
 * geometric standard deviation 2.5 (two draws of three lie within a factor 2.5), cut to 10 … 3000.
 * "150" alone is always 150. */
#include "luck.h"

typedef struct {
    double median, log_spread, least, most;
} Amount;

gboolean amount_parse(const char *text, Amount *out) G_GNUC_WARN_UNUSED_RESULT;
double amount_draw(const Amount *amount, Luck *luck);
