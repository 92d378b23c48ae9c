-- SPDX-License-Identifier: Apache-2.0
-- The model test: random events at the functions, invariants after each. The seed is printed;
-- MODEL_SEED=… MODEL_EVENTS=… tests/schema/run repeats and lengthens it.
\ir support.sql
SELECT t.enforce();
\ir model.sql
SELECT plan(4);

CREATE TABLE t.broken (event int, did text, what text, subject text);
CREATE TABLE t.did (what text);
CREATE PROCEDURE t.run(p_events int) LANGUAGE plpgsql AS $$
DECLARE
    v_did text;
BEGIN
    FOR i IN 1 .. p_events LOOP
        BEGIN
            v_did := t.something();
        EXCEPTION WHEN SQLSTATE 'PT006' THEN
            v_did := 'not possible';   -- who proposed does not approve
        END;
        INSERT INTO t.did VALUES (v_did);
        IF i % 5 = 0 THEN
            INSERT INTO t.broken SELECT i, v_did, b.* FROM t.breach b;
            EXIT WHEN FOUND;
        END IF;
        COMMIT;
    END LOOP;
END
$$;

SELECT diag(format('seed %s, %s events', current_setting('model.seed'), current_setting('model.events')));
SELECT setseed(current_setting('model.seed')::float8);
CALL t.run(current_setting('model.events')::int);
SELECT is_empty('SELECT * FROM t.broken', 'every invariant holds after every event');
SELECT is_empty('SELECT * FROM t.breach', 'and at the end');
SELECT is((SELECT count(*) FROM t.did), current_setting('model.events')::bigint, 'all events were fired');
-- The test says something only if it has been everywhere; rarer places need a longer run.
SELECT is_empty($$ SELECT unnest(ARRAY['watch', 'append', 'warn', 'block', 'start_clock', 'unblock', 'release', 'finish_release', 'note_enforced']
                       || CASE WHEN current_setting('model.events')::int >= 20000 THEN
                          ARRAY['relapse', 'note', 'remind', 'sanction', 'resolve', 'suspend', 'stop_clock', 'resume_clock', 'end_probation',
                                'hand_over', 'propose_freeze', 'withdraw_freeze'] ELSE '{}' END)
                   EXCEPT SELECT effect FROM postern.audit_event $$, 'it has been everywhere');
SELECT finish();
