/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "mime.h"

static Mime *cut(const char *mail)
{
    return mime_new(text(mail, strlen(mail)));
}

static void assert_body(const Mime *mime, guint index, const char *expected)
{
    g_autoptr(GString) body = mime_decode(mime_part(mime, index), 1000);
    cr_assert_str_eq(body->str, expected);
}

static char *nested(guint depth, const char *inner)
{
    GString *mail = g_string_new("From: a@example.org\n");
    for (guint i = 0; i < depth; i++)
        g_string_append_printf(mail, "Content-Type: multipart/mixed; boundary=b%u\n\n--b%u\n", i,
                               i);
    g_string_append(mail, inner);
    return g_string_free(mail, FALSE);
}

Test(mime, takes_a_mail_without_mime_as_text)
{
    g_autoptr(Mime) mime = cut("From: a@example.org\n\nHello\n");
    cr_assert_eq(mime_count(mime), 1);
    cr_assert_str_eq(mime_part(mime, 0)->type, "text/plain");
    cr_assert_eq(mime_flaws(mime), MIME_WHOLE);
    assert_body(mime, 0, "Hello\n");
}

Test(mime, takes_nothing_as_an_empty_mail)
{
    g_autoptr(Mime) mime = cut("");
    cr_assert_eq(mime_count(mime), 1);
    assert_body(mime, 0, "");
}

Test(mime, cuts_parts_at_their_boundary)
{
    g_autoptr(Mime) mime = cut("Content-Type: Multipart/Mixed; boundary=\"a b\"\n\npreamble\n"
                               "--a b\n\none\n\n--a b  \nContent-Type: text/html\n\ntwo\n--a b--\n"
                               "epilogue\n--a b\n\nthree");
    cr_assert_eq(mime_count(mime), 3);
    assert_body(mime, 1, "one\n");
    cr_assert_str_eq(mime_part(mime, 2)->type, "text/html");
    assert_body(mime, 2, "two");
    cr_assert_eq(mime_flaws(mime), MIME_WHOLE);
}

Test(mime, takes_no_longer_line_for_a_boundary)
{
    g_autoptr(Mime) mime =
        cut("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--bb\n--b x\n-- b\n--b--\n");
    cr_assert_eq(mime_count(mime), 2);
    assert_body(mime, 1, "--bb\n--b x\n-- b");
}

Test(mime, ends_inner_parts_at_an_outer_boundary)
{
    g_autoptr(Mime) mime =
        cut("Content-Type: multipart/mixed; boundary=o\n\n--o\n"
            "Content-Type: multipart/mixed; boundary=i\n\n--i\n\nin\n--o\n\nout\n"
            "--o--\n");
    cr_assert_eq(mime_count(mime), 4);
    cr_assert_eq(mime_part(mime, 2)->parent, 1);
    assert_body(mime, 2, "in");
    cr_assert_eq(mime_part(mime, 3)->parent, 0);
    assert_body(mime, 3, "out");
}

Test(mime, says_when_the_end_is_missing)
{
    g_autoptr(Mime) mime = cut("Content-Type: multipart/mixed; boundary=b\n\n--b\n\ncut o");
    cr_assert_eq(mime_flaws(mime), MIME_NO_END);
    assert_body(mime, 1, "cut o");
}

Test(mime, says_when_a_multipart_has_no_boundary)
{
    g_autoptr(Mime) mime = cut("Content-Type: multipart/mixed\n\n--b\n\nx\n");
    cr_assert_eq(mime_flaws(mime), MIME_NO_BOUNDARY);
    cr_assert_eq(mime_count(mime), 1);
}

Test(mime, opens_attached_messages)
{
    g_autoptr(Mime) mime = cut("Content-Type: message/rfc822\n\nSubject: in\n\nHi\n");
    cr_assert(mime_part(mime, 0)->holds_message);
    int child = mime_child(mime, 0, 0);
    cr_assert_eq(child, 1);
    cr_assert_eq(mime_part(mime, 1)->header.len, strlen("Subject: in"));
    assert_body(mime, 1, "Hi\n");
}

Test(mime, opens_attached_headers)
{
    const char *types[] = {"text/rfc822-headers", "message/rfc822-headers",
                           "message/global-headers", "text/rfc822-header"};
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        g_autofree char *mail = g_strdup_printf("Content-Type: %s\n\n\nSubject: in\n", types[i]);
        g_autoptr(Mime) mime = cut(mail);
        cr_assert_eq(mime_part(mime, 1)->header.len, strlen("Subject: in"), "%s", types[i]);
    }
}

Test(mime, opens_attached_messages_that_are_encoded)
{
    /* "Subject: in\n\nHi\n" */
    g_autoptr(Mime) mime = cut("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
                               "U3ViamVjdDogaW4KCkhpCg==\n");
    cr_assert_eq(mime_count(mime), 2);
    cr_assert_eq(mime_part(mime, 1)->parent, 0);
    assert_body(mime, 1, "Hi\n");
}

Test(mime, gives_a_digest_messages_by_default)
{
    g_autoptr(Mime) mime =
        cut("Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: in\n\nHi\n--b--\n");
    cr_assert_str_eq(mime_part(mime, 1)->type, "message/rfc822");
}

Test(mime, decodes_transfer_encodings)
{
    g_autoptr(Mime) base64 = cut("Content-Transfer-Encoding: BASE64\n\nSGVsbG8=\n");
    g_autoptr(Mime) quoted = cut("Content-Transfer-Encoding: quoted-printable\n\nH=65llo=\n!\n");
    g_autoptr(Mime) unknown = cut("Content-Transfer-Encoding: x-rot13\n\nUryyb\n");
    assert_body(base64, 0, "Hello");
    assert_body(quoted, 0, "Hello!\n");
    assert_body(unknown, 0, "Uryyb\n");
}

Test(mime, turns_known_character_sets_into_utf8)
{
    g_autoptr(Mime) latin = cut("Content-Type: text/plain; charset=ISO-8859-1\n\ncaf\xe9");
    g_autoptr(Mime) japanese =
        cut("Content-Type: text/plain; charset=\"iso-2022-jp\"\n\n\x1b$B$\"\x1b(B");
    assert_body(latin, 0, "caf\xc3\xa9");
    assert_body(japanese, 0, "\xe3\x81\x82");
}

Test(mime, keeps_the_bytes_of_other_character_sets)
{
    const char *names[] = {"x-unknown", "../../etc/passwd", "ISO-2022-CN-EXT", "utf-8//IGNORE", ""};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *mail =
            g_strdup_printf("Content-Type: text/plain; charset=\"%s\"\n\nplain \xe9", names[i]);
        g_autoptr(Mime) mime = cut(mail);
        assert_body(mime, 0, "plain \xe9");
    }
}

Test(mime, opens_nothing_below_its_deepest_level)
{
    g_autofree char *deepest = nested(MIME_DEPTH_MAX, "\nx");
    g_autofree char *too_deep = nested(MIME_DEPTH_MAX + 1, "\nx");
    g_autofree char *absurd = nested(20000, "\nx");
    g_autoptr(Mime) first = cut(deepest);
    g_autoptr(Mime) second = cut(too_deep);
    g_autoptr(Mime) third = cut(absurd);
    cr_assert_eq(mime_flaws(first) & MIME_TOO_DEEP, 0);
    cr_assert_eq(mime_count(first), MIME_DEPTH_MAX + 1);
    cr_assert(mime_flaws(second) & MIME_TOO_DEEP);
    cr_assert(mime_flaws(third) & MIME_TOO_DEEP);
    cr_assert_leq(mime_count(third), MIME_DEPTH_MAX + 1);
}

Test(mime, stops_at_its_last_part)
{
    g_autoptr(GString) mail = g_string_new("Content-Type: multipart/mixed; boundary=b\n\n");
    for (guint i = 0; i < MIME_PARTS_MAX - 1; i++)
        g_string_append(mail, "--b\n\nx\n");
    g_autoptr(Mime) full = cut(mail->str);
    g_string_append(mail, "--b\n\nx\n");
    g_autoptr(Mime) over = cut(mail->str);
    cr_assert_eq(mime_count(full), MIME_PARTS_MAX);
    cr_assert_eq(mime_flaws(full) & MIME_TOO_MANY_PARTS, 0);
    cr_assert_eq(mime_count(over), MIME_PARTS_MAX);
    cr_assert(mime_flaws(over) & MIME_TOO_MANY_PARTS);
}

Test(mime, cuts_a_header_that_is_too_long)
{
    g_autofree char *filler = g_strnfill(MIME_HEADER_MAX, 'x');
    g_autofree char *mail = g_strdup_printf("A: %s\nB: 1\n\nbody", filler);
    g_autoptr(Mime) mime = cut(mail);
    cr_assert_eq(mime_part(mime, 0)->header.len, MIME_HEADER_MAX);
    cr_assert_eq(mime_flaws(mime), MIME_HEADER_TOO_LONG);
    assert_body(mime, 0, "body");
}

Test(mime, limits_what_it_decodes)
{
    g_autoptr(Mime) mime = cut("\n0123456789");
    g_autoptr(GString) body = mime_decode(mime_part(mime, 0), 4);
    cr_assert_str_eq(body->str, "0123");
}

Test(mime, reads_parameters)
{
    g_autoptr(Mime) mime =
        cut("Content-Type: multipart/report; report-type=feedback-report;\n boundary=b\n\n");
    g_autofree char *type = mime_parameter(mime_part(mime, 0), "report-type");
    g_autofree char *none = mime_parameter(mime_part(mime, 0), "charset");
    cr_assert_str_eq(type, "feedback-report");
    cr_assert_null(none);
}

Test(mime, reads_the_dates_that_mail_writes)
{
    static const struct {
        const char *text;
        gint64 utc_s;
    } dates[] = {
        {"Thu, 8 Mar 2005 14:00:00 EDT", 1110304800},
        {" 8 Oct 2011 20:15:58 +0000 (GMT)", 1318104958},
        {"Wed, 14 Apr 2010 12:15:31 -0700 (PDT)", 1271272531},
        {"Thu, 05 Mar 2026 12:00:00 +0100", 1772708400},
        {"2026-03-05T11:00:00Z", 1772708400},
        {"Thu Mar  5 11:00:00 2026", 1772708400},
    };
    gint64 ns = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(dates); i++) {
        cr_assert(mime_date(text(dates[i].text, strlen(dates[i].text)), &ns), "%s", dates[i].text);
        cr_assert_eq(ns / 1000000000, dates[i].utc_s, "%s", dates[i].text);
    }
}

Test(mime, refuses_what_is_no_date)
{
    const char *refused[] = {"", "yesterday", "Thu, 1 Jan 1950 00:00:00 +0000",
                             "Thu, 1 Jan 9999 00:00:00 +0000", "0"};
    gint64 ns = 5;
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++)
        cr_assert_not(mime_date(text(refused[i], strlen(refused[i])), &ns), "%s", refused[i]);
    cr_assert_eq(ns, 5);
}

Test(mime, decodes_encoded_words)
{
    const char *subject = "=?utf-8?Q?complaint_=C3=A9?=\n =?iso-8859-1?B?6Q==?=";
    g_autoptr(Mime) mime = cut(subject);
    cr_assert_eq(mime_count(mime), 1);
    g_autofree char *decoded = mime_decode_words(text(subject, strlen(subject)), 100);
    cr_assert_str_eq(decoded, "complaint \xc3\xa9\xc3\xa9");
}
