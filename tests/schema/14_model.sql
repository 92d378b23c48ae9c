-- SPDX-License-Identifier: Apache-2.0
-- The model test: random events at the functions, every transition compared with the specification
-- (pairs.sql), and after each event the invariants (model.sql) of the units that it moved; of all
-- units every ten thousand. The seed is printed; MODEL_SEED=… MODEL_EVENTS=… tests/schema/run repeats it.
-- Half of the events come here, the other half in 14_model_more.sql, at the same time.
\if :{?half}
\else
    \set half 1
\endif
SELECT CASE :half WHEN 1 THEN s ELSE -s END AS seed, e / 2 AS events
  FROM (SELECT current_setting('model.seed')::float8 AS s, current_setting('model.events')::int AS e) AS x \gset
\ir support.sql
SELECT t.enforce();
SELECT postern.set_setting('mail.digest_from', '3', 'tester');
\ir pairs.sql
\ir model.sql
SELECT plan(6);

-- One session: the clock is a setting of it, which is read faster than a file.
SELECT set_config('t.clock', postern.now()::text, false);
CREATE OR REPLACE FUNCTION postern.now() RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN current_setting('t.clock')::timestamptz; END $$;
CREATE OR REPLACE FUNCTION t.at(p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('t.clock', p_at::text, false); END $$;

-- A transition that the specification does not know. Effects may find that it is not about them.
CREATE FUNCTION t.wrong(a postern.audit_event) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_action text := a.detail -> 'result' ->> 'action';
    s t.spec;
BEGIN
    SELECT x.* INTO STRICT s FROM t.spec x WHERE x.state = a.from_state AND x.event = a.event;
    RETURN CASE
        WHEN a.effect LIKE 'refused by %' THEN a.to_state <> a.from_state OR s.guard IS DISTINCT FROM substr(a.effect, 12)
        WHEN a.effect = 'shadow' THEN a.to_state <> a.from_state OR s.in_shadow <> v_action
        WHEN s.action = 'freeze-withdrawn' THEN a.to_state NOT IN ('unblocking', 'blocked') OR v_action <> s.action
        ELSE a.to_state <> s.to_state OR v_action <> s.action
             AND NOT (a.event IN ('mail_accepted', 'mail_failed', 'dispute_ended') AND v_action IN ('ignored', 'mailing')
                      OR a.event = 'extended' AND v_action = 'refused') END;
END
$$;

CREATE TABLE t.broken (event int, did text, what text, unit inet, subject text);
CREATE TABLE t.did (what text);
CREATE PROCEDURE t.run(p_events int) LANGUAGE plpgsql AS $$
DECLARE
    v_did text;
    v_seen bigint := coalesce((SELECT max(id) FROM postern.audit_event), 0);
    v_units inet[];
    v_unit inet;
    a postern.audit_event;
BEGIN
    FOR i IN 1 .. p_events LOOP
        IF i % 1000 = 0 THEN
            PERFORM t.new_arena(1 + i / 1000);
            INSERT INTO t.broken SELECT i, 'everything', b.* FROM t.breach b WHERE i % 10000 = 0;
            IF i IN (1000, 10000, 30000) THEN
                ANALYZE;
            END IF;
        END IF;
        BEGIN
            v_did := t.something();
        EXCEPTION WHEN SQLSTATE 'PT006' THEN
            v_did := 'not possible';   -- who proposed does not approve
        END;
        INSERT INTO t.did VALUES (v_did);
        v_units := '{}';
        FOR a IN SELECT * FROM postern.audit_event WHERE id > v_seen ORDER BY id LOOP
            v_seen := a.id;
            CONTINUE WHEN a.from_state IS NULL;
            IF t.wrong(a) THEN
                INSERT INTO t.broken VALUES (i, v_did, format('%s, %s became %s by %s', a.from_state, a.event, a.to_state, a.effect), a.unit, a.detail::text);
            END IF;
            IF a.effect NOT IN ('ignored', 'refuse', 'watch', 'note', 'append') AND a.effect NOT LIKE 'refused by %' AND NOT a.unit = ANY (v_units) THEN
                v_units := v_units || a.unit;
            END IF;
        END LOOP;
        FOREACH v_unit IN ARRAY v_units LOOP
            INSERT INTO t.broken SELECT i, v_did, b.* FROM t.breach b WHERE b.unit = v_unit;
        END LOOP;
        EXIT WHEN EXISTS (SELECT FROM t.broken);
        IF i % 20 = 0 THEN
            COMMIT;
        END IF;
    END LOOP;
END
$$;

SELECT diag(format('seed %s, %s events', :seed, :events));
SELECT setseed(:seed);
CALL t.run(:events);
SELECT is_empty('SELECT * FROM t.broken', 'every transition is as specified, every invariant holds after every event');
SELECT is_empty('SELECT * FROM t.breach', 'and at the end');
SELECT is((SELECT count(*) FROM t.did), :events::bigint, 'all events were fired');
-- The test says something only if it has been everywhere; a short run cannot. What is rare may need some events more.
CREATE VIEW t.not_had AS
    (SELECT effect FROM postern.state_transition UNION SELECT 'refused by ' || guard FROM postern.state_transition WHERE guard IS NOT NULL)
    EXCEPT SELECT effect FROM postern.audit_event;
CREATE PROCEDURE t.everywhere() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 50 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM t.not_had);
        CALL t.run(999); -- in the arena that it is in
    END LOOP;
END
$$;
SELECT current_setting('model.events')::int >= 100000 AS long \gset
\if :long
    CALL t.everywhere();
    SELECT is_empty('SELECT * FROM t.not_had', 'every effect was had, every guard has refused');
    SELECT is_empty('SELECT what FROM t.broken UNION ALL SELECT what FROM t.breach', 'and all was as specified on the way');
\else
    SELECT skip('a short run has not been everywhere', 2);
\endif
SELECT diag(format('least often: %s, %s times', effect, count(*))) FROM postern.audit_event
 WHERE effect LIKE 'refused by %' GROUP BY effect ORDER BY count(*) LIMIT 3;

-- And only if it fails where the table is wrong: one row of those that were often used, another to_state.
SELECT a.from_state AS state, a.event AS event, m.state AS wrong
  FROM (SELECT from_state, event FROM postern.audit_event WHERE effect = 'shadow' IS FALSE AND effect NOT IN ('ignored', 'refuse') AND effect NOT LIKE 'refused by %'
         GROUP BY 1, 2 HAVING count(*) >= :events / 250) AS a
  JOIN postern.state_transition r ON r.state = a.from_state AND r.event = a.event JOIN postern.state m ON m.state <> r.to_state
 ORDER BY random() LIMIT 1 \gset
SELECT diag(format('wrong on purpose: %s, %s to %s', :'state', :'event', :'wrong'));
UPDATE postern.state_transition SET to_state = :'wrong' WHERE state = :'state' AND event = :'event';
CREATE FUNCTION t.fails() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 20000 LOOP
        IF i % 1000 = 0 THEN
            PERFORM t.new_arena(200 + i / 1000);
        END IF;
        BEGIN
            PERFORM t.something();
        EXCEPTION WHEN SQLSTATE 'PT006' THEN
            CONTINUE;   -- who proposed does not approve
        WHEN OTHERS THEN
            RETURN true;
        END;
        IF EXISTS (SELECT FROM postern.audit_event a WHERE a.id > currval('postern.audit_event_id_seq') - 100 AND a.from_state IS NOT NULL AND t.wrong(a)) THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END
$$;
SELECT ok(t.fails(), 'a wrong row of the table is noticed');
SELECT finish();
