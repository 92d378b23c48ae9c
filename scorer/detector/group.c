/* SPDX-License-Identifier: Apache-2.0 */
#include "group.h"

#include <string.h>

enum { LEN_V4 = 24, LEN_V6 = 56, NET_BYTES = 7, OWNER = 8 };

static guint8 group_len(const PstUnit *unit)
{
    return unit->addr.family == PST_AF_INET ? LEN_V4 : LEN_V6;
}

gboolean group_net(const PstUnit *net, guint64 owner, PstUnit *out)
{
    if (net->len != group_len(net) || owner == 0)
        return FALSE;
    PstPrefix named = *net;
    memset(out, 0, sizeof *out);
    memcpy(out->addr.bytes, named.addr.bytes, NET_BYTES);
    out->addr.bytes[NET_BYTES] = named.addr.family;
    for (guint i = 0; i < sizeof owner; i++)
        out->addr.bytes[OWNER + i] = (guint8)(owner >> (8 * i));
    out->addr.family = GROUP_FAMILY;
    out->len = named.len;
    return TRUE;
}

gboolean group_of(const PstUnit *unit, guint64 owner, PstUnit *out)
{
    guint8 len = group_len(unit);
    PstPrefix net = pst_prefix_of(&unit->addr, len);
    return unit->len > len && group_net(&net, owner, out);
}

void group_name(const PstUnit *unit, PstUnit *out_net, guint64 *out_owner)
{
    *out_net = *unit;
    *out_owner = 0;
    if (!group_is(unit))
        return;
    memset(&out_net->addr, 0, sizeof out_net->addr);
    memcpy(out_net->addr.bytes, unit->addr.bytes, NET_BYTES);
    out_net->addr.family = unit->addr.bytes[NET_BYTES];
    for (guint i = 0; i < sizeof *out_owner; i++)
        *out_owner |= (guint64)unit->addr.bytes[OWNER + i] << (8 * i);
}
