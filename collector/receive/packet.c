/* SPDX-License-Identifier: Apache-2.0 */
#include "packet.h"

enum { PROTO_UDP = 17, UDP_HEADER = 8 };

static PacketKind read_udp(PstCursor *c, Datagram *out)
{
    out->port = pst_cursor_u16(c);
    pst_cursor_skip(c, 2);
    guint16 len = pst_cursor_u16(c);
    pst_cursor_skip(c, 2);
    if (!pst_cursor_ok(c) || len < UDP_HEADER)
        return PACKET_OTHER;
    gsize wanted = len - (gsize)UDP_HEADER;
    out->len = MIN(wanted, pst_cursor_left(c));
    out->truncated = out->len < wanted;
    out->payload = pst_cursor_take(c, out->len);
    return PACKET_UDP;
}

PacketKind packet_read_udp(const guint8 *bytes, gsize len, Datagram *out)
{
    PstCursor c = pst_cursor(bytes, len);
    return read_udp(&c, out);
}

PacketKind packet_read(int link, const guint8 *bytes, gsize len, Datagram *out, Piece *out_piece)
{
    IpPacket ip;
    if (ip_packet_read(link, bytes, len, &ip) != IP_PACKET || ip.proto != PROTO_UDP)
        return PACKET_OTHER;
    if (ip.piece && ip.piece_proto != PROTO_UDP)
        return PACKET_OTHER; /* options in the pieces: no exporter sends them */
    if (ip.piece) {
        *out_piece = (Piece){.sender = ip.src,
                             .receiver = ip.dst,
                             .id = ip.id,
                             .offset = ip.offset,
                             .more = ip.more,
                             .len = ip.behind,
                             .bytes = pst_cursor_take(&ip.rest, ip.behind)};
        return PACKET_FRAGMENT;
    }
    out->sender = ip.src;
    return read_udp(&ip.rest, out);
}
