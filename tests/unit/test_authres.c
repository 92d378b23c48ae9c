/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "authres.h"

static Sender sender_of(const char *header)
{
    char id[] = "mx.ours.example";
    char *ids[] = {id, NULL};
    return authres_sender(text(header, strlen(header)), ids, NULL);
}

static void assert_sender(const char *header, gboolean authenticated, const char *domain)
{
    g_auto(Sender) sender = sender_of(header);
    cr_assert_eq(sender.authenticated, authenticated, "%s", header);
    cr_assert_str_eq(sender.domain, domain, "%s", header);
}

#define FROM "From: Feedback <fbl@reporter.example>\n"
#define OURS "Authentication-Results: mx.ours.example; "

Test(authres, believes_our_own_server)
{
    assert_sender(OURS "dkim=pass header.d=reporter.example\n" FROM, TRUE, "reporter.example");
    assert_sender(OURS "spf=pass smtp.mailfrom=bounce@reporter.example\n" FROM, TRUE,
                  "reporter.example");
    assert_sender(OURS "spf=pass smtp.mailfrom=reporter.example\n" FROM, TRUE, "reporter.example");
    assert_sender(OURS "dmarc=pass (p=reject dis=none) header.from=reporter.example\n" FROM, TRUE,
                  "reporter.example");
    assert_sender(OURS "dkim=pass header.i=@reporter.example header.b=\"abc\"\n" FROM, TRUE,
                  "reporter.example");
}

Test(authres, believes_nobody_else)
{
    assert_sender(
        "Authentication-Results: mx.other.example; dkim=pass header.d=reporter.example\n" FROM,
        FALSE, "reporter.example");
    assert_sender("Authentication-Results: mx.ours.example.evil.example; dkim=pass "
                  "header.d=reporter.example\n" FROM,
                  FALSE, "reporter.example");
    assert_sender("Authentication-Results: ; dkim=pass header.d=reporter.example\n" FROM, FALSE,
                  "reporter.example");
}

Test(authres, believes_nobody_where_no_id_is_configured)
{
    const char *header = OURS "dkim=pass header.d=reporter.example\n" FROM;
    g_auto(Sender) sender = authres_sender(text(header, strlen(header)), NULL, NULL);
    cr_assert_not(sender.authenticated);
}

Test(authres, wants_a_pass)
{
    const char *results[] = {"dkim=fail",   "dkim=none",   "dkim=temperror",       "none",
                             "dkim=passed", "x-dkim=pass", "dkim=fail reason=pass"};
    for (gsize i = 0; i < G_N_ELEMENTS(results); i++) {
        g_autofree char *header =
            g_strdup_printf(OURS "%s header.d=reporter.example\n" FROM, results[i]);
        assert_sender(header, FALSE, "reporter.example");
    }
}

Test(authres, wants_a_domain_aligned_with_from)
{
    assert_sender(OURS "dkim=pass header.d=evil.example\n" FROM, FALSE, "reporter.example");
    assert_sender(OURS "dkim=pass header.d=evilreporter.example\n" FROM, FALSE, "reporter.example");
    assert_sender(OURS "dkim=pass header.d=example\n" FROM, FALSE, "reporter.example");
}

Test(authres, names_the_domain_that_was_proven)
{
    assert_sender(OURS "dkim=pass header.d=reporter.example\nFrom: x@mail.reporter.example\n", TRUE,
                  "reporter.example");
    assert_sender(OURS "dkim=pass header.d=sub.reporter.example\n" FROM, TRUE,
                  "sub.reporter.example");
    assert_sender(OURS "dkim=pass header.d=sub.reporter.example; dkim=pass "
                       "header.d=reporter.example\n" FROM,
                  TRUE, "reporter.example");
}

Test(authres, reads_one_result_after_the_other)
{
    assert_sender(OURS "\n\tdkim=fail (bad; sig) header.d=reporter.example;\n"
                       "\tspf=pass (sender IP is 192.0.2.1) smtp.mailfrom=reporter.example\n" FROM,
                  TRUE, "reporter.example");
    assert_sender("Authentication-Results: MX.ours.example 1;\n dkim=pass "
                  "header.d=\"reporter.example\"\n" FROM,
                  TRUE, "reporter.example");
}

Test(authres, is_not_fooled_by_what_the_sender_wrote_himself)
{
    assert_sender(OURS "spf=pass smtp.mailfrom=\"x; dkim=pass header.d=reporter.example; y\""
                       "@evil.example\n" FROM,
                  FALSE, "reporter.example");
    assert_sender(OURS "dkim=fail (\\) dkim=pass; dkim=pass header.d=reporter.example) "
                       "header.d=evil.example\n" FROM,
                  FALSE, "reporter.example");
    assert_sender(OURS "spf=pass smtp.helo=reporter.example\n" FROM, FALSE, "reporter.example");
}

Test(authres, looks_only_where_our_server_writes)
{
    const char *hops = "Received: from relay (relay [192.0.2.1]) by mx.ours.example\n"
                       "Received: from evil (evil [198.51.100.1]) by relay\n";
    g_autofree char *below =
        g_strconcat(hops, OURS, "dkim=pass header.d=reporter.example\n", FROM, NULL);
    g_autofree char *above =
        g_strconcat(OURS, "dkim=pass header.d=reporter.example\n", hops, FROM, NULL);
    assert_sender(below, FALSE, "reporter.example");
    assert_sender(above, TRUE, "reporter.example");
}

Test(authres, reads_the_domain_of_an_address)
{
    static const struct {
        const char *value;
        const char *domain;
    } rows[] = {
        {" a@Example.ORG ", "example.org"},
        {"\"x@y\" <a@example.org>", "example.org"},
        {"<a@example.org.>", "example.org"},
        {"a@[192.0.2.1]", NULL},
        {"nobody", NULL},
        {"", NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *domain = authres_domain(text(rows[i].value, strlen(rows[i].value)));
        cr_assert(g_strcmp0(domain, rows[i].domain) == 0, "%s: %s", rows[i].value, domain);
    }
}
