/* SPDX-License-Identifier: Apache-2.0 */
/* Flows as JSON lines, both ways, from the one field list. The reader is common's one door to
 * json-glib. */
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "clock.h"
#include "codec.h"
#include "flow_fields.h"
#include "json.h"

enum { LINE_MAX_BYTES = 64 * 1024, DEPTH_MAX = 16 };

typedef struct {
    const char *key;
    gsize offset;
    guint32 has;
    guint8 key_len;
    guint8 width;
    char kind; /* the letters of flow_fields.h */
} Field;

#define FIELD(number, kind_letter, member, has_bit, name)                                          \
    {.key = name,                                                                                  \
     .key_len = sizeof(name) - 1,                                                                  \
     .offset = offsetof(PstFlow, member),                                                          \
     .has = has_bit,                                                                               \
     .width = sizeof((PstFlow *)0)->member,                                                        \
     .kind = #kind_letter[0]},

static const Field fields[] = {PST_FLOW_FIELDS(FIELD) PST_FLOW_RARE_FIELDS(FIELD)};

static const char *const flow_types[] = {"FLOWUNKNOWN", "SFLOW_5", "NETFLOW_V5", "NETFLOW_V9",
                                         "IPFIX"};

/* Names that goflow2 prints for IP protocols. */
static const struct {
    const char *name;
    guint8 number;
} protocols[] = {
    {"TCP", 6},   {"UDP", 17},  {"ICMP", 1},  {"IPv6-ICMP", 58}, {"ICMPv6", 58},
    {"IGMP", 2},  {"IPv6", 41}, {"GRE", 47},  {"ESP", 50},       {"AH", 51},
    {"OSPF", 89}, {"IPIP", 94}, {"PIM", 103}, {"VRRP", 112},     {"SCTP", 132},
};

static guint64 load(const PstFlow *flow, const Field *field)
{
    return pst_flow_get_number((const guint8 *)flow + field->offset, field->width);
}

static gboolean store(PstFlow *flow, const Field *field, guint64 value)
{
    return pst_flow_put_number((guint8 *)flow + field->offset, field->width, value);
}

static PstAddr *addr_of(PstFlow *flow, const Field *field)
{
    return (PstAddr *)(void *)((guint8 *)flow + field->offset);
}

static void append_addr(GString *out, const PstAddr *addr)
{
    char text[PST_ADDR_TEXT_MAX];
    g_string_append_c(out, '"');
    g_string_append(out, pst_addr_format(addr, text));
    g_string_append_c(out, '"');
}

static void append_mac(GString *out, guint64 mac)
{
    static const char hex[] = "0123456789abcdef";
    char text[] = "\"00:00:00:00:00:00\"";
    for (guint i = 0; i < 6; i++) {
        guint8 byte = (guint8)(mac >> (40 - 8 * i));
        text[1 + 3 * i] = hex[byte >> 4];
        text[2 + 3 * i] = hex[byte & 15];
    }
    g_string_append_len(out, text, sizeof text - 1);
}

static gboolean is_shown(const PstFlow *flow, const Field *field)
{
    if ((flow->has & field->has) != field->has)
        return FALSE;
    switch (field->kind) {
    case 'A':
        return pst_addr_present(
            (const PstAddr *)(const void *)((const guint8 *)flow + field->offset));
    case 'Z':
        return load(flow, field) != 0;
    case 'T':
    case 'E':
        return field->has != 0 || load(flow, field) != 0;
    case 'H':
        return FALSE; /* in JSON a field's absence speaks for itself */
    default:
        return TRUE;
    }
}

static void append_value(const PstFlow *flow, const Field *field, GString *out)
{
    guint64 v = field->kind != 'A' ? load(flow, field) : 0;
    switch (field->kind) {
    case 'A':
        append_addr(out, (const PstAddr *)(const void *)((const guint8 *)flow + field->offset));
        break;
    case 'T':
        pst_json_append_i64(out, (gint64)v);
        break;
    case 'M':
        append_mac(out, v);
        break;
    case 'R':
        pst_json_append_string(out, pst_rate_source_name((PstRateSource)v));
        break;
    case 'D':
        pst_json_append_string(out, pst_direction_name((PstDirection)v));
        break;
    case 'Y':
        pst_json_append_string(out, flow_types[v < G_N_ELEMENTS(flow_types) ? v : 0]);
        break;
    default:
        pst_json_append_u64(out, v);
        break;
    }
}

void pst_codec_flow_json(const PstFlow *flow, GString *out)
{
    g_string_append_c(out, '{');
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (is_shown(flow, &fields[i])) {
            pst_json_append_name(out, fields[i].key);
            append_value(flow, &fields[i], out);
        }
    }
    g_string_append_c(out, '}');
}

gsize pst_codec_json_object_len(const char *text, gsize len)
{
    guint depth = 0;
    gboolean in_string = FALSE;
    for (gsize i = 0; i < len; i++) {
        if (in_string) {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                in_string = FALSE;
        } else if (text[i] == '"') {
            in_string = TRUE;
        } else if (text[i] == '{' || text[i] == '[') {
            /* json-glib's parser calls itself for each level: strangers do not choose how deep */
            if (++depth > DEPTH_MAX)
                return 0;
        } else if ((text[i] == '}' || text[i] == ']') && depth > 0 && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

/* json-glib stops reading behind the first value; a line with more on it is not one flow. */
static gboolean is_one_object(const char *text, gsize len)
{
    gsize end = pst_codec_json_object_len(text, len);
    for (gsize i = end; i < len; i++)
        if (!g_ascii_isspace(text[i]))
            return FALSE;
    return end > 0;
}

/* A member's value, from whichever reader. */
typedef struct {
    enum { VALUE_NONE, VALUE_WHOLE, VALUE_TEXT, VALUE_OTHER } kind; /* NONE: null */
    guint64 whole;                                                  /* ≥ 0 */
    const char *text;                                               /* ends with NUL */
    gsize len;
} Value;

static gboolean name_in(const char *text, const char *const *names, gsize n, guint64 *out)
{
    for (gsize i = 0; i < n; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean protocol_of(const char *text, guint64 *out)
{
    for (gsize i = 0; i < G_N_ELEMENTS(protocols); i++) {
        if (g_ascii_strcasecmp(text, protocols[i].name) == 0) {
            *out = protocols[i].number;
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean mac_of(const char *text, guint64 *out)
{
    guint64 mac = 0;
    gsize i = 0;
    for (; text[i] != '\0' && i < 17; i++) {
        if (i % 3 == 2) {
            if (text[i] != ':')
                return FALSE;
        } else if (!g_ascii_isxdigit(text[i])) {
            return FALSE;
        } else {
            mac = mac << 4 | (guint64)g_ascii_xdigit_value(text[i]);
        }
    }
    *out = mac;
    return i == 17 && text[i] == '\0';
}

/* "192.0.2.0/24", as goflow2 prints src_net: its length. */
static gboolean net_of(const char *text, guint64 *out)
{
    PstPrefix prefix;
    if (!pst_prefix_parse(text, strlen(text), FALSE, &prefix))
        return FALSE;
    *out = prefix.len;
    return TRUE;
}

static gboolean rate_source_of(const char *text, guint64 *out)
{
    for (guint i = 0; i <= PST_RATE_OPERATOR; i++)
        if (strcmp(text, pst_rate_source_name((PstRateSource)i)) == 0)
            return *out = i, TRUE;
    return FALSE;
}

static gboolean direction_of(const char *text, guint64 *out)
{
    for (guint i = 0; i <= PST_DIR_TRANSIT; i++)
        if (strcmp(text, pst_direction_name((PstDirection)i)) == 0)
            return *out = i, TRUE;
    return FALSE;
}

/* A number as text: so protobuf's own JSON writes those of 64 bits, and flags often are hex. */
static gboolean number_of(const char *text, guint64 *out)
{
    gboolean hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    return g_ascii_string_to_unsigned(hex ? text + 2 : text, hex ? 16 : 10, 0, G_MAXUINT64, out,
                                      NULL);
}

static gboolean text_value(char kind, const char *text, guint64 *out)
{
    gint64 ns;
    switch (kind) {
    case 'T':
        if (!pst_time_parse(text, &ns))
            return FALSE;
        *out = (guint64)ns;
        return TRUE;
    case 'M':
        return mac_of(text, out);
    case 'N':
        return net_of(text, out);
    case 'P':
        return protocol_of(text, out);
    case 'E':
        *out = strcmp(text, "IPv4") == 0 ? 0x0800 : 0x86dd;
        return strcmp(text, "IPv4") == 0 || strcmp(text, "IPv6") == 0;
    case 'R':
        return rate_source_of(text, out);
    case 'D':
        return direction_of(text, out);
    case 'Y':
        return name_in(text, flow_types, G_N_ELEMENTS(flow_types), out);
    default:
        return FALSE;
    }
}

static gboolean read_addr_field(const Field *field, const Value *value, PstFlow *out)
{
    return value->kind == VALUE_TEXT &&
           (value->len == 0 || pst_addr_parse(value->text, value->len, addr_of(out, field)));
}

/* FALSE: the value cannot be this field's. "" and names we do not know count as absent. */
static gboolean read_field(const Field *field, const Value *value, PstFlow *out)
{
    guint64 number = value->whole;
    if (value->kind == VALUE_NONE)
        return TRUE;
    if (field->kind == 'A')
        return read_addr_field(field, value, out);
    if (value->kind == VALUE_TEXT) {
        if (!number_of(value->text, &number) && !text_value(field->kind, value->text, &number))
            return value->len == 0 || strchr("PYERDN", field->kind) != NULL;
    } else if (value->kind != VALUE_WHOLE) {
        return FALSE;
    }
    if (!store(out, field, number))
        return FALSE;
    if (field->kind != 'T' || number != 0) /* goflow2 prints times that it has not as 0 */
        out->has |= field->has;
    return TRUE;
}

/* What must hold in every PstFlow, whoever printed the line. */
static void settle(PstFlow *flow)
{
    if (flow->sampling_rate == 0)
        flow->sampling_rate = 1;
    if (flow->rate_source > PST_RATE_OPERATOR)
        flow->rate_source = PST_RATE_NONE;
    if (flow->rate_source == PST_RATE_NONE && flow->sampling_rate > 1)
        flow->rate_source = PST_RATE_RECORD;
    if (flow->direction > PST_DIR_TRANSIT)
        flow->direction = PST_DIR_UNKNOWN;
    if (flow->etype == 0)
        flow->etype = flow->src_addr.family == PST_AF_INET ? 0x0800 : 0x86dd;
}

/* Both ends must be known, or it is no flow. */
static gboolean finish(PstFlow *flow, PstFlow *out)
{
    if (!pst_addr_present(&flow->src_addr) || !pst_addr_present(&flow->dst_addr))
        return FALSE;
    settle(flow);
    *out = *flow;
    return TRUE;
}

/* --- the plain form ------------------------------------------------------------------------
 * One object of texts without escapes and of whole numbers, in ASCII: what we print ourselves, and
 * most of what others do. Everything else is left to json-glib. */

typedef struct {
    const char *at, *end;
    char text[64]; /* the value's, with a NUL */
} Scan;

static void skip_space(Scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
        s->at++;
}

static gboolean take_char(Scan *s, char c)
{
    skip_space(s);
    if (s->at == s->end || *s->at != c)
        return FALSE;
    s->at++;
    return TRUE;
}

/* What stands between quotes. FALSE: none, or not plain. */
static gboolean take_text(Scan *s, const char **out_text, gsize *out_len)
{
    if (!take_char(s, '"'))
        return FALSE;
    const char *start = s->at;
    while (s->at < s->end && *s->at != '"') {
        if (*s->at == '\\' || (signed char)*s->at < ' ') /* or beyond ASCII */
            return FALSE;
        s->at++;
    }
    if (s->at == s->end)
        return FALSE;
    *out_text = start;
    *out_len = (gsize)(s->at++ - start);
    return TRUE;
}

/* FALSE: no digits, one too many, or more than 63 bits. */
static gboolean take_whole(Scan *s, guint64 *out)
{
    guint64 value = 0;
    const char *start = s->at;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
        value = value * 10 + (guint64)(*s->at - '0');
    gsize digits = (gsize)(s->at - start);
    *out = value;
    if (digits == 0 || digits > 19 || (digits > 1 && *start == '0'))
        return FALSE;
    return digits < 19 || value <= G_MAXINT64;
}

static gboolean take_value(Scan *s, Value *out)
{
    skip_space(s);
    *out = (Value){.kind = VALUE_WHOLE};
    if (s->at < s->end && *s->at != '"')
        return take_whole(s, &out->whole);
    const char *text;
    if (!take_text(s, &text, &out->len) || out->len >= sizeof s->text)
        return FALSE;
    memcpy(s->text, text, out->len);
    s->text[out->len] = '\0';
    out->kind = VALUE_TEXT;
    out->text = s->text;
    return TRUE;
}

/* The field of a key, looked for from @guess on: objects have their members mostly in one order.
 * The number of fields: a key that says nothing to us. */
static gsize find_field(const char *key, gsize len, gsize guess)
{
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        gsize at = guess + i < G_N_ELEMENTS(fields) ? guess + i : guess + i - G_N_ELEMENTS(fields);
        if (fields[at].key_len == len && memcmp(fields[at].key, key, len) == 0)
            return fields[at].kind != 'H' ? at : G_N_ELEMENTS(fields);
    }
    return G_N_ELEMENTS(fields);
}

static gboolean take_member(Scan *s, gsize *io_guess, guint64 *io_seen, PstFlow *flow)
{
    const char *key;
    gsize len;
    Value value;
    if (!take_text(s, &key, &len) || !take_char(s, ':') || !take_value(s, &value))
        return FALSE;
    gsize at = find_field(key, len, *io_guess);
    if (at == G_N_ELEMENTS(fields))
        return TRUE;
    guint64 bit = G_GUINT64_CONSTANT(1) << at;
    *io_guess = at + 1 < G_N_ELEMENTS(fields) ? at + 1 : 0;
    if (*io_seen & bit)
        return FALSE;
    *io_seen |= bit;
    return read_field(&fields[at], &value, flow);
}

G_STATIC_ASSERT(G_N_ELEMENTS(fields) <= 64);

gsize pst_codec_flow_from_plain_json(const char *text, gsize len, PstFlow *out)
{
    Scan s = {.at = text, .end = text + MIN(len, LINE_MAX_BYTES)};
    PstFlow flow = {0};
    gsize guess = 0;
    guint64 seen = 0;
    if (!take_char(&s, '{'))
        return 0;
    do {
        if (!take_member(&s, &guess, &seen, &flow))
            return 0;
    } while (take_char(&s, ','));
    if (!take_char(&s, '}') || !finish(&flow, out))
        return 0;
    return (gsize)(s.at - text);
}

/* --- every other form ---------------------------------------------------------------------- */

/* goflow2 prints some whole numbers as 1.7e18. */
static Value value_of(JsonNode *node)
{
    Value value = {.kind = VALUE_OTHER};
    if (JSON_NODE_HOLDS_NULL(node))
        value.kind = VALUE_NONE;
    if (!JSON_NODE_HOLDS_VALUE(node))
        return value;
    GType type = json_node_get_value_type(node);
    if (type == G_TYPE_STRING) {
        value.kind = VALUE_TEXT;
        value.text = json_node_get_string(node);
        value.len = strlen(value.text);
    } else if (type == G_TYPE_INT64 && json_node_get_int(node) >= 0) {
        value.kind = VALUE_WHOLE;
        value.whole = (guint64)json_node_get_int(node);
    } else if (type == G_TYPE_DOUBLE) {
        double v = json_node_get_double(node);
        if (v >= 0 && v < 18446744073709549568.0 && v == floor(v)) {
            value.kind = VALUE_WHOLE;
            value.whole = (guint64)v;
        }
    }
    return value;
}

gboolean pst_codec_flow_from_json(const char *line, gsize len, PstFlow *out)
{
    if (len > LINE_MAX_BYTES || !g_utf8_validate(line, (gssize)len, NULL) ||
        !is_one_object(line, len))
        return FALSE;
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    if (!json_parser_load_from_data(parser, line, (gssize)len, NULL))
        return FALSE;
    JsonNode *root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root))
        return FALSE;
    JsonObject *object = json_node_get_object(root);
    PstFlow flow = {0};
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        JsonNode *node =
            fields[i].kind != 'H' ? json_object_get_member(object, fields[i].key) : NULL;
        if (node == NULL)
            continue;
        Value value = value_of(node);
        if (!read_field(&fields[i], &value, &flow))
            return FALSE;
    }
    return finish(&flow, out);
}
