/* SPDX-License-Identifier: Apache-2.0 */
#include "evidence_json.h"
#include "report.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

/* Any bytes as a complaint: whatever they say comes out as evidence that survives the bus. */
int LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
    char id[] = "mx.ours.example";
    char *ids[] = {id, NULL};
    static PstPrefixMap *networks; /* building one takes longer than reading a mail */
    if (networks == NULL)
        networks = pst_networks_load("192.0.2.0/24,2001:db8::/32", NULL);
    const ReportPlace place = {.authserv_ids = ids, .networks = networks};
    g_autoptr(Mail) mail = mail_new(text((const char *)data, size));
    g_autoptr(GPtrArray) all = report_read(mail, &place, 1);
    g_assert(all->len >= 1);
    for (guint i = 0; i < all->len; i++) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        g_autoptr(GString) json = g_string_new(NULL);
        pst_evidence_encode(all->pdata[i], bytes);
        g_autoptr(PstEvidence) back = pst_evidence_decode(bytes->data, bytes->len);
        g_assert(back != NULL);
        evidence_json_append(back, json);
        g_assert(g_utf8_validate(json->str, (gssize)json->len, NULL));
    }
    return 0;
}
