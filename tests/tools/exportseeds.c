/* SPDX-License-Identifier: Apache-2.0 */
/* exportseeds FOLDER: writes the first inputs of the fuzz targets netflow_v5, netflow_v9, ipfix,
 * tcp, ipfix_file and pcap into FOLDER/NOUN, made with the builders of the unit tests. */
#include <stdio.h>

#include "export_builder.h"
#include "frame_builder.h"

static const char *folder;

static void save(const char *noun, const char *name, const GByteArray *bytes)
{
    g_autofree char *dir = g_build_filename(folder, noun, NULL);
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autoptr(GError) error = NULL;
    if (g_mkdir_with_parents(dir, 0755) != 0 ||
        !g_file_set_contents(path, (const char *)bytes->data, bytes->len, &error)) {
        fprintf(stderr, "exportseeds: %s\n", error != NULL ? error->message : path);
        exit(1);
    }
}

/* A row of datagrams, as fuzz_export.h reads it. Takes the bytes. */
static void add(GByteArray *row, GByteArray *datagram)
{
    guint8 head[3] = {0, (guint8)(datagram->len >> 8), (guint8)datagram->len};
    g_byte_array_append(row, head, sizeof head);
    g_byte_array_append(row, datagram->data, datagram->len);
    g_byte_array_unref(datagram);
}

static GByteArray *row_new(guint8 mode)
{
    GByteArray *row = g_byte_array_new();
    g_byte_array_append(row, &mode, 1);
    return row;
}

static GByteArray *finish(Export *e)
{
    export_end(e);
    return e->bytes;
}

static void put_flow(Export *e)
{
    export_u32(e, 0xc6120001);
    export_u32(e, 0xcb007105);
    export_u16(e, 40000);
    export_u16(e, 25);
    export_u8(e, 6);
    export_u8(e, 0x1b);
}

static GByteArray *templates(guint16 version, gboolean with_data)
{
    Export e = export_new((Export){.version = version, .domain = 1, .uptime_ms = 100000});
    export_template(&e, 256, F(8, 4), F(12, 4), F(7, 2), F(11, 2), F(4, 1), F(6, 1));
    export_template(&e, 257, F(8, 4), F(82, FIELD_VARIABLE), F(1, 8), F(22, 4), F(21, 4));
    export_options(&e, 258, 1, F(144, 4), F(302, 4), F(305, 4), F(306, 4), F(160, 8));
    if (!with_data)
        return finish(&e);
    export_data(&e, 258);
    for (guint i = 1; i < 5; i++)
        export_u32(&e, i);
    export_u64(&e, (guint64)EXPORT_S * 1000);
    export_data(&e, 256);
    put_flow(&e);
    put_flow(&e);
    return finish(&e);
}

static GByteArray *data_only(guint16 version)
{
    Export e = export_new((Export){.version = version, .domain = 1, .uptime_ms = 200000});
    export_data(&e, 257);
    export_u32(&e, 0xc6120001);
    export_u8(&e, 2);
    export_text(&e, "ge");
    export_u64(&e, 1000);
    export_u32(&e, 90000);
    export_u32(&e, 95000);
    export_data(&e, 256);
    put_flow(&e);
    return finish(&e);
}

static GByteArray *times(guint16 version)
{
    Export e = export_new((Export){.version = version, .domain = 2});
    export_template(&e, 300, F(150, 4), F(153, 8), F(154, 8), F(157, 8), F(158, 4), F(161, 4),
                    F(323, 8), F(27, 16), F(28, 16), F(62, 16), F(56, 6), F(139, 2), F(34, 4));
    export_data(&e, 300);
    for (guint i = 0; i < 98; i++)
        export_u8(&e, (guint8)(i * 7));
    return finish(&e);
}

/* What a router and a firewall tell of themselves and of few flows. */
static GByteArray *rare(guint16 version)
{
    Export e = export_new((Export){.version = version, .domain = 2});
    export_options(&e, 301, 1, F(10, 4), F(82, 8), F(83, 8));
    export_data(&e, 301);
    export_u32(&e, 7);
    export_text(&e, "ge-0/0/1uplink  ");
    export_options(&e, 302, 1, F(144, 4), F(40, 8), F(41, 8), F(42, 8), F(166, 8));
    export_data(&e, 302);
    export_u32(&e, 1);
    for (guint i = 1; i < 5; i++)
        export_u64(&e, i);
    export_template(&e, 303, F(8, 4), F(12, 4), F(7, 2), F(11, 2), F(4, 1), F(225, 4), F(226, 4),
                    F(227, 2), F(228, 2), F(230, 1), F(239, 1), F(61, 1), F(70, 3), F(148, 4),
                    F(130, 4), F(31, 4), F(184, 4));
    for (guint32 src = 0xc6120001; src <= 0xc6120002; src++) {
        export_data(&e, 303);
        export_u32(&e, src == 0xc6120001 ? 0x0a000005 : src);
        export_u32(&e, 0xcb007105);
        export_u16(&e, 25);
        export_u16(&e, 25);
        export_u8(&e, 6);
        export_u32(&e, 0xc6120001);
        export_u32(&e, 0);
        export_u16(&e, 1024);
        export_zeros(&e, 2 + 1);
        export_u8(&e, 2);
        export_zeros(&e, 1 + 3 + 4);
        export_u32(&e, 0xc000024d);
        export_zeros(&e, 8);
    }
    return finish(&e);
}

static void put_ipv4(Export *e, guint8 proto)
{
    export_u32(e, 0x45000028);
    export_u32(e, 0);
    export_u32(e, 0x40000000u | (guint32)proto << 16);
    export_u32(e, 0xc6120001);
    export_u32(e, 0xcb007105);
    export_u32(e, 40000u << 16 | 25);
    export_zeros(e, 8);
    export_u16(e, 0x5002);
}

/* The first bytes of packets, instead of fields (RFC 5477: 313, 315): IPv4, a VLAN and MPLS before
 * it, IPv6 with a header before TCP. */
static GByteArray *sections(guint16 version)
{
    static const guint8 protos[] = {6, 17, 1};
    Export e = export_new((Export){.version = version, .domain = 3});
    export_template(&e, 310, F(313, 34));
    export_data(&e, 310);
    for (gsize i = 0; i < G_N_ELEMENTS(protos); i++)
        put_ipv4(&e, protos[i]);
    export_template(&e, 311, F(315, 12 + 2 + 4 + 4 + 34));
    export_data(&e, 311);
    export_zeros(&e, 12);
    export_u16(&e, 0x8100);
    export_u32(&e, 100u << 16 | 0x8847);
    export_u32(&e, 0x00012140);
    put_ipv4(&e, 6);
    export_template(&e, 312, F(315, 14 + 40 + 8 + 14));
    export_data(&e, 312);
    export_zeros(&e, 12);
    export_u16(&e, 0x86dd);
    export_u32(&e, 0x60012345);
    export_u32(&e, 22u << 16 | 60u << 8 | 64);
    for (guint i = 1; i < 3; i++) {
        export_u32(&e, 0x20010db8);
        export_zeros(&e, 8);
        export_u32(&e, i);
    }
    export_u8(&e, 6);
    export_zeros(&e, 7);
    export_u32(&e, 40000u << 16 | 25);
    export_zeros(&e, 8);
    export_u16(&e, 0x5002);
    return finish(&e);
}

/* Times in the forms that few exporters use, each in a template of its own. */
static GByteArray *forms(guint16 version)
{
    static const Field pairs[][2] = {
        {F(154, 8), F(155, 8)}, {F(156, 8), F(157, 8)}, {F(150, 4), F(161, 4)},
        {F(151, 4), F(162, 4)}, {F(152, 8), F(323, 8)}, {F(152, 4), F(324, 8)},
        {F(322, 4), F(161, 4)}, {F(158, 4), F(325, 8)}, {F(152, 8), F(153, 8)},
    };
    Export e = export_new((Export){.version = version, .domain = 1, .uptime_ms = 100000});
    for (guint i = 0; i < G_N_ELEMENTS(pairs); i++) {
        export_template(&e, (guint16)(320 + i), pairs[i][0], pairs[i][1]);
        export_data(&e, (guint16)(320 + i));
        for (guint k = 0; k < 2; k++) {
            guint64 ms = (EXPORT_S - 5 + k) * G_GUINT64_CONSTANT(1000);
            guint16 id = pairs[i][k].id;
            if (id == 161 || id == 162 || id == 158)
                export_u32(&e, 4000);
            else if (pairs[i][k].len == 4)
                export_u32(&e, EXPORT_S - 5 + k);
            else
                export_u64(
                    &e, id == 152 || id == 153 || id == 323 ? ms : (ms / 1000 + 2208988800) << 32);
        }
    }
    return finish(&e);
}

static void save_few(guint16 version, const char *noun)
{
    GByteArray *row = row_new(0);
    add(row, rare(version));
    add(row, sections(version));
    add(row, times(version));
    add(row, forms(version));
    add(row, rare(version));
    save(noun, "seed-rare", row);
    g_byte_array_unref(row);
}

static void save_stateful(guint16 version, const char *noun)
{
    for (guint8 mode = 0; mode < 4; mode++) {
        GByteArray *row = row_new(mode);
        g_autofree char *name = g_strdup_printf("seed-%u", mode);
        add(row, mode % 2 ? data_only(version) : templates(version, TRUE));
        add(row, templates(version, mode < 2));
        add(row, data_only(version));
        add(row, times(version));
        save(noun, name, row);
        g_byte_array_unref(row);
    }
}

/* A message in pieces, as fuzz_tcp.c reads them: of @piece bytes, on connection @which. Takes the
 * bytes. */
static void add_pieces(GByteArray *row, guint8 which, gsize piece, GByteArray *message)
{
    for (gsize at = 0; at < message->len; at += piece) {
        gsize len = MIN(piece, message->len - at);
        guint8 head[3] = {which, (guint8)(len >> 8), (guint8)len};
        g_byte_array_append(row, head, sizeof head);
        g_byte_array_append(row, message->data + at, (guint)len);
    }
    g_byte_array_unref(message);
}

static void save_tcp(void)
{
    static const gsize pieces[] = {7, 64, 1000};
    for (gsize i = 0; i < G_N_ELEMENTS(pieces); i++) {
        g_autoptr(GByteArray) row = g_byte_array_new();
        add_pieces(row, 0, pieces[i], templates(VERSION_IPFIX, TRUE));
        add_pieces(row, 1, pieces[i], data_only(VERSION_IPFIX));
        add_pieces(row, 0, pieces[i], data_only(VERSION_IPFIX));
        add_pieces(row, 1, pieces[i], templates(VERSION_IPFIX, FALSE));
        add_pieces(row, 0x80, pieces[i], data_only(VERSION_IPFIX)); /* a new one: no template */
        add_pieces(row, 2, pieces[i], data_only(VERSION_V9));
        g_autofree char *name = g_strdup_printf("pieces-%zu", pieces[i]);
        save("tcp", name, row);
    }
}

/* Messages back to back; the last one is cut off in the second file. */
static void save_file(void)
{
    for (guint cut = 0; cut < 2; cut++) {
        g_autoptr(GByteArray) file = g_byte_array_new();
        GByteArray *messages[] = {templates(VERSION_IPFIX, TRUE), data_only(VERSION_IPFIX),
                                  times(VERSION_IPFIX), data_only(VERSION_IPFIX)};
        for (gsize i = 0; i < G_N_ELEMENTS(messages); i++) {
            g_byte_array_append(file, messages[i]->data, messages[i]->len);
            g_byte_array_unref(messages[i]);
        }
        g_byte_array_set_size(file, file->len - cut * 9);
        save("ipfix_file", cut == 0 ? "whole" : "cut", file);
    }
}

static void save_v5(void)
{
    V5Record records[2] = {{.src = 0xc6120001,
                            .dst = 0xcb007105,
                            .packets = 10,
                            .bytes = 1500,
                            .first_ms = 90000,
                            .last_ms = 95000,
                            .src_port = 40000,
                            .dst_port = 25,
                            .flags = 0x1b,
                            .proto = 6},
                           {.proto = 1, .dst_port = 0x0303}};
    V5Header header = {.uptime_ms = 100000, .sampling = 0x4064};
    GByteArray *row = row_new(0);
    GByteArray *glued = v5_export(&header, records, 2);
    GByteArray *more = v5_export(&header, records, 1);
    g_byte_array_append(glued, more->data, more->len);
    add(row, glued);
    add(row, more);
    save("netflow_v5", "seed", row);
    g_byte_array_unref(row);
}

static void put_le32(GByteArray *out, guint32 v)
{
    v = GUINT32_TO_LE(v);
    g_byte_array_append(out, (guint8 *)&v, 4);
}

/* One UDP packet with a VLAN tag in a pcap file. */
static void save_pcap(void)
{
    Export p = {.bytes = g_byte_array_new()};
    export_zeros(&p, 12);
    export_u32(&p, 0x8100000a);
    export_u16(&p, 0x0800);
    export_u32(&p, 0x4500002c);
    export_u32(&p, 0);
    export_u32(&p, 0x40110000);
    export_u32(&p, 0xc0000201);
    export_u32(&p, 0xc0000202);
    export_u32(&p, 2055u << 16 | 2055);
    export_u32(&p, 24u << 16);
    export_zeros(&p, 16);
    GByteArray *file = g_byte_array_new();
    static const guint32 header[] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
    for (gsize i = 0; i < G_N_ELEMENTS(header); i++)
        put_le32(file, header[i]);
    put_le32(file, EXPORT_S);
    put_le32(file, 0);
    put_le32(file, p.bytes->len);
    put_le32(file, p.bytes->len);
    g_byte_array_append(file, p.bytes->data, p.bytes->len);
    save("pcap", "ethernet-vlan", file);
    save("pcap", "packet", p.bytes);
    GByteArray *ipfix = templates(VERSION_IPFIX, TRUE);
    save("pcap", "ipfix", ipfix);
    g_byte_array_unref(ipfix);
    g_byte_array_unref(file);
    g_byte_array_unref(p.bytes);
}

/* A datagram in two pieces of raw IPv4, and the second of another. */
static void save_fragments(void)
{
    enum { PIECE = 64 };
    GByteArray *ipfix = templates(VERSION_IPFIX, TRUE);
    GByteArray *file = g_byte_array_new();
    Export udp = {.bytes = g_byte_array_new()};
    export_u32(&udp, 50000u << 16 | 2055);
    export_u32(&udp, (ipfix->len + 8) << 16);
    g_byte_array_append(udp.bytes, ipfix->data, ipfix->len);
    static const guint32 header[] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, LINK_RAW};
    for (gsize i = 0; i < G_N_ELEMENTS(header); i++)
        put_le32(file, header[i]);
    for (guint i = 0; i < 3; i++) {
        guint at = i == 0 ? 0 : PIECE, len = i == 0 ? PIECE : udp.bytes->len - PIECE;
        Export ip = {.bytes = g_byte_array_new()};
        export_u32(&ip, 0x45000000 | (20 + len));
        export_u32(&ip, (i == 2 ? 8u : 7u) << 16 | (i == 0 ? 0x2000 : at / 8));
        export_u32(&ip, 64u << 24 | 17u << 16);
        export_u32(&ip, 0xc0000201);
        export_u32(&ip, 0xc0000202);
        g_byte_array_append(ip.bytes, udp.bytes->data + at, len);
        put_le32(file, EXPORT_S);
        put_le32(file, 0);
        put_le32(file, ip.bytes->len);
        put_le32(file, ip.bytes->len);
        g_byte_array_append(file, ip.bytes->data, ip.bytes->len);
        g_byte_array_unref(ip.bytes);
    }
    save("pcap", "seed-fragments", file);
    g_byte_array_unref(ipfix);
    g_byte_array_unref(udp.bytes);
    g_byte_array_unref(file);
}

/* Sessions of mail as packets: both directions, a long one, a port used again, IPv6, fragments, a
 * step back, a cut one. */
static void save_packets(void)
{
    static const FrameSpec frames[] = {
        {.src_port = 40000, .dst_port = 25, .flags = SYN},
        {.src = SERVER, .dst = CLIENT, .src_port = 25, .dst_port = 40000, .flags = SYN | ACK},
        {.at = 1, .src_port = 40000, .dst_port = 25, .flags = PSH | ACK, .payload = 30},
        {.at = 14, .src_port = 40000, .dst_port = 25, .flags = FIN | ACK},
        {.at = 14.5, .src_port = 40000, .dst_port = 25, .flags = SYN},
        {.at = 15, .v6 = TRUE, .src_port = 40001, .dst_port = 587, .flags = SYN},
        {.at = 16, .proto = UDP, .src_port = 53, .dst_port = 53, .payload = 8, .fragment = 0x2000},
        {.at = 16, .proto = UDP, .payload = 8, .fragment = 2},
        {.at = 90, .proto = ICMP, .src_port = 0x0800},
        {.at = 2, .src_port = 40002, .dst_port = 25, .flags = RST},
        {.at = 3, .src_port = 40003, .dst_port = 25, .flags = SYN, .no_total = TRUE},
        {.at = 4, .src_port = 40004, .dst_port = 25, .flags = SYN, .cut = 10},
    };
    static const guint32 header[] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, LINK_RAW};
    GByteArray *file = g_byte_array_new();
    for (gsize i = 0; i < G_N_ELEMENTS(header); i++)
        put_le32(file, header[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(frames); i++) {
        GByteArray *frame = frame_bytes(&frames[i]);
        put_le32(file, EXPORT_S + (guint32)frames[i].at);
        put_le32(file, 0);
        put_le32(file, frame->len - frames[i].cut);
        put_le32(file, frame->len);
        g_byte_array_append(file, frame->data, frame->len - frames[i].cut);
        g_byte_array_unref(frame);
    }
    save("pcap", "seed-packets", file);
    g_byte_array_unref(file);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: exportseeds FOLDER (tests/fuzz/corpus)\n");
        return 2;
    }
    folder = argv[1];
    save_v5();
    save_tcp();
    save_file();
    save_stateful(VERSION_V9, "netflow_v9");
    save_stateful(VERSION_IPFIX, "ipfix");
    save_few(VERSION_V9, "netflow_v9");
    save_few(VERSION_IPFIX, "ipfix");
    save_pcap();
    save_fragments();
    save_packets();
    return 0;
}
