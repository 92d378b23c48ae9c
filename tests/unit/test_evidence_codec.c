/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "postern/evidence.h"

static PstEvidence *full(void)
{
    PstEvidence *e = pst_evidence_new();
    e->outcome = PST_EVIDENCE_UNREADABLE;
    e->format = g_strdup("arf");
    e->feedback_type = g_strdup("abuse");
    e->category = g_strdup("spam");
    gboolean ok = pst_addr_parse("192.0.2.1", 9, &e->source_ip);
    g_assert(ok);
    e->source_port = 25000;
    e->arrived_ns = G_GINT64_CONSTANT(1777638896123456789);
    e->received_ns = e->arrived_ns + 1;
    e->message_id = g_strdup("a@example.org");
    e->reported_domain = g_strdup("example.com");
    e->reporter = g_strdup("example.net");
    e->authenticated = TRUE;
    e->report_id = g_strdup("b@example.net");
    e->reason = g_strdup("z\xc3\xa9ro");
    e->mail_token = g_strdup("0123456789abcdef0123");
    e->case_ref = g_strdup("PST-2026-000042");
    e->sender = g_strdup("a@example.org");
    e->said = g_strdup("one\ntwo");
    e->incidents = 3;
    e->size_bytes = 4096;
    for (guint8 i = 0; i < PST_EVIDENCE_SHA256; i++)
        e->sha256[i] = i;
    return e;
}

Test(evidence, survives_the_bus)
{
    g_autoptr(PstEvidence) e = full();
    g_autoptr(GByteArray) out = g_byte_array_new();
    pst_evidence_encode(e, out);
    g_autoptr(PstEvidence) back = pst_evidence_decode(out->data, out->len);
    cr_assert_not_null(back);
    g_autoptr(GByteArray) again = g_byte_array_new();
    pst_evidence_encode(back, again);
    cr_assert_eq(again->len, out->len);
    cr_assert_eq(memcmp(again->data, out->data, out->len), 0);
    cr_assert_str_eq(back->reason, e->reason);
    cr_assert_str_eq(back->said, e->said);
    cr_assert_eq(back->arrived_ns, e->arrived_ns);
    cr_assert(pst_addr_equal(&back->source_ip, &e->source_ip));
    cr_assert(back->authenticated);
}

Test(evidence, of_nothing_is_empty_and_has_one_incident)
{
    g_autoptr(PstEvidence) e = pst_evidence_decode((const guint8 *)"", 0);
    cr_assert_not_null(e);
    cr_assert_eq(e->incidents, 1);
    cr_assert_eq(e->outcome, PST_EVIDENCE_COMPLAINT);
    cr_assert_null(e->format);
    cr_assert_not(pst_addr_present(&e->source_ip));
}

Test(evidence, cut_anywhere_never_reads_as_more)
{
    g_autoptr(PstEvidence) e = full();
    g_autoptr(GByteArray) out = g_byte_array_new();
    pst_evidence_encode(e, out);
    for (guint cut = 0; cut < out->len; cut++) {
        g_autofree guint8 *copy = g_memdup2(out->data, cut); /* the sanitizer watches its end */
        g_autoptr(PstEvidence) back = pst_evidence_decode(copy, cut);
        cr_assert(back == NULL || g_strcmp0(back->said, e->said) != 0);
    }
}

static gboolean refused(const char *bytes, gsize len)
{
    g_autoptr(PstEvidence) e = pst_evidence_decode((const guint8 *)bytes, len);
    return e == NULL;
}

Test(evidence, refuses_what_breaks_a_limit)
{
    cr_assert(refused("\x08\x04", 2), "outcome 4");
    cr_assert(refused("\x12\x02\xff\xfe", 4), "no UTF-8");
    cr_assert(refused("\x12\x02\x0a\x41", 4), "a control character");
    cr_assert(refused("\x10\x01", 2), "text as a number");
    cr_assert(refused("\x2a\x03\x01\x02\x03", 5), "an address of three bytes");
    cr_assert(refused("\x30\x80\x80\x04", 4), "port 65536");
    cr_assert(refused("\x8a\x01\x01\x00", 4), "a hash of one byte");
    cr_assert_not(refused("\xaa\x01\x02\x0a\x41", 5), "what was said has lines");
    cr_assert(refused("\xaa\x01\x02\x0d\x41", 5), "and no other control characters");
    cr_assert(refused("\xa2\x01\x02\x0a\x41", 5), "who said it has none");
    g_autoptr(GByteArray) long_text = g_byte_array_new();
    g_byte_array_append(long_text, (const guint8 *)"\x12\xe7\x07", 3); /* 999 bytes */
    g_byte_array_set_size(long_text, 3 + 999);
    memset(long_text->data + 3, 'a', 999);
    cr_assert(refused((const char *)long_text->data, long_text->len));
    long_text->data[1] = 0xe6; /* 998 */
    cr_assert_not(refused((const char *)long_text->data, long_text->len - 1));
}

Test(evidence, skips_fields_of_a_newer_writer)
{
    cr_assert_not(refused("\xa0\x06\x01\xaa\x06\x01x", 7));
}
