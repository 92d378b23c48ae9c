/* SPDX-License-Identifier: Apache-2.0 */
#include "postern/unit.h"

enum { NEIGHBOURHOOD_LEN_V4 = 24, NEIGHBOURHOOD_LEN_V6 = 48 };

PstUnit pst_unit_of(const PstAddr *addr, guint8 v6_len)
{
    g_assert(pst_addr_present(addr));
    if (addr->family == PST_AF_INET)
        return (PstPrefix){.addr = *addr, .len = PST_UNIT_LEN_V4};
    g_assert(v6_len >= PST_UNIT_LEN_V6_MIN && v6_len <= PST_UNIT_LEN_V6_DEFAULT);
    return pst_prefix_of(addr, v6_len);
}

PstPrefix pst_neighbourhood_of(const PstAddr *addr)
{
    return pst_prefix_of(addr,
                         addr->family == PST_AF_INET ? NEIGHBOURHOOD_LEN_V4 : NEIGHBOURHOOD_LEN_V6);
}

guint32 pst_partition_of(const PstAddr *addr, guint32 count)
{
    g_assert(pst_addr_present(addr) && count >= 1 && count <= PST_PARTITIONS_MAX);
    PstPrefix neighbourhood = pst_neighbourhood_of(addr);
    /* The high bits of the hash, scaled to the count: as even as the hash, and no division. */
    return (guint32)((pst_addr_hash(&neighbourhood.addr) >> 32) * count >> 32);
}
