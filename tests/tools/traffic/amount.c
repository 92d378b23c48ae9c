/* SPDX-License-Identifier: Apache-2.0 */
#include "amount.h"

#include <math.h>

static gboolean read_number(const char *text, double *out)
{
    char *end;
    *out = g_ascii_strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out) && *out >= 0;
}

gboolean amount_parse(const char *text, Amount *out)
{
    Amount amount = {.most = INFINITY};
    g_auto(GStrv) words = g_strsplit_set(text, " \t", -1);
    gboolean has_median = FALSE;
    for (guint i = 0; words[i] != NULL; i++) {
        double value;
        if (*words[i] == '\0')
            continue;
        if (*words[i] == '~' && read_number(words[i] + 1, &value) && value >= 1)
            amount.log_spread = luck_log(value);
        else if (*words[i] == '>' && read_number(words[i] + 1, &value))
            amount.least = value;
        else if (*words[i] == '<' && read_number(words[i] + 1, &value))
            amount.most = value;
        else if (!has_median && read_number(words[i], &amount.median))
            has_median = TRUE;
        else
            return FALSE;
    }
    *out = amount;
    return has_median && amount.least <= amount.most;
}

double amount_draw(const Amount *amount, Luck *luck)
{
    double x = amount->median;
    if (amount->log_spread > 0)
        x *= luck_exp(amount->log_spread * luck_normal(luck));
    return CLAMP(x, amount->least, amount->most);
}
