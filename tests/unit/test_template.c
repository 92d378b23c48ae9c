/* SPDX-License-Identifier: Apache-2.0 */
#include "template.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *const columns[] = {"at", "destination", NULL};
static const PstTemplateWord words[] = {
    {"unit", NULL}, {"note", NULL}, {"samples", columns}, {NULL, NULL}};

/* The parts that the templates here may hold. */
static const PstTemplateSource *part_of(const char *name, gpointer user)
{
    static const struct {
        const char *name, *text;
    } texts[] = {{"head", "Address: {{unit}}\n"},
                 {"row", "- {{at}}\n"},
                 {"nested", "{{>head}}"},
                 {"open", "a\n{{#samples}}"},
                 {"closing", "a\n{{/samples}}"},
                 {"wrong", "a\nb {{unknown}}"},
                 {"bytes", "a\n\xff"}};
    static PstTemplateSource source;
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        if (strcmp(name, texts[i].name) == 0) {
            source = (PstTemplateSource){"_part.txt", texts[i].text, strlen(texts[i].text)};
            return &source;
        }
    return NULL;
}

static char *rendered(const char *text, PstTemplateChannel channel, const PstTemplateValues *values)
{
    g_autoptr(GError) error = NULL;
    PstTemplateSource source = {"t.txt", text, strlen(text)};
    g_autoptr(PstTemplate) t = pst_template_parse(&source, channel, words, part_of, NULL, &error);
    cr_assert_not_null(t, "%s", error != NULL ? error->message : "");
    return pst_template_render(t, values);
}

static void expect(const char *text, const PstTemplateValues *values, const char *expected)
{
    g_autofree char *got = rendered(text, PST_TEMPLATE_TEXT, values);
    cr_assert_str_eq(got, expected);
}

static void expect_refused(const char *text, const char *message)
{
    g_autoptr(GError) error = NULL;
    PstTemplateSource source = {"de/x.txt", text, strlen(text)};
    cr_assert_null(pst_template_parse(&source, PST_TEMPLATE_TEXT, words, part_of, NULL, &error));
    cr_assert_eq(error->code, PST_ERROR_USAGE);
    cr_assert(g_str_has_prefix(error->message, message), "%s", error->message);
}

static PstTemplateValues *two_samples(void)
{
    PstTemplateValues *v = pst_template_values_new();
    pst_template_set(v, "unit", "192.0.2.7");
    for (int i = 1; i <= 2; i++) {
        PstTemplateValues *row = pst_template_row(v, "samples");
        pst_template_setf(row, "at", "12:0%d", i);
        pst_template_setf(row, "destination", "198.51.100.%d", i);
    }
    return v;
}

Test(template, puts_values_in_their_places)
{
    g_autoptr(PstTemplateValues) v = two_samples();
    expect("The address {{unit}}, again {{unit}}.", v, "The address 192.0.2.7, again 192.0.2.7.");
}

Test(template, leaves_a_word_without_value_empty)
{
    g_autoptr(PstTemplateValues) v = two_samples();
    expect("[{{note}}]", v, "[]");
}

Test(template, repeats_a_section_for_each_row)
{
    g_autoptr(PstTemplateValues) v = two_samples();
    expect("{{#samples}}{{at}} {{destination}} of {{unit}};{{/samples}}", v,
           "12:01 198.51.100.1 of 192.0.2.7;12:02 198.51.100.2 of 192.0.2.7;");
}

Test(template, takes_the_line_of_a_lonely_section_tag)
{
    g_autoptr(PstTemplateValues) v = two_samples();
    expect("a\n  {{#samples}}\n- {{at}}\n{{/samples}}\nb\n", v, "a\n- 12:01\n- 12:02\nb\n");
}

Test(template, shows_the_section_of_a_text_once_if_it_is_not_empty)
{
    g_autoptr(PstTemplateValues) v = two_samples();
    expect("{{#unit}}yes{{/unit}}{{#note}}no{{/note}}", v, "yes");
    expect("{{#unit}}{{#samples}}{{at}} {{/samples}}{{/unit}}", v, "12:01 12:02 ");
}

Test(template, shows_nothing_for_an_empty_list)
{
    g_autoptr(PstTemplateValues) v = pst_template_values_new();
    expect("a{{#samples}}{{at}}{{/samples}}b", v, "ab");
}

Test(template, lets_no_value_forge_a_line_or_hide_a_direction)
{
    g_autoptr(PstTemplateValues) v = pst_template_values_new();
    pst_template_set(v, "note",
                     "a\r\nBcc: x\tb\x7f\xe2\x80\xae"
                     "c");
    expect("{{note}}", v, "a  Bcc: x b  c");
}

Test(template, escapes_html_only_in_html)
{
    g_autoptr(PstTemplateValues) v = pst_template_values_new();
    pst_template_set(v, "note", "<b onclick='x'>\"&");
    expect("{{note}}", v, "<b onclick='x'>\"&");
    g_autofree char *html = rendered("<i>{{note}}</i>", PST_TEMPLATE_HTML, v);
    cr_assert_str_eq(html, "<i>&lt;b onclick=&#39;x&#39;&gt;&quot;&amp;</i>");
}

Test(template, does_not_read_a_value_as_template)
{
    g_autoptr(PstTemplateValues) v = pst_template_values_new();
    pst_template_set(v, "note", "{{unit}}{{#samples}}");
    expect("{{note}}", v, "{{unit}}{{#samples}}");
}

Test(template, names_file_line_and_the_known_words_for_an_unknown_one)
{
    expect_refused("one\ntwo {{what}}",
                   "de/x.txt:2: unknown variable {{what}}; known here: unit note samples");
    expect_refused("{{at}}", "de/x.txt:1: unknown variable {{at}}");
    expect_refused("{{#samples}}\n{{#what}}",
                   "de/x.txt:2: unknown variable {{what}}; known here: at");
}

Test(template, puts_the_text_of_a_part_in_its_place)
{
    g_autoptr(PstTemplateValues) v = two_samples();
    expect("a\n  {{>head}}\nb\n", v, "a\nAddress: 192.0.2.7\nb\n");
    expect("{{#samples}}\n{{>row}}\n{{/samples}}", v, "- 12:01\n- 12:02\n");
    expect("{{>head}}{{>head}}", v, "Address: 192.0.2.7\nAddress: 192.0.2.7\n");
}

Test(template, names_file_and_line_of_a_part_that_is_wrong)
{
    expect_refused("a\n{{>other}}", "de/x.txt:2: there is no part called other");
    expect_refused("{{>nested}}", "_part.txt:1: a part holds no other parts: head");
    expect_refused("{{>open}}\n{{/samples}}", "_part.txt:2: section is never closed: samples");
    expect_refused("{{#samples}}\n{{>closing}}",
                   "_part.txt:2: this closes a section that was never opened: samples");
    expect_refused("{{>wrong}}", "_part.txt:2: unknown variable {{unknown}}");
    expect_refused("{{>bytes}}", "_part.txt:2: the template is not UTF-8 text");
    expect_refused("{{>row}}", "_part.txt:1: unknown variable {{at}}");
}

Test(template, refuses_what_is_not_well_formed)
{
    expect_refused("a\n{{unit", "de/x.txt:2: {{ without }}");
    expect_refused("{{}}", "de/x.txt:1: a tag is written");
    expect_refused("{{Unit}}", "de/x.txt:1: a name has only");
    expect_refused("{{ unit }}", "de/x.txt:1: a name has only");
    expect_refused("\n{{#unit}}", "de/x.txt:2: section is never closed: unit");
    expect_refused("{{/unit}}", "de/x.txt:1: this closes a section that was never opened: unit");
    expect_refused("{{#unit}}\n\n{{/note}}", "de/x.txt:3: this closes another section");
    expect_refused("{{samples}}", "de/x.txt:1: this is a list");
    expect_refused("{{#unit}}{{#note}}{{#unit}}{{#note}}", "de/x.txt:1: sections nest three deep");
    expect_refused("ok\n\xff", "de/x.txt:2: the template is not UTF-8 text");
}

Test(template, refuses_one_byte_more_than_the_limit)
{
    g_autofree char *text = g_strnfill(PST_TEMPLATE_MAX + 1, 'a');
    g_autoptr(GError) error = NULL;
    PstTemplateSource source = {"t", text, PST_TEMPLATE_MAX};
    g_autoptr(PstTemplate) fits =
        pst_template_parse(&source, PST_TEMPLATE_TEXT, words, NULL, NULL, &error);
    cr_assert_not_null(fits);
    source.len++;
    cr_assert_null(pst_template_parse(&source, PST_TEMPLATE_TEXT, words, NULL, NULL, &error));
}

Test(template, counts_its_parts_to_its_length)
{
    g_autofree char *text = g_strnfill(PST_TEMPLATE_MAX, 'a');
    static const char include[] = "{{>head}}";
    memcpy(text, include, sizeof include - 1);
    expect_refused(text, "_part.txt:1: the template with its parts is longer than 256 KiB");
}
