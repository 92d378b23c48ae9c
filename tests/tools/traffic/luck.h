/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Chance that falls the same way on every machine: xoshiro256** (Blackman and Vigna, 2018) and the
 * few functions that draws need, of additions, multiplications, divisions and square roots only. A
 * C library's log() may differ in the last bit between machines; these may not. */
#include <glib.h>

typedef struct {
    guint64 s[4];
} Luck;

/* Streams with different (seed, a, b, c) have nothing to do with one another. */
void luck_seed(Luck *luck, guint64 seed, guint64 a, guint64 b, guint64 c);

/* The finaliser of splitmix64: a hash good in all bits. */
static inline guint64 luck_mix(guint64 x)
{
    x += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline guint64 luck_rotate(guint64 x, guint n)
{
    return x << n | x >> (64 - n);
}

static inline guint64 luck_next(Luck *luck)
{
    guint64 *s = luck->s, out = luck_rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = luck_rotate(s[3], 45);
    return out;
}

/* 0 … below 1. */
static inline double luck_unit(Luck *luck)
{
    return (double)(luck_next(luck) >> 11) / 9007199254740992.0;
}

/* 0 … @n − 1; @n ≥ 1. Biased by less than n/2^32. */
static inline guint32 luck_below(Luck *luck, guint32 n)
{
    return (guint32)((luck_next(luck) >> 32) * n >> 32);
}

/* Exponential with mean 1; standard normal. */
double luck_wait(Luck *luck);
double luck_normal(Luck *luck);

/* log @x, @x > 0 and finite; e^@x, |@x| < 700. Right to about 1e-15. */
double luck_log(double x);
double luck_exp(double x);
