/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Units and partitions: what is judged, and who judges it.
 *
 * A unit is an IPv4 address, or the customer's IPv6 prefix (/64 unless the assignment says
 * otherwise, up to /48). A partition of the bus holds whole neighbourhoods: the IPv4 /24 or IPv6
 * /48 of the customer's address decides, so one scorer sees all of one unit and of its neighbours,
 * from every exporter, in both directions.
 */
#include "postern/addr.h"

#define PST_UNIT_LEN_V4         32
#define PST_UNIT_LEN_V6_DEFAULT 64
#define PST_UNIT_LEN_V6_MIN     48
#define PST_PARTITIONS_MAX      4096
#define PST_PARTITIONS_DEFAULT  8

typedef PstPrefix PstUnit;

/* The unit that holds @addr; @v6_len 48…64 is used for IPv6 only. */
PstUnit pst_unit_of(const PstAddr *addr, guint8 v6_len);

/* The neighbourhood of @addr: its /24 or /48. */
PstPrefix pst_neighbourhood_of(const PstAddr *addr);

/* The partition of the neighbourhood of @addr, 0 … count−1. The same on every machine, in every
 * version: changing it is a described procedure (docs/scaling.md). @count 1 … PST_PARTITIONS_MAX.
 */
guint32 pst_partition_of(const PstAddr *addr, guint32 count);

/* Names of the topics of the bus. */
#define PST_TOPIC_SMTP     "postern.smtp"     /* flows with a mail port, and heartbeats */
#define PST_TOPIC_FLOWS    "postern.flows"    /* every flow, if publish = all */
#define PST_TOPIC_EVIDENCE "postern.evidence" /* complaints */
