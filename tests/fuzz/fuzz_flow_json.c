/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a line of JSON: refused, or a flow that is printed and read again as the same. What
 * the reader of the plain form takes, the other one reads as the same flow. */
#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PstFlow flow, again;
    gsize plain = pst_codec_flow_from_plain_json((const char *)data, size, &flow);
    g_assert(plain <= size);
    if (plain > 0) {
        g_assert(pst_codec_flow_from_json((const char *)data, plain, &again));
        guint8 a[PST_CODEC_FLOW_MAX], b[PST_CODEC_FLOW_MAX];
        gsize n = pst_codec_put_flow(a, &flow);
        g_assert(pst_codec_put_flow(b, &again) == n && memcmp(a, b, n) == 0);
    }
    if (!pst_codec_flow_from_json((const char *)data, size, &flow))
        return 0;
    g_autoptr(GString) first = g_string_new(NULL);
    g_autoptr(GString) second = g_string_new(NULL);
    pst_codec_flow_json(&flow, first);
    /* a number beyond 2^63 is printed, but json-glib cannot read it back */
    if (pst_codec_flow_from_json(first->str, first->len, &again)) {
        pst_codec_flow_json(&again, second);
        g_assert(strcmp(first->str, second->str) == 0 || flow.start_ns <= 0 || flow.end_ns <= 0);
    }
    return 0;
}
