/* SPDX-License-Identifier: Apache-2.0 */
/* The table of elements, and plans held against libfixbuf. */
#include <criterion/criterion.h>

#include "element.h"
#include "export_builder.h"
#include "fixbuf.h"
#include "plan.h"

Test(element, rows_are_sorted_and_found)
{
    gsize n;
    const Element *rows = element_rows(&n);
    for (gsize i = 0; i < n; i++) {
        cr_assert_eq(element_find(rows[i].pen, rows[i].id), &rows[i], "row %zu", i);
        cr_assert(i == 0 || rows[i - 1].pen < rows[i].pen ||
                  (rows[i - 1].pen == rows[i].pen && rows[i - 1].id < rows[i].id));
    }
    cr_assert_null(element_find(0, 0));
    cr_assert_null(element_find(0, 999));
    cr_assert_null(element_find(29305, 7));
}

static TemplateSpec spec;

static Template *template_with(const Field *fields, gsize n)
{
    spec.id = 256;
    cr_assert_eq(template_begin(&spec, FALSE, n, 0), DROP_NONE);
    memcpy(spec.fields, fields, n * sizeof *fields);
    Drop drop = template_check(&spec);
    return drop == DROP_NONE ? template_new(&spec, VERSION_IPFIX) : NULL;
}

/* Widths of an element on the wire: the native one and, for numbers, others. */
static Field random_field(GRand *rand)
{
    gsize n;
    const Element *rows = element_rows(&n);
    if (g_rand_int_range(rand, 0, 4) == 0) /* something that nobody knows */
        return (Field){.pen = g_rand_boolean(rand) ? 6871 : 0,
                       .id = (guint16)g_rand_int_range(rand, 500, 1000),
                       .len = g_rand_boolean(rand) ? FIELD_VARIABLE
                                                   : (guint16)g_rand_int_range(rand, 0, 20)};
    const Element *element = &rows[g_rand_int_range(rand, 0, (gint32)n)];
    static const guint8 widths[] = {
        [ELEMENT_NUMBER] = 0, [ELEMENT_TIME] = 8,  [ELEMENT_ADDR4] = 4, [ELEMENT_ADDR6] = 16,
        [ELEMENT_MAC] = 6,    [ELEMENT_FLAGS] = 2, [ELEMENT_LABEL] = 3};
    guint16 width = widths[element->kind];
    if (width == 0) /* a few are wider than libfixbuf knows them */
        width = (guint16)g_rand_int_range(
            rand, 1, g_rand_int_range(rand, 0, 8) == 0 ? 9 : element->size + 1);
    return (Field){.pen = element->pen, .id = element->id, .len = width};
}

static void fill_record(GRand *rand, const Field *fields, gsize n, GByteArray *out)
{
    for (gsize i = 0; i < n; i++) {
        gsize len = fields[i].len;
        if (len == FIELD_VARIABLE) {
            len = (gsize)g_rand_int_range(rand, 0, 300);
            guint8 prefix[3] = {255, (guint8)(len >> 8), (guint8)len};
            if (len < 255)
                prefix[0] = (guint8)len;
            g_byte_array_append(out, prefix, len < 255 ? 1 : 3);
        }
        for (gsize k = 0; k < len; k++) {
            guint8 byte = g_rand_boolean(rand) ? 0 : (guint8)g_rand_int(rand);
            g_byte_array_append(out, &byte, 1);
        }
    }
}

static gboolean repeats(const Field *fields, gsize n, Field field)
{
    for (gsize i = 0; i < n; i++) {
        if (fields[i].pen == field.pen && fields[i].id == field.id)
            return TRUE; /* of repeated elements libfixbuf knows only the first */
    }
    return FALSE;
}

Test(plan, and_libfixbuf_read_any_record_alike)
{
    g_autoptr(Fixbuf) fixbuf = fixbuf_new();
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    for (guint run = 0; run < 2000; run++) {
        Field fields[30];
        gsize n = 0;
        for (gint32 want = g_rand_int_range(rand, 1, 30); want > 0; want--) {
            Field field = random_field(rand);
            if (!repeats(fields, n, field))
                fields[n++] = field;
        }
        g_autoptr(Template) template = template_with(fields, n);
        if (template == NULL)
            continue;
        g_autoptr(GByteArray) set = g_byte_array_new();
        for (guint r = 0; r < 3; r++)
            fill_record(rand, fields, n, set);
        cr_assert_eq(fixbuf_differences(fixbuf, template, set->data, set->len), 0, "run %u", run);
    }
}

typedef struct {
    guint records;
    Record last;
} Seen;

static void see(gpointer user, const Record *record)
{
    Seen *seen = user;
    seen->records++;
    seen->last = *record;
}

/* Templates with and without protocol and ports, some of odd widths; the bytes are few values, so
 * that mail is not rare. */
Test(plan, skips_as_many_records_as_it_would_leave_one_by_one)
{
    static const Field some[] = {
        {.id = 4, .len = 1},  {.id = 7, .len = 2},   {.id = 11, .len = 2}, {.id = 8, .len = 4},
        {.id = 11, .len = 1}, {.id = 182, .len = 2}, {.id = 1, .len = 4},
    };
    static PortSet ports;
    static const guint32 bases[1] = {0};
    static const guint8 values[] = {0, 0, 6, 25, 25};
    portset_add(&ports, 25);
    GRand *rand = g_rand_new_with_seed(4);
    guint mail = 0;
    for (guint round = 0; round < 2000; round++) {
        Field fields[6];
        guint8 bytes[64];
        gsize n = (gsize)g_rand_int_range(rand, 1, 7);
        for (gsize i = 0; i < n; i++)
            fields[i] = some[g_rand_int_range(rand, 0, G_N_ELEMENTS(some))];
        for (gsize i = 0; i < sizeof bytes; i++)
            bytes[i] = values[g_rand_int_range(rand, 0, G_N_ELEMENTS(values))];
        g_autoptr(Template) template = template_with(fields, n);
        gsize len = plan_fixed_len(template->plan);
        guint records = (guint)(sizeof bytes / len), first = 0;
        while (first < records &&
               !plan_may_be_mail(template->plan, bytes + first * len, bases, &ports))
            first++;
        mail += first < records;
        cr_assert_eq(plan_skip_others(template->plan, bytes, records, &ports), first, "round %u",
                     round);
    }
    cr_assert_gt(mail, 100);
    g_rand_free(rand);
}

Test(fixbuf, decodes_what_the_plan_is_held_against)
{
    g_autoptr(Fixbuf) fixbuf = fixbuf_new();
    static const Field fields[] = {F(8, 4), F(1, 4), FE(29305, 1, 8), F(11, 2)};
    g_autoptr(Template) template = template_with(fields, 4);
    static const guint8 set[] = {198, 18, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 25,
                                 198, 18, 0, 2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 75};
    Seen seen = {0};
    cr_assert(fixbuf_decode(fixbuf, template, set, sizeof set, see, &seen));
    cr_assert_eq(seen.records, 2);
    char text[PST_ADDR_TEXT_MAX];
    cr_assert_str_eq(pst_addr_format(&seen.last.flow.src_addr, text), "198.18.0.2");
    cr_assert_eq(seen.last.flow.bytes, 512);
    cr_assert_eq(seen.last.flow.reverse_bytes, 8);
    cr_assert_eq(seen.last.flow.dst_port, 587);
}

Test(plan, of_several_elements_the_highest_that_says_something_wins)
{
    static const struct {
        guint32 delta, total, egress;
        guint64 bytes;
    } cases[] = {{1, 2, 3, 1}, {0, 2, 3, 2}, {0, 0, 3, 3}, {0, 0, 0, 0}};
    static const Field fields[] = {F(85, 4), F(1, 4), F(23, 4)};
    g_autoptr(Template) template = template_with(fields, 3);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Export e = {.bytes = g_byte_array_new()};
        export_u32(&e, cases[i].total);
        export_u32(&e, cases[i].delta);
        export_u32(&e, cases[i].egress);
        static const guint32 bases[1] = {0};
        Record record;
        plan_run(template->plan, e.bytes->data, bases, &record);
        cr_assert_eq(record.flow.bytes, cases[i].bytes, "case %zu", i);
        g_byte_array_unref(e.bytes);
    }
}
