/* SPDX-License-Identifier: Apache-2.0 */
/* The loss ledger in words: of all exporters, and of one, domain by domain. */
#include <string.h>

#include "doctor.h"

#define LOSS_TOLERATED    0.1 /* per cent within 24 hours */
#define CLOCK_TOLERATED_S 60
#define SILENT_S          600

/* Kinds of loss, in the order in which LOSSES returns them. */
static const struct {
    const char *words, *remedy;
} losses[] = {
    {"before our socket", "look for drops on the way, and at the exporter's own counters"},
    {"in the socket's queue", "raise the collector's rcvbuf and net.core.rmem_max"},
    {"as malformed", "the collector's log names the exporter and what is wrong"},
    {"without a template", "let the exporter send its templates more often"},
    {"not admitted", "add the exporter to the collector's list, or silence it"},
    {"in the collector's queue", "the bus was away for longer than memory lasts: give the "
                                 "collector a spool (spool, spool_bytes), "
                                 "or look at the spool's disk"},
    {"in the spool", "the bus was away too long: give the spool more room (spool_bytes)"},
    {"given up by the bus", "look after the bus"},
    {"while no collector ran", "keep the collector running; two of them bridge a restart"},
};
enum { LOSS_DOWN = G_N_ELEMENTS(losses) - 1 };
#define LOSSES                                                                                     \
    "sum(lost_network), sum(lost_kernel), sum(lost_malformed), sum(lost_no_template),"             \
    " sum(lost_not_admitted), sum(lost_queue), sum(lost_spool), sum(lost_bus), sum(lost_down)"
/* Of a day, and of the hour that has begun. */
#define OF_LATE " hour > postern.now() - interval '25 hours'"

static double percent(gint64 part, gint64 all)
{
    return all > 0 ? 100.0 * (double)part / (double)all : 0;
}

/* ---- all of them ---- */

enum { ALL_RECEIVED = 1, ALL_LOST, ALL_LOSSES };

static void tell_worst(Doctor *doctor, const PstPgRows *rows, int i)
{
    gsize worst = 0;
    for (gsize k = 1; k < G_N_ELEMENTS(losses); k++)
        if (pst_pg_int(rows, i, ALL_LOSSES + (int)k) > pst_pg_int(rows, i, ALL_LOSSES + (int)worst))
            worst = k;
    gint64 lost = pst_pg_int(rows, i, ALL_LOST);
    doctor_wrong(doctor, "loss", losses[worst].remedy,
                 "exporter %s: %" G_GINT64_FORMAT " of its records were lost within 24 hours (%.2f "
                 "%%), most of them %s; postern doctor %s tells more",
                 pst_pg_text(rows, i, 0), lost,
                 percent(lost, lost + pst_pg_int(rows, i, ALL_RECEIVED)), losses[worst].words,
                 pst_pg_text(rows, i, 0));
}

/* ---- one of them ---- */

enum {
    ONE_DOMAIN,
    ONE_PROTOCOL,
    ONE_SAMPLING,
    ONE_CLOCK_S,
    ONE_SILENT_S,
    ONE_SENT,
    ONE_RECEIVED,
    ONE_TWICE,
    ONE_UNACCOUNTED,
    ONE_DATAGRAMS_SENT,
    ONE_DATAGRAMS_LOST,
    ONE_LOSSES
};

static const char one_sql[] =
    "WITH loss AS (SELECT domain, sum(received - twice + lost)"
    "  + greatest(sum(unaccounted), -sum(lost_down)),"
    "  sum(received), sum(twice), sum(unaccounted), sum(expected_datagrams), sum(lost_datagrams),"
    "  " LOSSES " FROM api_v1.exporter_loss WHERE exporter = $1 AND" OF_LATE " GROUP BY domain)"
    " SELECT domain, coalesce(e.protocol, '?'), e.sampling_rate,"
    "  extract(epoch FROM e.clock_offset)::float8,"
    "  extract(epoch FROM postern.now() - e.seen_at)::float8, l.sent, l.received, l.twice,"
    "  l.unaccounted, l.datagrams, l.datagrams_lost, l0, l1, l2, l3, l4, l5, l6, l7, l8"
    " FROM (SELECT * FROM api_v1.exporters WHERE exporter = $1) AS e"
    " FULL JOIN loss AS l (domain, sent, received, twice, unaccounted, datagrams, datagrams_lost,"
    "  l0, l1, l2, l3, l4, l5, l6, l7, l8) USING (domain) ORDER BY domain";

/* A span in the unit that suits it. Given. */
static char *in_words(double s)
{
    double positive = s < 0 ? -s : s;
    if (positive < 120)
        return g_strdup_printf("%.1f s", positive);
    if (positive < 7200)
        return g_strdup_printf("%.0f min", positive / 60);
    if (positive < 172800)
        return g_strdup_printf("%.0f h", positive / 3600);
    return g_strdup_printf("%.0f days", positive / 86400);
}

static void tell_state(Doctor *doctor, const PstPgRows *rows, int i)
{
    const char *domain = pst_pg_text(rows, i, ONE_DOMAIN);
    if (pst_pg_is_null(rows, i, ONE_SILENT_S))
        return; /* counted by a collector that does not tell of it */
    double clock_s = pst_pg_real(rows, i, ONE_CLOCK_S);
    double silent_s = pst_pg_real(rows, i, ONE_SILENT_S);
    g_autofree char *clock = in_words(clock_s);
    g_autofree char *silent = in_words(silent_s);
    const char *rate = pst_pg_text(rows, i, ONE_SAMPLING);
    doctor_ok(doctor, "exporter", "domain %s: %s, heard %s ago, its clock is %s %s ours, %s%s",
              domain, pst_pg_text(rows, i, ONE_PROTOCOL), silent, clock,
              clock_s < 0 ? "behind" : "ahead of",
              rate != NULL ? "it samples 1 of " : "it does not say how it samples",
              rate != NULL ? rate : "");
    if (silent_s > SILENT_S)
        doctor_wrong(
            doctor, "exporter",
            "does it still export? Is its way to the collector open? Is the scorer running?",
            "domain %s was not heard for %s", domain, silent);
    if (clock_s > CLOCK_TOLERATED_S || clock_s < -CLOCK_TOLERATED_S)
        doctor_wrong(doctor, "exporter", "let it follow NTP; flows are judged by its time",
                     "domain %s: its clock is wrong by %s", domain, clock);
}

/* A collector that was killed had put records on the bus that the next one took for lost: "down"
 * says too much, "unaccounted" is below zero by as much. Returns how many. */
static gint64 tell_saved(Doctor *doctor, const PstPgRows *rows, int i)
{
    gint64 rest = pst_pg_int(rows, i, ONE_UNACCOUNTED);
    gint64 down = pst_pg_int(rows, i, ONE_LOSSES + LOSS_DOWN);
    gint64 saved = rest < 0 ? MIN(-rest, down) : 0;
    if (saved > 0)
        doctor_ok(doctor, "loss",
                  "domain %s: a collector was killed; of %" G_GINT64_FORMAT
                  " records that the next one took for lost %" G_GINT64_FORMAT
                  " had reached the bus",
                  pst_pg_text(rows, i, ONE_DOMAIN), down, saved);
    return saved;
}

static void tell_ledger(Doctor *doctor, const PstPgRows *rows, int i)
{
    const char *domain = pst_pg_text(rows, i, ONE_DOMAIN);
    gint64 sent = pst_pg_int(rows, i, ONE_SENT);
    gint64 rest = pst_pg_int(rows, i, ONE_UNACCOUNTED);
    if (pst_pg_is_null(rows, i, ONE_SENT))
        return;
    doctor_ok(doctor, "exporter",
              "domain %s within 24 hours: %s records sent, %s received (%s of them twice)", domain,
              pst_pg_text(rows, i, ONE_SENT), pst_pg_text(rows, i, ONE_RECEIVED),
              pst_pg_text(rows, i, ONE_TWICE));
    if (strcmp(pst_pg_text(rows, i, ONE_PROTOCOL), "NetFlow v9") == 0)
        doctor_ok(doctor, "exporter", "domain %s in datagrams, which v9 counts: %s sent, %s lost",
                  domain, pst_pg_text(rows, i, ONE_DATAGRAMS_SENT),
                  pst_pg_text(rows, i, ONE_DATAGRAMS_LOST));
    gint64 saved = tell_saved(doctor, rows, i);
    for (gsize k = 0; k < G_N_ELEMENTS(losses); k++) {
        gint64 lost = pst_pg_int(rows, i, ONE_LOSSES + (int)k) - (k == LOSS_DOWN ? saved : 0);
        if (percent(lost, sent) > LOSS_TOLERATED)
            doctor_wrong(doctor, "loss", losses[k].remedy,
                         "domain %s: %" G_GINT64_FORMAT " records lost %s (%.2f %%)", domain, lost,
                         losses[k].words, percent(lost, sent));
        else if (lost > 0)
            doctor_ok(doctor, "loss", "domain %s: %" G_GINT64_FORMAT " records lost %s", domain,
                      lost, losses[k].words);
    }
    if (percent(rest, sent) > LOSS_TOLERATED)
        doctor_wrong(doctor, "loss",
                     "is the scorer behind (--bus tells)? Else they died with a collector that was "
                     "killed",
                     "domain %s: %" G_GINT64_FORMAT " records are not accounted for", domain, rest);
}

static gboolean show_hours(Doctor *doctor, const PstPrefix *address, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    pst_pg_add_prefix(&p, address);
    g_autoptr(PstPgRows) rows =
        pst_pg_query(doctor->pg,
                     "SELECT to_char(hour, 'YYYY-MM-DD HH24:MI') AS \"hour (UTC)\", domain,"
                     " expected AS sent, received, twice, lost, lost_percent AS \"%\","
                     " lost_network AS network, lost_kernel AS kernel, lost_malformed AS malformed,"
                     " lost_no_template AS \"no template\","
                     " lost_not_admitted AS \"not admitted\", lost_queue AS queue,"
                     " lost_spool AS spool, lost_bus AS bus, lost_down AS down, unaccounted"
                     " FROM api_v1.exporter_loss WHERE exporter = $1"
                     " ORDER BY hour DESC, domain LIMIT 24",
                     &p, error);
    if (rows == NULL)
        return FALSE;
    if (pst_pg_count(rows) == 0)
        doctor_wrong(doctor, "exporter",
                     "does it send to the collector? See the collector's metrics",
                     "nothing was ever heard of %s", doctor->exporter);
    else if (!doctor->quiet)
        cli_print_table(rows, stdout);
    return TRUE;
}

static gboolean show_exporter(Doctor *doctor, GError **error)
{
    g_auto(PstPgParams) p = pst_pg_params();
    PstPrefix address;
    if (!pst_prefix_parse(doctor->exporter, strlen(doctor->exporter), TRUE, &address)) {
        cli_usage(error, "\"%s\" is no exporter's address", doctor->exporter);
        return FALSE;
    }
    pst_pg_add_prefix(&p, &address);
    g_autoptr(PstPgRows) rows = pst_pg_query(doctor->pg, one_sql, &p, error);
    if (rows == NULL)
        return FALSE;
    for (int i = 0; i < pst_pg_count(rows); i++) {
        tell_state(doctor, rows, i);
        tell_ledger(doctor, rows, i);
    }
    return show_hours(doctor, &address, error);
}

gboolean doctor_loss(Doctor *doctor, GError **error)
{
    g_autoptr(PstPgRows) rows = pst_pg_query(
        doctor->pg,
        "SELECT host(exporter), sum(received), sum(lost), " LOSSES
        " FROM api_v1.exporter_loss WHERE" OF_LATE " GROUP BY exporter ORDER BY 3 DESC",
        NULL, error);
    if (rows == NULL)
        return FALSE;
    guint before = doctor->wrong;
    for (int i = 0; i < pst_pg_count(rows); i++) {
        gint64 lost = pst_pg_int(rows, i, ALL_LOST);
        if (percent(lost, lost + pst_pg_int(rows, i, ALL_RECEIVED)) > LOSS_TOLERATED)
            tell_worst(doctor, rows, i);
    }
    if (pst_pg_count(rows) == 0)
        doctor_ok(doctor, "exporters", "none was heard within 24 hours");
    else if (doctor->wrong == before)
        doctor_ok(doctor, "exporters", "%d heard, none lost more than %.1f %%", pst_pg_count(rows),
                  LOSS_TOLERATED);
    return doctor->exporter == NULL || show_exporter(doctor, error);
}
