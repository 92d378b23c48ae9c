/* SPDX-License-Identifier: Apache-2.0 */
#include "mail_words.h"

#include <string.h>

#include "mail_compose.h"
#include "mail_language.h"

/* ---- the vocabulary ---- */

static const char *const reason_columns[] = {"text", NULL};
static const char *const sample_columns[] = {"at",    "destination", "port", "message_id",
                                             "score", "line",        NULL};
static const char *const list_columns[] = {"name", "page", "line", NULL};
static const char *const unit_columns[] = {"unit",   "case_id",  "service", "until", "reason",
                                           "newest", "page_url", "line",    NULL};

static const PstTemplateWord vocabulary[] = {
    {"unit", NULL},
    {"customer", NULL},
    {"customer_name", NULL},
    {"service", NULL},
    {"case_id", NULL},
    {"sender_name", NULL},
    {"deadline_utc", NULL},
    {"deadline_local", NULL},
    {"hours", NULL},
    {"then", NULL},
    {"hold_until_utc", NULL},
    {"hold_until_local", NULL},
    {"freeze_utc", NULL},
    {"freeze_local", NULL},
    {"level", NULL},
    {"ports_closed", NULL},
    {"address_closed", NULL},
    {"by_verdict", NULL},
    {"by_deadline", NULL},
    {"by_listing", NULL},
    {"may_unblock", NULL},
    {"false_alarm", NULL},
    {"on_probation", NULL},
    {"kept", NULL},
    {"withdrawn", NULL},
    {"measure", NULL},
    {"rule", NULL},
    {"automated", NULL},
    {"page_url", NULL},
    {"unblock_url", NULL},
    {"has_reasons", NULL},
    {"reasons", reason_columns},
    {"reasons_english", NULL},
    {"has_samples", NULL},
    {"samples", sample_columns},
    {"samples_head", NULL},
    {"samples_shown", NULL},
    {"samples_total", NULL},
    {"is_listed", NULL},
    {"lists", list_columns},
    {"not_listed", NULL},
    {"listing_unknown", NULL},
    {"lookup_page", NULL},
    {"reverse_dns", NULL},
    {"of_warning", NULL},
    {"of_reminder", NULL},
    {"of_blocked", NULL},
    {"of_resolved", NULL},
    {"of_released", NULL},
    {"asks_to_act", NULL},
    {"count", NULL},
    {"units", unit_columns},
    {"units_head", NULL},
    {"until_head", NULL},
    {NULL, NULL},
};

const PstTemplateWord *pst_mail_vocabulary(void)
{
    return vocabulary;
}

/* What is being made, and for whom. */
typedef struct {
    PstPg *pg;
    const PstOutboxMail *mail;
    const PstMailLanguage *language;
    PstTemplateValues *values;
} Words;

static void set_moment(const Words *w, const char *name, gint64 utc_ns)
{
    if (utc_ns == 0)
        return;
    g_autofree char *utc_name = g_strconcat(name, "_utc", NULL);
    g_autofree char *local_name = g_strconcat(name, "_local", NULL);
    g_autofree char *utc = pst_mail_time(w->language, utc_ns, "UTC");
    g_autofree char *local = pst_mail_time(w->language, utc_ns, w->mail->tz);
    pst_template_set(w->values, utc_name, utc);
    pst_template_setf(w->values, local_name, "%s (%s)", local, w->mail->tz);
}

/* Puts @value into the place that @mark holds in @pattern. Given. */
static char *filled(const char *pattern, const char *mark, const char *value)
{
    GString *out = g_string_new(pattern);
    g_string_replace(out, mark, value, 1);
    return g_string_free(out, FALSE);
}

/* ---- tables, aligned for text ---- */

typedef struct {
    const char *cell[PST_MAIL_COLUMNS];
} Line;

static void widen(int widths[PST_MAIL_COLUMNS], const Line *line, int columns)
{
    for (int c = 0; c < columns; c++)
        widths[c] = MAX(widths[c], (int)g_utf8_strlen(line->cell[c], -1));
}

/* The last column is not padded: Message-IDs are as long as they like. */
static char *aligned(const int widths[PST_MAIL_COLUMNS], const Line *line, int columns)
{
    GString *out = g_string_new(NULL);
    for (int c = 0; c < columns; c++) {
        g_string_append(out, line->cell[c]);
        int pad = c < columns - 1 ? widths[c] - (int)g_utf8_strlen(line->cell[c], -1) + 2 : 0;
        g_string_append_printf(out, "%*s", pad, "");
    }
    return g_string_free(out, FALSE);
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
    " (v->>'freeze_iso')::timestamptz AS freeze, v->>'scope' AS scope,"
    " (SELECT string_agg(x, ', ') FROM jsonb_array_elements_text("
    "   CASE jsonb_typeof(v->'ports') WHEN 'array' THEN v->'ports' END) AS x) AS ports,"
    " v->>'cause' AS cause, coalesce((v->>'automated')::boolean, true) AS automated,"
    " coalesce((v->>'false_positive')::boolean, false) AS false_positive,"
    " v->>'listing' AS listing, v->>'lookup_page' AS lookup_page,"
    " v->>'page_url' AS page_url, v->>'evidence_total' AS evidence_total,"
    " v->>'of' AS of, v->>'count' AS count"
    " FROM (SELECT $1::jsonb AS v) AS data";

/* A reason is a sentence, and facts from which another language makes its own. The facts of the
 * units of a digest stand with each of them. */
#define FACT_TEXT                                                                                  \
    " CASE jsonb_typeof(f.value) WHEN 'array' THEN (SELECT string_agg(CASE jsonb_typeof(e)"        \
    "   WHEN 'object' THEN format('%s (1:%s)', e->>'router', e->>'sampling') ELSE e #>> '{}' END," \
    "   ', ') FROM jsonb_array_elements(f.value) AS e) ELSE f.value #>> '{}' END"
static const char reasons_sql[] =
    "SELECT r.sentence, f.key," FACT_TEXT " FROM (SELECT $1::jsonb AS v) AS data,"
    " jsonb_array_elements_text(CASE jsonb_typeof(v->'reasons') WHEN 'array' THEN v->'reasons' END)"
    "   WITH ORDINALITY AS r (sentence, n)"
    " LEFT JOIN LATERAL jsonb_each(CASE jsonb_typeof(v->'reason_facts'->(r.n - 1)::int)"
    "   WHEN 'object' THEN v->'reason_facts'->(r.n - 1)::int END) AS f ON true"
    " WHERE r.sentence <> '' ORDER BY r.n";

static const char samples_sql[] =
    "SELECT x->>'time', x->>'destination', x->>'port', x->>'score', x->>'message_id'"
    " FROM jsonb_array_elements(CASE jsonb_typeof($1::jsonb->'evidence')"
    " WHEN 'array' THEN $1::jsonb->'evidence' END) AS x LIMIT 20";

static const char lists_sql[] = "SELECT x->>'name', coalesce(x->>'page', '')"
                                " FROM jsonb_array_elements(CASE jsonb_typeof($1::jsonb->'lists')"
                                " WHEN 'array' THEN $1::jsonb->'lists' END) AS x";

static const char units_sql[] =
    "SELECT x->>'unit', x->>'case', coalesce(x->>'service', '–'),"
    " (x->>'until_iso')::timestamptz, coalesce(x->>'page_url', ''),"
    " x->'newest'->>'time', x->'newest'->>'destination', x->'newest'->>'port', x"
    " FROM jsonb_array_elements(CASE jsonb_typeof($1::jsonb->'units')"
    " WHEN 'array' THEN $1::jsonb->'units' END) AS x LIMIT 250";

static PstPgRows *ask(const Words *w, const char *sql, const char *json, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_text(&p, json);
    return pst_pg_query(w->pg, sql, &p, error);
}

static const char *text_of(const PstPgRows *row, const char *column)
{
    const char *text = pst_pg_text(row, 0, pst_pg_column(row, column));
    return text != NULL ? text : "";
}

static gboolean is(const PstPgRows *row, const char *column, const char *word)
{
    return strcmp(text_of(row, column), word) == 0;
}

static void set_flag(const Words *w, const char *name, gboolean flag)
{
    pst_template_set(w->values, name, flag ? "1" : "");
}

static void set_names(const Words *w, const PstPgRows *row)
{
    static const char *const names[] = {"unit",    "customer", "customer_name", "case_id",
                                        "service", "hours",    "level",         "count"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        pst_template_set(w->values, names[i], text_of(row, names[i]));
    if (text_of(row, "service")[0] == '\0')
        pst_template_set(w->values, "service", "–");
}

/* What a kind of mail tells was done; a row for each that does not tell of a block. */
static const char *measure_of(const PstMailLanguage *l, const char *kind)
{
    const struct {
        const char *kind, *measure;
    } kinds[] = {{"warning", l->measure_warning},
                 {"reminder", l->measure_warning},
                 {"freeze-notice", l->measure_freeze},
                 {"frozen", l->measure_frozen}};
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(kinds[i].kind, kind) == 0)
            return kinds[i].measure;
    return NULL;
}

static void set_measure(const Words *w, const PstPgRows *row, const char *kind)
{
    const PstMailLanguage *l = w->language;
    gboolean address = is(row, "scope", "address");
    pst_template_set(w->values, address ? "address_closed" : "ports_closed",
                     address ? "1" : text_of(row, "ports"));
    const char *pattern = measure_of(l, kind);
    if (pattern == NULL)
        pattern = is(row, "scope", "mixed") ? l->measure_mixed
                  : address                 ? l->measure_address
                                            : l->measure_ports;
    g_autofree char *measure = filled(pattern, "%s", text_of(row, "ports"));
    pst_template_set(w->values, "measure", measure);
    pattern = is(row, "then_scope", "mixed")     ? l->close_mixed
              : is(row, "then_scope", "address") ? l->close_address
                                                 : l->close_ports;
    g_autofree char *then = filled(pattern, "%s", text_of(row, "then_ports"));
    pst_template_set(w->values, "then", then);
    pst_template_set(w->values, "rule", pst_mail_rule(l, text_of(row, "cause")));
    gboolean automated = pst_pg_bool(row, 0, pst_pg_column(row, "automated"));
    pst_template_set(w->values, "automated", automated ? l->automated : l->by_person);
}

/* Which of the template's ways of telling it are true. */
static void set_story(const Words *w, const PstPgRows *row, const char *kind)
{
    gboolean listing = is(row, "cause", "freeze"), deadline = is(row, "cause", "deadline");
    gboolean mistake = pst_pg_bool(row, 0, pst_pg_column(row, "false_positive"));
    gboolean kept = text_of(row, "hours")[0] != '\0';
    set_flag(w, "by_listing", listing);
    set_flag(w, "by_deadline", deadline);
    set_flag(w, "by_verdict", !listing && !deadline);
    set_flag(w, "may_unblock", !listing);
    set_flag(w, "false_alarm", mistake);
    set_flag(w, "on_probation", !mistake);
    set_flag(w, "kept", kept);
    set_flag(w, "withdrawn", !kept);
    static const char *const kinds[] = {"warning", "reminder", "blocked", "resolved", "released"};
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *name = g_strconcat("of_", kinds[i], NULL);
        set_flag(w, name, strcmp(kinds[i], kind) == 0);
    }
    set_flag(w, "asks_to_act", strcmp(kind, "resolved") != 0 && strcmp(kind, "released") != 0);
}

/* PAGE/ip/UNIT is the page; PAGE/ip/BLOCK/spam/IP/unblock is OVH's call for the same. */
static void set_links(const Words *w, const PstPgRows *row)
{
    const char *page = text_of(row, "page_url");
    const char *tail = g_strrstr(page, "/ip/");
    pst_template_set(w->values, "page_url", page);
    if (tail == NULL)
        return;
    g_autofree char *block = g_uri_escape_string(text_of(row, "unit"), NULL, FALSE);
    gboolean host = strchr(text_of(row, "unit"), '/') == NULL;
    const char *len = !host ? "" : strchr(text_of(row, "unit"), ':') != NULL ? "%2F128" : "%2F32";
    pst_template_setf(w->values, "unblock_url", "%.*s/ip/%s%s/spam/%s/unblock", (int)(tail - page),
                      page, block, len, block);
}

static gboolean set_scalars(const Words *w, char **out_kind, GError **error)
{
    g_autoptr(PstPgRows) row = ask(w, scalars_sql, w->mail->vars, error);
    if (row == NULL)
        return FALSE;
    const char *of = text_of(row, "of"); /* a digest: mails of which kind it stands for */
    const char *kind = *of != '\0' ? of : w->mail->kind;
    set_names(w, row);
    set_moment(w, "deadline", pst_pg_time(row, 0, pst_pg_column(row, "deadline")));
    set_moment(w, "hold_until", pst_pg_time(row, 0, pst_pg_column(row, "hold_until")));
    set_moment(w, "freeze", pst_pg_time(row, 0, pst_pg_column(row, "freeze")));
    set_measure(w, row, kind);
    set_story(w, row, kind);
    set_links(w, row);
    pst_template_set(w->values, "samples_total", text_of(row, "evidence_total"));
    pst_template_set(w->values, "lookup_page", text_of(row, "lookup_page"));
    set_flag(w, "not_listed", is(row, "listing", "not-listed"));
    set_flag(w, "listing_unknown",
             !is(row, "listing", "not-listed") && text_of(row, "lookup_page")[0] != '\0');
    *out_kind = g_strdup(kind);
    return TRUE;
}

/* ---- reasons ---- */

/* The sentences of the mail's or of a digest's unit's data, each with the flag whether it had to
 * stay English. */
typedef struct {
    GPtrArray *sentences;
    gboolean english;
} Reasons;

static void add_sentence(const Words *w, Reasons *reasons, const char *sentence, GHashTable *facts)
{
    char *own = pst_mail_sentence(w->language, facts);
    reasons->english |= own == NULL && w->language->reasons != NULL;
    g_ptr_array_add(reasons->sentences, own != NULL ? own : g_strdup(sentence));
}

/* Rows are (sentence, fact, value), those of one sentence together; two alike are one. */
static gboolean read_reasons(const Words *w, const char *json, Reasons *reasons, GError **error)
{
    g_autoptr(PstPgRows) rows = ask(w, reasons_sql, json, error);
    if (rows == NULL)
        return FALSE;
    for (int i = 0; i < pst_pg_count(rows);) {
        const char *sentence = pst_pg_text(rows, i, 0);
        g_autoptr(GHashTable) facts =
            g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        for (; i < pst_pg_count(rows) && strcmp(pst_pg_text(rows, i, 0), sentence) == 0; i++)
            if (pst_pg_text(rows, i, 1) != NULL && pst_pg_text(rows, i, 2) != NULL)
                g_hash_table_replace(facts, g_strdup(pst_pg_text(rows, i, 1)),
                                     g_strdup(pst_pg_text(rows, i, 2)));
        add_sentence(w, reasons, sentence, facts);
    }
    return TRUE;
}

static gboolean set_reasons(const Words *w, GError **error)
{
    g_autoptr(GPtrArray) sentences = g_ptr_array_new_with_free_func(g_free);
    Reasons reasons = {.sentences = sentences};
    /* What is said of a frozen address is no observation. */
    if (strcmp(w->mail->kind, "frozen") != 0 && !read_reasons(w, w->mail->vars, &reasons, error))
        return FALSE;
    for (guint i = 0; i < sentences->len; i++)
        pst_template_set(pst_template_row(w->values, "reasons"), "text",
                         g_ptr_array_index(sentences, i));
    set_flag(w, "has_reasons", sentences->len > 0);
    set_flag(w, "reasons_english", reasons.english);
    return TRUE;
}

/* ---- evidence, blocklists ---- */

static Line line_of(const PstPgRows *rows, int i)
{
    Line line;
    for (int c = 0; c < PST_MAIL_COLUMNS; c++) {
        const char *text = pst_pg_text(rows, i, c);
        line.cell[c] = text != NULL && *text != '\0' ? text : "–";
    }
    return line;
}

static void set_sample(const Words *w, const int widths[PST_MAIL_COLUMNS], const Line *line)
{
    static const char *const names[] = {"at", "destination", "port", "score", "message_id"};
    PstTemplateValues *row = pst_template_row(w->values, "samples");
    for (gsize c = 0; c < G_N_ELEMENTS(names); c++)
        pst_template_set(row, names[c], line->cell[c]);
    g_autofree char *text = aligned(widths, line, PST_MAIL_COLUMNS);
    pst_template_set(row, "line", text);
}

static gboolean set_samples(const Words *w, GError **error)
{
    g_autoptr(PstPgRows) rows = ask(w, samples_sql, w->mail->vars, error);
    if (rows == NULL)
        return FALSE;
    Line head;
    int widths[PST_MAIL_COLUMNS] = {0}, n = pst_pg_count(rows);
    memcpy(head.cell, w->language->sample_head, sizeof head.cell);
    widen(widths, &head, PST_MAIL_COLUMNS);
    for (int i = 0; i < n; i++) {
        Line line = line_of(rows, i);
        widen(widths, &line, PST_MAIL_COLUMNS);
    }
    g_autofree char *head_text = aligned(widths, &head, PST_MAIL_COLUMNS);
    pst_template_set(w->values, "samples_head", head_text);
    for (int i = 0; i < n; i++) {
        Line line = line_of(rows, i);
        set_sample(w, widths, &line);
    }
    pst_template_setf(w->values, "samples_shown", "%d", n);
    set_flag(w, "has_samples", n > 0);
    return TRUE;
}

static gboolean set_lists(const Words *w, GError **error)
{
    g_autoptr(PstPgRows) rows = ask(w, lists_sql, w->mail->vars, error);
    if (rows == NULL)
        return FALSE;
    int n = pst_pg_count(rows);
    for (int i = 0; i < n; i++) {
        const char *name = pst_pg_text(rows, i, 0), *page = pst_pg_text(rows, i, 1);
        PstTemplateValues *row = pst_template_row(w->values, "lists");
        pst_template_set(row, "name", name);
        pst_template_set(row, "page", page);
        pst_template_setf(row, "line", "%s%s%s", name, *page != '\0' ? ": " : "", page);
    }
    if (n > 0) {
        set_flag(w, "is_listed", TRUE);
        set_flag(w, "not_listed", FALSE);
        set_flag(w, "listing_unknown", FALSE);
    }
    return TRUE;
}

/* ---- the units of a digest ---- */

enum { UNIT, CASE, SERVICE, UNTIL, PAGE, AT, DESTINATION, PORT, DATA };

static char *until_of(const Words *w, const PstPgRows *rows, int i)
{
    gint64 at = pst_pg_time(rows, i, UNTIL);
    return at != 0 ? pst_mail_time(w->language, at, "UTC") : g_strdup("");
}

static gboolean set_seen(const Words *w, const PstPgRows *rows, int i, PstTemplateValues *row,
                         GError **error)
{
    g_autoptr(GPtrArray) sentences = g_ptr_array_new_with_free_func(g_free);
    Reasons reasons = {.sentences = sentences};
    if (!read_reasons(w, pst_pg_text(rows, i, DATA), &reasons, error))
        return FALSE;
    if (sentences->len > 0)
        pst_template_set(row, "reason", g_ptr_array_index(sentences, 0));
    const char *at = pst_pg_text(rows, i, AT), *destination = pst_pg_text(rows, i, DESTINATION);
    if (at == NULL || destination == NULL || strcmp(destination, "–") == 0)
        return TRUE;
    g_autofree char *with_time = filled(w->language->newest, "{time}", at);
    g_autofree char *with_to = filled(with_time, "{destination}", destination);
    g_autofree char *newest = filled(with_to, "{port}", pst_pg_text(rows, i, PORT));
    pst_template_set(row, "newest", newest);
    return TRUE;
}

static gboolean set_units(const Words *w, const char *kind, GError **error)
{
    g_autoptr(PstPgRows) rows = ask(w, units_sql, w->mail->vars, error);
    if (rows == NULL)
        return FALSE;
    const PstMailLanguage *l = w->language;
    gboolean seen = strcmp(kind, "resolved") != 0 && strcmp(kind, "released") != 0;
    const char *until_head = !seen                          ? ""
                             : strcmp(kind, "blocked") == 0 ? l->open_from_head
                                                            : l->deadline_head;
    int widths[PST_MAIL_COLUMNS] = {0}, columns = seen ? 3 : 2;
    Line head = {{l->unit_head[0], l->unit_head[1], until_head}};
    widen(widths, &head, columns);
    for (int i = 0; i < pst_pg_count(rows); i++) {
        Line line = {{pst_pg_text(rows, i, UNIT), pst_pg_text(rows, i, CASE), ""}};
        widen(widths, &line, columns);
    }
    g_autofree char *head_text = aligned(widths, &head, columns);
    pst_template_set(w->values, "units_head", head_text);
    pst_template_set(w->values, "until_head", until_head);
    for (int i = 0; i < pst_pg_count(rows); i++) {
        g_autofree char *until_text = until_of(w, rows, i);
        Line line = {{pst_pg_text(rows, i, UNIT), pst_pg_text(rows, i, CASE), until_text}};
        PstTemplateValues *row = pst_template_row(w->values, "units");
        pst_template_set(row, "unit", line.cell[0]);
        pst_template_set(row, "case_id", line.cell[1]);
        pst_template_set(row, "service", pst_pg_text(rows, i, SERVICE));
        pst_template_set(row, "until", until_text);
        pst_template_set(row, "page_url", pst_pg_text(rows, i, PAGE));
        g_autofree char *text = aligned(widths, &line, columns);
        pst_template_set(row, "line", text);
        if (seen && !set_seen(w, rows, i, row, error))
            return FALSE;
    }
    return TRUE;
}

/* ---- all of it ---- */

static void set_reverse_dns(const Words *w, const PstReverseDns *found)
{
    PstReverseDnsState state = found != NULL ? found->state : PST_REVERSE_DNS_UNKNOWN;
    const char *name = found != NULL && found->name != NULL ? found->name : "";
    g_autofree char *text = filled(w->language->reverse_dns[state], "{name}", name);
    gboolean digest = strcmp(w->mail->kind, "digest") == 0; /* it is about one address */
    pst_template_set(w->values, "reverse_dns", digest ? "" : text);
}

PstTemplateValues *pst_mail_words(PstPg *pg, const PstOutboxMail *mail, const char *from,
                                  const PstReverseDns *reverse_dns, GError **error)
{
    g_autoptr(PstTemplateValues) values = pst_template_values_new();
    const Words w = {pg, mail, pst_mail_language(mail->locale), values};
    g_autofree char *sender = pst_mail_display_name(from);
    g_autofree char *kind = NULL;
    pst_template_set(values, "sender_name", sender);
    set_reverse_dns(&w, reverse_dns);
    if (!set_scalars(&w, &kind, error) || !set_reasons(&w, error) || !set_samples(&w, error) ||
        !set_lists(&w, error) || !set_units(&w, kind, error))
        return NULL;
    return g_steal_pointer(&values);
}
