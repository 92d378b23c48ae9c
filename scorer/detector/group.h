/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A neighbourhood: the IPv4 /24 or IPv6 /56 of one customer, judged like a unit (snowshoe: many
 * addresses, each of which stays below what is noticed).
 *
 * A group stands in the unit table under an address of a family of its own, made of network and
 * owner: [0…6] network, [7] its family, [8…15] hash of the customer. Source: docs/detector.md,
 * Neighbourhoods. */
#include "postern/unit.h"

#define GROUP_FAMILY 255

static inline gboolean group_is(const PstUnit *unit)
{
    return unit->addr.family == GROUP_FAMILY;
}

/* The group of @unit's neighbourhood under @owner ≠ 0. FALSE: the unit is as large as one. */
gboolean group_of(const PstUnit *unit, guint64 owner, PstUnit *out);
/* The same from its name. FALSE: it is none. */
gboolean group_net(const PstUnit *net, guint64 owner, PstUnit *out);
/* What people call it: the network and the owner; a unit is itself, owner 0. */
void group_name(const PstUnit *unit, PstUnit *out_net, guint64 *out_owner);
