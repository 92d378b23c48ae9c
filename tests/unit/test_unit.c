/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "postern/unit.h"

static PstAddr addr(const char *text)
{
    PstAddr a = {0};
    cr_assert(pst_addr_parse(text, strlen(text), &a), "%s", text);
    return a;
}

static const char *unit_text(const char *text, guint8 v6_len)
{
    static char out[PST_PREFIX_TEXT_MAX];
    PstAddr a = addr(text);
    PstUnit unit = pst_unit_of(&a, v6_len);
    return pst_prefix_format(&unit, out);
}

Test(unit, of_ipv4_is_the_address)
{
    cr_assert_str_eq(unit_text("192.0.2.1", PST_UNIT_LEN_V6_DEFAULT), "192.0.2.1");
    cr_assert_str_eq(unit_text("192.0.2.1", 48), "192.0.2.1");
}

Test(unit, of_ipv6_is_the_customers_prefix)
{
    cr_assert_str_eq(unit_text("2001:db8:1:2:3::9", 64), "2001:db8:1:2::/64");
    cr_assert_str_eq(unit_text("2001:db8:1:2:3::9", 56), "2001:db8:1::/56");
    cr_assert_str_eq(unit_text("2001:db8:1:2:3::9", 48), "2001:db8:1::/48");
}

Test(partition, is_shared_by_a_neighbourhood)
{
    PstAddr first = addr("192.0.2.0"), last = addr("192.0.2.255");
    cr_assert_eq(pst_partition_of(&first, 4096), pst_partition_of(&last, 4096));
    PstAddr six = addr("2001:db8:1::"), six_last = addr("2001:db8:1:ffff::1");
    cr_assert_eq(pst_partition_of(&six, 4096), pst_partition_of(&six_last, 4096));
}

/* Every collector and scorer ever installed must agree on these. */
Test(partition, never_changes)
{
    static const struct {
        const char *text;
        guint32 count;
        guint32 partition;
    } vectors[] = {
        {"192.0.2.0", 8, 4},  {"198.51.100.0", 8, 2},    {"203.0.113.0", 8, 4},
        {"2001:db8::", 8, 3}, {"192.0.2.0", 4096, 2553}, {"2001:db8:1::", 4096, 2337},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(vectors); i++) {
        PstAddr a = addr(vectors[i].text);
        cr_assert_eq(pst_partition_of(&a, vectors[i].count), vectors[i].partition, "%s of %u: %u",
                     vectors[i].text, vectors[i].count, pst_partition_of(&a, vectors[i].count));
    }
}

Test(partition, stays_below_the_count)
{
    static const guint32 counts[] = {1, 2, 3, 8, 4095, PST_PARTITIONS_MAX};
    for (gsize c = 0; c < G_N_ELEMENTS(counts); c++)
        for (guint32 i = 0; i < 10000; i++) {
            PstAddr a = pst_addr_v4(i << 8);
            cr_assert_lt(pst_partition_of(&a, counts[c]), counts[c]);
        }
}
