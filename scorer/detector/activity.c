/* SPDX-License-Identifier: Apache-2.0 */
#include "activity.h"

#include "clock.h"

#define BUCKET_S 300

struct Activity {
    GArray *rows;   /* PstActivity */
    guint32 *index; /* row + 1; 0 = empty; open addressing, at most 3/4 full */
    guint32 mask;
};

Activity *activity_new(void)
{
    Activity *activity = g_new0(Activity, 1);
    activity->rows = g_array_new(FALSE, TRUE, sizeof(PstActivity));
    activity->mask = 1023;
    activity->index = g_new0(guint32, (gsize)activity->mask + 1);
    return activity;
}

void activity_free(Activity *activity)
{
    if (activity == NULL)
        return;
    g_array_unref(activity->rows);
    g_free(activity->index);
    g_free(activity);
}

static guint32 place_of(guint64 hash, gint64 bucket_s)
{
    return (guint32)((hash ^ (guint64)bucket_s) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) >> 32);
}

/* Places need the unit's hash, which rows do not keep: the index grows by starting over empty.
 * Rows of before are then found no more and a second row may arise for the same bucket; take adds
 * such rows together. */
static void grow(Activity *activity)
{
    g_free(activity->index);
    activity->mask = 4 * activity->mask + 3;
    activity->index = g_new0(guint32, (gsize)activity->mask + 1);
}

PstActivity *activity_row(Activity *activity, const PstUnit *unit, guint64 hash, gint64 event_ns)
{
    gint64 second = event_ns / PST_NS_PER_S;
    gint64 bucket_s = second - second % BUCKET_S;
    if (activity->rows->len >= activity->mask / 4 * 3)
        grow(activity);
    guint32 at = place_of(hash, bucket_s) & activity->mask;
    for (; activity->index[at] != 0; at = (at + 1) & activity->mask) {
        PstActivity *row = &g_array_index(activity->rows, PstActivity, activity->index[at] - 1);
        if (row->bucket_s == bucket_s && pst_prefix_equal(&row->unit, unit))
            return row;
    }
    g_array_set_size(activity->rows, activity->rows->len + 1);
    activity->index[at] = activity->rows->len;
    PstActivity *row = &g_array_index(activity->rows, PstActivity, activity->rows->len - 1);
    row->unit = *unit;
    row->bucket_s = bucket_s;
    return row;
}

guint32 activity_port_bit(guint16 port)
{
    static const guint16 ports[] = {25, 465, 587, 2525};
    for (guint i = 0; i < G_N_ELEMENTS(ports); i++)
        if (ports[i] == port)
            return 1u << i;
    return 1u << G_N_ELEMENTS(ports);
}

gsize activity_rows(const Activity *activity)
{
    return activity->rows->len;
}

static int compare_rows(gconstpointer a, gconstpointer b)
{
    const PstActivity *x = a, *y = b;
    int order = pst_prefix_compare(&x->unit, &y->unit);
    return order != 0 ? order : (x->bucket_s > y->bucket_s) - (x->bucket_s < y->bucket_s);
}

/* A row of IPv4 as a number that orders them: address and bucket. */
typedef struct {
    guint64 order;
    guint32 row;
} Key;

static guint64 order_of(const PstActivity *row)
{
    guint32 addr;
    memcpy(&addr, row->unit.addr.bytes, sizeof addr);
    return (guint64)GUINT32_FROM_BE(addr) << 32 | (guint32)row->bucket_s;
}

/* By bytes, lowest first; those in which no two differ are left out. */
static void sort_keys(Key **io_keys, Key **io_spare, guint n)
{
    for (guint byte = 0; byte < sizeof(guint64); byte++) {
        guint32 from[257] = {0};
        for (guint i = 0; i < n; i++)
            from[((*io_keys)[i].order >> (8 * byte) & 0xff) + 1]++;
        if (n == 0 || from[((*io_keys)[0].order >> (8 * byte) & 0xff) + 1] == n)
            continue;
        for (guint i = 1; i < 256; i++)
            from[i] += from[i - 1];
        for (guint i = 0; i < n; i++)
            (*io_spare)[from[(*io_keys)[i].order >> (8 * byte) & 0xff]++] = (*io_keys)[i];
        Key *sorted = *io_spare;
        *io_spare = *io_keys;
        *io_keys = sorted;
    }
}

/* The rows in order: IPv4 first, as their family is. */
static GArray *sort_rows(const GArray *rows)
{
    GArray *sorted = g_array_sized_new(FALSE, TRUE, sizeof(PstActivity), rows->len);
    g_autofree Key *keys = g_new(Key, rows->len), *spare = g_new(Key, rows->len);
    g_autoptr(GArray) others = g_array_new(FALSE, FALSE, sizeof(PstActivity));
    guint n = 0;
    for (guint i = 0; i < rows->len; i++) {
        const PstActivity *row = &g_array_index(rows, PstActivity, i);
        if (row->unit.addr.family == PST_AF_INET && row->unit.len == PST_UNIT_LEN_V4)
            keys[n++] = (Key){order_of(row), i};
        else
            g_array_append_vals(others, row, 1);
    }
    sort_keys(&keys, &spare, n);
    for (guint i = 0; i < n; i++)
        g_array_append_vals(sorted, &g_array_index(rows, PstActivity, keys[i].row), 1);
    g_array_sort(others, compare_rows);
    g_array_append_vals(sorted, others->data, others->len);
    return sorted;
}

static void add(PstActivity *to, const PstActivity *row)
{
    to->sessions += row->sessions;
    to->destinations += row->destinations;
    to->bytes += row->bytes;
    to->packets += row->packets;
    to->failed += row->failed;
    to->ports |= row->ports;
}

GArray *activity_take(Activity *activity)
{
    GArray *rows = sort_rows(activity->rows);
    g_array_set_size(activity->rows, 0);
    memset(activity->index, 0, ((gsize)activity->mask + 1) * sizeof activity->index[0]);
    guint kept = 0;
    for (guint i = 0; i < rows->len; i++) {
        PstActivity *row = &g_array_index(rows, PstActivity, i);
        PstActivity *last = kept > 0 ? &g_array_index(rows, PstActivity, kept - 1) : NULL;
        if (last != NULL && compare_rows(last, row) == 0)
            add(last, row);
        else
            g_array_index(rows, PstActivity, kept++) = *row;
    }
    g_array_set_size(rows, kept);
    return rows;
}
