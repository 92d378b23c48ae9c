/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A mail cut into its parts (RFC 2045, 2046), and the only door to GMime.
 *
 *     multipart/report            part 0
 *      ├ text/plain               part 1, parent 0
 *      ├ message/feedback-report  part 2, parent 0
 *      └ message/rfc822           part 3, parent 0
 *         └ text/plain            part 4, parent 3: the attached message itself; its header holds
 *                                 From, Received and so on
 *
 * The cutting is our own: one pass over the bytes, no recursion, hard limits. (GMime's parser takes
 * 2 GB for a mail of 10 MB of empty parts and overflows its stack on nested address groups.) GMime
 * does what is hard in a small piece: parameters, transfer encodings, encoded words, dates.
 * Thread: its owner's.
 */
#include "text.h"

enum {
    MIME_PARTS_MAX = 1000,
    MIME_DEPTH_MAX = 32,
    MIME_HEADER_MAX = 256 * 1024, /* bytes of one header block */
    MIME_TYPE_MAX = 80,
    MIME_NO_PARENT = -1,
};

/* What kept us from seeing all of a mail; bits. */
typedef enum {
    MIME_WHOLE = 0,
    MIME_TOO_DEEP = 1,        /* a part deeper than MIME_DEPTH_MAX was not opened */
    MIME_TOO_MANY_PARTS = 2,  /* what follows part MIME_PARTS_MAX was not read */
    MIME_HEADER_TOO_LONG = 4, /* a header block was cut */
    MIME_NO_END = 8,          /* the last boundary is missing: the mail was cut off */
    MIME_NO_BOUNDARY = 16,    /* a multipart does not say its boundary: read as text */
} MimeFlaws;

typedef struct {
    int parent; /* index, or MIME_NO_PARENT */
    guint depth;
    gboolean holds_message;   /* message/rfc822 and its kin: its child is the attached message */
    char type[MIME_TYPE_MAX]; /* lower case, "text/plain" where the mail does not say */
    Text header;              /* its own header block */
    Text body;                /* as written, transfer encoding and all */
} MimePart;

typedef struct Mime Mime;

/* Cuts @mail, whatever it is; there is at least part 0.
 * @mail: borrowed, kept until mime_free(); its lines end in LF or CR LF.
 * Returns: given, free with mime_free(). */
Mime *mime_new(Text mail);
void mime_free(Mime *mime);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Mime, mime_free)

guint mime_count(const Mime *mime);
const MimePart *mime_part(const Mime *mime, guint index); /* borrowed from @mime */
MimeFlaws mime_flaws(const Mime *mime);

/* The first part after @after (−1: from the beginning) of this type, or −1. */
int mime_find(const Mime *mime, const char *type, int after);
/* The first part whose parent is @parent and whose index is greater than @after, or −1. */
int mime_child(const Mime *mime, int parent, int after);

/* A parameter of the part's Content-Type, or NULL. Given (g_free). */
char *mime_parameter(const MimePart *part, const char *name);

/* The body without its transfer encoding, at most @max bytes of it, in UTF-8 if the part says a
 * character set that we know (otherwise the bytes as they are). Never NULL. Given (g_string_free).
 */
GString *mime_decode(const MimePart *part, gsize max);

/* A header field's value with its encoded words (RFC 2047) decoded, fit to travel (text_clean), or
 * NULL. Given (g_free). */
char *mime_decode_words(Text value, gsize max);

/* A date as mail writes it (RFC 5322 §3.3 and what is seen beside it). UTC ns of 1970 … 2261. */
gboolean mime_date(Text value, gint64 *out_ns);
