/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a batch: read to its end without a crash; what was read can be written and read
 * again, and is then the same. */
#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PstBatch batch = pst_batch(data, size);
    for (;;) {
        PstFlow flow, again;
        PstHeartbeat beat;
        PstCodecItem item = pst_batch_next(&batch, &flow, &beat);
        if (item == PST_CODEC_END || item == PST_CODEC_MALFORMED)
            return 0;
        if (item == PST_CODEC_HEARTBEAT)
            continue;
        guint8 out[PST_CODEC_FLOW_MAX];
        gsize n = pst_codec_put_flow(out, &flow);
        g_assert(n <= sizeof out);
        PstBatch one = pst_batch(out, n);
        g_assert(pst_batch_next(&one, &again, &beat) == PST_CODEC_FLOW);
        guint8 second[PST_CODEC_FLOW_MAX];
        g_assert(pst_codec_put_flow(second, &again) == n && memcmp(out, second, n) == 0);
        g_autoptr(GString) json = g_string_new(NULL);
        pst_codec_flow_json(&flow, json);
        g_assert(g_utf8_validate(json->str, (gssize)json->len, NULL));
    }
}
