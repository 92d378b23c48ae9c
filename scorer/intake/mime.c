/* SPDX-License-Identifier: Apache-2.0 */
#include "mime.h"

#include "fields.h"
#include "mime_codec.h"

struct Mime {
    GArray *parts;    /* MimePart */
    GPtrArray *owned; /* GString: decoded bodies that hold messages */
    MimeFlaws flaws;
};

/* An open multipart: lines "--boundary" end whatever is open inside it. */
typedef struct {
    char *boundary;
    gsize len;
    int part;
} Level;

/* One pass over one stretch of bytes. */
typedef struct {
    Mime *mime;
    Text rest;
    int current; /* the innermost open part */
    Level levels[MIME_DEPTH_MAX];
    guint n_levels;
} Walk;

static const char *const message_types[] =
    {
        "message/rfc822",         "message/global",         "message/news",
        "message/rfc822-headers", "message/global-headers", "text/rfc822-headers",
        "text/rfc822-header", /* the latter is a slip that is in the wild */
};

static gboolean is_message_type(const char *type)
{
    for (gsize i = 0; i < G_N_ELEMENTS(message_types); i++)
        if (strcmp(type, message_types[i]) == 0)
            return TRUE;
    return FALSE;
}

static MimePart *part_at(const Mime *mime, int index)
{
    return &g_array_index(mime->parts, MimePart, index);
}

/* --- boundaries ---------------------------------------------------------------------------------
 */

/* The level that @line is a boundary of, innermost first, or −1. */
static int match_boundary(const Walk *walk, Text line, gboolean *out_close)
{
    if (line.len < 3 || line.at[0] != '-' || line.at[1] != '-')
        return -1;
    Text rest = text_after(line, 2);
    for (int i = (int)walk->n_levels - 1; i >= 0; i--) {
        const Level *level = &walk->levels[i];
        if (rest.len < level->len || memcmp(rest.at, level->boundary, level->len) != 0)
            continue;
        Text tail = text_trim(text_after(rest, level->len));
        if (tail.len == 0 || text_equal(tail, "--")) {
            *out_close = tail.len > 0;
            return i;
        }
    }
    return -1;
}

static void pop_levels(Walk *walk, guint keep)
{
    while (walk->n_levels > keep)
        g_free(walk->levels[--walk->n_levels].boundary);
}

/* Ends every open part inside @until; their bodies go up to @end. */
static void close_parts(Walk *walk, int until, const char *end)
{
    for (; walk->current != until; walk->current = part_at(walk->mime, walk->current)->parent) {
        Text *body = &part_at(walk->mime, walk->current)->body;
        body->len = end > body->at ? (gsize)(end - body->at) : 0;
    }
}

/* The line break before a boundary belongs to the boundary (RFC 2046 §5.1.1). */
static const char *before_line(Text line, const char *start)
{
    const char *end = line.at;
    if (end > start && end[-1] == '\n')
        end--;
    if (end > start && end[-1] == '\r')
        end--;
    return end;
}

/* --- parts ---------------------------------------------------------------------------------------
 */

static void set_type(Mime *mime, MimePart *part)
{
    const char *fallback = "text/plain";
    if (part->parent >= 0 && strcmp(part_at(mime, part->parent)->type, "multipart/digest") == 0)
        fallback = "message/rfc822"; /* RFC 2046 §5.1.5 */
    if (!mime_codec_type(part->header, part->type))
        g_strlcpy(part->type, fallback, sizeof part->type);
    part->holds_message = is_message_type(part->type);
}

/* Some reporters put an empty line before the attached message's header. */
static void skip_empty_lines(Walk *walk)
{
    Text line = TEXT_NONE, rest = walk->rest, ahead = rest;
    Field field;
    while (text_next_line(&ahead, &line) && line.len == 0)
        rest = ahead;
    if (fields_next(&line, &field)) /* else the empty line ends an empty header */
        walk->rest = rest;
}

/* Reads header lines up to the empty line, or to a boundary, which is left unread. */
static void read_header(Walk *walk, MimePart *part)
{
    gboolean close;
    if (part->parent < 0 || part_at(walk->mime, part->parent)->holds_message)
        skip_empty_lines(walk);
    Text line, ahead = walk->rest;
    part->header = text(walk->rest.at, 0);
    while (text_next_line(&ahead, &line) && match_boundary(walk, line, &close) < 0) {
        walk->rest = ahead;
        if (line.len == 0)
            break;
        part->header.len = (gsize)(line.at + line.len - part->header.at);
    }
    part->body = walk->rest;
    if (part->header.len > MIME_HEADER_MAX) {
        part->header.len = MIME_HEADER_MAX;
        walk->mime->flaws |= MIME_HEADER_TOO_LONG;
    }
}

static void open_multipart(Walk *walk, int index)
{
    char *boundary = mime_parameter(part_at(walk->mime, index), "boundary");
    if (boundary == NULL || boundary[0] == '\0' || walk->n_levels == MIME_DEPTH_MAX) {
        walk->mime->flaws |= walk->n_levels == MIME_DEPTH_MAX ? MIME_TOO_DEEP : MIME_NO_BOUNDARY;
        g_free(boundary);
        return;
    }
    walk->levels[walk->n_levels++] = (Level){boundary, strlen(boundary), index};
}

/* Opens the part that begins here, and the message inside it, and the message inside that … */
static void open_part(Walk *walk)
{
    Mime *mime = walk->mime;
    gboolean inside = TRUE;
    while (inside && mime->parts->len < MIME_PARTS_MAX) {
        MimePart part = {.parent = walk->current};
        part.depth = part.parent >= 0 ? part_at(mime, part.parent)->depth + 1 : 0;
        if (part.depth > MIME_DEPTH_MAX) {
            mime->flaws |= MIME_TOO_DEEP;
            return;
        }
        read_header(walk, &part);
        set_type(mime, &part);
        walk->current = (int)mime->parts->len;
        g_array_append_val(mime->parts, part);
        if (text_starts(text(part.type, strlen(part.type)), "multipart/"))
            open_multipart(walk, walk->current);
        inside = part.holds_message && !mime_codec_is_encoded(part.header);
    }
    if (inside)
        mime->flaws |= MIME_TOO_MANY_PARTS;
}

/* Cuts @bytes, which stand inside @parent (or are the mail). */
static void walk_bytes(Mime *mime, Text bytes, int parent)
{
    Walk walk = {.mime = mime, .rest = bytes, .current = parent};
    Text line;
    gboolean close = FALSE;
    open_part(&walk);
    while (text_next_line(&walk.rest, &line)) {
        int level = match_boundary(&walk, line, &close);
        if (level < 0)
            continue;
        if (mime->parts->len >= MIME_PARTS_MAX) {
            mime->flaws |= MIME_TOO_MANY_PARTS;
            break;
        }
        close_parts(&walk, walk.levels[level].part, before_line(line, bytes.at));
        pop_levels(&walk, (guint)level + (close ? 0 : 1));
        if (!close)
            open_part(&walk);
    }
    if (walk.n_levels > 0)
        mime->flaws |= MIME_NO_END;
    close_parts(&walk, parent, bytes.at + bytes.len);
    pop_levels(&walk, 0);
}

/* --- the mail ------------------------------------------------------------------------------------
 */

static void free_string(gpointer string)
{
    g_string_free(string, TRUE);
}

/* A message may not be encoded (RFC 2046 §5.2.1); some are. What they decode to is together no
 * longer than the mail. */
static void open_encoded(Mime *mime, gsize budget)
{
    for (guint i = 0; i < mime->parts->len; i++) {
        const MimePart *part = part_at(mime, (int)i);
        if (!part->holds_message || !mime_codec_is_encoded(part->header))
            continue;
        if (part->body.len > budget) {
            mime->flaws |= MIME_TOO_DEEP;
            return;
        }
        GString *decoded = mime_decode(part, part->body.len);
        budget -= decoded->len;
        g_ptr_array_add(mime->owned, decoded);
        walk_bytes(mime, text(decoded->str, decoded->len), (int)i);
    }
}

Mime *mime_new(Text mail)
{
    Mime *mime = g_new0(Mime, 1);
    mime_codec_init();
    mime->parts = g_array_new(FALSE, TRUE, sizeof(MimePart));
    mime->owned = g_ptr_array_new_with_free_func(free_string);
    walk_bytes(mime, mail, MIME_NO_PARENT);
    open_encoded(mime, mail.len);
    return mime;
}

void mime_free(Mime *mime)
{
    if (mime == NULL)
        return;
    g_array_unref(mime->parts);
    g_ptr_array_unref(mime->owned);
    g_free(mime);
}

guint mime_count(const Mime *mime)
{
    return mime->parts->len;
}

const MimePart *mime_part(const Mime *mime, guint index)
{
    g_assert(index < mime->parts->len);
    return part_at(mime, (int)index);
}

MimeFlaws mime_flaws(const Mime *mime)
{
    return mime->flaws;
}

int mime_find(const Mime *mime, const char *type, int after)
{
    for (guint i = (guint)(after + 1); i < mime->parts->len; i++)
        if (strcmp(part_at(mime, (int)i)->type, type) == 0)
            return (int)i;
    return -1;
}

int mime_child(const Mime *mime, int parent, int after)
{
    for (guint i = (guint)(after + 1); i < mime->parts->len; i++)
        if (part_at(mime, (int)i)->parent == parent)
            return (int)i;
    return -1;
}
