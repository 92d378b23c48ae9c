-- SPDX-License-Identifier: Apache-2.0
-- api_v1: what people query. Stable: columns are added, never renamed or removed. Plain views with
-- their owner's rights and without security_barrier: inet containment is not leakproof, a barrier
-- would turn an index scan into a table scan. Times are UTC moments; units are inet.

SET LOCAL ROLE postern_owner;

CREATE VIEW api_v1.cases AS
    SELECT c.public_id AS case_id, c.unit::inet AS unit, c.customer, u.name AS customer_name, c.opened_at, c.last_at,
           c.closed_at, c.outcome, c.category, c.shadow,
           (SELECT count(*) FROM postern.evidence e WHERE e.case_id = c.id) AS evidence,
           (SELECT count(*) FROM postern.complaint p WHERE p.case_id = c.id AND p.counted) AS complaints
      FROM postern.spam_case c JOIN postern.customer u ON u.id = c.customer;
COMMENT ON VIEW api_v1.cases IS 'One row per case: a unit and a tenant, from the first warning or block until all is well again';
COMMENT ON COLUMN api_v1.cases.outcome IS 'NULL while open; released, resolved, false-positive, withdrawn, reassigned, frozen, shadow';
COMMENT ON COLUMN api_v1.cases.shadow IS 'Recorded in shadow mode only: nothing was done';
COMMENT ON COLUMN api_v1.cases.evidence IS 'Lines of evidence: flows, complaints';

CREATE VIEW api_v1.block_history AS
    SELECT b.unit::inet AS unit, b.customer, u.name AS customer_name, c.public_id AS case_id, b.level, b.scope, b.ports, b.cause,
           lower(b.during) AS blocked_at, upper(b.during) AS opened_at,
           upper(b.during) - lower(b.during) AS duration, b.hold_until, b.enforced_at,
           v.first_at AS first_spam_at, lower(b.during) - v.first_at AS time_to_block,
           b.release_asked_at, b.released_by, b.release_reason, b.false_positive,
           v.band, v.evidence AS verdict_evidence, v.score, replace(b.reason, E'\n', ' ') AS reason, b.actor
      FROM postern.block b
      JOIN postern.spam_case c ON c.id = b.case_id
      JOIN postern.customer u ON u.id = b.customer
      LEFT JOIN postern.verdict v ON v.id = b.verdict_id;
COMMENT ON VIEW api_v1.block_history IS 'Every block there ever was, open ones included';
COMMENT ON COLUMN api_v1.block_history.opened_at IS 'When the network had confirmed that it is open again; NULL: still closed';
COMMENT ON COLUMN api_v1.block_history.cause IS 'verdict: at once; deadline: a warning was not heeded; relapse: spam while being released; freeze: a freeze was proposed';
COMMENT ON COLUMN api_v1.block_history.level IS 'Step of the ladder: 1 the first time';
COMMENT ON COLUMN api_v1.block_history.first_spam_at IS 'First sighting of the episode that led to the block; NULL: no verdict did';
COMMENT ON COLUMN api_v1.block_history.time_to_block IS 'From the first sighting to the decision';
COMMENT ON COLUMN api_v1.block_history.enforced_at IS 'When every required adapter had confirmed that it is closed';

CREATE VIEW api_v1.blocks_active AS
    SELECT h.unit, h.customer, h.customer_name, h.case_id, s.state, h.level, h.scope, h.ports, h.cause, h.blocked_at, h.hold_until,
           greatest(interval '0', date_trunc('second', h.hold_until - postern.now())) AS remaining,
           s.state = 'blocked' AND h.hold_until <= postern.now() AS unblockable,
           h.enforced_at, h.first_spam_at, h.reason
      FROM api_v1.block_history h JOIN postern.ip_state s ON s.unit = h.unit
     WHERE h.opened_at IS NULL;
COMMENT ON VIEW api_v1.blocks_active IS 'Units whose ports or address are closed now';
COMMENT ON COLUMN api_v1.blocks_active.state IS 'blocked; unblocking: released, waits for the network; freeze_proposed, freeze_scheduled, frozen';
COMMENT ON COLUMN api_v1.blocks_active.remaining IS 'Until the customer may unblock it himself';

CREATE VIEW api_v1.freezes AS
    SELECT f.unit::inet AS unit, f.customer, c.public_id AS case_id, f.frozen_at, f.zone, f.proposer, f.approver,
           encode(f.evidence_digest, 'hex') AS evidence_digest
      FROM postern.ip_freeze f LEFT JOIN postern.spam_case c ON c.id = f.case_id;
COMMENT ON VIEW api_v1.freezes IS 'Addresses closed for ever';

CREATE VIEW api_v1.deadlines AS
    SELECT w.unit::inet AS unit, w.customer, u.name AS customer_name, c.public_id AS case_id, w.state, w.cause, w.category, w.repeat,
           w.opened_at, w.accepted_at, w.deadline,
           date_trunc('second', w.deadline - postern.now()) AS remaining, w.extended_to, w.fixed_at, w.closed_at,
           postern.measure_for(w.category, w.repeat) AS then_scope,
           (SELECT count(*) FROM postern.block b WHERE b.customer = w.customer AND b.unit = w.unit
                AND NOT b.false_positive AND lower(b.during) < w.opened_at) AS blocks_before,
           EXISTS (SELECT FROM postern.verdict v WHERE v.unit = w.unit
                AND greatest(v.crossed_at, v.last_at) > w.accepted_at + postern.setting_interval('deadline.grace_hours')) AS spam_since,
           replace(w.reason, E'\n', ' ') AS reason
      FROM postern.warning w
      JOIN postern.spam_case c ON c.id = w.case_id
      JOIN postern.customer u ON u.id = w.customer;
COMMENT ON VIEW api_v1.deadlines IS 'Warnings and their deadlines; closed_at IS NULL: open ones';
COMMENT ON COLUMN api_v1.deadlines.state IS 'mailing, running, disputed, suspended (not delivered: decide yourself); resolved, missed, overtaken, withdrawn';
COMMENT ON COLUMN api_v1.deadlines.accepted_at IS 'When the customer''s mail server accepted the warning: the clock starts there';
COMMENT ON COLUMN api_v1.deadlines.remaining IS 'Negative: passed';
COMMENT ON COLUMN api_v1.deadlines.then_scope IS 'What a missed deadline closes: ports or address';
COMMENT ON COLUMN api_v1.deadlines.blocks_before IS 'Earlier blocks of the same customer and unit that were no false alarms';
COMMENT ON COLUMN api_v1.deadlines.spam_since IS 'A verdict after the warning and its grace: as it stands the deadline will be missed';

CREATE FUNCTION api_v1.top_senders_between(from_time timestamptz, to_time timestamptz,
        OUT unit inet, OUT customer text, OUT customer_name text, OUT sessions bigint, OUT destinations bigint,
        OUT bytes bigint, OUT failed bigint, OUT failed_share numeric, OUT ports int[], OUT state text) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    WITH sums AS (
        SELECT a.unit, sum(a.sessions)::bigint AS sessions, sum(a.destinations)::bigint AS destinations,
               sum(a.bytes)::bigint AS bytes, sum(a.failed)::bigint AS failed, bit_or(a.ports) AS ports
          FROM postern.smtp_activity a
         WHERE a.bucket >= from_time AND a.bucket < to_time
         GROUP BY a.unit ORDER BY 2 DESC, a.unit LIMIT 1000)
    SELECT m.unit::inet, t.customer, u.name, m.sessions, m.destinations, m.bytes, m.failed,
           round(m.failed::numeric / nullif(m.sessions, 0), 3),
           ARRAY(SELECT p FROM (VALUES (1, 25), (2, 465), (4, 587), (8, 2525)) AS b (bit, p) WHERE m.ports & b.bit <> 0),
           coalesce(s.state, 'clear')
      FROM sums m
      LEFT JOIN LATERAL postern.tenancy_at(m.unit, to_time) AS t ON true
      LEFT JOIN postern.customer u ON u.id = t.customer
      LEFT JOIN postern.ip_state s ON s.unit = m.unit
     ORDER BY m.sessions DESC, m.unit
$$;
COMMENT ON FUNCTION api_v1.top_senders_between(timestamptz, timestamptz) IS 'The 1000 units with the most new mail sessions (as sampled) in a time span, with the tenant at its end';

CREATE VIEW api_v1.top_senders AS
    SELECT * FROM api_v1.top_senders_between(postern.now() - interval '24 hours', postern.now());
COMMENT ON VIEW api_v1.top_senders IS 'The 1000 units with the most new mail sessions in the last 24 hours; other spans: top_senders_between(from, to)';
COMMENT ON COLUMN api_v1.top_senders.sessions IS 'New mail sessions, as sampled by the routers';
COMMENT ON COLUMN api_v1.top_senders.failed_share IS 'Share of sessions that look like failed openings';

CREATE VIEW api_v1.mail_status AS
    SELECT o.id, c.public_id AS case_id, o.unit::inet AS unit, o.customer, o.kind, o.contact_email, o.state, o.attempts, o.created_at,
           o.next_at, o.accepted_at, o.accepted_at - o.created_at AS time_to_accept, o.code, o.detail, o.message_id
      FROM postern.outbox o LEFT JOIN postern.spam_case c ON c.id = o.case_id;
COMMENT ON VIEW api_v1.mail_status IS 'Every mail to a customer and what became of it';
COMMENT ON COLUMN api_v1.mail_status.state IS 'pending, sending, done (accepted), failed, uncertain, superseded (never sent: a later event made it untrue)';

CREATE VIEW api_v1.mail_queue AS
    SELECT o.state, count(*) AS mails, min(o.created_at) AS oldest, max(o.attempts) AS most_attempts,
           count(*) FILTER (WHERE o.code IS NOT NULL) AS tried, count(*) FILTER (WHERE o.code = 0) AS unanswered,
           max(o.code) AS code, (array_agg(o.detail ORDER BY o.next_at DESC) FILTER (WHERE o.code = 0))[1] AS trouble,
           min(o.next_at) AS next_at
      FROM postern.outbox o WHERE o.state IN ('pending', 'sending') GROUP BY o.state;
COMMENT ON VIEW api_v1.mail_queue IS 'Mails that no server has taken yet: how many, since when, tried how often';
COMMENT ON COLUMN api_v1.mail_queue.tried IS 'Mails with a try that failed';
COMMENT ON COLUMN api_v1.mail_queue.unanswered IS 'Mails whose last try met no server at all, or a full disk; trouble says which';

CREATE VIEW api_v1.enforcement_desired AS
    SELECT e.unit::inet AS unit, e.adapter, e.action, e.ports, e.desired_generation, e.desired_at, e.state, e.applied_action, e.applied_at,
           e.attempts, e.error, replace(e.reason, E'\n', ' ') AS reason
      FROM postern.enforcement e JOIN postern.adapter a ON a.name = e.adapter
     WHERE a.enabled AND postern.is_ours(e.unit, postern.now());
COMMENT ON VIEW api_v1.enforcement_desired IS 'What the network should do about each unit, per adapter, and what was confirmed. Only our own address space: orders about sold networks are withdrawn';
COMMENT ON COLUMN api_v1.enforcement_desired.action IS 'open, block_ports, block_address, freeze';

CREATE VIEW api_v1.exporter_loss AS
    SELECT l.hour, l.exporter, l.domain, l.received, t.lost,
           round(100.0 * t.lost / nullif(l.received + t.lost, 0), 3) AS lost_percent,
           l.lost_network, l.lost_kernel, l.lost_malformed, l.lost_no_template, l.lost_not_admitted,
           l.lost_queue, l.lost_spool, l.lost_bus
      FROM postern.exporter_loss l,
           LATERAL (SELECT l.lost_network + l.lost_kernel + l.lost_malformed + l.lost_no_template
                           + l.lost_not_admitted + l.lost_queue + l.lost_spool + l.lost_bus AS lost) AS t;
COMMENT ON VIEW api_v1.exporter_loss IS 'Records received and lost per exporter and hour';
COMMENT ON COLUMN api_v1.exporter_loss.lost IS 'All kinds of loss together';

CREATE VIEW api_v1.repeat_offenders AS
    SELECT b.customer, u.name AS customer_name, count(*) AS blocks, count(DISTINCT b.unit) AS units, max(b.level) AS highest_level,
           min(lower(b.during)) AS first_block, max(lower(b.during)) AS last_block,
           count(*) FILTER (WHERE upper_inf(b.during)) AS open_now
      FROM postern.block b JOIN postern.customer u ON u.id = b.customer
     WHERE NOT b.false_positive AND lower(b.during) > postern.now() - interval '365 days'
     GROUP BY b.customer, u.name HAVING count(*) > 1;
COMMENT ON VIEW api_v1.repeat_offenders IS 'Customers with more than one block within a year, false alarms left out';

CREATE VIEW api_v1.false_positive_rate AS
    SELECT date_trunc('month', lower(b.during), 'UTC') AS month, b.cause, coalesce(v.band, '-') AS band, coalesce(v.pair, '-') AS pair,
           count(*) AS blocks, count(*) FILTER (WHERE b.false_positive) AS false_positives,
           round(100.0 * count(*) FILTER (WHERE b.false_positive) / count(*), 2) AS false_positive_percent
      FROM postern.block b LEFT JOIN postern.verdict v ON v.id = b.verdict_id
     GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW api_v1.false_positive_rate IS 'Blocks that an officer called a false alarm, by month (UTC), cause, band and ports';
COMMENT ON COLUMN api_v1.false_positive_rate.pair IS 'smtp: port 25; submission: 465, 587, 2525; -: no verdict led to it';

CREATE VIEW api_v1.verdicts AS
    SELECT v.id, v.unit::inet AS unit, v.customer, c.public_id AS case_id, v.band, v.episode, v.crossed_at, v.first_at, v.last_at, v.ended_at,
           v.evidence, v.score, v.sessions_seen, v.sessions_low, v.destinations_seen, v.usual, v.window_s, v.channel, v.pair,
           v.failed, v.ports, v.sampling, v.cold, v.exporters, array_to_string(postern.verdict_reasons(v.id), ' ') AS reason,
           v.action, v.applied_at, v.apply_error
      FROM postern.verdict v LEFT JOIN postern.spam_case c ON c.id = v.case_id;
COMMENT ON VIEW api_v1.verdicts IS 'The detector''s statements and what was done about them';
COMMENT ON COLUMN api_v1.verdicts.action IS 'NULL: not applied yet; not-ours, unassigned, other-tenancy: nobody was told';
COMMENT ON COLUMN api_v1.verdicts.evidence IS '0 … 1000: a unit within its habits reaches E on at most 10^(-E/100) of its days';

CREATE VIEW api_v1.complaints AS
    SELECT p.id, p.unit::inet AS unit, p.customer, c.public_id AS case_id, p.source_ip, p.category, p.format, p.feedback_type, p.reporter,
           p.authenticated, p.enrolled, p.weight, p.counted, p.arrived_at, p.received_at, p.message_id, p.outcome, p.action,
           p.applied_at, p.apply_error
      FROM postern.complaint p LEFT JOIN postern.spam_case c ON c.id = p.case_id;
COMMENT ON VIEW api_v1.complaints IS 'What others reported, and whether it counted';
COMMENT ON COLUMN api_v1.complaints.action IS 'What became of it; not counted: stored, no-address, not-ours, too-old, unassigned, other-tenancy …';

CREATE VIEW api_v1.complaints_unparsed AS
    SELECT id, received_at, reporter, format, reason, size_bytes, encode(sha256, 'hex') AS sha256
      FROM postern.complaint_unparsed;
COMMENT ON VIEW api_v1.complaints_unparsed IS 'Mails that look like complaints and could not be read';

CREATE VIEW api_v1.alarms AS
    SELECT id, kind, subject, detail, times, raised_at, last_at, cleared_at, cleared_by FROM postern.noc_alarm;
COMMENT ON VIEW api_v1.alarms IS 'What a person has to look at; cleared_at IS NULL: open';

CREATE VIEW api_v1.audit AS
    SELECT id, at, actor, login, unit::inet AS unit, customer, event, from_state, to_state, effect, detail FROM postern.audit_event;
COMMENT ON VIEW api_v1.audit IS 'Every transition and every change by people';

CREATE VIEW api_v1.evidence AS
    SELECT c.public_id AS case_id, c.unit::inet AS unit, c.customer, e.kind, e.at, e.destination, e.port, e.message_id, e.score, e.reporter
      FROM postern.evidence e JOIN postern.spam_case c ON c.id = e.case_id;
COMMENT ON VIEW api_v1.evidence IS 'Single flows and complaints that cases rest on';
COMMENT ON COLUMN api_v1.evidence.message_id IS 'From complaints; flows do not tell';

-- -------------------------------------------------------------------------------------- functions

CREATE FUNCTION api_v1.units_in(net inet, OUT unit inet, OUT customer text, OUT customer_name text,
        OUT service_name text, OUT state text, OUT level int, OUT since timestamptz, OUT watched boolean,
        OUT probation_until timestamptz, OUT case_id text, OUT blocks bigint) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT s.unit::inet, s.customer, u.name, (postern.tenancy_at(s.unit, postern.now())).service_name,
           s.state, s.level, s.changed_at, coalesce(s.watched_until > postern.now(), false), s.probation_until,
           c.public_id, (SELECT count(*) FROM postern.block b WHERE b.unit = s.unit)
      FROM postern.ip_state s
      LEFT JOIN postern.customer u ON u.id = s.customer
      LEFT JOIN postern.spam_case c ON c.id = s.case_id
     WHERE s.unit && net ORDER BY s.unit
$$;
COMMENT ON FUNCTION api_v1.units_in(inet) IS 'Units in a prefix (or the unit of an address) that something is known about, with their state now';

CREATE FUNCTION api_v1.ip_timeline(address inet, OUT at timestamptz, OUT what text, OUT customer text,
        OUT case_id text, OUT text text, OUT actor text) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    WITH u AS (SELECT postern.unfold(address) AS net)
    SELECT x.at, x.what, x.customer, x.case_id, x.text, x.actor FROM (
        SELECT lower(a.during) AS at, 'assigned' AS what, a.customer, NULL AS case_id,
               concat_ws(' ', host(a.net) || '/' || masklen(a.net), a.type, a.service_name) AS text, '' AS actor, 0 AS place
          FROM u JOIN postern.ip_assignment a ON a.net && u.net
        UNION ALL
        SELECT upper(a.during), 'unassigned', a.customer, NULL, host(a.net) || '/' || masklen(a.net), '', 0
          FROM u JOIN postern.ip_assignment a ON a.net && u.net WHERE NOT upper_inf(a.during)
        UNION ALL
        SELECT v.crossed_at, 'verdict ' || v.band, v.customer, c.public_id,
               array_to_string(postern.verdict_reasons(v.id), ' '), coalesce(v.action, 'due'), 1
          FROM u JOIN postern.verdict v ON v.unit && u.net LEFT JOIN postern.spam_case c ON c.id = v.case_id
        UNION ALL
        SELECT coalesce(p.arrived_at, p.received_at), 'complaint', p.customer, c.public_id,
               concat_ws(' ', p.category, 'reported by', p.reporter, 'on', to_char(p.received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
                         'Message-ID ' || p.message_id), coalesce(p.action, 'due'), 1
          FROM u JOIN postern.complaint p ON p.unit && u.net LEFT JOIN postern.spam_case c ON c.id = p.case_id
        UNION ALL
        SELECT e.at, concat_ws(' ', 'state', e.to_state), e.customer, c.public_id,
               concat_ws(' ', replace(e.event, '_', ' '), 'from', e.from_state, e.detail ->> 'reason'), e.actor, 2
          FROM u JOIN postern.audit_event e ON e.unit && u.net LEFT JOIN postern.spam_case c ON c.id = e.case_id
         WHERE e.from_state <> e.to_state
        UNION ALL
        SELECT b.hold_until, 'hold ends', b.customer, c.public_id, 'level ' || b.level || ', ' || b.scope, '', 3
          FROM u JOIN postern.block b ON b.unit && u.net JOIN postern.spam_case c ON c.id = b.case_id
        UNION ALL
        SELECT coalesce(o.accepted_at, o.created_at), 'mail ' || o.kind, o.customer, c.public_id,
               concat_ws(' ', 'to', o.contact_email, o.state), '', 4
          FROM u JOIN postern.spam_case c ON c.unit && u.net JOIN postern.outbox o ON o.case_id = c.id
        UNION ALL
        SELECT w.deadline, 'deadline', w.customer, c.public_id, w.state, '', 5
          FROM u JOIN postern.spam_case c ON c.unit && u.net JOIN postern.warning w ON w.case_id = c.id
         WHERE w.deadline IS NOT NULL
        UNION ALL
        SELECT s.made_at, 'statement ' || s.kind, c.customer, c.public_id, s.text, s.actor, 2
          FROM u JOIN postern.spam_case c ON c.unit && u.net JOIN postern.statement s ON s.case_id = c.id
        UNION ALL
        SELECT lower(x.during), 'exempt', NULL, NULL, concat_ws(' ', x.reason, 'until', to_char(upper(x.during) AT TIME ZONE 'UTC', 'YYYY-MM-DD')), x.actor, 2
          FROM u JOIN postern.exemption x ON x.net && u.net
    ) AS x ORDER BY x.at NULLS FIRST, x.place
$$;
COMMENT ON FUNCTION api_v1.ip_timeline(inet) IS 'The history of an address over all its tenants: tenancies, verdicts, complaints, changes of state, mails, deadlines, statements, exemptions. at NULL: since ever';

GRANT SELECT ON ALL TABLES IN SCHEMA api_v1 TO postern_analyst, postern_officer, postern_auditor;
GRANT SELECT ON api_v1.alarms, api_v1.exporter_loss, api_v1.enforcement_desired, api_v1.mail_queue
    TO postern_monitor;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA api_v1 TO postern_analyst, postern_officer, postern_auditor;
-- The functions that the views call run with the caller's rights to execute.
GRANT EXECUTE ON FUNCTION postern.measure_for(text, int), postern.setting_interval(text),
    postern.verdict_reasons(bigint), postern.is_ours(inet, timestamptz), postern.time_text(timestamptz, text)
    TO postern_analyst, postern_officer, postern_auditor, postern_monitor;

RESET ROLE;
