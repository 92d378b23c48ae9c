-- SPDX-License-Identifier: Apache-2.0
-- The outbox: leases, sending before DATA, one Message-ID, retries, next contact.
\ir support.sql
SELECT t.enforce();
SELECT plan(51);

SELECT t.hit('192.0.2.1', 'block');
SELECT (SELECT message_id FROM postern.outbox) AS message_id, (SELECT id FROM postern.outbox) AS mail \gset
-- leases
SELECT results_eq($$ SELECT kind, contact_email, locale, tz, attempts, state FROM postern.claim_mail('a', '1 minute', 10) $$,
    $$ VALUES ('blocked', 'sec@alice.example', 'en', 'Europe/Berlin', 1, 'pending') $$, 'a worker takes it');
SELECT is_empty($$ SELECT * FROM postern.claim_mail('b', '1 minute', 10) $$, 'another one gets nothing');
SELECT is(postern.mail_sending(:mail, 'b'), false, 'and may not send it');
SELECT t.later('1 minute');
SELECT is(postern.mail_sending(:mail, 'a'), false, 'nor the first one when its lease is over');
SELECT isnt_empty($$ SELECT * FROM postern.claim_mail('b', '1 minute', 10) $$, 'then it is taken by another');
SELECT is(postern.mail_sending(:mail, 'b'), true, 'who sends it');
-- a crash within DATA
SELECT t.later('2 minutes');
SELECT results_eq($$ SELECT message_id, state FROM postern.claim_mail('c', '1 minute', 10) $$,
    format($$ VALUES (%L, 'sending') $$, :'message_id'), 'left in sending: resent, with the same Message-ID');
SELECT is(postern.mail_sending(:mail, 'c'), true, 'and sent');
SELECT t.later('2 minutes');
SELECT postern.set_setting('mail.resends', '2', 'tester');
SELECT is((SELECT count(*) FROM postern.claim_mail('c', '1 minute', 10) AS m WHERE postern.mail_sending(m.id, 'c')), 1::bigint, 'as often as workers die in it');
SELECT t.later('2 minutes');
SELECT is_empty($$ SELECT * FROM postern.claim_mail('d', '1 minute', 10) $$, 'up to a limit');
SELECT postern.set_setting('mail.resends', '10', 'tester');
SELECT is((SELECT state FROM postern.outbox), 'uncertain', 'it is uncertain');
SELECT is((SELECT kind FROM postern.noc_alarm), 'mail-uncertain', 'and a person is told');
SELECT is(postern.mail_outcome(:mail, 'c', 'done', 250, 'late answer'), 'done', 'an answer that comes late still counts');
SELECT is(postern.mail_outcome(:mail, 'c', 'refused', 550, 'nonsense'), 'done', 'what is done stays done');
-- the outcome uncertain
SELECT t.hit('192.0.2.2', 'block');
SELECT (SELECT id FROM postern.outbox WHERE unit = '192.0.2.2') AS mail \gset
SELECT t.post('uncertain');
SELECT is((SELECT state FROM postern.outbox WHERE id = :mail), 'sending', 'broken off: waits');
SELECT is_empty($$ SELECT * FROM postern.claim_mail('a', '1 minute', 10) $$, 'a while');
SELECT t.later('6 minutes');
SELECT is(t.post('uncertain'), 1::bigint, 'and is resent');
SELECT is((SELECT state FROM postern.outbox WHERE id = :mail), 'uncertain', 'twice broken off: uncertain');
-- a killed worker before that does not cost the resend
SELECT t.hit('192.0.2.90', 'block');
SELECT (SELECT id FROM postern.outbox WHERE unit = '192.0.2.90') AS mail \gset
SELECT postern.mail_sending(m.id, 'dies') FROM postern.claim_mail('dies', '1 minute', 10) AS m;
SELECT t.later('2 minutes'), t.post('uncertain');
SELECT is((SELECT state FROM postern.outbox WHERE id = :mail), 'sending', 'a worker died, then the server broke off: still sent again');
SELECT t.later('20 minutes'), t.post('uncertain');
SELECT is((SELECT state FROM postern.outbox WHERE id = :mail), 'uncertain', 'until the server breaks off again');
-- retries
SELECT t.hit('192.0.2.3', 'block');
SELECT (SELECT id FROM postern.outbox WHERE unit = '192.0.2.3') AS mail, postern.now() AS started \gset
SELECT t.post('retry');
SELECT ok((SELECT next_at - postern.now() BETWEEN interval '4 min 29 s' AND interval '5 min 31 s' FROM postern.outbox WHERE id = :mail), 'first retry after about 5 minutes');
SELECT is((SELECT count FROM postern.due WHERE kind = 'mail'), 0::bigint, 'a mail that waits is not due');
SELECT t.later('6 minutes'), t.post('retry');
SELECT ok((SELECT next_at - postern.now() BETWEEN interval '13 min' AND interval '17 min' FROM postern.outbox WHERE id = :mail), 'then about 15');
SELECT t.later('17 minutes'), t.post('retry');
SELECT ok((SELECT next_at - postern.now() BETWEEN interval '53 min' AND interval '67 min' FROM postern.outbox WHERE id = :mail), 'then about an hour');
SELECT is((SELECT message_id FROM postern.outbox WHERE id = :mail), (SELECT message_id FROM postern.outbox WHERE id = :mail AND attempts = 3), 'the Message-ID stays');
SELECT t.at(:'started'::timestamptz + interval '5 days'), t.post('retry');
SELECT is((SELECT state FROM postern.outbox WHERE id = :mail), 'failed', 'given up after 5 days');
SELECT is((SELECT contact_email FROM postern.outbox WHERE unit = '192.0.2.3' AND state = 'pending'), 'abuse@alice.example', 'the next contact gets it');
SELECT isnt((SELECT message_id FROM postern.outbox WHERE unit = '192.0.2.3' AND state = 'pending'), (SELECT message_id FROM postern.outbox WHERE id = :mail), 'as a mail of its own');
SELECT is((SELECT bounced_at FROM postern.contact WHERE email = 'sec@alice.example' AND net IS NULL), postern.now(), 'the first one is marked');
SELECT is(t.post('refused'), 1::bigint, 'it refuses too');
SELECT is((SELECT count(*) FROM postern.outbox WHERE unit = '192.0.2.3' AND state = 'pending'), 0::bigint, 'nobody is left');
SELECT is((SELECT count(*) FROM postern.outbox WHERE unit = '192.0.2.3'), 2::bigint, 'each contact had it once');
SELECT ok(EXISTS (SELECT FROM postern.noc_alarm WHERE kind = 'mail-failed' AND detail LIKE '%no other contact'), 'the NOC is told');
-- contents
SELECT t.hit('192.0.2.4', 'block', 'submission'), t.complain('192.0.2.4');
SELECT (SELECT vars FROM postern.outbox WHERE unit = '192.0.2.4')::text AS vars \gset
SELECT is(:'vars'::jsonb ->> 'case', (SELECT public_id FROM postern.spam_case WHERE unit = '192.0.2.4'), 'the case');
SELECT matches(:'vars'::jsonb ->> 'case', '^PST-2026-\d{6}$', 'is written as people quote it');
SELECT is(:'vars'::jsonb ->> 'customer_name', 'Alice Ltd', 'the customer''s name');
SELECT is(:'vars'::jsonb ->> 'service_name', 'vps-1', 'the service');
SELECT is(:'vars'::jsonb -> 'reasons' ->> 0, '90 new destinations in 60 s; its usual most is 9.', 'the reason in words');
SELECT is(jsonb_array_length(:'vars'::jsonb -> 'evidence'), 2, 'evidence');
SELECT is(:'vars'::jsonb -> 'evidence' -> 0 ->> 'destination', '198.51.100.7', 'with destinations');
SELECT is(:'vars'::jsonb -> 'ports', '[25, 465, 587, 2525]', 'the ports');
SELECT ok(NOT jsonb_path_exists(:'vars'::jsonb, '$.** ? (@ == null)'), 'no hole in it');
-- customers without a contact
SELECT t.import(ARRAY['192.0.2.128/25|C3|Carol'], true);
SELECT is(t.hit('192.0.2.130', 'flag'), 'warned', 'a customer without a contact can be warned');
SELECT is((SELECT state FROM postern.warning WHERE unit = '192.0.2.130'), 'suspended', 'but without a deadline');
SELECT ok(EXISTS (SELECT FROM postern.noc_alarm WHERE kind = 'no-contact'), 'and the NOC is told');
-- the warning of a verdict waits a moment, in case a block follows
SELECT t.import(ARRAY['192.0.2.0/25|C1|Alice Ltd|||||abuse@alice.example'], true);
SELECT postern.set_setting('mail.warning_hold', '60', 'tester');
SELECT is(t.hit('192.0.2.50', 'flag'), 'warned', 'a fast burst is flagged');
SELECT t.later('20 seconds');
SELECT is(t.post(), 0::bigint, 'its warning waits');
SELECT is(t.hit('192.0.2.50', 'block'), 'blocked', 'and blocked');
SELECT t.post();
SELECT results_eq($$ SELECT kind, state FROM postern.outbox WHERE unit = '192.0.2.50' ORDER BY id $$,
    $$ VALUES ('warning', 'superseded'), ('blocked', 'done') $$, 'the customer gets one mail');
SELECT t.hit('192.0.2.51', 'flag'), t.later('61 seconds');
SELECT is(t.post(), 1::bigint, 'without a block it leaves');
SELECT is((SELECT deadline - accepted_at FROM postern.warning WHERE unit = '192.0.2.51'), '24:00:00', 'and the deadline counts from its acceptance');
SELECT finish();
