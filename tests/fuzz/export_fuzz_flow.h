/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What must hold for every flow that comes out of a decoder. */
#include <string.h>

#include "codec.h"
#include "decoder.h"

#define FUZZ_NOW_NS (G_GINT64_CONSTANT(1790000000) * G_GINT64_CONSTANT(1000000000))

static inline const PstPrefixMap *fuzz_networks(void)
{
    static PstPrefixMap *networks;
    static const char *const ours[] = {"198.18.0.0/15", "2001:db8::/32"};
    if (networks != NULL)
        return networks;
    networks = pst_prefix_map_new();
    for (gsize i = 0; i < G_N_ELEMENTS(ours); i++) {
        PstPrefix prefix;
        gboolean ok = pst_prefix_parse(ours[i], strlen(ours[i]), TRUE, &prefix);
        g_assert(ok);
        pst_prefix_map_add(networks, &prefix, 1);
    }
    pst_prefix_map_seal(networks);
    return networks;
}

/* Whose it is: an address of ours, wherever there is one. */
static inline void fuzz_direction(PstFlow *flow)
{
    static const PortSet ports = {.bits = {[25 / 64] = 1u << 25}};
    gboolean ours;
    const PstAddr *customer = normalize_direction(flow, fuzz_networks(), &ports, &ours);
    g_assert(customer == &flow->src_addr || customer == &flow->dst_addr);
    g_assert(ours == pst_prefix_map_find(fuzz_networks(), customer, NULL, NULL));
    g_assert(ours == (flow->direction != PST_DIR_TRANSIT));
}

static inline void fuzz_flow(gpointer user, PstFlow *flow, Domain *domain)
{
    guint8 out[PST_CODEC_FLOW_MAX];
    g_assert(flow->sampling_rate >= 1);
    g_assert(!(flow->has & PST_HAS_START) || !(flow->has & PST_HAS_END) ||
             flow->end_ns >= flow->start_ns);
    g_assert(flow->received_ns == FUZZ_NOW_NS);
    fuzz_direction(flow);
    g_assert(pst_codec_put_flow(out, flow) <= sizeof out);
}
