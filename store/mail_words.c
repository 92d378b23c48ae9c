/* SPDX-License-Identifier: Apache-2.0 */
#include "mail_words.h"

#include <string.h>

#include "clock.h"
#include "mail_compose.h"

#define SAMPLES_MAX 20

/* ---- the vocabulary ---- */

static const char *const reason_columns[] = {"text", NULL};
static const char *const sample_columns[] = {"at",    "destination", "port", "message_id",
                                             "score", "line",        NULL};

static const PstTemplateWord vocabulary[] = {
    {"unit", NULL},           {"customer", NULL},
    {"customer_name", NULL},  {"service", NULL},
    {"case_id", NULL},        {"sender_name", NULL},
    {"deadline_utc", NULL},   {"deadline_local", NULL},
    {"hours", NULL},          {"then", NULL},
    {"hold_until_utc", NULL}, {"hold_until_local", NULL},
    {"level", NULL},          {"ports_closed", NULL},
    {"address_closed", NULL}, {"measure", NULL},
    {"rule", NULL},           {"automated", NULL},
    {"page_url", NULL},       {"unblock_url", NULL},
    {"has_reasons", NULL},    {"reasons", reason_columns},
    {"has_samples", NULL},    {"samples", sample_columns},
    {"samples_head", NULL},   {"samples_shown", NULL},
    {"samples_total", NULL},  {NULL, NULL},
};

const PstTemplateWord *pst_mail_vocabulary(void)
{
    return vocabulary;
}

/* ---- words that depend on the language ---- */

typedef struct {
    const char *cause;
    const char *text;
} Rule;

typedef struct {
    const char *locale;
    const char *time_format;
    const char *sample_head[5]; /* time, destination, port, score, Message-ID */
    const char *close_ports, *close_address;
    const char *measure_ports, *measure_address;
    const char *automated, *by_person;
    Rule rules[6];
} Language;

static const Language languages[] = {
    {.locale = "en",
     .time_format = "%Y-%m-%d %H:%M %Z",
     .sample_head = {"Time (UTC)", "Destination", "Port", "Score", "Message-ID"},
     .close_ports = "close outgoing mail connections of the address (TCP port %s)",
     .close_address = "close the whole address, until it is released",
     .measure_ports = "outgoing mail connections (TCP port %s) closed, reversibly",
     .measure_address = "whole address closed, reversibly",
     .automated = "yes, found and decided by software; a person checks it on request",
     .by_person = "no, decided by a person",
     .rules = {{"verdict", "mail traffic far above what is usual for the address"},
               {"complaint", "complaints by recipients within the last days"},
               {"deadline", "deadline of a warning passed while spam went on"},
               {"relapse", "spam again while a block was being lifted"},
               {"freeze", "the address is listed on a blocklist"},
               {NULL, "repeated signs of unsolicited mail"}}},
    {.locale = "de",
     .time_format = "%d.%m.%Y %H:%M %Z",
     .sample_head = {"Zeit (UTC)", "Ziel", "Port", "Wert", "Message-ID"},
     .close_ports = "sperren wir ausgehende Mailverbindungen der Adresse (TCP-Port %s)",
     .close_address = "sperren wir die ganze Adresse, bis sie freigegeben wird",
     .measure_ports = "ausgehende Mailverbindungen (TCP-Port %s) gesperrt, umkehrbar",
     .measure_address = "ganze Adresse gesperrt, umkehrbar",
     .automated = "ja, von Software erkannt und entschieden; auf Wunsch prüft ein Mensch",
     .by_person = "nein, von einem Menschen entschieden",
     .rules = {{"verdict", "Mailverkehr weit über dem, was für die Adresse üblich ist"},
               {"complaint", "Beschwerden von Empfängern in den letzten Tagen"},
               {"deadline", "Frist einer Verwarnung verstrichen, während der Spam anhielt"},
               {"relapse", "erneut Spam, während eine Sperre aufgehoben wurde"},
               {"freeze", "die Adresse steht auf einer Sperrliste"},
               {NULL, "wiederholte Anzeichen unverlangter Mails"}}},
};

static const Language *language_of(const char *locale)
{
    for (gsize i = 0; i < G_N_ELEMENTS(languages); i++)
        if (g_str_has_prefix(locale, languages[i].locale))
            return &languages[i];
    return &languages[0];
}

static const char *rule_text(const Language *language, const char *cause)
{
    const Rule *rule = language->rules;
    while (rule->cause != NULL && g_strcmp0(rule->cause, cause) != 0)
        rule++;
    return rule->text;
}

/* "no" of a customer's unknown time zone is UTC: a mail with another clock beats no mail. */
static char *local_time(const Language *language, gint64 utc_ns, const char *tz)
{
    g_autoptr(GTimeZone) zone = g_time_zone_new_identifier(tz);
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(utc_ns / PST_NS_PER_S);
    g_autoptr(GDateTime) local = zone != NULL ? g_date_time_to_timezone(utc, zone) : NULL;
    return g_date_time_format(local != NULL ? local : utc, language->time_format);
}

static void set_moment(PstTemplateValues *values, const Language *language, const char *name,
                       gint64 utc_ns, const char *tz)
{
    if (utc_ns == 0)
        return;
    g_autofree char *utc_name = g_strconcat(name, "_utc", NULL);
    g_autofree char *local_name = g_strconcat(name, "_local", NULL);
    g_autofree char *utc = local_time(language, utc_ns, "UTC");
    g_autofree char *local = local_time(language, utc_ns, tz);
    pst_template_set(values, utc_name, utc);
    g_autofree char *with_zone = g_strdup_printf("%s (%s)", local, tz);
    pst_template_set(values, local_name, with_zone);
}

/* ---- what the database says ---- */

/* The deadline of a warning runs from its acceptance: claim_mail names what it would be if the mail
 * were accepted now, to the minute before, so the real one is never earlier. */
static const char scalars_sql[] =
    "SELECT v->>'unit' AS unit, v->>'customer' AS customer, v->>'customer_name' AS customer_name,"
    " v->>'service_name' AS service, v->>'case' AS case_id, v->>'deadline_hours' AS hours,"
    " (v->>'deadline_iso')::timestamptz AS deadline,"
    " v->>'then_scope' AS then_scope,"
    " (SELECT string_agg(x, ', ') FROM jsonb_array_elements_text("
    "   CASE jsonb_typeof(v->'then_ports') WHEN 'array' THEN v->'then_ports' END) AS x)"
    "   AS then_ports,"
    " (v->>'hold_until_iso')::timestamptz AS hold_until, v->>'level' AS level,"
    " v->>'scope' AS scope,"
    " (SELECT string_agg(x, ', ') FROM jsonb_array_elements_text("
    "   CASE jsonb_typeof(v->'ports') WHEN 'array' THEN v->'ports' END) AS x) AS ports,"
    " v->>'cause' AS cause, coalesce((v->>'automated')::boolean, true) AS automated,"
    " v->>'page_url' AS page_url, v->>'evidence_total' AS evidence_total"
    " FROM (SELECT $1::jsonb AS v) AS data";

static const char reasons_sql[] =
    "SELECT x FROM jsonb_array_elements_text(CASE jsonb_typeof($1::jsonb->'reasons')"
    " WHEN 'array' THEN $1::jsonb->'reasons' END) AS x WHERE x <> ''";

static const char samples_sql[] =
    "SELECT x->>'time', x->>'destination', x->>'port', x->>'score', x->>'message_id'"
    " FROM jsonb_array_elements(CASE jsonb_typeof($1::jsonb->'evidence')"
    " WHEN 'array' THEN $1::jsonb->'evidence' END) AS x LIMIT 20";

static const char *text_of(const PstPgRows *row, const char *column)
{
    const char *text = pst_pg_text(row, 0, pst_pg_column(row, column));
    return text != NULL ? text : "";
}

static void set_names(PstTemplateValues *values, const PstPgRows *row)
{
    static const char *const names[] = {"unit",    "customer", "customer_name", "case_id",
                                        "service", "hours",    "level"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        pst_template_set(values, names[i], text_of(row, names[i]));
    if (text_of(row, "service")[0] == '\0')
        pst_template_set(values, "service", "–");
}

static void set_measure(PstTemplateValues *values, const Language *language, const PstPgRows *row)
{
    gboolean address = strcmp(text_of(row, "scope"), "address") == 0;
    const char *ports = text_of(row, "ports");
    pst_template_set(values, address ? "address_closed" : "ports_closed",
                     address ? "1" : text_of(row, "ports"));
    g_autoptr(GString) measure =
        g_string_new(address ? language->measure_address : language->measure_ports);
    g_string_replace(measure, "%s", ports, 1);
    pst_template_set(values, "measure", measure->str);

    gboolean then_address = strcmp(text_of(row, "then_scope"), "address") == 0;
    g_autoptr(GString) then =
        g_string_new(then_address ? language->close_address : language->close_ports);
    g_string_replace(then, "%s", text_of(row, "then_ports"), 1);
    pst_template_set(values, "then", then->str);
}

/* PAGE/ip/UNIT is the page; PAGE/ip/BLOCK/spam/IP/unblock is OVH's call for the same. */
static void set_links(PstTemplateValues *values, const PstPgRows *row)
{
    const char *page = text_of(row, "page_url");
    const char *tail = g_strrstr(page, "/ip/");
    pst_template_set(values, "page_url", page);
    if (tail == NULL)
        return;
    g_autofree char *block = g_uri_escape_string(text_of(row, "unit"), NULL, FALSE);
    gboolean host = strchr(text_of(row, "unit"), '/') == NULL;
    const char *len = !host ? "" : strchr(text_of(row, "unit"), ':') != NULL ? "%2F128" : "%2F32";
    pst_template_setf(values, "unblock_url", "%.*s/ip/%s%s/spam/%s/unblock", (int)(tail - page),
                      page, block, len, block);
}

static gboolean set_scalars(PstPg *pg, const PstOutboxMail *mail, const Language *language,
                            PstTemplateValues *values, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, mail->vars);
    g_autoptr(PstPgRows) row = pst_pg_query(pg, scalars_sql, &p, error);
    if (row == NULL)
        return FALSE;
    set_names(values, row);
    set_moment(values, language, "deadline", pst_pg_time(row, 0, pst_pg_column(row, "deadline")),
               mail->tz);
    set_moment(values, language, "hold_until",
               pst_pg_time(row, 0, pst_pg_column(row, "hold_until")), mail->tz);
    set_measure(values, language, row);
    set_links(values, row);
    pst_template_set(values, "rule", rule_text(language, text_of(row, "cause")));
    gboolean automated = pst_pg_bool(row, 0, pst_pg_column(row, "automated"));
    pst_template_set(values, "automated", automated ? language->automated : language->by_person);
    pst_template_set(values, "samples_total", text_of(row, "evidence_total"));
    return TRUE;
}

static gboolean set_reasons(PstPg *pg, const char *vars, PstTemplateValues *values, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, vars);
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, reasons_sql, &p, error);
    if (rows == NULL)
        return FALSE;
    for (int i = 0; i < pst_pg_count(rows); i++)
        pst_template_set(pst_template_row(values, "reasons"), "text", pst_pg_text(rows, i, 0));
    pst_template_set(values, "has_reasons", pst_pg_count(rows) > 0 ? "1" : "");
    return TRUE;
}

/* ---- the table of evidence, aligned for text ---- */

typedef struct {
    const char *cell[5];
} Line;

static void widen(int widths[5], const Line *line)
{
    for (int c = 0; c < 5; c++)
        widths[c] = MAX(widths[c], (int)g_utf8_strlen(line->cell[c], -1));
}

/* The last column is not padded: Message-IDs are as long as they like. */
static char *aligned(const int widths[5], const Line *line)
{
    GString *out = g_string_new(NULL);
    for (int c = 0; c < 5; c++) {
        g_string_append(out, line->cell[c]);
        int pad = c < 4 ? widths[c] - (int)g_utf8_strlen(line->cell[c], -1) + 2 : 0;
        g_string_append_printf(out, "%*s", pad, "");
    }
    return g_string_free(out, FALSE);
}

static Line line_of(const PstPgRows *rows, int i)
{
    Line line;
    for (int c = 0; c < 5; c++) {
        const char *text = pst_pg_text(rows, i, c);
        line.cell[c] = text != NULL && *text != '\0' ? text : "–";
    }
    return line;
}

static void set_sample(PstTemplateValues *values, const int widths[5], const Line *line)
{
    static const char *const names[5] = {"at", "destination", "port", "score", "message_id"};
    PstTemplateValues *row = pst_template_row(values, "samples");
    for (int c = 0; c < 5; c++)
        pst_template_set(row, names[c], line->cell[c]);
    g_autofree char *text = aligned(widths, line);
    pst_template_set(row, "line", text);
}

static gboolean set_samples(PstPg *pg, const char *vars, const Language *language,
                            PstTemplateValues *values, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, vars);
    g_autoptr(PstPgRows) rows = pst_pg_query(pg, samples_sql, &p, error);
    if (rows == NULL)
        return FALSE;
    Line lines[SAMPLES_MAX], head;
    int widths[5] = {0}, n = MIN(pst_pg_count(rows), SAMPLES_MAX);
    for (int c = 0; c < 5; c++)
        head.cell[c] = language->sample_head[c];
    widen(widths, &head);
    for (int i = 0; i < n; i++) {
        lines[i] = line_of(rows, i);
        widen(widths, &lines[i]);
    }
    g_autofree char *head_text = aligned(widths, &head);
    pst_template_set(values, "samples_head", head_text);
    for (int i = 0; i < n; i++)
        set_sample(values, widths, &lines[i]);
    pst_template_setf(values, "samples_shown", "%d", n);
    pst_template_set(values, "has_samples", n > 0 ? "1" : "");
    return TRUE;
}

PstTemplateValues *pst_mail_words(PstPg *pg, const PstOutboxMail *mail, const char *from,
                                  GError **error)
{
    const Language *language = language_of(mail->locale);
    g_autoptr(PstTemplateValues) values = pst_template_values_new();
    g_autofree char *sender = pst_mail_display_name(from);
    pst_template_set(values, "sender_name", sender);
    if (!set_scalars(pg, mail, language, values, error) ||
        !set_reasons(pg, mail->vars, values, error) ||
        !set_samples(pg, mail->vars, language, values, error))
        return NULL;
    return g_steal_pointer(&values);
}
