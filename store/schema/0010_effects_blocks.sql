-- SPDX-License-Identifier: Apache-2.0
-- Effects of the state table that block, release, hand over and freeze; and what shadow mode does
-- instead.

SET LOCAL ROLE postern_owner;

-- -------------------------------------------------------------------------------- effects: blocks

CREATE FUNCTION postern.close_warning(p_unit postern.unit, p_state text, p_at timestamptz) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_warning postern.warning;
BEGIN
    UPDATE postern.warning SET state = p_state, closed_at = p_at
     WHERE unit = p_unit AND closed_at IS NULL RETURNING * INTO v_warning;
    IF FOUND THEN
        PERFORM postern.cancel_timers(p_unit, '{reminder,deadline,dispute_over}');
        PERFORM postern.supersede_mails(v_warning.case_id, '{warning,reminder}');
    END IF;
    RETURN v_warning.id;
END
$$;
COMMENT ON FUNCTION postern.close_warning(postern.unit, text, timestamptz) IS 'Ends an open warning, its timers and its mails that were not begun';

CREATE FUNCTION postern.close_block(p_unit postern.unit, p_at timestamptz) RETURNS timestamptz
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    -- A block lasts at least a microsecond, also where the clock stands still.
    UPDATE postern.block
       SET during = tstzrange(lower(during), greatest(p_at, lower(during) + interval '1 microsecond'))
     WHERE unit = p_unit AND upper_inf(during)
    RETURNING upper(during)
$$;
COMMENT ON FUNCTION postern.close_block(postern.unit, timestamptz) IS 'Ends the open block, returns when';

CREATE FUNCTION postern.put_block(m postern.move, p_case_id bigint, p_cause text, p_scope text, p_ports int[],
        p_reason text, p_warning_id bigint) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_from timestamptz;
    v_level int;
    v_block_id bigint;
BEGIN
    SELECT greatest(m.at, max(upper(b.during))) INTO v_from FROM postern.block b WHERE b.unit = m.unit;
    v_level := postern.level_of(m.unit, m.customer, v_from) + 1;
    INSERT INTO postern.block (unit, customer, case_id, scope, ports, during, hold_until, level,
        cause, reason, actor, verdict_id)
    VALUES (m.unit, m.customer, p_case_id, p_scope, CASE p_scope WHEN 'ports' THEN p_ports ELSE '{}' END,
        tstzrange(v_from, NULL), v_from + postern.hold_of(v_level), v_level, p_cause, p_reason, m.actor,
        (m.detail ->> 'verdict_id')::bigint)
    RETURNING id INTO v_block_id;
    UPDATE postern.ip_state SET level = v_level, probation_until = NULL WHERE unit = m.unit;
    PERFORM postern.cancel_timers(m.unit, '{probation_over}');
    PERFORM postern.supersede_mails(p_case_id, '{released,resolved}');
    PERFORM postern.set_order(m.unit, CASE p_scope WHEN 'ports' THEN 'block_ports' ELSE 'block_address' END,
        CASE p_scope WHEN 'ports' THEN p_ports ELSE '{}' END, p_reason);
    PERFORM postern.enqueue_mail('blocked', p_case_id, p_warning_id, v_block_id, p_reason, v_block_id::text);
    RETURN jsonb_build_object('action', 'blocked', 'case_id', p_case_id, 'block_id', v_block_id, 'level', v_level);
END
$$;
COMMENT ON FUNCTION postern.put_block(postern.move, bigint, text, text, int[], text, bigint) IS 'Block row, level from history, hold, order to the network, mail blocked';

CREATE FUNCTION postern.effect_block(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_case_id bigint := postern.case_for(m);
BEGIN
    PERFORM postern.close_warning(m.unit, 'overtaken', m.at);
    RETURN postern.put_block(m, v_case_id, 'verdict', 'ports',
        postern.ports_for((m.detail ->> 'verdict_id')::bigint), postern.reasons_for(m), NULL);
END
$$;
COMMENT ON FUNCTION postern.effect_block(postern.move) IS 'Closes the ports at once; an open warning is overtaken';

CREATE FUNCTION postern.effect_relapse(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_case_id bigint := postern.case_for(m);
    v_old postern.block;
    v_ports int[] := postern.ports_for((m.detail ->> 'verdict_id')::bigint);
BEGIN
    SELECT b.* INTO STRICT v_old FROM postern.block b WHERE b.unit = m.unit AND upper_inf(b.during);
    PERFORM postern.close_block(m.unit, m.at);
    RETURN postern.put_block(m, v_case_id, 'relapse', v_old.scope,
        ARRAY(SELECT DISTINCT p FROM unnest(v_ports || v_old.ports) AS p ORDER BY p),
        postern.reasons_for(m), NULL);
END
$$;
COMMENT ON FUNCTION postern.effect_relapse(postern.move) IS 'Spam while being released: the release is withdrawn, a new block one level up';

CREATE FUNCTION postern.effect_sanction(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_warning postern.warning;
BEGIN
    SELECT w.* INTO STRICT v_warning FROM postern.warning w WHERE w.unit = m.unit AND w.state = 'running';
    PERFORM postern.close_warning(m.unit, 'missed', m.at);
    RETURN postern.put_block(m, v_warning.case_id, 'deadline',
        postern.measure_for(v_warning.category, v_warning.repeat), v_warning.ports,
        format('The deadline %s of our warning passed and the mail went on.', postern.time_text(v_warning.deadline, 'UTC'))
            || E'\n' || coalesce(m.detail ->> 'reason', v_warning.reason), v_warning.id);
END
$$;
COMMENT ON FUNCTION postern.effect_sanction(postern.move) IS 'A missed deadline: ports or address, as table measure says';

CREATE FUNCTION postern.note_false_positive(m postern.move) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    UPDATE postern.block SET false_positive = true WHERE unit = m.unit AND upper_inf(during);
    INSERT INTO postern.scorer_input (kind, unit, created_at) VALUES ('false_positive', m.unit, m.at);
$$;
COMMENT ON FUNCTION postern.note_false_positive(postern.move) IS 'The open block does not count; the detector hears of it';

CREATE FUNCTION postern.begin_release(m postern.move, p_reason text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    UPDATE postern.block SET release_asked_at = m.at, released_by = m.actor, release_reason = p_reason
     WHERE unit = m.unit AND upper_inf(during);
    PERFORM postern.set_order(m.unit, 'open', '{}', p_reason);
    INSERT INTO postern.scorer_input (kind, unit, created_at) VALUES ('released', m.unit, m.at);
    RETURN jsonb_build_object('action', 'unblocking', 'case_id', m.case_id);
END
$$;
COMMENT ON FUNCTION postern.begin_release(postern.move, text) IS 'Asks the network to open; the detector starts afresh';

CREATE FUNCTION postern.effect_unblock(m postern.move) RETURNS jsonb
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT postern.begin_release(m, ''asked by the customer'')';
COMMENT ON FUNCTION postern.effect_unblock(postern.move) IS 'The customer unblocks';

CREATE FUNCTION postern.effect_release(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF m.event = 'false_positive' THEN
        PERFORM postern.note_false_positive(m);
    END IF;
    RETURN postern.begin_release(m, coalesce(m.detail ->> 'reason', m.event));
END
$$;
COMMENT ON FUNCTION postern.effect_release(postern.move) IS 'An officer releases';

CREATE FUNCTION postern.effect_mark_false_positive(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    PERFORM postern.note_false_positive(m);
    RETURN jsonb_build_object('action', 'noted', 'case_id', m.case_id);
END
$$;
COMMENT ON FUNCTION postern.effect_mark_false_positive(postern.move) IS 'Found to be a false alarm while it is being released';

CREATE FUNCTION postern.effect_withdraw(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_warning_id bigint := postern.close_warning(m.unit, 'withdrawn', m.at);
    v_told boolean;
BEGIN
    INSERT INTO postern.scorer_input (kind, unit, created_at)
    VALUES (CASE m.event WHEN 'false_positive' THEN 'false_positive' ELSE 'released' END, m.unit, m.at);
    SELECT EXISTS (SELECT FROM postern.outbox o WHERE o.warning_id = v_warning_id AND o.kind = 'warning'
                      AND o.state <> 'superseded') INTO v_told;
    IF v_told THEN
        PERFORM postern.enqueue_mail('resolved', m.case_id, NULL, NULL,
            'Our warning is withdrawn.', v_warning_id::text);
    END IF;
    PERFORM postern.close_case(m.case_id, CASE m.event WHEN 'false_positive' THEN 'false-positive' ELSE 'withdrawn' END);
    RETURN jsonb_build_object('action', 'withdrawn', 'case_id', m.case_id);
END
$$;
COMMENT ON FUNCTION postern.effect_withdraw(postern.move) IS 'An officer takes a warning back; who was told hears of it';

CREATE FUNCTION postern.effect_note_enforced(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    UPDATE postern.block SET enforced_at = coalesce(enforced_at, m.at) WHERE unit = m.unit AND upper_inf(during);
    RETURN jsonb_build_object('action', 'enforced');
END
$$;
COMMENT ON FUNCTION postern.effect_note_enforced(postern.move) IS 'The network confirmed the block';

CREATE FUNCTION postern.effect_finish_release(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_block postern.block;
    v_closed timestamptz;
BEGIN
    SELECT b.* INTO STRICT v_block FROM postern.block b WHERE b.unit = m.unit AND upper_inf(b.during);
    v_closed := postern.close_block(m.unit, m.at);
    PERFORM postern.supersede_mails(m.case_id, '{blocked}');
    PERFORM postern.enqueue_mail('released', m.case_id, NULL, v_block.id, v_block.release_reason, v_block.id::text);
    PERFORM postern.close_case(m.case_id, CASE WHEN v_block.false_positive THEN 'false-positive' ELSE 'released' END);
    UPDATE postern.ip_state SET level = postern.level_of(m.unit, m.customer, v_closed) WHERE unit = m.unit;
    IF NOT v_block.false_positive THEN
        PERFORM postern.start_probation(m.unit, v_closed);
    END IF;
    RETURN jsonb_build_object('action', 'released', 'case_id', m.case_id, 'block_id', v_block.id);
END
$$;
COMMENT ON FUNCTION postern.effect_finish_release(postern.move) IS 'Open again: block and case are closed, mail released, probation unless it was a false alarm';

CREATE FUNCTION postern.effect_hand_over(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_new text := m.detail ->> 'customer';
BEGIN
    PERFORM postern.close_warning(m.unit, 'withdrawn', m.at);
    PERFORM postern.cancel_timers(m.unit, '{probation_over}');
    UPDATE postern.freeze_proposal SET state = 'withdrawn', note = note || ' address given to another customer'
     WHERE unit = m.unit AND state IN ('proposed', 'scheduled');
    IF postern.close_block(m.unit, m.at) IS NOT NULL THEN
        PERFORM postern.set_order(m.unit, 'open', '{}', 'the address was given to another customer');
    END IF;
    IF m.case_id IS NOT NULL THEN
        PERFORM postern.supersede_mails(m.case_id, '{warning,reminder,blocked,released,resolved,freeze-notice}');
        PERFORM postern.close_case(m.case_id, 'reassigned');
        PERFORM postern.raise_alarm('reused', postern.unit_text(m.unit),
            format('the address had an open case of customer %s when it was given away: quarantine before reuse', m.customer));
    END IF;
    UPDATE postern.ip_state
       SET customer = v_new, watched_until = NULL, probation_until = NULL, prior_state = NULL,
           level = CASE WHEN v_new IS NULL THEN 0 ELSE postern.level_of(m.unit, v_new, m.at) END
     WHERE unit = m.unit;
    RETURN jsonb_build_object('action', 'handed-over', 'case_id', m.case_id);
END
$$;
COMMENT ON FUNCTION postern.effect_hand_over(postern.move) IS 'Another tenant: starts clear; case, history and level stay with the old one';

-- -------------------------------------------------------------------------------- effects: freeze

CREATE FUNCTION postern.effect_propose_freeze(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_case_id bigint := postern.case_for(m);
    v_proposal_id bigint;
BEGIN
    UPDATE postern.ip_state SET prior_state = m.from_state WHERE unit = m.unit;
    INSERT INTO postern.freeze_proposal (unit, customer, case_id, zone, proposer, proposed_at, note)
    VALUES (m.unit, m.customer, v_case_id, coalesce(m.detail ->> 'zone', ''), m.actor, m.at,
            coalesce(m.detail ->> 'reason', ''))
    RETURNING id INTO v_proposal_id;
    PERFORM postern.close_warning(m.unit, 'overtaken', m.at);
    IF m.from_state = 'unblocking' THEN
        -- The release is withdrawn: the block was never closed, the network closes it again.
        PERFORM postern.set_order(b.unit, CASE b.scope WHEN 'ports' THEN 'block_ports' ELSE 'block_address' END,
                                  b.ports, b.reason)
           FROM postern.block b WHERE b.unit = m.unit AND upper_inf(b.during);
    ELSIF m.from_state <> 'blocked' THEN
        PERFORM postern.put_block(m, v_case_id, 'freeze', 'ports', '{25}',
            coalesce(m.detail ->> 'reason', 'The address is on a blocklist.'), NULL);
    END IF;
    RETURN jsonb_build_object('action', 'freeze-proposed', 'case_id', v_case_id, 'proposal_id', v_proposal_id);
END
$$;
COMMENT ON FUNCTION postern.effect_propose_freeze(postern.move) IS 'A proposal for a person; the ports are closed if they are not';

CREATE FUNCTION postern.effect_schedule_freeze(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_proposal postern.freeze_proposal;
BEGIN
    SELECT p.* INTO STRICT v_proposal FROM postern.freeze_proposal p WHERE p.unit = m.unit AND p.state = 'proposed';
    IF v_proposal.proposer = m.actor THEN
        RAISE EXCEPTION 'a freeze that a person proposed is approved by another login' USING ERRCODE = 'PT006';
    END IF;
    UPDATE postern.freeze_proposal
       SET state = 'scheduled', approver = m.actor, approved_at = m.at, freeze_at = m.at + interval '24 hours'
     WHERE id = v_proposal.id;
    PERFORM postern.enqueue_mail('freeze-notice', m.case_id, NULL, NULL, v_proposal.note, v_proposal.id::text);
    RETURN jsonb_build_object('action', 'freeze-scheduled', 'proposal_id', v_proposal.id);
END
$$;
COMMENT ON FUNCTION postern.effect_schedule_freeze(postern.move) IS 'Approved: the customer is told, 24 hours ahead';

CREATE FUNCTION postern.effect_withdraw_freeze(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    UPDATE postern.freeze_proposal SET state = 'withdrawn', note = note || coalesce(' ' || (m.detail ->> 'reason'), '')
     WHERE unit = m.unit AND state IN ('proposed', 'scheduled');
    UPDATE postern.ip_state SET prior_state = NULL WHERE unit = m.unit;
    PERFORM postern.supersede_mails(m.case_id, '{freeze-notice}');
    IF m.to_state = 'unblocking' THEN
        PERFORM postern.begin_release(m, 'the freeze proposal was withdrawn');
    END IF;
    RETURN jsonb_build_object('action', 'freeze-withdrawn', 'case_id', m.case_id);
END
$$;
COMMENT ON FUNCTION postern.effect_withdraw_freeze(postern.move) IS 'Back to blocked if it was; else what the proposal closed is opened again';

CREATE FUNCTION postern.effect_freeze(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    UPDATE postern.freeze_proposal SET state = 'committed' WHERE unit = m.unit AND state = 'scheduled';
    PERFORM postern.set_order(m.unit, 'freeze', '{}', 'frozen for ever');
    PERFORM postern.enqueue_mail('frozen', m.case_id, NULL, NULL, 'The address is frozen for ever.', m.case_id::text);
    PERFORM postern.close_case(m.case_id, 'frozen');
    RETURN jsonb_build_object('action', 'frozen', 'case_id', m.case_id);
END
$$;
COMMENT ON FUNCTION postern.effect_freeze(postern.move) IS 'The address is closed for ever; its block stays open for ever';

-- ------------------------------------------------------------------------------------ shadow mode

CREATE FUNCTION postern.record_shadow(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_action text := CASE m.to_state WHEN 'warned' THEN 'warned' ELSE 'blocked' END;
    v_case postern.spam_case;
BEGIN
    SELECT c.* INTO v_case FROM postern.spam_case c
     WHERE c.unit = m.unit AND c.shadow AND c.closed_at IS NULL;
    IF v_case.customer <> m.customer OR v_case.last_at < m.at - interval '24 hours' THEN
        PERFORM postern.close_case(v_case.id, 'shadow');
        v_case := NULL;
    END IF;
    v_case.id := coalesce(v_case.id, postern.open_case(m.unit, m.customer, true));
    PERFORM postern.add_evidence(v_case.id, m.detail);
    INSERT INTO postern.shadow_action AS s (case_id, unit, customer, action, at, reason)
    VALUES (v_case.id, m.unit, m.customer, v_action, m.at, postern.reasons_for(m))
    ON CONFLICT (case_id, action) DO UPDATE SET times = s.times + 1;
    RETURN jsonb_build_object('action', 'shadow-' || v_action, 'case_id', v_case.id);
END
$$;
COMMENT ON FUNCTION postern.record_shadow(postern.move) IS 'Writes down what would have been done; one shadow case per unit, tenant and quiet day';

RESET ROLE;
