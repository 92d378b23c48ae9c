-- SPDX-License-Identifier: Apache-2.0
-- Guards of the state table: may this happen now? NULL: yes. Otherwise {action, message, …} says why
-- not, and the state stays. And the value that guards and effects are given.

SET LOCAL ROLE postern_owner;

CREATE TYPE postern.move AS (
    unit postern.unit,
    customer text,
    event text,
    from_state text,
    to_state text,
    case_id bigint,
    actor text,
    at timestamptz,
    note text,
    detail jsonb
);
COMMENT ON TYPE postern.move IS 'What guards and effects know about the transition under way';

-- ----------------------------------------------------------------------------------------- guards

CREATE FUNCTION postern.guard_may_warn(m postern.move) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM postern.never_block n WHERE n.net >>= m.unit)
            THEN jsonb_build_object('action', 'never-block', 'message', 'It is our own infrastructure')
        WHEN EXISTS (SELECT FROM postern.exemption e
                      WHERE e.net >>= m.unit AND e.during @> m.at AND e.kind = 'all')
            THEN jsonb_build_object('action', 'exempt', 'message', 'It is exempt')
        WHEN postern.setting('breaker') = 'open'
            THEN jsonb_build_object('action', 'held', 'message', 'The breaker is open')
    END
$$;
COMMENT ON FUNCTION postern.guard_may_warn(postern.move) IS 'Not our own infrastructure, not exempt from everything, breaker closed';

CREATE FUNCTION postern.breaker_tripped(p_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT n > 0 AND (SELECT count(*) FROM postern.block b WHERE lower(b.during) > p_at - interval '1 hour') >= n
      FROM (SELECT postern.setting_number('breaker.blocks_per_hour') AS n) AS s
$$;
COMMENT ON FUNCTION postern.breaker_tripped(timestamptz) IS 'Were there as many new blocks within the last hour as the breaker lets through?';

CREATE FUNCTION postern.guard_may_act(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_refusal jsonb := postern.guard_may_warn(m);
BEGIN
    IF v_refusal IS NOT NULL THEN
        RETURN v_refusal;
    END IF;
    IF EXISTS (SELECT FROM postern.exemption e
                WHERE e.net >>= m.unit AND e.during @> m.at
                  AND (e.ceiling IS NULL OR e.ceiling >= (SELECT v.sessions_low FROM postern.verdict v
                                                           WHERE v.id = (m.detail ->> 'verdict_id')::bigint))) THEN
        RETURN jsonb_build_object('action', 'exempt', 'message', 'It is exempt');
    END IF;
    IF m.to_state = 'blocked' AND postern.breaker_tripped(m.at) THEN
        PERFORM postern.raise_alarm('breaker', 'blocks per hour',
            format('%s is not blocked: more than %s blocks within an hour', postern.unit_text(m.unit),
                   postern.setting('breaker.blocks_per_hour')));
        RETURN jsonb_build_object('action', 'held', 'message', 'Too many blocks within an hour');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.guard_may_act(postern.move) IS 'As guard_may_warn, and not exempt up to the sessions of this verdict, and not too many blocks within the hour';

CREATE FUNCTION postern.guard_clock_runs(m postern.move) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE WHEN NOT EXISTS (SELECT FROM postern.warning w WHERE w.unit = m.unit AND w.state = 'running')
        THEN jsonb_build_object('action', 'clock-stopped', 'message', 'No deadline is running') END
$$;
COMMENT ON FUNCTION postern.guard_clock_runs(postern.move) IS 'The warning was accepted, and is neither disputed nor suspended';

CREATE FUNCTION postern.guard_may_sanction(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_refusal jsonb := coalesce(postern.guard_clock_runs(m), postern.guard_may_warn(m));
BEGIN
    IF v_refusal IS NOT NULL THEN
        RETURN v_refusal;
    END IF;
    IF NOT EXISTS (SELECT FROM postern.warning w
                    WHERE w.unit = m.unit AND w.state = 'running' AND w.deadline <= m.at) THEN
        RETURN jsonb_build_object('action', 'early', 'message', 'The deadline is not reached');
    END IF;
    IF postern.breaker_tripped(m.at) THEN
        PERFORM postern.raise_alarm('breaker', 'blocks per hour',
            format('the missed deadline of %s waits: more than %s blocks within an hour',
                   postern.unit_text(m.unit), postern.setting('breaker.blocks_per_hour')));
        RETURN jsonb_build_object('action', 'held', 'message', 'Too many blocks within an hour');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.guard_may_sanction(postern.move) IS 'The deadline of an accepted warning has passed, and nothing protects the unit';

CREATE FUNCTION postern.said_before(p_case_id bigint, p_kind text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM postern.statement s
                    WHERE s.case_id = p_case_id AND s.kind = p_kind AND s.accepted)
$$;
COMMENT ON FUNCTION postern.said_before(bigint, text) IS 'Was a statement of that kind made in this case and taken?';

CREATE FUNCTION postern.guard_first_statement(m postern.move) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE WHEN postern.said_before(m.case_id, 'fixed')
        THEN jsonb_build_object('action', 'said-before', 'message', 'You have told us already: the deadline is the moment of proof') END
$$;
COMMENT ON FUNCTION postern.guard_first_statement(postern.move) IS 'Once per case';

CREATE FUNCTION postern.guard_may_dispute(m postern.move) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE WHEN postern.said_before(m.case_id, 'disputed')
        THEN jsonb_build_object('action', 'said-before', 'message', 'You have told us already') END
$$;
COMMENT ON FUNCTION postern.guard_may_dispute(postern.move) IS 'Once per case';

CREATE FUNCTION postern.guard_hold_over(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_block postern.block;
    v_left bigint;
BEGIN
    SELECT b.* INTO STRICT v_block FROM postern.block b WHERE b.unit = m.unit AND upper_inf(b.during);
    v_left := ceil(extract(epoch FROM v_block.hold_until - m.at));
    IF v_left > 0 THEN
        RETURN jsonb_build_object('action', 'too-early', 'remaining_seconds', v_left,
            'unblockable_at', postern.time_json(v_block.hold_until),
            'message', format('This IP address is still blocked for %s seconds', v_left));
    END IF;
    IF v_block.cause = 'deadline' AND NOT EXISTS (
        SELECT FROM postern.statement s WHERE s.case_id = m.case_id AND s.made_at >= lower(v_block.during)) THEN
        RETURN jsonb_build_object('action', 'no-statement', 'unblockable_at', postern.time_json(v_block.hold_until),
            'message', 'This IP address was blocked after a missed deadline: state what was done before it can be unblocked');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.guard_hold_over(postern.move) IS 'The hold is over; after a missed deadline the customer has also said what was done';

CREATE FUNCTION postern.guard_may_freeze(m postern.move) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE
        WHEN m.customer IS NULL
            THEN jsonb_build_object('action', 'unassigned', 'message', 'It belongs to no customer')
        WHEN EXISTS (SELECT FROM postern.never_block n WHERE n.net >>= m.unit OR n.net <<= m.unit)
            THEN jsonb_build_object('action', 'never-freeze', 'message', 'It is our own infrastructure')
        WHEN (postern.tenancy_at(m.unit, m.at)).shared
            THEN jsonb_build_object('action', 'never-freeze', 'message', 'Many users share this address')
    END
$$;
COMMENT ON FUNCTION postern.guard_may_freeze(postern.move) IS 'A customer''s, and not on the never-freeze list: infrastructure, shared addresses';

RESET ROLE;
