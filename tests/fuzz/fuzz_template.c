/* SPDX-License-Identifier: Apache-2.0 */
#include "mail_fold.h"
#include "template.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

/* Any bytes as template, and the same bytes as value. */
int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    static const char *const columns[] = {"at", NULL};
    static const PstTemplateWord words[] = {{"a", NULL}, {"rows", columns}, {NULL, NULL}};
    PstTemplateChannel channel = size % 2 == 0 ? PST_TEMPLATE_TEXT : PST_TEMPLATE_HTML;
    g_autoptr(PstTemplate) t =
        pst_template_parse("fuzz", (const char *)data, size, channel, words, NULL);
    if (t == NULL)
        return 0;
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(PstTemplateValues) v = pst_template_values_new();
    pst_template_set(v, "a", text);
    pst_template_set(pst_template_row(v, "rows"), "at", text);
    g_autofree char *out = pst_template_render(t, v);
    g_assert(g_utf8_validate(out, -1, NULL));
    g_autofree char *folded = pst_mail_fold(out);
    g_assert(g_utf8_validate(folded, -1, NULL));
    return 0;
}
