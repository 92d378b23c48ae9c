/* SPDX-License-Identifier: Apache-2.0 */
#include "template.h"

#include <string.h>

#define NEST_MAX 3
#define WORD_MAX 40

/* ---- values ---- */

struct PstTemplateValues {
    GHashTable *texts; /* name → char * */
    GHashTable *lists; /* name → GPtrArray of PstTemplateValues */
};

PstTemplateValues *pst_template_values_new(void)
{
    PstTemplateValues *values = g_new0(PstTemplateValues, 1);
    values->texts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    values->lists =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    return values;
}

void pst_template_values_free(PstTemplateValues *values)
{
    if (values == NULL)
        return;
    g_hash_table_unref(values->texts);
    g_hash_table_unref(values->lists);
    g_free(values);
}

void pst_template_set(PstTemplateValues *values, const char *name, const char *text)
{
    g_hash_table_replace(values->texts, g_strdup(name), g_strdup(text != NULL ? text : ""));
}

void pst_template_setf(PstTemplateValues *values, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    pst_template_set(values, name, text);
}

PstTemplateValues *pst_template_row(PstTemplateValues *values, const char *list)
{
    GPtrArray *rows = g_hash_table_lookup(values->lists, list);
    if (rows == NULL) {
        rows = g_ptr_array_new_with_free_func((GDestroyNotify)pst_template_values_free);
        g_hash_table_insert(values->lists, g_strdup(list), rows);
    }
    PstTemplateValues *row = pst_template_values_new();
    g_ptr_array_add(rows, row);
    return row;
}

/* ---- parsing ---- */

typedef enum { NODE_TEXT, NODE_VALUE, NODE_SECTION } NodeKind;

typedef struct {
    NodeKind kind;
    char *text;          /* the text, or the name */
    GPtrArray *children; /* NODE_SECTION */
} Node;

struct PstTemplate {
    PstTemplateChannel channel;
    const PstTemplateWord *words;
    GPtrArray *nodes;
};

typedef struct {
    const char *file;
    const char *start, *at, *end;
    const PstTemplateWord *words;
    const PstTemplateWord *open[NEST_MAX]; /* sections around us */
    guint depth;
    guint floor; /* how many of them a part found open: they are not its to close */
    PstTemplatePartFn part;
    gpointer part_user;
    gboolean in_part;
    gsize *room; /* bytes that the template and its parts may still have */
    GError **error;
} Parser;

/* What stands between {{ and }}. */
typedef struct {
    char mark; /* '#', '/', '>', or 0 */
    char name[WORD_MAX];
    const PstTemplateWord *word; /* NULL for a column */
    const char *begin, *after;
} Tag;

static void node_free(gpointer data)
{
    Node *node = data;
    g_free(node->text);
    if (node->children != NULL)
        g_ptr_array_unref(node->children);
    g_free(node);
}

static Node *add_node(GPtrArray *nodes, NodeKind kind, const char *text, gsize len)
{
    Node *node = g_new0(Node, 1);
    node->kind = kind;
    node->text = g_strndup(text, len);
    g_ptr_array_add(nodes, node);
    return node;
}

static gboolean fail(const Parser *p, const char *at, const char *what, const char *name)
{
    int line = 1;
    for (const char *c = p->start; c < at; c++)
        line += *c == '\n';
    g_set_error(p->error, PST_ERROR, PST_ERROR_USAGE, "%s:%d: %s%s%s", p->file, line, what,
                name != NULL ? " " : "", name != NULL ? name : "");
    return FALSE;
}

static gboolean fail_unknown(const Parser *p, const Tag *tag)
{
    g_autoptr(GString) what = g_string_new(NULL);
    g_string_printf(what, "unknown variable {{%s}}; known here:", tag->name);
    for (guint i = p->depth; i-- > 0;)
        for (const char *const *c = p->open[i]->columns; c != NULL && *c != NULL; c++)
            g_string_append_printf(what, " %s", *c);
    for (const PstTemplateWord *w = p->words; w->name != NULL; w++)
        g_string_append_printf(what, " %s", w->name);
    return fail(p, tag->begin, what->str, NULL);
}

static gboolean is_column(const Parser *p, const char *name)
{
    for (guint i = 0; i < p->depth; i++)
        if (p->open[i]->columns != NULL && g_strv_contains(p->open[i]->columns, name))
            return TRUE;
    return FALSE;
}

static const PstTemplateWord *find_word(const PstTemplateWord *words, const char *name)
{
    for (const PstTemplateWord *w = words; w->name != NULL; w++)
        if (strcmp(w->name, name) == 0)
            return w;
    return NULL;
}

/* The tag of a section or part alone on its line takes the whole line with it. */
static void swallow_line(const Parser *p, Tag *tag)
{
    const char *before = tag->begin, *after = tag->after;
    while (before > p->start && (before[-1] == ' ' || before[-1] == '\t'))
        before--;
    while (after < p->end && (*after == ' ' || *after == '\t' || *after == '\r'))
        after++;
    gboolean starts = before == p->start || before[-1] == '\n';
    if (!starts || (after < p->end && *after != '\n'))
        return;
    /* Never before what was consumed already: two tags can share a line. */
    tag->begin = MAX(before, p->at);
    tag->after = after < p->end ? after + 1 : after;
}

/* Reads the tag at p->at…; its begin points to "{{". */
static gboolean read_tag(const Parser *p, const char *begin, Tag *tag)
{
    const char *close = g_strstr_len(begin, p->end - begin, "}}");
    if (close == NULL)
        return fail(p, begin, "{{ without }}", NULL);
    *tag = (Tag){.begin = begin, .after = close + 2};
    const char *name = begin + 2;
    if (*name == '#' || *name == '/' || *name == '>')
        tag->mark = *name++;
    gsize len = (gsize)(close - name);
    if (len == 0 || len >= WORD_MAX)
        return fail(p, begin, "a tag is written {{name}}, {{#name}}, {{/name}} or {{>name}}", NULL);
    for (gsize i = 0; i < len; i++)
        if (!g_ascii_islower(name[i]) && !g_ascii_isdigit(name[i]) && name[i] != '_')
            return fail(p, begin, "a name has only a … z, 0 … 9 and _", NULL);
    memcpy(tag->name, name, len);
    tag->word = find_word(p->words, tag->name);
    if (tag->mark != 0)
        swallow_line(p, tag);
    return TRUE;
}

static gboolean parse_nodes(Parser *p, GPtrArray *nodes);

static gboolean parse_section(Parser *p, GPtrArray *nodes, const Tag *tag)
{
    static const PstTemplateWord column = {0};
    if (tag->word == NULL && !is_column(p, tag->name))
        return fail_unknown(p, tag);
    if (p->depth == NEST_MAX)
        return fail(p, tag->begin, "sections nest three deep at most:", tag->name);
    Node *section = add_node(nodes, NODE_SECTION, tag->name, strlen(tag->name));
    section->children = g_ptr_array_new_with_free_func(node_free);
    p->open[p->depth++] = tag->word != NULL ? tag->word : &column;
    if (!parse_nodes(p, section->children))
        return FALSE;
    p->depth--;
    if (p->at == p->end)
        return fail(p, tag->begin, "section is never closed:", tag->name);
    Tag close;
    const char *begin = g_strstr_len(p->at, p->end - p->at, "{{");
    g_assert(begin != NULL); /* parse_nodes stopped before it */
    if (!read_tag(p, begin, &close))
        return FALSE;
    if (strcmp(close.name, tag->name) != 0)
        return fail(p, begin, "this closes another section than the one opened last:", close.name);
    p->at = close.after;
    return TRUE;
}

static gboolean parse_value(const Parser *p, GPtrArray *nodes, const Tag *tag)
{
    if (!is_column(p, tag->name)) {
        if (tag->word == NULL)
            return fail_unknown(p, tag);
        if (tag->word->columns != NULL)
            return fail(p, tag->begin, "this is a list, write {{#…}} … {{/…}}:", tag->name);
    }
    add_node(nodes, NODE_VALUE, tag->name, strlen(tag->name));
    return TRUE;
}

static gboolean parse_text(Parser *p, GPtrArray *nodes);

static gboolean parse_part(const Parser *p, GPtrArray *nodes, const Tag *tag)
{
    if (p->in_part)
        return fail(p, tag->begin, "a part holds no other parts:", tag->name);
    const PstTemplateSource *source = p->part != NULL ? p->part(tag->name, p->part_user) : NULL;
    if (source == NULL)
        return fail(p, tag->begin, "there is no part called", tag->name);
    Parser inner = *p;
    inner.file = source->file;
    inner.start = inner.at = source->text;
    inner.end = source->text + source->len;
    inner.floor = p->depth;
    inner.in_part = TRUE;
    return parse_text(&inner, nodes);
}

/* Reads until the end, or until a closing tag: that one stays for the caller. */
static gboolean parse_nodes(Parser *p, GPtrArray *nodes)
{
    while (p->at < p->end) {
        const char *begin = g_strstr_len(p->at, p->end - p->at, "{{");
        if (begin == NULL) {
            add_node(nodes, NODE_TEXT, p->at, (gsize)(p->end - p->at));
            p->at = p->end;
            return TRUE;
        }
        Tag tag = {0};
        if (!read_tag(p, begin, &tag))
            return FALSE;
        if (tag.begin > p->at)
            add_node(nodes, NODE_TEXT, p->at, (gsize)(tag.begin - p->at));
        if (tag.mark == '/') {
            p->at = tag.begin;
            return p->depth > p->floor ||
                   fail(p, begin, "this closes a section that was never opened:", tag.name);
        }
        p->at = tag.after;
        if (!(tag.mark == '#'   ? parse_section(p, nodes, &tag)
              : tag.mark == '>' ? parse_part(p, nodes, &tag)
                                : parse_value(p, nodes, &tag)))
            return FALSE;
    }
    return TRUE;
}

/* Reads the whole of one file. */
static gboolean parse_text(Parser *p, GPtrArray *nodes)
{
    const char *bad = NULL;
    gsize len = (gsize)(p->end - p->start);
    if (len > *p->room)
        return fail(p, p->start, "the template with its parts is longer than 256 KiB", NULL);
    *p->room -= len;
    if (!g_utf8_validate_len(p->start, len, &bad))
        return fail(p, bad, "the template is not UTF-8 text", NULL);
    return parse_nodes(p, nodes);
}

PstTemplate *pst_template_parse(const PstTemplateSource *source, PstTemplateChannel channel,
                                const PstTemplateWord *words, PstTemplatePartFn part,
                                gpointer part_user, GError **error)
{
    gsize room = PST_TEMPLATE_MAX;
    Parser p = {.file = source->file,
                .start = source->text,
                .at = source->text,
                .end = source->text + source->len,
                .words = words,
                .part = part,
                .part_user = part_user,
                .room = &room,
                .error = error};
    g_autoptr(PstTemplate) tmpl = g_new0(PstTemplate, 1);
    tmpl->channel = channel;
    tmpl->words = words;
    tmpl->nodes = g_ptr_array_new_with_free_func(node_free);
    if (!parse_text(&p, tmpl->nodes))
        return NULL;
    return g_steal_pointer(&tmpl);
}

void pst_template_free(PstTemplate *tmpl)
{
    if (tmpl == NULL)
        return;
    g_ptr_array_unref(tmpl->nodes);
    g_free(tmpl);
}

/* ---- rendering ---- */

static const char *entity_of(gunichar c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* Characters that a reader does not see but that change what he sees: controls, and the marks that
 * reorder text (Unicode bidirectional controls). */
static gboolean is_hidden(gunichar c)
{
    return g_unichar_iscntrl(c) || (c >= 0x200E && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

static void append_escaped(GString *out, PstTemplateChannel channel, const char *value)
{
    for (const char *at = value; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        const char *entity = channel == PST_TEMPLATE_HTML ? entity_of(c) : NULL;
        if (entity != NULL)
            g_string_append(out, entity);
        else
            g_string_append_unichar(out, is_hidden(c) ? ' ' : c);
    }
}

/* The row hides a word of the same name outside of it. */
static const char *lookup(const PstTemplateValues *values, const PstTemplateValues *row,
                          const char *name)
{
    const char *text = row != NULL ? g_hash_table_lookup(row->texts, name) : NULL;
    if (text == NULL)
        text = g_hash_table_lookup(values->texts, name);
    return text != NULL ? text : "";
}

static void render(const PstTemplate *tmpl, const GPtrArray *nodes, const PstTemplateValues *values,
                   const PstTemplateValues *row, GString *out);

static void render_section(const PstTemplate *tmpl, const Node *node,
                           const PstTemplateValues *values, const PstTemplateValues *row,
                           GString *out)
{
    const PstTemplateWord *word = find_word(tmpl->words, node->text);
    if (word == NULL || word->columns == NULL) {
        if (lookup(values, row, node->text)[0] != '\0')
            render(tmpl, node->children, values, row, out);
        return;
    }
    const GPtrArray *rows = g_hash_table_lookup(values->lists, node->text);
    for (guint i = 0; rows != NULL && i < rows->len; i++)
        render(tmpl, node->children, values, g_ptr_array_index(rows, i), out);
}

static void render(const PstTemplate *tmpl, const GPtrArray *nodes, const PstTemplateValues *values,
                   const PstTemplateValues *row, GString *out)
{
    for (guint i = 0; i < nodes->len; i++) {
        const Node *node = g_ptr_array_index(nodes, i);
        switch (node->kind) {
        case NODE_TEXT:
            g_string_append(out, node->text);
            break;
        case NODE_VALUE:
            append_escaped(out, tmpl->channel, lookup(values, row, node->text));
            break;
        case NODE_SECTION:
            render_section(tmpl, node, values, row, out);
            break;
        }
    }
}

char *pst_template_render(const PstTemplate *tmpl, const PstTemplateValues *values)
{
    GString *out = g_string_new(NULL);
    render(tmpl, tmpl->nodes, values, NULL, out);
    return g_string_free(out, FALSE);
}
