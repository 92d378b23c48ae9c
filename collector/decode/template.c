/* SPDX-License-Identifier: Apache-2.0 */
#include "template.h"

#include "element.h"
#include "fixbuf.h"
#include "plan.h"
#include "section.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)
/* A datagram that was overtaken on its way is late by less than this; an export time that falls by
 * more is a clock that was set back. */
#define STALE_NS_MAX (30 * NS_PER_S)

enum { ENTERPRISE_BIT = 0x8000, RECORD_MAX = 65535 };

void template_start(TemplateSpec *out, const PstCursor *set)
{
    out->record = set->at;
    out->record_len = 0;
}

void template_stop(TemplateSpec *out, const PstCursor *set)
{
    out->record_len = (gsize)(set->at - out->record);
}

Drop template_begin(TemplateSpec *out, gboolean options, gsize n_fields, gsize n_scope)
{
    out->options = options;
    out->withdrawal = FALSE;
    out->min_len = 0;
    out->n_fields = 0;
    out->n_scope = 0;
    if (n_fields == 0 || n_fields > TEMPLATE_FIELDS_MAX)
        return DROP_TEMPLATE_FIELDS;
    if (n_scope > n_fields)
        return DROP_TEMPLATE_SCOPE;
    out->n_fields = (guint16)n_fields;
    out->n_scope = (guint16)n_scope;
    return out->id < TEMPLATE_ID_MIN ? DROP_TEMPLATE_ID : DROP_NONE;
}

Drop template_check(TemplateSpec *spec)
{
    gsize len = 0;
    for (guint i = 0; i < spec->n_fields; i++) {
        Field *field = &spec->fields[i];
        len += field->len == FIELD_VARIABLE ? 1 : field->len;
        const Element *element = element_find(field->pen, field->id);
        if (element != NULL && !element_len_legal(element, field->len))
            *field = (Field){.id = FIELD_OPAQUE, .len = field->len};
    }
    if (len == 0)
        return DROP_TEMPLATE_EMPTY;
    if (len > RECORD_MAX)
        return DROP_TEMPLATE_LENGTH;
    spec->min_len = (guint16)len;
    return DROP_NONE;
}

static gboolean is_withdrawal(TemplateSpec *out, guint16 n)
{
    out->withdrawal = n == 0;
    out->n_fields = 0;
    return out->withdrawal;
}

Drop template_read(PstCursor *set, gboolean options, TemplateSpec *out)
{
    template_start(out, set);
    out->id = pst_cursor_u16(set);
    guint16 n = pst_cursor_u16(set);
    if (!pst_cursor_ok(set))
        return DROP_TEMPLATE_SHORT;
    out->options = options;
    if (is_withdrawal(out, n))
        return DROP_NONE;
    guint16 n_scope = options ? pst_cursor_u16(set) : 0;
    Drop drop = template_begin(out, options, n, n_scope);
    for (guint i = 0; i < n && pst_cursor_ok(set); i++) {
        guint16 id = pst_cursor_u16(set);
        guint16 len = pst_cursor_u16(set);
        guint32 pen = id & ENTERPRISE_BIT ? pst_cursor_u32(set) : 0;
        if (drop == DROP_NONE)
            out->fields[i] = (Field){.pen = pen, .id = id & ~ENTERPRISE_BIT, .len = len};
    }
    if (!pst_cursor_ok(set))
        return DROP_TEMPLATE_SHORT;
    template_stop(out, set);
    return drop != DROP_NONE ? drop : template_check(out);
}

Template *template_new(const TemplateSpec *spec, guint16 version)
{
    g_assert(spec->n_fields > 0 && spec->min_len > 0);
    gsize bytes = spec->n_fields * sizeof spec->fields[0];
    Template *template = g_malloc0(sizeof *template + bytes);
    template->refs = 1;
    template->id = spec->id;
    template->options = spec->options;
    template->n_scope = spec->n_scope;
    template->n_fields = spec->n_fields;
    template->min_len = spec->min_len;
    template->version = version;
    memcpy(template->fields, spec->fields, bytes);
    for (guint i = 0; i < template->n_fields && !spec->options; i++) {
        const Field *field = &template->fields[i];
        template->section |= field->pen == 0 && section_of(field->id) != SECTION_NONE;
    }
    if (spec->record_len > 0 && spec->record_len <= G_MAXUINT16) {
        template->record = g_memdup2(spec->record, spec->record_len);
        template->record_len = (guint16)spec->record_len;
    }
    template->plan = plan_compile(template->fields, template->n_fields, version);
    return template;
}

const guint8 *template_take_field(PstCursor *record, const Field *field, gsize *out_len)
{
    gsize len = field->len;
    if (len == FIELD_VARIABLE) { /* RFC 7011 §7 */
        len = pst_cursor_u8(record);
        if (len == 255)
            len = pst_cursor_u16(record);
    }
    *out_len = len;
    return pst_cursor_take(record, len);
}

Template *template_ref(Template *template)
{
    template->refs++;
    return template;
}

void template_unref(Template *template)
{
    if (template == NULL || --template->refs > 0)
        return;
    plan_free(template->plan);
    g_free(template->record);
    g_free(template);
}

static gboolean template_equals(const Template *template, const TemplateSpec *spec, guint16 version)
{
    return template->version == version && template->options == spec->options &&
           template->n_scope == spec->n_scope && template->n_fields == spec->n_fields &&
           memcmp(template->fields, spec->fields, spec->n_fields * sizeof spec->fields[0]) == 0;
}

/* What is in force for one port. */
typedef struct {
    Template *template; /* NULL: free */
    TemplateForce force;
} TemplateVariant;

typedef struct {
    guint16 id;
    TemplateVariant variants[TEMPLATE_PORTS];
} TemplateSlot;

static gsize weight_of(guint n_fields)
{
    return n_fields + TEMPLATE_WEIGHT;
}

static void weigh(Templates *templates, gssize more)
{
    templates->weight += (gsize)more;
    if (templates->budget != NULL)
        templates->budget->used += (gsize)more;
}

static gboolean affords(const Templates *templates, guint n_fields)
{
    const TemplateBudget *budget = templates->budget;
    return budget == NULL ||
           (budget->used < budget->max &&
            templates->weight + weight_of(n_fields) <= budget->max - budget->used);
}

static void variant_clear(Templates *templates, TemplateVariant *variant)
{
    if (variant->template == NULL)
        return;
    templates->n_fields -= variant->template->n_fields;
    weigh(templates, -(gssize)weight_of(variant->template->n_fields));
    templates->changes++;
    g_clear_pointer(&variant->template, template_unref);
}

void templates_init(Templates *templates, TemplateBudget *budget)
{
    *templates =
        (Templates){.slots = g_array_new(FALSE, TRUE, sizeof(TemplateSlot)), .budget = budget};
}

static TemplateSlot *slot_at(const Templates *templates, guint i)
{
    return &g_array_index(templates->slots, TemplateSlot, i);
}

static void slot_clear(Templates *templates, TemplateSlot *slot)
{
    for (guint i = 0; i < TEMPLATE_PORTS; i++)
        variant_clear(templates, &slot->variants[i]);
}

void templates_clear(Templates *templates)
{
    if (templates->slots == NULL)
        return;
    for (guint i = 0; i < templates->slots->len; i++)
        slot_clear(templates, slot_at(templates, i));
    g_clear_pointer(&templates->slots, g_array_unref);
}

/* Index of the first slot whose id is not below @id. */
static guint slot_lower_bound(const Templates *templates, guint16 id)
{
    guint low = 0, high = templates->slots->len;
    while (low < high) {
        guint middle = (low + high) / 2;
        if (slot_at(templates, middle)->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static TemplateSlot *slot_find(const Templates *templates, guint16 id)
{
    guint i = slot_lower_bound(templates, id);
    return i < templates->slots->len && slot_at(templates, i)->id == id ? slot_at(templates, i)
                                                                        : NULL;
}

static TemplateSlot *slot_ensure(Templates *templates, guint16 id)
{
    guint i = slot_lower_bound(templates, id);
    if (i < templates->slots->len && slot_at(templates, i)->id == id)
        return slot_at(templates, i);
    TemplateSlot slot = {.id = id};
    g_array_insert_val(templates->slots, i, slot);
    return slot_at(templates, i);
}

static gint64 variant_touched(const TemplateVariant *variant)
{
    return MAX(variant->force.defined_ns, variant->force.used_ns);
}

/* 0: free; else when it was last of use. */
static gint64 variant_age_key(const TemplateVariant *variant)
{
    return variant->template != NULL ? MAX(variant_touched(variant), 1) : 0;
}

/* The variant of @port; else a free one; else the one that was idle longest. */
static TemplateVariant *variant_for(TemplateSlot *slot, guint16 port)
{
    TemplateVariant *best = &slot->variants[0];
    for (guint i = 0; i < TEMPLATE_PORTS; i++) {
        TemplateVariant *variant = &slot->variants[i];
        if (variant->template != NULL && variant->force.port == port)
            return variant;
        if (variant_age_key(variant) < variant_age_key(best))
            best = variant;
    }
    return best;
}

/* An equal template of another port is shared, plan and all. */
static Template *slot_share(const TemplateSlot *slot, const TemplateSpec *spec, guint16 version)
{
    for (guint i = 0; i < TEMPLATE_PORTS; i++) {
        Template *template = slot->variants[i].template;
        if (template != NULL && template_equals(template, spec, version))
            return template_ref(template);
    }
    return NULL;
}

static gboolean slot_idle_since(const TemplateSlot *slot, gint64 before_ns)
{
    for (guint i = 0; i < TEMPLATE_PORTS; i++) {
        if (slot->variants[i].template != NULL && variant_touched(&slot->variants[i]) >= before_ns)
            return FALSE;
    }
    return TRUE;
}

/* Makes room for @n_fields: the slot that was idle longest goes, but none that was used or renewed
 * within the last minute: a storm of new numbers must not push out what is in use. */
static gboolean make_room(Templates *templates, guint n_fields, gint64 now_ns)
{
    while (templates->slots->len >= TEMPLATES_MAX ||
           templates->n_fields + n_fields > TEMPLATES_FIELDS_MAX || !affords(templates, n_fields)) {
        gint64 oldest_ns = now_ns - 60 * NS_PER_S;
        guint found = G_MAXUINT;
        for (guint i = 0; i < templates->slots->len; i++) {
            TemplateSlot *slot = slot_at(templates, i);
            gint64 touched = 0;
            for (guint v = 0; v < TEMPLATE_PORTS; v++) {
                if (slot->variants[v].template != NULL)
                    touched = MAX(touched, variant_touched(&slot->variants[v]));
            }
            if (touched < oldest_ns) {
                oldest_ns = touched;
                found = i;
            }
        }
        if (found == G_MAXUINT)
            return FALSE;
        slot_clear(templates, slot_at(templates, found));
        g_array_remove_index(templates->slots, found);
    }
    return TRUE;
}

Drop templates_define(Templates *templates, const TemplateSpec *spec, guint16 version, guint16 port,
                      gint64 export_ns, gint64 now_ns, gboolean *out_new)
{
    *out_new = FALSE;
    TemplateSlot *slot = slot_find(templates, spec->id);
    TemplateVariant *variant = slot != NULL ? variant_for(slot, port) : NULL;
    if (variant != NULL && variant->template != NULL && variant->force.port == port) {
        if (template_equals(variant->template, spec, version)) {
            variant->force.export_ns = export_ns;
            variant->force.defined_ns = now_ns;
            return DROP_NONE;
        }
        if (export_ns < variant->force.export_ns &&
            variant->force.export_ns - export_ns < STALE_NS_MAX)
            return DROP_TEMPLATE_STALE;
    }
    g_autoptr(Template) template = slot != NULL ? slot_share(slot, spec, version) : NULL;
    if (template == NULL) {
        if (!make_room(templates, spec->n_fields, now_ns))
            return DROP_TEMPLATE_BOUND;
        template = template_new(spec, version);
    }
    slot = slot_ensure(templates, spec->id); /* room may have been made at its cost */
    variant = variant_for(slot, port);
    variant_clear(templates, variant);
    *variant =
        (TemplateVariant){.template = g_steal_pointer(&template),
                          .force = {.port = port, .export_ns = export_ns, .defined_ns = now_ns}};
    templates->n_fields += spec->n_fields;
    weigh(templates, (gssize)weight_of(spec->n_fields));
    templates->changes++;
    *out_new = TRUE;
    return DROP_NONE;
}

Drop templates_restore(Templates *templates, const TemplateSpec *spec, guint16 version,
                       const TemplateForce *force)
{
    gboolean is_new;
    Drop drop = templates_define(templates, spec, version, force->port, force->export_ns,
                                 force->defined_ns, &is_new);
    if (drop == DROP_NONE)
        variant_for(slot_find(templates, spec->id), force->port)->force.used_ns = force->used_ns;
    return drop;
}

void templates_each(const Templates *templates, TemplateVisit visit, gpointer user)
{
    for (guint i = 0; i < templates->slots->len; i++) {
        TemplateSlot *slot = slot_at(templates, i);
        for (guint v = 0; v < TEMPLATE_PORTS; v++) {
            if (slot->variants[v].template != NULL)
                visit(user, slot->variants[v].template, &slot->variants[v].force);
        }
    }
}

gboolean templates_has(const Templates *templates, const TemplateSpec *spec, guint16 version,
                       guint16 port)
{
    TemplateSlot *slot = slot_find(templates, spec->id);
    if (slot == NULL)
        return FALSE;
    const TemplateVariant *variant = variant_for(slot, port);
    return variant->template != NULL && variant->force.port == port &&
           template_equals(variant->template, spec, version);
}

void templates_withdraw(Templates *templates, guint16 id, guint16 port)
{
    TemplateSlot *slot = slot_find(templates, id);
    if (slot == NULL)
        return;
    TemplateVariant *variant = variant_for(slot, port);
    if (variant->template != NULL && variant->force.port == port)
        variant_clear(templates, variant);
}

void templates_withdraw_all(Templates *templates, gboolean options, guint16 port)
{
    for (guint i = 0; i < templates->slots->len; i++) {
        TemplateVariant *variant = variant_for(slot_at(templates, i), port);
        if (variant->template != NULL && variant->force.port == port &&
            variant->template->options == options)
            variant_clear(templates, variant);
    }
}

const Template *templates_find(Templates *templates, guint16 id, guint16 port, gint64 now_ns)
{
    TemplateSlot *slot = slot_find(templates, id);
    if (slot == NULL)
        return NULL;
    TemplateVariant *found = NULL;
    for (guint i = 0; i < TEMPLATE_PORTS; i++) {
        TemplateVariant *variant = &slot->variants[i];
        if (variant->template == NULL)
            continue;
        if (variant->force.port == port) {
            found = variant;
            break;
        }
        if (found == NULL || variant->force.defined_ns > found->force.defined_ns)
            found = variant;
    }
    if (found == NULL)
        return NULL;
    found->force.used_ns = now_ns;
    return found->template;
}

guint templates_expire(Templates *templates, gint64 before_ns)
{
    guint expired = 0;
    for (guint i = templates->slots->len; i > 0; i--) {
        TemplateSlot *slot = slot_at(templates, i - 1);
        if (!slot_idle_since(slot, before_ns))
            continue;
        slot_clear(templates, slot);
        g_array_remove_index(templates->slots, i - 1);
        expired++;
    }
    return expired;
}

guint templates_count(const Templates *templates)
{
    guint n = 0;
    for (guint i = 0; i < templates->slots->len; i++) {
        for (guint v = 0; v < TEMPLATE_PORTS; v++)
            n += slot_at(templates, i)->variants[v].template != NULL;
    }
    return n;
}
