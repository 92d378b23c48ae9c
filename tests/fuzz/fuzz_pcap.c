/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a capture file, and as a packet of each link layer that is read. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture.h"
#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const Datagram *datagram, gsize limit)
{
    g_assert(datagram->len <= limit);
    guint8 sum = 0;
    for (gsize i = 0; i < datagram->len; i++)
        sum ^= datagram->payload[i];
    __asm__ volatile("" ::"r"(sum)); /* every byte is read, whatever the compiler thinks */
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
    }
}

static void read_file(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    g_assert(fd >= 0 && write(fd, data, size) == (gssize)size);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(Capture) capture = capture_open(path, NULL);
    for (guint i = 0; capture != NULL && i < 10000; i++) {
        g_autoptr(GError) error = NULL;
        Datagram datagram;
        CaptureItem item = capture_next(capture, &datagram, &error);
        if (item == CAPTURE_END)
            break;
        if (item == CAPTURE_DATAGRAM)
            check(&datagram, LISTENER_DATAGRAM_MAX);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_packets(data, size);
    read_file(data, size);
    return 0;
}
