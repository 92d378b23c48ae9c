-- SPDX-License-Identifier: Apache-2.0
-- Much that happens to a customer at once: one mail, whose acceptance and failure is that of each
-- warning in it; and what leaves it again before it is sent.
\ir support.sql
SELECT t.enforce();
SELECT postern.set_setting('mail.digest_from', '5', 'tester'), postern.set_setting('mail.digest_hold', '60', 'tester');
SELECT plan(69);

CREATE FUNCTION t.warn(p_from int, p_to int) RETURNS bigint LANGUAGE sql AS
    $$ SELECT count(t.complain(('192.0.2.' || i)::inet)) FROM generate_series(p_from, p_to) AS i $$;
CREATE VIEW t.parts AS SELECT * FROM postern.outbox WHERE state = 'digested';
CREATE FUNCTION t.digest() RETURNS postern.outbox LANGUAGE sql AS
    $$ SELECT o FROM postern.outbox o WHERE kind = 'digest' ORDER BY id DESC LIMIT 1 $$;

-- the first leaves at once, the others wait for each other
SELECT t.warn(1, 4);
SELECT is(t.post(), 1::bigint, 'the first mail leaves at once');
SELECT t.later('20 seconds'), t.warn(5, 7);
SELECT is(t.post(), 0::bigint, 'those that follow wait');
SELECT is((SELECT count(DISTINCT next_at) FROM postern.outbox WHERE state = 'pending'), 1::bigint, 'for the same moment');
SELECT t.later('40 seconds');
SELECT is(t.post(), 1::bigint, 'then one mail leaves');
SELECT results_eq($$ SELECT kind, state FROM postern.outbox WHERE kind = 'digest' $$, $$ VALUES ('digest', 'done') $$, 'a digest');
SELECT is((SELECT count(*) FROM t.parts), 6::bigint, 'of six');
SELECT is((SELECT count(DISTINCT digest_id) FROM t.parts), 1::bigint, 'which know where they are told');
SELECT is((SELECT count(*) FROM postern.warning WHERE state = 'running' AND deadline = postern.now() + interval '24 hours'), 6::bigint, 'its acceptance starts the clock of each');
SELECT is((SELECT count(*) FROM t.parts WHERE accepted_at = postern.now()), 6::bigint, 'and each knows when');
SELECT results_eq($$ SELECT state, digest_id IS NOT NULL FROM api_v1.mail_status WHERE unit = '192.0.2.5' $$, $$ VALUES ('digested', true) $$, 'the abuse team sees it');
-- what it says
SELECT (t.digest()).vars AS vars, (t.digest()).message_id AS message_id \gset
SELECT is(:'vars'::jsonb ->> 'of', 'warning', 'it is about warnings');
SELECT is(:'vars'::jsonb ->> 'count', '6', 'of six addresses');
SELECT is(:'vars'::jsonb -> 'units' -> 0 ->> 'unit', '192.0.2.2', 'in their order');
SELECT is(:'vars'::jsonb -> 'units' -> 0 ->> 'case', (SELECT public_id FROM postern.spam_case WHERE unit = '192.0.2.2'), 'with their cases');
SELECT is((:'vars'::jsonb -> 'units' -> 0 ->> 'until_iso')::timestamptz, date_trunc('minute', postern.now()) + interval '24 hours', 'and their deadlines');
SELECT is(:'vars'::jsonb -> 'units' -> 0 -> 'reason_facts' -> 0 ->> 'reporter', 'trusted.example', 'what was seen, for every language');
SELECT ok(:'vars'::jsonb -> 'units' -> 0 -> 'newest' ? 'message_id', 'and the newest evidence');
SELECT is(:'vars'::jsonb ->> 'then_scope', 'ports', 'what follows');
SELECT ok(NOT jsonb_path_exists(:'vars'::jsonb, '$.** ? (@ == null)'), 'no hole in it');
SELECT matches(:'message_id'::text, '^digest\.warning\.[0-9a-f]{20}@', 'a Message-ID of its own');
SELECT is((SELECT count(*) FROM postern.spam_case WHERE first_message_id = :'message_id'), 6::bigint, 'to which the later mails of the cases refer');
-- reminders come due together: one digest, in the thread of the first
SELECT t.later('12 hours'), t.timers(), t.post(), t.later('1 minute'), t.post();
SELECT is((SELECT count(*) FROM t.parts WHERE kind = 'reminder'), 6::bigint, 'reminders are gathered, after the first');
SELECT is((t.digest()).references_id, :'message_id'::text, 'in the thread of the digest that warned');
-- a deadline is kept: resolved, gathered
SELECT t.later('13 hours'), t.timers(), t.post(), t.later('1 minute'), t.post();
SELECT is((SELECT count(*) FROM t.parts WHERE kind = 'resolved'), 6::bigint, 'the cases that end together are told together');
SELECT is((t.digest()).vars ->> 'of', 'resolved', 'in a digest of their own');
SELECT ok(NOT (t.digest()).vars ? 'deadline_iso', 'which names no deadline');

-- fewer than five: each its own mail
SELECT t.later('31 days'), t.timers(), t.post();
SELECT t.warn(21, 24), t.later('61 seconds');
SELECT is(t.post(), 4::bigint, 'four warnings are four mails');
SELECT is((SELECT count(*) FROM postern.outbox WHERE kind = 'digest' AND created_at > postern.now() - interval '1 hour'), 0::bigint, 'and no digest');
-- 0: never
SELECT postern.set_setting('mail.digest_from', '0', 'tester');
SELECT t.warn(31, 40);
SELECT is(t.post(), 10::bigint, 'without digests ten are ten, at once');
SELECT postern.set_setting('mail.digest_from', '5', 'tester'), t.later('2 minutes');

-- two customers, two contacts: nobody reads of another's addresses
SELECT t.warn(41, 46), count(t.complain(('192.0.2.' || i)::inet)) FROM generate_series(141, 146) AS i;
SELECT is(t.post(), 2::bigint, 'two customers: two first mails');
SELECT t.later('61 seconds');
SELECT is(t.post(), 2::bigint, 'and two digests');
SELECT is((SELECT count(*) FROM t.parts p JOIN postern.outbox d ON d.id = p.digest_id WHERE p.customer <> d.customer OR p.contact_email <> d.contact_email), 0::bigint, 'each to its own');

-- one of them is blocked while the digest waits: it is told of that and not of the warning
SELECT t.later('2 minutes'), t.warn(51, 57), t.post(), t.later('61 seconds');
SELECT id AS digest FROM postern.claim_mail('a', '10 minutes', 1) \gset
SELECT t.hit('192.0.2.57', 'block');
SELECT is(postern.mail_sending(:digest, 'a'), false, 'its worker may not send what is untrue');
SELECT t.post();
SELECT is((t.digest()).state, 'done', 'it is made anew');
SELECT is((t.digest()).id, :digest::bigint, 'under its name');
SELECT ok(NOT (t.digest()).vars -> 'units' @> '[{"unit": "192.0.2.57"}]', 'without that address');
SELECT is(t.mails('192.0.2.57'), 'warning superseded, blocked done', 'which has its own mail');
-- all of them: nothing is left to send
SELECT t.later('2 minutes'), t.warn(61, 67), t.post(), t.later('61 seconds');
SELECT postern.mail_outcome(m.id, 'a', 'retry', 451, '') FROM postern.claim_mail('a', '10 minutes', 1) AS m;
SELECT count(t.hit(('192.0.2.' || i)::inet, 'block')) FROM generate_series(61, 67) AS i;
SELECT is((t.digest()).state, 'superseded', 'a digest of nothing is not sent');
SELECT t.later('10 minutes');
SELECT t.post();
SELECT is((t.digest()).vars ->> 'of', 'blocked', 'the blocks are told in one');
SELECT is((t.digest()).vars ->> 'scope', 'ports', 'what was closed');
SELECT is((t.digest()).vars -> 'units' -> 0 ->> 'until_iso', (SELECT postern.time_json(min(hold_until)) FROM postern.block WHERE unit = ((t.digest()).vars -> 'units' -> 0 ->> 'unit')::inet), 'and from when on it may be opened');

-- refused: the next contact gets the digest; he too: each deadline is suspended
SELECT t.later('2 minutes'), t.warn(71, 77), t.post(), t.later('61 seconds'), t.post('refused');
SELECT is((t.digest()).state, 'failed', 'refused');
SELECT is((SELECT count(*) FROM postern.warning WHERE unit BETWEEN '192.0.2.72' AND '192.0.2.77' AND state = 'mailing'), 6::bigint, 'no deadline runs');
SELECT is((SELECT count(*) FROM postern.noc_alarm WHERE kind = 'mail-failed' AND subject LIKE 'digest%'), 1::bigint, 'one alarm, not six');
SELECT is(t.post('refused'), 1::bigint, 'the next contact is asked, once');
SELECT is((t.digest()).contact_email, 'abuse@alice.example', 'for all of them');
SELECT is((SELECT count(*) FROM postern.warning WHERE unit BETWEEN '192.0.2.72' AND '192.0.2.77' AND state = 'suspended'), 6::bigint, 'nobody takes it: each deadline is suspended');
SELECT is((SELECT count(*) FROM t.parts WHERE unit = '192.0.2.72' AND kind = 'warning'), 2::bigint, 'each contact had it once');
UPDATE postern.contact SET bounced_at = NULL;

-- it comes back: the clocks of all stop
SELECT t.later('2 minutes'), t.warn(81, 87), t.post(), t.later('61 seconds'), t.post();
SELECT is((SELECT count(*) FROM postern.warning WHERE unit BETWEEN '192.0.2.82' AND '192.0.2.87' AND state = 'running'), 6::bigint, 'taken, the deadlines run');
SELECT postern.record_evidence(0, 1, 'bounce', 'dsn', NULL, 'spam', NULL, 0, NULL, postern.now(), NULL, NULL, 'mx.example', false, 'dsn-1',
    '550 no such user', 1, 900, sha256('dsn-1'), postern.mail_token((t.digest()).message_id), NULL, NULL, NULL) AS bounce, (t.digest()).id AS digest \gset
SELECT is(postern.apply_complaint(:bounce), 'bounced', 'it bounces');
SELECT is((SELECT count(*) FROM postern.evidence WHERE kind = 'bounce' AND complaint_id = :bounce), 6::bigint, 'each case knows');
SELECT is((SELECT count(*) FROM postern.warning WHERE unit BETWEEN '192.0.2.82' AND '192.0.2.87' AND state = 'mailing' AND deadline IS NULL), 6::bigint, 'no deadline runs');
SELECT is(t.post(), 1::bigint, 'the next contact gets a digest');
SELECT is((SELECT count(*) FROM postern.warning WHERE unit BETWEEN '192.0.2.82' AND '192.0.2.87' AND state = 'running'), 6::bigint, 'his server''s acceptance starts the clocks');
-- and is answered: the one case that the subject names, or all
SELECT postern.record_evidence(0, 1, 'complaint', 'reply', NULL, 'spam', NULL, 0, NULL, postern.now(), NULL, NULL, 'alice.example', false, 'reply-1',
    NULL, 1, 900, sha256('reply-1'), postern.mail_token((t.digest()).message_id), (SELECT public_id FROM postern.spam_case WHERE unit = '192.0.2.83' AND closed_at IS NULL), 'abuse@alice.example', 'This one is a mistake.') AS reply \gset
SELECT is(postern.apply_complaint(:reply), 'reply', 'an answer about one case');
SELECT is((SELECT host(unit) FROM api_v1.replies), '192.0.2.83', 'is kept with that case');
SELECT postern.settle_reply((SELECT id FROM api_v1.replies), 'disputed', 'officer');
SELECT is((SELECT array_agg(host(unit)) FROM postern.warning WHERE state = 'disputed'), '{192.0.2.83}', 'and stops its clock alone');
SELECT postern.record_evidence(0, 1, 'complaint', 'reply', NULL, 'spam', NULL, 0, NULL, postern.now(), NULL, NULL, 'alice.example', false, 'reply-2',
    NULL, 1, 900, sha256('reply-2'), postern.mail_token((t.digest()).message_id), NULL, 'abuse@alice.example', 'We cleaned all of them.') AS reply \gset
SELECT is(postern.apply_complaint(:reply), 'reply', 'an answer to the digest as such');
SELECT ok((SELECT proved FROM api_v1.replies), 'is no stranger''s');
SELECT postern.settle_reply((SELECT id FROM api_v1.replies), 'fixed', 'officer');
SELECT is((SELECT count(*) FROM postern.warning WHERE unit BETWEEN '192.0.2.82' AND '192.0.2.87' AND fixed_at IS NOT NULL), 6::bigint, 'and speaks of all');

-- broken off after DATA, again and again
SELECT t.later('2 minutes'), t.warn(91, 97), t.post(), t.later('61 seconds'), t.post('uncertain'), t.later('10 minutes');
SELECT is(t.post('uncertain'), 1::bigint, 'broken off: sent once more');
SELECT is((t.digest()).state, 'uncertain', 'then nobody knows');
SELECT is((SELECT count(*) FROM postern.warning WHERE unit BETWEEN '192.0.2.92' AND '192.0.2.97' AND state = 'suspended'), 6::bigint, 'and each deadline is suspended');
SELECT is(postern.mail_outcome((t.digest()).id, 'post', 'done', 250, 'late'), 'done', 'a late answer still counts');

-- a worker dies at each stage: nothing is lost, one Message-ID
SELECT t.later('2 minutes'), t.warn(101, 107), t.post(), t.later('61 seconds');
SELECT message_id AS first FROM postern.claim_mail('dies', '1 minute', 1) \gset
SELECT t.later('2 minutes');
SELECT message_id AS second FROM postern.claim_mail('dies', '1 minute', 1) AS m WHERE postern.mail_sending(m.id, 'dies') \gset
SELECT t.later('2 minutes');
SELECT results_eq($$ SELECT message_id, state FROM postern.claim_mail('lives', '1 minute', 10) $$, format($$ VALUES (%L, 'sending') $$, :'first'), 'it is resent, under its name');
SELECT is(:'second'::text, :'first'::text, 'the only one');
SELECT t.hit('192.0.2.107', 'block'), postern.mail_sending((t.digest()).id, 'lives');
SELECT is(postern.mail_outcome((t.digest()).id, 'lives', 'done', 250, ''), 'done', 'and taken');
SELECT is((SELECT count(*) FROM postern.warning WHERE unit BETWEEN '192.0.2.102' AND '192.0.2.106' AND state = 'running'), 5::bigint, 'the clocks run, but not of what was blocked meanwhile');

-- never: freezes, false alarms, what is taken back
SELECT t.later('2 minutes'), count(t.hit(('192.0.2.' || i)::inet, 'block')) FROM generate_series(111, 116) AS i;
SELECT t.later('61 seconds'), t.post(), count(postern.ip_release(('192.0.2.' || i)::inet, 'our mistake', true, 'officer')) FROM generate_series(111, 116) AS i;
SELECT t.network(), t.later('61 seconds');
SELECT is(t.post(), 6::bigint, 'each mistake of ours is told by itself');
SELECT finish();
