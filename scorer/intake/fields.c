/* SPDX-License-Identifier: Apache-2.0 */
#include "fields.h"

static gboolean is_continuation(Text rest)
{
    return rest.len > 0 && (rest.at[0] == ' ' || rest.at[0] == '\t');
}

/* The length of the field's name, or 0 if @line is no field. */
static gsize name_length(Text line)
{
    gssize colon = text_find_char(line, ':');
    gsize len = 0;
    while (colon > 0 && len < (gsize)colon && line.at[len] > 32 && line.at[len] < 127)
        len++;
    for (gsize i = len; colon > 0 && i < (gsize)colon; i++)
        if (!text_is_space(line.at[i]))
            return 0;
    return len;
}

gboolean fields_next(Text *rest, Field *out)
{
    Text line;
    while (text_next_line(rest, &line)) {
        gsize len = name_length(line);
        if (len == 0)
            continue;
        const char *value = line.at + text_find_char(line, ':') + 1;
        Text end = line;
        while (is_continuation(*rest) && text_next_line(rest, &end))
            ;
        out->name = text_head(line, len);
        out->value = text(value, (gsize)(end.at + end.len - value));
        return TRUE;
    }
    return FALSE;
}

Text fields_value(Text block, const char *name)
{
    Field field;
    while (fields_next(&block, &field))
        if (text_equal(field.name, name))
            return field.value;
    return TEXT_NONE;
}
