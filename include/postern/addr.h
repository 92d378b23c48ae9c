/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* IP addresses and prefixes as values.
 *
 * One spelling per address: an IPv4-mapped IPv6 address (::ffff:a.b.c.d) is folded to IPv4 by
 * every constructor, so two addresses are equal exactly when their bytes are.
 * Thread: any; all functions are pure.
 */
#include <glib.h>
#include <string.h>

typedef enum { PST_AF_NONE = 0, PST_AF_INET = 4, PST_AF_INET6 = 6 } PstFamily;

/* An address. IPv4 stands in bytes[0..3], the rest is zero. family NONE: not present. */
typedef struct {
    guint8 bytes[16];
    guint8 family; /* PstFamily */
} PstAddr;

/* A prefix in canonical form: host bits are zero. len 0…32 or 0…128. */
typedef struct {
    PstAddr addr;
    guint8 len;
} PstPrefix;

#define PST_ADDR_TEXT_MAX   46 /* longest text of an address, with the final NUL */
#define PST_PREFIX_TEXT_MAX 50

PstAddr pst_addr_v4(guint32 host_order);
PstAddr pst_addr_v4_bytes(const guint8 bytes[4]);
/* Folds ::ffff:a.b.c.d to IPv4. */
PstAddr pst_addr_v6_bytes(const guint8 bytes[16]);

/* Reads dotted or colon text without port, zone or prefix. Returns FALSE and leaves @out alone if
 * it is none. @len bytes of @text, no NUL needed. */
gboolean pst_addr_parse(const char *text, gsize len, PstAddr *out) G_GNUC_WARN_UNUSED_RESULT;

/* Writes RFC 5952 text with NUL into @out; returns @out. family NONE gives "". */
char *pst_addr_format(const PstAddr *addr, char out[PST_ADDR_TEXT_MAX]);

static inline gboolean pst_addr_present(const PstAddr *a)
{
    return a->family != PST_AF_NONE;
}

/* Order: family, then bytes. */
int pst_addr_compare(const PstAddr *a, const PstAddr *b);
static inline gboolean pst_addr_equal(const PstAddr *a, const PstAddr *b)
{
    guint64 x[2], y[2];
    memcpy(x, a->bytes, sizeof x);
    memcpy(y, b->bytes, sizeof y);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (guint64)(a->family ^ b->family)) == 0;
}
/* A 64-bit hash of good quality that is the same on every machine and in every run: it decides
 * partitions and samples (never a hash table fed by strangers: use pst_addr_hash_keyed). */
guint64 pst_addr_hash(const PstAddr *addr);
/* The same keyed: SipHash-2-4 of the 17 bytes under @key. */
guint64 pst_addr_hash_keyed(const PstAddr *addr, const guint64 key[2]);

/* The prefix of length @len that holds @addr; host bits are cleared. Asserts len ≤ 32 or 128. */
PstPrefix pst_prefix_of(const PstAddr *addr, guint8 len);
/* "192.0.2.0/24", "2001:db8::/32"; without "/len" it is a host. Host bits set: FALSE unless
 * @strict is FALSE, then they are cleared. */
gboolean pst_prefix_parse(const char *text, gsize len, gboolean strict, PstPrefix *out)
    G_GNUC_WARN_UNUSED_RESULT;
/* Hosts are written without "/32" or "/128". */
char *pst_prefix_format(const PstPrefix *prefix, char out[PST_PREFIX_TEXT_MAX]);
gboolean pst_prefix_contains(const PstPrefix *prefix, const PstAddr *addr);
static inline gboolean pst_prefix_equal(const PstPrefix *a, const PstPrefix *b)
{
    return a->len == b->len && pst_addr_equal(&a->addr, &b->addr);
}
/* Order: address, then length. */
int pst_prefix_compare(const PstPrefix *a, const PstPrefix *b);
/* For a GHashTable whose keys are PstPrefix; of our own networks and units, as the hash has no key
 * of its own. */
guint pst_prefix_key_hash(gconstpointer prefix);
gboolean pst_prefix_key_equal(gconstpointer a, gconstpointer b);
