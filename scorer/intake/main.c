/* SPDX-License-Identifier: Apache-2.0 */
/* postern-intake: complaint mails become evidence on the bus. */
#include <stdio.h>

#include "clock.h"
#include "evidence_json.h"
#include "log.h"
#include "mailbox.h"
#include "postern/unit.h"
#include "prefix_map.h"
#include "publish.h"
#include "report.h"
#include "run.h"

typedef struct {
    char *bus;
    char *spool;
    char *bus_group;
    gint64 partitions;
    gint64 bus_timeout;
    char **authserv_id;
    char *networks;
    gint64 mail_max;
} Config;

#define ROW(name, type, unit, min, max, def, help)                                                 \
    {                                                                                              \
        "intake", #name, type, offsetof(Config, name), unit, min, max, NULL, def, FALSE, help      \
    }

static const PstConfRow rows[] = {
    ROW(bus, PST_CONF_TEXT, "", 0, 0, "",
        "Where evidence goes: kafka://HOST:PORT,… or embedded:PATH."),
    ROW(spool, PST_CONF_TEXT, "", 0, 0, "",
        "embedded:PATH that keeps evidence while the bus is away; not set: the mail server keeps "
        "the mail (exit status 75)."),
    ROW(bus_group, PST_CONF_TEXT, "", 0, 0, "",
        "Unix group that may write a new embedded bus file or spool; not set: the owner only."),
    ROW(partitions, PST_CONF_INT, "", 1, PST_PARTITIONS_MAX, "8",
        "Partitions of the topic, if this program is the first to use it."),
    ROW(bus_timeout, PST_CONF_SPAN_S, "s", 1, 600, "10",
        "How long the bus may take for one mail before it counts as away."),
    ROW(authserv_id, PST_CONF_LIST, "", 0, 0, "",
        "Names by which your own mail server signs Authentication-Results (RFC 8601); without one "
        "no complaint counts as authenticated."),
    ROW(networks, PST_CONF_TEXT, "", 0, 0, "",
        "Your own networks, file or CIDR,…: where a report does not name the address, it is looked "
        "for in the Received fields among these."),
    ROW(mail_max, PST_CONF_BYTES, "bytes", 4096, 1 << 30, "10M",
        "What is read of a mail; the rest is passed over."),
    {NULL},
};

static const char description[] =
    "Each mail becomes one or more pieces of evidence on the topic postern.evidence, with an\n"
    "outcome: complaint, not-a-complaint, bounce, or unreadable (it looks like a complaint and a\n"
    "person has to read it). The mail itself does not travel; its SHA-256 does, and of a reply to\n"
    "one of our mails its words. Give it the mailboxes of the settings mail.from and mail.bounce,\n"
    "too: bounces suspend deadlines, replies wait for the desk.\n"
    "\n"
    "Sources:\n"
    "  -             one mail from standard input, as a mail server pipes it\n"
    "  FILE          one mail from a file\n"
    "  maildir:DIR   all mails in DIR/new; they move to DIR/cur when their evidence is durable\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 usage or configuration, 75 try again later: a mail server\n"
    "keeps the mail on 75 and delivers it again.\n"
    "\n"
    "Examples:\n"
    "  postern-intake --parse complaint.eml            see what would be published\n"
    "  postern-intake --bus embedded:/var/lib/postern/bus maildir:/var/mail/abuse\n"
    "  abuse: \"|postern-intake --config /etc/postern/postern.conf -\"        (aliases file)\n"
    "  argv=postern-intake --recipient ${original_recipient} -              (Postfix pipe)\n";

typedef struct {
    const Config *config;
    ReportPlace place;
    PstRun *run;
    Publisher *publisher; /* NULL: --parse */
    gboolean kept_back;   /* a mail could not be published: its sender keeps it */
} Intake;

/* --- one mail
 * -------------------------------------------------------------------------------------- */

static void print(const GPtrArray *all)
{
    for (guint i = 0; i < all->len; i++) {
        g_autoptr(GString) line = g_string_new(NULL);
        evidence_json_append(all->pdata[i], line);
        puts(line->str);
    }
}

static void count(PstRun *run, const PstEvidence *evidence)
{
    g_autofree char *label =
        g_strdup_printf("outcome=\"%s\"", pst_evidence_outcome_name(evidence->outcome));
    pst_cell_add(pst_stats_cell(run->stats, PST_COUNTER, "postern_intake_evidence_total", label,
                                "Pieces of evidence made from mails, by outcome."),
                 1);
}

static void tell(const char *name, const PstEvidence *e)
{
    char addr[PST_ADDR_TEXT_MAX];
    gboolean alarm = e->outcome == PST_EVIDENCE_UNREADABLE;
    pst_log(alarm ? PST_LOG_ERR : PST_LOG_INFO, name,
            "%s format=%s type=%s source_ip=%s reporter=%s authenticated=%s report_id=%s%s%s",
            pst_evidence_outcome_name(e->outcome), e->format != NULL ? e->format : "-",
            e->feedback_type != NULL ? e->feedback_type : "-",
            pst_addr_present(&e->source_ip) ? pst_addr_format(&e->source_ip, addr) : "-",
            e->reporter != NULL ? e->reporter : "-", e->authenticated ? "yes" : "no",
            e->report_id != NULL ? e->report_id : "-", e->reason != NULL ? " reason=" : "",
            e->reason != NULL ? e->reason : "");
}

static gboolean take_mail(gpointer user, const char *name, const Mail *mail, GError **error)
{
    Intake *intake = user;
    g_autoptr(GPtrArray) all =
        report_read(mail, &intake->place, pst_clock_now(intake->run->clock).ns);
    if (intake->publisher == NULL) {
        print(all);
        return TRUE;
    }
    intake->kept_back = !publisher_send(intake->publisher, all, error);
    if (intake->kept_back)
        return FALSE;
    for (guint i = 0; i < all->len; i++) {
        count(intake->run, all->pdata[i]);
        tell(name, all->pdata[i]);
    }
    pst_run_tick(intake->run);
    return TRUE;
}

/* --- the program
 * ----------------------------------------------------------------------------------- */

/* The mail server keeps the mail: whatever is wrong with the bus, no complaint is lost by it. */
static int try_again_take(const char *what, GError *error)
{
    (void)pst_run_fail_take(what, error);
    return PST_EXIT_TRY_AGAIN;
}

static int usage(const char *text)
{
    return pst_run_fail_take("postern-intake",
                             g_error_new_literal(PST_ERROR, PST_ERROR_USAGE, text));
}

static int work(Intake *intake, const char *source, gboolean parse)
{
    const Config *config = intake->config;
    GError *error = NULL;
    g_autoptr(Publisher) publisher = NULL;
    const PublisherOptions options = {
        .bus = config->bus,
        .spool = config->spool,
        .group = config->bus_group,
        .partitions = (gint32)config->partitions,
        .timeout_ms = (int)config->bus_timeout * 1000,
    };
    if (!parse) {
        publisher = publisher_open(&options, &error);
        if (publisher == NULL)
            return try_again_take("bus", error);
    }
    intake->publisher = publisher;
    pst_run_ready(intake->run);
    if (mailbox_visit(source, (gsize)config->mail_max, !parse, take_mail, intake, &error))
        return PST_EXIT_DONE;
    return intake->kept_back || pst_error_class(error) == PST_ERROR_CLASS_TRANSIENT
               ? try_again_take(source, error)
               : pst_run_fail_take(source, error);
}

static int run_intake(PstRun *run, const Config *config, gboolean parse, const char *recipient)
{
    GError *error = NULL;
    g_autoptr(PstPrefixMap) networks = NULL;
    Intake intake = {.config = config,
                     .run = run,
                     .place = {.authserv_ids = config->authserv_id, .recipient = recipient}};
    if (run->args[0] == NULL || run->args[1] != NULL)
        return usage("give one FILE, - for standard input, or maildir:DIR (see --help)");
    if (!parse && config->bus == NULL)
        return usage("no bus: give --bus kafka://HOST:PORT or --bus embedded:PATH, set it in the "
                     "configuration file, or use --parse to see what would be published");
    if (!parse && !g_str_has_prefix(config->bus, "kafka://") &&
        !g_str_has_prefix(config->bus, "embedded:"))
        return usage("the bus is kafka://HOST:PORT,… or embedded:PATH");
    if (config->networks != NULL) {
        networks = pst_networks_load(config->networks, &error);
        if (networks == NULL)
            return pst_run_fail_take("networks", error);
    }
    intake.place.networks = networks;
    return work(&intake, run->args[0], parse);
}

int main(int argc, char **argv)
{
    gboolean parse = FALSE;
    char *recipient = NULL;
    int status = PST_EXIT_FAILED;
    PstRun run = {0};
    Config config = {0};
    const GOptionEntry options[] = {
        {"parse", 0, 0, G_OPTION_ARG_NONE, &parse,
         "Print what would be published, one JSON object a line, and publish nothing", NULL},
        {"recipient", 0, 0, G_OPTION_ARG_STRING, &recipient,
         "To whom the mail's envelope says that it goes, where a mail server pipes it", "ADDRESS"},
        {NULL},
    };
    const PstProgram program = {
        .program = "postern-intake",
        .summary = "Reads complaint mails and puts what they say on the bus as evidence.",
        .description = description,
        .positional = "FILE|-|maildir:DIR",
        .rows = rows,
        .target = &config,
        .options = options,
        .brief = TRUE,
    };
    if (!pst_run_init(&program, argc, argv, &run, &status))
        return status;
    status = run_intake(&run, &config, parse, recipient);
    g_free(recipient);
    pst_run_done(&run);
    pst_conf_clear(rows, &config);
    return status;
}
