/* SPDX-License-Identifier: Apache-2.0 */
#include "mime.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

/* Any bytes as a mail: the parts, their parameters and their decoded bodies. */
int LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
    g_autoptr(Mime) mime = mime_new(text((const char *)data, size));
    for (guint i = 0; i < mime_count(mime); i++) {
        const MimePart *part = mime_part(mime, i);
        g_assert(part->parent < (int)i && part->depth <= MIME_DEPTH_MAX);
        g_assert(part->header.len <= MIME_HEADER_MAX);
        g_autofree char *charset = mime_parameter(part, "charset");
        g_autofree char *words = mime_decode_words(part->header, 998);
        g_autoptr(GString) body = mime_decode(part, 4096);
        gint64 date;
        (void)mime_date(part->header, &date);
    }
    return 0;
}
