/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "postern/flow.h"
#include "postern/outcome.h"

#define S G_GINT64_CONSTANT(1000000000)

static PstFlow flow_of(gint64 start_s, gint64 end_s)
{
    return (PstFlow){.has = PST_HAS_START | PST_HAS_END,
                     .start_ns = start_s * S,
                     .end_ns = end_s * S,
                     .received_ns = 5000 * S};
}

Test(flow, event_time_is_the_start_of_a_short_record)
{
    PstFlow flow = flow_of(1000, 1120);
    cr_assert_eq(pst_flow_event_ns(&flow), 1000 * S);
}

Test(flow, event_time_is_the_end_of_a_long_record)
{
    PstFlow flow = flow_of(1000, 1120);
    flow.end_ns++;
    cr_assert_eq(pst_flow_event_ns(&flow), 1120 * S + 1);
}

Test(flow, event_time_falls_back_to_what_the_record_has)
{
    PstFlow flow = flow_of(1000, 1500);
    flow.has = PST_HAS_END;
    cr_assert_eq(pst_flow_event_ns(&flow), 1500 * S);
    flow.has = PST_HAS_START;
    cr_assert_eq(pst_flow_event_ns(&flow), 1000 * S);
    flow.has = 0;
    cr_assert_eq(pst_flow_event_ns(&flow), 5000 * S);
}

Test(flow, event_time_survives_absurd_times)
{
    PstFlow flow = flow_of(0, 0);
    flow.start_ns = G_MININT64;
    flow.end_ns = G_MAXINT64;
    cr_assert_eq(pst_flow_event_ns(&flow), G_MAXINT64);
    flow.start_ns = G_MAXINT64;
    flow.end_ns = G_MININT64;
    cr_assert_eq(pst_flow_event_ns(&flow), G_MAXINT64);
}

Test(flow, mail_ports_fall_into_two_pairs)
{
    static const guint16 mail[] = {25, 465, 587, 2525};
    for (gsize i = 0; i < G_N_ELEMENTS(mail); i++)
        cr_assert(pst_is_mail_port(mail[i]));
    static const guint16 other[] = {0, 24, 26, 464, 466, 586, 588, 2524, 2526};
    for (gsize i = 0; i < G_N_ELEMENTS(other); i++)
        cr_assert_not(pst_is_mail_port(other[i]));
    cr_assert_eq(pst_port_pair(25), PST_PAIR_SMTP);
    cr_assert_eq(pst_port_pair(587), PST_PAIR_SUBMISSION);
}

Test(flow, every_value_has_a_name)
{
    for (guint i = 0; i < PST_LOSS_COUNT; i++)
        cr_assert_not_null(pst_loss_name(i));
    for (guint i = 0; i <= PST_DIR_TRANSIT; i++)
        cr_assert_not_null(pst_direction_name(i));
    for (guint i = 0; i <= PST_RATE_OPERATOR; i++)
        cr_assert_not_null(pst_rate_source_name(i));
    for (guint i = 0; i <= PST_OUTCOME_UNCERTAIN; i++)
        cr_assert_not_null(pst_outcome_name(i));
    cr_assert_str_eq(pst_loss_name(PST_LOSS_NO_TEMPLATE), "no-template");
    cr_assert_str_eq(pst_direction_name(PST_DIR_OUT_REPLY), "out-reply");
}
