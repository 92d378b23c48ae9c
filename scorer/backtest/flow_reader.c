/* SPDX-License-Identifier: Apache-2.0 */
#include "flow_reader.h"

#include <string.h>

#include "varint.h"

/* A line or message that does not fit is refused. */
enum { WINDOW_BYTES = 256 * 1024, MESSAGE_MAX = 64 * 1024 };

typedef enum { FORM_UNKNOWN, FORM_JSON, FORM_PROTOBUF } Form;

struct FlowReader {
    Source *source;
    gboolean ended; /* nothing more comes from it */
    Form form;
    guint64 line;      /* of JSON, that was read last; from 1 */
    gboolean in_line;  /* more of it follows */
    gboolean in_batch; /* of protobuf a message was read */
    gsize at, end;     /* what is not read yet: window[at … end) */
    guint8 window[WINDOW_BYTES];
};

FlowReader *flow_reader_open(const char *path, const char *const *collector, GError **error)
{
    g_autoptr(Source) source = source_open(path, collector, error);
    if (source == NULL)
        return NULL;
    FlowReader *reader = g_new0(FlowReader, 1);
    reader->source = g_steal_pointer(&source);
    return reader;
}

void flow_reader_close(FlowReader *reader)
{
    if (reader == NULL)
        return;
    source_close(reader->source);
    g_free(reader);
}

Source *flow_reader_source(const FlowReader *reader)
{
    return reader->source;
}

/* Reads more behind what is left. FALSE: the file failed. */
static gboolean fill(FlowReader *r, GError **error)
{
    memmove(r->window, r->window + r->at, r->end - r->at);
    r->end -= r->at;
    r->at = 0;
    gssize n = source_read(r->source, r->window + r->end, sizeof r->window - r->end, error);
    if (n < 0)
        return FALSE;
    r->ended = n == 0;
    r->end += (gsize)n;
    return TRUE;
}

static gboolean is_space(guint8 c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* JSON starts with '{' and then '"' or '}'. A batch may start with the byte '{' (a message of 123
 * bytes), but '"' behind it would be field 4 with the wrong type, and '}' is no tag. */
static Form form_of(const FlowReader *r)
{
    gsize i = r->at;
    while (i < r->end && is_space(r->window[i]))
        i++;
    if (i == r->end || r->window[i] != '{')
        return FORM_PROTOBUF;
    for (i++; i < r->end && is_space(r->window[i]); i++)
        ;
    return i < r->end && (r->window[i] == '"' || r->window[i] == '}') ? FORM_JSON : FORM_PROTOBUF;
}

/* An object or a line was taken. */
static void count_line(FlowReader *r, gboolean more_follows)
{
    r->line += r->in_line ? 0 : 1;
    r->in_line = more_follows;
}

guint64 flow_reader_line(const FlowReader *reader)
{
    return reader->line;
}

/* An object in the plain form, and behind it the line's end or the next object. FALSE: none, or it
 * must be looked at more closely. */
static gboolean take_plain(FlowReader *r, PstFlow *out)
{
    const char *start = (const char *)r->window + r->at;
    gsize left = r->end - r->at;
    gsize n = left > 0 && *start == '{' ? pst_codec_flow_from_plain_json(start, left, out) : 0;
    if (n == 0 || n == left || (start[n] != '\n' && start[n] != '{'))
        return FALSE;
    count_line(r, start[n] == '{');
    r->at += start[n] == '\n' ? n + 1 : n;
    return TRUE;
}

/* The next line without its end; of several objects on one line (goflow2's workers do not wait for
 * one another's newline) the next object. FALSE: none is complete yet. */
static gboolean take_line(FlowReader *r, const char **out_line, gsize *out_len)
{
    const char *start = (const char *)r->window + r->at;
    gsize left = r->end - r->at;
    const char *newline = memchr(start, '\n', left);
    if (newline == NULL && !(r->ended && left > 0))
        return FALSE;
    gsize len = newline != NULL ? (gsize)(newline - start) : left;
    gsize first = pst_codec_json_object_len(start, len);
    gboolean more = first > 0 && first < len && start[first] == '{';
    *out_line = start;
    *out_len = more ? first : len;
    count_line(r, more);
    r->at += more ? first : len + (newline != NULL);
    return TRUE;
}

static gboolean is_blank(const char *line, gsize len)
{
    for (gsize i = 0; i < len; i++)
        if (!is_space((guint8)line[i]))
            return FALSE;
    return TRUE;
}

static FlowRead next_json(FlowReader *r, PstFlow *out_flow, GError **error)
{
    for (gboolean too_long = FALSE;;) {
        const char *line;
        gsize len;
        if (!too_long && take_plain(r, out_flow))
            return FLOW_READ_FLOW;
        if (take_line(r, &line, &len)) {
            if (too_long)
                return FLOW_READ_REFUSED;
            if (is_blank(line, len))
                continue;
            return pst_codec_flow_from_json(line, len, out_flow) ? FLOW_READ_FLOW
                                                                 : FLOW_READ_REFUSED;
        }
        if (r->ended)
            return too_long ? FLOW_READ_REFUSED : FLOW_READ_END;
        if (r->at == 0 && r->end == sizeof r->window) {
            too_long = TRUE; /* forget what we have of it */
            r->at = r->end;
        }
        if (!fill(r, error))
            return FLOW_READ_FAILED;
    }
}

/* goflow2 puts a line's end behind each message (-transport.file.sep); its workers now and then two
 * behind two. As a length it would be that of a message of 10 bytes: no flow is so short. */
static void skip_line_ends(FlowReader *r)
{
    while (r->in_batch && r->at < r->end && r->window[r->at] == '\n')
        r->at++;
}

static FlowRead next_protobuf(FlowReader *r, PstFlow *out_flow, PstHeartbeat *out_beat,
                              GError **error)
{
    for (;;) {
        skip_line_ends(r);
        const guint8 *start = r->window + r->at, *end = r->window + r->end;
        guint64 len = 0;
        const guint8 *body = pst_get_varint(start, end, &len);
        if (body != NULL && len <= MESSAGE_MAX && len <= (guint64)(end - body)) {
            PstBatch batch = pst_batch(start, (gsize)(body - start) + (gsize)len);
            r->at += (gsize)(body - start) + (gsize)len;
            PstCodecItem item = pst_batch_next(&batch, out_flow, out_beat);
            r->in_batch = TRUE;
            if (item == PST_CODEC_FLOW || item == PST_CODEC_HEARTBEAT)
                return item == PST_CODEC_FLOW ? FLOW_READ_FLOW : FLOW_READ_HEARTBEAT;
        } else if (r->ended && start == end) {
            return FLOW_READ_END;
        } else if (!r->ended && len <= MESSAGE_MAX && end - start < MESSAGE_MAX + 10) {
            if (!fill(r, error))
                return FLOW_READ_FAILED;
            continue;
        }
        r->ended = TRUE; /* the rest cannot be trusted */
        r->at = r->end;
        return FLOW_READ_REFUSED;
    }
}

FlowRead flow_reader_next(FlowReader *r, PstFlow *out_flow, PstHeartbeat *out_beat, GError **error)
{
    if (r->form == FORM_UNKNOWN) {
        while (!r->ended && r->end < 64)
            if (!fill(r, error))
                return FLOW_READ_FAILED;
        r->form = form_of(r);
    }
    return r->form == FORM_JSON ? next_json(r, out_flow, error)
                                : next_protobuf(r, out_flow, out_beat, error);
}
