-- SPDX-License-Identifier: Apache-2.0
-- Mails in a bad world: servers that are away for a day, contacts on the blocked address, clocks
-- that jump. (Dropped lines at every stage: tests/system/test_crashes.py.)
\ir support.sql
SELECT t.enforce();
SELECT plan(18);

-- 4xx for a day: the clock starts with the acceptance, whenever that is
SELECT t.complain('192.0.2.1');
SELECT postern.now() AS started, (SELECT message_id FROM postern.outbox) AS message_id \gset
CREATE FUNCTION t.a_day_of_4xx() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_until timestamptz := postern.now() + interval '1 day';
    v_tries int := 0;
BEGIN
    WHILE postern.now() < v_until LOOP
        v_tries := v_tries + t.post('retry');
        PERFORM t.timers(), t.later('10 minutes');
    END LOOP;
    RETURN v_tries;
END
$$;
SELECT ok(t.a_day_of_4xx() BETWEEN 6 AND 7, 'a day of "not now" is six or seven tries');
SELECT results_eq($$ SELECT state, deadline FROM postern.warning $$, $$ VALUES ('mailing', NULL::timestamptz) $$, 'no deadline runs meanwhile');
SELECT is(t.state('192.0.2.1'), 'warned', 'and nothing is blocked');
SELECT is((SELECT count(*) FROM postern.noc_alarm), 0::bigint, 'nobody is called for that');
SELECT t.later('26 hours');
SELECT is(t.post(), 1::bigint, 'the server takes it');
SELECT is((SELECT deadline - postern.now() FROM postern.warning), interval '24 hours', 'all of the time from then on');
SELECT is((SELECT message_id FROM postern.outbox WHERE kind = 'warning'), :'message_id', 'one mail, one Message-ID');

-- a mailbox on the very address that is blocked is the last choice
SELECT t.import(ARRAY['192.0.2.0/25|C1|Alice Ltd|||||security:sec@alice.example',
    '192.0.2.60/32|C9|Nine|||||security:root@[192.0.2.60] owner:nine@example.org',
    '192.0.2.61/32|C10|Ten|||||security:root@[192.0.2.61]'], true);
SELECT t.hit('192.0.2.60', 'block');
SELECT is((SELECT contact_email FROM postern.outbox WHERE unit = '192.0.2.60'), 'nine@example.org', 'another contact, though of a lower kind');
SELECT t.hit('192.0.2.61', 'block');
SELECT is((SELECT contact_email FROM postern.outbox WHERE unit = '192.0.2.61'), 'root@[192.0.2.61]', 'better than nobody');

-- the clock jumps ahead while a worker has a mail in hand, and another worker looks
SELECT t.post();
SELECT t.hit('192.0.2.5', 'block');
SELECT id AS mail FROM postern.claim_mail('a', '1 minute', 1) \gset
SELECT postern.mail_sending(:mail, 'a'), t.later('1 day');
SELECT results_eq($$ SELECT id, state FROM postern.claim_mail('b', '1 minute', 1) $$, format($$ VALUES (%s::bigint, 'sending') $$, :mail), 'its lease is gone: somebody else takes it, as after a crash');
SELECT is(postern.mail_outcome(:mail, 'a', 'retry', 451, 'late'), 'sending', 'the first one cannot put it off any more');
SELECT is(postern.mail_outcome(:mail, 'a', 'done', 250, 'taken'), 'done', 'but that it was taken counts');
SELECT is(postern.mail_sending(:mail, 'b'), false, 'and keeps the second from sending it again');
-- the clock jumps back: nothing is lost, nothing is sent twice
SELECT t.hit('192.0.2.6', 'block');
SELECT id AS mail FROM postern.claim_mail('a', '1 minute', 1) \gset
SELECT postern.mail_sending(:mail, 'a'), t.later('-2 hours');
SELECT is_empty($$ SELECT * FROM postern.claim_mail('b', '1 minute', 1) $$, 'the lease holds');
SELECT is(postern.mail_outcome(:mail, 'a', 'done', 250, 'taken'), 'done', 'its worker ends it');
SELECT t.hit('192.0.2.7', 'block');
SELECT is(t.post(), 1::bigint, 'what is new is sent');
SELECT t.later('4 hours');
SELECT is(t.post(), 0::bigint, 'and nothing again when the clock is right');
SELECT is((SELECT count(*) FROM postern.outbox WHERE state <> 'done'), 0::bigint, 'all of them arrived');
SELECT finish();
