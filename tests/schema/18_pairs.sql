-- SPDX-License-Identifier: Apache-2.0
-- Each pair of state and event, tried: where the unit goes, what changes, what hinders it, what shadow
-- mode makes of it. Then each row of the state table is changed, column by column: every change is
-- noticed.
\ir support.sql
SELECT t.enforce();
\ir pairs.sql
SELECT plan(6);

-- One unit in each state, some in two forms; the clock stands where every guard lets through.
CREATE TABLE t.base (state text, form text DEFAULT '', unit inet, PRIMARY KEY (state, form));
INSERT INTO t.base VALUES ('clear', '', '192.0.2.1'), ('warned', '', '192.0.2.2'), ('warned', 'mailing', '192.0.2.3'),
    ('warned', 'disputed', '192.0.2.4'), ('blocked', '', '192.0.2.5'), ('unblocking', '', '192.0.2.6'),
    ('freeze_proposed', '', '192.0.2.7'), ('freeze_scheduled', '', '192.0.2.8'), ('frozen', '', '192.0.2.9'),
    ('freeze_proposed', 'was blocked', '192.0.2.10'), ('freeze_scheduled', 'was blocked', '192.0.2.11');
CREATE FUNCTION t.unit(p_state text, p_event text) RETURNS inet LANGUAGE sql STABLE AS $$
    SELECT unit FROM t.base WHERE state = p_state AND form = CASE
        WHEN state = 'warned' AND p_event = 'mail_accepted' THEN 'mailing'
        WHEN state = 'warned' AND p_event = 'dispute_ended' THEN 'disputed' ELSE '' END
$$;
SELECT t.hit(unit, 'watch') FROM t.base;
SELECT postern.transition(unit, 'listed', 'dnsbl', '{"zone": "zen.example"}') FROM t.base WHERE state IN ('freeze_scheduled', 'frozen') AND form = '';
SELECT postern.transition(unit, 'freeze_approved', 'officer') FROM t.base WHERE state IN ('freeze_scheduled', 'frozen') AND form = '';
SELECT t.hit('192.0.2.2', 'flag'), t.hit('192.0.2.4', 'flag'), t.post();
SELECT t.later('2 hours');
SELECT postern.make_statement('192.0.2.4', 'C1', 'disputed', 'not mine');
SELECT t.later('16 hours');
SELECT t.hit('192.0.2.5', 'block'), t.hit('192.0.2.6', 'block'), t.hit('192.0.2.10', 'block'), t.hit('192.0.2.11', 'block'), t.network(), t.post();
SELECT t.later('6 hours 1 minute');
SELECT postern.request_unblock('192.0.2.6', 'C1');
SELECT postern.transition(unit, 'listed', 'dnsbl', '{"zone": "zen.example"}') FROM t.base WHERE state = 'freeze_proposed' OR form = 'was blocked';
SELECT postern.transition('192.0.2.11', 'freeze_approved', 'officer');
UPDATE postern.freeze_proposal SET confirmed_at = postern.now() WHERE state = 'scheduled';
SELECT postern.commit_freeze(id) FROM postern.freeze_proposal WHERE unit = '192.0.2.9';
SELECT t.hit('192.0.2.3', 'flag');
SELECT results_eq('SELECT state, t.state(unit) FROM t.base', 'SELECT state, state FROM t.base', 'there is a unit in each state');

-- What comes with an event.
CREATE FUNCTION t.detail(p_event text, u inet) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    IF p_event LIKE 'verdict%' THEN
        RETURN jsonb_build_object('verdict_id', t.verdict(u, split_part(p_event, '_', 2)));
    ELSIF p_event LIKE 'complaint%' THEN
        v_id := t.complaint(u);
        UPDATE postern.complaint SET unit = u, customer = 'C1', counted = true, enrolled = true, weight = 1 WHERE id = v_id;
        RETURN jsonb_build_object('complaint_id', v_id);
    ELSIF p_event IN ('mail_accepted', 'mail_failed', 'reminder', 'deadline_missed', 'deadline_met') THEN
        RETURN jsonb_build_object('warning_id', (SELECT max(id) FROM postern.warning WHERE unit = u));
    END IF;
    RETURN CASE p_event WHEN 'extended' THEN jsonb_build_object('until', postern.now() + interval '2 days')
                        WHEN 'reassigned' THEN '{"customer": "C2"}' WHEN 'listed' THEN '{"zone": "zen.example"}'
                        ELSE '{"reason": "a reason", "text": "what I did"}' END;
END
$$;
-- Everything at once that any guard heeds.
CREATE FUNCTION t.hinder(u inet) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO postern.exemption (net, kind, during, reason, actor, created_at)
    VALUES (u::cidr, 'all', tstzrange(postern.now(), postern.now() + interval '1 day'), 'x', 'x', postern.now());
    UPDATE postern.ip_assignment SET shared = true WHERE net >>= u AND during @> postern.now();
    UPDATE postern.warning SET state = 'disputed', stopped_at = postern.now() WHERE unit = u AND state = 'running';
    UPDATE postern.block SET hold_until = postern.now() + interval '129 seconds' WHERE unit = u AND upper_inf(during);
    INSERT INTO postern.statement (case_id, kind, text, actor, made_at, accepted)
    SELECT s.case_id, k, 'x', 'x', postern.now(), true FROM postern.ip_state s, unnest(ARRAY['fixed', 'disputed']) AS k
     WHERE s.unit = u AND s.case_id IS NOT NULL;
END
$$;
-- One event at the unit in that state, undone afterwards. how: '', hindered, shadow.
CREATE FUNCTION t.try(p_state text, p_event text, p_how text, p_form text DEFAULT NULL,
        OUT to_state text, OUT action text, OUT does text) LANGUAGE plpgsql AS $$
DECLARE
    u inet := CASE WHEN p_form IS NULL THEN t.unit(p_state, p_event)
                   ELSE (SELECT unit FROM t.base WHERE state = p_state AND form = p_form) END;
    v_detail jsonb;
    v_before text[];
    v_version bigint;
    v_result jsonb;
BEGIN
    CASE p_how WHEN 'hindered' THEN PERFORM t.hinder(u);
               WHEN 'shadow' THEN PERFORM postern.set_mode('shadow', 'tester');
               ELSE NULL; END CASE;
    v_detail := t.detail(p_event, u);
    v_before := t.stand(u);
    SELECT version INTO STRICT v_version FROM postern.ip_state WHERE unit = u;
    v_result := postern.transition(u, p_event, 'tester', v_detail);
    to_state := t.state(u);
    action := v_result ->> 'action';
    does := t.difference(v_before, t.stand(u));
    -- What is ignored is no transition; what is refused says why in the table's words.
    IF action = 'ignored' AND v_version <> (SELECT version FROM postern.ip_state WHERE unit = u)
       OR action = 'refused' AND v_result ->> 'message' <> (SELECT note FROM postern.state_transition WHERE state = p_state AND event = p_event) THEN
        action := action || ', by something else';
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'PTTRY';
EXCEPTION WHEN SQLSTATE 'PTTRY' THEN
    RETURN;
WHEN OTHERS THEN
    to_state := 'error';
    action := SQLERRM;
END
$$;

-- How a pair differs from the specification; NULL: not at all.
CREATE FUNCTION t.deviation(p_state text, p_event text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    s t.spec;
    r record;
BEGIN
    SELECT x.* INTO STRICT s FROM t.spec x WHERE x.state = p_state AND x.event = p_event;
    SELECT x.* INTO r FROM t.try(p_state, p_event, '') AS x;
    IF (r.to_state, r.action, r.does) IS DISTINCT FROM (s.to_state, s.action, s.does) THEN
        RETURN format('%s, %s: %s', r.to_state, r.action, r.does);
    END IF;
    -- What has no guard is not hindered by anything.
    SELECT x.* INTO r FROM t.try(p_state, p_event, 'hindered') AS x;
    IF (r.to_state, r.action) IS DISTINCT FROM (CASE WHEN s.guard IS NULL THEN s.to_state ELSE s.state END, coalesce(s.hindered, s.action))
       OR s.guard IS NOT NULL AND r.does <> '' THEN
        RETURN format('hindered: %s, %s: %s', r.to_state, r.action, r.does);
    END IF;
    SELECT x.* INTO r FROM t.try(p_state, p_event, 'shadow') AS x;
    IF (r.to_state, r.action) IS DISTINCT FROM (CASE WHEN s.in_shadow = s.action THEN s.to_state ELSE s.state END, s.in_shadow) THEN
        RETURN format('shadow: %s, %s: %s', r.to_state, r.action, r.does);
    END IF;
    -- What was blocked before a freeze was proposed is blocked again.
    IF s.action = 'freeze-withdrawn' THEN
        SELECT x.* INTO r FROM t.try(p_state, p_event, '', 'was blocked') AS x;
        IF (r.to_state, r.action) IS DISTINCT FROM ('blocked', s.action) THEN
            RETURN format('was blocked: %s, %s: %s', r.to_state, r.action, r.does);
        END IF;
    END IF;
    RETURN NULL;
END
$$;
SELECT is_empty('SELECT state, event FROM postern.state CROSS JOIN postern.event EXCEPT SELECT state, event FROM t.spec',
    'the specification names every pair');
SELECT is_empty('SELECT * FROM (SELECT state, event, t.deviation(state, event) AS is FROM t.spec) AS x WHERE x.is IS NOT NULL',
    'every pair does what is specified');

-- ------------------------------------------------------- a table that is wrong somewhere is noticed

-- Each column of each row, as it stands in other rows; what could make no difference is left out: a
-- row that is ignored asks no guard and (a constraint sees to it) goes nowhere.
SELECT throws_ok($$ UPDATE postern.state_transition SET to_state = 'clear' WHERE state = 'frozen' AND event = 'released' $$, '23514', NULL,
    'what is ignored or refused goes nowhere');
ALTER TABLE postern.state_transition DROP CONSTRAINT state_transition_check;
CREATE TABLE t.mutant AS
    SELECT r.state, r.event, m.*, NULL::text AS noticed
      FROM postern.state_transition r, LATERAL (
        SELECT 'to_state' AS col, x AS value FROM unnest(ARRAY['clear', 'warned', 'blocked', 'unblocking', 'freeze_proposed', 'freeze_scheduled', 'frozen']) AS x
         WHERE x <> r.to_state AND r.effect <> 'ignored'
        UNION ALL
        (SELECT 'effect', o.effect FROM (SELECT DISTINCT effect FROM postern.state_transition) AS o WHERE o.effect <> r.effect
          ORDER BY hashtext(r.state || r.event || o.effect) LIMIT 3)
        UNION ALL
        SELECT 'guard', CASE WHEN r.guard IS NULL THEN 'may_warn' END WHERE r.effect <> 'ignored'
        UNION ALL
        SELECT 'in_shadow', CASE r.in_shadow WHEN 'act' THEN 'record' ELSE 'act' END WHERE r.effect <> 'ignored') AS m;

CREATE FUNCTION t.notice(x t.mutant) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_what text;
BEGIN
    EXECUTE format('UPDATE postern.state_transition SET %I = $1 WHERE state = $2 AND event = $3', x.col) USING x.value, x.state, x.event;
    v_what := coalesce(t.deviation(x.state, x.event), '');
    RAISE EXCEPTION USING ERRCODE = 'PTTRY';
EXCEPTION WHEN SQLSTATE 'PTTRY' THEN
    RETURN nullif(v_what, '');
END
$$;
UPDATE t.mutant AS m SET noticed = t.notice(m);
SELECT diag(format('%s changed rows', count(*))) FROM t.mutant;
SELECT cmp_ok((SELECT count(*) FROM t.mutant), '>=', 8 * (SELECT count(*) FROM postern.state_transition WHERE effect <> 'ignored'),
    'every column of every row was changed');
SELECT is_empty('SELECT state, event, col, value FROM t.mutant WHERE noticed IS NULL', 'every change was noticed');
SELECT finish();
