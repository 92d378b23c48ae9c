-- SPDX-License-Identifier: Apache-2.0
-- Customers from the hoster's own system.
\ir support.sql
SELECT t.enforce();
SELECT plan(46);

CREATE FUNCTION t.diff(p_lines text[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM postern.customers_import_begin();
    EXECUTE 'INSERT INTO pg_temp.import_row SELECT l[1], l[2], l[3], l[4], l[5], l[6], l[7], l[8], l[9], l[10], n + 1
               FROM (SELECT string_to_array(x || repeat(''|'', 9), ''|''), n FROM unnest($1) WITH ORDINALITY AS u (x, n)) AS s (l, n)'
      USING p_lines;
    RETURN (SELECT coalesce(string_agg(concat_ws(' ', change, net, customer, nullif(detail, '')), E'\n'), '') FROM postern.customers_import_diff());
END
$$;
CREATE FUNCTION t.file() RETURNS text[] LANGUAGE sql AS $$ SELECT ARRAY[
    '192.0.2.0/25|C1|Alice Ltd|vps|vps-1|||security:sec@alice.example abuse:abuse@alice.example|en|Europe/Berlin',
    '2001:db8:1::/48|C1|Alice Ltd|vps|vps-6|56||security:sec@alice.example abuse:abuse@alice.example|en|Europe/Berlin',
    '192.0.2.128/25|C2|Bob|dedicated|ded-1|||bob@bob.example'] $$;

-- the same again
SELECT is(t.diff(t.file()), '', 'the same file again: no difference');
SELECT is(t.import(t.file()), '{}', 'and nothing done');
SELECT is((SELECT count(*) FROM postern.ip_assignment), 3::bigint, 'three tenancies');
SELECT ok((SELECT bool_and(lower_inf(during) AND upper_inf(during)) FROM postern.ip_assignment), 'the first ones have no lower bound');
-- differences are shown, and done
SELECT is(t.diff(t.file() || ARRAY['192.0.2.9|C2|Bob|vps|vps-9|||x@bob.example']), E'add 192.0.2.9/32 C2\ncontact-add 192.0.2.9/32 C2 abuse:x@bob.example', 'a nested net and its own contact');
SELECT is((SELECT count(*) FROM postern.ip_assignment), 3::bigint, 'a diff changes nothing');
SELECT t.hit('192.0.2.9', 'block'), t.hit('192.0.2.10', 'block'), t.network();
SELECT t.later('1 hour');
SELECT is(t.import(t.file() || ARRAY['192.0.2.9|C2|Bob|vps|vps-9|||x@bob.example']), '{"add": 1, "contact-add": 1, "handed-over": 1}', 'done');
SELECT is((SELECT lower(during) FROM postern.ip_assignment WHERE net = '192.0.2.9'), postern.now(), 'a net that somebody had before begins now');
SELECT is((postern.tenancy_at('192.0.2.9', postern.now())).customer, 'C2', 'the most specific wins now');
SELECT is((postern.tenancy_at('192.0.2.9', postern.now() - interval '1 minute')).customer, 'C1', 'and not before');
SELECT results_eq($$ SELECT state, customer, level, case_id FROM postern.ip_state WHERE unit = '192.0.2.9' $$, $$ VALUES ('clear', 'C2', 0, NULL::bigint) $$, 'its unit starts clear');
SELECT is((SELECT action FROM postern.enforcement WHERE unit = '192.0.2.9'), 'open', 'and is opened');
SELECT is(t.state('192.0.2.10'), 'blocked', 'its neighbour stays');
SELECT is((SELECT outcome FROM postern.spam_case WHERE unit = '192.0.2.9'), 'reassigned', 'the case stays with the old tenant');
SELECT ok(EXISTS (SELECT FROM postern.noc_alarm WHERE kind = 'reused'), 'quarantine before reuse');
SELECT ok(EXISTS (SELECT FROM postern.scorer_input WHERE kind = 'reassigned' AND unit = '192.0.2.9'), 'the detector hears of it');
SELECT is(postern.level_of('192.0.2.9', 'C1', postern.now()), 1, 'so does the level');
SELECT is((SELECT email FROM postern.contact_for('C2', '192.0.2.9', '{}')), 'x@bob.example', 'the net''s own contact is asked first');
SELECT is((SELECT email FROM postern.contact_for('C2', '192.0.2.129', '{}')), 'bob@bob.example', 'not for other nets');
SELECT is((SELECT email FROM postern.contact_for('C1', '192.0.2.1', '{}')), 'sec@alice.example', 'security before abuse');
-- other words, same tenancy
SELECT is(t.diff(ARRAY['192.0.2.0/25|C1|Alice & Co|vps|vps-2||yes|security:sec@alice.example|en|Europe/Berlin',
    '2001:db8:1::/48|C1|Alice & Co|vps|vps-6|60||security:sec@alice.example|en|Europe/Berlin',
    '192.0.2.128/25|C2|Bob|dedicated|ded-1|||bob@bob.example', '192.0.2.9|C2|Bob|vps|vps-9|||x@bob.example']),
    E'change 192.0.2.0/25 C1 service "vps-1" to "vps-2", shared f to t\nchange 2001:db8:1::/48 C1 unit_len 56 to 60\ncustomer-change C1 Alice & Co\ncontact-remove C1 abuse:abuse@alice.example',
    'changes name what changed');
SELECT t.import(ARRAY['192.0.2.0/25|C1|Alice & Co|vps|vps-2||yes|security:sec@alice.example|en|Europe/Berlin',
    '2001:db8:1::/48|C1|Alice & Co|vps|vps-6|60||security:sec@alice.example|en|Europe/Berlin',
    '192.0.2.128/25|C2|Bob|dedicated|ded-1|||bob@bob.example', '192.0.2.9|C2|Bob|vps|vps-9|||x@bob.example']);
SELECT is((SELECT count(*) FROM postern.ip_assignment), 4::bigint, 'the tenancies go on');
SELECT ok(EXISTS (SELECT FROM postern.scorer_input WHERE kind = 'unit_len' AND unit_len = 60), 'the detector hears of another unit length');
-- removals
SELECT throws_ok($$ SELECT t.import(ARRAY['192.0.2.0/25|C1|Alice & Co|vps|vps-2||yes']) $$, 'PT002',
    'the file would remove 3 of 4 assignments, more than 10 %', 'half a file is refused');
SELECT is((SELECT count(*) FROM postern.ip_assignment WHERE upper_inf(during)), 4::bigint, 'and nothing of it is done');
SELECT is(t.import(ARRAY['192.0.2.0/25|C1|Alice & Co|vps|vps-2||yes'], true) ->> 'remove', '3', 'forced, it is done');
SELECT is((postern.tenancy_at('192.0.2.200', postern.now())).customer, NULL, 'nobody''s now');
SELECT is((SELECT removed_at FROM postern.customer WHERE id = 'C2'), postern.now(), 'the customer is kept, marked');
-- somebody else''s now
SELECT t.hit('192.0.2.1', 'flag'), t.post();
SELECT t.import(ARRAY['192.0.2.0/25|C2|Bob'], true);
SELECT is(t.state('192.0.2.1'), 'clear', 'a warning does not follow the address');
SELECT is((SELECT state FROM postern.warning), 'withdrawn', 'it is withdrawn');
SELECT t.later('2 days');
SELECT is(t.timers(), '', 'and its timers are gone');
SELECT is((SELECT name FROM postern.customer WHERE id = 'C2' AND removed_at IS NULL), 'Bob', 'a customer can come back');
-- bad rows: line and remedy
SELECT throws_ok($$ SELECT t.diff(ARRAY['192.0.2.0/25|C1', '192.0.2.0/24x|C1']) $$, 'PT003', 'line 3: invalid input syntax for type cidr: "192.0.2.0/24x"', 'a net that is none');
SELECT throws_like($$ SELECT t.diff(ARRAY['192.0.2.5/25|C1']) $$, 'line 2: invalid cidr value%', 'bits to the right of the mask');
SELECT throws_ok($$ SELECT t.diff(ARRAY['192.0.2.0/25|']) $$, 'PT003', 'line 2: customer is missing', 'no customer');
SELECT throws_ok($$ SELECT t.diff(ARRAY['192.0.2.0/25|C1', '192.0.2.0/25|C2']) $$, 'PT003', 'line 3: net 192.0.2.0/25 stands in line 2 already, for customer C1 instead of C2', 'one prefix for two customers');
SELECT throws_ok($$ SELECT t.diff(ARRAY['192.0.2.0/25|C1||||40']) $$, 'PT003', 'line 2: unit_len of an IPv4 net is 32 or empty', 'a unit length that is none');
SELECT throws_ok($$ SELECT t.diff(ARRAY['192.0.2.0/25|C1|||||maybe']) $$, 'PT003', 'line 2: invalid input syntax for type boolean: "maybe"', 'shared is yes or no');
SELECT throws_like($$ SELECT t.diff(ARRAY['192.0.2.0/25|C1||||||someone']) $$, 'line 2: contact "someone" is not like%', 'a contact that is none');
SELECT throws_like($$ SELECT t.diff(ARRAY['192.0.2.0/25|C1|||||||en|Mars/Base']) $$, 'line 2: tz "Mars/Base"%', 'a time zone that is none');
SELECT throws_like($$ SELECT t.diff(ARRAY['192.0.2.0/25|C1||||||abuse:a@b.example ' || repeat('x', 65) || '@b.example'])$$, 'line 2: contact "xxx%', 'a mailbox that is too long, among good ones');
SELECT is(t.diff(ARRAY['192.0.2.0/25|C2|Bob|||||' || repeat('abuse:somebody@b.example, ', 9)]) ~ 'contact-add', true, 'many contacts, with a comma at the end');
-- one tenancy at a time, whoever writes
SELECT throws_ok($$ INSERT INTO postern.ip_assignment (net, customer, unit_len, during) VALUES ('192.0.2.0/25', 'C1', 32, '[,)') $$,
    '23505', NULL, 'a net has one open tenancy');
SELECT throws_ok($$ INSERT INTO postern.ip_assignment (net, customer, unit_len, during) VALUES ('192.0.2.0/25', 'C1', 32, '[2000-01-01, 2026-05-02)') $$,
    '23P01', 'net 192.0.2.0/25 would have two tenancies at a time', 'nor two in the past');
-- a table of the caller's own is not read
CREATE ROLE test_officer LOGIN IN ROLE postern_officer;
DROP TABLE pg_temp.import_row;
SET SESSION AUTHORIZATION test_officer;
CREATE TEMPORARY TABLE import_row (net text, customer text, line int);
SELECT public.throws_ok('SELECT * FROM postern.customers_import_diff()', 'PT006', 'there is nothing to import', 'a table of one''s own making is not read');
RESET SESSION AUTHORIZATION;
DROP OWNED BY test_officer; DROP ROLE test_officer;
SELECT is(postern.network_end('192.0.2.0/24', 'tester'), 'ended', 'address space is sold');
SELECT finish();
