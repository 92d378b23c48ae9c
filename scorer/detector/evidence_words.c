/* SPDX-License-Identifier: Apache-2.0 */
#include "evidence_words.h"

#include <math.h>

#include "cell.h"
#include "json.h"

#define BEFORE 50 /* points from earlier windows that are worth a word */

static const char *const scale_text[SCALES] = {"10 s", "60 s", "5 min", "30 min", "3 h"};

/* --- a sentence, and what it says for programs ---------------------------------------------- */

/* The members of a JSON object, behind its brace. */
static GString *facts_begin(void)
{
    return g_string_new("{");
}

static void fact_number(GString *facts, const char *name, double value)
{
    pst_json_append_name(facts, name);
    pst_json_append_real(facts, value);
}

static void fact_word(GString *facts, const char *name, const char *word)
{
    pst_json_append_name(facts, name);
    pst_json_append_string(facts, word);
}

static void say(PstVerdict *verdict, const char *name, double points, GString *facts_take,
                const char *format, ...) G_GNUC_PRINTF(5, 6);

static void say(PstVerdict *verdict, const char *name, double points, GString *facts_take,
                const char *format, ...)
{
    g_assert(verdict->n_reasons < PST_VERDICT_REASONS_MAX);
    g_string_erase(facts_take, 0, 1);
    va_list args;
    va_start(args, format);
    verdict->reasons[verdict->n_reasons++] = (PstReason){.name = name,
                                                         .points = points,
                                                         .text = g_strdup_vprintf(format, args),
                                                         .facts = g_string_free(facts_take, FALSE)};
    va_end(args);
}

/* The facts of a sentence that says a single number. */
static GString *one_number(const char *name, double value)
{
    GString *facts = facts_begin();
    fact_number(facts, name, value);
    return facts;
}

/* Two significant digits below 10, whole numbers above. Locale does not reach it. */
static const char *number(double x, char out[32])
{
    g_ascii_formatd(out, 32, x < 10 ? "%.2g" : "%.0f", x);
    return out;
}

static const char *plural(guint64 n)
{
    return n == 1 ? "" : "s";
}

/* The same as a fact. */
static void fact_rounded(GString *facts, const char *name, double value)
{
    char text[32];
    fact_number(facts, name, g_ascii_strtod(number(value, text), NULL));
}

static gboolean is_sampled(const PstVerdict *verdict)
{
    return verdict->sampling > 1;
}

/* --- the reasons ----------------------------------------------------------------------------- */

/* What the count is held against: what the address does itself (the null is a little below it where
 * the floor does not lift it), or what anyone may. Of samples that is often less than one. */
static void allowance(const PstVerdict *verdict, const WordsFacts *facts, char out[128])
{
    char most[32], usual[32];
    number(facts->usual, most);
    gboolean whole = facts->peak->usual >= 0.5;
    number(whole ? facts->peak->usual : 1 / facts->peak->usual, usual);
    if (facts->usual >= MAX(facts->peak->usual, 1))
        g_snprintf(out, 128, "its usual most is %s", most);
    else if (facts->usual >= 1)
        g_snprintf(out, 128, "its usual most is %s, up to %s is not noticed", most, usual);
    else
        g_snprintf(out, 128, "an address with%s mail is allowed %s%s%s",
                   verdict->cold ? "out a history of" : " little", whole ? "up to " : "one in ",
                   usual, whole ? "" : " such spans");
}

/* Points of the evidence that this window alone, after silence, would not have made. */
static double evidence_before(const Peak *peak)
{
    Cell cell;
    cell_make(peak->scale, peak->usual, &cell);
    double alone = cell.idle[peak->theta] * pow(cell.plus[peak->theta], peak->count);
    return CLAMP(100 * log10(peak->m_value / alone), 0, evidence_of(peak->m_value));
}

static GString *burst_facts(const PstVerdict *verdict, const WordsFacts *words)
{
    const Peak *peak = words->peak;
    GString *facts = facts_begin();
    fact_word(facts, "counted", peak->channel == CHANNEL_SESSIONS ? "sessions" : "destinations");
    fact_word(facts, "pair", peak->pair == PST_PAIR_SMTP ? "smtp" : "submission");
    fact_number(facts, "window_seconds", scale_tau_s[peak->scale]);
    fact_number(facts, "seen", peak->count);
    fact_rounded(facts, "allowed", peak->usual);
    if (words->usual < 1 && peak->usual < 0.5)
        fact_rounded(facts, "one_in", 1 / peak->usual);
    if (words->usual >= 1)
        fact_rounded(facts, "usual", words->usual);
    if (evidence_before(peak) >= 1)
        fact_number(facts, "before", floor(evidence_before(peak)));
    fact_word(facts, "history", words->usual >= 1 ? "own" : verdict->cold ? "none" : "little");
    fact_rounded(facts, "sampling", verdict->sampling);
    return facts;
}

static void burst(PstVerdict *verdict, const WordsFacts *facts, double points)
{
    const Peak *peak = facts->peak;
    char allowed[128];
    allowance(verdict, facts, allowed);
    say(verdict, "burst", points, burst_facts(verdict, facts),
        "%u new %s%s%s on %s within %s%s; %s", peak->count,
        peak->channel == CHANNEL_SESSIONS ? "session" : "destination", plural(peak->count),
        is_sampled(verdict) ? " in samples" : "",
        peak->pair == PST_PAIR_SMTP ? "port 25" : "the submission ports", scale_text[peak->scale],
        evidence_before(peak) >= BEFORE ? ", after others in the spans before" : "", allowed);
}

/* Why the evidence is held back. */
static void gate(PstVerdict *verdict, const EpisodeGate *gate, double points)
{
    double low = floor(gate->low);
    if (gate->low >= gate->height) {
        GString *facts = one_number("servers", gate->servers);
        fact_number(facts, "needed", gate->wanted);
        say(verdict, "few-servers", points, facts,
            "its sessions went to %u server%s so far; it counts as mail to strangers from %u on",
            gate->servers, plural(gate->servers), gate->wanted);
        return;
    }
    GString *facts = one_number("certain", low);
    fact_number(facts, "needed", gate->height);
    say(verdict, "gate", points, facts,
        "at least %.0f sessions%s are certain so far; it counts as a burst from %.0f on", low,
        verdict->cold ? " of the last hour" : "", gate->height);
}

static void neighbourhood(PstVerdict *verdict, const WordsFacts *words)
{
    guint addresses = 0;
    for (guint i = 0; i < G_N_ELEMENTS(words->episode->told[verdict->band]); i++)
        addresses += (guint)__builtin_popcountll(words->episode->told[verdict->band][i]);
    guint others = MAX(addresses, 1) - 1;
    GString *facts = facts_begin();
    fact_word(facts, "net", words->neighbourhood);
    fact_number(facts, "certain", floor(words->low));
    fact_number(facts, "others", others);
    say(verdict, "neighbourhood", 0, facts,
        "all addresses of the customer in %s together stand out, at least %.0f sessions; this "
        "address took part, with %u others so far",
        words->neighbourhood, floor(words->low), others);
}

static void adjustment(PstVerdict *verdict, const Adjustment *adjust, AdjustKind kind,
                       double points)
{
    double fact = adjust->fact[kind];
    switch (kind) {
    case ADJUST_SUBMISSION_SERVER:
        say(verdict, "submission-server", points, one_number("sessions_a_day", round(fact)),
            "it relays for others: about %.0f sessions came in on its submission ports in a day",
            fact);
        break;
    case ADJUST_EXEMPTION:
        say(verdict, "exemption-ceiling", points, one_number("sessions_an_hour", round(fact)),
            "exempted up to %.0f sessions an hour, which it exceeds", fact);
        break;
    case ADJUST_DEAD_DESTINATIONS:
        say(verdict, "dead-destinations", points, one_number("percent", round(100 * fact)),
            "%.0f %% of its openings failed", 100 * fact);
        break;
    case ADJUST_NEW_CUSTOMER:
        say(verdict, "new-customer", points, one_number("days", fact),
            "it sent its first mail %.0f days ago", fact);
        break;
    case ADJUSTMENTS:
    default:
        break;
    }
}

/* Where the score comes from: points add up to it. What speaks against the unit counts as far as
 * there is room below 1000. */
static void score(PstVerdict *verdict, const WordsFacts *facts)
{
    double held = verdict->score - floor(verdict->evidence);
    gboolean counts = facts->gate->open != 0;
    if (held < 0 && !counts) {
        burst(verdict, facts, floor(verdict->evidence));
        gate(verdict, facts->gate, held);
        return;
    }
    double points[ADJUSTMENTS], sum = 0;
    for (guint i = 0; i < ADJUSTMENTS; i++)
        sum += points[i] = counts ? MIN(facts->adjust->points[i], 0) : 0;
    for (guint i = 0; i < ADJUSTMENTS; i++) {
        double more = counts ? MAX(facts->adjust->points[i], 0) : 0;
        more = CLAMP(held - sum, 0, more);
        points[i] += more;
        sum += more;
    }
    burst(verdict, facts, verdict->score - sum);
    for (guint i = 0; i < ADJUSTMENTS; i++)
        if (facts->adjust->points[i] != 0)
            adjustment(verdict, facts->adjust, (AdjustKind)i, points[i]);
}

static void magnitude(PstVerdict *verdict, const WordsFacts *words)
{
    gboolean whole = verdict->ended && words->neighbourhood == NULL;
    const char *when = whole ? "in the whole episode" : "in the last 3 to 6 hours";
    double low = floor(verdict->sessions_low);
    double estimate = verdict->sessions_seen * verdict->sampling;
    GString *facts = facts_begin();
    fact_word(facts, "span", whole ? "episode" : "3h");
    fact_number(facts, "sessions", verdict->sessions_seen);
    fact_number(facts, "destinations", verdict->destinations_seen);
    fact_number(facts, "estimate", round(estimate));
    fact_number(facts, "certain", low);
    fact_rounded(facts, "sampling", verdict->sampling);
    g_autoptr(GString) text = g_string_new(NULL);
    guint64 sessions = (guint64)verdict->sessions_seen;
    guint64 destinations = (guint64)verdict->destinations_seen;
    g_string_printf(text,
                    "%" G_GUINT64_FORMAT " session%s to %" G_GUINT64_FORMAT " new destination%s",
                    sessions, plural(sessions), destinations, plural(destinations));
    if (is_sampled(verdict))
        say(verdict, "magnitude", 0, facts,
            "%s seen in samples %s: that is about %.0f sessions, and at least %.0f", text->str,
            when, estimate, low);
    else
        say(verdict, "magnitude", 0, facts, "%s %s", text->str, when);
}

static void failed_openings(PstVerdict *verdict, const Episode *episode)
{
    GString *facts = one_number("failed", (double)episode->failed);
    fact_number(facts, "of", (double)episode->countable);
    say(verdict, "failed-openings", 0, facts,
        "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " sessions were not answered or were refused",
        episode->failed, episode->countable);
}

static void ports(PstVerdict *verdict)
{
    g_autoptr(GString) list = g_string_new(NULL);
    GString *facts = g_string_new("{\"ports\":[");
    for (guint i = 0; i < G_N_ELEMENTS(verdict->ports) && verdict->ports[i] != 0; i++) {
        g_string_append_printf(list, "%s%u", i > 0 ? ", " : "", verdict->ports[i]);
        g_string_append_printf(facts, "%s%u", i > 0 ? "," : "", verdict->ports[i]);
    }
    g_string_append_c(facts, ']');
    say(verdict, "ports", 0, facts, "destination port%s %s", strchr(list->str, ',') ? "s" : "",
        list->str);
}

static void exporters(PstVerdict *verdict, const Episode *episode)
{
    g_autoptr(GString) list = g_string_new(NULL);
    GString *facts = g_string_new("{\"routers\":[");
    for (guint i = 0; i < PST_VERDICT_EXPORTERS; i++) {
        const EpisodeExporter *e = &episode->exporter[i];
        char text[PST_ADDR_TEXT_MAX];
        if (!pst_addr_present(&e->addr))
            continue;
        pst_addr_format(&e->addr, text);
        gboolean is_file = strcmp(text, "0.0.0.0") == 0;
        const char *before = list->len > 0 ? ", " : is_file ? "" : "router ";
        g_string_append_printf(list, "%s%s (sampling 1:%" G_GUINT64_FORMAT ")", before,
                               is_file ? "a recording" : text, e->rate);
        g_string_append_printf(facts, "%s{\"router\":\"%s\",\"sampling\":%" G_GUINT64_FORMAT "}",
                               i > 0 ? "," : "", text, e->rate);
    }
    g_string_append_c(facts, ']');
    if (list->len == 0) { /* recorded flows need not tell */
        g_string_free(facts, TRUE);
        return;
    }
    say(verdict, "exporters", 0, facts, "reported by %s", list->str);
}

void evidence_words(PstVerdict *verdict, const WordsFacts *facts)
{
    const Episode *episode = facts->episode;
    score(verdict, facts);
    if (facts->neighbourhood != NULL)
        neighbourhood(verdict, facts);
    magnitude(verdict, facts);
    if (episode->countable > 0 && facts->neighbourhood == NULL)
        failed_openings(verdict, episode);
    ports(verdict);
    exporters(verdict, episode);
    if (episode->late > 0)
        say(verdict, "late-records", 0, one_number("sightings", (double)episode->late),
            "%" G_GUINT64_FORMAT " further sightings came too late to be counted", episode->late);
}
