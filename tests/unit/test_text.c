/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "fields.h"
#include "text.h"

static Text of(const char *s)
{
    return text(s, strlen(s));
}

static void assert_text(Text t, const char *expected)
{
    cr_assert(text_present(t), "missing: %s", expected);
    cr_assert_eq(t.len, strlen(expected), "%.*s", (int)t.len, t.at);
    cr_assert_eq(memcmp(t.at, expected, t.len), 0, "%.*s", (int)t.len, t.at);
}

static void assert_clean(const char *bytes, gsize len, gsize max, const char *expected)
{
    g_autofree char *clean = text_clean(text(bytes, len), max);
    cr_assert_str_eq(clean, expected);
}

Test(text, cuts_lines_with_either_end)
{
    Text rest = of("a\r\nb\n\nc"), line;
    const char *expected[] = {"a", "b", "", "c"};
    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        cr_assert(text_next_line(&rest, &line));
        assert_text(line, expected[i]);
    }
    cr_assert_not(text_next_line(&rest, &line));
}

Test(text, reads_numbers_up_to_their_limit)
{
    guint32 n = 7;
    cr_assert(text_number(of(" 65535 "), 65535, &n));
    cr_assert_eq(n, 65535);
    const char *refused[] = {"65536", "", " ", "-1", "1x", "4294967296", "99999999999"};
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++)
        cr_assert_not(text_number(of(refused[i]), 65535, &n), "%s", refused[i]);
    cr_assert_eq(n, 65535);
}

Test(text, cleans_what_may_not_travel)
{
    assert_clean("a\0b", 3, 10,
                 "a\xef\xbf\xbd"
                 "b");
    assert_clean(" a \r\n\t b \x1b[0m ", 14, 20, "a b [0m");
    assert_clean("\xff\xfe", 2, 20, "\xef\xbf\xbd\xef\xbf\xbd");
    assert_clean("a\xe2\x80\xae"
                 "b",
                 5, 20, "a b"); /* right-to-left override */
    cr_assert_null(text_clean(of(" \t\n"), 10));
    cr_assert_null(text_clean(TEXT_NONE, 10));
}

Test(text, cuts_between_characters)
{
    assert_clean("ab", 2, 1, "a");
    assert_clean("a\xc3\xa9", 3, 2, "a");
    assert_clean("a\xc3\xa9", 3, 3, "a\xc3\xa9");
    assert_clean("a b", 3, 2, "a"); /* no blank at the end */
}

Test(fields, are_found_whatever_their_case)
{
    assert_text(fields_value(of("A: 1\nb: 2\nB: 3\n"), "B"), " 2");
    cr_assert_not(text_present(fields_value(of("A: 1\n"), "B")));
}

Test(fields, keep_their_folded_lines)
{
    Text rest = of("A: 1\n 2\r\n\t3\nB: 4");
    Field field;
    cr_assert(fields_next(&rest, &field));
    assert_text(field.value, " 1\n 2\r\n\t3");
    cr_assert(fields_next(&rest, &field));
    assert_text(field.name, "B");
    cr_assert_not(fields_next(&rest, &field));
}

Test(fields, pass_over_what_is_no_field)
{
    const char *block = "From me Mon Mar  5\n folded: but of nothing\nno colon\n\nna me: x\n: y\n"
                        "Source-IP : 192.0.2.1\n";
    Text rest = of(block);
    Field field;
    cr_assert(fields_next(&rest, &field));
    assert_text(field.name, "Source-IP");
    assert_text(field.value, " 192.0.2.1");
}
