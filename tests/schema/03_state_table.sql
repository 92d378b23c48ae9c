-- SPDX-License-Identifier: Apache-2.0
-- Every pair of state and event stands in the table, and the table names only what exists.
\ir support.sql
SELECT plan(12);

SELECT is_empty($$ SELECT s.state, e.event FROM postern.state s CROSS JOIN postern.event e
                   EXCEPT SELECT state, event FROM postern.state_transition $$,
    'every pair is there');
SELECT is_empty($$ SELECT state, event, guard FROM postern.state_transition
                    WHERE guard IS NOT NULL AND to_regprocedure(format('postern.guard_%s(postern.move)', guard)) IS NULL $$,
    'every guard is a function');
SELECT is_empty($$ SELECT state, event, effect FROM postern.state_transition
                    WHERE effect <> 'ignored' AND to_regprocedure(format('postern.effect_%s(postern.move)', effect)) IS NULL $$,
    'every effect is a function');
SELECT is_empty($$ SELECT p.proname FROM pg_proc p
                    WHERE p.pronamespace = 'postern'::regnamespace AND p.proname ~ '^(guard|effect)_'
                      AND NOT EXISTS (SELECT FROM postern.state_transition t WHERE p.proname IN ('guard_' || t.guard, 'effect_' || t.effect)) $$,
    'no guard and no effect is left over');
SELECT is_empty($$ SELECT * FROM postern.state_transition WHERE state = 'frozen' AND to_state <> 'frozen' $$,
    'frozen is absorbing');
SELECT set_eq($$ SELECT DISTINCT state FROM postern.state_transition WHERE to_state = 'frozen' AND state <> 'frozen' $$,
    ARRAY['freeze_scheduled'], 'one way leads to frozen');
SELECT is_empty($$ SELECT * FROM postern.state_transition WHERE state = 'clear' AND to_state = 'clear' AND event LIKE 'verdict%' AND effect <> 'watch' $$,
    'a clear unit answers every verdict above watch');

-- A missing pair stops, alarms, and leaves everything as it was.
SELECT t.enforce();
DELETE FROM postern.state_transition WHERE state = 'clear' AND event = 'verdict_flag';
SELECT t.verdict('192.0.2.1', 'flag') AS verdict \gset
SELECT throws_ok(format('SELECT postern.apply_verdict(%s)', :verdict), 'PT004', NULL, 'a missing pair raises');
SELECT postern.note_apply_error('verdict', :verdict, 'the state table has no row for (clear, verdict_flag)');
SELECT results_eq($$ SELECT kind, subject FROM postern.noc_alarm $$, format($$ VALUES ('apply-error', 'verdict %s') $$, :verdict),
    'and alarms');
SELECT results_eq('SELECT applied_at IS NULL, apply_error, t.state(unit) FROM postern.verdict',
    $$ VALUES (true, 'the state table has no row for (clear, verdict_flag)', 'clear') $$, 'the verdict is kept with its error');
INSERT INTO postern.state_transition VALUES ('clear', 'verdict_flag', 'may_act', 'warned', 'warn', 'record', 'put back');
SELECT t.later('1 minute');
SELECT is(postern.apply_verdict(id), 'warned', 'when the row is back, it is applied') FROM postern.claim_verdicts(1) AS id;
SELECT is((SELECT cleared_by FROM postern.noc_alarm), 'settled by itself', 'and the alarm is settled');
SELECT finish();
