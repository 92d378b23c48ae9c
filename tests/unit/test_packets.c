/* SPDX-License-Identifier: Apache-2.0 */
/* Which of both a capture is. */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "datagram.h"
#include "frame_builder.h"
#include "packets.h"

typedef struct {
    guint exports; /* given to the decoder */
    guint others;
    guint metered; /* messages of the meter */
    PacketsCounts counts;
    gboolean is_metered;
} Outcome;

static void take_message(gpointer user, const guint8 *message, gsize len, gint64 now_ns)
{
    ((Outcome *)user)->metered++;
}

static void put_le32(GByteArray *out, guint32 v)
{
    v = GUINT32_TO_LE(v);
    g_byte_array_append(out, (guint8 *)&v, 4);
}

/* A letter a packet: t TCP, u UDP of no meaning, x a flow export. */
static char *capture_of(const char *packets)
{
    static const guint32 header[] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, LINK_RAW};
    g_autoptr(GByteArray) file = g_byte_array_new();
    for (gsize i = 0; i < G_N_ELEMENTS(header); i++)
        put_le32(file, header[i]);
    for (gsize i = 0; packets[i] != '\0'; i++) {
        const FrameSpec spec = {.proto = packets[i] == 't' ? TCP : UDP,
                                .src_port = (guint16)(1024 + i % 60000),
                                .dst_port = 25,
                                .payload = 16};
        GByteArray *frame = frame_bytes(&spec);
        if (packets[i] != 't') {
            frame->data[25] = 24; /* UDP length */
            frame->data[29] = packets[i] == 'x' ? 10 : 0;
            frame->data[31] = packets[i] == 'x' ? 16 : 0;
        }
        put_le32(file, EXPORT_S);
        put_le32(file, 0);
        put_le32(file, frame->len);
        put_le32(file, frame->len);
        g_byte_array_append(file, frame->data, frame->len);
        g_byte_array_unref(frame);
    }
    char *path = NULL;
    int fd = g_file_open_tmp("postern-packets-XXXXXX", &path, NULL);
    cr_assert(fd >= 0 && write(fd, file->data, file->len) == (gssize)file->len);
    close(fd);
    return path;
}

static Outcome read_as(PacketsMode mode, const char *packets)
{
    Outcome out = {0};
    g_autofree char *path = capture_of(packets);
    g_autoptr(Capture) capture = capture_open(path, NULL);
    g_autoptr(Packets) reading = packets_new(mode, 1, capture, take_message, &out);
    Datagram datagram;
    CaptureItem item;
    while ((item = capture_next(capture, &datagram, NULL)) != CAPTURE_END) {
        gboolean export =
            item == CAPTURE_DATAGRAM && datagram_is_export(datagram.payload, datagram.len);
        if (packets_takes(reading, export))
            continue;
        out.exports += export;
        out.others += !export;
    }
    packets_end(reading);
    out.counts = packets_counts(reading);
    out.is_metered = packets_is_metered(reading);
    g_unlink(path);
    return out;
}

Test(packets, is_read_as_one_of_both_and_what_is_left_out_is_counted)
{
    static const struct {
        PacketsMode mode;
        const char *packets;
        gboolean metered;
        guint exports, others, unread;
    } cases[] = {
        {PACKETS_NO, "ttxt", FALSE, 1, 3, 0},   {PACKETS_YES, "ttxt", TRUE, 0, 0, 1},
        {PACKETS_AUTO, "tttu", TRUE, 0, 0, 0},  {PACKETS_AUTO, "ttxtx", FALSE, 2, 3, 0},
        {PACKETS_AUTO, "uuu", FALSE, 0, 3, 0},  {PACKETS_AUTO, "", FALSE, 0, 0, 0},
        {PACKETS_AUTO, "xxt", FALSE, 2, 1, 0},  {PACKETS_YES, "uu", TRUE, 0, 0, 0},
        {PACKETS_AUTO, "xxxx", FALSE, 4, 0, 0},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Outcome out = read_as(cases[i].mode, cases[i].packets);
        cr_assert_eq(out.is_metered, cases[i].metered, "case %zu", i);
        cr_assert_eq(out.exports, cases[i].exports, "case %zu", i);
        cr_assert_eq(out.others + out.counts.others, cases[i].others, "case %zu", i);
        cr_assert_eq(out.counts.exports, cases[i].unread, "case %zu", i);
        cr_assert_eq(out.metered > 0, cases[i].metered, "case %zu", i);
    }
}

Test(packets, is_decided_after_so_many_packets_without_an_export)
{
    g_autofree char *packets = g_strnfill(PACKETS_LOOK + 2, 't');
    packets[PACKETS_LOOK + 1] = 'x';
    Outcome out = read_as(PACKETS_AUTO, packets);
    cr_assert(out.is_metered);
    cr_assert_eq(out.counts.exports, 1);
    packets[PACKETS_LOOK - 1] = 'x';
    out = read_as(PACKETS_AUTO, packets);
    cr_assert(!out.is_metered);
    cr_assert_eq(out.exports, 2);
}
