/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include "mail_words.h"

#define REVERSE_DNS_MS 1500

typedef struct {
    char *case_id;
    char *locale;
    char *templates;
    gboolean html;
    gboolean text;
} Options;

static const char description[] =
    "preview KIND --case PST-2026-000123   shows the mail that would tell of this case now: "
    "warning,\n"
    "             reminder, blocked, resolved, released, freeze-notice, frozen, or digest (of it "
    "and\n"
    "             all open cases of its customer); to whom it would go, its subject, and its text\n"
    "             (--html: its other part, for a browser). Nothing is written or sent\n"
    "\n"
    "Examples:\n"
    "  postern mail preview warning --case 123 --locale de --database …\n"
    "  postern mail preview blocked --case 123 --templates ./ours --html --database … >mail.html\n"
    "\n"
    "Exit status: 0 done, 1 failed (there is no such case), 2 usage.";

static PstOutboxMail *fetch(PstPg *pg, const char *kind, const Options *options, char **out_from,
                            GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, kind);
    pst_pg_add_text(&p, options->case_id);
    pst_pg_add_text(&p, options->locale);
    g_autoptr(PstPgRows) rows = pst_pg_query(pg,
                                             "SELECT contact_email, locale, tz, mail_from, vars,"
                                             " vars ->> 'unit'"
                                             " FROM postern.mail_preview($1, $2, $3)",
                                             &p, error);
    if (rows == NULL)
        return NULL;
    PstOutboxMail *mail = g_new0(PstOutboxMail, 1);
    mail->kind = g_strdup(kind);
    mail->contact_email = g_strdup(pst_pg_text(rows, 0, 0));
    mail->locale = g_strdup(pst_pg_text(rows, 0, 1));
    mail->tz = g_strdup(pst_pg_text(rows, 0, 2));
    *out_from = g_strdup(pst_pg_text(rows, 0, 3));
    mail->vars = g_strdup(pst_pg_text(rows, 0, 4));
    mail->unit = g_strdup(pst_pg_text(rows, 0, 5));
    return mail;
}

static PstTemplateValues *words_of(PstPg *pg, const PstOutboxMail *mail, const char *from,
                                   GError **error)
{
    g_autoptr(PstResolver) resolver = pst_resolver_new();
    g_auto(PstReverseDns) name = {.state = PST_REVERSE_DNS_UNKNOWN};
    if (mail->unit != NULL)
        pst_reverse_dns(resolver, mail->unit, REVERSE_DNS_MS, &name);
    return pst_mail_words(pg, mail, from, &name, error);
}

static void print(const PstOutboxMail *mail, const char *from, const PstMailText *text,
                  const Options *options)
{
    if (options->html) {
        fputs(text->html, stdout);
        return;
    }
    printf("From: %s\nTo: %s\nSubject: %s\n\n%s", from,
           mail->contact_email != NULL ? mail->contact_email
                                       : "(nobody: the customer has no contact)",
           text->subject, text->text);
}

static int preview(PstPg *pg, char **args, gpointer user, GError **error)
{
    const Options *options = user;
    g_autofree char *from = NULL;
    g_auto(PstMailText) text = {0};
    if (options->case_id == NULL)
        return cli_usage(error, "which case? give --case PST-2026-000123");
    if (options->html && options->text)
        return cli_usage(error, "--html or --text, not both");
    g_autoptr(PstMailTemplates) templates = pst_mail_templates_load(options->templates, error);
    if (templates == NULL)
        return PST_EXIT_USAGE;
    g_autoptr(PstOutboxMail) mail = fetch(pg, args[0], options, &from, error);
    g_autoptr(PstTemplateValues) words = mail != NULL ? words_of(pg, mail, from, error) : NULL;
    if (words == NULL ||
        !pst_mail_templates_render(templates, mail->kind, mail->locale, words, &text, error))
        return PST_EXIT_FAILED;
    print(mail, from, &text, options);
    return PST_EXIT_DONE;
}

static int run_mail(PstRun *run, const CliConfig *config, gpointer options, GError **error)
{
    static const CliVerb verbs[] = {{"preview", 1, "preview KIND --case CASE", preview}, {NULL}};
    return cli_run_verb(verbs, run, config, options, error);
}

int cmd_mail(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        {"case", 0, 0, G_OPTION_ARG_STRING, &options.case_id,
         "The case: PST-2026-000123, or its number", "CASE"},
        {"locale", 0, 0, G_OPTION_ARG_STRING, &options.locale,
         "Another language than the customer's: en, de", "LANGUAGE"},
        {"templates", 0, 0, G_OPTION_ARG_STRING, &options.templates,
         "A folder with templates that take the place of ours", "FOLDER"},
        {"html", 0, 0, G_OPTION_ARG_NONE, &options.html, "The HTML part, and nothing else", NULL},
        {"text", 0, 0, G_OPTION_ARG_NONE, &options.text, "The text part (the default)", NULL},
        {NULL},
    };
    PstProgram program = {.program = "postern mail",
                          .summary = "What customers are told.",
                          .description = description,
                          .positional = "preview KIND",
                          .options = entries};
    int status = cli_run(&program, argc, argv, run_mail, &options);
    g_free(options.case_id);
    g_free(options.locale);
    g_free(options.templates);
    return status;
}
