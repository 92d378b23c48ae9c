/* SPDX-License-Identifier: Apache-2.0 */
#include "mail_language.h"

#include <string.h>

#include "clock.h"

#define NEST_MAX 3

/* ---- German sentences (docs/detector.md lists the names and facts) ---- */

static const PstMailPhrase german_reasons[] = {
    {"burst", "{seen} neue {counted}{sampled} {pair} innerhalb von {window_seconds}; {history}"},
    {"gate", "bisher sind mindestens {certain} Verbindungen sicher; als Versandwelle zählt es ab "
             "{needed}"},
    {"few-servers",
     "ihre Verbindungen gingen bisher zu {servers} Servern; als Versand an Fremde zählt "
     "es ab {needed}"},
    {"magnitude", "{sessions} Verbindungen zu {destinations} neuen Zielen {span}{sampled}"},
    {"failed-openings", "{failed} von {of} Verbindungen wurden nicht beantwortet oder abgewiesen"},
    {"ports", "Zielports: {ports}"},
    {"exporters", "gemeldet von unseren Routern (in Klammern die Stichprobe): {routers}"},
    {"neighbourhood", "alle Adressen des Kunden in {net} zusammen fallen auf, mit mindestens "
                      "{certain} Verbindungen; diese Adresse ist beteiligt, bisher mit {others} "
                      "weiteren"},
    {"submission-server", "sie versendet für andere: an einem Tag kamen auf ihren "
                          "Submission-Ports etwa {sessions_a_day} Verbindungen herein"},
    {"exemption-ceiling", "ausgenommen bis {sessions_an_hour} Verbindungen in der Stunde, die sie "
                          "überschreitet"},
    {"dead-destinations", "{percent} % ihrer Verbindungsversuche scheiterten"},
    {"new-customer", "ihre erste Mail hat sie vor {days} Tagen verschickt"},
    {"late-records", "{sightings} weitere Beobachtungen kamen zu spät, um mitzuzählen"},
    {"complaint", "{reporter} hat {category} von dieser Adresse gemeldet{sent}{message_id}."},
    {NULL, NULL},
};

static const PstMailPhrase german_phrases[] = {
    {"burst.counted=sessions", "Verbindungen"},
    {"burst.counted=destinations", "Ziele"},
    {"burst.sampled=yes", " in Stichproben"},
    {"burst.sampled=no", ""},
    {"burst.pair=smtp", "auf Port 25"},
    {"burst.pair=submission", "auf den Submission-Ports"},
    {"burst.window_seconds=10", "10 s"},
    {"burst.window_seconds=60", "60 s"},
    {"burst.window_seconds=300", "5 min"},
    {"burst.window_seconds=1800", "30 min"},
    {"burst.window_seconds=10800", "3 h"},
    {"burst.history=own", "bisher höchstens {usual}"},
    {"burst.history=none", "einer Adresse ohne bisherigen Mailverkehr {one_in}"},
    {"burst.history=little", "einer Adresse mit wenig Mailverkehr {one_in}"},
    {"burst.one_in=", "stehen bis zu {allowed} zu"},
    {"burst.one_in=*", "steht in %s solchen Zeiträumen eine zu"},
    {"magnitude.span=episode", "in der ganzen Episode"},
    {"magnitude.span=3h", "in dieser und den letzten 3 Stunden"},
    {"magnitude.sampled=no", ""},
    {"magnitude.sampled=yes", ", in Stichproben gesehen: etwa {estimate} Verbindungen, mindestens "
                              "{certain}, zu mindestens {destinations} Zielen"},
    {"complaint.reporter=", "Ein Empfänger"},
    {"complaint.category=spam", "Spam"},
    {"complaint.category=phishing", "Phishing"},
    {"complaint.category=malware", "Schadsoftware"},
    {"complaint.category=botnet", "ein Botnetz"},
    {"complaint.category=other", "einen Missbrauch"},
    {"complaint.sent=", ""},
    {"complaint.sent=*", ", verschickt {time}"},
    {"complaint.message_id=", ""},
    {"complaint.message_id=*", ", Message-ID %s"},
    {NULL, NULL},
};

/* ---- the languages ---- */

static const PstMailLanguage languages[] = {
    {.locale = "en",
     .time_format = "%Y-%m-%d %H:%M %Z",
     .decimal = '.',
     .thousands = ",",
     .sample_head = {"Time (UTC)", "Destination", "Port", "Score", "Message-ID"},
     .unit_head = {"Address", "Case"},
     .deadline_head = "Deadline",
     .open_from_head = "Unblock from",
     .newest = "Newest connection: {time} UTC, to {destination} port {port}",
     .close_ports = "close outgoing mail connections of the address (TCP port %s)",
     .close_address = "close the whole address, until it is released",
     .close_mixed = "close outgoing mail connections or, where it is not the first time, the whole "
                    "address",
     .measure_ports = "outgoing mail connections (TCP port %s) closed, reversibly",
     .measure_address = "whole address closed, reversibly",
     .measure_mixed = "outgoing mail connections or the whole address closed, reversibly",
     .measure_warning = "warning with a deadline; no restriction so far",
     .measure_freeze = "address closed for good when the deadline has passed",
     .measure_frozen = "address closed for good",
     .automated = "yes, found and decided by software; a person checks it on request",
     .by_person = "no, decided by a person",
     .reverse_dns = {[PST_REVERSE_DNS_UNKNOWN] =
                         "What name it has now could not be found out when this mail was written.",
                     [PST_REVERSE_DNS_NONE] = "We looked: it has no such name now.",
                     [PST_REVERSE_DNS_ASTRAY] =
                         "We looked: it has the name {name} now, which does not lead back to it.",
                     [PST_REVERSE_DNS_RIGHT] =
                         "We looked: it has the name {name} now, and that leads back to it."},
     .rules = {{"verdict", "mail traffic far above what is usual for the address"},
               {"complaint", "complaints by recipients within the last days"},
               {"deadline", "deadline of a warning passed while spam went on"},
               {"relapse", "spam again while a block was being lifted"},
               {"freeze", "the address is listed on a blocklist"},
               {NULL, "repeated signs of unsolicited mail"}}},
    {.locale = "de",
     .time_format = "%d.%m.%Y %H:%M %Z",
     .decimal = ',',
     .thousands = ".",
     .sample_head = {"Zeit (UTC)", "Ziel", "Port", "Wert", "Message-ID"},
     .unit_head = {"Adresse", "Vorgang"},
     .deadline_head = "Frist",
     .open_from_head = "Zu öffnen ab",
     .newest = "Neueste Verbindung: {time} UTC, zu {destination} Port {port}",
     .close_ports = "sperren wir ausgehende Mailverbindungen der Adresse (TCP-Port %s)",
     .close_address = "sperren wir die ganze Adresse, bis sie freigegeben wird",
     .close_mixed = "sperren wir ausgehende Mailverbindungen oder, wo es nicht das erste Mal ist, "
                    "die ganze Adresse",
     .measure_ports = "ausgehende Mailverbindungen (TCP-Port %s) gesperrt, umkehrbar",
     .measure_address = "ganze Adresse gesperrt, umkehrbar",
     .measure_mixed = "ausgehende Mailverbindungen oder die ganze Adresse gesperrt, umkehrbar",
     .measure_warning = "Warnung mit Frist; bisher keine Einschränkung",
     .measure_freeze = "endgültige Sperre der Adresse nach Ablauf der Frist",
     .measure_frozen = "endgültige Sperre der Adresse",
     .automated = "ja, von Software erkannt und entschieden; auf Wunsch prüft ein Mensch",
     .by_person = "nein, von einem Menschen entschieden",
     .reverse_dns = {[PST_REVERSE_DNS_UNKNOWN] = "Welchen Namen sie jetzt hat, war beim Schreiben "
                                                 "dieser Mail nicht festzustellen.",
                     [PST_REVERSE_DNS_NONE] = "Wir haben nachgesehen: Sie hat jetzt keinen.",
                     [PST_REVERSE_DNS_ASTRAY] = "Wir haben nachgesehen: Sie heißt jetzt {name}, "
                                                "und dieser Name führt nicht zu ihr zurück.",
                     [PST_REVERSE_DNS_RIGHT] = "Wir haben nachgesehen: Sie heißt jetzt {name}, "
                                               "und dieser Name führt zu ihr zurück."},
     .rules = {{"verdict", "Mailverkehr weit über dem, was für die Adresse üblich ist"},
               {"complaint", "Beschwerden von Empfängern in den letzten Tagen"},
               {"deadline", "Frist einer Warnung verstrichen, während der Spam anhielt"},
               {"relapse", "erneut Spam, während eine Sperre aufgehoben wurde"},
               {"freeze", "die Adresse steht auf einer Sperrliste"},
               {NULL, "wiederholte Anzeichen unverlangter Mails"}},
     .reasons = german_reasons,
     .phrases = german_phrases},
};

const PstMailLanguage *pst_mail_language(const char *locale)
{
    for (gsize i = 0; i < G_N_ELEMENTS(languages); i++)
        if (g_str_has_prefix(locale, languages[i].locale))
            return &languages[i];
    return &languages[0];
}

const char *pst_mail_rule(const PstMailLanguage *language, const char *cause)
{
    const PstMailPhrase *rule = language->rules;
    while (rule->fact != NULL && g_strcmp0(rule->fact, cause) != 0)
        rule++;
    return rule->phrase;
}

/* ---- numbers and times ---- */

char *pst_mail_number(const PstMailLanguage *language, const char *text)
{
    gsize whole = strspn(text, "0123456789");
    gsize fraction = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    gsize used = whole + (fraction > 0 ? fraction + 1 : 0);
    if (whole == 0 || text[used] != '\0')
        return g_strdup(text);
    GString *out = g_string_new(NULL);
    for (gsize i = 0; i < whole; i++) {
        if (i > 0 && whole >= 5 && (whole - i) % 3 == 0) /* 1234 stays as it is */
            g_string_append(out, language->thousands);
        g_string_append_c(out, text[i]);
    }
    if (fraction > 0) {
        g_string_append_c(out, language->decimal);
        g_string_append(out, text + whole + 1);
    }
    return g_string_free(out, FALSE);
}

/* A customer's time zone that nobody knows is UTC: a mail with another clock beats no mail. */
char *pst_mail_time(const PstMailLanguage *language, gint64 utc_ns, const char *tz)
{
    g_autoptr(GTimeZone) zone = g_time_zone_new_identifier(tz);
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(utc_ns / PST_NS_PER_S);
    g_autoptr(GDateTime) local = zone != NULL ? g_date_time_to_timezone(utc, zone) : NULL;
    return g_date_time_format(local != NULL ? local : utc, language->time_format);
}

/* ---- sentences ---- */

static const char *find(const PstMailPhrase *phrases, const char *fact)
{
    for (const PstMailPhrase *p = phrases; p != NULL && p->fact != NULL; p++)
        if (strcmp(p->fact, fact) == 0)
            return p->phrase;
    return NULL;
}

static const char *find_phrase(const PstMailLanguage *language, const char *reason, const char *key,
                               const char *value)
{
    g_autofree char *fact = g_strdup_printf("%s.%s=%s", reason, key, value);
    return find(language->phrases, fact);
}

static gboolean expand(const PstMailLanguage *language, GHashTable *facts, const char *pattern,
                       int depth, GString *out);

static gboolean expand_time(const PstMailLanguage *language, GHashTable *facts, GString *out)
{
    const char *sent = g_hash_table_lookup(facts, "sent");
    g_autoptr(GDateTime) at = sent != NULL ? g_date_time_new_from_iso8601(sent, NULL) : NULL;
    if (at == NULL)
        return FALSE;
    g_autofree char *text = pst_mail_time(language, g_date_time_to_unix(at) * PST_NS_PER_S, "UTC");
    g_string_append(out, text);
    return TRUE;
}

/* One {KEY}: a phrase for this value, for its absence, for any value, or the value itself. */
static gboolean expand_fact(const PstMailLanguage *language, GHashTable *facts, const char *key,
                            int depth, GString *out)
{
    const char *reason = g_hash_table_lookup(facts, "name");
    const char *value = g_hash_table_lookup(facts, key);
    const char *phrase = find_phrase(language, reason, key, value != NULL ? value : "");
    if (phrase != NULL)
        return expand(language, facts, phrase, depth + 1, out);
    if (strcmp(key, "time") == 0)
        return expand_time(language, facts, out);
    if (value == NULL)
        return FALSE;
    phrase = find_phrase(language, reason, key, "*");
    if (phrase == NULL) {
        g_autofree char *number = pst_mail_number(language, value);
        g_string_append(out, number);
        return TRUE;
    }
    const char *itself = strstr(phrase, "%s");
    if (itself == NULL)
        return expand(language, facts, phrase, depth + 1, out);
    g_string_append_len(out, phrase, itself - phrase);
    g_string_append(out, value);
    return expand(language, facts, itself + strlen("%s"), depth + 1, out);
}

static gboolean expand(const PstMailLanguage *language, GHashTable *facts, const char *pattern,
                       int depth, GString *out)
{
    g_assert(depth <= NEST_MAX); /* a phrase that leads to itself */
    for (const char *at = pattern; *at != '\0';) {
        const char *close = *at == '{' ? strchr(at, '}') : NULL;
        if (close == NULL) {
            g_string_append_c(out, *at++);
            continue;
        }
        g_autofree char *key = g_strndup(at + 1, (gsize)(close - at - 1));
        if (!expand_fact(language, facts, key, depth, out))
            return FALSE;
        at = close + 1;
    }
    return TRUE;
}

/* What the sentences ask for and the facts say in another way. */
static void derive(GHashTable *facts)
{
    const char *sampling = g_hash_table_lookup(facts, "sampling");
    if (sampling != NULL)
        g_hash_table_insert(facts, g_strdup("sampled"),
                            g_strdup(g_ascii_strtod(sampling, NULL) > 1 ? "yes" : "no"));
}

char *pst_mail_sentence(const PstMailLanguage *language, GHashTable *facts)
{
    const char *name = g_hash_table_lookup(facts, "name");
    const char *pattern = name != NULL ? find(language->reasons, name) : NULL;
    if (pattern == NULL)
        return NULL;
    derive(facts);
    GString *out = g_string_new(NULL);
    if (expand(language, facts, pattern, 0, out))
        return g_string_free(out, FALSE);
    g_string_free(out, TRUE);
    return NULL;
}
