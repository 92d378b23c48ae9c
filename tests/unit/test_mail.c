/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "mail_compose.h"
#include "mail_fold.h"
#include "mail_send.h"
#include "mail_words.h"
#include "maildir.h"

/* ---- composing ---- */

static PstMail some_mail(void)
{
    return (PstMail){.message_id = "PST-2026-000001.warning.abc@abuse.example",
                     .from = "Abuse Büro <abuse@hoster.example>",
                     .to = "kunde@example.org",
                     .date_ns = G_GINT64_CONSTANT(1777638896000000000),
                     .subject = "Frist läuft ab",
                     .text = "Grüße\nvon uns\n",
                     .html = "<p>Grüße</p>\n"};
}

static char *composed(const PstMail *mail)
{
    gsize len = 0;
    g_autoptr(GError) error = NULL;
    char *text = pst_mail_compose(mail, &len, &error);
    cr_assert_not_null(text, "%s", error != NULL ? error->message : "");
    cr_assert_eq(strlen(text), len);
    return text;
}

static void expect_line(const char *text, const char *line)
{
    g_autofree char *whole = g_strdup_printf("\r\n%s\r\n", line);
    g_autofree char *padded = g_strconcat("\r\n", text, NULL);
    cr_assert_not_null(strstr(padded, whole), "no line \"%s\" in:\n%s", line, text);
}

Test(mail, has_the_headers_that_a_robot_and_a_thread_need)
{
    PstMail mail = some_mail();
    mail.references = "first@abuse.example";
    g_autofree char *text = composed(&mail);
    expect_line(text, "Message-ID: <PST-2026-000001.warning.abc@abuse.example>");
    expect_line(text, "Auto-Submitted: auto-generated");
    expect_line(text, "References: <first@abuse.example>");
    expect_line(text, "In-Reply-To: <first@abuse.example>");
    expect_line(text, "To: kunde@example.org");
    expect_line(text, "Date: Fri, 01 May 2026 12:34:56 +0000");
    expect_line(text, "MIME-Version: 1.0");
}

Test(mail, has_no_references_when_it_is_the_first_of_its_case)
{
    PstMail mail = some_mail();
    g_autofree char *text = composed(&mail);
    cr_assert_null(strstr(text, "References:"));
    cr_assert_null(strstr(text, "In-Reply-To:"));
}

Test(mail, is_ascii_with_crlf_and_short_lines)
{
    PstMail mail = some_mail();
    g_autofree char *longer = g_strnfill(5000, 'x');
    mail.text = longer;
    g_autofree char *text = composed(&mail);
    gsize line = 0;
    for (const char *c = text; *c != '\0'; c++) {
        cr_assert(*c > 0 && *c < 127);
        cr_assert(*c != '\n' || (c > text && c[-1] == '\r'));
        cr_assert(*c != '\r' || c[1] == '\n');
        line = *c == '\n' ? 0 : line + 1;
        cr_assert_leq(line, 998);
    }
}

Test(mail, is_text_and_html_the_text_first)
{
    PstMail mail = some_mail();
    g_autofree char *text = composed(&mail);
    cr_assert_not_null(strstr(text, "Content-Type: multipart/alternative"));
    const char *plain = strstr(text, "Content-Type: text/plain; charset=utf-8");
    const char *html = strstr(text, "Content-Type: text/html; charset=utf-8");
    cr_assert(plain != NULL && html != NULL && plain < html, "%s", text);
}

Test(mail, is_the_same_bytes_when_it_is_made_again)
{
    PstMail mail = some_mail();
    g_autofree char *one = composed(&mail);
    g_autofree char *two = composed(&mail);
    cr_assert_str_eq(one, two);
}

Test(mail, cannot_be_made_to_carry_another_header)
{
    PstMail mail = some_mail();
    mail.subject = "a\r\nBcc: victim@example.org";
    g_autofree char *text = composed(&mail);
    cr_assert_null(strstr(text, "\nBcc:"));
}

Test(mail, refuses_what_is_no_address)
{
    static const char *const bad[] = {"",        "a",       "@b",      "a@",       "a@b c",
                                      "a b@c.d", "a,b@c",   "<a@b>",   "a@b\r\nX", "a@b>c",
                                      "ä@b.de",  "a@b;c@d", "\"a\"@b", "a@b\r"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        PstMail mail = some_mail();
        mail.to = bad[i];
        gsize len;
        g_autoptr(GError) error = NULL;
        cr_assert_null(pst_mail_compose(&mail, &len, &error), "%s", bad[i]);
        cr_assert_eq(error->code, PST_ERROR_DATA);
    }
    cr_assert(pst_mail_is_address("first.last+tag@sub-domain.example"));
}

Test(mail, names_the_setting_when_the_sender_is_no_address)
{
    PstMail mail = some_mail();
    mail.from = "nobody";
    gsize len;
    g_autoptr(GError) error = NULL;
    cr_assert_null(pst_mail_compose(&mail, &len, &error));
    cr_assert_eq(error->code, PST_ERROR_USAGE);
    cr_assert_not_null(strstr(error->message, "mail.from"));
}

Test(mail, knows_the_senders_name)
{
    g_autofree char *name = pst_mail_display_name("Abuse desk <abuse@hoster.example>");
    cr_assert_str_eq(name, "Abuse desk");
    g_autofree char *bare = pst_mail_display_name("abuse@hoster.example");
    cr_assert_str_eq(bare, "abuse@hoster.example");
}

/* ---- templates ---- */

static PstTemplateValues *all_words(void)
{
    PstTemplateValues *v = pst_template_values_new();
    for (const PstTemplateWord *w = pst_mail_vocabulary(); w->name != NULL; w++) {
        if (w->columns == NULL) {
            pst_template_setf(v, w->name, "<%s>", w->name);
            continue;
        }
        PstTemplateValues *row = pst_template_row(v, w->name);
        for (const char *const *c = w->columns; *c != NULL; c++)
            pst_template_setf(row, *c, "<%s>", *c);
    }
    return v;
}

Test(mail, has_every_template_in_every_language)
{
    static const char *const kinds[] = {"warning",  "reminder",      "blocked", "resolved",
                                        "released", "freeze-notice", "frozen",  "digest"};
    static const char *const locales[] = {"en", "de", "de_AT", "fr"};
    g_autoptr(GError) error = NULL;
    g_autoptr(PstMailTemplates) templates = pst_mail_templates_load(NULL, &error);
    cr_assert_not_null(templates, "%s", error != NULL ? error->message : "");
    g_autoptr(PstTemplateValues) words = all_words();
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (gsize l = 0; l < G_N_ELEMENTS(locales); l++) {
            g_auto(PstMailText) text = {0};
            cr_assert(
                pst_mail_templates_render(templates, kinds[k], locales[l], words, &text, &error));
            gboolean german = g_str_has_prefix(locales[l], "de");
            cr_assert(g_str_has_prefix(text.text, german ? "Guten Tag" : "Hello"));
            gboolean digest = strcmp(kinds[k], "digest") == 0;
            cr_assert_not_null(strstr(text.subject, digest ? "<count>" : "<unit>"));
            cr_assert_not_null(strstr(text.subject, digest ? "<customer>" : "<case_id>"));
            cr_assert_not_null(strstr(text.html, "&lt;unit&gt;"));
            cr_assert_null(strstr(text.html, "{{"));
            cr_assert_null(strstr(text.text, "{{"));
        }
}

Test(mail, says_so_when_a_kind_has_no_template)
{
    g_autoptr(PstMailTemplates) templates = pst_mail_templates_load(NULL, NULL);
    g_autoptr(PstTemplateValues) words = pst_template_values_new();
    g_auto(PstMailText) text = {0};
    g_autoptr(GError) error = NULL;
    cr_assert_not(pst_mail_templates_render(templates, "thawed", "en", words, &text, &error));
    cr_assert_eq(error->code, PST_ERROR_NOT_FOUND);
}

static char *temp_folder(void)
{
    char *folder = g_dir_make_tmp("postern-mail.XXXXXX", NULL);
    cr_assert_not_null(folder);
    return folder;
}

static void remove_folder(const char *folder)
{
    g_autofree char *command = g_strdup_printf("rm -r '%s'", folder);
    cr_assert_eq(system(command), 0);
}

static GError *load_override(const char *name, const char *text)
{
    g_autofree char *folder = temp_folder();
    g_autofree char *path = g_build_filename(folder, name, NULL);
    cr_assert(g_file_set_contents(path, text, -1, NULL));
    GError *error = NULL;
    g_autoptr(PstMailTemplates) templates = pst_mail_templates_load(folder, &error);
    cr_assert_eq(templates == NULL, error != NULL);
    remove_folder(folder);
    return error;
}

Test(mail, takes_an_operators_template_instead_of_ours)
{
    cr_assert_null(load_override("warning.en.txt", "Subject: Own {{unit}}\n\nOwn text\n"));
    cr_assert_null(load_override("_end.de.html", "<p>Own {{sender_name}}</p>\n"));
}

Test(mail, names_file_and_line_of_an_operators_mistake)
{
    static const struct {
        const char *name, *text, *message;
    } cases[] = {
        {"warning.en.txt", "Subject: x\n\nline 3\n{{unitt}}\n", "warning.en.txt:4: unknown"},
        {"warning.en.txt", "Subject: {{what}}\n\n", "warning.en.txt:1: unknown"},
        {"warning.en.txt", "Dear\n\n", "warning.en.txt:1: a text template begins with"},
        {"warning.en.html", "<p>\n{{x}}", "warning.en.html:2: unknown"},
        {"_end.en.html", "<p>\n{{x}}", "_end.en.html:2: unknown"},
        {"_end.de.txt", "{{>case}}", "_end.de.txt:1: a part holds no other parts: case"},
        {"warning.en.html", "{{>nothing}}", "warning.en.html:1: there is no part called nothing"},
        {"warnung.de.txt", "Subject: x\n\ny", "warnung.de.txt: no mail has a template or part"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = load_override(cases[i].name, cases[i].text);
        cr_assert_not_null(error, "%s", cases[i].message);
        cr_assert_eq(error->code, PST_ERROR_USAGE);
        cr_assert_not_null(strstr(error->message, cases[i].message), "%s", error->message);
    }
}

/* ---- folding ---- */

static void expect_folded(const char *text, const char *expected)
{
    g_autofree char *folded = pst_mail_fold(text);
    cr_assert_str_eq(folded, expected);
}

#define TEN     "123456789 "
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN

Test(mail_fold, leaves_alone_what_fits)
{
    expect_folded("", "");
    expect_folded("one\ntwo\n\nthree\n", "one\ntwo\n\nthree\n");
    expect_folded("* a\n  b\n1. c\n", "* a\n  b\n1. c\n");
    expect_folded(SEVENTY "123456", SEVENTY "123456");
}

Test(mail_fold, fills_the_whole_paragraph_of_a_line_that_is_too_long)
{
    expect_folded(SEVENTY "1234567\nafter it",
                  "123456789 123456789 123456789 123456789 123456789 123456789 123456789\n"
                  "1234567 after it");
    expect_folded("before\n\n" SEVENTY "1234567\n\nafter",
                  "before\n\n123456789 123456789 123456789 123456789 123456789 123456789 "
                  "123456789\n1234567\n\nafter");
}

Test(mail_fold, hangs_items_and_values_under_their_beginning)
{
    expect_folded("* " SEVENTY "12345\n* next",
                  "* 123456789 123456789 123456789 123456789 123456789 123456789 123456789\n"
                  "  12345\n* next");
    expect_folded("  Rule:  " SEVENTY "end",
                  "  Rule:  123456789 123456789 123456789 123456789 123456789 123456789\n"
                  "         123456789 end");
}

Test(mail_fold, leaves_tables_headings_and_long_words_whole)
{
    g_autofree char *word = g_strnfill(100, 'x');
    g_autofree char *table = g_strdup_printf("12:00  25  %s\n", word);
    expect_folded(table, table);
    g_autofree char *heading = g_strdup_printf("%s\n---\ntext", word);
    expect_folded(heading, heading);
    g_autofree char *words = g_strdup_printf("a %s b", word);
    g_autofree char *split = g_strdup_printf("a\n%s\nb", word);
    expect_folded(words, split);
}

/* ---- maildir ---- */

static guint count_files(const char *folder, const char *part)
{
    g_autofree char *path = g_build_filename(folder, part, NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    guint n = 0;
    while (dir != NULL && g_dir_read_name(dir) != NULL)
        n++;
    return n;
}

static char *put(const char *folder, const char *id)
{
    g_autoptr(GError) error = NULL;
    char *path = pst_maildir_put(folder, id, "A: b\r\n\r\nc\r\n", 11, &error);
    cr_assert_not_null(path, "%s", error != NULL ? error->message : "");
    return path;
}

Test(maildir, is_made_and_holds_the_mail_with_plain_line_ends)
{
    g_autofree char *base = temp_folder();
    g_autofree char *folder = g_build_filename(base, "a", "b", NULL);
    g_autofree char *path = put(folder, "id@x");
    g_autofree char *text = NULL;
    cr_assert(g_file_get_contents(path, &text, NULL, NULL));
    cr_assert_str_eq(text, "A: b\n\nc\n");
    cr_assert_eq(count_files(folder, "tmp"), 0);
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    remove_folder(base);
}

Test(maildir, holds_a_message_id_once_however_often_it_is_put)
{
    g_autofree char *folder = temp_folder();
    for (int i = 0; i < 3; i++)
        g_free(put(folder, "same@x"));
    g_free(put(folder, "other@x"));
    cr_assert_eq(count_files(folder, "new"), 2);
    remove_folder(folder);
}

Test(maildir, knows_a_mail_that_was_read_already)
{
    g_autofree char *folder = temp_folder();
    g_autofree char *path = put(folder, "id@x");
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *read_name = g_strconcat(name, ":2,S", NULL);
    g_autofree char *moved = g_build_filename(folder, "cur", read_name, NULL);
    cr_assert_eq(g_rename(path, moved), 0);
    g_autofree char *again = put(folder, "id@x");
    cr_assert_str_eq(again, moved);
    cr_assert_eq(count_files(folder, "new"), 0);
    remove_folder(folder);
}

Test(maildir, goes_on_over_what_a_killed_attempt_left)
{
    g_autofree char *folder = temp_folder();
    g_autofree char *path = put(folder, "id@x");
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *half = g_build_filename(folder, "tmp", name, NULL);
    cr_assert_eq(g_rename(path, half), 0);
    cr_assert(g_file_set_contents(half, "half of a longer text than the mail has", -1, NULL));
    g_autofree char *again = put(folder, "id@x");
    g_autofree char *text = NULL;
    cr_assert(g_file_get_contents(again, &text, NULL, NULL));
    cr_assert_str_eq(text, "A: b\n\nc\n");
    cr_assert_eq(count_files(folder, "tmp"), 0);
    remove_folder(folder);
}

Test(maildir, says_what_it_could_not_do)
{
    g_autoptr(GError) error = NULL;
    cr_assert_null(pst_maildir_put("/dev/null/x", "id@x", "a", 1, &error));
    cr_assert_eq(error->code, PST_ERROR_IO);
    cr_assert_not_null(strstr(error->message, "/dev/null/x/tmp"));
}

/* ---- transports ---- */

Test(transport, says_which_there_are)
{
    static const char *const bad[] = {
        "",         "smtp", "ftp://x", "maildir:", "smtp://", "smtp://u:p@host", "smtp://host/path",
        "/var/mail"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        cr_assert_null(pst_transport_new(bad[i], NULL, &error), "%s", bad[i]);
        cr_assert_eq(error->code, PST_ERROR_USAGE);
        cr_assert_not_null(strstr(error->message, "smtp://HOST[:PORT]"));
    }
}

Test(transport, tries_again_when_nobody_listens)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PstTransport) t = pst_transport_new("smtp://127.0.0.1:1", NULL, &error);
    cr_assert_not_null(t);
    PstLetter letter = {"id@x", "from@x.example", "to@x.example", "a\r\n", 3};
    int code = -1;
    g_autofree char *detail = NULL;
    cr_assert_eq(pst_transport_send(t, &letter, &code, &detail), PST_OUTCOME_RETRY);
    cr_assert_eq(code, 0);
    cr_assert_not_null(strstr(detail, "127.0.0.1"));
}

Test(transport, delivers_to_a_maildir)
{
    g_autofree char *folder = temp_folder();
    g_autofree char *uri = g_strconcat("maildir:", folder, NULL);
    g_autoptr(PstTransport) t = pst_transport_new(uri, NULL, NULL);
    PstLetter letter = {"id@x", "from@x.example", "to@x.example", "a\r\n", 3};
    int code = -1;
    g_autofree char *detail = NULL;
    cr_assert_eq(pst_transport_send(t, &letter, &code, &detail), PST_OUTCOME_DONE);
    cr_assert_eq(count_files(folder, "new"), 1);
    remove_folder(folder);
}
