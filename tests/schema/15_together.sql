-- SPDX-License-Identifier: Apache-2.0
-- Two of each dispatcher, the API, officers and the scorer at once: nothing is done twice, nobody
-- waits for ever. pgbench plays them; :what of 15_together.pgbench says who is who.
\ir support.sql
SELECT t.enforce();
SELECT postern.set_setting('mail.digest_from', '3', 'tester');
\ir model.sql
SELECT plan(7);

-- Many sessions read the clock: it moves by a setting, a file could be read half written.
UPDATE postern.setting SET value = 'offset:' || extract(epoch FROM postern.now() - clock_timestamp()) WHERE key = 'test.clock';
CREATE OR REPLACE FUNCTION t.later(p_by interval) RETURNS void LANGUAGE sql AS $$
    UPDATE postern.setting SET value = 'offset:' || (substr(value, 8)::float8 + extract(epoch FROM p_by)) WHERE key = 'test.clock' $$;

\setenv DB :DBNAME
\set said `pgbench --no-vacuum --client=6 --transactions=400 --max-tries=1 --file="$SCHEMA_TESTS/15_together.pgbench" "$CONNINFO dbname=$DB" 2>&1 || true`

SELECT matches(:'said'::text, 'processed: 2400/2400', 'all went through');
SELECT is((SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()), 0::bigint, 'no deadlock');
SELECT is_empty('SELECT * FROM t.breach', 'every invariant holds');
SELECT cmp_ok((SELECT count(*) FROM postern.audit_event), '>', 200::bigint, 'much has happened');
SELECT is_empty($$ SELECT verdict_id FROM (SELECT (detail ->> 'verdict_id')::bigint AS verdict_id FROM postern.audit_event) AS a
                    WHERE verdict_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1 $$, 'no verdict was applied twice');
SELECT is_empty($$ SELECT complaint_id FROM (SELECT (detail ->> 'complaint_id')::bigint AS complaint_id FROM postern.audit_event) AS a
                    WHERE complaint_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1 $$, 'no complaint was applied twice');
SELECT is_empty($$ SELECT timer_id FROM (SELECT (detail ->> 'timer_id')::bigint AS timer_id FROM postern.audit_event
                                          WHERE detail -> 'result' ->> 'action' NOT IN ('held', 'clock-stopped')) AS a
                    WHERE timer_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1 $$, 'no timer was fired twice');
SELECT finish();
