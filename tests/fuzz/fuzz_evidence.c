/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a complaint from the bus: refused, or written and read again as the same. */
#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "postern/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(PstEvidence) evidence = pst_evidence_decode(data, size);
    if (evidence == NULL)
        return 0;
    g_autoptr(GByteArray) first = g_byte_array_new();
    g_autoptr(GByteArray) second = g_byte_array_new();
    pst_evidence_encode(evidence, first);
    g_autoptr(PstEvidence) again = pst_evidence_decode(first->data, first->len);
    g_assert(again != NULL);
    pst_evidence_encode(again, second);
    g_assert(first->len == second->len && memcmp(first->data, second->data, first->len) == 0);
    return 0;
}
