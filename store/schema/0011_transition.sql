-- SPDX-License-Identifier: Apache-2.0
-- The one function that moves a unit.
--
--     transition(unit, event, actor, detail)
--         row of state_transition for (state, event)     missing: PT004
--         guard_NAME(move)   NULL: go on; else why not   the state stays
--         ip_state moves, effect_NAME(move)              cases, mails, orders, timers
--         audit_event
--
-- The caller has locked the unit (lock_unit). Guards return {action, message, …} when they refuse;
-- effects return {action, …}: action is the word that verdict.action and callers see.

SET LOCAL ROLE postern_owner;

CREATE FUNCTION postern.write_audit(m postern.move, p_effect text, p_result jsonb) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    INSERT INTO postern.audit_event (at, actor, login, unit, customer, case_id, event, from_state, to_state, effect, detail)
    VALUES (m.at, m.actor, session_user, m.unit, m.customer,
            coalesce((p_result ->> 'case_id')::bigint, m.case_id), m.event, m.from_state, m.to_state, p_effect,
            coalesce(m.detail, '{}') || jsonb_build_object('result', p_result))
$$;
COMMENT ON FUNCTION postern.write_audit(postern.move, text, jsonb) IS 'One audit row per transition, refused and ignored ones included';

CREATE FUNCTION postern.transition(p_unit postern.unit, p_event text, p_actor text, p_detail jsonb DEFAULT '{}') RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_state postern.ip_state;
    v_row postern.state_transition;
    m postern.move;
    v_result jsonb;
BEGIN
    SELECT s.* INTO STRICT v_state FROM postern.ip_state s WHERE s.unit = p_unit FOR UPDATE;
    SELECT t.* INTO v_row FROM postern.state_transition t WHERE t.state = v_state.state AND t.event = p_event;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the state table has no row for (%, %)', v_state.state, p_event
            USING ERRCODE = 'PT004', DETAIL = format('unit %s', postern.unit_text(p_unit));
    END IF;
    -- Back from a freeze proposal: blocked stays blocked, what the proposal closed is opened again.
    IF v_row.to_state = 'prior' THEN
        v_row.to_state := CASE v_state.prior_state WHEN 'blocked' THEN 'blocked' ELSE 'unblocking' END;
    END IF;
    m := ROW (p_unit, v_state.customer, p_event, v_state.state, v_row.to_state, v_state.case_id, p_actor,
              postern.now(), v_row.note, coalesce(p_detail, '{}'));

    IF v_row.guard IS NOT NULL THEN
        EXECUTE format('SELECT postern.%I($1)', 'guard_' || v_row.guard) INTO v_result USING m;
    END IF;
    IF v_result IS NOT NULL THEN
        m.to_state := m.from_state;
        v_row.effect := 'refused by ' || v_row.guard;
    ELSIF v_row.effect = 'ignored' THEN
        v_result := jsonb_build_object('action', 'ignored', 'message', v_row.note);
    ELSIF v_row.in_shadow = 'record' AND postern.mode() = 'shadow' THEN
        v_result := postern.record_shadow(m);
        m.to_state := m.from_state;
        v_row.effect := 'shadow';
    ELSE
        UPDATE postern.ip_state
           SET state = m.to_state, version = version + 1,
               changed_at = CASE WHEN state = m.to_state THEN changed_at ELSE m.at END
         WHERE unit = p_unit;
        EXECUTE format('SELECT postern.%I($1)', 'effect_' || v_row.effect) INTO v_result USING m;
    END IF;
    PERFORM postern.write_audit(m, v_row.effect, v_result);
    RETURN v_result || jsonb_build_object('from', m.from_state, 'state', m.to_state);
END
$$;
COMMENT ON FUNCTION postern.transition(postern.unit, text, text, jsonb) IS 'The one function that moves a unit: looks (state, event) up, asks the guard, moves, calls the effect, writes the audit row. Returns {action, from, state, …}';
GRANT EXECUTE ON FUNCTION postern.transition(postern.unit, text, text, jsonb) TO postern_freezer;

RESET ROLE;
