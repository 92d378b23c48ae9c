/* SPDX-License-Identifier: Apache-2.0 */
#include "remark.h"

static void remark_lost(Remarks *remarks, const char *subject, const RemarkSource *source)
{
    guint64 total = 0;
    for (guint i = 0; i < PST_LOSS_COUNT; i++)
        total += source->lost[i];
    if (total <= remarks->lost)
        return;
    remarks->lost = total;
    g_autoptr(GString) reasons = g_string_new(NULL);
    for (guint i = 0; i < PST_LOSS_COUNT; i++) {
        if (source->lost[i] > 0)
            g_string_append_printf(reasons, " %s=%" G_GUINT64_FORMAT, pst_loss_name((PstLoss)i),
                                   source->lost[i]);
    }
    pst_log_limited(&remarks->limits[REMARK_LOST], PST_LOG_WARN, subject,
                    "records were lost, in all since the start:%s received=%" G_GUINT64_FORMAT,
                    reasons->str, source->received);
}

static void remark_broken(Remarks *remarks, const char *subject, const RemarkSource *source)
{
    if (source->broken <= remarks->broken)
        return;
    remarks->broken = source->broken;
    pst_log_limited(&remarks->limits[REMARK_BROKEN], PST_LOG_WARN, subject,
                    "sent what is not used, last because: %s reason=%s in_all=%" G_GUINT64_FORMAT,
                    drop_text(source->drop), drop_name(source->drop), source->broken);
}

static void remark_clock(Remarks *remarks, const char *subject, const RemarkSource *source)
{
    gboolean wrong = ABS(source->clock_ahead_ns) > REMARK_CLOCK_NS;
    if (wrong == remarks->clock_wrong)
        return;
    remarks->clock_wrong = wrong;
    pst_log_limited(&remarks->limits[REMARK_CLOCK], wrong ? PST_LOG_WARN : PST_LOG_NOTICE, subject,
                    "its clock is %s ahead_s=%" G_GINT64_FORMAT, wrong ? "wrong" : "right again",
                    source->clock_ahead_ns / G_GINT64_CONSTANT(1000000000));
}

void remarks_make(Remarks *remarks, const PstAddr *exporter, const RemarkSource *source)
{
    char text[PST_ADDR_TEXT_MAX];
    g_autofree char *subject = g_strconcat("exporter ", pst_addr_format(exporter, text), NULL);
    remark_lost(remarks, subject, source);
    remark_broken(remarks, subject, source);
    remark_clock(remarks, subject, source);
}
