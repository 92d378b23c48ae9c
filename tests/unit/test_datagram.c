/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "export_builder.h"

static Drop next_of(Export *e, Message *out)
{
    export_end(e);
    PstCursor payload = pst_cursor(e->bytes->data, e->bytes->len);
    Drop drop = datagram_next(&payload, out);
    cr_assert_eq(pst_cursor_left(&payload), 0);
    return drop;
}

static Export ipfix_of_one_set(guint16 set_id)
{
    Export e = export_ipfix(.domain = 7, .sequence = 99);
    export_set(&e, set_id);
    export_u32(&e, 1);
    return e;
}

Test(datagram, gives_header_and_sets_of_ipfix)
{
    Export e = ipfix_of_one_set(256);
    Message message;
    cr_assert_eq(next_of(&e, &message), DROP_NONE);
    cr_assert_eq(message.domain, 7);
    cr_assert_eq(message.sequence, 99);
    cr_assert_eq(message.export_ns, EXPORT_S * NS_PER_S);
    cr_assert_not(message.has_uptime);
    Set set;
    Drop drop;
    cr_assert(message_next_set(&message, &set, &drop));
    cr_assert_eq(set.kind, SET_DATA);
    cr_assert_eq(set.id, 256);
    cr_assert_eq(pst_cursor_left(&set.body), 4);
    cr_assert_not(message_next_set(&message, &set, &drop));
    cr_assert_eq(drop, DROP_NONE);
    g_byte_array_unref(e.bytes);
}

Test(datagram, is_dropped_when_length_lies)
{
    Export e = ipfix_of_one_set(256);
    export_end(&e);
    const gsize true_len = e.bytes->len;
    for (gsize len = 0; len <= 0xffff; len += len < 64 ? 1 : 4099) {
        Message message;
        export_patch16(&e, 2, len);
        PstCursor payload = pst_cursor(e.bytes->data, true_len);
        Drop drop = datagram_next(&payload, &message);
        cr_assert_eq(drop, len < 16 || len > true_len ? DROP_LENGTH_LIES : DROP_NONE, "len %zu",
                     len);
    }
    g_byte_array_unref(e.bytes);
}

Test(datagram, is_dropped_when_it_ends_inside_a_header)
{
    static const struct {
        guint16 version;
        gsize header;
    } cases[] = {{VERSION_V5, 24}, {VERSION_V9, 20}, {VERSION_IPFIX, 16}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint8 bytes[24] = {0, (guint8)cases[i].version};
        for (gsize len = 2; len < cases[i].header; len++) {
            Message message;
            PstCursor payload = pst_cursor(bytes, len);
            cr_assert_eq(datagram_next(&payload, &message), DROP_SHORT);
            cr_assert_eq(pst_cursor_left(&payload), 0);
        }
    }
}

Test(datagram, of_another_version_is_dropped)
{
    static const guint16 versions[] = {1, 4, 6, 7, 8, 11, 0xffff};
    for (gsize i = 0; i < G_N_ELEMENTS(versions); i++) {
        guint8 bytes[64] = {(guint8)(versions[i] >> 8), (guint8)versions[i], 1};
        Message message;
        PstCursor payload = pst_cursor(bytes, sizeof bytes);
        cr_assert_eq(datagram_next(&payload, &message), DROP_VERSION);
    }
    guint8 sflow[64] = {0, 0, 0, 5};
    Message message;
    PstCursor payload = pst_cursor(sflow, sizeof sflow);
    cr_assert_eq(datagram_next(&payload, &message), DROP_VERSION);
}

Test(datagram, of_zeros_is_padding)
{
    guint8 zeros[40] = {0};
    Message message;
    for (gsize len = 1; len <= sizeof zeros; len++) {
        PstCursor payload = pst_cursor(zeros, len);
        cr_assert_eq(datagram_next(&payload, &message), DROP_NONE);
        cr_assert_eq(message.version, 0);
    }
}

Test(datagram, holds_several_messages)
{
    Export one = ipfix_of_one_set(256);
    Export two = ipfix_of_one_set(257);
    export_end(&one);
    export_end(&two);
    g_byte_array_append(one.bytes, two.bytes->data, two.bytes->len);
    PstCursor payload = pst_cursor(one.bytes->data, one.bytes->len);
    Message message;
    guint n = 0;
    while (pst_cursor_left(&payload) > 0 && datagram_next(&payload, &message) == DROP_NONE)
        n++;
    cr_assert_eq(n, 2);
    g_byte_array_unref(one.bytes);
    g_byte_array_unref(two.bytes);
}

/* Runs over the sets of @e and returns how it ended. */
static Drop end_of(Export *e, guint *out_sets)
{
    Message message;
    cr_assert_eq(next_of(e, &message), DROP_NONE);
    Set set;
    Drop drop;
    *out_sets = 0;
    while (message_next_set(&message, &set, &drop))
        ++*out_sets;
    g_byte_array_unref(e->bytes);
    return drop;
}

Test(set, padded_with_zeros_ends_the_message)
{
    guint sets;
    for (gsize zeros = 0; zeros < 12; zeros++) {
        Export e = ipfix_of_one_set(256);
        export_end_set(&e);
        export_zeros(&e, zeros);
        cr_assert_eq(end_of(&e, &sets), DROP_NONE);
        cr_assert_eq(sets, 1);
    }
}

Test(set, shorter_than_its_header_ends_the_message)
{
    guint sets;
    for (guint16 len = 1; len < 4; len++) {
        Export e = ipfix_of_one_set(256);
        export_end_set(&e);
        export_u16(&e, 256);
        export_u16(&e, len);
        export_u32(&e, 1);
        cr_assert_eq(end_of(&e, &sets), DROP_SET_LENGTH);
        cr_assert_eq(sets, 1);
    }
}

Test(set, longer_than_its_message_is_given_as_far_as_it_goes)
{
    Export e = export_ipfix(0);
    export_u16(&e, 256);
    export_u16(&e, 4 + 8 + 1);
    export_u64(&e, 1);
    Message message;
    cr_assert_eq(next_of(&e, &message), DROP_NONE);
    Set set;
    Drop drop;
    cr_assert(message_next_set(&message, &set, &drop));
    cr_assert_eq(pst_cursor_left(&set.body), 8);
    cr_assert_not(message_next_set(&message, &set, &drop));
    cr_assert_eq(drop, DROP_SET_LENGTH);
    g_byte_array_unref(e.bytes);
}

Test(set, of_a_reserved_id_is_skipped)
{
    for (guint16 id = 4; id < 256; id++) {
        Export e = ipfix_of_one_set(id);
        export_set(&e, 300);
        export_u32(&e, 1);
        Message message;
        cr_assert_eq(next_of(&e, &message), DROP_NONE);
        Set set;
        Drop drop;
        cr_assert(message_next_set(&message, &set, &drop));
        cr_assert_eq(set.kind, SET_RESERVED);
        cr_assert(message_next_set(&message, &set, &drop));
        cr_assert_eq(set.kind, SET_DATA);
        g_byte_array_unref(e.bytes);
    }
}

Test(set, numbers_of_v9_become_those_of_ipfix)
{
    static const struct {
        guint16 version, id;
        SetKind kind;
    } cases[] = {
        {VERSION_V9, 0, SET_TEMPLATES},    {VERSION_V9, 1, SET_OPTIONS_TEMPLATES},
        {VERSION_V9, 2, SET_RESERVED},     {VERSION_V9, 255, SET_RESERVED},
        {VERSION_V9, 256, SET_DATA},       {VERSION_IPFIX, 0, SET_RESERVED},
        {VERSION_IPFIX, 2, SET_TEMPLATES}, {VERSION_IPFIX, 3, SET_OPTIONS_TEMPLATES},
        {VERSION_IPFIX, 256, SET_DATA},    {VERSION_IPFIX, 65535, SET_DATA},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Export e = export_new((Export){.version = cases[i].version});
        export_set(&e, cases[i].id);
        export_u32(&e, 1);
        Message message;
        cr_assert_eq(next_of(&e, &message), DROP_NONE);
        Set set;
        Drop drop;
        cr_assert(message_next_set(&message, &set, &drop));
        cr_assert_eq(set.kind, cases[i].kind, "case %zu", i);
        g_byte_array_unref(e.bytes);
    }
}
