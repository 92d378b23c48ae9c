/* SPDX-License-Identifier: Apache-2.0 */
/* What moves a score beside the evidence. Generated traffic. */
#include "adjust.h"

#include <criterion/criterion.h>

#include "engine_maker.h"

#define A_DAY 86400.0

static double points(const PstVerdict *v, const char *name)
{
    for (guint i = 0; i < v->n_reasons; i++)
        if (g_str_equal(v->reasons[i].name, name))
            return v->reasons[i].points;
    return 0;
}

/* In every row the points of the reasons add up to the score. */
static void check_sums(const Trial *trial)
{
    for (guint i = 0; i < trial->rows->len; i++) {
        const PstVerdict *v = &g_array_index(trial->rows, PstVerdict, i);
        double sum = 0;
        for (guint r = 0; r < v->n_reasons; r++)
            sum += v->reasons[r].points;
        cr_assert_eq(sum, v->score, "row %u: reasons %g, score %d", i, sum, v->score);
        cr_assert_leq(v->score, 1000);
        cr_assert_geq(v->score, 0);
    }
}

/* @n clients log in to A_UNIT's submission port and speak. */
static void clients_send(Trial *trial, double at, guint n)
{
    for (guint i = 0; i < n; i++) {
        Told told = {
            .at = at + i, .to = server(70000 + i), .port = 587, .client_port = (guint16)(1024 + i)};
        PstFlow flow = flow_told(&told);
        PstAddr ours = flow.src_addr;
        flow.src_addr = flow.dst_addr;
        flow.dst_addr = ours;
        flow.direction = PST_DIR_IN;
        trial_flow(trial, &flow);
    }
}

/* Half of the openings of the burst are not answered. */
static void dead_burst(Trial *trial, double at, guint n)
{
    for (guint i = 0; i < n; i++) {
        Told told = {.at = at + i * 0.2, .to = server(i), .client_port = (guint16)(1024 + i)};
        PstFlow flow = flow_told(&told);
        flow.tcp_flags = i % 4 != 0 ? 0x02 : 0x1b;
        trial->told++;
        trial_flow(trial, &flow);
    }
}

Test(adjust, submission_server_is_given_the_benefit_of_a_hundred_points)
{
    Trial relay, plain;
    trial_begin(&relay, NULL);
    trial_begin(&plain, NULL);
    for (guint i = 0; i < 2; i++)
        trial_tell(i ? &relay : &plain, (Told){.at = 500, .to = server(9), .client_port = 9});
    clients_send(&relay, 1000, 300);
    /* Hours later: no token is left of them. */
    burst(&relay, 40000, 1, 250, 25);
    burst(&plain, 40000, 1, 250, 25);
    const PstVerdict *flag = row(&relay, PST_BAND_FLAG, FALSE);
    cr_assert_eq(points(flag, "submission-server"), -100);
    cr_assert_geq(flag->evidence, 700);
    cr_assert_gt(relay.band_at[PST_BAND_FLAG], plain.band_at[PST_BAND_FLAG]);
    check_sums(&relay);
    check_sums(&plain);
    trial_end(&relay);
    trial_end(&plain);
}

Test(adjust, dead_destinations_only_order_the_queue)
{
    Trial dead, plain;
    trial_begin(&dead, NULL);
    trial_begin(&plain, NULL);
    dead_burst(&dead, 1000, 300);
    burst(&plain, 1000, 5, 300, 25);
    cr_assert_eq(dead.band_at[PST_BAND_FLAG], plain.band_at[PST_BAND_FLAG]);
    const PstVerdict *flag = row(&dead, PST_BAND_FLAG, FALSE);
    cr_assert_geq(flag->score, row(&plain, PST_BAND_FLAG, FALSE)->score);
    cr_assert_not_null(reason(flag, "dead-destinations"));
    cr_assert_null(reason(row(&plain, PST_BAND_FLAG, FALSE), "dead-destinations"));
    check_sums(&dead);
    trial_end(&dead);
    trial_end(&plain);
}

Test(adjust, new_customer_is_one_where_others_are_old)
{
    Trial fresh, old;
    trial_begin(&fresh, NULL);
    trial_begin(&old, NULL);
    for (guint day = 0; day < 30; day++)
        trial_tell(&old, (Told){.at = day * A_DAY + 10,
                                .unit = "203.0.113.9",
                                .to = server(day),
                                .client_port = (guint16)(1024 + day)});
    burst(&fresh, 1000, 0.5, 300, 25);
    burst(&old, 30 * A_DAY, 0.5, 300, 25);
    cr_assert_null(reason(row(&fresh, PST_BAND_FLAG, FALSE), "new-customer"));
    const PstVerdict *flag = row(&old, PST_BAND_FLAG, FALSE);
    cr_assert_str_eq(reason(flag, "new-customer"), "it sent its first mail 0 days ago");
    check_sums(&fresh);
    check_sums(&old);
    trial_end(&fresh);
    trial_end(&old);
}

Test(adjust, points_add_up_in_rows_that_are_completed_too)
{
    Trial trial;
    trial_begin(&trial, NULL);
    PstInput exempt = {.kind = PST_INPUT_EXEMPTED, .unit = unit_named(A_UNIT), .ceiling = 30};
    engine_input(trial.engine, &exempt);
    dead_burst(&trial, 1000, 2000);
    engine_finish(trial.engine);
    trial_take(&trial);
    cr_assert_eq(trial_count(&trial, PST_BAND_FLAG, TRUE), 1);
    check_sums(&trial);
    cr_assert_eq(points(row(&trial, PST_BAND_FLAG, FALSE), "exemption-ceiling"), -50);
    trial_end(&trial);
}
