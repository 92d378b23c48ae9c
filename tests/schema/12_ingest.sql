-- SPDX-License-Identifier: Apache-2.0
-- What the scorer writes: fencing, complaints seen before, activity, partitions.
\ir support.sql
SELECT t.two_customers();
SELECT plan(33);
SET SESSION AUTHORIZATION postern_ingest;
SET search_path = public, pg_catalog;

-- epochs
SELECT results_eq($$ SELECT * FROM postern.take_partition(3, 8, 'one') $$, $$ VALUES (1::bigint, -2::bigint, -2::bigint, 0::bigint) $$, 'first taken: from the oldest');
UPDATE postern.bus_offset SET position = 10, updated_at = postern.now() WHERE topic = 'postern.smtp' AND partition = 3 AND epoch = 1 AND position = -2;
UPDATE postern.bus_offset SET position = 4 WHERE topic = 'postern.evidence' AND partition = 3 AND epoch = 1 AND position = -2;
SELECT results_eq($$ SELECT * FROM postern.take_partition(3, 8, 'two') $$, $$ VALUES (2::bigint, 10::bigint, 4::bigint, 0::bigint) $$, 'taken over: from where the other was');
WITH fenced AS (UPDATE postern.bus_offset SET position = 11 WHERE topic = 'postern.smtp' AND partition = 3 AND epoch = 1 AND position = 10 RETURNING 1)
SELECT is((SELECT count(*) FROM fenced), 0::bigint, 'who lost it commits nothing');
SELECT results_eq($$ SELECT owner, epoch FROM postern.bus_offset WHERE partition = 3 $$, $$ VALUES ('two', 2::bigint), ('two', 2) $$, 'both topics have one epoch');
SELECT throws_ok($$ SELECT postern.take_partition(3, 4, 'three') $$, 'PT001', 'the bus has 4 partitions, the database was filled from 8', 'another number of partitions is refused');
SELECT throws_ok($$ SELECT postern.take_partition(8, 8, 'three') $$, 'PT006', NULL, 'partition 8 of 8 is none');
SELECT lives_ok($$ SELECT postern.take_partition(7, 8, 'three') $$, 'partition 7 of 8 is one');

-- evidence
CREATE TEMPORARY TABLE told AS SELECT 'r1'::text AS id;
SELECT isnt(postern.record_evidence(3, 1, 'complaint', 'arf', 'abuse', 'spam', '192.0.2.1', 0, '2026-05-01 11:00 UTC', '2026-05-01 12:00 UTC', 'a@x', 'd', 'Trusted.Example', true, 'r1', NULL, 1, 10, '\x01'), NULL, 'a report');
SELECT is(postern.record_evidence(3, 1, 'complaint', 'arf', 'abuse', 'spam', '192.0.2.1', 0, '2026-05-01 11:00 UTC', '2026-05-01 12:05 UTC', 'a@x', 'd', 'trusted.example', true, 'r1', NULL, 1, 12, '\x02'), NULL, 'the same report id again');
SELECT isnt(postern.record_evidence(3, 1, 'complaint', 'arf', 'abuse', 'spam', '192.0.2.1', 0, '2026-05-01 11:00 UTC', '2026-05-01 12:00 UTC', 'a@x', 'd', 'evil.example', false, 'r1', NULL, 1, 10, '\x01'), NULL, 'a stranger cannot use up somebody''s report id');
SELECT isnt(postern.record_evidence(3, 1, 'complaint', 'arf', 'abuse', 'spam', '192.0.2.2', 0, '2026-05-01 11:00 UTC', '2026-05-01 12:00 UTC', 'b@x', 'd', 'trusted.example', true, 'r1', NULL, 2, 10, '\x01'), NULL, 'another incident of the same report');
SELECT isnt(postern.record_evidence(3, 1, 'complaint', 'arf', 'abuse', 'spam', '192.0.2.3', 0, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, '\x05'), NULL, 'a report that says little');
SELECT is(postern.record_evidence(3, 1, 'complaint', 'arf', 'abuse', 'spam', '192.0.2.3', 0, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, '\x05'), NULL, 'is known by its content');
SELECT is(postern.record_evidence(3, 1, 'unreadable', 'arf', NULL, NULL, NULL, NULL, NULL, '2026-05-01 12:00 UTC', NULL, NULL, 'r.example', false, 'r9', 'no part 3', 1, 10, '\x06'), NULL, 'an unreadable one');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM postern.complaint), 4::bigint, 'four complaints');
SELECT is((SELECT reporter FROM postern.complaint WHERE id = (SELECT min(id) FROM postern.complaint)), 'trusted.example', 'domains in lower case');
SELECT results_eq('SELECT reason FROM postern.complaint_unparsed', $$ VALUES ('no part 3') $$, 'the unreadable one is kept');
SELECT results_eq('SELECT kind, subject FROM postern.noc_alarm', $$ VALUES ('unreadable-complaint', 'r.example') $$, 'and alarms');

-- verdicts
SELECT t.verdict('192.0.2.1', 'flag');
INSERT INTO postern.verdict (unit, partition, position, episode, band, crossed_at, received_at, first_at, last_at, evidence, score, sessions_seen, sessions_low, destinations_seen, usual, window_s, channel, pair, failed, ports, sampling, cold, exporters, model)
SELECT unit, partition, position, episode, band, crossed_at, received_at, first_at, last_at, 999, score, sessions_seen, sessions_low, destinations_seen, usual, window_s, channel, pair, failed, ports, sampling, cold, exporters, model FROM postern.verdict
ON CONFLICT (unit, episode, band) DO NOTHING;
SELECT results_eq('SELECT evidence FROM postern.verdict', 'VALUES (650::real)', 'a replay writes no second row');
SELECT throws_ok($$ SELECT t.verdict('::ffff:192.0.2.1', 'flag') $$, '23514', NULL, 'no IPv4-mapped unit');
SELECT throws_ok($$ SELECT t.verdict('192.0.2.1/24', 'flag') $$, '23514', NULL, 'no unit with bits beyond its mask');

-- activity and its partitions
SELECT is(postern.make_partitions(), 3, 'this month and the next two');
SELECT is(postern.make_partitions(), 0, 'once');
INSERT INTO postern.smtp_activity VALUES ('192.0.2.1', '2026-05-01 12:00 UTC', 5, 5, 1, 1, 0, 1), ('192.0.2.1', '2027-01-31 23:55 UTC', 7, 7, 1, 1, 0, 4);
SELECT results_eq('SELECT tableoid::regclass::text FROM postern.smtp_activity ORDER BY bucket', $$ VALUES ('postern.smtp_activity_2026_05'), ('postern.smtp_activity_default') $$, 'what has no partition falls into the default one');
SELECT is(postern.make_partitions(), 1, 'a partition is made for it');
SELECT results_eq('SELECT tableoid::regclass::text, sessions FROM postern.smtp_activity ORDER BY bucket', $$ VALUES ('postern.smtp_activity_2026_05', 5::bigint), ('postern.smtp_activity_2027_01', 7) $$, 'and it is moved there');
SET SESSION AUTHORIZATION postern_ingest;
INSERT INTO postern.smtp_activity AS a VALUES ('192.0.2.1', '2026-05-01 12:00 UTC', 2, 1, 1, 1, 1, 2)
ON CONFLICT (unit, bucket) DO UPDATE SET sessions = a.sessions + excluded.sessions, failed = a.failed + excluded.failed, ports = a.ports | excluded.ports;
RESET SESSION AUTHORIZATION;
SELECT results_eq($$ SELECT sessions, failed, ports FROM postern.smtp_activity WHERE bucket = '2026-05-01 12:00 UTC' $$, 'VALUES (7::bigint, 1::bigint, 3)', 'upserts add');
SELECT results_eq($$ SELECT sessions, ports, customer FROM api_v1.top_senders_between('2026-05-01', '2026-06-01') $$, $$ VALUES (7::bigint, '{25,465}'::int[], 'C1') $$, 'and the ranking sees them');

-- another number of partitions, after decisions that some have applied
INSERT INTO postern.scorer_input (kind, unit, created_at) SELECT 'exempted', '192.0.2.1', postern.now() FROM generate_series(1, 3);
UPDATE postern.bus_offset SET input_id = (SELECT max(id) - 1 FROM postern.scorer_input) WHERE topic = 'postern.smtp' AND partition = 3;
INSERT INTO postern.scorer_input_applied SELECT 3, i.id, 10 FROM postern.scorer_input i WHERE i.id < (SELECT max(id) FROM postern.scorer_input);
SELECT throws_ok('SELECT postern.change_partitions(0)', 'PT006', NULL, 'none is no number');
SELECT lives_ok('SELECT postern.change_partitions(2)', 'another number');
SELECT results_eq($$ SELECT * FROM postern.take_partition(1, 2, 'one') $$,
    $$ SELECT 3::bigint, -2::bigint, -2::bigint, max(id) - 1 FROM postern.scorer_input $$, 'from the oldest, after what was decided, in a later epoch');
SELECT results_eq('SELECT partition, position, count(*) FROM postern.scorer_input_applied GROUP BY 1, 2 ORDER BY 1',
    $$ SELECT p, -2::bigint, count(*) - 1 FROM postern.scorer_input, generate_series(0, 1) AS p GROUP BY 1 ORDER BY 1 $$, 'each has applied what all had');
SELECT throws_ok($$ SELECT postern.take_partition(3, 8, 'old') $$, 'PT001', NULL, 'the old bus is refused');
SELECT finish();
