/* SPDX-License-Identifier: Apache-2.0 */
#include "notes.h"

enum {
    INGRESS_INTERFACE = 10,
    EGRESS_INTERFACE = 14,
    INTERFACE_NAME = 82,
    INTERFACE_DESCRIPTION = 83,
    INGRESS_PHYSICAL = 252,
    EGRESS_PHYSICAL = 253
};

void notes_clear(Notes *notes)
{
    g_clear_pointer(&notes->interfaces, g_array_unref);
}

/* What a peer calls a thing goes to people and metrics: UTF-8, one line. */
static void clean_text(char text[NOTES_TEXT_MAX + 1])
{
    text[NOTES_TEXT_MAX] = '\0';
    const char *end;
    if (!g_utf8_validate(text, -1, &end))
        text[end - text] = '\0';
    for (char *c = text; *c != '\0'; c++) {
        if ((guchar)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

static void take_text(const guint8 *bytes, gsize len, char out[NOTES_TEXT_MAX + 1])
{
    len = MIN(len, NOTES_TEXT_MAX);
    memcpy(out, bytes, len);
    out[len] = '\0';
}

static guint lower_bound(const GArray *interfaces, guint32 number)
{
    guint low = 0, high = interfaces->len;
    while (low < high) {
        guint middle = (low + high) / 2;
        if (g_array_index(interfaces, NotedInterface, middle).number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

gboolean notes_put(Notes *notes, const NotedInterface *interface)
{
    if (notes->interfaces == NULL)
        notes->interfaces = g_array_new(FALSE, FALSE, sizeof(NotedInterface));
    NotedInterface clean = *interface;
    clean_text(clean.name);
    clean_text(clean.description);
    guint i = lower_bound(notes->interfaces, clean.number);
    NotedInterface *known =
        i < notes->interfaces->len ? &g_array_index(notes->interfaces, NotedInterface, i) : NULL;
    if (known == NULL || known->number != clean.number) {
        if (notes->interfaces->len >= NOTES_INTERFACES_MAX)
            return FALSE;
        g_array_insert_val(notes->interfaces, i, clean);
    } else if (g_str_equal(known->name, clean.name) &&
               g_str_equal(known->description, clean.description)) {
        return TRUE;
    } else {
        *known = clean;
    }
    notes->changes++;
    return TRUE;
}

static void take_count(Notes *notes, guint16 id, const guint8 *bytes, gsize len)
{
    static const guint16 elements[NOTE_COUNT] = {
#define NOTES_ROW(identifier, element, name, text) [NOTE_##identifier] = element,
        NOTES_COUNTS(NOTES_ROW)
#undef NOTES_ROW
    };
    for (guint i = 0; i < NOTE_COUNT; i++) {
        if (elements[i] != id)
            continue;
        notes->counts[i] = pst_load_be(bytes, len);
        notes->told |= 1u << i;
    }
}

void notes_learn(Notes *notes, const Template *template, PstCursor record)
{
    NotedInterface interface = {0};
    gboolean named = FALSE, numbered = FALSE;
    for (guint i = 0; i < template->n_fields; i++) {
        const Field *field = &template->fields[i];
        gsize len;
        const guint8 *bytes = template_take_field(&record, field, &len);
        if (bytes == NULL)
            return;
        if (field->pen != 0)
            continue;
        gboolean number = len >= 1 && len <= 8;
        switch (field->id) {
        case INGRESS_INTERFACE:
        case EGRESS_INTERFACE:
        case INGRESS_PHYSICAL:
        case EGRESS_PHYSICAL:
            if (number && !numbered) {
                interface.number = (guint32)MIN(pst_load_be(bytes, len), G_MAXUINT32);
                numbered = TRUE;
            }
            break;
        case INTERFACE_NAME:
            take_text(bytes, len, interface.name);
            named = TRUE;
            break;
        case INTERFACE_DESCRIPTION:
            take_text(bytes, len, interface.description);
            named = TRUE;
            break;
        default:
            if (number)
                take_count(notes, field->id, bytes, len);
            break;
        }
    }
    if (named && numbered)
        (void)notes_put(notes, &interface);
}
