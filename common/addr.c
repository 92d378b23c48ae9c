/* SPDX-License-Identifier: Apache-2.0 */
#include "postern/addr.h"

#include <arpa/inet.h>
#include <string.h>

static const guint8 mapped[12] = {[10] = 0xff, [11] = 0xff};

PstAddr pst_addr_v4(guint32 host_order)
{
    guint32 be = GUINT32_TO_BE(host_order);
    PstAddr addr = {.family = PST_AF_INET};
    memcpy(addr.bytes, &be, 4);
    return addr;
}

PstAddr pst_addr_v4_bytes(const guint8 bytes[4])
{
    PstAddr addr = {.family = PST_AF_INET};
    memcpy(addr.bytes, bytes, 4);
    return addr;
}

PstAddr pst_addr_v6_bytes(const guint8 bytes[16])
{
    if (memcmp(bytes, mapped, sizeof mapped) == 0)
        return pst_addr_v4_bytes(bytes + sizeof mapped);
    PstAddr addr = {.family = PST_AF_INET6};
    memcpy(addr.bytes, bytes, 16);
    return addr;
}

gboolean pst_addr_parse(const char *text, gsize len, PstAddr *out)
{
    char copy[PST_ADDR_TEXT_MAX];
    if (len == 0 || len >= sizeof copy || memchr(text, '\0', len) != NULL)
        return FALSE;
    memcpy(copy, text, len);
    copy[len] = '\0';

    guint8 bytes[16];
    if (inet_pton(AF_INET, copy, bytes) == 1)
        *out = pst_addr_v4_bytes(bytes);
    else if (inet_pton(AF_INET6, copy, bytes) == 1)
        *out = pst_addr_v6_bytes(bytes);
    else
        return FALSE;
    return TRUE;
}

char *pst_addr_format(const PstAddr *addr, char out[PST_ADDR_TEXT_MAX])
{
    out[0] = '\0';
    if (pst_addr_present(addr)) {
        int family = addr->family == PST_AF_INET ? AF_INET : AF_INET6;
        const char *text = inet_ntop(family, addr->bytes, out, PST_ADDR_TEXT_MAX);
        g_assert(text != NULL);
    }
    return out;
}

int pst_addr_compare(const PstAddr *a, const PstAddr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    int order = memcmp(a->bytes, b->bytes, sizeof a->bytes);
    return (order > 0) - (order < 0);
}

/* The finisher of SplitMix64 (Steele, Lea, Flood 2014; constants: Stafford's "Mix13"). Every bit of
 * the input changes every bit of the output with probability near one half. */
static inline guint64 mix64(guint64 x)
{
    x = (x ^ x >> 30) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline guint64 load_be64(const guint8 *p)
{
    guint64 v;
    memcpy(&v, p, sizeof v);
    return GUINT64_FROM_BE(v);
}

/* hash(family, bytes) = mix(mix(mix(family + γ) ^ bytes[0..7]) ^ bytes[8..15]), big-endian words,
 * γ = 2^64 / golden ratio. Partitions and samples follow from it: it never changes. Test vectors:
 * tests/unit/test_addr.c. */
guint64 pst_addr_hash(const PstAddr *addr)
{
    guint64 h = mix64(addr->family + G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));
    h = mix64(h ^ load_be64(addr->bytes));
    return mix64(h ^ load_be64(addr->bytes + 8));
}

static inline guint64 rotl(guint64 x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(guint64 v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static inline void sip_word(guint64 v[4], guint64 word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

static inline guint64 load_le64(const guint8 *p)
{
    guint64 v;
    memcpy(&v, p, sizeof v);
    return GUINT64_FROM_LE(v);
}

/* SipHash-2-4 (Aumasson, Bernstein 2012) of 17 bytes: the address, then the family. */
guint64 pst_addr_hash_keyed(const PstAddr *addr, const guint64 key[2])
{
    guint64 v[4] = {
        key[0] ^ G_GUINT64_CONSTANT(0x736f6d6570736575),
        key[1] ^ G_GUINT64_CONSTANT(0x646f72616e646f6d),
        key[0] ^ G_GUINT64_CONSTANT(0x6c7967656e657261),
        key[1] ^ G_GUINT64_CONSTANT(0x7465646279746573),
    };
    sip_word(v, load_le64(addr->bytes));
    sip_word(v, load_le64(addr->bytes + 8));
    sip_word(v, (guint64)17 << 56 | addr->family);
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static guint8 family_bits(guint8 family)
{
    return family == PST_AF_INET ? 32 : family == PST_AF_INET6 ? 128 : 0;
}

/* The first @len bits of a word; @len ≤ 64. */
static inline guint64 mask_of(guint len)
{
    return len == 0 ? 0 : G_MAXUINT64 << ((64 - len) & 63);
}

static inline void mask_word(guint8 *word, guint64 mask)
{
    guint64 masked = GUINT64_TO_BE(load_be64(word) & mask);
    memcpy(word, &masked, sizeof masked);
}

PstPrefix pst_prefix_of(const PstAddr *addr, guint8 len)
{
    g_assert(len <= family_bits(addr->family));
    PstPrefix prefix = {.addr = *addr, .len = len};
    mask_word(prefix.addr.bytes, mask_of(MIN(len, 64)));
    mask_word(prefix.addr.bytes + 8, mask_of(MAX(len, 64) - 64));
    return prefix;
}

/* A decimal number 0…128 without sign or leading zero. */
static gboolean parse_len(const char *text, gsize len, guint *out)
{
    if (len == 0 || len > 3 || (text[0] == '0' && len > 1))
        return FALSE;
    guint value = 0;
    for (gsize i = 0; i < len; i++) {
        if (!g_ascii_isdigit(text[i]))
            return FALSE;
        value = value * 10 + (guint)(text[i] - '0');
    }
    *out = value;
    return TRUE;
}

gboolean pst_prefix_parse(const char *text, gsize len, gboolean strict, PstPrefix *out)
{
    const char *slash = memchr(text, '/', len);
    gsize addr_len = slash != NULL ? (gsize)(slash - text) : len;
    PstAddr addr;
    if (!pst_addr_parse(text, addr_len, &addr))
        return FALSE;

    guint bits = family_bits(addr.family);
    if (slash != NULL) {
        guint given;
        if (!parse_len(slash + 1, len - addr_len - 1, &given))
            return FALSE;
        /* ::ffff:192.0.2.0/120 is 192.0.2.0/24 */
        gboolean folded = addr.family == PST_AF_INET && memchr(text, ':', addr_len) != NULL;
        if (folded && given < 96)
            return FALSE;
        given -= folded ? 96 : 0;
        if (given > bits)
            return FALSE;
        bits = given;
    }
    PstPrefix prefix = pst_prefix_of(&addr, (guint8)bits);
    if (strict && !pst_addr_equal(&prefix.addr, &addr))
        return FALSE;
    *out = prefix;
    return TRUE;
}

char *pst_prefix_format(const PstPrefix *prefix, char out[PST_PREFIX_TEXT_MAX])
{
    pst_addr_format(&prefix->addr, out);
    if (pst_addr_present(&prefix->addr) && prefix->len < family_bits(prefix->addr.family)) {
        gsize n = strlen(out);
        g_snprintf(out + n, PST_PREFIX_TEXT_MAX - n, "/%u", prefix->len);
    }
    return out;
}

int pst_prefix_compare(const PstPrefix *a, const PstPrefix *b)
{
    int order = pst_addr_compare(&a->addr, &b->addr);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

guint pst_prefix_key_hash(gconstpointer prefix)
{
    const PstPrefix *p = prefix;
    guint64 hash = pst_addr_hash(&p->addr) + p->len;
    return (guint)(hash ^ hash >> 32);
}

gboolean pst_prefix_key_equal(gconstpointer a, gconstpointer b)
{
    return pst_prefix_equal(a, b);
}

gboolean pst_prefix_contains(const PstPrefix *prefix, const PstAddr *addr)
{
    if (prefix->addr.family != addr->family || !pst_addr_present(addr))
        return FALSE;
    PstPrefix cut = pst_prefix_of(addr, prefix->len);
    return pst_addr_equal(&cut.addr, &prefix->addr);
}
