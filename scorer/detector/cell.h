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
    double plus[THETAS]; /* c⁺ */
    double log2_plus[THETAS];
    double idle[THETAS]; /* where windows without a sighting lead: started/(1 − decay) */
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

/* --- one window ---------------------------------------------------------------------------- */

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

static inline Lanes lanes_min(Lanes a, double most)
{
    Lanes b = {most, most};
    return lanes_choose(a < b, a, b);
}

static inline Lanes lanes_max(Lanes a, Lanes b)
{
    return lanes_choose(a > b, a, b);
}

/* M·c^n, cut at CELL_MAX. */
static inline Lanes multiply_power(Lanes M, Lanes c, guint32 n)
{
    for (;;) {
        if (n & 1)
            M = lanes_min(M * c, CELL_MAX);
        n >>= 1;
        if (n == 0)
            return M;
        c = lanes_min(c * c, 1e150);
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
