/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

/* A sorted array of prefixes with a number each: longest first, then by address. */
typedef struct {
    PstPrefix prefix;
    double value;
} Row;

struct Rules {
    guint8 default_v6_len;
    GArray *lengths;    /* Row: IPv6 prefix → unit length */
    GArray *exemptions; /* Row: net → ceiling */
};

Rules *rules_new(guint8 default_v6_len)
{
    Rules *rules = g_new0(Rules, 1);
    rules->default_v6_len = default_v6_len;
    rules->lengths = g_array_new(FALSE, TRUE, sizeof(Row));
    rules->exemptions = g_array_new(FALSE, TRUE, sizeof(Row));
    return rules;
}

void rules_free(Rules *rules)
{
    if (rules == NULL)
        return;
    g_array_unref(rules->lengths);
    g_array_unref(rules->exemptions);
    g_free(rules);
}

static int compare(const PstPrefix *a, const PstPrefix *b)
{
    return a->len != b->len ? (a->len > b->len ? -1 : 1) : pst_addr_compare(&a->addr, &b->addr);
}

/* First row not before @prefix. */
static guint lower_bound(const GArray *rows, const PstPrefix *prefix)
{
    guint low = 0, high = rows->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (compare(&g_array_index(rows, Row, middle).prefix, prefix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double find(const GArray *rows, const PstPrefix *prefix)
{
    guint at = lower_bound(rows, prefix);
    return at < rows->len && pst_prefix_equal(&g_array_index(rows, Row, at).prefix, prefix)
               ? g_array_index(rows, Row, at).value
               : 0;
}

/* 0 removes. */
static void set(GArray *rows, const PstPrefix *prefix, double value)
{
    guint at = lower_bound(rows, prefix);
    gboolean there = find(rows, prefix) != 0;
    if (value == 0) {
        if (there)
            g_array_remove_index(rows, at);
        return;
    }
    if (!there) {
        Row row;
        memset(&row, 0, sizeof row);
        row.prefix = *prefix;
        g_array_insert_val(rows, at, row);
    }
    g_array_index(rows, Row, at).value = value;
}

/* The value of the longest prefix of at most @max_len bits that holds @addr; 0: none does. */
static double find_longest(const GArray *rows, const PstAddr *addr, guint8 max_len)
{
    guint at = 0;
    while (at < rows->len) {
        guint8 len = g_array_index(rows, Row, at).prefix.len;
        if (len <= max_len) {
            PstPrefix prefix = pst_prefix_of(addr, len);
            double found = find(rows, &prefix);
            if (found != 0)
                return found;
        }
        if (len == 0)
            break;
        /* On to the next shorter length: its rows begin where an address above all would stand. */
        PstPrefix after = {.len = len};
        memset(&after.addr, 0xff, sizeof after.addr);
        at = lower_bound(rows, &after);
    }
    return 0;
}

PstUnit rules_unit_of(const Rules *rules, const PstAddr *addr)
{
    double found = addr->family == PST_AF_INET6 ? find_longest(rules->lengths, addr, 128) : 0;
    return pst_unit_of(addr, found != 0 ? (guint8)found : rules->default_v6_len);
}

gboolean rules_set_unit_len(Rules *rules, const PstPrefix *prefix, guint8 unit_len)
{
    if (prefix->addr.family != PST_AF_INET6 || unit_len < PST_UNIT_LEN_V6_MIN ||
        unit_len > PST_UNIT_LEN_V6_DEFAULT)
        return FALSE;
    set(rules->lengths, prefix, unit_len);
    return TRUE;
}

double rules_ceiling(const Rules *rules, const PstUnit *unit)
{
    return find_longest(rules->exemptions, &unit->addr, unit->len);
}

void rules_set_ceiling(Rules *rules, const PstPrefix *net, double ceiling)
{
    set(rules->exemptions, net, MAX(ceiling, 0));
}

static void write_rows(const GArray *rows, Image *image)
{
    image_put(image, &rows->len, sizeof rows->len);
    image_put(image, rows->data, rows->len * sizeof(Row));
}

static gboolean read_rows(GArray *rows, PstCursor *from)
{
    guint n;
    if (!image_get(from, &n, sizeof n) || pst_cursor_left(from) / sizeof(Row) < n)
        return FALSE;
    g_array_set_size(rows, n);
    return n == 0 || image_get(from, rows->data, n * sizeof(Row));
}

void rules_write(const Rules *rules, Image *image)
{
    write_rows(rules->lengths, image);
    write_rows(rules->exemptions, image);
}

gboolean rules_read(Rules *rules, PstCursor *from)
{
    return read_rows(rules->lengths, from) && read_rows(rules->exemptions, from);
}
