-- SPDX-License-Identifier: Apache-2.0
-- What goes after a while, what stays.
\ir support.sql
SELECT t.some_history();
SELECT plan(27);

CREATE FUNCTION t.expire(p_max int DEFAULT 1000) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(what || ' ' || rows, ', '), '') FROM postern.expire(p_max) WHERE rows > 0
$$;
CREATE FUNCTION t.expirable() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(what || ' ' || rows, ', '), '') FROM postern.expirable() WHERE rows > 0
$$;
CREATE FUNCTION t.months() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM pg_inherits WHERE inhparent = 'postern.smtp_activity'::regclass
$$;
CREATE TABLE t.kept AS
    SELECT (SELECT count(*) FROM postern.block) AS blocks, (SELECT count(*) FROM postern.spam_case) AS cases,
           (SELECT count(*) FROM postern.verdict) AS verdicts, (SELECT count(*) FROM postern.complaint) AS complaints,
           (SELECT count(*) FROM postern.outbox) AS mails;
CREATE VIEW t.now_there AS
    SELECT (SELECT count(*) FROM postern.block) AS blocks, (SELECT count(*) FROM postern.spam_case) AS cases,
           (SELECT count(*) FROM postern.verdict) AS verdicts, (SELECT count(*) FROM postern.complaint) AS complaints,
           (SELECT count(*) FROM postern.outbox) AS mails;

SELECT is(t.expirable(), '', 'nothing is old');
SELECT is(t.expire(), '', 'nothing goes');
SELECT postern.make_partitions();
SELECT is(t.months(), 4::bigint, 'this month, two ahead, the default');
SELECT message_id AS spam FROM postern.complaint \gset
SELECT t.at('2026-05-31 11:00 UTC');
SELECT is(t.expirable(), '', 'thirty days are not over');

-- names
SELECT t.at('2026-06-01 12:00 UTC');
SELECT t.hit('192.0.2.9', 'block'), t.post();
UPDATE postern.complaint SET sender = 'Someone@Example.net';
SELECT matches(t.expirable(), '^Message-IDs of cases 1, Message-IDs and senders of complaints 1, recipients of mails \d+$', 'after thirty: names');
SELECT is(t.expirable(), t.expire(), 'what was announced was done');
SELECT is(t.expire(), '', 'once');
SELECT matches((SELECT message_id FROM postern.complaint), '^hash:[0-9a-f]{32}$', 'a hash instead of a Message-ID');
SELECT is((SELECT message_id FROM postern.evidence WHERE kind = 'complaint'), (SELECT message_id FROM postern.complaint), 'the same where it stood twice');
SELECT is((SELECT message_id FROM postern.complaint), postern.hashed(:'spam'), 'who has the Message-ID still finds it');
SELECT is((SELECT sender FROM postern.complaint), postern.hashed('someone@example.net'), 'the sender of a reply, too, however it is written');
SELECT isnt(postern.hashed(:'spam'), 'hash:' || left(encode(sha256(:'spam'::bytea), 'hex'), 32), 'nobody computes it without the key');
SELECT is_empty($$ SELECT grantee FROM information_schema.role_table_grants WHERE table_schema = 'postern' AND table_name = 'hash_key' AND grantee <> 'postern_owner' $$, 'which nobody reads');
SELECT is_empty($$ SELECT * FROM postern.outbox o JOIN postern.spam_case c ON c.id = o.case_id WHERE c.closed_at IS NOT NULL AND o.contact_email LIKE '%@%' $$, 'no mailbox in mails of closed cases');
SELECT is_empty($$ SELECT * FROM postern.outbox o JOIN postern.spam_case c ON c.id = o.case_id WHERE c.closed_at IS NOT NULL AND (o.dedup_key LIKE '%@%' OR o.vars ? 'evidence') $$, 'nor in what else they hold');
SELECT is((SELECT count(*) FROM postern.outbox o JOIN postern.spam_case c ON c.id = o.case_id WHERE c.closed_at IS NULL AND o.contact_email LIKE 'hash:%'), 0::bigint, 'mails of open cases keep theirs');

-- flows
SELECT t.at('2026-07-31 12:00 UTC');
SELECT matches(t.expirable(), 'flows of cases [1-9]\d*, flows of verdicts [1-9]', 'after ninety days: flows');
SELECT is((SELECT sum(rows) FROM postern.expire(1)), 2::numeric, 'in small steps');
SELECT t.expire();
SELECT is_empty($$ SELECT * FROM postern.evidence WHERE kind = 'flow' AND at < '2026-05-02' $$, 'none of them is left');
SELECT is_empty($$ SELECT * FROM postern.verdict WHERE samples <> '[]' AND crossed_at < '2026-05-02' $$, 'nor in verdicts');
SELECT isnt_empty($$ SELECT * FROM postern.verdict WHERE samples <> '[]' $$, 'newer ones stay');

-- activity
SELECT t.at('2027-06-30 23:59 UTC');
SELECT is(t.expirable() LIKE '%months%', false, 'thirteen whole months');
SELECT t.at('2027-07-01 00:00 UTC');
SELECT t.expire();
SELECT is(t.months(), 3::bigint, 'then May goes as a whole');
SELECT is((SELECT count(*) FROM postern.smtp_activity WHERE bucket < '2026-06-01'), 0::bigint, 'with its rows');
SELECT is(t.expire(), '', 'and nothing else');
SELECT throws_ok($$ SELECT postern.set_setting('retention.hash_days', '3', 'x') $$, 'PT006', NULL, 'what the desk needs cannot be hashed');
SELECT results_eq('SELECT blocks - 1, verdicts - 1, complaints, cases - 1 FROM t.now_there', 'SELECT blocks, verdicts, complaints, cases FROM t.kept', 'blocks, verdicts, complaints, cases: all are there');
SELECT * FROM finish();
