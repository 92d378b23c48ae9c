/* SPDX-License-Identifier: Apache-2.0 */
#include "luck.h"

#include <math.h>

#define LN2 0.69314718055994530942

void luck_seed(Luck *luck, guint64 seed, guint64 a, guint64 b, guint64 c)
{
    guint64 x = luck_mix(luck_mix(luck_mix(luck_mix(seed) ^ a) ^ b) ^ c);
    for (guint i = 0; i < G_N_ELEMENTS(luck->s); i++)
        luck->s[i] = x = luck_mix(x);
}

double luck_log(double x)
{
    int power;
    double m = frexp(x, &power); /* 0.5 … 1; exact */
    if (m < 0.70710678118654752440) {
        m *= 2;
        power--;
    }
    /* log m = 2·atanh((m − 1)/(m + 1)), its argument within ±0.172 */
    double t = (m - 1) / (m + 1), t2 = t * t, sum = 0;
    for (int n = 21; n > 0; n -= 2)
        sum = sum * t2 + 1.0 / n;
    return power * LN2 + 2 * t * sum;
}

double luck_exp(double x)
{
    double power = floor(x / LN2 + 0.5), r = x - power * LN2, sum = 1;
    for (int n = 15; n > 0; n--)
        sum = 1 + sum * r / n;
    return ldexp(sum, (int)power);
}

double luck_wait(Luck *luck)
{
    return -luck_log(1 - luck_unit(luck));
}

/* G. Marsaglia's polar method, one of its two results. */
double luck_normal(Luck *luck)
{
    double u, v, s;
    do {
        u = 2 * luck_unit(luck) - 1;
        v = 2 * luck_unit(luck) - 1;
        s = u * u + v * v;
    } while (s >= 1 || s == 0);
    return u * sqrt(-2 * luck_log(s) / s);
}
