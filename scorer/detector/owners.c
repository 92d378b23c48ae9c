/* SPDX-License-Identifier: Apache-2.0 */
#include "owners.h"

#include <string.h>

typedef struct {
    PstPrefix net;
    guint64 owner;
} Row;

struct Owners {
    GHashTable *rows;   /* PstPrefix* (of the row) → Row* */
    guint lengths[129]; /* how many nets of this length there are, of either family */
};

Owners *owners_new(void)
{
    Owners *owners = g_new0(Owners, 1);
    owners->rows = g_hash_table_new_full(pst_prefix_key_hash, pst_prefix_key_equal, NULL, g_free);
    return owners;
}

void owners_free(Owners *owners)
{
    if (owners == NULL)
        return;
    g_hash_table_unref(owners->rows);
    g_free(owners);
}

void owners_set(Owners *owners, const PstPrefix *net, guint64 owner)
{
    Row *row = g_hash_table_lookup(owners->rows, net);
    if (row != NULL && owner == 0) {
        owners->lengths[net->len]--;
        g_hash_table_remove(owners->rows, net);
    } else if (row != NULL) {
        row->owner = owner;
    } else if (owner != 0) {
        row = g_new0(Row, 1);
        row->net = *net;
        row->owner = owner;
        owners->lengths[net->len]++;
        g_hash_table_insert(owners->rows, &row->net, row);
    }
}

guint64 owners_of(const Owners *owners, const PstUnit *unit)
{
    if (g_hash_table_size(owners->rows) == 0)
        return 0;
    for (guint len = unit->len + 1u; len-- > 0;) {
        if (owners->lengths[len] == 0)
            continue;
        PstPrefix net = pst_prefix_of(&unit->addr, (guint8)len);
        const Row *row = g_hash_table_lookup(owners->rows, &net);
        if (row != NULL)
            return row->owner;
    }
    return 0;
}

static int compare_rows(gconstpointer a, gconstpointer b)
{
    return pst_prefix_compare(a, b);
}

void owners_write(const Owners *owners, Image *image)
{
    g_autoptr(GList) nets = g_list_sort(g_hash_table_get_keys(owners->rows), compare_rows);
    guint64 n = g_hash_table_size(owners->rows);
    image_put(image, &n, sizeof n);
    for (const GList *net = nets; net != NULL; net = net->next)
        image_put(image, g_hash_table_lookup(owners->rows, net->data), sizeof(Row));
}

gboolean owners_read(Owners *owners, PstCursor *from)
{
    guint64 n;
    if (!image_get(from, &n, sizeof n) || pst_cursor_left(from) / sizeof(Row) < n)
        return FALSE;
    for (; n > 0; n--) {
        Row row;
        if (!image_get(from, &row, sizeof row) || row.net.len > 128 || row.owner == 0)
            return FALSE;
        owners_set(owners, &row.net, row.owner);
    }
    return TRUE;
}
