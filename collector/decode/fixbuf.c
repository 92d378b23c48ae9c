/* SPDX-License-Identifier: Apache-2.0 */
#include "fixbuf.h"

/* public.h of libfixbuf 2.4 knows nothing of our warnings */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <fixbuf/public.h>
#pragma GCC diagnostic pop

#include "codec.h"
#include "element.h"
#include "plan.h"

enum { MESSAGE_MAX = 65535, MESSAGE_HEADER = 16, TEMPLATE_ID = 256, INTERNAL_ID = 999 };
enum {
    SET_TEMPLATE = 2,
    SET_OPTIONS = 3,
    ENTERPRISE_BIT = 0x8000,
    SLOT_MAX = 16,
    ELEMENT_NAME_MAX = 128
};

/* Where libfixbuf puts an element, at the width that is native to it. */
typedef struct {
    guint16 offset;
    guint16 width;
} Slot;

struct Fixbuf {
    fbInfoModel_t *model;
    fBuf_t *buffer;   /* owns its session */
    Slot *slots;      /* of each element row; owned */
    guint64 compared; /* records */
    gsize values_len;
    guint8 *values;  /* one decoded record; owned */
    guint8 *message; /* MESSAGE_MAX; owned */
};

/* Bytes of an element on the wire at its native width. */
static guint16 native_width(const Element *element)
{
    switch ((ElementKind)element->kind) {
    case ELEMENT_ADDR4:
        return 4;
    case ELEMENT_ADDR6:
        return 16;
    case ELEMENT_MAC:
        return 6;
    case ELEMENT_LABEL:
        return 3;
    case ELEMENT_FLAGS:
    case ELEMENT_NUMBER:
    case ELEMENT_TIME:
        break;
    }
    return element->size;
}

/* What libfixbuf swaps bytes of, and what it copies. */
static guint32 byte_order(const Element *element)
{
    gboolean bytes = element->kind == ELEMENT_ADDR6 || element->kind == ELEMENT_MAC ||
                     element->kind == ELEMENT_LABEL;
    return bytes ? 0 : FB_IE_F_ENDIAN;
}

/* Elements that are not in the model under their own number are ours to add. */
static void add_missing(fbInfoModel_t *model, const Element *element)
{
    if (fbInfoModelGetElementByID(model, element->id, element->pen) != NULL)
        return;
    fbInfoElement_t own =
        FB_IE_INIT_FULL(element->name, element->pen, element->id, native_width(element),
                        byte_order(element), 0, 0, FB_UINT_8, NULL);
    fbInfoModelAddElement(model, &own);
}

/* The record as we want it: every element that we know, at its native width. */
static fbTemplate_t *internal_template(Fixbuf *fixbuf)
{
    gsize n;
    const Element *rows = element_rows(&n);
    fixbuf->slots = g_new0(Slot, n);
    fbTemplate_t *template = fbTemplateAlloc(fixbuf->model);
    for (gsize i = 0; i < n; i++) {
        add_missing(fixbuf->model, &rows[i]);
        const fbInfoElement_t *known =
            fbInfoModelGetElementByID(fixbuf->model, rows[i].id, rows[i].pen);
        char name[ELEMENT_NAME_MAX]; /* the specification wants it writable */
        g_strlcpy(name, known->ref.name, sizeof name);
        guint16 width = known->len <= SLOT_MAX ? known->len : native_width(&rows[i]); /* octets */
        fbInfoElementSpec_t spec = {.name = name, .len_override = width};
        g_autoptr(GError) error = NULL;
        gboolean added = fbTemplateAppendSpec(template, &spec, 0, &error);
        g_assert(added);
        fixbuf->slots[i] = (Slot){.offset = (guint16)fixbuf->values_len, .width = width};
        fixbuf->values_len += width;
    }
    return template;
}

Fixbuf *fixbuf_new(void)
{
    Fixbuf *fixbuf = g_new0(Fixbuf, 1);
    fixbuf->model = fbInfoModelAlloc();
    fbSession_t *session = fbSessionAlloc(fixbuf->model);
    g_autoptr(GError) error = NULL; /* libfixbuf asks for one even where it says that it need not */
    guint16 id =
        fbSessionAddTemplate(session, TRUE, INTERNAL_ID, internal_template(fixbuf), &error);
    g_assert(id == INTERNAL_ID);
    fixbuf->buffer = fBufAllocForCollection(session, NULL);
    gboolean set = fBufSetInternalTemplate(fixbuf->buffer, INTERNAL_ID, &error);
    g_assert(set);
    fBufSetAutomaticMode(fixbuf->buffer, FALSE);
    fixbuf->values = g_malloc0(fixbuf->values_len);
    fixbuf->message = g_malloc(MESSAGE_MAX);
    return fixbuf;
}

void fixbuf_free(Fixbuf *fixbuf)
{
    if (fixbuf == NULL)
        return;
    fBufFree(fixbuf->buffer);
    fbInfoModelFree(fixbuf->model);
    g_free(fixbuf->slots);
    g_free(fixbuf->values);
    g_free(fixbuf->message);
    g_free(fixbuf);
}

static guint8 *put16(guint8 *at, guint16 value)
{
    value = GUINT16_TO_BE(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static guint8 *put32(guint8 *at, guint32 value)
{
    value = GUINT32_TO_BE(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static const Slot *slot_of(const Fixbuf *fixbuf, const Element *element)
{
    gsize n;
    return &fixbuf->slots[element - element_rows(&n)];
}

/* Bytes before a number that is wider than libfixbuf holds it to be. */
static guint16 excess(const Fixbuf *fixbuf, const Field *field)
{
    const Element *element = element_find(field->pen, field->id);
    if (element == NULL || element->kind != ELEMENT_NUMBER)
        return 0;
    guint16 width = slot_of(fixbuf, element)->width;
    return field->len > width ? field->len - width : 0;
}

/* What is padding to us is padding to libfixbuf: its model must not grow by strangers' elements. */
static guint8 *put_field(guint8 *at, const Field *field)
{
    gboolean known = element_find(field->pen, field->id) != NULL;
    guint16 id = known ? field->id : FIELD_OPAQUE;
    gboolean enterprise = known && field->pen != 0;
    at = put16(at, enterprise ? id | ENTERPRISE_BIT : id);
    at = put16(at, field->len);
    return enterprise ? put32(at, field->pen) : at;
}

static guint8 *put_template(const Fixbuf *fixbuf, guint8 *at, const Template *template)
{
    guint8 *set = at;
    guint16 n = 0;
    at = put16(at, template->options ? SET_OPTIONS : SET_TEMPLATE) + 2;
    at = put16(at, TEMPLATE_ID);
    guint8 *count = at;
    at += 2;
    if (template->options) /* the scope plays no part in the layout, but must not be empty */
        at = put16(at, 1);
    for (guint i = 0; i < template->n_fields; i++) {
        if (template->fields[i].len == 0)
            continue;
        Field field = template->fields[i];
        guint16 more = excess(fixbuf, &field);
        if (more > 0) {
            at = put_field(at, &(Field){.id = FIELD_OPAQUE, .len = more});
            field.len -= more;
            n++;
        }
        at = put_field(at, &field);
        n++;
    }
    (void)put16(count, n);
    (void)put16(set + 2, (guint16)(at - set));
    return at;
}

/* Returns the message's length, or 0: too long. */
static gsize put_message(Fixbuf *fixbuf, const Template *template, const guint8 *set, gsize len)
{
    gsize template_max = 12 + (gsize) template->n_fields * 12;
    if (MESSAGE_HEADER + template_max + 4 + len > MESSAGE_MAX)
        return 0;
    guint8 *at = put_template(fixbuf, fixbuf->message + MESSAGE_HEADER, template);
    at = put16(at, TEMPLATE_ID);
    at = put16(at, (guint16)(len + 4));
    memcpy(at, set, len);
    gsize total = (gsize)(at - fixbuf->message) + len;
    at = put16(fixbuf->message, 10);
    at = put16(at, (guint16)total);
    memset(at, 0, MESSAGE_HEADER - 4);
    return total;
}

/* A record as libfixbuf left it in memory becomes a Record, by the plan's order of elements. */
typedef struct {
    const Fixbuf *fixbuf;
    Record record;
    guint32 seen;
} Filling;

/* Numbers, and IPv4 addresses too, stand in the byte order of the machine. */
static guint64 host_number(const guint8 *at, guint16 width)
{
    guint8 be[8] = {0};
    for (guint i = 0; i < width; i++)
        be[i] = G_BYTE_ORDER == G_LITTLE_ENDIAN ? at[width - 1 - i] : at[i];
    return pst_load_be(be, width);
}

static void fill(gpointer user, const Element *element, guint field, gboolean weak)
{
    Filling *filling = user;
    const Slot *slot = slot_of(filling->fixbuf, element);
    const guint8 *at = filling->fixbuf->values + slot->offset;
    guint64 value = 0;
    guint8 bytes[SLOT_MAX];
    memcpy(bytes, at, slot->width);
    switch ((ElementKind)element->kind) {
    case ELEMENT_NUMBER:
    case ELEMENT_TIME:
    case ELEMENT_FLAGS:
        value = host_number(at, slot->width);
        break;
    case ELEMENT_MAC:
    case ELEMENT_LABEL:
        value = pst_load_be(at, slot->width);
        break;
    case ELEMENT_ADDR4:
        (void)put32(bytes, (guint32)host_number(at, slot->width));
        break;
    case ELEMENT_ADDR6:
        break;
    }
    filling->record.flow.has |= element->has;
    filling->record.seen |= element->seen;
    plan_store(element, value, bytes, weak, &filling->record);
}

static void fill_record(const Fixbuf *fixbuf, const Template *template, Record *out)
{
    Filling filling = {.fixbuf = fixbuf};
    plan_visit(template->plan, fill, &filling);
    guint8 proto = plan_proto(template->plan);
    if (proto != 0) {
        filling.record.flow.proto = proto;
        filling.record.flow.has |= PST_HAS_PROTO;
    }
    *out = filling.record;
}

static gboolean repeats(const Template *template, guint index)
{
    for (guint i = 0; i < index; i++) {
        if (template->fields[i].id == template->fields[index].id &&
            template->fields[i].pen == template->fields[index].pen)
            return TRUE;
    }
    return FALSE;
}

/* libfixbuf gives the first of a repeated element; exporters do otherwise. */
static gboolean is_readable(const Fixbuf *fixbuf, const Template *template)
{
    for (guint i = 0; i < template->n_fields; i++) {
        const Field *field = &template->fields[i];
        const Element *element = element_find(field->pen, field->id);
        if (element != NULL &&
            (field->len - excess(fixbuf, field) > slot_of(fixbuf, element)->width ||
             repeats(template, i)))
            return FALSE;
    }
    return TRUE;
}

gboolean fixbuf_decode(Fixbuf *fixbuf, const Template *template, const guint8 *set, gsize len,
                       FixbufRecord visit, gpointer user)
{
    gsize total = put_message(fixbuf, template, set, len);
    if (total == 0 || !is_readable(fixbuf, template))
        return FALSE;
    fbSessionResetExternal(fBufGetSession(fixbuf->buffer));
    fBufSetBuffer(fixbuf->buffer, fixbuf->message, total);
    for (;;) {
        g_autoptr(GError) error = NULL;
        gsize size = fixbuf->values_len;
        if (!fBufNext(fixbuf->buffer, fixbuf->values, &size, &error))
            return g_error_matches(error, FB_ERROR_DOMAIN, FB_ERROR_EOM) ||
                   g_error_matches(error, FB_ERROR_DOMAIN, FB_ERROR_BUFSZ);
        Record record;
        fill_record(fixbuf, template, &record);
        visit(user, &record);
    }
}

typedef struct {
    const Fixbuf *fixbuf;
    const Template *template;
    const Plan *plan;
    PstCursor set;
    guint32 *bases;
    guint records;
    guint differences;
} Comparison;

static gboolean flows_equal(const PstFlow *a, const PstFlow *b)
{
    guint8 one[PST_CODEC_FLOW_MAX], other[PST_CODEC_FLOW_MAX];
    gsize len = pst_codec_put_flow(one, a);
    return pst_codec_put_flow(other, b) == len && memcmp(one, other, len) == 0;
}

static gboolean records_equal(const Record *a, const Record *b)
{
    if (!flows_equal(&a->flow, &b->flow) || a->seen != b->seen || a->icmp != b->icmp ||
        a->ip_version != b->ip_version)
        return FALSE;
    for (guint raw = 0; raw < RAW_COUNT; raw++) {
        if (record_saw(a, (Raw)raw) && a->raw[raw] != b->raw[raw])
            return FALSE;
    }
    return TRUE;
}

/* A number that is too large for libfixbuf: what it makes of its end is no opinion. */
static gboolean exceeds(const Fixbuf *fixbuf, const Template *template, const guint8 *bytes,
                        gsize len)
{
    PstCursor record = pst_cursor(bytes, len);
    for (guint i = 0; i < template->n_fields; i++) {
        gsize width;
        const guint8 *value = template_take_field(&record, &template->fields[i], &width);
        if (value != NULL && pst_load_be(value, excess(fixbuf, &template->fields[i])) != 0)
            return TRUE;
    }
    return FALSE;
}

static void compare(gpointer user, const Record *theirs)
{
    Comparison *comparison = user;
    comparison->records++;
    const guint8 *bytes = plan_measure(comparison->plan, &comparison->set, comparison->bases);
    if (bytes == NULL) {
        comparison->differences++;
        return;
    }
    Record ours = {0};
    plan_run(comparison->plan, bytes, comparison->bases, &ours);
    if (exceeds(comparison->fixbuf, comparison->template, bytes,
                (gsize)(comparison->set.at - bytes)))
        return;
    Record other = *theirs;
    other.flow.type = ours.flow.type;
    comparison->differences += !records_equal(&ours, &other);
}

guint fixbuf_differences(Fixbuf *fixbuf, const Template *template, const guint8 *set, gsize len)
{
    g_autofree guint32 *bases = g_new(guint32, PLAN_SEGMENTS_MAX);
    Comparison comparison = {.fixbuf = fixbuf,
                             .template = template,
                             .plan = template->plan,
                             .set = pst_cursor(set, len),
                             .bases = bases};
    gboolean whole = fixbuf_decode(fixbuf, template, set, len, compare, &comparison);
    gboolean more = pst_cursor_left(&comparison.set) >= template->min_len &&
                    plan_measure(template->plan, &comparison.set, bases) != NULL;
    fixbuf->compared += comparison.records;
    return comparison.differences + (whole && more); /* records that it does not see */
}

guint64 fixbuf_compared(const Fixbuf *fixbuf)
{
    return fixbuf->compared;
}
