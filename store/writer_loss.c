/* SPDX-License-Identifier: Apache-2.0 */
#include "writer_loss.h"

/* What no exporter can have counted within a tick is cut, so that no sum leaves a bigint. */
static gint64 counted(guint64 value)
{
    return (gint64)MIN(value, G_GUINT64_CONSTANT(1) << 50);
}

/* What stands in every row of LOSS, in the order of its parameters. */
static void loss_row(PstPgArray *columns, const PstHeartbeat *beat)
{
    const gint64 sums[] = {(gint64)(beat->ledger & G_MAXINT64),
                           (gint64)MIN(beat->expected, G_MAXINT64),
                           (gint64)MIN(beat->expected_datagrams, G_MAXINT64),
                           beat->version,
                           counted(beat->sampling_rate),
                           beat->clock_offset_ms};
    pst_pg_array_time(columns++, beat->received_ns);
    pst_pg_array_addr(columns++, &beat->sampler);
    pst_pg_array_int(columns++, beat->domain);
    for (gsize i = 0; i < G_N_ELEMENTS(sums); i++)
        pst_pg_array_int(columns++, sums[i]);
    for (gsize i = 0; i < PST_GROWTH_COUNT; i++)
        pst_pg_array_int(columns++, counted(beat->growth[i]));
}
enum { LOSS_COLUMNS = 9 + PST_GROWTH_COUNT };
G_STATIC_ASSERT(LOSS_COLUMNS == 26); /* the parameters below */

/* Growth is added up. The sums of a ledger (expected) count from where the ledger stood before; one
 * that is not known yet, from what it says to have grown. */
static const char loss_sql[] =
    "WITH told AS MATERIALIZED (SELECT * FROM unnest($1::timestamptz[], $2::inet[], $3::bigint[],"
    "    $4::bigint[], $5::bigint[], $6::bigint[], $7::int[], $8::bigint[], $9::bigint[],"
    "    $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],"
    "    $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[],"
    "    $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[],"
    "    $26::bigint[])"
    "    AS t (at, exporter, domain, ledger, expected, expected_datagrams, version, sampling_rate,"
    "          clock, received, twice, datagrams, duplicates, lost_datagrams, reordered, restarts,"
    "          sent, network, kernel, malformed, no_template, not_admitted, queue, spool, bus,"
    "          down)),"
    " sums AS (SELECT exporter, domain, ledger, max(at) AS at, max(expected) AS expected,"
    "         max(expected_datagrams) AS expected_datagrams, sum(sent) AS sent,"
    "         sum(datagrams - duplicates + lost_datagrams) AS sent_datagrams,"
    "         (array_agg(version ORDER BY at DESC))[1] AS version,"
    "         coalesce((array_agg(sampling_rate ORDER BY at DESC)"
    "                   FILTER (WHERE sampling_rate > 0))[1], 0) AS sampling_rate,"
    "         (array_agg(clock ORDER BY at DESC))[1] AS clock"
    "    FROM told WHERE ledger <> 0 GROUP BY exporter, domain, ledger),"
    " grown AS (SELECT s.at, s.exporter, s.domain,"
    "         CASE WHEN l.ledger IS NULL THEN s.sent"
    "              ELSE greatest(s.expected - l.expected, 0) END AS expected,"
    "         CASE WHEN l.ledger IS NULL THEN s.sent_datagrams"
    "              ELSE greatest(s.expected_datagrams - l.expected_datagrams, 0)"
    "         END AS expected_datagrams"
    "    FROM sums s LEFT JOIN postern.exporter_ledger l USING (exporter, domain, ledger)),"
    " known AS (INSERT INTO postern.exporter_ledger AS l (exporter, domain, ledger, expected,"
    "         expected_datagrams, version, sampling_rate, clock_offset_ms, seen_at)"
    "    SELECT exporter, domain, ledger, expected, expected_datagrams, version, sampling_rate,"
    "           clock, at FROM sums ORDER BY exporter, domain, ledger"
    "    ON CONFLICT (exporter, domain, ledger) DO UPDATE SET"
    "        expected = greatest(l.expected, excluded.expected),"
    "        expected_datagrams = greatest(l.expected_datagrams, excluded.expected_datagrams),"
    "        version = excluded.version, clock_offset_ms = excluded.clock_offset_ms,"
    "        sampling_rate = coalesce(nullif(excluded.sampling_rate, 0), l.sampling_rate),"
    "        seen_at = greatest(l.seen_at, excluded.seen_at)),"
    " silent AS (DELETE FROM postern.exporter_ledger l USING sums s"
    "    WHERE l.exporter = s.exporter AND l.domain = s.domain AND l.ledger <> s.ledger"
    "      AND l.seen_at < s.at - interval '30 days'),"
    " counts AS (SELECT date_trunc('hour', at, 'UTC') AS hour, * FROM (SELECT at, exporter, domain,"
    "         received, twice, datagrams, duplicates, lost_datagrams, reordered, restarts, network,"
    "         kernel, malformed, no_template, not_admitted, queue, spool, bus, down,"
    "         0 AS expected, 0 AS expected_datagrams FROM told"
    "    UNION ALL SELECT at, exporter, domain, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,"
    "         expected, expected_datagrams FROM grown) AS c)"
    " INSERT INTO postern.exporter_loss AS l (hour, exporter, domain, received, twice, datagrams,"
    "    duplicates, lost_datagrams, reordered, restarts, lost_network, lost_kernel,"
    "    lost_malformed, lost_no_template, lost_not_admitted, lost_queue, lost_spool, lost_bus,"
    "    lost_down, expected, expected_datagrams)"
    " SELECT hour, exporter, domain, sum(received), sum(twice), sum(datagrams), sum(duplicates),"
    "        sum(lost_datagrams), sum(reordered), sum(restarts), sum(network), sum(kernel),"
    "        sum(malformed), sum(no_template), sum(not_admitted), sum(queue), sum(spool), sum(bus),"
    "        sum(down), sum(expected), sum(expected_datagrams)"
    "   FROM counts GROUP BY hour, exporter, domain ORDER BY hour, exporter, domain"
    " ON CONFLICT (hour, exporter, domain) DO UPDATE SET"
    "    received = l.received + excluded.received, twice = l.twice + excluded.twice,"
    "    datagrams = l.datagrams + excluded.datagrams,"
    "    duplicates = l.duplicates + excluded.duplicates,"
    "    lost_datagrams = l.lost_datagrams + excluded.lost_datagrams,"
    "    reordered = l.reordered + excluded.reordered, restarts = l.restarts + excluded.restarts,"
    "    lost_network = l.lost_network + excluded.lost_network,"
    "    lost_kernel = l.lost_kernel + excluded.lost_kernel,"
    "    lost_malformed = l.lost_malformed + excluded.lost_malformed,"
    "    lost_no_template = l.lost_no_template + excluded.lost_no_template,"
    "    lost_not_admitted = l.lost_not_admitted + excluded.lost_not_admitted,"
    "    lost_queue = l.lost_queue + excluded.lost_queue,"
    "    lost_spool = l.lost_spool + excluded.lost_spool,"
    "    lost_bus = l.lost_bus + excluded.lost_bus,"
    "    lost_down = l.lost_down + excluded.lost_down,"
    "    expected = l.expected + excluded.expected,"
    "    expected_datagrams = l.expected_datagrams + excluded.expected_datagrams";

gboolean writer_write_loss(PstPg *pg, const PstHeartbeat *beats, gsize n, GError **error)
{
    PstPgArray columns[LOSS_COLUMNS];
    if (n == 0)
        return TRUE;
    for (gsize c = 0; c < LOSS_COLUMNS; c++)
        columns[c] = pst_pg_array();
    for (gsize i = 0; i < n; i++)
        loss_row(columns, &beats[i]);
    g_auto(PstPgParams) p = pst_pg_params();
    for (gsize c = 0; c < LOSS_COLUMNS; c++) {
        pst_pg_add_array(&p, &columns[c]);
        pst_pg_array_clear(&columns[c]);
    }
    return pst_pg_run(pg, loss_sql, &p, NULL, error);
}
