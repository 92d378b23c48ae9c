/* SPDX-License-Identifier: Apache-2.0 */
#include "novelty.h"

#define LINE   64
#define PLACES 5 /* of 6 bits each out of the key's low 30; the line comes from the high 32 */

struct Novelty {
    guint8 *cells;    /* lines × 64, on a line's boundary */
    guint64 lines;    /* < 2^32 */
    gint64 newest;    /* newest generation */
    gboolean started; /* a time was given */
    guint64 full;     /* cells set in the last full generation */
};

Novelty *novelty_new(gsize bytes)
{
    g_assert(bytes >= LINE && bytes / LINE <= G_MAXUINT32);
    Novelty *novelty = g_new0(Novelty, 1);
    novelty->lines = bytes / LINE;
    /* Large zeroed memory is not touched before its first use: an idle partition costs little. */
    novelty->cells = g_aligned_alloc0(novelty->lines, LINE, 4096);
    return novelty;
}

void novelty_free(Novelty *novelty)
{
    if (novelty == NULL)
        return;
    g_aligned_free(novelty->cells);
    g_free(novelty);
}

static guint8 bit_of(gint64 generation)
{
    return (guint8)(1u << (generation & (NOVELTY_GENERATIONS - 1)));
}

/* Empties the generations of @mask; counts how many cells of generation @counted were set. */
static guint64 sweep(Novelty *novelty, guint8 mask, gint64 counted)
{
    const guint64 every = G_GUINT64_CONSTANT(0x0101010101010101);
    const guint64 keep = ~(every * mask);
    const guint shift = (guint)(counted & (NOVELTY_GENERATIONS - 1));
    guint64 set = 0;
    for (guint64 i = 0; i < novelty->lines; i++) {
        guint64 word[LINE / sizeof(guint64)], any = 0, sums = 0;
        memcpy(word, novelty->cells + i * LINE, LINE);
        for (guint w = 0; w < G_N_ELEMENTS(word); w++) {
            any |= word[w];
            sums += word[w] >> shift & every; /* eight counts of up to eight, a byte each */
            word[w] &= keep;
        }
        if (any == 0)
            continue; /* memory that nobody touched stays so */
        set += sums * every >> 56;
        memcpy(novelty->cells + i * LINE, word, LINE);
    }
    return set;
}

void novelty_advance(Novelty *novelty, gint64 at_s)
{
    gint64 generation = at_s / NOVELTY_GENERATION_S;
    if (novelty->started && generation <= novelty->newest)
        return;
    if (novelty->started) {
        guint8 mask = 0;
        for (gint64 g = MAX(novelty->newest + 1, generation - NOVELTY_GENERATIONS + 1);
             g <= generation; g++)
            mask |= bit_of(g);
        novelty->full = sweep(novelty, mask, novelty->newest);
    }
    novelty->newest = generation;
    novelty->started = TRUE;
}

gboolean novelty_holds(const Novelty *novelty, gint64 at_s)
{
    gint64 generation = at_s / NOVELTY_GENERATION_S;
    return generation <= novelty->newest &&
           generation > novelty->newest - (NOVELTY_GENERATIONS - NOVELTY_HOUR);
}

static guint8 *line_of(const Novelty *novelty, guint64 key)
{
    return novelty->cells + ((key >> 32) * novelty->lines >> 32) * LINE;
}

void novelty_prefetch(const Novelty *novelty, guint64 key)
{
    __builtin_prefetch(line_of(novelty, key), 1);
}

gboolean novelty_see(Novelty *novelty, guint64 key, gint64 at_s)
{
    g_assert(novelty->started && novelty_holds(novelty, at_s));
    gint64 generation = at_s / NOVELTY_GENERATION_S;
    guint8 *line = line_of(novelty, key);
    const guint8 own = bit_of(generation);
    guint8 seen = 0xff;
    for (guint i = 0; i < PLACES; i++) {
        guint8 *cell = line + (key >> (6 * i) & (LINE - 1));
        seen &= *cell;
        *cell |= own;
    }
    guint8 valid = 0;
    for (gint64 g = generation - NOVELTY_HOUR; g <= novelty->newest; g++)
        valid |= bit_of(g);
    return (seen & valid) == 0;
}

double novelty_fill(const Novelty *novelty)
{
    return (double)novelty->full / (double)(novelty->lines * LINE);
}

gsize novelty_bytes(const Novelty *novelty)
{
    return novelty->lines * LINE;
}

void novelty_write(const Novelty *novelty, Image *image)
{
    const gint64 head[] = {(gint64)novelty->lines, novelty->newest, novelty->started,
                           (gint64)novelty->full};
    image_put(image, head, sizeof head);
    image_put(image, novelty->cells, novelty->lines * LINE);
}

gboolean novelty_read(Novelty *novelty, PstCursor *from)
{
    gint64 head[4];
    if (!image_get(from, head, sizeof head) || head[0] != (gint64)novelty->lines)
        return FALSE;
    novelty->newest = head[1];
    novelty->started = head[2] != 0;
    novelty->full = (guint64)head[3];
    return image_get(from, novelty->cells, novelty->lines * LINE);
}
