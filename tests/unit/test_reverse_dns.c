/* SPDX-License-Identifier: Apache-2.0 */
#include "reverse_dns.h"

#include <criterion/criterion.h>

static PstReverseDns found(PstResolver *resolver, const char *address, guint limit_ms)
{
    PstReverseDns name;
    pst_reverse_dns(resolver, address, limit_ms, &name);
    return name;
}

Test(reverse_dns, knows_a_name_that_leads_back)
{
    g_autoptr(PstResolver) resolver = pst_resolver_new();
    g_auto(PstReverseDns) name = found(resolver, "127.0.0.1", 10000); /* by /etc/hosts */
    cr_assert_eq(name.state, PST_REVERSE_DNS_RIGHT);
    cr_assert_str_eq(name.name, "localhost");
}

Test(reverse_dns, says_nothing_of_what_is_no_single_address)
{
    static const char *const others[] = {"2001:db8::/64", "", "localhost", "192.0.2"};
    g_autoptr(PstResolver) resolver = pst_resolver_new();
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        g_auto(PstReverseDns) name = found(resolver, others[i], 10000);
        cr_assert_eq(name.state, PST_REVERSE_DNS_UNKNOWN, "%s", others[i]);
        cr_assert_null(name.name);
    }
}

Test(reverse_dns, asks_nobody_for_a_while_after_it_had_to_give_up)
{
    g_autoptr(PstResolver) resolver = pst_resolver_new();
    g_auto(PstReverseDns) late = found(resolver, "192.0.2.7", 0);
    cr_assert_eq(late.state, PST_REVERSE_DNS_UNKNOWN);
    g_auto(PstReverseDns) rests = found(resolver, "127.0.0.1", 10000);
    cr_assert_eq(rests.state, PST_REVERSE_DNS_UNKNOWN);
}
