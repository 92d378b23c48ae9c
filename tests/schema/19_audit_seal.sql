-- SPDX-License-Identifier: Apache-2.0
-- The audit's seals: what committed is covered once, in whatever order; what a superuser changes,
-- removes or slips in is named.
\ir support.sql
SELECT t.some_history();
SELECT plan(20);

SELECT cmp_ok((SELECT rows FROM api_v1.audit_unsealed), '>=', 20::bigint, 'what happened waits for its seal');
SELECT is(postern.seal_audit(7), 7, 'a seal covers so many rows at most');
SELECT is(postern.seal_audit(10000), (SELECT count(*)::int FROM postern.audit_event) - 7, 'the next one the rest');
SELECT is(postern.seal_audit(10000), 0, 'nothing new, no seal');
SELECT is((SELECT count(*) FROM postern.audit_seal), 2::bigint, 'two seals');
SELECT is_empty('SELECT * FROM postern.verify_audit()', 'the chain holds');
SET TimeZone = 'America/New_York';
SET DateStyle = 'German';
SELECT is_empty('SELECT * FROM postern.verify_audit()', 'in every session');
RESET TimeZone;
RESET DateStyle;

-- Another session draws a later id and commits first.
\setenv DB :DBNAME
BEGIN;
SELECT postern.audit('early', 'test', NULL, '{}');
\set said `psql "$CONNINFO dbname=$DB" -XqAtc "SELECT postern.audit('late', 'test', NULL, '{}')" -c "SELECT postern.seal_audit(10000)" 2>&1`
SELECT is(btrim(:'said', E' \n'), '1', 'what is not committed is not sealed');
COMMIT;
SELECT is(postern.seal_audit(10000), 1, 'it is when it is committed');
SELECT results_eq($$ SELECT a.actor FROM postern.audit_seal s JOIN postern.audit_event a ON a.id = s.audit_ids[1] WHERE s.id >= 3 ORDER BY s.id $$,
    ARRAY['late', 'early'], 'in the order of the commits');
SELECT is_empty($$ SELECT * FROM postern.verify_audit((SELECT digest FROM api_v1.audit_seals WHERE id = 3)) $$, 'the digest of an earlier report stands in the chain');

-- Seals stay, even for a superuser who does not switch the guards off …
SELECT throws_ok('DELETE FROM postern.audit_seal', 'PT005', NULL, 'seals are kept for ever');
SET session_replication_role = replica;
SELECT throws_ok('UPDATE postern.audit_seal SET marks = marks', 'PT005', NULL, 'also for a replica''s session');
RESET session_replication_role;

-- … and one who does is found out.
CREATE FUNCTION t.tamper(p_sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_found text;
BEGIN
    ALTER TABLE postern.audit_event DISABLE TRIGGER ALL;
    ALTER TABLE postern.audit_seal DISABLE TRIGGER ALL;
    EXECUTE p_sql;
    SELECT format('seal %s, row %s: %s', seal_id, audit_id, problem) INTO v_found FROM postern.verify_audit() ORDER BY place LIMIT 1;
    RAISE EXCEPTION USING ERRCODE = 'PTTRY';
EXCEPTION WHEN SQLSTATE 'PTTRY' THEN
    RETURN v_found;
END
$$;
SELECT is(t.tamper($$ UPDATE postern.audit_event SET actor = 'nobody' WHERE id IN (5, 9) $$), 'seal 1, row 5: row changed', 'a changed row is named');
SELECT is(t.tamper($$ UPDATE postern.audit_event SET detail = '{}' WHERE id = 9 $$), 'seal 2, row 9: row changed', 'whatever is changed in it');
SELECT is(t.tamper($$ DELETE FROM postern.audit_event WHERE id = 6 $$), 'seal 1, row 6: row removed', 'a removed row is named');
SELECT matches(t.tamper($$ INSERT INTO postern.audit_event (at, actor, login, event) VALUES (postern.now(), 'x', 'x', 'x') $$), 'row \d+: row slipped in', 'a row that was slipped in is named');
SELECT is(t.tamper($$ DELETE FROM postern.audit_seal WHERE id = 2 $$), 'seal 3, row : seal 2 is missing', 'a missing seal is named');
SELECT is(t.tamper($$ UPDATE postern.audit_event SET actor = 'nobody' WHERE id = 5; UPDATE postern.audit_seal SET marks = overlay(marks PLACING
        substr((SELECT postern.audit_hash(a) FROM postern.audit_event a WHERE a.id = 5), 1, 8) FROM 33) WHERE id = 1 $$),
    'seal 1, row : digest does not fit its rows and the seal before', 'marks that were made to fit do not help');
SELECT is((SELECT problem FROM postern.verify_audit(repeat('00', 32))), 'no seal has the digest ' || repeat('00', 32), 'a chain that was made anew lacks the report''s digest');
SELECT finish();
