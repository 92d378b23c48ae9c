-- SPDX-License-Identifier: Apache-2.0
-- What complaints do, and whose they are.
\ir support.sql
SELECT t.enforce();
SELECT plan(38);

SELECT is(t.complain('192.0.2.1'), 'warned', 'authenticated and enrolled: warns');
SELECT results_eq('SELECT cause, category, repeat FROM postern.warning', $$ VALUES ('complaint', 'spam', 1) $$, 'by complaint');
SELECT results_eq('SELECT kind, message_id, reporter FROM postern.evidence', $$ SELECT 'complaint', message_id, 'trusted.example' FROM postern.complaint $$, 'its Message-ID is evidence');
SELECT is((SELECT vars -> 'evidence' -> 0 ->> 'message_id' FROM postern.outbox), (SELECT message_id FROM postern.complaint), 'and stands in the mail');
SELECT matches((SELECT vars -> 'reasons' ->> 0 FROM postern.outbox), '^trusted.example reported spam from this address', 'the reason in words');
SELECT is(t.complain('192.0.2.1'), 'appended', 'another one is added');
SELECT is((SELECT count(*) FROM postern.evidence), 2::bigint, 'to the same case');
-- weights
SELECT is(t.complain('192.0.2.2', p_auth => false), 'noted', 'enrolled but not authenticated: 0.6');
SELECT results_eq($$ SELECT weight, enrolled, counted FROM postern.complaint ORDER BY id DESC LIMIT 1 $$, $$ VALUES (0.6::float8, true, true) $$, 'as the row says');
SELECT is(t.complain('192.0.2.2', p_auth => false), 'noted', 'twice from one source, not authenticated: 1.2 and still not enough');
SELECT is(t.complain('192.0.2.2', 'a.example', false), 'noted', 'two sources');
SELECT is(t.complain('192.0.2.2', 'b.example', false), 'warned', 'three sources');
SELECT is(string_agg(t.complain('192.0.2.3', x || '.example', false), ' '), 'noted noted noted noted warned', 'five anonymous ones from five sources warn')
  FROM unnest(ARRAY['a', 'b', 'c', 'd', 'e']) AS x;
SELECT is(string_agg(t.complain('192.0.2.3', x || x || '.example', false), ' '), 'appended appended appended', 'more of them are added')
  FROM unnest(ARRAY['a', 'b', 'c']) AS x;
SELECT is(t.hit('192.0.2.3', 'flag'), 'appended', 'anonymous mail does not turn a flag into a block');
SELECT is(string_agg(t.complain('192.0.2.4', 'same.example', true), ' '), 'noted noted noted noted noted noted', 'six from one domain that nobody enrolled do not warn')
  FROM generate_series(1, 6);
SELECT t.later('8 days');
SELECT is(string_agg(t.complain('192.0.2.4', x || '.example', false), ' '), 'noted noted', 'what is older than 7 days does not add up')
  FROM unnest(ARRAY['a', 'b']) AS x;
-- the same report again
SELECT t.complaint('192.0.2.5') AS c \gset
SELECT is(postern.apply_complaint(:c), 'warned', 'applied');
SELECT is(postern.apply_complaint(:c), 'warned', 'applied twice, the same answer');
SELECT is((SELECT count(*) FROM postern.warning WHERE unit = '192.0.2.5'), 1::bigint, 'one warning');
SELECT is((SELECT count(*) FROM postern.outbox WHERE unit = '192.0.2.5'), 1::bigint, 'one mail');
-- not counted
SELECT is(t.complain('198.51.100.1'), 'not-ours', 'not our address');
SELECT is(t.complain(NULL), 'no-address', 'no address in it');
SELECT is(t.complain('192.0.2.6', p_at => postern.now() - interval '31 days'), 'too-old', 'older than 30 days');
SELECT is(t.complain('192.0.2.6', p_at => postern.now() + interval '2 days'), 'from-the-future', 'from the future');
SELECT is(postern.apply_complaint(t.complaint('192.0.2.6', p_feedback => 'not-spam')), 'stored', 'not-spam is stored');
SELECT is(postern.apply_complaint(t.complaint('192.0.2.6', p_outcome => 'bounce')), 'unknown-mail', 'a bounce of no mail of ours is stored');
SELECT is((SELECT count(*) FROM postern.complaint WHERE source_ip = '192.0.2.6' AND counted), 0::bigint, 'none of them counts');
SELECT is(t.state('192.0.2.6'), 'clear', 'nor does anything');
SELECT postern.never_block_add('192.0.2.7', 'relay', 'tester');
SELECT is(t.complain('192.0.2.7'), 'never-block', 'infrastructure is not warned');
SELECT is(t.complain('::ffff:192.0.2.8'), 'warned', 'an IPv4 address in IPv6 form is that address');
SELECT is(t.complain('2001:db8:1:2ff::25'), 'warned', 'an IPv6 address belongs to its unit');
SELECT is((SELECT unit::inet FROM postern.complaint ORDER BY id DESC LIMIT 1), '2001:db8:1:200::/56'::inet, 'of the assignment''s length');
-- tenancy at the time of the event
SELECT t.import(ARRAY['192.0.2.0/25|C1|Alice Ltd|vps|vps-1', '2001:db8:1::/48|C1|Alice Ltd|vps|vps-6|56',
    '192.0.2.128/25|C2|Bob|dedicated|ded-1|||bob@bob.example', '192.0.2.20/32|C2|Bob|dedicated|ded-1|||bob@bob.example'], true);
SELECT is(t.complain('192.0.2.20', p_at => postern.now() - interval '1 day'), 'other-tenancy', 'spam of the tenant before: stored, not counted');
SELECT is((SELECT customer FROM postern.complaint ORDER BY id DESC LIMIT 1), 'C1', 'under his name');
SELECT is(t.complain('192.0.2.20', p_at => postern.now() + interval '1 minute'), 'warned', 'spam of the tenant now');
SELECT is((SELECT customer FROM postern.warning WHERE unit = '192.0.2.20'), 'C2', 'warns him');
SELECT is(t.hit('192.0.2.20', 'block', p_at => postern.now() - interval '1 day'), 'other-tenancy', 'the same for verdicts');
SELECT finish();
