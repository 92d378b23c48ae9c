-- SPDX-License-Identifier: Apache-2.0
-- A warning's deadline: from the mail's acceptance, with reminders, and what follows it.
\ir support.sql
SELECT t.enforce();
SELECT plan(59);

-- the clock starts when the mail server has accepted the warning
SELECT t.hit('192.0.2.1', 'flag');
SELECT is((SELECT state FROM postern.warning), 'mailing', 'nothing runs before the mail is accepted');
SELECT is((SELECT count(*) FROM postern.timer), 0::bigint, 'no timer either');
SELECT t.later('3 hours');
SELECT t.post();
SELECT results_eq('SELECT state, accepted_at, deadline FROM postern.warning',
    $$ VALUES ('running', '2026-05-01 15:00 UTC'::timestamptz, '2026-05-02 15:00 UTC'::timestamptz) $$, 'accepted + 24 h');
SELECT is((SELECT vars ->> 'deadline' FROM postern.outbox), '2026-05-02 15:00 UTC', 'the mail names the deadline as of its sending');
SELECT is((SELECT vars ->> 'deadline_local' FROM postern.outbox), '2026-05-02 17:00 Europe/Berlin', 'and in the customer''s time');
SELECT results_eq('SELECT kind, due_at FROM postern.timer ORDER BY due_at', $$ VALUES
    ('reminder', '2026-05-02 03:00 UTC'::timestamptz), ('reminder', '2026-05-02 14:00 UTC'), ('deadline', '2026-05-02 15:00 UTC') $$,
    'reminders at half time and one hour before');
-- reminders
SELECT t.at('2026-05-02 02:59:59 UTC');
SELECT is(t.timers(), '', 'not yet half');
SELECT t.at('2026-05-02 03:00 UTC');
SELECT is(t.timers(), 'reminded', 'half time');
SELECT t.post();
SELECT t.at('2026-05-02 14:00 UTC');
SELECT is(t.timers(), 'reminded', 'one hour left');
SELECT t.post();
SELECT is(t.mails('192.0.2.1'), 'warning done, reminder done, reminder done', 'two reminders');
SELECT is((SELECT vars ->> 'remaining' FROM postern.outbox ORDER BY id DESC LIMIT 1), '1 hour', 'the last one says how long');
SELECT ok((SELECT bool_and(o.references_id = c.first_message_id) FROM postern.outbox o JOIN postern.spam_case c ON c.id = o.case_id WHERE o.kind = 'reminder'),
    'they refer to the warning');
-- rectified
SELECT t.at('2026-05-02 15:00 UTC');
SELECT is((SELECT count FROM postern.due WHERE kind = 'timer'), 1::bigint, 'the deadline is due work');
SELECT (SELECT id FROM postern.timer WHERE kind = 'deadline') AS timer \gset
SELECT is(postern.fire_timer(:timer), 'resolved', 'nothing more was seen: resolved');
SELECT is(postern.fire_timer(:timer), 'resolved', 'fired twice, the same answer');
SELECT is(t.state('192.0.2.1'), 'clear', 'clear');
SELECT is((SELECT probation_until FROM postern.ip_state WHERE unit = '192.0.2.1'), '2026-06-01 15:00 UTC'::timestamptz, 'probation of 30 days');
SELECT is((SELECT outcome FROM postern.spam_case), 'resolved', 'the case is closed');
SELECT t.post();
SELECT is(t.mails('192.0.2.1'), 'warning done, reminder done, reminder done, resolved done', 'mail resolved, once');
SELECT is(t.hit('192.0.2.1', 'flag'), 'blocked', 'a flag within probation blocks');
SELECT is((SELECT count(*) FROM postern.spam_case), 2::bigint, 'in a case of its own');

-- not rectified: spam after the grace
SELECT t.at('2026-05-10 12:00 UTC');
SELECT t.hit('192.0.2.2', 'flag', 'submission'), t.post();
SELECT t.at('2026-05-10 15:59 UTC');
SELECT t.hit('192.0.2.2', 'watch');
SELECT t.at('2026-05-11 12:00 UTC');
SELECT is(t.timers(), 'reminded reminded resolved', 'what comes within the grace of 4 hours does not count');
SELECT t.at('2026-06-20 12:00 UTC');
SELECT t.timers();
SELECT t.hit('192.0.2.2', 'flag', 'submission'), t.post();
SELECT t.at('2026-06-20 16:01 UTC');
SELECT t.hit('192.0.2.2', 'watch');
SELECT is((SELECT spam_since FROM api_v1.deadlines WHERE closed_at IS NULL), true, 'the desk sees it coming');
SELECT t.at('2026-06-21 12:00 UTC');
SELECT matches(t.timers(), 'blocked$', 'spam after the grace: blocked');
SELECT results_eq($$ SELECT cause, scope, ports, level FROM postern.block WHERE unit = '192.0.2.2' $$,
    $$ VALUES ('deadline', 'ports', '{25,465,587,2525}'::int[], 1) $$, 'the ports of the warning');
SELECT is((SELECT state FROM postern.warning ORDER BY id DESC LIMIT 1), 'missed', 'missed');
SELECT matches((SELECT vars -> 'reasons' ->> 0 FROM postern.outbox WHERE kind = 'blocked' AND unit = '192.0.2.2'), '^The deadline 2026-06-21 12:00 UTC',
    'the mail says so');
SELECT t.post();
SELECT is((SELECT vars ->> 'cause' FROM postern.outbox WHERE kind = 'blocked' AND unit = '192.0.2.2'), 'deadline', 'and keeps saying so when it is sent');
-- an episode that goes on counts, a complaint only with its spam after the grace
SELECT t.at('2026-07-01 12:00 UTC');
SELECT t.hit('192.0.2.3', 'flag'), t.post();
UPDATE postern.verdict SET last_at = '2026-07-01 17:00 UTC', ended_at = '2026-07-01 17:30 UTC' WHERE unit = '192.0.2.3';
SELECT t.complain('192.0.2.4'), t.complain('192.0.2.5'), t.complain('192.0.2.6'), t.post();
SELECT t.at('2026-07-01 18:00 UTC');
SELECT t.complain('192.0.2.4', p_at => '2026-07-01 10:00 UTC'), t.complain('192.0.2.5', p_at => '2026-07-01 17:00 UTC'),
       t.complain('192.0.2.6', 'nobody.example', false, '2026-07-01 17:00 UTC');
SELECT t.at('2026-07-02 12:00 UTC');
SELECT t.timers();
SELECT is(t.state('192.0.2.3'), 'blocked', 'an episode that went on: blocked');
SELECT is(t.state('192.0.2.4'), 'clear', 'a late complaint about early spam: resolved');
SELECT is(t.state('192.0.2.5'), 'blocked', 'a trusted complaint about late spam: blocked');
SELECT is(t.state('192.0.2.6'), 'clear', 'anonymous mail never blocks');
-- measures
SELECT t.at('2026-08-01 12:00 UTC');
SELECT t.complain('192.0.2.7', p_category => 'phishing'), t.post();
SELECT is((SELECT then_scope FROM api_v1.deadlines WHERE unit = '192.0.2.7'), 'ports', 'phishing: ports the first time');
SELECT t.at('2026-08-02 12:00 UTC');
SELECT t.timers();
SELECT t.at('2026-09-10 12:00 UTC');
SELECT t.timers();
SELECT t.complain('192.0.2.7', p_category => 'phishing'), t.post();
SELECT t.at('2026-09-10 18:00 UTC');
SELECT t.complain('192.0.2.7', p_category => 'phishing');
SELECT t.at('2026-09-11 12:00 UTC');
SELECT t.timers();
SELECT results_eq($$ SELECT scope, ports FROM postern.block WHERE unit = '192.0.2.7' $$, $$ VALUES ('address', '{}'::int[]) $$, 'the whole address from the second time on');
SELECT is((SELECT action FROM postern.enforcement WHERE unit = '192.0.2.7'), 'block_address', 'and the order says so');
SELECT t.network();
SELECT is((postern.request_unblock('192.0.2.7', 'C1')) ->> 'action', 'too-early', 'too early');
SELECT t.later('2 hours');
SELECT is((postern.request_unblock('192.0.2.7', 'C1')) ->> 'action', 'no-statement', 'after a missed deadline a statement is asked for');
SELECT is((postern.make_statement('192.0.2.7', 'C1', 'fixed', 'removed the kit')) ->> 'action', 'kept', 'it is kept with the case');
SELECT is((postern.request_unblock('192.0.2.7', 'C1')) ->> 'action', 'unblocking', 'then it opens');

-- no sanction without a notice that arrived
SELECT t.at('2026-10-01 12:00 UTC');
SELECT t.hit('192.0.2.20', 'flag'), t.post('refused'), t.post('refused');
SELECT is((SELECT state FROM postern.warning WHERE unit = '192.0.2.20'), 'suspended', 'no contact accepts it: suspended');
SELECT is((SELECT count(*) FROM postern.noc_alarm WHERE kind = 'deadline-suspended'), 1::bigint, 'a person is told');
SELECT t.later('10 days');
SELECT t.hit('192.0.2.20', 'flag');
SELECT is(t.timers(), '', 'nothing acts');
SELECT is(t.state('192.0.2.20'), 'warned', 'it stays warned');
SELECT is((postern.ip_release('192.0.2.20', 'spoken on the phone', false, 'officer')) ->> 'action', 'withdrawn', 'an officer withdraws it');
-- a bounce after acceptance
SELECT t.hit('192.0.2.21', 'flag'), t.post();
SELECT is(postern.mail_bounced((SELECT envelope_from FROM postern.outbox WHERE unit = '192.0.2.21'), '550 no such user'), 'failed', 'a bounce');
SELECT results_eq($$ SELECT state, deadline FROM postern.warning WHERE unit = '192.0.2.21' $$, $$ VALUES ('mailing', NULL::timestamptz) $$, 'the clock that it started is undone');
SELECT t.later('2 days');
SELECT is(t.timers(), '', 'nothing acts');
SELECT t.post();
SELECT is((SELECT deadline FROM postern.warning WHERE unit = '192.0.2.21'), postern.now() + interval '24 hours', 'the next contact''s acceptance starts it');
SELECT is(postern.mail_bounced((SELECT envelope_from FROM postern.outbox WHERE unit = '192.0.2.21' ORDER BY id DESC LIMIT 1), '550 no such user'), 'failed', 'that one bounces too');
SELECT is((SELECT state FROM postern.warning WHERE unit = '192.0.2.21'), 'suspended', 'suspended: a person decides');
-- statements and extensions
SELECT t.hit('192.0.2.22', 'flag'), t.post();
SELECT is((postern.make_statement('192.0.2.22', 'C1', 'fixed', 'closed the relay')) ->> 'action', 'noted', 'fixed: noted');
SELECT is((postern.make_statement('192.0.2.22', 'C1', 'fixed', 'again')) ->> 'action', 'said-before', 'once per case');
SELECT t.later('6 hours');
SELECT is((postern.make_statement('192.0.2.22', 'C1', 'disputed', 'it is a newsletter')) ->> 'action', 'clock-stopped', 'disputed: the clock stops');
SELECT t.later('48 hours');
SELECT t.timers();
SELECT is((SELECT state FROM postern.warning WHERE unit = '192.0.2.22'), 'disputed', 'nothing happens meanwhile');
SELECT t.later('24 hours');
SELECT is(t.timers(), 'clock-resumed', 'at most 72 hours');
SELECT is((SELECT deadline - postern.now() FROM postern.warning WHERE unit = '192.0.2.22'), interval '18 hours', 'the rest of the time is left');
SELECT is((postern.extend_deadline('192.0.2.22', postern.now() + interval '3 days', 'holidays', 'officer')) ->> 'action', 'extended', 'an officer gives more time');
SELECT is((SELECT due_at - postern.now() FROM postern.timer WHERE kind = 'deadline' AND fired_at IS NULL AND unit = '192.0.2.22'), interval '3 days', 'the timer moved');
-- a dispute that is over at once
SELECT t.hit('192.0.2.23', 'flag'), t.post();
SELECT postern.make_statement('192.0.2.23', 'C1', 'disputed', 'x'), postern.decide_dispute('192.0.2.23', false, 'no', 'officer');
SELECT is((SELECT count(*) FROM postern.timer WHERE unit = '192.0.2.23' AND fired_at IS NULL), 3::bigint, 'a dispute that is over at once leaves the timers as they were');
SELECT finish();
