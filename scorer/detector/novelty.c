/* SPDX-License-Identifier: Apache-2.0 */
#include "novelty.h"

#include "pages.h"

#define LARGE ((gsize)64 << 20) /* from here on in large pages */

enum {
    LINE = 64,
    SLOTS = LINE / sizeof(guint16),
    LANES = 8,
    VECTORS = SLOTS / LANES,
    CODES = 7, /* generations that can be told apart: the newest and six before */
    CODE_MASK = 7,
};

/* Eight slots, as one instruction takes them. */
typedef guint16 Lanes __attribute__((vector_size(LANES * sizeof(guint16))));

typedef union {
    guint16 slot[SLOTS];
    Lanes lanes[VECTORS];
} Line;
G_STATIC_ASSERT(sizeof(Line) == LINE);
G_STATIC_ASSERT(G_BYTE_ORDER == G_LITTLE_ENDIAN); /* find() reads lanes as words */

struct Novelty {
    Line *line;       /* on a line's boundary */
    guint64 lines;    /* < 2^32 */
    gint64 newest;    /* newest generation */
    gboolean started; /* a time was given */
    guint64 full;     /* slots in use at the end of the last full generation */
};

Novelty *novelty_new(gsize bytes)
{
    g_assert(bytes >= LINE && bytes / LINE <= G_MAXUINT32);
    Novelty *novelty = g_new0(Novelty, 1);
    novelty->lines = bytes / LINE;
    /* Not touched before its first use: an idle partition costs little. */
    novelty->line = pages_new(novelty->lines * LINE);
    if (novelty->lines * LINE >= LARGE)
        pages_want_huge(novelty->line, 0, novelty->lines * LINE);
    return novelty;
}

void novelty_free(Novelty *novelty)
{
    if (novelty == NULL)
        return;
    pages_free(novelty->line, novelty->lines * LINE);
    g_free(novelty);
}

/* 1 … 7; a free slot has 0. */
static inline guint code_of(gint64 generation)
{
    return (guint)((guint64)generation % CODES) + 1;
}

/* Generations before the newest. */
static inline guint age_of(guint newest_code, guint16 slot)
{
    guint code = slot & CODE_MASK;
    return code <= newest_code ? newest_code - code : newest_code + CODES - code;
}

/* Adds eight counts of 16 bits. */
static guint64 sum_of(Lanes counts)
{
    guint64 sum = 0;
    for (guint i = 0; i < LANES; i++)
        sum += counts[i];
    return sum;
}

/* Slots in use: of the newest generation and the four before. */
static guint64 count_used(const Novelty *novelty)
{
    enum { ENOUGH = G_MAXUINT16 / VECTORS }; /* lines that eight counts of 16 bits can take */
    const guint16 first = (guint16)code_of(novelty->newest - NOVELTY_HOUR - 2);
    const guint16 second = (guint16)code_of(novelty->newest - NOVELTY_HOUR - 1);
    guint64 used = 0;
    for (guint64 from = 0; from < novelty->lines; from += ENOUGH) {
        Lanes counts = {0};
        for (guint64 i = from; i < MIN(from + ENOUGH, novelty->lines); i++)
            for (guint v = 0; v < VECTORS; v++) {
                Lanes code = novelty->line[i].lanes[v] & CODE_MASK;
                counts -= (Lanes)((code != 0) & (code != first) & (code != second));
            }
        used += sum_of(counts);
    }
    return used;
}

/* Empties the slots of @code. */
static void sweep(Novelty *novelty, guint16 code)
{
    for (guint64 i = 0; i < novelty->lines; i++)
        for (guint v = 0; v < VECTORS; v++) {
            Lanes old = novelty->line[i].lanes[v];
            Lanes kept = old & (Lanes)((old & CODE_MASK) != code);
            Lanes change = old ^ kept;
            guint64 word[2];
            memcpy(word, &change, sizeof word);
            if ((word[0] | word[1]) != 0) /* memory that nobody touched stays so */
                novelty->line[i].lanes[v] = kept;
        }
}

void novelty_advance(Novelty *novelty, gint64 at_s)
{
    gint64 generation = at_s / NOVELTY_GENERATION_S;
    if (novelty->started && generation <= novelty->newest)
        return;
    if (novelty->started) {
        novelty->full = count_used(novelty);
        /* Each new generation takes the code of the one seven before it. */
        for (gint64 g = MAX(novelty->newest + 1, generation - CODES + 1); g <= generation; g++)
            sweep(novelty, (guint16)code_of(g));
    }
    novelty->newest = generation;
    novelty->started = TRUE;
}

gboolean novelty_holds(const Novelty *novelty, gint64 at_s)
{
    gint64 generation = at_s / NOVELTY_GENERATION_S;
    return generation <= novelty->newest && generation >= novelty->newest - NOVELTY_LATE;
}

static inline Line *line_of(const Novelty *novelty, guint64 key)
{
    return &novelty->line[(key >> 32) * novelty->lines >> 32];
}

void novelty_prefetch(const Novelty *novelty, guint64 key)
{
    __builtin_prefetch(line_of(novelty, key), 1);
}

/* Slots that are @wanted under @mask, a bit each: bit 16·(slot mod 4) + 4·(slot / 4 mod 2) +
 * slot / 8 of the result. */
static inline guint64 find(const Line *line, guint16 wanted, guint16 mask)
{
    Lanes found = {0};
    for (guint v = 0; v < VECTORS; v++)
        found |= (Lanes)((line->lanes[v] & mask) == wanted) & (guint16)(1u << v);
    guint64 half[2];
    memcpy(half, &found, sizeof half);
    return half[0] | half[1] << 4;
}

/* The slot of the lowest bit. */
static inline guint slot_of(guint64 bits)
{
    guint bit = (guint)__builtin_ctzll(bits);
    return (bit & 3) * LANES + (bit >> 2 & 1) * (LANES / 2) + (bit >> 4);
}

gboolean novelty_may_know(const Novelty *novelty, guint64 key)
{
    return find(line_of(novelty, key), (guint16)(key << 3), (guint16)~CODE_MASK) != 0;
}

/* The oldest slot, if nothing asks for it any more; SLOTS: none. */
static guint find_victim(const Line *line, guint newest_code)
{
    guint victim = SLOTS, oldest = NOVELTY_HOUR;
    for (guint i = 0; i < SLOTS; i++) {
        guint age = age_of(newest_code, line->slot[i]);
        if (age > oldest) {
            oldest = age;
            victim = i;
        }
    }
    return victim;
}

/* A key that is not seen: where it is kept. SLOTS: nowhere, the line is full. */
static guint find_room(const Line *line, guint stale, guint newest_code, guint late)
{
    guint64 room = find(line, 0, G_MAXUINT16);
    if (room != 0)
        return stale < SLOTS ? stale : slot_of(room);
    /* What a record of an earlier generation asks for may have been given away. */
    if (late > 0)
        return SLOTS;
    return stale < SLOTS ? stale : find_victim(line, newest_code);
}

NoveltyAnswer novelty_ask(Novelty *novelty, guint64 key, gint64 at_s)
{
    g_assert(novelty->started && novelty_holds(novelty, at_s));
    gint64 generation = at_s / NOVELTY_GENERATION_S;
    const guint late = (guint)(novelty->newest - generation), newest = code_of(novelty->newest);
    const guint16 print = (guint16)(key << 3), own = (guint16)(print | code_of(generation));
    Line *line = line_of(novelty, key);
    guint stale = SLOTS;
    for (guint64 hits = find(line, print, (guint16)~CODE_MASK); hits != 0; hits &= hits - 1) {
        guint at = slot_of(hits);
        guint age = age_of(newest, line->slot[at]);
        if ((line->slot[at] & CODE_MASK) == 0)
            continue; /* free, and the key's bits are all zero */
        if (age <= late)
            return NOVELTY_AGAIN;
        if (age <= late + NOVELTY_HOUR) {
            line->slot[at] = own;
            return NOVELTY_SEEN;
        }
        stale = at;
    }
    guint at = find_room(line, stale, newest, late);
    if (at == SLOTS)
        return NOVELTY_SEEN;
    line->slot[at] = own;
    return NOVELTY_NEW;
}

double novelty_fill(const Novelty *novelty)
{
    return (double)novelty->full / (double)(novelty->lines * SLOTS);
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
    image_put(image, novelty->line, novelty->lines * LINE);
}

gboolean novelty_read(Novelty *novelty, PstCursor *from)
{
    gint64 head[4];
    if (!image_get(from, head, sizeof head) || head[0] != (gint64)novelty->lines)
        return FALSE;
    novelty->newest = head[1];
    novelty->started = head[2] != 0;
    novelty->full = (guint64)head[3];
    return image_get(from, novelty->line, novelty->lines * LINE);
}
