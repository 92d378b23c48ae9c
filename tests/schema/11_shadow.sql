-- SPDX-License-Identifier: Apache-2.0
-- Shadow mode writes down what would be done, and does nothing.
\ir support.sql
SELECT t.two_customers();
SELECT plan(26);

SELECT is(postern.mode(), 'shadow', 'a fresh installation is in shadow mode');
SELECT is(t.hit('192.0.2.1', 'watch'), 'watched', 'watching is the same');
SELECT is(t.hit('192.0.2.1', 'flag'), 'shadow-warned', 'would have warned');
SELECT is(t.hit('192.0.2.1', 'block'), 'shadow-blocked', 'would have blocked');
SELECT is(t.hit('192.0.2.1', 'block'), 'shadow-blocked', 'again');
SELECT is(t.complain('192.0.2.2'), 'shadow-warned', 'would have warned by complaint');
SELECT is((SELECT count(*) FROM postern.ip_state WHERE state <> 'clear'), 0::bigint, 'no unit moves');
SELECT is((SELECT count(*) FROM postern.outbox), 0::bigint, 'no mail');
SELECT is((SELECT count(*) FROM postern.enforcement), 0::bigint, 'no order');
SELECT is((SELECT count(*) FROM postern.block), 0::bigint, 'no block');
SELECT results_eq('SELECT unit::inet, customer, action FROM postern.mode_preview()',
    $$ VALUES ('192.0.2.1'::inet, 'C1', 'warned'), ('192.0.2.1', 'C1', 'blocked'), ('192.0.2.2', 'C1', 'warned') $$, 'the preview tells');
SELECT is((SELECT times FROM postern.shadow_action WHERE action = 'blocked'), 2, 'the same thing counts up');
SELECT is((SELECT count(*) FROM postern.spam_case WHERE shadow), 2::bigint, 'cases are recorded');
SELECT is((SELECT count(*) FROM postern.evidence), 3::bigint, 'with their evidence');
SELECT t.later('2 days');
SELECT t.hit('192.0.2.1', 'flag');
SELECT is((SELECT count(*) FROM postern.spam_case WHERE unit = '192.0.2.1'), 2::bigint, 'after a quiet day another case');
SELECT t.later('6 days');
SELECT is((SELECT count(*) FROM postern.mode_preview()), 1::bigint, 'the preview looks 7 days back');
-- to enforce
SELECT postern.set_mode('enforce', 'tester'), postern.set_setting('mail.warning_hold', '0', 'tester');
SELECT is((SELECT count(*) FROM postern.spam_case WHERE closed_at IS NULL), 0::bigint, 'shadow cases are over');
SELECT is((SELECT count FROM postern.due WHERE kind = 'verdict'), 0::bigint, 'what was recorded is not done now');
SELECT is(t.hit('192.0.2.1', 'flag'), 'warned', 'what comes later is');
SELECT throws_ok($$ SELECT postern.set_mode('on', 'tester') $$, 'PT006', NULL, 'there are two modes');
SELECT is((SELECT count(*) FROM postern.audit_event WHERE event = 'mode'), 1::bigint, 'the audit knows who changed it');
-- and back: nothing new begins, what stands can end
SELECT t.post(), t.hit('192.0.2.3', 'block'), t.network();
SELECT postern.set_mode('shadow', 'tester');
SELECT t.later('25 hours');
SELECT is(t.timers(), 'held held held', 'reminders and deadlines wait');
SELECT is((SELECT count FROM postern.due WHERE kind = 'timer'), 0::bigint, 'an hour');
SELECT is(t.post(), 0::bigint, 'no mail goes out');
SELECT postern.request_unblock('192.0.2.3', 'C1'), t.network();
SELECT is(t.state('192.0.2.3'), 'clear', 'a block can be released');
SELECT postern.set_mode('enforce', 'tester'), t.later('1 hour');
SELECT is(t.timers(), 'reminded reminded resolved', 'then they go on');
SELECT finish();
