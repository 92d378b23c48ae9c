/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Bytes of a mail, borrowed: a pointer and a length, never a NUL at the end. Everything that reads
 * a mail works on these, so nothing can run past the end and nothing is copied before it is wanted.
 * Thread: any; all functions are pure.
 */
#include <glib.h>
#include <string.h>

typedef struct {
    const char *at;
    gsize len;
} Text;

#define TEXT_NONE  ((Text){NULL, 0})
#define TEXT_OF(s) ((Text){(s), sizeof(s) - 1}) /* of a string constant */

static inline Text text(const char *at, gsize len)
{
    return (Text){.at = at, .len = len};
}

static inline gboolean text_present(Text t)
{
    return t.at != NULL;
}

static inline gboolean text_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* From @from to the end; nothing if @from is past it. */
Text text_after(Text t, gsize from);
/* At most @max bytes. */
Text text_head(Text t, gsize max);
/* Without white space on both sides. */
Text text_trim(Text t);
/* The first word: trimmed, up to white space or one of ";,()". */
Text text_word(Text t);

/* Cuts the next line off @rest, without its LF (and a CR before it). FALSE: nothing is left. */
gboolean text_next_line(Text *rest, Text *out_line);
/* Cuts off what stands before the next @separator (or the rest). FALSE: nothing is left. */
gboolean text_next_token(Text *rest, char separator, Text *out_token);

/* ASCII letters of both cases are equal. */
gboolean text_equal(Text t, const char *word);
gboolean text_starts(Text t, const char *word);
gboolean text_ends(Text t, const char *word);
/* Where @word begins, of either case, or −1. Linear in t.len for the short words of this program.
 */
gssize text_find(Text t, const char *word);
gssize text_find_char(Text t, char c);

/* A decimal number that fills @t (white space around it is allowed) and is at most @max.
 * FALSE and @out untouched otherwise. */
gboolean text_number(Text t, guint32 max, guint32 *out);

/* A copy that may travel: valid UTF-8 (bad bytes and NUL become U+FFFD), control characters and
 * runs of white space become one space, trimmed, cut at @max bytes between characters. NULL if
 * nothing is left. Given (g_free). */
char *text_clean(Text t, gsize max);
/* The same in lower case (ASCII letters only). */
char *text_clean_lower(Text t, gsize max);
