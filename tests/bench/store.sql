-- SPDX-License-Identifier: Apache-2.0
-- A hoster's years in the database: :blocks blocks with their cases, verdicts, warnings, complaints,
-- mails, orders and audit, :activity rows of traffic. The customers were imported before. Generated,
-- not recorded. Keys are right by construction and looked at no second time, indexes made at the end.
SET synchronous_commit = off;
SET work_mem = '256MB';
SET maintenance_work_mem = '1GB';
SET session_replication_role = replica;

-- What slows the filling: made again as it was when all is in.
CREATE TEMP TABLE later (place int, statement text);
INSERT INTO later
SELECT 2, pg_get_indexdef(i.indexrelid) FROM pg_index i
 WHERE i.indrelid::regclass::text IN ('postern.verdict', 'postern.complaint', 'postern.spam_case', 'postern.block', 'postern.warning',
                      'postern.outbox', 'postern.evidence', 'postern.audit_event')
   AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid);
INSERT INTO later
SELECT 1, format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE contype = 'x' AND conrelid = 'postern.block'::regclass;
SELECT format('DROP INDEX postern.%I', substring(statement FROM 'INDEX (\S+) ON')) FROM later WHERE place = 2 \gexec
ALTER TABLE postern.block DROP CONSTRAINT block_one_at_a_time;

-- Block n: whose, and when; three years, oldest first. Every other one is of the twentieth part of
-- the units that comes back again and again. One in four was a warning that was not heeded.
CREATE TEMP TABLE whose AS
    SELECT row_number() OVER (ORDER BY net) - 1 AS k, net::inet AS unit, customer FROM postern.ip_assignment;
SELECT count(*) AS units, greatest(count(*) / 20, 1) AS regulars, 'epoch'::timestamptz AS epoch FROM whose \gset
CREATE TEMP TABLE past AS
    SELECT n, w.unit, w.customer, n % 4 = 3 AS was_warned, n % 500 = 0 AS was_wrong,
           date_trunc('second', now()) - interval '1 day'
               - interval '1095 days' * ((:blocks - n)::float8 / :blocks) AS at
      FROM generate_series(1::bigint, :blocks) AS n
      JOIN whose w ON w.k = CASE WHEN n % 2 = 0 THEN n / 2 % :regulars * 20
                                 WHEN n % :units % 20 = 0 THEN n % :units + 1 ELSE n % :units END;
ANALYZE past;

INSERT INTO postern.verdict (unit, partition, position, episode, band, crossed_at, received_at, first_at, last_at, ended_at,
    evidence, score, sessions_seen, sessions_low, destinations_seen, usual, window_s, channel, pair, failed, ports,
    sampling, cold, exporters, reasons, samples, model, created_at, applied_at, action, customer, case_id)
SELECT unit, n % 8, n, at, CASE WHEN was_warned THEN 'flag' ELSE 'block' END, at, at, at - interval '30 s', at, at + interval '1 hour',
       930, 930, 180, 150, 170, 1.1, 60, 'D', 'smtp', 12, '{25}', 1, true, '{198.51.100.1}',
       '[{"name": "burst", "points": 930, "text": "180 new destinations on port 25 within 60 s; its usual most is 9."}]',
       '[]', 'edet-1', at, at, CASE WHEN was_warned THEN 'warned' ELSE 'blocked' END, customer, n
  FROM past ORDER BY n;
-- The first cases of the database: n is also their id.
INSERT INTO postern.spam_case (public_id, unit, customer, opened_at, last_at, closed_at, outcome)
SELECT 'PST-2000-' || n, unit, customer, at, at, at + interval '30 hours', CASE WHEN was_wrong THEN 'false-positive' ELSE 'released' END
  FROM past ORDER BY n;
INSERT INTO postern.block (unit, customer, case_id, scope, ports, during, hold_until, level, cause, reason, actor, verdict_id, enforced_at,
    release_asked_at, released_by, release_reason, false_positive)
SELECT p.unit, p.customer, p.n, 'ports', '{25}', tstzrange(b.at, p.at + interval '30 hours'), b.at + interval '1 hour', 1,
       CASE WHEN p.was_warned THEN 'deadline' ELSE 'verdict' END, '180 new destinations on port 25 within 60 s; its usual most is 9.',
       'detector', v.id, b.at + interval '2 s', p.at + interval '30 hours', CASE WHEN p.was_wrong THEN 'alice' ELSE 'customer' END,
       CASE WHEN p.was_wrong THEN 'an announced newsletter' END, p.was_wrong
  FROM past p JOIN postern.verdict v ON v.position = p.n,
       LATERAL (SELECT p.at + CASE WHEN p.was_warned THEN interval '24 hours' ELSE '0' END AS at) AS b
 ORDER BY p.n;
INSERT INTO postern.warning (case_id, unit, customer, cause, category, repeat, reason, state, opened_at, duration, accepted_at, deadline, closed_at)
SELECT n, unit, customer, 'verdict', 'spam', 1, '180 new destinations on port 25 within 60 s.', 'missed', at, '1 day', at, at + interval '1 day', at + interval '1 day'
  FROM past WHERE was_warned ORDER BY n;
INSERT INTO postern.evidence (case_id, kind, at, destination, port, score)
SELECT n, 'flow', at - i * interval '2 s', inet '203.0.113.0' + i, 25, 930
  FROM past, generate_series(1, 8) AS i WHERE at > now() - interval '90 days' ORDER BY n;
INSERT INTO postern.complaint (outcome, format, feedback_type, category, source_ip, arrived_at, received_at, reporter, authenticated,
    report_id, sha256, enrolled, weight, counted, unit, customer, case_id, applied_at, action)
SELECT 'complaint', 'arf', 'abuse', 'spam', unit, at, at + interval '5 minutes', 'reporter-' || n % 300 || '.example', n % 3 = 0,
       'r' || n, sha256(n::text::bytea), n % 6 = 0, CASE n % 6 WHEN 0 THEN 1 ELSE 0.2 END, true, unit, customer, n, at + interval '5 minutes', 'noted'
  FROM past WHERE n % 4 = 0 ORDER BY n;
INSERT INTO postern.outbox (dedup_key, kind, unit, customer, case_id, contact_email, locale, tz, message_id, envelope_from, vars,
    state, attempts, next_at, created_at, accepted_at, code)
SELECT 'b' || n || ':abuse@example.net', CASE WHEN was_warned THEN 'warning' ELSE 'blocked' END, unit, customer, n, 'abuse@example.net', 'en', 'UTC',
       n || '.' || lpad(to_hex(n), 20, '0') || '@bench.example', 'bounce@bench.example', '{}', CASE WHEN n % 200 = 0 THEN 'failed' ELSE 'done' END, 1,
       at, at, CASE WHEN n % 200 = 0 THEN NULL ELSE at + interval '1 s' END, CASE WHEN n % 200 = 0 THEN 550 ELSE 250 END
  FROM past ORDER BY n;
INSERT INTO postern.audit_event (at, actor, login, unit, customer, case_id, event, from_state, to_state, effect, detail)
SELECT at, 'detector', 'postern_desk', unit, customer, n, 'verdict_block', 'clear', 'blocked', 'block', '{}' FROM past ORDER BY n;
INSERT INTO postern.ip_state (unit, customer, changed_at, version)
SELECT unit, min(customer), max(at) + interval '30 hours', count(*) FROM past GROUP BY unit;
INSERT INTO postern.enforcement (unit, adapter, action, ports, reason, desired_at, applied_generation, applied_action, applied_at, state, next_at)
SELECT unit, 'null', 'open', '{}', '', changed_at, 1, 'open', changed_at, 'applied', changed_at FROM postern.ip_state;

-- What is under way: deadlines of today, some that nobody received.
INSERT INTO postern.spam_case (public_id, unit, customer, opened_at, last_at)
SELECT 'PST-2001-' || k, unit, customer, now() - interval '20 hours', now() - interval '20 hours' FROM whose WHERE k % 50 = 7;
INSERT INTO postern.warning (case_id, unit, customer, cause, category, repeat, reason, state, opened_at, duration, accepted_at, deadline)
SELECT c.id, c.unit, c.customer, 'complaint', 'spam', 1, 'Reported.', CASE WHEN c.id % 40 = 0 THEN 'suspended' ELSE 'running' END,
       c.opened_at, '1 day', c.opened_at, c.opened_at + interval '2 days'
  FROM postern.spam_case c WHERE c.closed_at IS NULL;
UPDATE postern.ip_state s SET state = 'warned', case_id = c.id, version = s.version + 1
  FROM postern.spam_case c WHERE c.unit = s.unit AND c.closed_at IS NULL;

-- A fifth of the units sends mail, for thirty days; the months have their partitions beforehand.
INSERT INTO postern.smtp_activity (unit, bucket) VALUES ('20.0.0.0', now() - interval '30 days'), ('20.0.0.0', now());
SELECT postern.make_partitions();
DELETE FROM postern.smtp_activity;
INSERT INTO postern.smtp_activity (unit, bucket, sessions, destinations, bytes, packets, failed, ports)
SELECT w.unit, date_trunc('hour', now()) - interval '30 days' * (b.n / b.most::float8),
       (w.k + b.n) % 40 + 1, (w.k + b.n) % 10 + 1, 20000, 50, (w.k + b.n) % 3, 1
  FROM (SELECT n, :activity / (:units / 5) AS most FROM generate_series(0, :activity / (:units / 5)) AS n) AS b, whose w
 WHERE w.k % 5 = 0 AND b.n * (:units / 5) + w.k / 5 < :activity ORDER BY b.n DESC, w.unit;
INSERT INTO postern.exporter_loss (hour, exporter, domain, received, expected, lost_network)
SELECT h, inet '198.51.100.0' + e, 0, 1000000, 1000000 + e % 3, e % 3
  FROM generate_series(date_trunc('hour', now()) - interval '13 months', now(), '1 hour') AS h, generate_series(1, 40) AS e;

SELECT statement FROM later ORDER BY place \gexec
SELECT postern.seal_audit(100000) FROM generate_series(1, :blocks / 100000 + 1);
RESET session_replication_role;
VACUUM ANALYZE;
