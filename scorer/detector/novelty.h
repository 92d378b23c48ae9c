/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* "Not seen in the last hour": which keys were seen when, in fixed memory.
 *
 * Time is cut into generations of 15 minutes. A key has one 64-byte line and leaves 16 bits there,
 * in any of its 32 slots: 13 bits of itself, and the newest generation that saw it. So one look at
 * one line answers, and a key that comes again takes no second slot:
 *
 *     line chosen by the key:   │ 1a07:5 │ 03c4:6 │ 1fe0:5 │   …   │   –   │   –   │
 *                                 13 bits, generation mod 7 + 1      free slots
 *
 * A key is seen if its slot says its own generation, one of the four before (that is at least an
 * hour) or a later one (records come out of order). Every look refreshes. There is no false novelty
 * inside the hour: a slot is given to another key only when it is older than that. In a full line
 * nobody is new, and a stranger may look like a key of the line (1 in 8192 for each): novelty is
 * missed in 1 % of cases where a quarter ends with two thirds of the slots in use (15 bytes for
 * each key and quarter), and in more from there on. Memory is fixed, a flood can only make it say
 * "seen" more often. Source: B. Fan, D. Andersen, M. Kaminsky, M. Mitzenmacher, Cuckoo Filter:
 * Practically Better Than Bloom, 2014 (fingerprints in buckets; without the second bucket here);
 * docs/detector.md, Novelty.
 */
#include "image.h"

#define NOVELTY_GENERATION_S 900
#define NOVELTY_HOUR         4 /* generations before its own in which a key still counts as seen */
#define NOVELTY_LATE         3 /* generations before the newest that a record may be of */

typedef struct Novelty Novelty;

/* @bytes memory, at least 64; rounded down to whole lines. Given (free with novelty_free). */
Novelty *novelty_new(gsize bytes);
void novelty_free(Novelty *novelty);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Novelty, novelty_free)

/* Moves event time on: generations that are no more needed are emptied. Call before novelty_see of
 * a time later than every one before. A time before the newest is no news. */
void novelty_advance(Novelty *novelty, gint64 at_s);

/* TRUE if @at_s is recent enough to be judged: at most three generations before the newest. Of the
 * third, what was seen is known for 45 minutes only. */
gboolean novelty_holds(const Novelty *novelty, gint64 at_s);

/* Fetches the key's line ahead of its use. */
void novelty_prefetch(const Novelty *novelty, guint64 key);

/* FALSE: the key was surely not seen; changes nothing. */
gboolean novelty_may_know(const Novelty *novelty, guint64 key);

typedef enum {
    NOVELTY_NEW,   /* not seen in the hour before, nor later */
    NOVELTY_SEEN,  /* in the hour before; refreshed */
    NOVELTY_AGAIN, /* in its own generation, or later: nothing changed */
} NoveltyAnswer;

/* Sets the key. @key: a keyed hash of good quality in all its bits. Asserts
 * novelty_holds(@at_s) and that time was moved on to @at_s. */
NoveltyAnswer novelty_ask(Novelty *novelty, guint64 key, gint64 at_s);

/* The same. TRUE: new. */
static inline gboolean novelty_see(Novelty *novelty, guint64 key, gint64 at_s)
{
    return novelty_ask(novelty, key, at_s) == NOVELTY_NEW;
}

/* Share of slots that were in use at the end of the last full generation; 0 before there was one.
 */
double novelty_fill(const Novelty *novelty);
gsize novelty_bytes(const Novelty *novelty);

void novelty_write(const Novelty *novelty, Image *image);
/* Into a filter fresh from novelty_new of the same size. */
gboolean novelty_read(Novelty *novelty, PstCursor *from) G_GNUC_WARN_UNUSED_RESULT;
