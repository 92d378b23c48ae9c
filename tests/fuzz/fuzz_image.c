/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged snapshots: read to an engine or refused, never a crash. The input is read as a snapshot,
 * and as changes of a good image whose checksum is then made right: what is loaded can be written
 * and gives the same image. */
#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "codec.h"
#include "engine.h"
#include "image.h"
#include "log.h"
#include "snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EngineConf conf;
static GByteArray *good;

/* Two units, one of them sends to many. */
static void make_good(void)
{
    pst_log_open("fuzz_image", PST_LOG_ERR);
    engine_conf_init(&conf);
    conf.novelty_bytes = 1 << 20;
    conf.max_units = 1000;
    conf.max_episodes = 16;
    g_autoptr(Engine) engine = engine_new(&conf, 3);
    for (guint i = 0; i < 400; i++) {
        PstFlow flow = {.has = PST_HAS_PROTO | PST_HAS_TCP_FLAGS | PST_HAS_START | PST_HAS_END,
                        .direction = PST_DIR_OUT,
                        .src_addr = pst_addr_v4(0xc0000201u + (i % 10 == 0)),
                        .dst_addr = pst_addr_v4(0xcb007100u + i),
                        .sampler = pst_addr_v4(0xc6336401u),
                        .src_port = (guint16)(1024 + i),
                        .dst_port = 25,
                        .proto = 6,
                        .tcp_flags = 0x1b,
                        .sampling_rate = 1,
                        .start_ns = G_GINT64_CONSTANT(1777593600000000000) + i * 200000000,
                        .end_ns = G_GINT64_CONSTANT(1777593600000000000) + i * 200000000,
                        .received_ns = G_GINT64_CONSTANT(1777593605000000000) + i * 200000000};
        engine_flow(engine, &flow, i);
    }
    g_array_unref(engine_take_verdicts(engine));
    g_array_unref(engine_take_activity(engine));
    good = g_byte_array_new();
    engine_serialise(engine, good);
}

static void try_image(guint8 *bytes, gsize len)
{
    gsize body = len - sizeof(guint64);
    guint64 sum = image_checksum(bytes, body);
    memcpy(bytes + body, &sum, sizeof sum);
    g_autoptr(Engine) engine = engine_load(&conf, 3, bytes, len, NULL);
    if (engine == NULL)
        return;
    g_autoptr(GByteArray) again = g_byte_array_new();
    engine_serialise(engine, again);
    g_assert(again->len == len && memcmp(again->data, bytes, len) == 0);
}

/* Each change is an offset of 3 bytes and a byte; the filter, at the end, is left. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (good == NULL)
        make_good();
    g_auto(Snapshot) snapshot = {0};
    if (snapshot_read(data, size, 3, "bus", &snapshot, NULL))
        g_assert(snapshot.image_len <= size);
    if (size < 4)
        return 0;
    g_autofree guint8 *bytes = g_memdup2(good->data, good->len);
    gsize changeable = good->len - conf.novelty_bytes - sizeof(guint64);
    for (gsize at = 0; at + 4 <= size; at += 4) {
        gsize place = (gsize)data[at] << 16 | (gsize)data[at + 1] << 8 | data[at + 2];
        bytes[place % changeable] = data[at + 3];
    }
    try_image(bytes, good->len);
    return 0;
}
