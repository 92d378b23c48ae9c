/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include "netflow_v9.h"

typedef enum {
    ITEM_TEMPLATE = 1,
    ITEM_RATE = 2,
    ITEM_INIT = 3,
    ITEM_INTERFACE = 4,
    ITEM_SEQUENCE = 5,
    ITEM_LEDGER = 6
} Item;

enum { HAS_SELECTOR = 1, HAS_INTERFACE = 2, MEAN_UNIT = 1000, MEAN_MAX = 65535 };

static void put(GByteArray *out, guint64 value, gsize bytes)
{
    guint64 be = GUINT64_TO_BE(value);
    g_byte_array_append(out, (const guint8 *)&be + sizeof be - bytes, (guint)bytes);
}

/* Returns where the item's body begins. */
static gsize open_item(GByteArray *out, Item kind)
{
    put(out, kind, 1);
    put(out, 0, 2);
    return out->len;
}

static void close_item(GByteArray *out, gsize body)
{
    gsize len = out->len - body;
    g_assert(len <= G_MAXUINT16);
    out->data[body - 2] = (guint8)(len >> 8);
    out->data[body - 1] = (guint8)len;
}

static void put_template(gpointer user, const Template *template, const TemplateForce *force)
{
    enum { HEAD = 32 }; /* more than what stands before the record */
    GByteArray *out = user;
    if (template->record == NULL || template->record_len > G_MAXUINT16 - HEAD)
        return;
    gsize body = open_item(out, ITEM_TEMPLATE);
    put(out, template->version, 1);
    put(out, template->options != FALSE, 1);
    put(out, force->port, 2);
    put(out, (guint64)force->export_ns, 8);
    put(out, (guint64)force->defined_ns, 8);
    put(out, (guint64)force->used_ns, 8);
    g_byte_array_append(out, template->record, template->record_len);
    close_item(out, body);
}

static void put_rate(GByteArray *out, const SamplingEntry *entry)
{
    gsize body = open_item(out, ITEM_RATE);
    put(out,
        (entry->has_selector ? HAS_SELECTOR : 0u) | (entry->has_interface ? HAS_INTERFACE : 0u), 1);
    put(out, entry->selector, 8);
    put(out, entry->interface, 4);
    put(out, entry->rate.population, 8);
    put(out, entry->rate.size, 8);
    put(out, (guint64)entry->learned_ns, 8);
    close_item(out, body);
}

static void put_interface(GByteArray *out, const NotedInterface *interface)
{
    gsize body = open_item(out, ITEM_INTERFACE);
    gsize name = strlen(interface->name);
    put(out, interface->number, 4);
    put(out, name, 1);
    g_byte_array_append(out, (const guint8 *)interface->name, (guint)name);
    g_byte_array_append(out, (const guint8 *)interface->description,
                        (guint)strlen(interface->description));
    close_item(out, body);
}

void image_memory(const Domain *domain, GByteArray *out)
{
    templates_each(&domain->templates, put_template, out);
    for (guint i = 0; i < domain->sampling.n; i++)
        put_rate(out, &domain->sampling.entries[i]);
    if (domain->init_ms != 0) {
        gsize body = open_item(out, ITEM_INIT);
        put(out, domain->init_ms, 8);
        close_item(out, body);
    }
    const GArray *interfaces = domain->notes.interfaces;
    for (guint i = 0; interfaces != NULL && i < interfaces->len; i++)
        put_interface(out, &g_array_index(interfaces, NotedInterface, i));
}

void image_sequences(Domain *domain, gint64 now_ns, GByteArray *out)
{
    LedgerMark all;
    ledger_mark(domain->ledger, now_ns, &all);
    gsize head = open_item(out, ITEM_LEDGER);
    put(out, all.id, 8);
    put(out, all.expected, 8);
    put(out, all.expected_datagrams, 8);
    close_item(out, head);
    for (guint i = 0; i < all.n; i++) {
        const SequenceMark *mark = &all.sequences[i];
        gsize body = open_item(out, ITEM_SEQUENCE);
        put(out, mark->version, 1);
        put(out, mark->datagrams != FALSE, 1);
        put(out, mark->port, 2);
        put(out, mark->expected, 4);
        put(out, mark->uptime_ms, 4);
        put(out, mark->per_s, 4);
        put(out, (guint64)(CLAMP(mark->mean, 0, MEAN_MAX) * MEAN_UNIT), 4);
        put(out, (guint64)mark->used_ns, 8);
        close_item(out, body);
    }
}

typedef struct {
    Domain *domain;
    gint64 before_ns;
    TemplateSpec *spec;
    ImageCounts *counts;
} Restore;

static gboolean restore_template(Restore *restore, PstCursor *body)
{
    guint16 version = pst_cursor_u8(body);
    gboolean options = pst_cursor_u8(body) != 0;
    TemplateForce force = {.port = pst_cursor_u16(body)};
    force.export_ns = (gint64)pst_cursor_u64(body);
    force.defined_ns = (gint64)pst_cursor_u64(body);
    force.used_ns = (gint64)pst_cursor_u64(body);
    if (!pst_cursor_ok(body) || (version != VERSION_V9 && version != VERSION_IPFIX))
        return FALSE;
    if (MAX(force.defined_ns, force.used_ns) < restore->before_ns) {
        restore->counts->old++;
        return TRUE;
    }
    TemplateSpec *spec = restore->spec;
    Drop drop = version == VERSION_V9 ? netflow_v9_template(body, options, spec)
                                      : template_read(body, options, spec);
    if (drop != DROP_NONE || spec->withdrawal)
        return FALSE;
    if (templates_restore(&restore->domain->templates, spec, version, &force) != DROP_NONE)
        return FALSE;
    restore->counts->templates++;
    return TRUE;
}

static gboolean restore_rate(Restore *restore, PstCursor *body)
{
    guint8 has = pst_cursor_u8(body);
    SamplingEntry entry = {.has_selector = (has & HAS_SELECTOR) != 0,
                           .has_interface = (has & HAS_INTERFACE) != 0};
    entry.selector = pst_cursor_u64(body);
    entry.interface = pst_cursor_u32(body);
    entry.rate.population = pst_cursor_u64(body);
    entry.rate.size = pst_cursor_u64(body);
    entry.learned_ns = (gint64)pst_cursor_u64(body);
    return pst_cursor_ok(body) && sampling_restore(&restore->domain->sampling, &entry);
}

static gboolean restore_interface(Restore *restore, PstCursor *body)
{
    NotedInterface interface = {.number = pst_cursor_u32(body)};
    gsize len = pst_cursor_u8(body);
    const guint8 *name = pst_cursor_take(body, len);
    if (name == NULL || len > NOTES_TEXT_MAX || pst_cursor_left(body) > NOTES_TEXT_MAX)
        return FALSE;
    memcpy(interface.name, name, len);
    memcpy(interface.description, body->at, pst_cursor_left(body));
    return notes_put(&restore->domain->notes, &interface);
}

static gboolean restore_ledger(Restore *restore, PstCursor *body)
{
    guint64 id = pst_cursor_u64(body);
    guint64 expected = pst_cursor_u64(body);
    guint64 datagrams = pst_cursor_u64(body);
    if (!pst_cursor_ok(body))
        return FALSE;
    ledger_resume(restore->domain->ledger, id, expected, datagrams);
    return TRUE;
}

static gboolean restore_sequence(Restore *restore, PstCursor *body)
{
    SequenceMark mark = {.version = pst_cursor_u8(body)};
    mark.datagrams = pst_cursor_u8(body) != 0;
    mark.port = pst_cursor_u16(body);
    mark.expected = pst_cursor_u32(body);
    mark.uptime_ms = pst_cursor_u32(body);
    mark.per_s = pst_cursor_u32(body) & G_MAXINT32;
    mark.mean = pst_cursor_u32(body) / (double)MEAN_UNIT;
    mark.used_ns = (gint64)pst_cursor_u64(body);
    if (!pst_cursor_ok(body))
        return FALSE;
    ledger_resume_sequence(restore->domain->ledger, &mark);
    restore->domain->resumed = TRUE;
    return TRUE;
}

static gboolean restore_item(Restore *restore, guint8 kind, PstCursor *body)
{
    switch (kind) {
    case ITEM_TEMPLATE:
        return restore_template(restore, body);
    case ITEM_RATE:
        return restore_rate(restore, body);
    case ITEM_INIT:
        restore->domain->init_ms = pst_cursor_u64(body);
        return pst_cursor_ok(body);
    case ITEM_INTERFACE:
        return restore_interface(restore, body);
    case ITEM_SEQUENCE:
        return restore_sequence(restore, body);
    case ITEM_LEDGER:
        return restore_ledger(restore, body);
    default:
        return FALSE;
    }
}

void image_restore(Domain *domain, const guint8 *image, gsize len, gint64 before_ns,
                   TemplateSpec *spec, ImageCounts *counts)
{
    Restore restore = {.domain = domain, .before_ns = before_ns, .spec = spec, .counts = counts};
    PstCursor c = pst_cursor(image, len);
    while (pst_cursor_left(&c) > 0) {
        guint8 kind = pst_cursor_u8(&c);
        gsize item_len = pst_cursor_u16(&c);
        PstCursor body = pst_cursor_sub(&c, item_len);
        if (!pst_cursor_ok(&c) || !restore_item(&restore, kind, &body))
            counts->refused++;
    }
}
