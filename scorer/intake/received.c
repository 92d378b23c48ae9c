/* SPDX-License-Identifier: Apache-2.0 */
#include "received.h"

#include "fields.h"
#include "mime.h"

enum {
    HOPS_MAX = 100, /* RFC 5321 §6.3: more is a loop */
};

/* Reads a field word by word; a word is a name, an address or a keyword. */
typedef struct {
    Text rest;
    guint depth;      /* of comments */
    gboolean literal; /* the word stands just after a '[' */
    Text word;
    Text previous;
} Words;

static gboolean is_word_char(char c)
{
    return g_ascii_isalnum(c) || c == '.' || c == ':' || c == '-' || c == '_';
}

static gboolean words_next(Words *words)
{
    Text *rest = &words->rest;
    gsize len = 0;
    words->literal = FALSE;
    for (; rest->len > 0 && !is_word_char(rest->at[0]); *rest = text_after(*rest, 1)) {
        char c = rest->at[0];
        words->literal = c == '[';
        if (c == '(')
            words->depth++;
        else if (c == ')' && words->depth > 0)
            words->depth--;
    }
    while (len < rest->len && is_word_char(rest->at[len]))
        len++;
    words->previous = words->word;
    words->word = text_head(*rest, len);
    *rest = text_after(*rest, len);
    return len > 0;
}

/* "192.0.2.1", "192.0.2.1:25", "2001:db8::1", "IPv6:2001:db8::1"; a full stop may follow. */
static gboolean read_hop(Text word, Hop *out)
{
    Hop hop = {.port = 0};
    guint32 port = 0;
    if (text_starts(word, "IPv6:"))
        word = text_after(word, 5);
    if (text_ends(word, "."))
        word.len--;
    gssize colon = text_find_char(word, ':');
    if (!pst_addr_parse(word.at, word.len, &hop.addr)) {
        if (colon < 0 || !text_number(text_after(word, (gsize)colon + 1), 65535, &port) ||
            !pst_addr_parse(word.at, (gsize)colon, &hop.addr))
            return FALSE;
        hop.port = (guint16)port;
    }
    *out = hop;
    return TRUE;
}

gboolean received_address(Text value, PstAddr *out)
{
    Words words = {.rest = value};
    Hop hop;
    while (words_next(&words))
        if (words.depth == 0 && read_hop(words.word, &hop)) {
            *out = hop.addr;
            return TRUE;
        }
    return FALSE;
}

/* What follows is what the client said of itself: "helo=192.0.2.1", "(HELO 192.0.2.1)". */
static gboolean announces_claim(Text word)
{
    return text_equal(word, "helo") || text_equal(word, "ehlo") || text_equal(word, "lhlo") ||
           text_equal(word, "ident");
}

Hop received_hop(Text value)
{
    enum { NOTHING, CLAIMED, SEEN, SEEN_IN_BRACKETS } best = NOTHING, rank;
    Words words = {.rest = value};
    Hop best_hop = {.port = 0}, hop;
    if (!words_next(&words) || !text_equal(words.word, "from"))
        return best_hop;
    while (words_next(&words) && !(words.depth == 0 && text_equal(words.word, "by"))) {
        rank = words.depth == 0 ? CLAIMED : words.literal ? SEEN_IN_BRACKETS : SEEN;
        if (rank > best && !announces_claim(words.previous) && read_hop(words.word, &hop)) {
            best = rank;
            best_hop = hop;
        }
    }
    return best_hop;
}

gboolean received_is_public(const PstAddr *addr)
{
    static const char *const local[] = {
        "0.0.0.0/8",      "10.0.0.0/8",    "100.64.0.0/10",  "127.0.0.0/8",
        "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
        "::/127",         "fc00::/7",      "fe80::/10",      "ff00::/8",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(local); i++) {
        PstPrefix prefix;
        gboolean valid = pst_prefix_parse(local[i], strlen(local[i]), TRUE, &prefix);
        g_assert(valid);
        if (pst_prefix_contains(&prefix, addr))
            return FALSE;
    }
    return pst_addr_present(addr);
}

/* Cuts the next Received field off @header. */
static gboolean next_received(Text *header, guint *hops, Text *out_value)
{
    Field field;
    while (fields_next(header, &field))
        if (text_equal(field.name, "Received")) {
            *out_value = field.value;
            return (*hops)++ < HOPS_MAX;
        }
    return FALSE;
}

gboolean received_find(Text header, const PstPrefixMap *networks, Hop *out)
{
    Text value;
    for (guint hops = 0; next_received(&header, &hops, &value);) {
        Hop hop = received_hop(value);
        if (pst_addr_present(&hop.addr) &&
            (networks != NULL ? pst_prefix_map_find(networks, &hop.addr, NULL, NULL)
                              : received_is_public(&hop.addr))) {
            *out = hop;
            return TRUE;
        }
    }
    return FALSE;
}

gboolean received_date(Text header, gint64 *out_ns)
{
    Text value;
    for (guint hops = 0; next_received(&header, &hops, &value);) {
        Text date = TEXT_NONE, piece;
        while (text_next_token(&value, ';', &piece))
            date = piece;
        if (mime_date(date, out_ns))
            return TRUE;
    }
    return FALSE;
}
