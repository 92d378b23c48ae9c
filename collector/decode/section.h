/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Packets inside records: some routers (inline monitoring, packet sampling) export the first bytes
 * of a packet instead of fields made of it. The flow is then read from the packet's own headers.
 * Ethernet with VLAN tags, MPLS labels and PPPoE, IPv4, IPv6 with extension headers; TCP, UDP,
 * ICMP. What is cut off is left out. Thread: any. Source: RFC 7133 (315), RFC 5477 (313).
 */
#include "cursor.h"
#include "record.h"

typedef enum {
    SECTION_NONE,
    SECTION_FRAME, /* from the Ethernet header on: 315, and NetFlow v9's 104 */
    SECTION_IP     /* from the IP header on: 313 */
} Section;

/* What element @id of IANA holds. */
Section section_of(guint16 id);

/* Fills what @record's flow does not say: addresses, ports, protocol, TCP flags, ICMP, VLAN, and
 * one packet of so many bytes. A record with addresses is left alone. */
void section_fill(Section section, const guint8 *bytes, gsize len, Record *record);
