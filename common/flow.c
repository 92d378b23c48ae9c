/* SPDX-License-Identifier: Apache-2.0 */
#include "postern/flow.h"

#define LONG_RECORD_NS (120 * G_GINT64_CONSTANT(1000000000))

const char *pst_loss_name(PstLoss loss)
{
    static const char *const names[PST_LOSS_COUNT] = {
        [PST_LOSS_NETWORK] = "network",
        [PST_LOSS_KERNEL] = "kernel",
        [PST_LOSS_MALFORMED] = "malformed",
        [PST_LOSS_NO_TEMPLATE] = "no-template",
        [PST_LOSS_NOT_ADMITTED] = "not-admitted",
        [PST_LOSS_QUEUE] = "queue",
        [PST_LOSS_SPOOL] = "spool",
        [PST_LOSS_BUS] = "bus",
        [PST_LOSS_DOWN] = "down",
    };
    g_assert((guint)loss < PST_LOSS_COUNT);
    return names[loss];
}

const char *pst_rate_source_name(PstRateSource source)
{
    static const char *const names[] = {
        [PST_RATE_NONE] = "none",         [PST_RATE_HEADER] = "header",
        [PST_RATE_OPTIONS] = "options",   [PST_RATE_RECORD] = "record",
        [PST_RATE_OPERATOR] = "operator",
    };
    g_assert((gsize)source < G_N_ELEMENTS(names));
    return names[source];
}

const char *pst_direction_name(PstDirection direction)
{
    static const char *const names[] = {
        [PST_DIR_UNKNOWN] = "unknown",           [PST_DIR_OUT] = "out",
        [PST_DIR_OUT_REPLY] = "out-reply",       [PST_DIR_IN] = "in",
        [PST_DIR_IN_REPLY] = "in-reply",         [PST_DIR_INSIDE] = "inside",
        [PST_DIR_INSIDE_REPLY] = "inside-reply", [PST_DIR_TRANSIT] = "transit",
    };
    g_assert((gsize)direction < G_N_ELEMENTS(names));
    return names[direction];
}

gint64 pst_flow_event_ns(const PstFlow *flow)
{
    gboolean has_start = (flow->has & PST_HAS_START) != 0;
    gboolean has_end = (flow->has & PST_HAS_END) != 0;
    if (!has_start)
        return has_end ? flow->end_ns : flow->received_ns;
    /* as a difference of unsigned numbers: times from the wire may lie anywhere */
    gboolean is_long = has_end && flow->end_ns > flow->start_ns &&
                       (guint64)flow->end_ns - (guint64)flow->start_ns > LONG_RECORD_NS;
    return is_long ? flow->end_ns : flow->start_ns;
}

gboolean pst_is_mail_port(guint16 port)
{
    return port == 25 || port == 465 || port == 587 || port == 2525;
}

PstPortPair pst_port_pair(guint16 port)
{
    return port == 25 ? PST_PAIR_SMTP : PST_PAIR_SUBMISSION;
}
