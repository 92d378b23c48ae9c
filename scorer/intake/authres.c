/* SPDX-License-Identifier: Apache-2.0 */
#include "authres.h"

#include "fields.h"
#include "received.h"

enum {
    DOMAIN_MAX = 253,
    VALUE_MAX = 8192, /* bytes of one field that are looked at */
};

/* Which property of which method names the domain that passed (RFC 8601 §2.7). */
static const struct {
    const char *method;
    const char *property;
} proofs[] = {
    {"dkim", "header.d"}, {"dkim", "header.i"},     {"spf", "smtp.mailfrom"},
    {"spf", "smtp.mail"}, {"dmarc", "header.from"},
};

void sender_clear(Sender *sender)
{
    g_clear_pointer(&sender->domain, g_free);
    sender->authenticated = FALSE;
}

/* --- domains -------------------------------------------------------------------------------------
 */

static gboolean is_domain_char(char c)
{
    return g_ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || (guchar)c >= 0x80;
}

/* What follows the last '@' of @t, or @t itself if @bare, as far as it is a domain. */
static char *domain_of(Text t, gboolean bare)
{
    gssize at = -1;
    gsize len = 0;
    for (gsize i = 0; i < t.len; i++)
        if (t.at[i] == '@')
            at = (gssize)i;
    if (at < 0 && !bare)
        return NULL;
    Text rest = text_trim(text_after(t, (gsize)(at + 1)));
    while (len < rest.len && is_domain_char(rest.at[len]))
        len++;
    while (len > 0 && rest.at[len - 1] == '.')
        len--;
    return len > 0 && len <= DOMAIN_MAX ? text_clean_lower(text_head(rest, len), DOMAIN_MAX) : NULL;
}

char *authres_domain(Text value)
{
    return domain_of(text_head(value, VALUE_MAX), FALSE);
}

static gboolean is_below(const char *name, const char *parent)
{
    gsize n = strlen(name), p = strlen(parent);
    return n > p && name[n - p - 1] == '.' && strcmp(name + n - p, parent) == 0 &&
           strchr(parent, '.') != NULL;
}

gboolean authres_aligned(const char *a, const char *b)
{
    return strcmp(a, b) == 0 || is_below(a, b) || is_below(b, a);
}

/* --- one field
 * ------------------------------------------------------------------------------------ */

/* The end of the quoted string or comment that begins at @i; the last index if it has none. */
static gsize skip_quoted(Text t, gsize i)
{
    guint depth = 0;
    char open = t.at[i];
    for (; i < t.len; i++) {
        if (t.at[i] == '\\')
            i++;
        else if (open == '(' && t.at[i] == '(')
            depth++;
        else if (open == '(' ? t.at[i] == ')' && --depth == 0 : t.at[i] == '"' && depth++ > 0)
            return i;
    }
    return t.len - 1;
}

static void append_quoted(GString *out, Text quoted)
{
    for (gsize i = 0; i < quoted.len; i++)
        if (!is_domain_char(quoted.at[i]) && quoted.at[i] != '@')
            return;
    g_string_append_len(out, quoted.at, (gssize)quoted.len);
}

/* @value with single spaces and without comments. Of quoted strings only plain names stay: a quoted
 * local part in smtp.mailfrom is the sender's own text and could say "; dkim=pass". Given. */
static char *without_comments(Text value)
{
    value = text_head(value, VALUE_MAX);
    GString *out = g_string_sized_new(value.len + 1);
    for (gsize i = 0; i < value.len; i++) {
        char c = value.at[i];
        if (c != '(' && c != '"') {
            g_string_append_c(out, text_is_space(c) ? ' ' : c);
            continue;
        }
        gsize end = skip_quoted(value, i);
        if (c == '"' && end > i)
            append_quoted(out, text(value.at + i + 1, end - i - 1));
        i = end;
    }
    return g_string_free(out, FALSE);
}

/* The domain that "dkim=pass header.d=example.org …" proves, or NULL. */
static char *proven_domain(Text result, const char *method, const char *property)
{
    Text word;
    gboolean pass = FALSE;
    for (gboolean first = TRUE; text_next_token(&result, ' ', &word);) {
        Text name, value = word;
        if (word.len == 0 || !text_next_token(&value, '=', &name))
            continue;
        if (first && !(text_equal(name, method) && text_equal(value, "pass")))
            return NULL;
        pass = pass || first;
        first = FALSE;
        if (pass && text_equal(name, property))
            return domain_of(value, TRUE);
    }
    return NULL;
}

/* Takes over the domain of @result if it is aligned with @from. */
static void weigh(Text result, const char *from, Sender *sender)
{
    for (gsize i = 0; i < G_N_ELEMENTS(proofs); i++) {
        g_autofree char *domain = proven_domain(result, proofs[i].method, proofs[i].property);
        if (domain == NULL || !authres_aligned(domain, from))
            continue;
        gboolean exact = strcmp(domain, from) == 0;
        if (sender->authenticated && !exact)
            continue;
        g_free(sender->domain);
        sender->domain = g_steal_pointer(&domain);
        sender->authenticated = TRUE;
    }
}

static gboolean is_ours(Text id, char *const *authserv_ids)
{
    for (; authserv_ids != NULL && *authserv_ids != NULL; authserv_ids++)
        if (text_equal(id, *authserv_ids))
            return TRUE;
    return FALSE;
}

static void read_results(Text value, char *const *authserv_ids, const char *from, Sender *sender)
{
    g_autofree char *clean = without_comments(value);
    Text rest = text(clean, strlen(clean)), result, id;
    if (!text_next_token(&rest, ';', &result))
        return;
    result = text_trim(result);
    /* "example.org 1": a version may follow the id. */
    if (!text_next_token(&result, ' ', &id) || !is_ours(id, authserv_ids))
        return;
    while (text_next_token(&rest, ';', &result))
        weigh(text_trim(result), from, sender);
}

static gboolean is_stranger(Text received, const PstPrefixMap *networks)
{
    Hop hop = received_hop(received);
    return received_is_public(&hop.addr) &&
           (networks == NULL || !pst_prefix_map_find(networks, &hop.addr, NULL, NULL));
}

Sender authres_sender(Text header, char *const *authserv_ids, const PstPrefixMap *networks)
{
    g_autofree char *from = authres_domain(fields_value(header, "From"));
    Sender sender = {.domain = g_strdup(from)};
    Field field;
    guint strangers = 0;
    while (from != NULL && fields_next(&header, &field) && strangers < 2) {
        if (text_equal(field.name, "Received"))
            strangers += is_stranger(field.value, networks);
        else if (text_equal(field.name, "Authentication-Results"))
            read_results(field.value, authserv_ids, from, &sender);
    }
    return sender;
}
