/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

#include <criterion/criterion.h>

#include "engine_maker.h"

static guint unit_len_of(const Rules *rules, const char *text)
{
    PstAddr addr = addr_of(text);
    return rules_unit_of(rules, &addr).len;
}

static gboolean set_len(Rules *rules, const char *prefix, guint8 len)
{
    PstUnit p = unit_named(prefix);
    return rules_set_unit_len(rules, &p, len);
}

Test(rules, ipv4_units_are_addresses)
{
    g_autoptr(Rules) rules = rules_new(64);
    cr_assert_eq(unit_len_of(rules, "192.0.2.1"), 32);
    cr_assert_not(set_len(rules, "192.0.2.0/24", 56));
}

Test(rules, longest_prefix_decides_the_unit_length)
{
    g_autoptr(Rules) rules = rules_new(64);
    cr_assert_eq(unit_len_of(rules, "2001:db8:1:2::1"), 64);
    cr_assert(set_len(rules, "2001:db8::/32", 56));
    cr_assert(set_len(rules, "2001:db8:1::/48", 48));
    cr_assert(set_len(rules, "2001:db8:1:ff00::/56", 60));
    cr_assert(set_len(rules, "2001:db9::/32", 52));
    cr_assert_eq(unit_len_of(rules, "2001:db8:1:2::1"), 48);
    cr_assert_eq(unit_len_of(rules, "2001:db8:1:ff01::1"), 60);
    cr_assert_eq(unit_len_of(rules, "2001:db8:2::1"), 56);
    cr_assert_eq(unit_len_of(rules, "2001:db9::1"), 52);
    cr_assert_eq(unit_len_of(rules, "2001:dba::1"), 64);
    cr_assert(set_len(rules, "2001:db8:1::/48", 64));
    cr_assert_eq(unit_len_of(rules, "2001:db8:1:2::1"), 64, "the last word counts");
}

Test(rules, unit_lengths_are_48_to_64)
{
    g_autoptr(Rules) rules = rules_new(64);
    cr_assert_not(set_len(rules, "2001:db8::/32", 47));
    cr_assert(set_len(rules, "2001:db8::/32", 48));
    cr_assert(set_len(rules, "2001:db8::/32", 64));
    cr_assert_not(set_len(rules, "2001:db8::/32", 65));
}

Test(rules, exemptions_are_by_unit_and_end)
{
    g_autoptr(Rules) rules = rules_new(64);
    PstUnit a = unit_named("192.0.2.1"), b = unit_named("192.0.2.2");
    rules_set_ceiling(rules, &a, 500);
    cr_assert_eq(rules_ceiling(rules, &a), 500);
    cr_assert_eq(rules_ceiling(rules, &b), 0);
    rules_set_ceiling(rules, &b, 7);
    rules_set_ceiling(rules, &a, 0);
    cr_assert_eq(rules_ceiling(rules, &a), 0);
    cr_assert_eq(rules_ceiling(rules, &b), 7);
    rules_set_ceiling(rules, &a, -3);
    cr_assert_eq(rules_ceiling(rules, &a), 0);
}

Test(rules, the_most_specific_exemption_of_a_net_holds)
{
    g_autoptr(Rules) rules = rules_new(64);
    PstUnit unit = unit_named("192.0.2.1"), other = unit_named("192.0.2.2");
    PstUnit outside = unit_named("192.0.3.1");
    PstPrefix net = pst_prefix_of(&unit.addr, 24);
    rules_set_ceiling(rules, &net, 900);
    rules_set_ceiling(rules, &unit, 50);
    cr_assert_eq(rules_ceiling(rules, &unit), 50);
    cr_assert_eq(rules_ceiling(rules, &other), 900);
    cr_assert_eq(rules_ceiling(rules, &outside), 0);
    cr_assert_eq(rules_ceiling(rules, &net), 900);
    rules_set_ceiling(rules, &unit, 0);
    cr_assert_eq(rules_ceiling(rules, &unit), 900);
}

Test(rules, are_the_same_from_their_bytes)
{
    g_autoptr(Rules) rules = rules_new(64), copy = rules_new(64);
    PstUnit a = unit_named("192.0.2.1");
    rules_set_ceiling(rules, &a, 500);
    cr_assert(set_len(rules, "2001:db8::/32", 56));
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    Image image = {.bytes = bytes};
    rules_write(rules, &image);
    for (guint len = 0; len < bytes->len; len++) {
        g_autoptr(Rules) cut = rules_new(64);
        PstCursor from = pst_cursor(bytes->data, len);
        cr_assert_not(rules_read(cut, &from));
    }
    PstCursor from = pst_cursor(bytes->data, bytes->len);
    cr_assert(rules_read(copy, &from));
    cr_assert_eq(rules_ceiling(copy, &a), 500);
    cr_assert_eq(unit_len_of(copy, "2001:db8::1"), 56);
}
