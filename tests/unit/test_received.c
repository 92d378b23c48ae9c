/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "received.h"

static Text of(const char *s)
{
    return text(s, strlen(s));
}

static const char *shown(const PstAddr *addr)
{
    static char out[PST_ADDR_TEXT_MAX];
    return pst_addr_format(addr, out);
}

static const char *hop(const char *value)
{
    Hop h = received_hop(of(value));
    return shown(&h.addr);
}

static const char *source_ip(const char *value)
{
    PstAddr addr = {0};
    return received_address(of(value), &addr) ? shown(&addr) : "none";
}

static PstPrefixMap *ours(void)
{
    PstPrefixMap *map = pst_networks_load("203.0.113.0/24", NULL);
    cr_assert_not_null(map);
    return map;
}

Test(source_ip, is_read_in_every_form_that_is_seen)
{
    cr_assert_str_eq(source_ip(" 192.0.2.1"), "192.0.2.1");
    cr_assert_str_eq(source_ip("[192.0.2.1]"), "192.0.2.1");
    cr_assert_str_eq(source_ip("192.0.2.1 (mail.example.org)"), "192.0.2.1");
    cr_assert_str_eq(source_ip("(seen by us: 198.51.100.9) 192.0.2.1"), "192.0.2.1");
    cr_assert_str_eq(source_ip("2001:DB8::1"), "2001:db8::1");
    cr_assert_str_eq(source_ip("[IPv6:2001:db8::1]"), "2001:db8::1");
    cr_assert_str_eq(source_ip("IPv6:2001:db8::1"), "2001:db8::1");
    cr_assert_str_eq(source_ip("::ffff:192.0.2.1"), "192.0.2.1");
    cr_assert_str_eq(source_ip("192.0.2.1:25"), "192.0.2.1");
    cr_assert_str_eq(source_ip("192.0.2.1."), "192.0.2.1");
}

Test(source_ip, is_nothing_else)
{
    const char *none[] = {
        "",        "unknown", "192.0.2", "192.0.2.256", "192.0.2.1.example.org", "mail-192.0.2.1",

        "redacted"};
    for (gsize i = 0; i < G_N_ELEMENTS(none); i++)
        cr_assert_str_eq(source_ip(none[i]), "none", "%s", none[i]);
}

Test(hop, is_what_the_receiver_saw)
{
    cr_assert_str_eq(hop("from helo.example (rdns.example [192.0.2.1]) by mx (1.2.3.4)"),
                     "192.0.2.1"); /* Postfix, Sendmail */
    cr_assert_str_eq(hop("from [10.0.0.1] (port=25 helo=[198.51.100.9]) by mx"), "10.0.0.1");
    cr_assert_str_eq(hop("from [198.51.100.9] ([192.0.2.1] helo=x) by mx"), "192.0.2.1"); /* Exim */
    cr_assert_str_eq(hop("from 127.0.0.1  (EHLO x.example) (192.0.2.1)\n  by mta with SMTPS; d"),
                     "192.0.2.1"); /* Yahoo */
    cr_assert_str_eq(hop("from unknown (HELO 198.51.100.9) (192.0.2.1) by mx"), "192.0.2.1");
    cr_assert_str_eq(hop("from unknown (HELO x) (user@192.0.2.1) by mx"), "192.0.2.1"); /* qmail */
    cr_assert_str_eq(hop("from a.example (192.0.2.1) by b.example (198.51.100.9) with HTTPS"),
                     "192.0.2.1"); /* Exchange */
    cr_assert_str_eq(hop("from a.example (a.example. [IPv6:2001:db8::1]) by mx"), "2001:db8::1");
    cr_assert_str_eq(hop("from a.example (a.example. [2001:db8::1]) by mx"), "2001:db8::1");
    cr_assert_str_eq(hop("from [192.0.2.1] by mx with SMTP"), "192.0.2.1");
    cr_assert_str_eq(hop("from x (may be forged) (ident 198.51.100.9 192.0.2.1) by m"),
                     "192.0.2.1");
}

Test(hop, tells_the_port_if_the_receiver_did)
{
    Hop h = received_hop(of("from [192.0.2.1] ([192.0.2.1:4567] helo=x) by mx"));
    cr_assert_eq(h.port, 4567);
    cr_assert_str_eq(shown(&h.addr), "192.0.2.1");
}

Test(hop, names_none_where_the_field_does_not)
{
    const char *none[] = {"by 192.0.2.1 with SMTP id x",
                          "from mail.example.org by mx (192.0.2.1)",
                          "(from userid 1) by mx",
                          "",
                          "from",
                          "from (((",
                          "from ]]] 1.2.3 by"};
    for (gsize i = 0; i < G_N_ELEMENTS(none); i++)
        cr_assert_str_eq(hop(none[i]), "", "%s", none[i]);
}

Test(chain, gives_the_topmost_public_hop_where_no_networks_are_known)
{
    Hop found;
    cr_assert(received_find(of("Received: by mx\nReceived: from l (l [127.0.0.1]) by mx\n"
                               "Received: from i (i [10.1.2.3]) by mx\n"
                               "Received: from a (a [192.0.2.1]) by mx\n"
                               "Received: from b (b [192.0.2.2]) by mx\n"),
                            NULL, &found));
    cr_assert_str_eq(shown(&found.addr), "192.0.2.1");
}

Test(chain, gives_the_topmost_hop_of_ours)
{
    g_autoptr(PstPrefixMap) map = ours();
    Hop found;
    cr_assert(received_find(of("Received: from relay (relay [192.0.2.1]) by mx\n"
                               "Received: from a (a [203.0.113.9]) by relay\n"
                               "Received: from b (b [203.0.113.10]) by a\n"),
                            map, &found));
    cr_assert_str_eq(shown(&found.addr), "203.0.113.9");
}

Test(chain, gives_nothing_where_no_hop_is_ours)
{
    g_autoptr(PstPrefixMap) map = ours();
    Hop found;
    cr_assert_not(received_find(of("Received: from a (a [192.0.2.1]) by mx\n"), map, &found));
    cr_assert_not(received_find(of("Subject: x\n"), NULL, &found));
}

Test(chain, takes_the_topmost_date_there_is)
{
    gint64 ns = 0;
    cr_assert(received_date(of("Received: from a by b\nReceived: from c (x; y) by d; no date\n"
                               "Received: from e by f; Thu, 05 Mar 2026 12:00:00 +0100\n"
                               "Received: from e by f; Thu, 05 Mar 2020 12:00:00 +0100\n"),
                            &ns));
    cr_assert_eq(ns / 1000000000, 1772708400);
}
