/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The UDP datagram in a captured packet. Thread: any. */
#include "fragments.h"
#include "ip_packet.h"
#include "listener.h"

typedef enum { PACKET_UDP, PACKET_FRAGMENT, PACKET_OTHER } PacketKind;

/* Fills payload, len, truncated, sender and port of @out if the packet is UDP. truncated: the
 * capture holds less of the payload than was on the wire. FRAGMENT: @out_piece is filled instead,
 * of a datagram that is UDP. */
PacketKind packet_read(int link, const guint8 *bytes, gsize len, Datagram *out, Piece *out_piece);

/* The same of a UDP header and payload that were put together; the sender is the caller's. */
PacketKind packet_read_udp(const guint8 *bytes, gsize len, Datagram *out);
