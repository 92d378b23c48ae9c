-- SPDX-License-Identifier: Apache-2.0
-- What customers and mail servers answered goes after a while; that they did stays.
\ir support.sql
SELECT t.enforce();
SELECT plan(15);
CREATE FUNCTION t.expire() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(what || ' ' || rows, ', '), '') FROM postern.expire(1000) WHERE rows > 0
$$;
CREATE FUNCTION t.expirable() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(what || ' ' || rows, ', '), '') FROM postern.expirable() WHERE rows > 0
$$;
CREATE FUNCTION t.answer(p_outcome text, p_mail bigint, p_said text) RETURNS text LANGUAGE sql AS $$
    SELECT postern.apply_complaint(postern.record_evidence(0, 1, p_outcome, 'dsn', NULL, 'spam', NULL, 0, NULL, postern.now(), NULL, NULL,
        'mx.example', false, p_said, p_said, 1, 900, sha256(p_said::bytea),
        (SELECT postern.mail_token(message_id) FROM postern.outbox WHERE id = p_mail), NULL, 'Someone@Alice.example', p_said))
$$;
-- a warning that bounces from the first contact and is answered by the second, who disputes it and is right
SELECT t.complain('192.0.2.1'), t.post();
SELECT is(t.answer('bounce', (SELECT max(id) FROM postern.outbox), '550 <sec@alice.example> unknown'), 'bounced', 'a bounce');
SELECT t.post();
SELECT is(t.answer('complaint', (SELECT max(id) FROM postern.outbox), 'Jane Doe of Alice here: it was our newsletter.'), 'reply', 'an answer');
SELECT postern.settle_reply((SELECT id FROM api_v1.replies), 'disputed', 'officer');
-- another one whose case stays open
SELECT t.hit('192.0.2.2', 'block'), t.post();
SELECT t.answer('complaint', (SELECT max(id) FROM postern.outbox), 'We are looking into it.');
SELECT postern.decide_dispute('192.0.2.1', true, 'newsletter', 'officer'), t.post();
UPDATE postern.noc_alarm SET cleared_at = postern.now(), cleared_by = 'officer' WHERE kind = 'mail-failed';
SELECT is((SELECT count(*) FROM postern.spam_case WHERE closed_at IS NULL), 1::bigint, 'one case is closed, one is open');
-- names
SELECT t.later('31 days');
SELECT matches(t.expirable(), 'senders of replies 1, mailboxes in alarms 2', 'after thirty days: mailboxes');
SELECT is(t.expirable(), t.expire(), 'what was announced was done');
SELECT is((SELECT array_agg(actor LIKE 'hash:%' ORDER BY id) FROM postern.statement WHERE kind = 'reply'), '{t,f}', 'of the closed case');
SELECT is_empty($$ SELECT * FROM postern.outbox o JOIN postern.spam_case c ON c.id = o.case_id WHERE c.closed_at IS NOT NULL AND o::text LIKE '%@alice%' $$, 'no mailbox in its mails, nor in what servers said');
SELECT is_empty($$ SELECT * FROM postern.noc_alarm WHERE kind = 'mail-failed' AND detail <> '' $$, 'nor in settled alarms');
SELECT isnt_empty($$ SELECT * FROM postern.complaint WHERE said LIKE '%Jane%' $$, 'the words are still there');
-- words
SELECT t.later('60 days');
SELECT matches(t.expirable(), 'answers to our mails 3, texts of statements 2', 'after ninety days: words');
SELECT is(t.expirable(), t.expire(), 'what was announced was done');
SELECT is(t.expire(), '', 'once');
SELECT is_empty($$ SELECT * FROM postern.complaint WHERE said IS NOT NULL $$, 'nothing that was answered is left');
SELECT results_eq($$ SELECT kind, text <> '' FROM postern.statement ORDER BY id $$, $$ VALUES ('reply', false), ('disputed', false), ('reply', true) $$, 'the words of the open case stay');
SELECT is((SELECT count(*) FROM postern.statement), 3::bigint, 'and that something was said');
SELECT finish();
