/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of one exporter, in pieces: an input is a row of pieces, each with a byte that
 * chooses the connection (and may end it before) and its length (two bytes) before it. However the
 * stream is cut, it holds the same messages; they are decoded as sessions that begin and end. */
#include <stdint.h>

#include "decoder.h"
#include "export_fuzz_flow.h"
#include "frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CONNECTIONS = 4, PIECES_MAX = 256, ENDS = 0x80 };

typedef struct {
    guint32 id;
    Frame frame;
    GByteArray *all;  /* what it was fed */
    guint messages;   /* found in the pieces */
    FrameResult last; /* once it is not MORE, the connection is over */
} Connection;

typedef struct {
    Exporters *exporters;
    Decoder *decoder;
    guint32 last_id;
    Connection connections[CONNECTIONS];
} World;

static void decode(World *world, guint32 id, PstCursor bytes)
{
    PstAddr sender = pst_addr_v4(0xc0000201);
    g_autofree guint8 *copy = g_memdup2(bytes.at, pst_cursor_left(&bytes)); /* its own bounds */
    PstCursor payload = pst_cursor(copy, pst_cursor_left(&bytes));
    Message message;
    Drop drop = datagram_next(&payload, &message);
    g_assert(drop == DROP_NONE && message.version == VERSION_IPFIX);
    g_assert(pst_cursor_left(&payload) == 0);
    Domain *domain =
        exporters_domain(world->exporters, &sender, message.domain % 2, FUZZ_NOW_NS, &drop);
    Stream *stream = domain_stream(domain, id, &drop);
    g_assert_nonnull(stream);
    decoder_stream_message(world->decoder, domain, stream, &message, 4739, FUZZ_NOW_NS);
}

static void end(World *world, Connection *connection)
{
    PstAddr sender = pst_addr_v4(0xc0000201);
    PstCursor whole = pst_cursor(connection->all->data, connection->all->len), message;
    Frame frame = {0};
    FrameResult result;
    guint messages = 0;
    while ((result = frame_next(&frame, &whole, &message)) == FRAME_MESSAGE)
        messages++;
    g_assert_cmpuint(messages, ==, connection->messages);
    g_assert_cmpint(result, ==, connection->last);
    frame_clear(&frame);
    Domain *domain = exporters_domains(world->exporters, &sender);
    for (; domain != NULL; domain = domain->next) {
        for (Stream *stream = domain->streams; stream != NULL; stream = stream->next) {
            if (stream->id == connection->id)
                decoder_expire_stream(world->decoder, domain, stream, G_MAXINT64);
        }
        domain_end_stream(world->exporters, domain, connection->id);
    }
    frame_clear(&connection->frame);
    g_byte_array_unref(connection->all);
    *connection = (Connection){0};
}

static void take_piece(World *world, Connection *connection, const guint8 *bytes, gsize len)
{
    if (connection->all == NULL) {
        connection->id = ++world->last_id;
        connection->all = g_byte_array_new();
        connection->last = FRAME_MORE;
    }
    g_byte_array_append(connection->all, bytes, (guint)len);
    g_autofree guint8 *copy = g_memdup2(bytes, len);
    PstCursor piece = pst_cursor(copy, len), message;
    while ((connection->last = frame_next(&connection->frame, &piece, &message)) == FRAME_MESSAGE) {
        connection->messages++;
        decode(world, connection->id, message);
    }
    g_assert(connection->frame.size <= FRAME_MAX);
    g_assert(exporters_budget(world->exporters)->bytes <= 65536);
    if (connection->last != FRAME_MORE)
        end(world, connection);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const PortSet ports = {.bits = {[25 / 64] = 1u << 25}};
    g_autoptr(Exporters) exporters = exporters_new(&(ExportersOptions){
        .exporters_max = 4, .hold_bytes_max = 65536, .hold_domain_bytes = 16384});
    g_autoptr(Decoder) decoder = decoder_new(&(DecoderOptions){
        .ports = &ports, .budget = exporters_budget(exporters), .flow = fuzz_flow});
    World world = {.exporters = exporters, .decoder = decoder};
    PstCursor c = pst_cursor(data, size);
    for (guint i = 0; i < PIECES_MAX && pst_cursor_left(&c) > 3; i++) {
        guint8 which = pst_cursor_u8(&c);
        gsize len = pst_cursor_u16(&c);
        len = MIN(len, pst_cursor_left(&c));
        Connection *connection = &world.connections[which % CONNECTIONS];
        if ((which & ENDS) && connection->all != NULL)
            end(&world, connection);
        if (len > 0)
            take_piece(&world, connection, pst_cursor_take(&c, len), len);
    }
    for (guint i = 0; i < CONNECTIONS; i++) {
        if (world.connections[i].all != NULL)
            end(&world, &world.connections[i]);
    }
    PstAddr sender = pst_addr_v4(0xc0000201);
    Domain *domain = exporters_domains(exporters, &sender);
    for (; domain != NULL; domain = domain->next)
        g_assert_null(domain->streams);
    return 0;
}
