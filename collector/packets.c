/* SPDX-License-Identifier: Apache-2.0 */
#include "packets.h"

/* Records that wait for the decision. */
typedef struct {
    GBytes *bytes;
    gint64 now_ns;
} Waiting;

struct Packets {
    PacketsMode mode; /* AUTO: not decided yet */
    Capture *capture;
    Meter *meter; /* owned; NULL: exports */
    MeterMessage message;
    gpointer user;
    GArray *waiting; /* of Waiting */
    PacketsCounts counts;
};

static void waiting_clear(gpointer data)
{
    g_bytes_unref(((Waiting *)data)->bytes);
}

static void take_message(gpointer user, const guint8 *message, gsize len, gint64 now_ns)
{
    Packets *packets = user;
    if (packets->mode == PACKETS_YES) {
        packets->message(packets->user, message, len, now_ns);
        return;
    }
    Waiting waiting = {g_bytes_new(message, len), now_ns};
    g_array_append_val(packets->waiting, waiting);
}

static void take_frame(gpointer user, const CapturedFrame *frame)
{
    meter_frame(((Packets *)user)->meter, frame);
}

Packets *packets_new(PacketsMode mode, guint32 rate, Capture *capture, MeterMessage message,
                     gpointer user)
{
    Packets *packets = g_new0(Packets, 1);
    packets->mode = mode;
    packets->capture = capture;
    packets->message = message;
    packets->user = user;
    packets->waiting = g_array_new(FALSE, FALSE, sizeof(Waiting));
    g_array_set_clear_func(packets->waiting, waiting_clear);
    if (mode == PACKETS_NO)
        return packets;
    packets->meter = meter_new(&(MeterOptions){
        .rate = rate, .flows_max = METER_FLOWS_MAX, .message = take_message, .user = packets});
    capture_watch(capture, take_frame, packets);
    return packets;
}

void packets_free(Packets *packets)
{
    if (packets == NULL)
        return;
    capture_watch(packets->capture, NULL, NULL);
    meter_free(packets->meter);
    g_array_unref(packets->waiting);
    g_free(packets);
}

static void decide(Packets *packets, PacketsMode mode)
{
    packets->mode = mode;
    if (mode == PACKETS_YES) {
        for (guint i = 0; i < packets->waiting->len; i++) {
            const Waiting *waiting = &g_array_index(packets->waiting, Waiting, i);
            gsize len;
            const guint8 *bytes = g_bytes_get_data(waiting->bytes, &len);
            packets->message(packets->user, bytes, len, waiting->now_ns);
        }
    } else {
        packets->counts.tcp = meter_counts(packets->meter)->tcp;
        capture_watch(packets->capture, NULL, NULL);
        g_clear_pointer(&packets->meter, meter_free);
    }
    g_array_set_size(packets->waiting, 0);
}

static void decide_by_packets(Packets *packets)
{
    decide(packets, meter_counts(packets->meter)->tcp > 0 ? PACKETS_YES : PACKETS_NO);
}

gboolean packets_takes(Packets *packets, gboolean is_export)
{
    if (packets->mode == PACKETS_AUTO) {
        packets->counts.others += !is_export;
        if (is_export)
            decide(packets, PACKETS_NO);
        else if (meter_counts(packets->meter)->packets >= PACKETS_LOOK)
            decide_by_packets(packets);
        return !is_export;
    }
    packets->counts.exports += is_export && packets->mode == PACKETS_YES;
    return packets->mode == PACKETS_YES;
}

void packets_end(Packets *packets)
{
    if (packets->mode == PACKETS_AUTO)
        decide_by_packets(packets);
    if (packets->mode == PACKETS_YES)
        meter_end(packets->meter);
}

gboolean packets_is_metered(const Packets *packets)
{
    return packets->mode == PACKETS_YES;
}

PacketsCounts packets_counts(const Packets *packets)
{
    PacketsCounts counts = packets->counts;
    if (packets->mode == PACKETS_YES)
        counts.others = 0;
    return counts;
}

const MeterCounts *packets_metered(const Packets *packets)
{
    return packets->mode == PACKETS_YES ? meter_counts(packets->meter) : NULL;
}
