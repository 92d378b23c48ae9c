/* SPDX-License-Identifier: Apache-2.0 */
#include "cell.h"

#include <math.h>

#define SHAPE 2.0 /* s: c0 is a square */

static const double theta_of[THETAS] = {4, 32, 256, 2048};

void cell_make(guint scale, double m, Cell *out)
{
    double day_share = (double)scale_tau_s[scale] / A_DAY_S;
    double keep = exp(-day_share), start = -expm1(-day_share) / 2;
    out->m = m;
    for (guint theta = 0; theta < THETAS; theta++) {
        double ratio = (SHAPE + m) / (SHAPE + theta_of[theta] * m);
        double c0 = ratio * ratio;
        /* log decay without cancellation where m is small, and 1 − decay by expm1. */
        double log_decay = -day_share - SHAPE * log1p((theta_of[theta] - 1) * m / (SHAPE + m));
        out->decay[theta] = keep * c0;
        out->started[theta] = start * c0;
        out->plus[theta] = theta_of[theta] * ratio;
        out->doubling[theta] = 1 / log2(out->plus[theta]);
        out->idle[theta] = start * c0 / -expm1(log_decay);
    }
}

void cell_idle(const Cell *cell, double M[THETAS], gint64 k)
{
    if (k <= 0)
        return;
    if (k == 1) {
        cell_window(cell, M, 0);
        return;
    }
    for (guint half = 0; half < HALVES; half++) {
        Lanes power = {1, 1}, square = lanes_of(cell->decay)[half];
        for (gint64 left = k;;) {
            if (left & 1)
                power *= square;
            left >>= 1;
            if (left == 0)
                break;
            square *= square;
        }
        Lanes idle = lanes_of(cell->idle)[half];
        lanes(M)[half] = idle + power * (lanes(M)[half] - idle);
    }
}

double evidence_of(double m_value)
{
    if (!(m_value > CELLS))
        return 0;
    return MIN(100 * log10(m_value / CELLS), 1000);
}

double evidence_to_m(double evidence)
{
    return CELLS * pow(10, evidence / 100);
}

CellBook *cell_book_new(const Thinning *thinning)
{
    CellBook *book = g_new0(CellBook, 1);
    book->thinning = thinning;
    for (guint known = 0; known < 2; known++)
        book->plain[known] = g_new0(PlainCells, THINNING_CODES);
    return book;
}

void cell_book_free(CellBook *book)
{
    if (book == NULL)
        return;
    for (guint scale = 0; scale < SCALES; scale++)
        for (guint i = 0; i < LEVELS / LEVEL_STEP; i++)
            g_free(book->cell[scale][i]);
    for (guint known = 0; known < 2; known++)
        g_free(book->plain[known]);
    g_free(book);
}

const Cell *cell_book_find(CellBook *book, guint scale, Level m)
{
    int top = CLAMP(m, -LEVELS / 2, LEVELS / 2 - 1);
    int place = (top + LEVELS / 2 + LEVEL_STEP - 1) / LEVEL_STEP;
    place = MIN(place, LEVELS / LEVEL_STEP - 1);
    Cell **cell = &book->cell[scale][place];
    if (*cell == NULL) {
        *cell = g_new0(Cell, 1);
        cell_make(scale, thinning_of_level((Level)(place * LEVEL_STEP - LEVELS / 2)), *cell);
    }
    return *cell;
}
