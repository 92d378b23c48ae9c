-- SPDX-License-Identifier: Apache-2.0
-- Freezes that people decide, each under a login of his own: two of them, a cap, a list, a
-- confirmation; and what a frozen customer is told.
\ir support.sql
SELECT t.enforce();
CREATE ROLE test_alice LOGIN IN ROLE postern_officer;
CREATE ROLE test_bob LOGIN IN ROLE postern_officer;
SELECT plan(57);

CREATE FUNCTION t.alarm(p_kind text) RETURNS text LANGUAGE sql SECURITY DEFINER AS
    'SELECT string_agg(subject, '' '' ORDER BY subject) FROM postern.noc_alarm WHERE kind = p_kind AND cleared_at IS NULL';
CREATE FUNCTION t.due() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(postern.commit_freeze(id) ->> 'action', ' '), '') FROM postern.due_freezes(100) AS id
$$;
-- What the wrong login is told; p_state: where the unit stands afterwards.
CREATE FUNCTION t.approve_fails(p_unit inet) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN 'done: ' || (postern.freeze_approve(p_unit, 'sure', 'somebody else') ->> 'action');
EXCEPTION WHEN SQLSTATE 'PT006' THEN
    RETURN SQLERRM;
END
$$;

-- proposing
SET SESSION AUTHORIZATION test_alice;
SELECT is((postern.freeze_propose('198.51.100.1', 'zen.example', 'on SBL', '')) ->> 'action', 'unassigned', 'nobody''s address is not frozen');
SELECT throws_ok($$ SELECT postern.freeze_propose('192.0.2.1', ' ', 'on SBL', '') $$, 'PT006', 'a freeze needs the list that holds the address', 'which list?');
SELECT throws_ok($$ SELECT postern.freeze_propose('192.0.2.1', 'zen.example', ' ', '') $$, 'PT006', 'a freeze needs a reason', 'why?');
SELECT results_eq($$ SELECT r ->> 'action', r ->> 'from', r ->> 'state' FROM postern.freeze_propose('192.0.2.1', 'zen.example', 'SBL 4711', 'alice') AS r $$,
    $$ VALUES ('freeze-proposed', 'clear', 'freeze_proposed') $$, 'proposed, out of the blue');
RESET SESSION AUTHORIZATION;
SELECT results_eq('SELECT by_person, proposer, proposer_login, zone, note FROM postern.freeze_proposal', $$ VALUES (true, 'alice', 'test_alice', 'zen.example', 'SBL 4711') $$, 'by whom, as PostgreSQL knows');
SELECT is((SELECT cause || ' ' || array_to_string(ports, ',') FROM postern.block WHERE upper_inf(during)), 'freeze 25', 'port 25 is closed meanwhile');
SELECT is(t.alarm('freeze-proposed'), '192.0.2.1', 'somebody is asked');
SELECT is((postern.freeze_propose('192.0.2.1', 'zen.example', 'again', 'x')) ->> 'action', 'ignored', 'twice is once');

-- approving
SET SESSION AUTHORIZATION test_alice;
SELECT matches(t.approve_fails('192.0.2.1'), '^a freeze that a person proposed is approved by another login: alice proposed it, as test_alice', 'not by the same login, whatever name it gives itself');
SET SESSION AUTHORIZATION test_bob;
SELECT throws_ok($$ SELECT postern.freeze_approve('192.0.2.1', '', 'bob') $$, 'PT006', 'an approval needs a reason', 'why?');
SELECT is((postern.freeze_approve('192.0.2.2', 'x', 'bob')) ->> 'action', 'not-found', 'what nobody proposed');
SELECT is((postern.freeze_approve('192.0.2.1', 'looked at it', 'bob')) ->> 'action', 'freeze-scheduled', 'another login approves');
SELECT is((postern.freeze_approve('192.0.2.1', 'again', 'bob')) ->> 'action', 'refused', 'once');
RESET SESSION AUTHORIZATION;
SELECT results_eq('SELECT approver, approver_login, freeze_at - approved_at FROM postern.freeze_proposal', $$ VALUES ('bob', 'test_bob', interval '24 hours') $$, 'by whom, and from when on');
SELECT is(t.mails('192.0.2.1'), 'blocked pending, freeze-notice pending', 'the customer is told');
SELECT is(t.alarm('freeze-proposed'), NULL, 'nobody is asked any longer');
SELECT results_eq($$ SELECT r ->> 'message', r ->> 'reason' FROM postern.request_unblock('192.0.2.1', 'C1') AS r $$,
    $$ VALUES ('This IP address is on a blocklist and about to be frozen', 'Listed on zen.example, frozen for ever from 2026-05-02 12:00 UTC on unless it is delisted before: have it removed from the list and tell us') $$,
    'and so is who asks to be unblocked');

-- confirming
SET SESSION AUTHORIZATION test_bob;
SELECT matches((postern.freeze_confirm('192.0.2.1', 'still there', 'bob')) ->> 'message', 'not earlier$', 'nobody confirms a day ahead');
RESET SESSION AUTHORIZATION;
SELECT t.later('24 hours');
SELECT is(t.due(), '', 'its time has come and nobody confirmed it');
SELECT is(t.alarm('freeze-unconfirmed'), '192.0.2.1', 'somebody is asked');
SELECT is(t.due() || (SELECT times FROM postern.noc_alarm WHERE kind = 'freeze-unconfirmed'), '1', 'once');
SET SESSION AUTHORIZATION test_bob;
SELECT is((postern.freeze_confirm('192.0.2.1', 'still there', 'bob')) ->> 'action', 'freeze-confirmed', 'looked at the list');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT confirmed_by FROM postern.freeze_proposal), 'test_bob', 'by whom');
SELECT is(t.alarm('freeze-unconfirmed'), NULL, 'settled');
SELECT postern.set_mode('shadow', 'x');
SELECT is(t.due(), '', 'not in shadow mode');
SELECT postern.set_mode('enforce', 'x');
SELECT is(t.due(), 'frozen', 'frozen');
SELECT results_eq('SELECT zone, proposer, approver FROM postern.ip_freeze', $$ VALUES ('zen.example', 'alice', 'bob') $$, 'as it was decided');
SELECT is(t.mails('192.0.2.1'), 'blocked pending, freeze-notice superseded, frozen pending', 'an announcement that nobody has read yet is not sent any more');
SELECT results_eq($$ SELECT r ->> 'action', r ->> 'message', r ->> 'reason' FROM postern.request_unblock('192.0.2.1', 'C1') AS r $$,
    $$ VALUES ('refused', 'This IP address is frozen for ever', 'Listed on zen.example, frozen at 2026-05-02 12:00 UTC and announced a day before. It is not opened again: use another address for the service') $$,
    'a frozen customer is told why, and what to do');
SELECT is((postern.make_statement('192.0.2.1', 'C1', 'fixed', 'x')) ->> 'message', 'This IP address is frozen for ever', 'a statement too late');
SELECT is((postern.freeze_reject('192.0.2.1', 'x', 'bob')) ->> 'action', 'refused', 'nobody takes it back');
-- what a superuser wrote into the row does not help
SELECT postern.freeze_propose('192.0.2.9', 'zen.example', 'x', 'alice');
UPDATE postern.freeze_proposal SET state = 'scheduled', approver = 'bob', approver_login = proposer_login, freeze_at = postern.now(), confirmed_at = postern.now() WHERE unit = '192.0.2.9';
SELECT throws_ok($$ SELECT t.due() $$, 'PT005', NULL, 'one login is not two');
SELECT postern.freeze_reject('192.0.2.9', 'x', 'bob'), t.network();

-- rejecting, by everyone who may decide; and back where it was
SELECT t.hit('192.0.2.2', 'block'), t.network();
SET SESSION AUTHORIZATION test_alice;
SELECT postern.freeze_propose('192.0.2.2', 'zen.example', 'x', 'alice');
SELECT is((postern.freeze_reject('192.0.2.2', 'a mistake', 'alice')) ->> 'state', 'blocked', 'who proposed may take it back: blocked as before');
SELECT postern.freeze_propose('192.0.2.3', 'zen.example', 'x', 'alice');
SET SESSION AUTHORIZATION test_bob;
SELECT is((postern.freeze_approve('192.0.2.3', 'yes', 'bob')) ->> 'state', 'freeze_scheduled', 'announced');
SELECT is((postern.freeze_reject('192.0.2.3', 'delisted', 'bob')) ->> 'state', 'unblocking', 'delisted in time: what the proposal closed is opened');
RESET SESSION AUTHORIZATION;
SELECT t.network();
SELECT is(t.state('192.0.2.3'), 'clear', 'as before');
SELECT is(t.mails('192.0.2.3'), 'blocked superseded, freeze-notice superseded, released pending', 'the customer hears of the end alone');
SELECT ok((SELECT bool_and(login = 'test_alice') FROM postern.audit_event WHERE event = 'listed' AND unit = '192.0.2.2'), 'the audit names the login');

-- the cap
SELECT postern.set_setting('freeze.per_day', '2', 'x');
SET SESSION AUTHORIZATION test_alice;
SELECT count(postern.freeze_propose(('192.0.2.' || n)::inet, 'zen.example', 'x', 'alice')) FROM generate_series(4, 6) n;
SET SESSION AUTHORIZATION test_bob;
SELECT is((postern.freeze_approve('192.0.2.4', 'yes', 'bob')) ->> 'action', 'freeze-scheduled', 'one');
SELECT is((postern.freeze_approve('192.0.2.5', 'yes', 'bob')) ->> 'action', 'freeze-scheduled', 'two');
SELECT is((postern.freeze_approve('192.0.2.6', 'yes', 'bob')) ->> 'message', 'The cap of 2 freezes within 24 hours is reached (setting freeze.per_day)', 'no third one a day');
RESET SESSION AUTHORIZATION;
SELECT postern.set_setting('freeze.per_day', '1', 'x'), t.later('24 hours');
SELECT postern.freeze_confirm('192.0.2.4', 'x', 'bob'), postern.freeze_confirm('192.0.2.5', 'x', 'bob');
SELECT is(t.due(), 'frozen held', 'nor are more carried out');
SELECT is(t.due(), '', 'the other waits');
SELECT t.later('23 hours 59 minutes'), postern.freeze_confirm('192.0.2.5', 'x', 'bob');
SELECT is(t.due(), '', 'a day');
SELECT t.later('2 minutes');
SELECT is(t.due(), 'frozen', 'then it is its turn');
SELECT postern.freeze_reject('192.0.2.6', 'x', 'bob');

-- what is never frozen
SELECT throws_ok($$ SELECT postern.never_freeze_add('192.0.2.64/28', '', 'x') $$, 'PT006', 'never-freeze needs a reason', 'why?');
SELECT is(postern.never_freeze_add('192.0.2.64/28', 'our customers'' NAT pool', 'x'), true, 'a NAT pool');
SELECT is(postern.never_freeze_add('192.0.2.64/28', 'our customers'' NAT pool', 'x'), false, 'once');
SELECT is((postern.freeze_propose('192.0.2.70', 'zen.example', 'x', 'alice')) ->> 'message', '192.0.2.64/28 is never frozen: our customers'' NAT pool', 'it says why');
SELECT is(t.hit('192.0.2.70', 'block'), 'blocked', 'blocked it may be');
SELECT is(postern.never_freeze_remove('192.0.2.64/28', 'sold the pool', 'x'), true, 'until somebody takes it off');
SELECT is((postern.freeze_propose('192.0.2.70', 'zen.example', 'x', 'alice')) ->> 'action', 'freeze-proposed', 'then it may');

-- a restored dump has lost one
SELECT postern.set_setting('freeze.per_day', '0', 'x');
SELECT is((postern.freeze_restore('198.51.100.7', 'zen.example', 'line', 'alice')) ->> 'action', 'unassigned', 'nobody''s: the customers first');
SELECT is((postern.freeze_restore('192.0.2.80', 'zen.example', '2026-01-01 of the file', 'alice')) ->> 'action', 'frozen', 'frozen at once, past the cap');
SELECT is((postern.freeze_restore('192.0.2.80', 'zen.example', 'line', 'alice')) ->> 'action', 'ignored', 'twice is once');
SELECT is((postern.freeze_restore('192.0.2.70', 'zen.example', 'line', 'alice')) ->> 'action', 'frozen', 'one that was proposed again meanwhile');
SELECT t.network();
SELECT is((SELECT string_agg(action || ' ' || state, ', ') FROM postern.enforcement WHERE unit IN ('192.0.2.80', '192.0.2.70')), 'freeze applied, freeze applied', 'the network too');
DROP OWNED BY test_alice, test_bob;
DROP ROLE test_alice, test_bob;
SELECT finish();
