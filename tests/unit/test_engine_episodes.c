/* SPDX-License-Identifier: Apache-2.0 */
/* What an episode says, when it ends, and what people decide about it. Generated traffic. */
#include <criterion/criterion.h>

#include "engine_maker.h"

/* --- evidence ----------------------------------------------------------------------------- */

Test(engine_episodes, evidence_is_said_in_words)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 60; i++) {
        Told told = {.at = 1000 + i * 0.1, .to = server(i), .client_port = (guint16)(1024 + i)};
        PstFlow flow = flow_told(&told);
        if (i % 4 == 0)
            flow.tcp_flags = 0x02;
        trial_flow(&trial, &flow);
    }
    const PstVerdict *flag = row(&trial, PST_BAND_FLAG, FALSE);
    cr_assert_str_eq(reason(flag, "burst"),
                     "50 new destinations on port 25 within 10 s; an address without a history of "
                     "mail is allowed up to 1.1");
    cr_assert_str_eq(reason(flag, "magnitude"),
                     "50 sessions to 50 new destinations in the last 3 to 6 hours");
    cr_assert_str_eq(reason(flag, "ports"), "destination port 25");
    cr_assert_str_eq(reason(flag, "exporters"), "reported by router 198.51.100.1 (sampling 1:1)");
    cr_assert_not_null(strstr(reason(flag, "failed-openings"), "were not answered"));
    cr_assert_gt(flag->failed, 0);
    trial_end(&trial);
}

Test(engine_episodes, evidence_is_said_in_numbers_for_programs)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 60; i++)
        trial_tell(&trial, (Told){.at = 1000 + i * 0.1,
                                  .to = server(i),
                                  .client_port = (guint16)(1024 + i),
                                  .port = i % 4 == 0 ? 587 : 25});
    const PstVerdict *flag = row(&trial, PST_BAND_FLAG, FALSE);
    cr_assert_str_eq(facts(flag, "burst"),
                     "\"counted\":\"destinations\",\"pair\":\"smtp\",\"window_seconds\":10,"
                     "\"seen\":37,\"allowed\":1.1,\"history\":\"none\",\"sampling\":1");
    cr_assert_str_eq(facts(flag, "magnitude"),
                     "\"span\":\"3h\",\"sessions\":50,\"destinations\":50,\"estimate\":50,"
                     "\"certain\":50,\"sampling\":1");
    cr_assert_str_eq(facts(flag, "failed-openings"), "\"failed\":0,\"of\":24");
    cr_assert_str_eq(facts(flag, "ports"), "\"ports\":[25,587]");
    cr_assert_str_eq(facts(flag, "exporters"),
                     "\"routers\":[{\"router\":\"198.51.100.1\",\"sampling\":1}]");
    trial_end(&trial);
}

static gboolean says(const PstVerdict *v, const char *name, const char *words)
{
    return strstr(reason(v, name), words) != NULL;
}

Test(engine_episodes, what_samples_stand_for_is_said_too)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 12; i++)
        trial_tell(&trial, (Told){.at = 1000 + i * 100,
                                  .to = server(i),
                                  .client_port = (guint16)(1024 + i),
                                  .rate = 1000});
    const PstVerdict *watch = row(&trial, PST_BAND_WATCH, FALSE);
    cr_assert(says(watch, "burst", " in samples on port 25 within "));
    cr_assert(says(watch, "burst", "without a history of mail is allowed one in "));
    cr_assert_not_null(strstr(facts(watch, "burst"), "\"one_in\":"));
    cr_assert(says(watch, "burst", " such spans"));
    cr_assert(
        says(watch, "magnitude", " seen in samples in the last 3 to 6 hours: that is about "));
    const PstVerdict *block = row(&trial, PST_BAND_BLOCK, FALSE);
    cr_assert(says(block, "burst", ", after others in the spans before; "));
    cr_assert_not_null(strstr(facts(block, "burst"), ",\"before\":"));
    trial_end(&trial);
}

Test(engine_episodes, router_that_is_not_named_is_not_spoken_of)
{
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 60; i++) {
        Told told = {.at = 1000 + i * 0.1, .to = server(i), .client_port = (guint16)(1024 + i)};
        PstFlow flow = flow_told(&told);
        flow.sampler = (PstAddr){0};
        trial_flow(&trial, &flow);
    }
    const PstVerdict *flag = row(&trial, PST_BAND_FLAG, FALSE);
    for (guint i = 0; i < flag->n_reasons; i++)
        cr_assert_str_neq(flag->reasons[i].name, "exporters");
    trial_end(&trial);
}

Test(engine_episodes, points_of_the_reasons_add_up_to_the_score)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 400, 25);
    engine_finish(trial.engine);
    trial_take(&trial);
    for (guint i = 0; i < trial.rows->len; i++) {
        const PstVerdict *v = &g_array_index(trial.rows, PstVerdict, i);
        double sum = 0;
        for (guint r = 0; r < v->n_reasons; r++)
            sum += v->reasons[r].points;
        cr_assert_eq((int)sum, v->score);
    }
    trial_end(&trial);
}

Test(engine_episodes, samples_are_the_first_the_last_and_some_between)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 1000, 25);
    engine_finish(trial.engine);
    trial_take(&trial);
    const PstVerdict *v = row(&trial, PST_BAND_BLOCK, TRUE);
    cr_assert_eq(v->n_samples, PST_VERDICT_SAMPLES);
    for (guint i = 1; i < v->n_samples; i++)
        cr_assert_gt(v->samples[i].at_ns, v->samples[i - 1].at_ns);
    cr_assert_eq(v->samples[0].at_ns, v->first_ns);
    cr_assert_eq(v->samples[15].at_ns, v->last_ns);
    cr_assert_eq(v->last_ns, ns_at(1000 + 999 / 5.0));
    trial_end(&trial);
}

/* --- episodes ----------------------------------------------------------------------------- */

Test(engine_episodes, episode_ends_after_half_an_hour_of_quiet_and_completes_its_rows)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 400, 25);
    cr_assert_eq(engine_stats(trial.engine)->episodes, 1);
    guint before = trial.rows->len;
    for (double at = 1100; trial.rows->len == before; at += 30) {
        cr_assert_lt(at, 30000, "the episode never ends");
        trial_beat(&trial, A_ROUTER, at);
    }
    cr_assert_geq(engine_stats(trial.engine)->watermark_ns, ns_at(1080 + 1800 - 120));
    for (guint band = 0; band < PST_BAND_COUNT; band++) {
        const PstVerdict *given = row(&trial, (PstBand)band, FALSE);
        const PstVerdict *ended = row(&trial, (PstBand)band, TRUE);
        cr_assert_eq(ended->episode_ns, given->episode_ns);
        cr_assert_eq(ended->time_ns, given->time_ns);
        cr_assert_eq(ended->position, given->position);
        cr_assert_eq(ended->sessions_seen, 400);
        cr_assert_eq(ended->destinations_seen, 400);
        cr_assert_eq(ended->last_ns, ns_at(1000 + 399 / 5.0));
        cr_assert_geq(ended->evidence, given->evidence);
    }
    cr_assert_eq(engine_stats(trial.engine)->episodes, 0);
    trial_end(&trial);
}

Test(engine_episodes, attention_that_leads_to_nothing_leaves_no_trace)
{
    /* At 1:4096 one sighting is attention. A burst two hours later is told from its own start. */
    Trial trial;
    trial_begin(&trial, NULL);
    trial_tell(&trial, (Told){.at = 1000, .to = server(1), .client_port = 1, .rate = 4096});
    for (double at = 1000; at < 8000; at += 60)
        trial_beat(&trial, A_ROUTER, at);
    for (guint i = 0; i < 10; i++)
        trial_tell(&trial, (Told){.at = 8000 + i * 10,
                                  .to = server(9000 + i),
                                  .client_port = (guint16)(1024 + i),
                                  .rate = 4096});
    cr_assert_eq(row(&trial, PST_BAND_FLAG, FALSE)->first_ns, ns_at(8000));
    trial_end(&trial);
}

Test(engine_episodes, next_burst_is_a_new_episode)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 400, 25);
    for (double at = 1100; at < 40000; at += 60)
        trial_beat(&trial, A_ROUTER, at);
    for (guint i = 0; i < 400; i++)
        trial_tell(&trial, (Told){.at = 40000 + i * 0.2,
                                  .to = server(9000 + i),
                                  .client_port = (guint16)(1024 + i)});
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, FALSE), 2);
    trial_end(&trial);
}

static PstInput input(PstInputKind kind, const char *unit)
{
    return (PstInput){.id = 1, .kind = kind, .unit = unit_named(unit)};
}

Test(engine_episodes, release_ends_the_episode_and_first_honest_mail_is_quiet)
{
    /* Sampled, where M would stay high for days. */
    Trial trial;
    trial_begin(&trial, NULL);
    for (guint i = 0; i < 60; i++)
        trial_tell(&trial, (Told){.at = 1000 + i * 5,
                                  .to = server(i),
                                  .rate = 4096,
                                  .client_port = (guint16)(1024 + i)});
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, FALSE), 1);
    PstInput release = input(PST_INPUT_RELEASED, A_UNIT);
    engine_input(trial.engine, &release);
    trial_take(&trial);
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, TRUE), 1);
    for (guint i = 0; i < 2; i++)
        trial_tell(&trial, (Told){.at = 1400 + i * 3600,
                                  .to = server(7000 + i),
                                  .rate = 4096,
                                  .client_port = (guint16)(9024 + i)});
    cr_assert_eq(trial_count(&trial, PST_BAND_FLAG, FALSE), 1, "no new flag");
    trial_end(&trial);
}

Test(engine_episodes, release_of_another_unit_changes_nothing)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 100, 25);
    g_autofree char *before = engine_digest(trial.engine);
    PstInput release = input(PST_INPUT_RELEASED, "192.0.2.11");
    engine_input(trial.engine, &release);
    g_autofree char *after = engine_digest(trial.engine);
    cr_assert_str_eq(before, after);
    trial_end(&trial);
}

Test(engine_episodes, exemption_holds_up_to_its_ceiling_and_no_further)
{
    Trial trial;
    trial_begin(&trial, NULL);
    PstInput exempt = input(PST_INPUT_EXEMPTED, A_UNIT);
    exempt.ceiling = 500;
    engine_input(trial.engine, &exempt);
    burst(&trial, 1000, 20, 450, 25);
    cr_assert_eq(trial.band_at[PST_BAND_FLAG], 0);
    for (guint i = 0; i < 20000; i++)
        trial_tell(&trial, (Told){.at = 1100 + i / 20.0,
                                  .to = server(1000 + i),
                                  .client_port = (guint16)(1024 + i)});
    cr_assert_eq(trial_count(&trial, PST_BAND_FLAG, FALSE), 1);
    cr_assert_str_eq(reason(row(&trial, PST_BAND_FLAG, FALSE), "exemption-ceiling"),
                     "exempted up to 500 sessions an hour, which it exceeds");
    trial_end(&trial);
}

Test(engine_episodes, exemption_of_a_net_holds_for_units_seen_before_and_after)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 1, 5, 25);
    PstInput exempt = input(PST_INPUT_EXEMPTED, A_UNIT);
    exempt.unit = pst_prefix_of(&exempt.unit.addr, 24);
    exempt.ceiling = 500;
    engine_input(trial.engine, &exempt);
    burst(&trial, 1010, 20, 440, 25);
    cr_assert_eq(trial.band_at[PST_BAND_FLAG], 0);
    trial_end(&trial);
}

Test(engine_episodes, end_of_an_exemption_does_not_judge_the_past)
{
    Trial trial;
    trial_begin(&trial, NULL);
    PstInput exempt = input(PST_INPUT_EXEMPTED, A_UNIT);
    exempt.ceiling = 500;
    engine_input(trial.engine, &exempt);
    burst(&trial, 1000, 20, 450, 25);
    exempt.ceiling = 0;
    engine_input(trial.engine, &exempt);
    burst(&trial, 1030, 1, 5, 25);
    cr_assert_eq(trial.band_at[PST_BAND_WATCH], 0);
    trial_end(&trial);
}

Test(engine_episodes, unit_length_cuts_units_anew)
{
    Trial trial;
    trial_begin(&trial, NULL);
    PstInput cut = input(PST_INPUT_UNIT_LEN, "2001:db8:1::/48");
    cut.unit_len = 56;
    engine_input(trial.engine, &cut);
    for (guint i = 0; i < 200; i++) {
        char client[40];
        g_snprintf(client, sizeof client, "2001:db8:1:2%02x::1", i);
        trial_tell(&trial, (Told){.at = 1000 + i * 0.2,
                                  .unit = client,
                                  .to = server(i),
                                  .client_port = (guint16)(1024 + i)});
    }
    cr_assert_eq(engine_stats(trial.engine)->units, 1);
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, FALSE), 1);
    cut.unit_len = 64;
    engine_input(trial.engine, &cut);
    trial_take(&trial);
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, TRUE), 1, "the old unit's episode ended");
    cr_assert_eq(engine_stats(trial.engine)->units, 0);
    trial_end(&trial);
}

Test(engine_episodes, reassigned_address_starts_from_nothing)
{
    Trial trial;
    trial_begin(&trial, NULL);
    burst(&trial, 1000, 5, 400, 25);
    PstInput reassigned = input(PST_INPUT_REASSIGNED, A_UNIT);
    engine_input(trial.engine, &reassigned);
    trial_take(&trial);
    cr_assert_eq(trial_count(&trial, PST_BAND_BLOCK, TRUE), 1);
    cr_assert_eq(engine_stats(trial.engine)->units, 0);
    trial_end(&trial);
}
