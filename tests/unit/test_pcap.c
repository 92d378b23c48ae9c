/* SPDX-License-Identifier: Apache-2.0 */
/* Capture files and packets, made byte by byte. */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "capture.h"
#include "export_builder.h"
#include "packet.h"

enum { PAYLOAD = 16 };

static void put_udp(Export *p)
{
    export_u16(p, 50000);
    export_u16(p, 2055);
    export_u16(p, 8 + PAYLOAD);
    export_u16(p, 0);
    export_u16(p, 10);
    export_u16(p, PAYLOAD);
    export_zeros(p, PAYLOAD - 4);
}

static void put_ipv4(Export *p, guint8 options, guint16 fragment, guint8 proto)
{
    export_u8(p, (guint8)(0x45 + options));
    export_zeros(p, 5);
    export_u16(p, fragment);
    export_u8(p, 64);
    export_u8(p, proto);
    export_u16(p, 0);
    export_u32(p, 0xc0000201);
    export_u32(p, 0xc0000202);
    export_zeros(p, options * 4u);
    put_udp(p);
}

static void put_ipv6(Export *p, guint8 extension)
{
    export_u32(p, 6u << 28);
    export_u16(p, 0);
    export_u8(p, extension != 0 ? extension : 17);
    export_u8(p, 64);
    export_u64(p, G_GUINT64_CONSTANT(0x20010db800000000));
    export_u64(p, 1);
    export_zeros(p, 16);
    if (extension != 0) {
        export_u8(p, 17);
        export_u8(p, 0);
        export_zeros(p, 6);
    }
    put_udp(p);
}

static void put_link(Export *p, int link, guint16 etype)
{
    switch (link) {
    case LINK_ETHERNET:
        export_zeros(p, 12);
        export_u16(p, etype);
        break;
    case LINK_LINUX_SLL:
        export_zeros(p, 14);
        export_u16(p, etype);
        break;
    case LINK_LINUX_SLL2:
        export_u16(p, etype);
        export_zeros(p, 18);
        break;
    case LINK_NULL:
        export_u32(p, 0x02000000);
        break;
    default:
        break;
    }
}

static PacketKind read_packet(int link, Export *p, Datagram *out)
{
    *out = (Datagram){0};
    Piece piece;
    return packet_read(link, p->bytes->data, p->bytes->len, out, &piece);
}

Test(packet, gives_the_payload_behind_every_link_layer)
{
    static const int links[] = {LINK_ETHERNET, LINK_LINUX_SLL, LINK_LINUX_SLL2, LINK_NULL,
                                LINK_RAW};
    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        Export p = {.bytes = g_byte_array_new()};
        put_link(&p, links[i], 0x0800);
        put_ipv4(&p, 0, 0, 17);
        Datagram datagram;
        char text[PST_ADDR_TEXT_MAX];
        cr_assert_eq(read_packet(links[i], &p, &datagram), PACKET_UDP, "link %d", links[i]);
        cr_assert_str_eq(pst_addr_format(&datagram.sender, text), "192.0.2.1");
        cr_assert_eq(datagram.port, 50000);
        cr_assert_eq(datagram.len, PAYLOAD);
        cr_assert_eq(datagram.payload[1], 10);
        g_byte_array_unref(p.bytes);
    }
}

Test(packet, may_carry_vlan_tags_options_and_extension_headers)
{
    Export p = {.bytes = g_byte_array_new()};
    put_link(&p, LINK_ETHERNET, 0x88a8);
    export_u32(&p, 0x00058100);
    export_u32(&p, 0x000a0800);
    put_ipv4(&p, 3, 0, 17);
    Datagram datagram;
    cr_assert_eq(read_packet(LINK_ETHERNET, &p, &datagram), PACKET_UDP);
    cr_assert_eq(datagram.len, PAYLOAD);
    g_byte_array_set_size(p.bytes, 0);
    put_link(&p, LINK_ETHERNET, 0x86dd);
    put_ipv6(&p, 60);
    char text[PST_ADDR_TEXT_MAX];
    cr_assert_eq(read_packet(LINK_ETHERNET, &p, &datagram), PACKET_UDP);
    cr_assert_str_eq(pst_addr_format(&datagram.sender, text), "2001:db8::1");
    g_byte_array_unref(p.bytes);
}

Test(packet, may_stand_behind_mpls_labels_or_pppoe)
{
    static const struct {
        guint16 etype;
        guint8 bytes[8];
        guint8 version;
        PacketKind kind;
    } cases[] = {
        {0x8847, {0, 1, 0x10, 64, 0, 1, 0x11, 64}, 4, PACKET_UDP}, /* two labels */
        {0x8847, {0, 1, 0x10, 64, 0, 1, 0x11, 64}, 6, PACKET_UDP},
        {0x8847, {0, 1, 0x10, 64, 0, 1, 0x11, 64}, 0, PACKET_OTHER}, /* a pseudowire */
        {0x8864, {0x11, 0, 0, 1, 0, 46, 0, 0x21}, 4, PACKET_UDP},
        {0x8864, {0x11, 0, 0, 1, 0, 66, 0, 0x57}, 6, PACKET_UDP},
        {0x8864, {0x11, 0, 0, 1, 0, 46, 0xc0, 0x21}, 4, PACKET_OTHER}, /* LCP */
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Export p = {.bytes = g_byte_array_new()};
        put_link(&p, LINK_ETHERNET, cases[i].etype);
        g_byte_array_append(p.bytes, cases[i].bytes, sizeof cases[i].bytes);
        if (cases[i].version == 4)
            put_ipv4(&p, 0, 0, 17);
        else if (cases[i].version == 6)
            put_ipv6(&p, 0);
        else
            export_zeros(&p, 60);
        Datagram datagram;
        cr_assert_eq(read_packet(LINK_ETHERNET, &p, &datagram), cases[i].kind, "case %zu", i);
        g_byte_array_unref(p.bytes);
    }
}

Test(packet, that_is_a_fragment_or_no_udp_is_told_apart)
{
    static const struct {
        guint16 fragment;
        guint8 proto;
        PacketKind kind;
    } cases[] = {{0x2000, 17, PACKET_FRAGMENT},
                 {0x00b9, 17, PACKET_FRAGMENT},
                 {0x4000, 17, PACKET_UDP},
                 {0, 6, PACKET_OTHER}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Export p = {.bytes = g_byte_array_new()};
        put_ipv4(&p, 0, cases[i].fragment, cases[i].proto);
        Datagram datagram;
        cr_assert_eq(read_packet(LINK_RAW, &p, &datagram), cases[i].kind, "case %zu", i);
        g_byte_array_unref(p.bytes);
    }
    Export p = {.bytes = g_byte_array_new()};
    put_ipv6(&p, 44);
    Datagram datagram;
    cr_assert_eq(read_packet(LINK_RAW, &p, &datagram), PACKET_FRAGMENT);
    g_byte_array_unref(p.bytes);
}

Test(packet, cut_anywhere_is_never_read_beyond)
{
    Export p = {.bytes = g_byte_array_new()};
    put_link(&p, LINK_ETHERNET, 0x0800);
    put_ipv4(&p, 0, 0, 17);
    for (guint len = 0; len < p.bytes->len; len++) {
        g_autofree guint8 *copy = g_memdup2(p.bytes->data, len);
        Datagram datagram = {0};
        Piece piece;
        PacketKind kind = packet_read(LINK_ETHERNET, copy, len, &datagram, &piece);
        cr_assert_eq(kind, len < 42 ? PACKET_OTHER : PACKET_UDP, "length %u", len);
        if (kind == PACKET_UDP)
            cr_assert(datagram.truncated && datagram.len == len - 42);
    }
    g_byte_array_unref(p.bytes);
}

static char *save(const GByteArray *bytes)
{
    char *path = NULL;
    int fd = g_file_open_tmp("postern-capture-XXXXXX", &path, NULL);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, bytes->data, bytes->len), (gssize)bytes->len);
    close(fd);
    return path;
}

static void put_le32(GByteArray *out, guint32 v)
{
    v = GUINT32_TO_LE(v);
    g_byte_array_append(out, (guint8 *)&v, 4);
}

/* A pcap file of @n packets a second apart; @cut bytes are missing at its end. */
static char *pcap_file(guint n, guint cut)
{
    static const guint32 header[] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, LINK_RAW};
    g_autoptr(GByteArray) file = g_byte_array_new();
    for (gsize i = 0; i < G_N_ELEMENTS(header); i++)
        put_le32(file, header[i]);
    for (guint i = 0; i < n; i++) {
        Export p = {.bytes = g_byte_array_new()};
        put_ipv4(&p, 0, 0, 17);
        put_le32(file, EXPORT_S + i);
        put_le32(file, 500000);
        put_le32(file, p.bytes->len);
        put_le32(file, p.bytes->len);
        g_byte_array_append(file, p.bytes->data, p.bytes->len);
        g_byte_array_unref(p.bytes);
    }
    g_byte_array_set_size(file, file->len - cut);
    return save(file);
}

Test(capture, gives_datagrams_with_their_recorded_times)
{
    g_autofree char *path = pcap_file(3, 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(Capture) capture = capture_open(path, &error);
    cr_assert_null(error);
    Datagram datagram;
    for (guint i = 0; i < 3; i++) {
        cr_assert_eq(capture_next(capture, &datagram, &error), CAPTURE_DATAGRAM);
        cr_assert_eq(datagram.kernel_ns, (gint64)(EXPORT_S + i) * NS_PER_S + NS_PER_S / 2);
    }
    cr_assert_eq(capture_next(capture, &datagram, &error), CAPTURE_END);
    cr_assert_null(error);
    g_unlink(path);
}

Test(capture, that_breaks_off_gives_what_came_before_and_says_so)
{
    g_autofree char *path = pcap_file(2, 5);
    g_autoptr(GError) error = NULL;
    g_autoptr(Capture) capture = capture_open(path, &error);
    Datagram datagram;
    cr_assert_eq(capture_next(capture, &datagram, &error), CAPTURE_DATAGRAM);
    cr_assert_eq(capture_next(capture, &datagram, &error), CAPTURE_END);
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_DATA));
    g_unlink(path);
}

Test(capture, may_be_an_ipfix_file)
{
    Export e = export_ipfix(.domain = 3);
    export_template(&e, 256, F(11, 2));
    export_end(&e);
    guint one = e.bytes->len;
    GByteArray *copy = g_byte_array_new_take(g_memdup2(e.bytes->data, one), one);
    g_byte_array_append(e.bytes, copy->data, one);
    g_autofree char *path = save(e.bytes);
    g_autoptr(GError) error = NULL;
    g_autoptr(Capture) capture = capture_open(path, &error);
    Datagram datagram;
    for (guint i = 0; i < 2; i++) {
        cr_assert_eq(capture_next(capture, &datagram, &error), CAPTURE_DATAGRAM);
        cr_assert_eq(datagram.len, one);
        cr_assert_eq(datagram.kernel_ns, EXPORT_S * NS_PER_S);
    }
    cr_assert_eq(capture_next(capture, &datagram, &error), CAPTURE_END);
    cr_assert_null(error);
    g_byte_array_unref(copy);
    g_byte_array_unref(e.bytes);
    g_unlink(path);
}

Test(capture, of_something_else_is_refused_with_its_name)
{
    static const char *const texts[] = {"", "hello, this is no capture at all", "\n\x0d\x0d\n"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        g_byte_array_append(bytes, (const guint8 *)texts[i], (guint)strlen(texts[i]));
        g_autofree char *path = save(bytes);
        g_autoptr(GError) error = NULL;
        cr_assert_null(capture_open(path, &error));
        cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_DATA));
        cr_assert(strstr(error->message, path) != NULL);
        g_unlink(path);
    }
    g_autoptr(GError) error = NULL;
    cr_assert_null(capture_open("/nonexistent/file", &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_IO));
}
