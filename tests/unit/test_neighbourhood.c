/* SPDX-License-Identifier: Apache-2.0 */
/* Snowshoe: spam spread over a customer's addresses. Generated traffic. */
#include <criterion/criterion.h>

#include "engine_maker.h"

#define A_DAY  86400.0
#define A_HOOD "192.0.2.0/24"

static void assign(Trial *trial, const char *net, guint64 owner)
{
    PstInput input = {.kind = PST_INPUT_ASSIGNED, .unit = unit_named(net), .owner = owner};
    engine_input(trial->engine, &input);
}

static void mail(Trial *trial, double at, const char *unit, guint32 to)
{
    trial->told++;
    trial_tell(trial,
               (Told){.at = at, .unit = unit, .to = server(to), .client_port = (guint16)(to | 1)});
}

/* An installation that has seen four weeks of somebody else's light mail. */
static void begin_old(Trial *trial)
{
    trial_begin(trial, NULL);
    for (guint day = 0; day < 28; day++)
        mail(trial, day * A_DAY + 1000, "203.0.113.9", day);
}

/* @n addresses of A_HOOD from .1 on send @each, by turns, all to new servers, from @at on, @per_s
 * together. */
static void snowshoe(Trial *trial, double at, guint n, guint each, double per_s)
{
    for (guint i = 0; i < n * each; i++) {
        char unit[40];
        g_snprintf(unit, sizeof unit, "192.0.2.%u", 1 + i % n);
        mail(trial, at + i / per_s, unit, 100000 + (guint32)trial->told);
    }
}

/* Different units with a row of @band; in all of them @name must be a reason. */
static guint accused(const Trial *trial, PstBand band, const char *name)
{
    g_autoptr(GHashTable) units = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < trial->rows->len; i++) {
        const PstVerdict *v = &g_array_index(trial->rows, PstVerdict, i);
        char text[PST_PREFIX_TEXT_MAX];
        if (v->band != band || v->ended)
            continue;
        cr_assert_not_null(reason(v, name));
        g_hash_table_add(units, g_strdup(pst_prefix_format(&v->unit, text)));
    }
    return g_hash_table_size(units);
}

Test(neighbourhood, thin_spam_of_two_hundred_addresses_is_found)
{
    Trial trial;
    begin_old(&trial);
    assign(&trial, A_HOOD, 77);
    snowshoe(&trial, 28 * A_DAY, 200, 12, 1.5);
    cr_assert_eq(accused(&trial, PST_BAND_FLAG, "neighbourhood"), 200);
    cr_assert_eq(accused(&trial, PST_BAND_BLOCK, "neighbourhood"), 200);
    const PstVerdict *flag = row(&trial, PST_BAND_FLAG, FALSE);
    cr_assert_eq(flag->unit.len, 32);
    cr_assert_not_null(strstr(reason(flag, "neighbourhood"), A_HOOD));
    cr_assert_leq(flag->sessions_seen, 12, "its own");
    cr_assert_geq(trial.band_at[PST_BAND_FLAG] - 28, 1000, "ten times the gate: it is new");
    cr_assert_leq(trial.band_at[PST_BAND_FLAG] - 28, 1100);
    /* Every row is completed. */
    engine_finish(trial.engine);
    trial_take(&trial);
    cr_assert_eq(trial_count(&trial, PST_BAND_FLAG, FALSE),
                 trial_count(&trial, PST_BAND_FLAG, TRUE));
    trial_end(&trial);
}

Test(neighbourhood, samples_of_a_member_are_its_own)
{
    Trial trial;
    begin_old(&trial);
    assign(&trial, A_HOOD, 77);
    snowshoe(&trial, 28 * A_DAY, 100, 20, 1.5);
    guint samples = 0;
    for (guint i = 0; i < trial.rows->len; i++) {
        const PstVerdict *v = &g_array_index(trial.rows, PstVerdict, i);
        samples += v->n_samples;
        cr_assert_lt(v->n_samples, PST_VERDICT_SAMPLES);
    }
    cr_assert_gt(samples, 0);
    trial_end(&trial);
}

Test(neighbourhood, addresses_of_nobody_or_of_many_are_not_added_up)
{
    Trial nobody, many;
    begin_old(&nobody);
    begin_old(&many);
    for (guint i = 0; i < 128; i++) {
        g_autofree char *net = g_strdup_printf("192.0.2.%u/31", 2 * i);
        assign(&many, net, 1000 + i);
    }
    snowshoe(&nobody, 28 * A_DAY, 200, 12, 1.5);
    snowshoe(&many, 28 * A_DAY, 200, 12, 1.5);
    cr_assert_eq(nobody.rows->len, 0);
    cr_assert_eq(many.rows->len, 0);
    trial_end(&nobody);
    trial_end(&many);
}

Test(neighbourhood, fresh_installation_says_nothing_before_it_knows)
{
    Trial trial;
    trial_begin(&trial, NULL);
    assign(&trial, A_HOOD, 77);
    snowshoe(&trial, 1000, 200, 12, 1.5);
    cr_assert_eq(trial.rows->len, 0);
    trial_end(&trial);
}

Test(neighbourhood, resellers_usual_mail_is_learned)
{
    /* 200 addresses, together 1,500 an hour, every day from the first on. */
    Trial trial;
    trial_begin(&trial, NULL);
    assign(&trial, A_HOOD, 77);
    for (guint day = 0; day < 12; day++)
        snowshoe(&trial, day * A_DAY + 100, 200, 60, 1500 / 3600.0);
    cr_assert_eq(trial.rows->len, 0);
    trial_end(&trial);
}

Test(neighbourhood, member_within_its_own_history_takes_no_part)
{
    Trial trial;
    trial_begin(&trial, NULL);
    /* One of the addresses is a mail server of long standing: 40 an hour. */
    for (guint i = 0; i < 28 * 960; i++)
        mail(&trial, i * 90.0, "192.0.2.250", 3000 + i % 700);
    assign(&trial, A_HOOD, 77);
    for (guint i = 0; i < 2400; i++) {
        char unit[40];
        g_snprintf(unit, sizeof unit, "192.0.2.%u", 1 + i % 200);
        mail(&trial, 28 * A_DAY + i, i % 90 == 0 ? "192.0.2.250" : unit, 200000 + i);
    }
    cr_assert_geq(accused(&trial, PST_BAND_FLAG, "neighbourhood"), 195);
    for (guint i = 0; i < trial.rows->len; i++) {
        PstUnit server_unit = unit_named("192.0.2.250");
        const PstVerdict *v = &g_array_index(trial.rows, PstVerdict, i);
        if (v->time_ns >= ns_at(28 * A_DAY)) /* cold, it was watched for itself */
            cr_assert_not(pst_prefix_equal(&v->unit, &server_unit));
    }
    trial_end(&trial);
}

Test(neighbourhood, ipv6_prefixes_of_a_56_are_added_up)
{
    Trial trial;
    begin_old(&trial);
    assign(&trial, "2001:db8:1::/48", 5);
    for (guint i = 0; i < 2400; i++) {
        char unit[60];
        g_snprintf(unit, sizeof unit, "2001:db8:1:7%02x::%x", i % 200, 1 + i);
        mail(&trial, 28 * A_DAY + i / 1.5, unit, 100000 + i);
    }
    cr_assert_eq(accused(&trial, PST_BAND_FLAG, "neighbourhood"), 200);
    cr_assert_eq(row(&trial, PST_BAND_FLAG, FALSE)->unit.len, 64);
    trial_end(&trial);
}

Test(neighbourhood, false_positive_of_a_member_is_one_of_all)
{
    Trial trial;
    begin_old(&trial);
    assign(&trial, A_HOOD, 77);
    snowshoe(&trial, 28 * A_DAY, 200, 12, 1.5);
    guint before = trial.rows->len;
    PstInput input = {.kind = PST_INPUT_FALSE_POSITIVE, .unit = unit_named("192.0.2.7")};
    engine_input(trial.engine, &input);
    trial_take(&trial);
    cr_assert_gt(trial.rows->len, before, "the episode ends");
    guint flags = trial_count(&trial, PST_BAND_FLAG, FALSE);
    snowshoe(&trial, 29 * A_DAY, 200, 12, 1.5);
    cr_assert_eq(trial_count(&trial, PST_BAND_FLAG, FALSE), flags, "learned");
    trial_end(&trial);
}
