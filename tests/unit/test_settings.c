/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>

#include "settings.h"

static Settings settings;

static void setup(void)
{
    pst_conf_defaults(settings_rows, &settings);
}

static void teardown(void)
{
    pst_conf_clear(settings_rows, &settings);
}

TestSuite(settings, .init = setup, .fini = teardown);

static void set(const char *name, const char *value)
{
    cr_assert(pst_conf_set(settings_rows, "scorer", name, value, FALSE, &settings, NULL));
}

static void assert_refused(const char *words)
{
    EngineConf conf;
    g_autoptr(GError) error = NULL;
    cr_assert_not(settings_engine(&settings, &conf, &error));
    cr_assert(g_error_matches(error, PST_ERROR, PST_ERROR_USAGE));
    cr_assert_not_null(strstr(error->message, words), "%s", error->message);
}

Test(settings, the_documented_defaults_are_the_engines)
{
    EngineConf ours, engines;
    memset(&engines, 0, sizeof engines);
    engine_conf_init(&engines);
    cr_assert(settings_engine(&settings, &ours, NULL));
    cr_assert_eq(memcmp(ours.key, engines.key, sizeof ours.key), 0);
    cr_assert_eq(ours.novelty_bytes, engines.novelty_bytes);
    cr_assert_eq(ours.max_units, engines.max_units);
    cr_assert_eq(ours.max_episodes, engines.max_episodes);
    cr_assert_eq(ours.idle_s, engines.idle_s);
    cr_assert_eq(ours.watermark_s, engines.watermark_s);
    cr_assert_eq(ours.straggler_s, engines.straggler_s);
    cr_assert_eq(ours.clock_ahead_s, engines.clock_ahead_s);
    cr_assert_eq(ours.quiet_s, engines.quiet_s);
    for (guint i = 0; i < PST_PAIR_COUNT; i++)
        cr_assert_float_eq(ours.session_packets[i], engines.session_packets[i], 0);
    cr_assert_float_eq(ours.both_directions, engines.both_directions, 0);
    for (guint i = 0; i < 5; i++) {
        cr_assert_float_eq(ours.floor_sessions[i], engines.floor_sessions[i], 0);
        cr_assert_float_eq(ours.floor_destinations[i], engines.floor_destinations[i], 0);
    }
    for (guint i = 0; i < 4; i++) {
        cr_assert_float_eq(ours.phi_cold[i], engines.phi_cold[i], 0);
        cr_assert_float_eq(ours.phi_known[i], engines.phi_known[i], 0);
    }
    cr_assert_float_eq(ours.gate_cold, engines.gate_cold, 0);
    cr_assert_float_eq(ours.gate_known, engines.gate_known, 0);
    cr_assert_float_eq(ours.strangers, engines.strangers, 0);
    for (guint i = 0; i < PST_BAND_COUNT; i++)
        cr_assert_float_eq(ours.band_at[i], engines.band_at[i], 0);
    cr_assert_eq(ours.v6_unit_len, engines.v6_unit_len);
}

Test(settings, floors_are_five_positive_numbers)
{
    EngineConf conf;
    set("floor_sessions", "1,2,3,4,5.5");
    cr_assert(settings_engine(&settings, &conf, NULL));
    cr_assert_float_eq(conf.floor_sessions[4], 5.5, 0);
    static const char *const wrong[] = {"1,2,3,4", "1,2,3,4,0", "1,2,3,4,x", "1,2,3,4,-5", ""};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        set("floor_sessions", wrong[i]);
        assert_refused("five positive numbers");
    }
}

Test(settings, shares_of_the_floors_are_four_positive_numbers)
{
    EngineConf conf;
    set("phi_cold", "1,0.5,0.25,0.125");
    cr_assert(settings_engine(&settings, &conf, NULL));
    cr_assert_float_eq(conf.phi_cold[3], 0.125, 0);
    set("phi_known", "1,0.5,0.25");
    assert_refused("four positive numbers");
}

Test(settings, bands_must_rise)
{
    set("flag_at", "300");
    assert_refused("the bands must rise");
}

Test(settings, the_key_is_given_or_kept_in_the_state_folder)
{
    EngineConf first, second;
    g_autofree char *folder = g_dir_make_tmp("state-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(folder, "hash_secret", NULL);
    set("state", folder);
    cr_assert(settings_engine(&settings, &first, NULL));
    cr_assert(settings_engine(&settings, &second, NULL));
    cr_assert_eq(memcmp(first.key, second.key, sizeof first.key), 0, "kept");
    GStatBuf info;
    cr_assert_eq(g_stat(file, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600);

    set("hash_secret", "000102030405060708090a0b0c0d0e0f");
    cr_assert(settings_engine(&settings, &second, NULL));
    cr_assert_eq(second.key[0], G_GUINT64_CONSTANT(0x0001020304050607));
    cr_assert_eq(second.key[1], G_GUINT64_CONSTANT(0x08090a0b0c0d0e0f));
    set("hash_secret", "0001");
    assert_refused("32 hex digits");

    set("hash_secret", "");
    cr_assert(g_file_set_contents(file, "garbage", -1, NULL));
    assert_refused(file);
    g_unlink(file);
    g_rmdir(folder);
    assert_refused("state folder");
}
