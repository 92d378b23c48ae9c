-- SPDX-License-Identifier: Apache-2.0
-- The blocklist check before the first mail about complaints: the mail waits for it, ten minutes at most.
\ir support.sql
SELECT t.enforce();
SELECT plan(11);

SELECT is(t.complain('192.0.2.1'), 'warned', 'complaints warn');
SELECT results_eq($$ SELECT answer, answered_at = asked_at FROM postern.listing_check $$, $$ VALUES ('unknown', true) $$,
    'nobody asks lists yet: unknown, at once');
SELECT is(t.post(), 1::bigint, 'the mail does not wait');
SELECT is((SELECT vars ->> 'listing' FROM postern.outbox), 'unknown', 'and says so');
SELECT is(t.hit('192.0.2.2', 'flag'), 'warned', 'a verdict warns');
SELECT is((SELECT count(*) FROM postern.listing_check), 1::bigint, 'without asking lists');

-- As it will be: somebody takes his time.
CREATE FUNCTION t.not_answered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER not_answered BEFORE UPDATE ON postern.listing_check FOR EACH ROW EXECUTE FUNCTION t.not_answered();
SELECT t.post(), t.complain('192.0.2.3'), t.complain('192.0.2.4') \g /dev/null
DROP TRIGGER not_answered ON postern.listing_check;
SELECT is(t.post(), 0::bigint, 'the mails wait');
SELECT postern.answer_listing(warning_id, 'listed', '{zen.example}') FROM postern.listing_check WHERE unit = '192.0.2.3' \g /dev/null
SELECT is(t.post(), 1::bigint, 'the answer sends one');
SELECT results_eq($$ SELECT vars ->> 'listing', vars -> 'listing_zones' ->> 0 FROM postern.outbox WHERE unit = '192.0.2.3' $$,
    $$ VALUES ('listed', 'zen.example') $$, 'with what it says');
SELECT is((SELECT postern.answer_listing(warning_id, 'not-listed') FROM postern.listing_check WHERE unit = '192.0.2.3'), false,
    'the first answer counts');
SELECT t.later('10 minutes') \g /dev/null
SELECT is(t.post(), 1::bigint, 'after ten minutes the other one goes without an answer');
SELECT finish();
