-- SPDX-License-Identifier: Apache-2.0
-- A freeze is for ever: one way in, none out, whoever tries.
\ir support.sql
SELECT t.enforce();
SELECT plan(37);

SELECT throws_ok($$ INSERT INTO postern.ip_freeze VALUES ('192.0.2.9', postern.now(), 'C1', NULL, 1, 'zen', 'a', 'b') $$, 'PT005', NULL, 'not even a superuser inserts a freeze');
SET ROLE postern_owner;
SELECT public.throws_ok($$ INSERT INTO postern.ip_freeze VALUES ('192.0.2.9', postern.now(), 'C1', NULL, 1, 'zen', 'a', 'b') $$, 'PT005', NULL, 'nor the owner');
RESET ROLE;

-- the way in
SELECT t.hit('192.0.2.1', 'flag'), t.post();
SELECT is((postern.transition('192.0.2.1', 'listed', 'dnsbl', '{"zone": "zen.example"}')) ->> 'action', 'freeze-proposed', 'listed: proposed');
SELECT results_eq('SELECT state, prior_state FROM postern.ip_state', $$ VALUES ('freeze_proposed', 'warned') $$, 'it is known where it came from');
SELECT is((SELECT cause FROM postern.block WHERE upper_inf(during)), 'freeze', 'the ports are closed meanwhile');
SELECT is((SELECT state FROM postern.warning), 'overtaken', 'the warning is overtaken');
SELECT is((postern.request_unblock('192.0.2.1', 'C1')) ->> 'action', 'refused', 'unblocking is refused');
SELECT is((postern.ip_release('192.0.2.1', 'x', false, 'officer')) ->> 'action', 'refused', 'releasing too');
SELECT (SELECT id FROM postern.freeze_proposal) AS proposal \gset
SELECT throws_ok(format('SELECT postern.commit_freeze(%s)', :proposal), 'PT005', NULL, 'a proposal does not freeze');
SELECT throws_ok($$ SELECT postern.transition('192.0.2.1', 'freeze_approved', 'dnsbl') $$, 'PT006', NULL, 'who proposed does not approve');
SELECT is((postern.transition('192.0.2.1', 'freeze_approved', 'officer')) ->> 'action', 'freeze-scheduled', 'another approves');
SELECT throws_ok(format('SELECT postern.commit_freeze(%s)', :proposal), 'PT005', NULL, 'not before the announced time');
SELECT t.later('24 hours');
SELECT throws_ok(format('SELECT postern.commit_freeze(%s)', :proposal), 'PT005', NULL, 'not without a listing seen within the hour');
UPDATE postern.freeze_proposal SET confirmed_at = postern.now();
SELECT is((postern.commit_freeze(:proposal)) ->> 'action', 'frozen', 'frozen');
SELECT is((postern.commit_freeze(:proposal)) ->> 'action', 'ignored', 'asked twice: frozen already');
SELECT is((SELECT count(*) FROM postern.ip_freeze), 1::bigint, 'one row');
SELECT is((SELECT action FROM postern.enforcement WHERE unit = '192.0.2.1'), 'freeze', 'an order to the network');

-- no way out
SELECT is((postern.request_unblock('192.0.2.1', 'C1')) ->> 'message', 'This IP address is frozen for ever', 'the customer is told why');
SELECT is((postern.ip_release('192.0.2.1', 'x', true, 'officer')) ->> 'action', 'refused', 'an officer cannot either');
SELECT is(t.hit('192.0.2.1', 'block'), 'ignored', 'verdicts change nothing');
SELECT t.network();
SELECT is(t.state('192.0.2.1'), 'frozen', 'nor does the network''s answer');
SELECT t.import(ARRAY['192.0.2.0/24|C2|Bob'], true);
SELECT is(t.state('192.0.2.1'), 'frozen', 'nor another tenant');
SELECT throws_ok('UPDATE postern.ip_freeze SET zone = zone', 'PT005', NULL, 'UPDATE is refused');
SELECT throws_ok('DELETE FROM postern.ip_freeze', 'PT005', NULL, 'DELETE is refused');
SELECT throws_ok('TRUNCATE postern.ip_freeze', 'PT005', NULL, 'TRUNCATE is refused');
SELECT throws_ok($$ UPDATE postern.ip_state SET state = 'clear' WHERE unit = '192.0.2.1' $$, 'PT005', NULL, 'its state stays');
SELECT throws_ok($$ DELETE FROM postern.ip_state WHERE unit = '192.0.2.1' $$, 'PT005', NULL, 'its row stays');
SELECT throws_ok($$ UPDATE postern.block SET during = tstzrange(lower(during), postern.now()) WHERE unit = '192.0.2.1' $$, 'PT005', NULL, 'its block stays');
SET session_replication_role = replica;
SELECT throws_ok('UPDATE postern.ip_freeze SET zone = zone', 'PT005', NULL, 'replication role: UPDATE is refused');
SELECT throws_ok('DELETE FROM postern.ip_freeze', 'PT005', NULL, 'replication role: DELETE is refused');
SELECT throws_ok('TRUNCATE postern.ip_freeze', 'PT005', NULL, 'replication role: TRUNCATE is refused');
SELECT throws_ok($$ UPDATE postern.ip_state SET state = 'clear' WHERE unit = '192.0.2.1' $$, 'PT005', NULL, 'replication role: its state stays');
SELECT throws_ok('DELETE FROM postern.audit_event', 'PT005', NULL, 'replication role: the audit stays');
RESET session_replication_role;

-- a withdrawn proposal
SELECT t.hit('192.0.2.2', 'watch');
SELECT postern.transition('192.0.2.2', 'listed', 'dnsbl', '{"zone": "zen.example"}');
SELECT is((postern.transition('192.0.2.2', 'freeze_withdrawn', 'dnsbl', '{"reason": "delisted"}')) ->> 'state', 'unblocking', 'delisted: what the proposal closed is opened');
SELECT t.network();
SELECT is(t.state('192.0.2.2'), 'clear', 'back where it was');
SELECT is((SELECT level FROM postern.ip_state WHERE unit = '192.0.2.2'), 0, 'and a proposal does not raise the level');
UPDATE postern.ip_assignment SET shared = true;
SELECT is((postern.transition('192.0.2.2', 'listed', 'dnsbl', '{"zone": "zen.example"}')) ->> 'action', 'never-freeze', 'shared addresses are never frozen');
SELECT finish();
