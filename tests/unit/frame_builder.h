/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Captured frames for tests, field by field: raw IP unless a link layer is put before. */
#include "export_builder.h"
#include "ip_packet.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum { TCP = 6, UDP = 17, ICMP = 1, CLIENT = 0xc0000219, SERVER = 0xc6336401 };

typedef struct {
    double at; /* seconds after EXPORT_S */
    int link;  /* 0: raw IP */
    gboolean v6;
    guint32 src, dst; /* 0: CLIENT, SERVER; of IPv6 the last four bytes */
    guint16 src_port, dst_port;
    guint8 proto; /* 0: TCP */
    guint16 flags;
    guint16 payload; /* bytes behind the transport header */
    guint16 total;   /* what the IP header says; 0: the truth */
    gboolean no_total;
    guint16 fragment; /* the field of IPv4; its pieces have one id */
    guint cut;        /* bytes that the capture leaves out at the end */
} FrameSpec;

static inline void frame_ip(Export *p, const FrameSpec *f, guint transport)
{
    guint32 src = f->src != 0 ? f->src : CLIENT, dst = f->dst != 0 ? f->dst : SERVER;
    guint8 proto = f->proto != 0 ? f->proto : TCP;
    guint16 total = (guint16)(f->total != 0 ? f->total : (f->v6 ? 0 : 20) + transport + f->payload);
    total = f->no_total ? 0 : total;
    if (f->v6) {
        export_u32(p, 6u << 28);
        export_u16(p, total);
        export_u8(p, proto);
        export_u8(p, 64);
        for (guint i = 0; i < 2; i++) {
            export_u64(p, G_GUINT64_CONSTANT(0x20010db800000000));
            export_u64(p, i == 0 ? src : dst);
        }
        return;
    }
    export_u16(p, 0x4500);
    export_u16(p, total);
    export_u16(p, 7);
    export_u16(p, f->fragment);
    export_u8(p, 64);
    export_u8(p, proto);
    export_u16(p, 0);
    export_u32(p, src);
    export_u32(p, dst);
}

/* Given: bytes of a frame, whole. */
static inline GByteArray *frame_bytes(const FrameSpec *f)
{
    Export p = {.bytes = g_byte_array_new()};
    guint8 proto = f->proto != 0 ? f->proto : TCP;
    gboolean later = (f->fragment & 0x1fff) != 0;
    guint transport = later ? 0 : proto == TCP ? 20 : 8;
    if (f->link == LINK_ETHERNET) {
        export_zeros(&p, 12);
        export_u16(&p, f->v6 ? 0x86dd : 0x0800);
    }
    frame_ip(&p, f, transport);
    if (!later) {
        export_u16(&p, f->src_port);
        export_u16(&p, f->dst_port);
        export_zeros(&p, 4);
    }
    if (!later && proto == TCP) {
        export_zeros(&p, 4);
        export_u16(&p, (guint16)(0x5000 | f->flags));
        export_zeros(&p, 6);
    }
    export_zeros(&p, f->payload);
    return p.bytes;
}
