-- SPDX-License-Identifier: Apache-2.0
-- What verdicts do.
\ir support.sql
SELECT t.enforce();
SELECT plan(47);

-- watch
SELECT is(t.hit('192.0.2.1', 'watch'), 'watched', 'watch: the unit is watched');
SELECT is(t.state('192.0.2.1'), 'clear', 'watch: it stays clear');
SELECT is((SELECT watched_until FROM postern.ip_state WHERE unit = '192.0.2.1'), '2026-05-02 12:00 UTC'::timestamptz, 'watch: for a day');
SELECT is((SELECT count(*) FROM postern.spam_case), 0::bigint, 'watch: no case');
SELECT is((SELECT count(*) FROM postern.outbox), 0::bigint, 'watch: no mail');
-- flag
SELECT is(t.hit('192.0.2.1', 'flag'), 'warned', 'flag: warns');
SELECT is(t.mails('192.0.2.1'), 'warning pending', 'flag: mail warning');
SELECT is(t.hit('192.0.2.1', 'flag'), 'appended', 'a second flag is added to the case');
SELECT is((SELECT count(*) FROM postern.spam_case), 1::bigint, 'one case');
SELECT results_eq('SELECT at, destination, port, score FROM postern.evidence ORDER BY at', $$ VALUES
    ('2026-05-01 11:59:30 UTC'::timestamptz, '198.51.100.7'::inet, 25, 650), ('2026-05-01 11:59:40 UTC', '198.51.100.8', 25, 650) $$, 'the same flows stand once');
-- block
SELECT is(t.hit('192.0.2.1', 'block'), 'blocked', 'block: from warned');
SELECT is(t.mails('192.0.2.1'), 'warning superseded, blocked pending', 'the warning that was not sent is not sent');
SELECT is((SELECT state FROM postern.warning), 'overtaken', 'the warning is overtaken');
SELECT results_eq($$ SELECT level, ports, scope, cause, hold_until - lower(during), upper_inf(during) FROM postern.block $$,
    $$ VALUES (1, '{25}'::int[], 'ports', 'verdict', interval '1 hour', true) $$, 'first level: port 25 for an hour');
SELECT results_eq($$ SELECT action, ports, state FROM postern.enforcement $$, $$ VALUES ('block_ports', '{25}'::int[], 'pending') $$, 'an order to the network');
SELECT is((SELECT vars ->> 'unit' FROM postern.outbox WHERE kind = 'blocked'), '192.0.2.1', 'the mail names the unit');
SELECT is((SELECT references_id FROM postern.outbox WHERE kind = 'blocked'), NULL, 'and refers to no mail that was never sent');
SELECT t.later('10 minutes');
SELECT is(t.hit('192.0.2.1', 'block'), 'appended', 'a block verdict on a blocked unit is added');
SELECT is((SELECT hold_until FROM postern.block), '2026-05-01 13:00 UTC'::timestamptz, 'the hold is not moved');
SELECT is(t.hit('192.0.2.2', 'block'), 'blocked', 'block: from clear');
SELECT is(t.hit('192.0.2.3', 'block', 'submission'), 'blocked', 'block: submission');
SELECT is((SELECT ports FROM postern.block WHERE unit = '192.0.2.3'), '{25,465,587,2525}', 'submission abuse closes the submission ports too');
-- block.at
SELECT postern.set_setting('block.at', '950', 'tester');
SELECT is(t.hit('192.0.2.4', 'block'), 'warned', 'below block.at a block verdict warns');
SELECT postern.set_setting('block.at', '900', 'tester');
-- a trusted complaint turns a flag into a block
SELECT postern.reporter_enrol('weak.example', 0.3, '', 'tester');
SELECT is(t.complain('192.0.2.5', 'weak.example'), 'noted', 'a weak reporter alone does not warn');
SELECT is(t.hit('192.0.2.5', 'flag'), 'blocked', 'with an authenticated complaint a flag blocks');
SELECT is(t.complain('192.0.2.6', 'nobody.example', true), 'noted', 'a domain nobody enrolled does not count as authenticated');
SELECT is(t.hit('192.0.2.6', 'flag'), 'warned', 'so its flag warns');
-- retries
SELECT t.verdict('192.0.2.7', 'block') AS v \gset
SELECT postern.apply_verdict(:v);
SELECT is(postern.apply_verdict(:v), 'blocked', 'applied twice, the same answer');
SELECT is((SELECT count(*) FROM postern.block WHERE unit = '192.0.2.7'), 1::bigint, 'and one block');
SELECT is((SELECT count(*) FROM postern.outbox WHERE unit = '192.0.2.7'), 1::bigint, 'and one mail');
SELECT is((SELECT count(*) FROM postern.audit_event WHERE unit = '192.0.2.7'), 1::bigint, 'and one audit row');
-- whose is it?
SELECT is(t.hit('203.0.113.1', 'block'), 'not-ours', 'an address outside our networks: stored only');
SELECT postern.network_add('203.0.113.0/24', '', 'tester');
SELECT is(t.hit('203.0.113.1', 'block'), 'unassigned', 'an unassigned address: stored only');
SELECT is((SELECT count(*) FROM postern.ip_state WHERE unit <<= '203.0.113.0/24'), 0::bigint, 'no state is made for them');
SELECT postern.set_setting('page.url', 'https://abuse.example.net/', 'tester');
SELECT is(t.hit('2001:db8:1:200::/56', 'flag'), 'warned', 'IPv6 units as the assignment says');
SELECT is((SELECT vars ->> 'page_url' FROM postern.outbox WHERE unit = '2001:db8:1:200::/56'), 'https://abuse.example.net/ip/2001:db8:1:200::%2F56', 'a link that a browser takes');
-- guards
SELECT postern.never_block_add('192.0.2.10', 'our relay', 'tester');
SELECT is(t.hit('192.0.2.10', 'block'), 'never-block', 'our own infrastructure is never blocked');
SELECT postern.ip_exempt('192.0.2.11', 100, postern.now() + interval '1 day', 'newsletter', 'tester');
SELECT is(postern.apply_verdict(t.verdict('192.0.2.11', 'block', p_sessions => 100)), 'exempt', 'exempt up to the ceiling');
SELECT is(postern.apply_verdict(t.verdict('192.0.2.11', 'block', p_sessions => 101)), 'blocked', 'not above it');
SELECT t.later('30 minutes');
SELECT postern.set_setting('breaker.blocks_per_hour', (SELECT count(*)::text FROM postern.block WHERE lower(during) > postern.now() - interval '1 hour'), 'tester');
SELECT is(t.hit('192.0.2.12', 'block'), 'held', 'the breaker holds back what exceeds it');
SELECT is((SELECT count(*) FROM postern.noc_alarm WHERE kind = 'breaker'), 1::bigint, 'and alarms');
SELECT is(t.hit('192.0.2.12', 'flag'), 'warned', 'warnings go on');
SELECT postern.set_setting('breaker', 'open', 'tester');
SELECT is(t.hit('192.0.2.13', 'flag'), 'held', 'an open breaker holds everything');
-- an exemption's end reaches the scorer
SELECT postern.ip_exempt('198.51.100.0/24', 100, postern.now() + interval '1 hour', 'short', 'tester');
SELECT postern.ip_exempt('198.51.100.0/24', NULL, postern.now() + interval '30 minutes', 'shorter, no ceiling', 'tester');
SELECT is((SELECT ceiling FROM postern.scorer_input WHERE unit = '198.51.100.0/24' ORDER BY id DESC LIMIT 1), NULL, 'the widest exemption in force is told');
SELECT t.later('31 minutes');
SELECT t.timers();
SELECT is((SELECT ceiling FROM postern.scorer_input WHERE unit = '198.51.100.0/24' ORDER BY id DESC LIMIT 1), 100::float8, 'the one that is left, when it ends');
SELECT t.later('30 minutes');
SELECT t.timers();
SELECT is((SELECT ceiling FROM postern.scorer_input WHERE unit = '198.51.100.0/24' ORDER BY id DESC LIMIT 1), 0::float8, 'and its end');
SELECT set_eq($$ SELECT proname::text FROM pg_proc WHERE pronamespace = 'postern'::regnamespace AND 'enable_seqscan=off' = ANY (proconfig) $$,
    ARRAY['apply_verdict', 'apply_complaint', 'fire_timer'], 'plans made while tables are small stay good when they have grown');
SELECT finish();
