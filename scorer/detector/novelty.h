/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* "Not seen in the last hour": a rotating blocked Bloom filter over event time.
 *
 * Time is cut into generations of 15 minutes; eight of them stand side by side as the eight bits
 * of a byte, and a key's places are five bytes of one cache line. So one look at one line answers
 * for all generations at once, and the AND of the five bytes says in which the key may stand:
 *
 *     64-byte line chosen by the key:   . . b . . . b . b . . . . b . . b . .
 *     seen = b & b & b & b & b                 bit g mod 8 = generation g
 *
 * A key is seen if it stands in its own generation, in one of the four before (that is at least an
 * hour) or in a later one (records come out of order). Every look also sets the key in its own
 * generation, so a sighting refreshes. There is no false novelty inside the hour: what was set
 * stays until its generation is eight back. Missed novelty (another key's bits) is 1 % where a
 * generation holds one key per 20 bytes, and grows from there: memory is fixed, a flood can only
 * make the filter say "seen" more often. Source: F. Putze, P. Sanders, J. Singler, Cache-, hash-
 * and space-efficient Bloom filters, 2007 (blocked filters); docs/detector.md, Events.
 */
#include "image.h"

#define NOVELTY_GENERATION_S 900
#define NOVELTY_GENERATIONS  8
#define NOVELTY_HOUR         4 /* generations before its own in which a key still counts as seen */

typedef struct Novelty Novelty;

/* @bytes memory, at least 64; rounded down to whole lines. Given (free with novelty_free). */
Novelty *novelty_new(gsize bytes);
void novelty_free(Novelty *novelty);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Novelty, novelty_free)

/* Moves event time on: generations that are no more needed are emptied. Call before novelty_see of
 * a time later than every one before. A time before the newest is no news. */
void novelty_advance(Novelty *novelty, gint64 at_s);

/* TRUE if @at_s is recent enough to be judged: at most three generations before the newest. */
gboolean novelty_holds(const Novelty *novelty, gint64 at_s);

/* Fetches the key's line ahead of novelty_see. */
void novelty_prefetch(const Novelty *novelty, guint64 key);

/* TRUE: not seen in the hour before @at_s (nor later). Sets the key. @key: a keyed hash of good
 * quality in all its bits. Asserts novelty_holds(@at_s) and that time was moved on to @at_s. */
gboolean novelty_see(Novelty *novelty, guint64 key, gint64 at_s);

/* Share of cells set in the last full generation; 0 before there was one. */
double novelty_fill(const Novelty *novelty);
gsize novelty_bytes(const Novelty *novelty);

void novelty_write(const Novelty *novelty, Image *image);
/* Into a filter fresh from novelty_new of the same size. */
gboolean novelty_read(Novelty *novelty, PstCursor *from) G_GNUC_WARN_UNUSED_RESULT;
