-- SPDX-License-Identifier: Apache-2.0
-- What the detector hears from the desk, and who may touch what it learned.
\ir support.sql
SELECT t.two_customers();
SELECT plan(19);

CREATE FUNCTION t.confirmed(p_unit inet) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
    'SELECT count(*) FROM postern.scorer_input WHERE kind = ''confirmed'' AND unit = p_unit';

-- neighbourhoods
SELECT results_eq($$ SELECT unit::text FROM postern.scorer_input WHERE kind = 'assigned' ORDER BY unit $$,
    $$ VALUES ('192.0.2.0/25'), ('192.0.2.128/25'), ('2001:db8:1::/48') $$, 'nets of several units are told');
SELECT is((SELECT count(DISTINCT owner) FROM postern.scorer_input WHERE kind = 'assigned'), 2::bigint, 'by their customers');
SELECT t.import(ARRAY['192.0.2.0/25|C1', '2001:db8:1::/48|C1||||56', '192.0.2.128/25|C2', '198.51.100.1|C3', '198.51.100.2|C4']);
SELECT is_empty($$ SELECT unit FROM postern.scorer_input WHERE kind = 'assigned' AND unit <<= '198.51.100.0/24' $$, 'single addresses of different customers are not');
SELECT t.import(ARRAY['192.0.2.0/25|C1', '2001:db8:1::/48|C1||||56', '192.0.2.128/25|C2', '198.51.100.1|C3', '198.51.100.2|C4', '198.51.100.9|C3']);
SELECT results_eq($$ SELECT unit::text FROM postern.scorer_input WHERE kind = 'assigned' AND unit <<= '198.51.100.0/24' ORDER BY unit $$,
    $$ VALUES ('198.51.100.1/32'), ('198.51.100.9/32') $$, 'two of one customer are, the first too');
SELECT t.import(ARRAY['192.0.2.0/25|C1', '2001:db8:1::/48|C1||||56', '198.51.100.1|C3', '198.51.100.2|C4', '198.51.100.9|C3'], true);
SELECT is((SELECT owner FROM postern.scorer_input WHERE kind = 'assigned' AND unit = '192.0.2.128/25' ORDER BY id DESC LIMIT 1), 0::bigint, 'an end is told');

-- what confirms
CREATE TEMPORARY TABLE told AS
SELECT postern.record_evidence(3, 1, 'complaint', 'arf', 'abuse', 'spam', '192.0.2.1', 0, '2026-05-01 11:00 UTC', '2026-05-01 12:00 UTC', 'a@x', 'd', 'trusted.example', true, 'r1', NULL, 1, 10, '\x01') AS trusted,
       postern.record_evidence(3, 1, 'complaint', 'arf', 'abuse', 'spam', '192.0.2.2', 0, '2026-05-01 11:00 UTC', '2026-05-01 12:00 UTC', 'a@x', 'd', 'evil.example', false, 'r2', NULL, 1, 10, '\x02') AS stranger;
SELECT isnt(postern.apply_complaint(trusted), NULL, 'applied') FROM told;
SELECT isnt(postern.apply_complaint(stranger), NULL, 'applied') FROM told;
SELECT cmp_ok(t.confirmed('192.0.2.1'), '>=', 1::bigint, 'a complaint of somebody we know');
SELECT is(t.confirmed('192.0.2.2'), 0::bigint, 'a stranger''s confirms nothing');
SELECT isnt(postern.apply_verdict(t.verdict('192.0.2.3', 'block')), NULL, 'a verdict');
SELECT is(t.confirmed('192.0.2.3'), 0::bigint, 'is no confirmation of itself');

-- a review in shadow mode
SELECT is(postern.ip_release('192.0.2.3', 'their newsletter', true, 'officer') ->> 'action', 'noted', 'a false alarm is noted where nothing was done');
SELECT is((SELECT kind FROM postern.scorer_input ORDER BY id DESC LIMIT 1), 'false_positive', 'the detector hears of it');
SELECT is((SELECT detail ->> 'reason' FROM postern.audit_event WHERE event = 'review'), 'their newsletter', 'and the audit');

-- rights
SET SESSION AUTHORIZATION postern_ingest;
SELECT lives_ok($$ INSERT INTO postern.unit_envelope (unit, partition, since, day, first_day, mail_day, mail_days, flags) VALUES ('192.0.2.1', 3, 0, '2026-05-01', '2026-04-01', '2026-04-30', 3, 0) $$, 'the scorer writes what it learned');
SELECT lives_ok($$ INSERT INTO postern.unit_waiting (unit, day, partition, fate, smtp_sampling, smtp_most, smtp_count, submission_sampling, submission_most, submission_count) VALUES ('192.0.2.1', '2026-05-01', 3, 'waiting', 1, array_fill(1.0::float8, '{10}'), '{1,2}', 1, array_fill(0.0::float8, '{10}'), '{0,0}') $$, 'and what waits');
SELECT throws_ok($$ DELETE FROM postern.unit_waiting $$, '42501', NULL, 'what became of it stays');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION postern_desk;
SELECT throws_ok($$ UPDATE postern.unit_envelope SET mail_days = 3 $$, '42501', NULL, 'nobody else does');
RESET SESSION AUTHORIZATION;
SELECT throws_ok($$ INSERT INTO postern.unit_envelope (unit, partition, since, day, first_day, mail_day, mail_days, flags, smtp_most) VALUES ('192.0.2.9', 3, 0, '2026-05-01', '2026-04-01', '2026-04-30', 3, 0, '{1}') $$, '23514', NULL, 'ten windows, no fewer');
SELECT finish();
