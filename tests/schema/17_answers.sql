-- SPDX-License-Identifier: Apache-2.0
-- What comes back to our mails: bounces and replies.
\ir support.sql
SELECT t.enforce();
SELECT plan(44);

-- A bounce or reply as the scorer stores it.
CREATE FUNCTION t.answer(p_outcome text, p_token text, p_case text DEFAULT NULL, p_said text DEFAULT NULL) RETURNS text
    LANGUAGE sql AS $$
    SELECT postern.apply_complaint(postern.record_evidence(0, 1, p_outcome, CASE p_outcome WHEN 'bounce' THEN 'bounce' ELSE 'reply' END,
        NULL, NULL, NULL, 0, NULL, postern.now(), NULL, NULL, 'customer.example', false, 'answer-' || nextval('t.episode'), '5.1.1 no such user', 1, 1000,
        sha256('x'), p_token, p_case, 'Erika <erika@customer.example>', p_said))
$$;
CREATE FUNCTION t.token(p_unit inet) RETURNS text LANGUAGE sql AS
    'SELECT postern.mail_token(message_id) FROM postern.outbox WHERE unit = p_unit AND state <> ''pending'' ORDER BY id DESC LIMIT 1';

SELECT t.complain('192.0.2.1'), t.post();
SELECT is((SELECT state FROM postern.warning), 'running', 'a warning runs');
SELECT is(substring((SELECT envelope_from FROM postern.outbox) FROM '\+(.*)@'), t.token('192.0.2.1'), 'one secret in address and Message-ID');
-- nothing follows from what is not ours
SELECT is(t.answer('bounce', 'ffffffffffffffffffff'), 'unknown-mail', 'a forged bounce');
SELECT is(t.answer('bounce', NULL), 'unknown-mail', 'one of somebody else''s mail');
SELECT is((SELECT state FROM postern.warning), 'running', 'changes nothing');
SELECT is((SELECT count(*) FROM postern.noc_alarm), 0::bigint, 'and tells nobody');
SELECT is((SELECT count(*) FROM postern.complaint WHERE action = 'unknown-mail'), 2::bigint, 'but is stored and counted');
SELECT is(t.answer('not-a-complaint', t.token('192.0.2.1')), 'stored', 'a delay or an auto-reply');
SELECT is((SELECT state FROM postern.warning), 'running', 'changes nothing either');
-- a bounce
SELECT is(t.answer('bounce', t.token('192.0.2.1')), 'bounced', 'our mail comes back');
SELECT results_eq($$ SELECT state, deadline FROM postern.warning $$, $$ VALUES ('mailing', NULL::timestamptz) $$, 'the clock stops');
SELECT is(t.mails('192.0.2.1'), 'warning failed, warning pending', 'the next contact gets it');
SELECT is((SELECT bounced_at FROM postern.contact WHERE email = 'sec@alice.example' AND net IS NULL), postern.now(), 'the first one is marked');
SELECT is((SELECT detail FROM postern.outbox WHERE state = 'failed'), '5.1.1 no such user', 'the server''s words are kept');
SELECT results_eq($$ SELECT kind, reporter FROM postern.evidence WHERE kind = 'bounce' $$, $$ VALUES ('bounce', 'customer.example') $$, 'it is evidence');
SELECT is(jsonb_array_length(postern.mail_evidence((SELECT id FROM postern.spam_case), 'UTC')), 1, 'that no customer is shown');
SELECT is(t.answer('bounce', t.token('192.0.2.1')), 'known', 'a second bounce of it changes nothing');
SELECT t.later('1 hour'), t.post();
SELECT is((SELECT deadline - postern.now() FROM postern.warning), interval '24 hours', 'the second contact''s acceptance starts the clock anew');
SELECT is(t.answer('bounce', t.token('192.0.2.1')), 'bounced', 'it comes back as well');
SELECT results_eq($$ SELECT state, deadline FROM postern.warning $$, $$ VALUES ('suspended', NULL::timestamptz) $$, 'nobody is left: suspended');
SELECT ok(EXISTS (SELECT FROM postern.noc_alarm WHERE kind = 'deadline-suspended'), 'and a person is told');
SELECT t.later('40 hours'), t.timers();
SELECT is(t.state('192.0.2.1'), 'warned', 'no sanction without a notice that arrived');
-- faster than the worker's answer
SELECT t.complain('192.0.2.2');
SELECT id AS mail FROM postern.claim_mail('w', '1 minute', 1) \gset
SELECT postern.mail_sending(:mail, 'w');
SELECT is(t.answer('bounce', t.token('192.0.2.2')), 'held', 'a bounce that overtakes the answer waits');
SELECT is((SELECT apply_after FROM postern.complaint ORDER BY id DESC LIMIT 1), postern.now() + interval '1 minute', 'a minute');
SELECT postern.mail_outcome(:mail, 'w', 'done', 250, 'taken');
SELECT is(postern.apply_complaint((SELECT max(id) FROM postern.complaint)), 'bounced', 'and then counts');
-- a reply
SELECT t.post();
SELECT is(t.answer('not-a-complaint', t.token('192.0.2.2'), NULL, E'We closed it.\nErika'), 'reply', 'a person answers');
SELECT results_eq($$ SELECT sender, proved, text, open FROM api_v1.replies $$,
    $$ VALUES ('Erika <erika@customer.example>', true, E'We closed it.\nErika', true) $$, 'the desk''s queue has it');
SELECT is((SELECT state FROM postern.warning WHERE unit = '192.0.2.2'), 'running', 'nothing follows by itself');
SELECT is((SELECT fixed_at FROM postern.warning WHERE unit = '192.0.2.2'), NULL, 'it is not fixed by that');
SELECT ok(EXISTS (SELECT FROM postern.noc_alarm WHERE kind = 'reply' AND cleared_at IS NULL), 'a person is told');
SELECT (SELECT public_id FROM postern.spam_case WHERE unit = '192.0.2.2') AS public_id, (SELECT id FROM api_v1.replies) AS reply \gset
SELECT is(t.answer('not-a-complaint', NULL, :'public_id', 'me too'), 'reply', 'one that only names the case');
SELECT is((SELECT bool_and(proved) FROM api_v1.replies), false, 'is not proved');
SELECT is(t.answer('not-a-complaint', NULL, 'PST-2026-999999', 'x'), 'unknown-case', 'a case that we have not');
SELECT is(t.answer('not-a-complaint', 'ffffffffffffffffffff', :'public_id', 'x'), 'reply', 'a wrong secret proves nothing');
SELECT t.answer('not-a-complaint', NULL, :'public_id', 'again') FROM generate_series(10, 40) AS n;
SELECT is((SELECT count(*) FROM api_v1.replies), 20::bigint, 'strangers cannot fill the queue');
SELECT is(t.answer('not-a-complaint', t.token('192.0.2.2'), NULL, 'and again'), 'reply', 'nor keep the customer out');
SELECT is(postern.settle_reply(:reply, 'fixed', 'alice') ->> 'action', 'noted', 'a person settles it');
SELECT isnt((SELECT fixed_at FROM postern.warning WHERE unit = '192.0.2.2'), NULL, 'as the customer''s statement');
SELECT is(postern.settle_reply(:reply, 'disputed', 'bob') ->> 'action', 'ignored', 'once');
SELECT throws_ok($$ SELECT postern.settle_reply(0, 'noted', 'bob') $$, 'PT006', NULL, 'there is no such reply');
SELECT throws_ok($$ SELECT postern.settle_reply(1, 'nice', 'bob') $$, 'PT006', NULL, 'there is no such way');
SELECT postern.settle_reply(id, 'noted', 'alice') FROM api_v1.replies;
SELECT is((SELECT count(*) FROM postern.noc_alarm WHERE kind = 'reply' AND cleared_at IS NULL), 0::bigint, 'the last one settles the alarm');
SELECT is((SELECT count(*) FROM postern.audit_event WHERE event = 'reply' AND detail ->> 'as' = 'fixed'), 1::bigint, 'the audit knows who');
-- an old program's call
SELECT is(postern.mail_bounced('nobody@x', 'y'), 'unknown', 'by address, unknown');

SELECT * FROM finish();
