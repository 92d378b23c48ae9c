/* SPDX-License-Identifier: Apache-2.0 */
/* What a report says. Spans are seconds; times are UTC. */
#include "report.h"

#define SECTION(name, title, none, sql)                                                            \
    {                                                                                              \
        name, title, none, sql,                                                                    \
            "SELECT coalesce(json_agg(row_to_json(q)), '[]') FROM (" sql ") AS q"                  \
    }

/* The sentence that weighs most; the others stand in the case. */
#define FIRST_REASON "split_part(reason, ' | ', 1) AS reason"

/* Rates and trends want thirty days, or the whole period if that is longer. */
#define SINCE "least($1::timestamptz, $2::timestamptz - interval '30 days')"

/* A line of text as high as numbers: the lowest is no more than an eighth of the highest. */
#define MARKS "'▁▂▃▄▅▆▇█'"
/* Hours of a day, quarters of a week's days, days of a month. */
#define SLICES                                                                                     \
    "CASE extract(day FROM $2::timestamptz - $1::timestamptz)::int WHEN 1 THEN 24 WHEN 7 THEN 28"  \
    " ELSE extract(day FROM $2::timestamptz - $1::timestamptz)::int END"

const ReportSection report_sections[] = {
    SECTION("health", "Health", "",
            "SELECT what, state, value FROM ("
            " SELECT 1 AS place, 'mode' AS what, postern.mode() AS value,"
            "  CASE postern.mode() WHEN 'enforce' THEN 'ok' ELSE 'only recorded' END AS state"
            " UNION ALL SELECT 2, 'rows that are due now', sum(count)::text,"
            "  CASE WHEN coalesce(min(oldest) < postern.now() - interval '1 minute', false)"
            "   THEN 'LATE since ' || to_char(min(oldest), 'YYYY-MM-DD HH24:MI:SS')"
            "   ELSE 'ok' END FROM postern.due"
            " UNION ALL SELECT 3, 'verdicts that could not be applied', count(*)::text,"
            "  CASE count(*) WHEN 0 THEN 'ok' ELSE 'WRONG' END FROM api_v1.verdicts"
            "  WHERE applied_at IS NULL AND apply_error IS NOT NULL"
            " UNION ALL SELECT 4, 'complaints that could not be applied', count(*)::text,"
            "  CASE count(*) WHEN 0 THEN 'ok' ELSE 'WRONG' END FROM api_v1.complaints"
            "  WHERE applied_at IS NULL AND apply_error IS NOT NULL"
            " UNION ALL SELECT 5, 'mails failed or uncertain', count(*)::text,"
            "  CASE count(*) WHEN 0 THEN 'ok' ELSE 'WRONG' END FROM api_v1.mail_status"
            "  WHERE state IN ('failed', 'uncertain') AND created_at >= $1 AND created_at < $2"
            " UNION ALL SELECT 6, 'orders that the network has not confirmed', count(*)::text,"
            "  CASE count(*) WHEN 0 THEN 'ok' ELSE 'WRONG' END FROM api_v1.enforcement_desired"
            "  WHERE state <> 'applied' AND desired_at < postern.now() - interval '1 minute'"
            " UNION ALL SELECT 7, 'records received', coalesce(sum(received), 0)::text, 'ok'"
            "  FROM api_v1.exporter_loss WHERE hour >= $1 AND hour < $2"
            " UNION ALL SELECT 8, 'records lost', concat(coalesce(sum(lost), 0), ' (',"
            "  coalesce(round(100.0 * sum(lost) / nullif(sum(received) + sum(lost), 0), 3), 0),"
            "  ' %)'), CASE WHEN sum(lost) > 0.001 * (sum(received) + sum(lost)) THEN 'WRONG'"
            "  ELSE 'ok' END FROM api_v1.exporter_loss WHERE hour >= $1 AND hour < $2"
            " UNION ALL SELECT 9, 'open alarms', count(*)::text,"
            "  CASE count(*) WHEN 0 THEN 'ok' ELSE 'SEE BELOW' END FROM api_v1.alarms"
            "  WHERE cleared_at IS NULL"
            " UNION ALL SELECT 10, 'audit, newest digest', coalesce((SELECT digest"
            "  FROM api_v1.audit_seals ORDER BY id DESC LIMIT 1), 'none'),"
            "  CASE WHEN coalesce(oldest < postern.now() - interval '10 minutes', false)"
            "   THEN 'NOT SEALED since ' || to_char(oldest, 'YYYY-MM-DD HH24:MI:SS')"
            "   ELSE 'ok' END FROM api_v1.audit_unsealed"
            " UNION ALL SELECT 11, 'differences found in the network', coalesce(sum(drift), 0)"
            "  ::text, CASE WHEN NOT bool_and(switched_on) THEN 'SWITCHED OFF'"
            "   WHEN bool_or(reconcile_error IS NOT NULL) THEN 'NOT KNOWN'"
            "   WHEN sum(drift) > 0 THEN 'ORDERED AGAIN' ELSE 'ok' END"
            "  FROM api_v1.adapters WHERE enabled"
            ") AS h ORDER BY place"),
    SECTION("new_blocks", "New blocks", "none",
            "SELECT blocked_at AS time, postern.unit_text(unit) AS address, customer, level,"
            " scope, ports, cause, score, hold_until, case_id, " FIRST_REASON
            " FROM api_v1.block_history"
            " WHERE blocked_at >= $1 AND blocked_at < $2 ORDER BY blocked_at, unit"),
    SECTION("new_warnings", "New warnings", "none",
            "SELECT opened_at AS time, postern.unit_text(unit) AS address, customer, cause,"
            " category, state, accepted_at, deadline, case_id, " FIRST_REASON
            " FROM api_v1.deadlines"
            " WHERE opened_at >= $1 AND opened_at < $2 ORDER BY opened_at, unit"),
    SECTION("releases", "Released", "none",
            "SELECT opened_at AS time, postern.unit_text(unit) AS address, customer, level,"
            " round(extract(epoch FROM duration)) AS blocked_s, false_positive, released_by,"
            " case_id, release_reason AS reason FROM api_v1.block_history"
            " WHERE opened_at >= $1 AND opened_at < $2 ORDER BY opened_at, unit"),
    SECTION(
        "deadlines", "Deadlines: of the period, of the 24 hours after it, and stopped ones", "none",
        "SELECT deadline, postern.unit_text(unit) AS address, customer, state,"
        " spam_since, then_scope, blocks_before, case_id, " FIRST_REASON " FROM api_v1.deadlines"
        " WHERE deadline >= $1 AND deadline < $2::timestamptz + interval '24 hours'"
        " AND state NOT IN ('overtaken', 'withdrawn')"
        " OR closed_at IS NULL AND state IN ('disputed', 'suspended')"
        " ORDER BY deadline NULLS FIRST, unit"),
    SECTION("shadow_actions", "What enforce mode would have done", "nothing, or it was enforced",
            "SELECT at AS time, postern.unit_text(unit) AS address, customer, action, times,"
            " " FIRST_REASON " FROM postern.shadow_action"
            " WHERE at >= $1 AND at < $2 ORDER BY at, unit"),
    SECTION("top_senders", "Top senders", "no mail was seen",
            "SELECT postern.unit_text(unit) AS address, customer, sessions, destinations, bytes,"
            " failed_share, ports, state,"
            " (SELECT string_agg(substr(" MARKS ", 1 + (7 * n / greatest(most, 1))::int, 1), ''"
            "   ORDER BY place) FROM (SELECT n, place, max(n) OVER () AS most"
            "    FROM unnest(slices) WITH ORDINALITY AS u (n, place)) AS s) AS over_time, slices"
            " FROM (SELECT * FROM api_v1.top_senders_between($1, $2)"
            "   ORDER BY sessions DESC, unit LIMIT 20) AS t,"
            "  LATERAL (SELECT api_v1.activity_of(unit, $1, $2, " SLICES ") AS slices) AS a"
            " ORDER BY sessions DESC, unit"),
    SECTION("repeat_offenders", "Repeat offenders, one year", "none",
            "SELECT customer, customer_name, blocks, units, highest_level, last_block, open_now"
            " FROM api_v1.repeat_offenders WHERE first_block < $2::timestamptz"
            " AND last_block >= $1::timestamptz - interval '365 days'"
            " ORDER BY blocks DESC, customer LIMIT 20"),
    SECTION("complaints", "Complaints by source", "none",
            "SELECT coalesce(reporter, '?') AS reporter, coalesce(format, '?') AS format,"
            " count(*) AS n, count(*) FILTER (WHERE counted) AS counted,"
            " count(*) FILTER (WHERE authenticated) AS authenticated,"
            " coalesce(bool_or(enrolled), false) AS enrolled,"
            " count(DISTINCT source_ip) AS addresses FROM api_v1.complaints"
            " WHERE received_at >= $1 AND received_at < $2 GROUP BY 1, 2 ORDER BY n DESC, 1, 2"),
    SECTION("unparsed", "Complaints that could not be read", "none",
            "SELECT received_at AS time, reporter, format, reason, sha256"
            " FROM api_v1.complaints_unparsed"
            " WHERE received_at >= $1 AND received_at < $2 ORDER BY received_at LIMIT 100"),
    SECTION("not_acted_on", "Verdicts of band flag or block that nobody was told about", "none",
            "SELECT crossed_at AS time, postern.unit_text(unit) AS address, customer, band, score,"
            " coalesce(action, 'due') AS because, " FIRST_REASON " FROM "
            "api_v1.verdicts"
            " WHERE crossed_at >= $1 AND crossed_at < $2 AND band <> 'watch'"
            " AND (action IS NULL OR action IN ('not-ours', 'unassigned', 'other-tenancy',"
            " 'never-block', 'exempt', 'held')) ORDER BY crossed_at, unit LIMIT 200"),
    SECTION("mails", "Mails", "none",
            "SELECT kind, state, count(*) AS n, max(attempts) AS most_attempts"
            " FROM api_v1.mail_status WHERE created_at >= $1 AND created_at < $2"
            " GROUP BY kind, state ORDER BY kind, state"),
    SECTION("false_positives", "False alarms among the blocks of at least 30 days", "no blocks",
            "SELECT cause, coalesce(band, '-') AS band, count(*) AS blocks,"
            " count(*) FILTER (WHERE false_positive) AS false_positives,"
            " round(100.0 * count(*) FILTER (WHERE false_positive) / count(*), 1) AS percent"
            " FROM api_v1.block_history WHERE blocked_at < $2"
            " AND blocked_at >= " SINCE ""
            " GROUP BY 1, 2 ORDER BY blocks DESC, 1, 2"),
    SECTION("trend", "Thirty days and more, a mark a day", "",
            "SELECT what, sum(n) AS total, max(n) AS most_a_day,"
            " string_agg(substr(" MARKS ", 1 + (7 * n / greatest(most, 1))::int, 1), ''"
            "  ORDER BY day) AS trend, array_agg(n ORDER BY day) AS days"
            " FROM (SELECT what, kind.place, day, count(at) AS n, max(count(at)) OVER (PARTITION "
            "BY what)"
            "   AS most FROM (VALUES (1, 'blocks'), (2, 'warnings'), (3, 'complaints'),"
            "    (4, 'verdicts that flag or block')) AS kind (place, what)"
            "   CROSS JOIN generate_series(" SINCE ","
            "    $2::timestamptz - interval '1 day', interval '1 day') AS day"
            "   LEFT JOIN (SELECT 1, blocked_at FROM api_v1.block_history"
            "     WHERE blocked_at >= " SINCE ""
            "    UNION ALL SELECT 2, opened_at FROM api_v1.deadlines"
            "     WHERE opened_at >= " SINCE ""
            "    UNION ALL SELECT 3, received_at FROM api_v1.complaints"
            "     WHERE received_at >= " SINCE ""
            "    UNION ALL SELECT 4, crossed_at FROM api_v1.verdicts WHERE band <> 'watch'"
            "     AND crossed_at >= " SINCE ") AS seen (place, at)"
            "    ON seen.place = kind.place AND at >= day AND at < day + interval '1 day'"
            "   GROUP BY what, kind.place, day) AS d"
            " GROUP BY what, place ORDER BY place"),
    SECTION("times", "How long it took (seconds)", "",
            "SELECT what, count(s) AS n,"
            " round(percentile_cont(0.5) WITHIN GROUP (ORDER BY s)::numeric, 1) AS p50_s,"
            " round(percentile_cont(0.9) WITHIN GROUP (ORDER BY s)::numeric, 1) AS p90_s,"
            " round(percentile_cont(0.99) WITHIN GROUP (ORDER BY s)::numeric, 1) AS p99_s,"
            " round(max(s)::numeric, 1) AS max_s"
            " FROM (VALUES (1, 'first sighting to verdict'), (2, 'first sighting to block'),"
            "  (3, 'block to confirmed by the network'),"
            "  (4, 'decision to accepted mail')) AS kind (place, what)"
            " LEFT JOIN (SELECT 1, extract(epoch FROM crossed_at - first_at)"
            "   FROM api_v1.verdicts"
            "   WHERE band <> 'watch' AND crossed_at >= $1 AND crossed_at < $2"
            "  UNION ALL SELECT 2, extract(epoch FROM time_to_block) FROM api_v1.block_history"
            "   WHERE blocked_at >= $1 AND blocked_at < $2"
            "  UNION ALL SELECT 3, extract(epoch FROM enforced_at - blocked_at)"
            "   FROM api_v1.block_history WHERE blocked_at >= $1 AND blocked_at < $2"
            "  UNION ALL SELECT 4, extract(epoch FROM time_to_accept) FROM api_v1.mail_status"
            "   WHERE created_at >= $1 AND created_at < $2) AS took (place, s) USING (place)"
            " GROUP BY place, what ORDER BY place"),
    SECTION("exporter_loss", "Exporters", "none was heard",
            "SELECT host(exporter) AS exporter, sum(expected) AS sent, sum(received) AS received,"
            " sum(lost) AS lost,"
            " coalesce(round(100.0 * sum(lost) / nullif(sum(received) + sum(lost), 0), 3), 0)"
            " AS lost_percent, sum(lost_network) AS network, sum(lost_kernel) AS kernel,"
            " sum(lost_malformed) AS malformed, sum(lost_no_template) AS no_template,"
            " sum(lost_not_admitted) AS not_admitted, sum(lost_queue) AS queue,"
            " sum(lost_spool) AS spool, sum(lost_bus) AS bus, sum(lost_down) AS down,"
            " sum(twice) AS twice, sum(unaccounted) AS unaccounted"
            " FROM api_v1.exporter_loss WHERE hour >= $1 AND hour < $2"
            " GROUP BY exporter ORDER BY sum(lost) DESC, exporter"),
    SECTION("alarms", "Alarms: of the period, and open ones", "none",
            "SELECT raised_at AS time, kind, subject, times, cleared_at, cleared_by, detail"
            " FROM api_v1.alarms WHERE raised_at < $2 AND (raised_at >= $1 OR cleared_at IS NULL)"
            " ORDER BY raised_at LIMIT 100"),
    {NULL},
};
