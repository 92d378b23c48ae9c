/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "mail_fold.h"
#include "template.h"

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static const PstTemplateSource *part_of(const char *name, gpointer user)
{
    return strcmp(name, "a") == 0 ? user : NULL;
}

/* Any bytes as template, as a part of it, and as value. */
int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    static const char *const columns[] = {"at", NULL};
    static const PstTemplateWord words[] = {{"a", NULL}, {"rows", columns}, {NULL, NULL}};
    PstTemplateChannel channel = size % 2 == 0 ? PST_TEMPLATE_TEXT : PST_TEMPLATE_HTML;
    PstTemplateSource source = {"fuzz", (const char *)data, size};
    g_autoptr(PstTemplate) t = pst_template_parse(&source, channel, words, part_of, &source, NULL);
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
