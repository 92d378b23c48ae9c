/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an IPFIX file, from a disk and as if from a pipe: both give the same messages; they
 * are decoded as one session. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture.h"
#include "decoder.h"
#include "export_fuzz_flow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES_MAX = 10000, HEADER = 16 };

typedef struct {
    Exporters *exporters;
    Decoder *decoder;
} World;

/* Without a length that is one, or another version, it is no IPFIX file: fuzz_pcap.c has those. */
static gboolean is_ipfix(const uint8_t *data, size_t size)
{
    return size >= HEADER && pst_load_be16(data) == VERSION_IPFIX &&
           pst_load_be16(data + 2) >= HEADER;
}

static void decode(World *world, const Datagram *datagram)
{
    g_autofree guint8 *copy = g_memdup2(datagram->payload, datagram->len); /* its own bounds */
    PstCursor payload = pst_cursor(copy, datagram->len);
    Message message;
    Drop drop = datagram_next(&payload, &message);
    g_assert(drop == DROP_NONE && pst_cursor_left(&payload) == 0);
    Domain *domain = exporters_domain(world->exporters, &datagram->sender, message.domain % 2,
                                      FUZZ_NOW_NS, &drop);
    Stream *stream = domain_stream(domain, 1, &drop);
    g_assert_nonnull(stream);
    decoder_stream_message(world->decoder, domain, stream, &message, 0, FUZZ_NOW_NS);
    g_assert(exporters_budget(world->exporters)->bytes <= 65536);
}

/* Returns the messages. @world NULL: they are only counted. */
static guint read_all(const char *path, World *world, gsize size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Capture) capture = capture_open(path, &error);
    g_assert_no_error(error);
    g_assert(capture_is_session(capture));
    gsize bytes = 0;
    guint messages = 0;
    Datagram datagram;
    while (messages < MESSAGES_MAX &&
           capture_next(capture, &datagram, &error) == CAPTURE_DATAGRAM) {
        messages++;
        bytes += datagram.len;
        if (world != NULL)
            decode(world, &datagram);
    }
    g_assert(bytes <= size);
    g_assert(messages == MESSAGES_MAX || (error != NULL) == (bytes < size));
    return messages;
}

static guint read_piped(const uint8_t *data, size_t size)
{
    int ends[2];
    gboolean made = pipe(ends) == 0;
    g_assert(made);
    gssize n = write(ends[1], data, size); /* small enough for the pipe's buffer */
    g_assert(n == (gssize)size);
    close(ends[1]);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", ends[0]);
    guint messages = read_all(path, NULL, size);
    close(ends[0]);
    return messages;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const PortSet ports = {.bits = {[25 / 64] = 1u << 25}};
    if (!is_ipfix(data, size))
        return 0;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    g_assert(fd >= 0 && write(fd, data, size) == (gssize)size);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(Exporters) exporters = exporters_new(&(ExportersOptions){
        .exporters_max = 4, .hold_bytes_max = 65536, .hold_domain_bytes = 16384});
    g_autoptr(Decoder) decoder = decoder_new(&(DecoderOptions){
        .ports = &ports, .budget = exporters_budget(exporters), .flow = fuzz_flow});
    World world = {.exporters = exporters, .decoder = decoder};
    guint messages = read_all(path, &world, size);
    close(fd);
    if (size <= 32768)
        g_assert_cmpuint(read_piped(data, size), ==, messages);
    return 0;
}
