-- SPDX-License-Identifier: Apache-2.0
-- A hoster's years in the database: :blocks blocks with their cases, verdicts, mails and audit,
-- :activity rows of traffic, :customers customers (imported before). Generated, not recorded.
SET synchronous_commit = off;
SET work_mem = '256MB';

-- Block n: whose, and when; three years, oldest first.
CREATE TEMPORARY TABLE past AS
    SELECT n, inet '20.0.0.0' + n % :customers AS unit, 'C' || n % :customers AS customer,
           date_trunc('second', now()) - interval '1 day'
               - interval '1095 days' * ((:blocks - n)::float8 / :blocks) AS at
      FROM generate_series(1::bigint, :blocks) AS n;

INSERT INTO postern.verdict (unit, partition, position, episode, band, crossed_at, received_at, first_at, last_at, ended_at,
    evidence, score, sessions_seen, sessions_low, destinations_seen, usual, window_s, channel, pair, failed, ports,
    sampling, cold, exporters, reasons, samples, model, created_at, applied_at, action, customer)
SELECT unit, n % 8, n, at, 'block', at, at, at - interval '30 s', at, at + interval '1 hour',
       930, 930, 180, 150, 170, 1.1, 60, 'D', 'smtp', 12, '{25}', 1, true, '{198.51.100.1}',
       '[{"name": "burst", "points": 930, "text": "180 new destinations on port 25 within 60 s; its usual most is 9."}]',
       '[]', 'edet-1', at, at, 'blocked', customer
  FROM past;
INSERT INTO postern.spam_case (public_id, unit, customer, opened_at, last_at, closed_at, outcome)
SELECT format('PST-2000-%s', n), unit, customer, at, at, at + interval '2 hours', 'released'
  FROM past ORDER BY n;
INSERT INTO postern.block (unit, customer, case_id, scope, ports, during, hold_until, level, cause, reason, actor, verdict_id,
    release_asked_at, released_by, false_positive)
SELECT c.unit, c.customer, c.id, 'ports', '{25}', tstzrange(c.opened_at, c.closed_at), c.opened_at + interval '1 hour', 1,
       'verdict', '180 new destinations on port 25 within 60 s; its usual most is 9.', 'detector', v.id,
       c.closed_at, 'customer', v.id % 500 = 0
  FROM postern.spam_case c JOIN postern.verdict v ON v.position = split_part(c.public_id, '-', 3)::bigint
 ORDER BY c.id;
INSERT INTO postern.ip_state (unit, customer, changed_at) SELECT DISTINCT unit, customer, now() FROM postern.spam_case;
INSERT INTO postern.outbox (dedup_key, kind, unit, customer, case_id, contact_email, locale, tz, message_id, envelope_from, vars,
    state, attempts, next_at, created_at, accepted_at, code)
SELECT c.public_id, 'blocked', c.unit, c.customer, c.id, 'abuse@example.net', 'en', 'UTC', c.public_id || '@bench.example',
       'bounce@bench.example', '{}', 'done', 1, c.opened_at, c.opened_at, c.opened_at, 250
  FROM postern.spam_case c;
INSERT INTO postern.audit_event (at, actor, login, unit, customer, case_id, event, from_state, to_state, effect, detail)
SELECT c.opened_at, 'detector', 'postern_desk', c.unit, c.customer, c.id, 'verdict_block', 'clear', 'blocked', 'block', '{}'
  FROM postern.spam_case c;
INSERT INTO postern.smtp_activity (unit, bucket, sessions, destinations, bytes, packets, failed, ports)
SELECT inet '20.0.0.0' + n % (:customers / 5),
       date_trunc('hour', now()) - interval '5 minutes' * (n / (:customers / 5)), n % 40 + 1, n % 10 + 1, 20000, 50, n % 3, 1
  FROM generate_series(0, :activity - 1) AS n;
ANALYZE;
