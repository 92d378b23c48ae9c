/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The recursion of the e-detector (channel.h tells what it is for) under one envelope, and a book
 * of the envelopes that were asked for. */
#include "envelope.h"

#define THETAS   4
#define CELLS    (PST_PAIR_COUNT * CHANNELS * SCALES * THETAS) /* J = 80, a constant */
#define CELL_MAX 1e12 /* evidence 1000 is M = 8e11; what is above says no more */

/* The recursion of one channel and scale under one envelope: all four multipliers at once.
 * A window opens as M ← decay·M + started with decay = g·c0, started = w·c0. */
typedef struct {
    double m; /* envelope */
    double decay[THETAS], started[THETAS];
    double plus[THETAS];     /* c⁺ */
    double doubling[THETAS]; /* sightings that double M: 1/log2(c⁺) */
    double idle[THETAS];     /* where windows without a sighting lead: started/(1 − decay) */
} Cell;

void cell_make(guint scale, double m, Cell *out);
/* @k windows without a sighting, in closed form: M ← idle + decay^k·(M − idle). Multiplications
 * only, so it is the same on every machine; 1 − decay stands in `idle`, made by expm1. */
void cell_idle(const Cell *cell, double M[THETAS], gint64 k);

/* E = 100·log10(M/J), 0 … 1000; and its inverse. */
double evidence_of(double m_value);
double evidence_to_m(double evidence);

/* Cells by scale and envelope, made when first asked for: a cache, no part of the state. Envelopes
 * are rounded up to steps of 0.4 %. */
#define LEVELS     32768 /* levels − LEVELS/2 … LEVELS/2 − 1 have cells */
#define LEVEL_STEP 4     /* of which so many share one */

/* The cells of one R where nothing was learned and nothing is exempted: most units, always. */
typedef const Cell *PlainCells[CHANNELS][SCALES];

typedef struct {
    const Thinning *thinning;
    Cell *cell[SCALES][LEVELS / LEVEL_STEP]; /* NULL: not asked for yet */
    PlainCells *plain[2];                    /* by code of R; NULL within: the same */
} CellBook;

CellBook *cell_book_new(const Thinning *thinning);
void cell_book_free(CellBook *book);
/* The cell of an envelope, rounded up. Borrowed, with the book. */
const Cell *cell_book_find(CellBook *book, guint scale, Level m);

/* Two multipliers side by side, as one instruction takes them. Lanes do not mix and nothing is
 * reordered, so the bits are those of the plain loop. */
typedef double Lanes __attribute__((vector_size(16), aligned(8)));
typedef gint64 LaneMask __attribute__((vector_size(16), aligned(8)));
enum { HALVES = THETAS / 2 };

static inline Lanes *lanes(double *values)
{
    return (Lanes *)(void *)values;
}

static inline const Lanes *lanes_of(const double *values)
{
    return (const Lanes *)(const void *)values;
}

static inline Lanes lanes_choose(LaneMask which, Lanes yes, Lanes no)
{
    return (Lanes)(((LaneMask)yes & which) | ((LaneMask)no & ~which));
}

static inline Lanes lanes_min(Lanes a, Lanes b)
{
    return lanes_choose(a < b, a, b);
}

static inline Lanes lanes_max(Lanes a, Lanes b)
{
    return lanes_choose(a > b, a, b);
}

/* --- M as it is kept ------------------------------------------------------------------------ */

/* 16 bits, rounded down: 0 for M below 2^-24 (a window starts with w ≥ 5.7·10^-5), above that 6
 * bits of exponent and 10 of mantissa, up to 2^40 > CELL_MAX. What is kept of M is more than (1 −
 * 2^-10)·M − 2^-24, and at most M. */
typedef guint16 Kept;

typedef guint16 KeptLanes __attribute__((vector_size(16)));
typedef gint32 HalfLanes __attribute__((vector_size(16)));

#define KEPT_SHIFT 42 /* bits of a double's mantissa that go */
#define KEPT_BELOW ((1023 - 24) << (52 - KEPT_SHIFT))
#define KEPT_LEAST 0x1p-24 /* this and what is rounded to it is 0 */

G_STATIC_ASSERT(G_BYTE_ORDER == G_LITTLE_ENDIAN); /* lanes are looked at as narrower ones */

static inline void cell_load(const Kept kept[THETAS], double M[THETAS])
{
    const KeptLanes none = {0};
    KeptLanes narrow = none;
    memcpy(&narrow, kept, THETAS * sizeof(Kept));
    HalfLanes half = (HalfLanes)__builtin_shufflevector(narrow, none, 0, 8, 1, 9, 2, 10, 3, 11);
    const LaneMask bits[HALVES] = {
        (LaneMask)__builtin_shufflevector(half, (HalfLanes)none, 0, 4, 1, 5),
        (LaneMask)__builtin_shufflevector(half, (HalfLanes)none, 2, 6, 3, 7),
    };
    for (guint i = 0; i < HALVES; i++) {
        Lanes value = (Lanes)((bits[i] + KEPT_BELOW) << KEPT_SHIFT);
        lanes(M)[i] = (Lanes)((LaneMask)value & (LaneMask)(value > KEPT_LEAST));
    }
}

static inline void cell_store(const double M[THETAS], Kept out[THETAS])
{
    HalfLanes low = (HalfLanes)((LaneMask)lanes_of(M)[0] >> KEPT_SHIFT);
    HalfLanes high = (HalfLanes)((LaneMask)lanes_of(M)[1] >> KEPT_SHIFT);
    HalfLanes bits = __builtin_shufflevector(low, high, 0, 2, 4, 6) - KEPT_BELOW;
    bits &= (HalfLanes)(bits > 0);
    KeptLanes narrow = (KeptLanes)bits;
    narrow = __builtin_shufflevector(narrow, narrow, 0, 2, 4, 6, 0, 2, 4, 6);
    memcpy(out, &narrow, THETAS * sizeof(Kept));
}

/* M as if it had been kept. */
static inline void cell_round(double M[THETAS])
{
    const LaneMask stay = {G_MININT64 >> (63 - KEPT_SHIFT), G_MININT64 >> (63 - KEPT_SHIFT)};
    for (guint half = 0; half < HALVES; half++) {
        Lanes value = (Lanes)((LaneMask)lanes(M)[half] & stay);
        lanes(M)[half] = (Lanes)((LaneMask)value & (LaneMask)(value > KEPT_LEAST));
    }
}

/* --- one window ---------------------------------------------------------------------------- */

/* M·c^n, cut at CELL_MAX. */
static inline Lanes multiply_power(Lanes M, Lanes c, guint32 n)
{
    const Lanes most = {CELL_MAX, CELL_MAX}, far = {1e150, 1e150};
    for (;;) {
        if (n & 1)
            M = lanes_min(M * c, most);
        n >>= 1;
        if (n == 0)
            return M;
        c = lanes_min(c * c, far);
    }
}

/* One window with @n sightings in it. */
static inline void cell_window(const Cell *cell, double M[THETAS], guint32 n)
{
    for (guint half = 0; half < HALVES; half++)
        lanes(M)[half] =
            lanes_of(cell->decay)[half] * lanes(M)[half] + lanes_of(cell->started)[half];
    if (n == 0)
        return;
    for (guint half = 0; half < HALVES; half++)
        lanes(M)[half] = multiply_power(lanes(M)[half], lanes_of(cell->plus)[half], n);
}
