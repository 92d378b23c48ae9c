-- SPDX-License-Identifier: Apache-2.0
-- Ways out of a block, the ladder, the network's part.
\ir support.sql
SELECT t.enforce();
SELECT plan(51);

-- too early, for others, again
SELECT t.hit('192.0.2.1', 'block'), t.network();
SELECT is((SELECT enforced_at FROM postern.block), postern.now(), 'the network confirmed the block');
SELECT t.later('57 minutes 51 seconds');
SELECT is((postern.request_unblock('192.0.2.1', 'C1')) ->> 'message', 'This IP address is still blocked for 129 seconds', 'too early');
SELECT is((postern.request_unblock('192.0.2.1', 'C1')) ->> 'remaining_seconds', '129', 'with the seconds as a number');
SELECT is((postern.request_unblock('192.0.2.1', 'C2')) ->> 'action', 'not-found', 'not his');
SELECT is((postern.request_unblock('198.51.100.1', 'C2')) ->> 'action', 'not-found', 'unknown: the same answer');
SELECT is((postern.request_unblock('192.0.2.2', 'C1')) ->> 'action', 'refused', 'his, and not blocked');
SELECT t.later('129 seconds');
SELECT is((postern.request_unblock('192.0.2.1', 'C1')) ->> 'action', 'unblocking', 'when the hold is over');
SELECT is((postern.request_unblock('192.0.2.1', 'C1')) ->> 'action', 'ignored', 'asked twice: under way');
SELECT is(t.state('192.0.2.1'), 'unblocking', 'not open before the network says so');
SELECT results_eq('SELECT action, desired_generation, applied_generation, state FROM postern.enforcement', $$ VALUES ('open', 2::bigint, 1::bigint, 'pending') $$, 'a new order');
SELECT is(postern.order_outcome('null', '192.0.2.1', 1, 'done', ''), 'pending', 'an answer to the old order settles nothing');
SELECT is(t.state('192.0.2.1'), 'unblocking', 'nor moves it');
SELECT is(t.network('retry'), 1::bigint, 'the network is away');
SELECT t.later('10 seconds');
SELECT is(t.network(), 1::bigint, 'and comes back');
SELECT is(t.state('192.0.2.1'), 'clear', 'confirmed: clear');
SELECT results_eq('SELECT upper(during), released_by, false_positive FROM postern.block', $$ SELECT postern.now(), 'customer C1', false $$, 'the block is closed');
SELECT is((SELECT outcome FROM postern.spam_case), 'released', 'the case too');
SELECT is((SELECT probation_until - postern.now() FROM postern.ip_state), interval '30 days', 'probation');
SELECT is((SELECT kind FROM postern.outbox ORDER BY id DESC LIMIT 1), 'released', 'mail released');
SELECT is((SELECT kind FROM postern.scorer_input ORDER BY id DESC LIMIT 1), 'released', 'the detector hears of it');
-- an old verdict does not close it again
SELECT is(t.hit('192.0.2.1', 'block', p_at => '2026-05-01 12:30 UTC'), 'overtaken', 'a verdict about the time before the release');
-- the ladder
SELECT t.later('1 hour');
SELECT is(t.hit('192.0.2.1', 'flag'), 'blocked', 'in probation a flag blocks');
SELECT results_eq('SELECT level, hold_until - lower(during) FROM postern.block ORDER BY id DESC LIMIT 1', $$ VALUES (2, interval '24 hours') $$, 'second level: a day');
SELECT t.network(), t.later('25 hours');
SELECT postern.request_unblock('192.0.2.1', 'C1');
SELECT is(t.hit('192.0.2.1', 'flag'), 'blocked', 'a flag while unblocking: the release is withdrawn');
SELECT results_eq('SELECT level, cause, hold_until - lower(during) FROM postern.block ORDER BY id DESC LIMIT 1', $$ VALUES (3, 'relapse', interval '7 days') $$, 'third level: a week');
SELECT is((SELECT count(*) FROM postern.block WHERE upper_inf(during)), 1::bigint, 'one open block');
SELECT is((SELECT action FROM postern.enforcement), 'block_ports', 'the network is to close it again');
SELECT t.network(), t.later('8 days');
SELECT postern.request_unblock('192.0.2.1', 'C1'), t.network();
SELECT is((SELECT level FROM postern.ip_state WHERE unit = '192.0.2.1'), 3, 'level 3 stands');
SELECT t.later('30 days'), t.timers();
SELECT is((SELECT level FROM postern.ip_state WHERE unit = '192.0.2.1'), 2, 'one less after a clean month');
SELECT is((SELECT probation_until FROM postern.ip_state WHERE unit = '192.0.2.1'), NULL, 'probation is over');
SELECT t.later('30 days'), t.timers();
SELECT is((SELECT level FROM postern.ip_state WHERE unit = '192.0.2.1'), 1, 'and another');
SELECT t.hit('192.0.2.1', 'block'), t.network();
SELECT is((SELECT level FROM postern.block WHERE upper_inf(during)), 2, 'the next block is level 2');
SELECT is((SELECT level_of FROM postern.level_of('192.0.2.1', 'C2', postern.now())), 0, 'another customer has a level of his own');
SELECT postern.set_setting('ladder', '60,120', 'tester');
SELECT is(postern.hold_of(7), interval '120 seconds', 'the last step repeats');
-- officers
SELECT throws_ok($$ SELECT postern.ip_release('192.0.2.1', ' ', true, 'officer') $$, 'PT006', 'a release needs a reason');
SELECT is((postern.ip_release('192.0.2.1', 'announced newsletter', true, 'officer')) ->> 'action', 'unblocking', 'before the hold is over');
SELECT t.network();
SELECT is(t.state('192.0.2.1'), 'clear', 'open');
SELECT is((SELECT level FROM postern.ip_state WHERE unit = '192.0.2.1'), 1, 'a false positive does not count');
SELECT is((SELECT probation_until FROM postern.ip_state WHERE unit = '192.0.2.1'), NULL, 'nor puts it into probation');
SELECT is((SELECT outcome FROM postern.spam_case ORDER BY id DESC LIMIT 1), 'false-positive', 'the case says so');
SELECT results_eq('SELECT kind FROM postern.scorer_input ORDER BY id DESC LIMIT 2', $$ VALUES ('released'), ('false_positive') $$, 'the detector hears of both');
SELECT is((postern.ip_release('192.0.2.1', 'again', false, 'officer')) ->> 'message', 'There is nothing to release', 'nothing is left to release');
SELECT is((postern.ip_release('198.51.100.9', 'x', false, 'officer')) ->> 'action', 'not-found', 'nothing is known about it');
SELECT is((SELECT actor FROM postern.audit_event WHERE event = 'false_positive'), 'officer', 'the audit knows who');
SELECT is((SELECT login FROM postern.audit_event WHERE event = 'false_positive'), session_user::text, 'and which login');
-- found to be false while it is being released
SELECT t.hit('192.0.2.3', 'block'), t.network(), t.later('2 hours'), postern.request_unblock('192.0.2.3', 'C1');
SELECT is((postern.ip_release('192.0.2.3', 'was fine', true, 'officer')) ->> 'action', 'noted', 'false positive while unblocking');
SELECT t.network();
SELECT is((SELECT false_positive FROM api_v1.block_history WHERE unit = '192.0.2.3'), true, 'is kept');
-- a refused order
SELECT t.hit('192.0.2.4', 'block'), t.network('refused');
SELECT is((SELECT state FROM postern.enforcement WHERE unit = '192.0.2.4'), 'failed', 'refused by the network');
SELECT is((SELECT subject FROM postern.noc_alarm), 'null: 192.0.2.4', 'alarms');
SELECT t.later('1 hour'), t.network();
SELECT is((SELECT state FROM postern.enforcement WHERE unit = '192.0.2.4'), 'applied', 'and is tried again');
SELECT is((SELECT cleared_by FROM postern.noc_alarm), 'settled by itself', 'the alarm is settled');
SELECT finish();
