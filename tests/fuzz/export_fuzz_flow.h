/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What must hold for every flow that comes out of a decoder. */
#include "codec.h"
#include "decoder.h"

#define FUZZ_NOW_NS (G_GINT64_CONSTANT(1790000000) * G_GINT64_CONSTANT(1000000000))

static inline void fuzz_flow(gpointer user, PstFlow *flow, Domain *domain)
{
    guint8 out[PST_CODEC_FLOW_MAX];
    g_assert(flow->sampling_rate >= 1);
    g_assert(!(flow->has & PST_HAS_START) || !(flow->has & PST_HAS_END) ||
             flow->end_ns >= flow->start_ns);
    g_assert(flow->received_ns == FUZZ_NOW_NS);
    g_assert(pst_codec_put_flow(out, flow) <= sizeof out);
}
