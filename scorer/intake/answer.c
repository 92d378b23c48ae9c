/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include "fields.h"

enum {
    VALUE_MAX = 8192, /* bytes of one field that are looked at */
    CASE_DIGITS_MIN = 6,
    CASE_DIGITS_MAX = 12,
};

static gsize count_hex(Text t)
{
    gsize n = 0;
    while (n < t.len && (g_ascii_isdigit(t.at[n]) || (t.at[n] >= 'a' && t.at[n] <= 'f')))
        n++;
    return n;
}

static gsize count_digits(Text t)
{
    gsize n = 0;
    while (n < t.len && g_ascii_isdigit(t.at[n]))
        n++;
    return n;
}

char *answer_token(Text value)
{
    value = text_head(value, VALUE_MAX);
    for (gsize i = 0; i < value.len; i++) {
        if (value.at[i] != '+' && value.at[i] != '.')
            continue;
        Text rest = text_after(value, i + 1);
        gsize len = count_hex(rest);
        if (len == ANSWER_TOKEN_LEN && rest.len > len && rest.at[len] == '@')
            return g_strndup(rest.at, len);
    }
    return NULL;
}

/* The first secret in any field of this name. */
static char *token_in(Text header, const char *name)
{
    Field field;
    char *token = NULL;
    while (token == NULL && fields_next(&header, &field))
        if (text_equal(field.name, name))
            token = answer_token(field.value);
    return token;
}

static char *token_in_any(Text header, const char *const *names)
{
    char *token = NULL;
    for (; *names != NULL && token == NULL; names++)
        token = token_in(header, *names);
    return token;
}

char *answer_recipient(const Report *report)
{
    static const char *const names[] = {"Delivered-To", "X-Original-To", "Envelope-To", "To", NULL};
    const char *envelope = report->place->recipient;
    char *token = envelope != NULL ? answer_token(text(envelope, strlen(envelope))) : NULL;
    return token != NULL ? token : token_in_any(report_header(report), names);
}

char *answer_reference(const Report *report)
{
    static const char *const names[] = {"In-Reply-To", "References", NULL};
    return token_in_any(report_header(report), names);
}

/* The length of a case number that @t begins with; 0: it does not. */
static gsize case_length(Text t)
{
    enum { YEAR_AT = 4, YEAR_LEN = 4, NUMBER_AT = 9 };
    if (!text_starts(t, "PST-") || count_digits(text_after(t, YEAR_AT)) != YEAR_LEN ||
        t.len <= NUMBER_AT || t.at[NUMBER_AT - 1] != '-')
        return 0;
    gsize digits = count_digits(text_after(t, NUMBER_AT));
    return digits >= CASE_DIGITS_MIN && digits <= CASE_DIGITS_MAX ? NUMBER_AT + digits : 0;
}

char *answer_case(const Report *report)
{
    g_autofree char *subject =
        mime_decode_words(fields_value(report_header(report), "Subject"), PST_EVIDENCE_TEXT_MAX);
    for (const char *p = subject; p != NULL && *p != '\0'; p++) {
        gsize len = case_length(text(p, strlen(p)));
        if (len > 0)
            return g_ascii_strup(p, (gssize)len);
    }
    return NULL;
}

gboolean answer_is_automatic(const Report *report)
{
    static const char *const marks[] = {"X-Autoreply", "X-Autorespond", "X-Autoresponder",
                                        "X-Vacation"};
    static const char *const kinds[] = {"bulk", "junk", "list", "auto_reply", "auto-reply"};
    Text header = report_header(report);
    Text automatic = text_word(fields_value(header, "Auto-Submitted"));
    Text precedence = text_word(fields_value(header, "Precedence"));
    if (automatic.len > 0 && !text_equal(automatic, "no"))
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (text_equal(precedence, kinds[i]))
            return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(marks); i++)
        if (text_present(fields_value(header, marks[i])))
            return TRUE;
    return text_equal(text_trim(fields_value(header, "Return-Path")), "<>");
}
