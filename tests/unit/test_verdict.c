/* SPDX-License-Identifier: Apache-2.0 */
#include "postern/verdict.h"

#include <criterion/criterion.h>
#include <json-glib/json-glib.h>
#include <locale.h>

static PstVerdict a_verdict(void)
{
    PstVerdict v = {
        .unit = {.addr = pst_addr_v4(0xc000020a), .len = 32},
        .band = PST_BAND_FLAG,
        .time_ns = G_GINT64_CONSTANT(1777594609800000000),
        .evidence = 612.5,
        .score = 612,
        .sessions_seen = 50,
        .sessions_low = 48.5,
        .destinations_seen = 47,
        .usual = 1.44,
        .window_s = 10,
        .channel = 'D',
        .sampling = 1,
        .ports = {25, 587},
        .cold = TRUE,
        .n_reasons = 2,
        .n_samples = 1,
    };
    v.exporters[0] = pst_addr_v4(0xc6336401);
    v.reasons[0] =
        (PstReason){.name = "burst", .points = 612, .text = g_strdup("50 \"new\"\\\n\x01 ones")};
    v.reasons[1] = (PstReason){.name = "ports", .text = g_strdup("ports 25, 587")};
    v.samples[0] = (PstSample){.at_ns = 5,
                               .destination = pst_addr_v4(0xcb007105),
                               .port = 25,
                               .src_port = 40000,
                               .packets = 14,
                               .bytes = 5000,
                               .tcp_flags = 0x1b,
                               .has_flags = TRUE};
    return v;
}

static JsonNode *parsed(char *text_take)
{
    g_autofree char *text = text_take;
    g_autoptr(GError) error = NULL;
    JsonNode *node = json_from_string(text, &error);
    cr_assert_not_null(node, "%s: %s", error != NULL ? error->message : "", text);
    return node;
}

Test(verdict, is_one_line_of_json_with_the_documented_keys)
{
    g_auto(PstVerdict) v = a_verdict();
    g_autofree char *line = pst_verdict_to_json(&v);
    cr_assert_null(strchr(line, '\n'));
    g_autoptr(JsonNode) node = parsed(g_strdup(line));
    JsonObject *object = json_node_get_object(node);
    cr_assert_str_eq(json_object_get_string_member(object, "unit"), "192.0.2.10");
    cr_assert_str_eq(json_object_get_string_member(object, "band"), "flag");
    cr_assert_eq(json_object_get_int_member(object, "time_ns"), v.time_ns);
    cr_assert_eq(json_object_get_double_member(object, "evidence"), 612.5);
    cr_assert_eq(json_object_get_int_member(object, "score"), 612);
    cr_assert_eq(json_object_get_int_member(object, "sessions_seen"), 50);
    cr_assert_float_eq(json_object_get_double_member(object, "sessions_low"), 48.5, 1e-9);
    cr_assert_eq(json_object_get_int_member(object, "destinations_seen"), 47);
    JsonArray *ports = json_object_get_array_member(object, "ports");
    cr_assert_eq(json_array_get_length(ports), 2);
    cr_assert_eq(json_array_get_int_element(ports, 1), 587);
    JsonArray *reasons = json_object_get_array_member(object, "reasons");
    cr_assert_eq(json_array_get_length(reasons), 2);
}

Test(verdict, text_of_reasons_survives_quotes_and_control_characters)
{
    g_auto(PstVerdict) v = a_verdict();
    g_autoptr(JsonNode) node = parsed(pst_verdict_reasons_json(&v));
    JsonObject *first = json_array_get_object_element(json_node_get_array(node), 0);
    cr_assert_str_eq(json_object_get_string_member(first, "text"), v.reasons[0].text);
    cr_assert_eq(json_object_get_int_member(first, "points"), 612);
}

Test(verdict, facts_of_a_reason_stand_beside_its_text)
{
    g_auto(PstVerdict) v = a_verdict();
    v.reasons[1].facts = g_strdup("\"ports\":[25,587]");
    g_autoptr(JsonNode) node = parsed(pst_verdict_reasons_json(&v));
    JsonArray *reasons = json_node_get_array(node);
    JsonObject *first = json_array_get_object_element(reasons, 0);
    cr_assert_eq(json_object_get_size(first), 3, "name, points, text");
    JsonObject *second = json_array_get_object_element(reasons, 1);
    cr_assert_str_eq(json_object_get_string_member(second, "text"), "ports 25, 587");
    JsonArray *ports = json_object_get_array_member(second, "ports");
    cr_assert_eq(json_array_get_int_element(ports, 1), 587);
}

Test(verdict, samples_are_an_array_of_flows)
{
    g_auto(PstVerdict) v = a_verdict();
    g_autoptr(JsonNode) node = parsed(pst_verdict_samples_json(&v));
    JsonObject *first = json_array_get_object_element(json_node_get_array(node), 0);
    cr_assert_str_eq(json_object_get_string_member(first, "destination"), "203.0.113.5");
    cr_assert_eq(json_object_get_int_member(first, "tcp_flags"), 0x1b);
    v.samples[0].has_flags = FALSE;
    g_autoptr(JsonNode) without = parsed(pst_verdict_samples_json(&v));
    first = json_array_get_object_element(json_node_get_array(without), 0);
    cr_assert_not(json_object_has_member(first, "tcp_flags"), "what is not known is left out");
}

Test(verdict, numbers_do_not_follow_the_locale)
{
    /* Where no such locale is installed this only repeats the check above. */
    (void)setlocale(LC_ALL, "de_DE.UTF-8");
    g_auto(PstVerdict) v = a_verdict();
    g_autofree char *line = pst_verdict_to_json(&v);
    cr_assert_not_null(strstr(line, "\"evidence\":612.5,"));
}

Test(verdict, clear_frees_the_words_once)
{
    PstVerdict v = a_verdict();
    pst_verdict_clear(&v);
    cr_assert_eq(v.n_reasons, 0);
    pst_verdict_clear(&v);
    g_autofree char *none = pst_verdict_reasons_json(&v);
    cr_assert_str_eq(none, "[]");
}

Test(verdict, bands_have_names)
{
    cr_assert_str_eq(pst_band_name(PST_BAND_WATCH), "watch");
    cr_assert_str_eq(pst_band_name(PST_BAND_FLAG), "flag");
    cr_assert_str_eq(pst_band_name(PST_BAND_BLOCK), "block");
}
