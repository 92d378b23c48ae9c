/* SPDX-License-Identifier: Apache-2.0 */
#include "evidence_words.h"

#include <math.h>

static const char *const scale_text[SCALES] = {"10 s", "60 s", "5 min", "30 min", "3 h"};

static void say(PstVerdict *verdict, const char *name, double points, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static void say(PstVerdict *verdict, const char *name, double points, const char *format, ...)
{
    g_assert(verdict->n_reasons < PST_VERDICT_REASONS_MAX);
    va_list args;
    va_start(args, format);
    verdict->reasons[verdict->n_reasons++] =
        (PstReason){.name = name, .points = points, .text = g_strdup_vprintf(format, args)};
    va_end(args);
}

/* Two significant digits below 10, whole numbers above. Locale does not reach it. */
static const char *number(double x, char out[32])
{
    g_ascii_formatd(out, 32, x < 10 ? "%.2g" : "%.0f", x);
    return out;
}

static gboolean is_sampled(const PstVerdict *verdict)
{
    return verdict->sampling > 1;
}

/* What the count is held against: what the address does itself, or what anyone may. */
static void allowance(const PstVerdict *verdict, const WordsFacts *facts, char out[128])
{
    char most[32], usual[32];
    number(facts->usual, most);
    number(facts->peak->usual, usual);
    if (facts->usual >= 1)
        g_snprintf(out, 128, "its usual most is %s, up to %s is not noticed", most, usual);
    else if (verdict->cold)
        g_snprintf(out, 128, "an address without a history of mail is allowed up to %s", usual);
    else
        g_snprintf(out, 128, "an address with little mail is allowed up to %s", usual);
}

static void burst(PstVerdict *verdict, const WordsFacts *facts, double points)
{
    const Peak *peak = facts->peak;
    char allowed[128];
    allowance(verdict, facts, allowed);
    say(verdict, "burst", points, "%u new %s%s on %s within %s; %s", peak->count,
        peak->channel == CHANNEL_SESSIONS ? "sessions" : "destinations",
        is_sampled(verdict) ? " in samples" : "",
        peak->pair == PST_PAIR_SMTP ? "port 25" : "the submission ports", scale_text[peak->scale],
        allowed);
}

static void neighbourhood(PstVerdict *verdict, const WordsFacts *facts)
{
    guint addresses = 0;
    for (guint i = 0; i < G_N_ELEMENTS(facts->episode->told[verdict->band]); i++)
        addresses += (guint)__builtin_popcountll(facts->episode->told[verdict->band][i]);
    say(verdict, "neighbourhood", 0,
        "all addresses of the customer in %s together stand out, at least %.0f sessions; this "
        "address took part, with %u others so far",
        facts->neighbourhood, floor(facts->low), MAX(addresses, 1) - 1);
}

static double certain(const PstVerdict *verdict, const WordsFacts *facts)
{
    return facts->neighbourhood != NULL ? facts->low : verdict->sessions_low;
}

static void adjustment(PstVerdict *verdict, const Adjustment *adjust, AdjustKind kind,
                       double points)
{
    double fact = adjust->fact[kind];
    switch (kind) {
    case ADJUST_SUBMISSION_SERVER:
        say(verdict, "submission-server", points,
            "it relays for others: about %.0f sessions came in on its submission ports in a day",
            fact);
        break;
    case ADJUST_EXEMPTION:
        say(verdict, "exemption-ceiling", points,
            "exempted up to %.0f sessions an hour, which it exceeds", fact);
        break;
    case ADJUST_DEAD_DESTINATIONS:
        say(verdict, "dead-destinations", points, "%.0f %% of its openings failed", 100 * fact);
        break;
    case ADJUST_NEW_CUSTOMER:
        say(verdict, "new-customer", points, "it sent its first mail %.0f days ago", fact);
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
    if (held < 0 && certain(verdict, facts) < facts->gate) {
        burst(verdict, facts, floor(verdict->evidence));
        say(verdict, "gate", held,
            "at least %.0f sessions are certain so far; it counts as a burst from %.0f on",
            floor(certain(verdict, facts)), facts->gate);
        return;
    }
    double points[ADJUSTMENTS], sum = 0;
    gboolean counts = certain(verdict, facts) >= facts->gate;
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

static void magnitude(PstVerdict *verdict, const WordsFacts *facts)
{
    const char *when = verdict->ended && facts->neighbourhood == NULL
                           ? "in the whole episode"
                           : "in this and the last 3 hours";
    if (is_sampled(verdict))
        say(verdict, "magnitude", 0,
            "%.0f sessions to %.0f new destinations seen in samples %s: about %.0f sessions, at "
            "least %.0f, to at least %.0f destinations",
            verdict->sessions_seen, verdict->destinations_seen, when,
            verdict->sessions_seen * verdict->sampling, floor(verdict->sessions_low),
            verdict->destinations_seen);
    else
        say(verdict, "magnitude", 0, "%.0f sessions to %.0f new destinations %s",
            verdict->sessions_seen, verdict->destinations_seen, when);
}

static void ports(PstVerdict *verdict)
{
    g_autoptr(GString) list = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(verdict->ports) && verdict->ports[i] != 0; i++)
        g_string_append_printf(list, "%s%u", i > 0 ? ", " : "", verdict->ports[i]);
    say(verdict, "ports", 0, "destination port%s %s", strchr(list->str, ',') ? "s" : "", list->str);
}

static void exporters(PstVerdict *verdict, const Episode *episode)
{
    g_autoptr(GString) list = g_string_new(NULL);
    for (guint i = 0; i < PST_VERDICT_EXPORTERS; i++) {
        const EpisodeExporter *e = &episode->exporter[i];
        char text[PST_ADDR_TEXT_MAX];
        if (pst_addr_present(&e->addr))
            g_string_append_printf(list, "%s%s (sampling 1:%" G_GUINT64_FORMAT ")",
                                   i > 0 ? ", " : "", pst_addr_format(&e->addr, text), e->rate);
    }
    say(verdict, "exporters", 0, "reported by router %s", list->str);
}

void evidence_words(PstVerdict *verdict, const WordsFacts *facts)
{
    const Episode *episode = facts->episode;
    score(verdict, facts);
    if (facts->neighbourhood != NULL)
        neighbourhood(verdict, facts);
    magnitude(verdict, facts);
    if (episode->countable > 0 && facts->neighbourhood == NULL)
        say(verdict, "failed-openings", 0,
            "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
            " sessions were not answered or were refused",
            episode->failed, episode->countable);
    ports(verdict);
    exporters(verdict, episode);
    if (episode->late > 0)
        say(verdict, "late-records", 0,
            "%" G_GUINT64_FORMAT " further sightings came too late to be counted", episode->late);
}
