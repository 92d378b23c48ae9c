/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a capture file, read in each way, and as a packet of each link layer that is read.
 * What the meter makes of them is a row of whole IPFIX messages. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture.h"
#include "datagram.h"
#include "packet.h"
#include "packets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const Datagram *datagram, gsize limit)
{
    g_assert(datagram->len <= limit);
    guint8 sum = 0;
    for (gsize i = 0; i < datagram->len; i++)
        sum ^= datagram->payload[i];
    __asm__ volatile("" ::"r"(sum)); /* every byte is read, whatever the compiler thinks */
}

static void take_message(gpointer user, const guint8 *bytes, gsize len, gint64 now_ns)
{
    PstCursor c = pst_cursor(bytes, len);
    Message message;
    g_assert(datagram_next(&c, &message) == DROP_NONE && message.version == VERSION_IPFIX);
    g_assert(pst_cursor_left(&c) == 0 && now_ns >= 0);
}

static void meter_packets(const uint8_t *data, size_t size, int link)
{
    g_autoptr(Meter) meter =
        meter_new(&(MeterOptions){.rate = 1, .flows_max = 4, .message = take_message});
    for (gsize cut = 0; cut <= size && cut < 4; cut++)
        meter_frame(meter, &(CapturedFrame){link, data, size - cut, size, (gint64)cut << 33});
    meter_end(meter);
    const MeterCounts *counts = meter_counts(meter);
    g_assert(counts->flows <= counts->packets);
}

static void read_packets(const uint8_t *data, size_t size)
{
    static const int links[] = {LINK_NULL, LINK_ETHERNET, LINK_RAW, LINK_LINUX_SLL,
                                LINK_LINUX_SLL2};
    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        Datagram datagram = {0};
        Piece piece;
        if (packet_read(links[i], data, size, &datagram, &piece) == PACKET_UDP)
            check(&datagram, size);
        meter_packets(data, size, links[i]);
    }
}

static void read_file(const uint8_t *data, size_t size, PacketsMode mode)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    g_assert(fd >= 0 && write(fd, data, size) == (gssize)size);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(Capture) capture = capture_open(path, NULL);
    g_autoptr(Packets) packets =
        capture != NULL ? packets_new(mode, 1, capture, take_message, NULL) : NULL;
    for (guint i = 0; capture != NULL && i < 10000; i++) {
        g_autoptr(GError) error = NULL;
        Datagram datagram;
        CaptureItem item = capture_next(capture, &datagram, &error);
        if (item == CAPTURE_END)
            break;
        if (item == CAPTURE_DATAGRAM)
            check(&datagram, LISTENER_DATAGRAM_MAX);
        (void)packets_takes(packets, item == CAPTURE_DATAGRAM &&
                                         datagram_is_export(datagram.payload, datagram.len));
    }
    if (packets != NULL)
        packets_end(packets);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_packets(data, size);
    for (PacketsMode mode = PACKETS_NO; mode <= PACKETS_AUTO; mode++)
        read_file(data, size, mode);
    return 0;
}
