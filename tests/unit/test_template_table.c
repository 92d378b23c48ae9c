/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "export_builder.h"

static TemplateSpec spec; /* 8 KiB: too large for comfort on a test's stack */

static guint8 wire[16384]; /* what the spec points into */

static Drop read_spec(Export *e, gboolean options)
{
    cr_assert_leq(e->bytes->len, sizeof wire);
    memcpy(wire, e->bytes->data, e->bytes->len);
    PstCursor c = pst_cursor(wire, e->bytes->len);
    Drop drop = template_read(&c, options, &spec);
    g_clear_pointer(&e->bytes, g_byte_array_unref);
    return drop;
}

static Export empty(void)
{
    return (Export){.bytes = g_byte_array_new()};
}

static Drop read_fields(guint16 id, guint16 n, guint16 len)
{
    Export e = empty();
    export_u16(&e, id);
    export_u16(&e, n);
    for (guint i = 0; i < n; i++) {
        export_u16(&e, 1);
        export_u16(&e, len);
    }
    return read_spec(&e, FALSE);
}

Test(template, is_refused_by_rule)
{
    cr_assert_eq(read_fields(255, 1, 4), DROP_TEMPLATE_ID);
    cr_assert_eq(read_fields(256, 1, 4), DROP_NONE);
    cr_assert_eq(read_fields(65535, 1, 4), DROP_NONE);
    cr_assert_eq(read_fields(256, 1024, 4), DROP_NONE);
    cr_assert_eq(read_fields(256, 1025, 4), DROP_TEMPLATE_FIELDS);
    cr_assert_eq(read_fields(256, 1, 0), DROP_TEMPLATE_EMPTY);
    cr_assert_eq(read_fields(256, 1024, 0), DROP_TEMPLATE_EMPTY);
    cr_assert_eq(read_fields(256, 1, 65534), DROP_NONE);
    cr_assert_eq(read_fields(256, 2, 32768), DROP_TEMPLATE_LENGTH);
    cr_assert_eq(read_fields(256, 2, FIELD_VARIABLE), DROP_NONE);
    cr_assert_eq(spec.min_len, 2);
}

Test(template, with_more_scope_than_fields_is_refused)
{
    for (guint16 scope = 0; scope < 5; scope++) {
        Export e = empty();
        export_u16(&e, 256);
        export_u16(&e, 2);
        export_u16(&e, scope);
        export_u32(&e, 0x00900004);
        export_u32(&e, 0x00220004);
        cr_assert_eq(read_spec(&e, TRUE), scope > 2 ? DROP_TEMPLATE_SCOPE : DROP_NONE);
    }
}

Test(template, that_ends_inside_a_field_is_short)
{
    Export whole = empty();
    export_u16(&whole, 256);
    export_u16(&whole, 1);
    export_u16(&whole, 0x8001);
    export_u16(&whole, 4);
    export_u32(&whole, 29305);
    for (guint len = 0; len < whole.bytes->len; len++) {
        PstCursor c = pst_cursor(whole.bytes->data, len);
        cr_assert_eq(template_read(&c, FALSE, &spec), DROP_TEMPLATE_SHORT, "length %u", len);
    }
    cr_assert_eq(read_spec(&whole, FALSE), DROP_NONE);
    cr_assert_eq(spec.fields[0].pen, 29305);
    cr_assert_eq(spec.fields[0].id, 1);
}

Test(template, element_of_an_illegal_length_is_opaque)
{
    static const struct {
        guint16 id, len;
        gboolean legal;
    } cases[] = {
        {8, 4, TRUE},   {8, 3, FALSE},   {8, 16, FALSE},
        {27, 16, TRUE}, {27, 4, FALSE},  {1, 1, TRUE},
        {1, 8, TRUE},   {1, 9, FALSE},   {1, 0, FALSE},
        {56, 6, TRUE},  {56, 8, FALSE},  {152, 8, TRUE},
        {152, 4, TRUE}, {152, 2, FALSE}, {7, 2, TRUE},
        {7, 1, TRUE},   {7, 16, FALSE},  {8, FIELD_VARIABLE, FALSE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Export e = empty();
        export_u16(&e, 256);
        export_u16(&e, 2);
        export_u16(&e, cases[i].id);
        export_u16(&e, cases[i].len);
        export_u32(&e, 0x00040001);
        cr_assert_eq(read_spec(&e, FALSE), DROP_NONE);
        cr_assert_eq(spec.fields[0].id, cases[i].legal ? cases[i].id : FIELD_OPAQUE, "case %zu", i);
        cr_assert_eq(spec.fields[0].len, cases[i].len);
    }
}

/* A table, and what is defined in it. */
typedef struct {
    Templates templates;
} Table;

static void table_setup(Table *table)
{
    templates_init(&table->templates, NULL);
}

static void make_spec(guint16 id, guint16 element, guint n)
{
    Export e = empty();
    export_u16(&e, id);
    export_u16(&e, (guint16)n);
    for (guint i = 0; i < n; i++) {
        export_u16(&e, element);
        export_u16(&e, 4);
    }
    cr_assert_eq(read_spec(&e, FALSE), DROP_NONE);
}

static Drop define(Table *table, guint16 id, guint16 element, guint16 port, gint64 at_s)
{
    gboolean is_new;
    make_spec(id, element, 1);
    return templates_define(&table->templates, &spec, VERSION_IPFIX, port, at_s * NS_PER_S,
                            at_s * NS_PER_S, &is_new);
}

static guint16 found(Table *table, guint16 id, guint16 port, gint64 at_s)
{
    const Template *template = templates_find(&table->templates, id, port, at_s * NS_PER_S);
    return template != NULL ? template->fields[0].id : 0;
}

Test(templates, prefer_their_own_port_and_fall_back_to_the_newest)
{
    Table table;
    table_setup(&table);
    cr_assert_eq(define(&table, 256, 1, 4711, 1000), DROP_NONE);
    cr_assert_eq(define(&table, 256, 2, 9999, 1001), DROP_NONE);
    cr_assert_eq(found(&table, 256, 4711, 1002), 1);
    cr_assert_eq(found(&table, 256, 9999, 1002), 2);
    cr_assert_eq(found(&table, 256, 5, 1002), 2);
    cr_assert_eq(found(&table, 257, 4711, 1002), 0);
    templates_clear(&table.templates);
}

Test(templates, are_redefined_in_the_order_of_export)
{
    Table table;
    table_setup(&table);
    cr_assert_eq(define(&table, 256, 1, 1, 1000), DROP_NONE);
    cr_assert_eq(define(&table, 256, 2, 1, 1001), DROP_NONE);
    cr_assert_eq(found(&table, 256, 1, 1001), 2);
    cr_assert_eq(define(&table, 256, 1, 1, 1000), DROP_TEMPLATE_STALE);
    cr_assert_eq(found(&table, 256, 1, 1001), 2);
    cr_assert_eq(define(&table, 256, 3, 1, 900), DROP_NONE, "the exporter's clock was set back");
    cr_assert_eq(found(&table, 256, 1, 1001), 3);
    templates_clear(&table.templates);
}

Test(templates, are_withdrawn_one_by_one_or_all)
{
    Table table;
    table_setup(&table);
    for (guint16 id = 256; id < 260; id++)
        cr_assert_eq(define(&table, id, 1, 1, 1000), DROP_NONE);
    templates_withdraw(&table.templates, 256, 1);
    templates_withdraw(&table.templates, 257, 2); /* another session's */
    templates_withdraw(&table.templates, 999, 1); /* never defined */
    cr_assert_eq(found(&table, 256, 1, 1000), 0);
    cr_assert_eq(found(&table, 257, 1, 1000), 1);
    templates_withdraw_all(&table.templates, TRUE, 1); /* options templates: none */
    cr_assert_eq(templates_count(&table.templates), 3);
    templates_withdraw_all(&table.templates, FALSE, 1);
    cr_assert_eq(templates_count(&table.templates), 0);
    templates_clear(&table.templates);
}

Test(templates, expire_when_neither_sent_nor_used)
{
    Table table;
    table_setup(&table);
    cr_assert_eq(define(&table, 256, 1, 1, 1000), DROP_NONE);
    cr_assert_eq(define(&table, 257, 1, 1, 1000), DROP_NONE);
    cr_assert_eq(found(&table, 257, 1, 2000), 1);
    cr_assert_eq(templates_expire(&table.templates, 1500 * NS_PER_S), 1);
    cr_assert_eq(found(&table, 256, 1, 2000), 0);
    cr_assert_eq(found(&table, 257, 1, 2000), 1);
    templates_clear(&table.templates);
}

Test(templates, storm_of_new_numbers_stays_bounded_and_spares_what_is_in_use)
{
    Table table;
    table_setup(&table);
    cr_assert_eq(define(&table, 256, 1, 1, 1000), DROP_NONE);
    guint refused = 0;
    for (guint id = 300; id < 3000; id++)
        refused += define(&table, (guint16)id, 2, 1, 1000) == DROP_TEMPLATE_BOUND;
    cr_assert_eq(templates_count(&table.templates), TEMPLATES_MAX);
    cr_assert_eq(refused, 2700 - (TEMPLATES_MAX - 1));
    cr_assert_eq(found(&table, 256, 1, 1090), 1);
    for (guint id = 4000; id < 4300; id++)
        (void)define(&table, (guint16)id, 2, 1, 1100);
    cr_assert_eq(found(&table, 256, 1, 1100), 1);
    cr_assert_eq(found(&table, 4000, 1, 1100), 2);
    templates_clear(&table.templates);
}

Test(templates, fields_are_bounded_in_all)
{
    Table table;
    table_setup(&table);
    guint taken = 0;
    for (guint16 id = 256; id < 300; id++) {
        gboolean is_new;
        make_spec(id, 1, TEMPLATE_FIELDS_MAX);
        taken += templates_define(&table.templates, &spec, VERSION_IPFIX, 1, 0, NS_PER_S,
                                  &is_new) == DROP_NONE;
    }
    cr_assert_eq(taken, TEMPLATES_FIELDS_MAX / TEMPLATE_FIELDS_MAX);
    templates_clear(&table.templates);
}

Test(templates, ports_that_change_without_end_stay_bounded)
{
    Table table;
    table_setup(&table);
    for (guint port = 1; port < 5000; port++)
        cr_assert_eq(define(&table, 256, 1, (guint16)port, 1000 + port), DROP_NONE);
    cr_assert_eq(templates_count(&table.templates), TEMPLATE_PORTS);
    cr_assert_eq(found(&table, 256, 60000, 7000), 1);
    templates_clear(&table.templates);
}
