-- SPDX-License-Identifier: Apache-2.0
-- The one function that moves a unit, with the guards and effects that the state table names.
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

-- ---------------------------------------------------------------- effects: seeing, adding, warning

CREATE FUNCTION postern.effect_note(m postern.move) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT jsonb_build_object(''action'', ''noted'')';
COMMENT ON FUNCTION postern.effect_note(postern.move) IS 'Only the audit remembers';

CREATE FUNCTION postern.effect_refuse(m postern.move) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT jsonb_build_object(''action'', ''refused'', ''message'', m.note)';
COMMENT ON FUNCTION postern.effect_refuse(postern.move) IS 'Not possible in this state; the row''s note says why';

CREATE FUNCTION postern.effect_watch(m postern.move) RETURNS jsonb
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    UPDATE postern.ip_state
       SET watched_until = greatest(watched_until, m.at + postern.setting_interval('watch.hours'))
     WHERE unit = m.unit;
    SELECT jsonb_build_object('action', 'watched');
$$;
COMMENT ON FUNCTION postern.effect_watch(postern.move) IS 'Watched for a while';

CREATE FUNCTION postern.add_evidence(p_case_id bigint, p_detail jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF p_detail ? 'verdict_id' THEN
        PERFORM postern.add_verdict_evidence(p_case_id, (p_detail ->> 'verdict_id')::bigint);
    END IF;
    IF p_detail ? 'complaint_id' THEN
        PERFORM postern.add_complaint_evidence(p_case_id, (p_detail ->> 'complaint_id')::bigint);
    END IF;
END
$$;
COMMENT ON FUNCTION postern.add_evidence(bigint, jsonb) IS 'Adds the verdict or complaint that a transition names to a case';

CREATE FUNCTION postern.effect_append(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    PERFORM postern.add_evidence(m.case_id, m.detail);
    RETURN jsonb_build_object('action', 'appended', 'case_id', m.case_id);
END
$$;
COMMENT ON FUNCTION postern.effect_append(postern.move) IS 'Adds evidence to the open case';

CREATE FUNCTION postern.case_for(m postern.move) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_case_id bigint := coalesce(m.case_id, postern.open_case(m.unit, m.customer, false));
BEGIN
    PERFORM postern.add_evidence(v_case_id, m.detail);
    RETURN v_case_id;
END
$$;
COMMENT ON FUNCTION postern.case_for(postern.move) IS 'The open case, or a new one; the transition''s evidence is in it';

CREATE FUNCTION postern.reasons_for(m postern.move) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT coalesce(nullif(array_to_string(
               postern.verdict_reasons((m.detail ->> 'verdict_id')::bigint)
               || postern.complaint_reasons(m.unit, m.customer, m.at - postern.setting_interval('complaint.window_days')),
               E'\n'), ''), coalesce(m.detail ->> 'reason', m.event))
$$;
COMMENT ON FUNCTION postern.reasons_for(postern.move) IS 'What a transition rests on, in sentences, one a line';

CREATE FUNCTION postern.effect_warn(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_case_id bigint := postern.case_for(m);
    v_category text := postern.worst_category(v_case_id);
    v_reason text := postern.reasons_for(m);
    v_warning_id bigint;
BEGIN
    INSERT INTO postern.warning (case_id, unit, customer, cause, category, repeat, reason, ports,
        state, opened_at, duration)
    VALUES (v_case_id, m.unit, m.customer,
        CASE WHEN m.detail ? 'verdict_id' THEN 'verdict' ELSE 'complaint' END, v_category,
        1 + (SELECT count(*) FROM postern.warning w
              WHERE w.unit = m.unit AND w.customer = m.customer AND w.category = v_category
                AND w.state <> 'withdrawn'),
        v_reason, postern.ports_for((m.detail ->> 'verdict_id')::bigint), 'mailing', m.at,
        postern.setting_interval('deadline.hours'))
    RETURNING id INTO v_warning_id;
    IF postern.enqueue_mail('warning', v_case_id, v_warning_id, NULL, v_reason, v_warning_id::text) IS NULL THEN
        PERFORM postern.suspend_warning(v_warning_id, 'the customer has no contact');
    END IF;
    RETURN jsonb_build_object('action', 'warned', 'case_id', v_case_id, 'warning_id', v_warning_id);
END
$$;
COMMENT ON FUNCTION postern.effect_warn(postern.move) IS 'Case, warning, mail; the clock starts when the mail is accepted';

CREATE FUNCTION postern.suspend_warning(p_warning_id bigint, p_why text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_warning postern.warning;
BEGIN
    UPDATE postern.warning
       SET state = 'suspended', accepted_at = NULL, deadline = NULL, extended_to = NULL, stopped_at = NULL
     WHERE id = p_warning_id RETURNING * INTO STRICT v_warning;
    PERFORM postern.cancel_timers(v_warning.unit, '{reminder,deadline,dispute_over}');
    PERFORM postern.raise_alarm('deadline-suspended', postern.unit_text(v_warning.unit),
        format('the warning of case %s stands without a deadline: %s',
               (SELECT c.public_id FROM postern.spam_case c WHERE c.id = v_warning.case_id), p_why));
END
$$;
COMMENT ON FUNCTION postern.suspend_warning(bigint, text) IS 'No deadline acts without a notice that arrived: a person decides';

CREATE FUNCTION postern.effect_start_clock(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_warning postern.warning;
BEGIN
    UPDATE postern.warning
       SET accepted_at = m.at, deadline = m.at + duration, state = 'running'
     WHERE id = (m.detail ->> 'warning_id')::bigint AND unit = m.unit AND closed_at IS NULL
       AND accepted_at IS NULL
    RETURNING * INTO v_warning;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('action', 'ignored');
    END IF;
    -- Statements may come before the mail server's answer: a dispute goes on.
    IF v_warning.stopped_at IS NOT NULL THEN
        UPDATE postern.warning SET state = 'disputed', stopped_at = m.at WHERE id = v_warning.id;
    ELSE
        PERFORM postern.arm_warning(v_warning.id);
    END IF;
    RETURN jsonb_build_object('action', 'clock-started', 'warning_id', v_warning.id,
                              'deadline', postern.time_json(v_warning.deadline));
END
$$;
COMMENT ON FUNCTION postern.effect_start_clock(postern.move) IS 'The deadline counts from the mail''s acceptance; reminders and deadline are set';

CREATE FUNCTION postern.effect_suspend(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_warning postern.warning;
BEGIN
    SELECT w.* INTO v_warning FROM postern.warning w
     WHERE w.unit = m.unit AND w.closed_at IS NULL AND w.id = (m.detail ->> 'warning_id')::bigint;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('action', 'ignored');
    ELSIF m.detail ? 'next_mail_id' THEN
        -- The next contact's acceptance starts the clock, also where a bounce undid the first one.
        PERFORM postern.cancel_timers(m.unit, '{reminder,deadline}');
        UPDATE postern.warning SET state = 'mailing', accepted_at = NULL, deadline = NULL, extended_to = NULL
         WHERE id = v_warning.id;
        RETURN jsonb_build_object('action', 'mailing', 'warning_id', v_warning.id);
    END IF;
    PERFORM postern.suspend_warning(v_warning.id, coalesce(m.detail ->> 'reason', 'its mail was not accepted'));
    RETURN jsonb_build_object('action', 'suspended', 'warning_id', v_warning.id);
END
$$;
COMMENT ON FUNCTION postern.effect_suspend(postern.move) IS 'The warning did not arrive: the next contact''s acceptance will start the clock; with nobody left the deadline is suspended and a person decides';

CREATE FUNCTION postern.effect_remind(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_warning postern.warning;
BEGIN
    SELECT w.* INTO STRICT v_warning FROM postern.warning w WHERE w.unit = m.unit AND w.state = 'running';
    -- One that waits to be sent is enough: both may come due at once after a standstill.
    IF EXISTS (SELECT FROM postern.outbox o
                WHERE o.warning_id = v_warning.id AND o.kind = 'reminder' AND o.state = 'pending') THEN
        RETURN jsonb_build_object('action', 'reminded', 'warning_id', v_warning.id);
    END IF;
    PERFORM postern.enqueue_mail('reminder', v_warning.case_id, v_warning.id, NULL, v_warning.reason,
        coalesce(m.detail ->> 'timer_id', v_warning.id::text));
    RETURN jsonb_build_object('action', 'reminded', 'warning_id', v_warning.id);
END
$$;
COMMENT ON FUNCTION postern.effect_remind(postern.move) IS 'Mail reminder';

CREATE FUNCTION postern.effect_resolve(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_warning postern.warning;
BEGIN
    UPDATE postern.warning SET state = 'resolved', closed_at = m.at
     WHERE unit = m.unit AND state = 'running' RETURNING * INTO STRICT v_warning;
    PERFORM postern.cancel_timers(m.unit, '{reminder,deadline,dispute_over}');
    PERFORM postern.supersede_mails(v_warning.case_id, '{reminder}');
    PERFORM postern.enqueue_mail('resolved', v_warning.case_id, v_warning.id, NULL, v_warning.reason, v_warning.id::text);
    PERFORM postern.close_case(v_warning.case_id, 'resolved');
    PERFORM postern.start_probation(m.unit, m.at);
    RETURN jsonb_build_object('action', 'resolved', 'case_id', v_warning.case_id);
END
$$;
COMMENT ON FUNCTION postern.effect_resolve(postern.move) IS 'The deadline was kept: mail resolved, case closed, probation';

CREATE FUNCTION postern.start_probation(p_unit postern.unit, p_at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_until timestamptz := p_at + postern.setting_interval('probation.days');
BEGIN
    PERFORM postern.cancel_timers(p_unit, '{probation_over}');
    UPDATE postern.ip_state SET probation_until = v_until WHERE unit = p_unit;
    PERFORM postern.set_timer('probation_over', p_unit, NULL, v_until, p_unit::text);
END
$$;
COMMENT ON FUNCTION postern.start_probation(postern.unit, timestamptz) IS 'From now on for a month a flag blocks at once';

CREATE FUNCTION postern.effect_end_probation(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_level int := postern.level_of(m.unit, m.customer, m.at);
BEGIN
    UPDATE postern.ip_state
       SET level = v_level, probation_until = CASE WHEN probation_until > m.at THEN probation_until END
     WHERE unit = m.unit;
    -- The level goes on falling, one step per clean month.
    IF v_level > 0 THEN
        PERFORM postern.set_timer('probation_over', m.unit, NULL,
            m.at + postern.setting_interval('ladder.decay_days'), m.unit::text);
    END IF;
    RETURN jsonb_build_object('action', 'probation-over', 'level', v_level);
END
$$;
COMMENT ON FUNCTION postern.effect_end_probation(postern.move) IS 'Probation is over; the level as the clean time has it';

-- --------------------------------------------------------------------------- effects: statements

CREATE FUNCTION postern.keep_statement(m postern.move, p_accepted boolean) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    INSERT INTO postern.statement (case_id, kind, text, actor, made_at, accepted)
    VALUES (m.case_id, replace(m.event, 'statement_', ''), left(coalesce(m.detail ->> 'text', ''), 10000),
            m.actor, m.at, p_accepted)
$$;
COMMENT ON FUNCTION postern.keep_statement(postern.move, boolean) IS 'Keeps what the customer said';

CREATE FUNCTION postern.effect_keep_statement(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    PERFORM postern.keep_statement(m, false);
    IF m.event = 'statement_disputed' THEN
        PERFORM postern.raise_alarm('dispute', postern.unit_text(m.unit),
            format('the customer disputes case %s', (SELECT c.public_id FROM postern.spam_case c WHERE c.id = m.case_id)));
    END IF;
    RETURN jsonb_build_object('action', 'kept', 'case_id', m.case_id);
END
$$;
COMMENT ON FUNCTION postern.effect_keep_statement(postern.move) IS 'The statement stays with the case; a dispute tells the desk';

CREATE FUNCTION postern.effect_note_fixed(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    PERFORM postern.keep_statement(m, true);
    UPDATE postern.warning SET fixed_at = m.at WHERE unit = m.unit AND closed_at IS NULL;
    RETURN jsonb_build_object('action', 'noted', 'case_id', m.case_id);
END
$$;
COMMENT ON FUNCTION postern.effect_note_fixed(postern.move) IS 'The deadline stays as the moment of proof';

CREATE FUNCTION postern.effect_stop_clock(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_warning postern.warning;
BEGIN
    PERFORM postern.keep_statement(m, true);
    UPDATE postern.warning
       SET stopped_at = m.at, state = CASE state WHEN 'running' THEN 'disputed' ELSE state END
     WHERE unit = m.unit AND closed_at IS NULL RETURNING * INTO STRICT v_warning;
    PERFORM postern.cancel_timers(m.unit, '{reminder,deadline}');
    PERFORM postern.set_timer('dispute_over', m.unit, v_warning.id,
        m.at + postern.setting_interval('deadline.dispute_hours'), v_warning.id::text);
    PERFORM postern.raise_alarm('dispute', postern.unit_text(m.unit),
        format('the customer disputes case %s: its clock stands still until you decide',
               (SELECT c.public_id FROM postern.spam_case c WHERE c.id = m.case_id)));
    RETURN jsonb_build_object('action', 'clock-stopped', 'warning_id', v_warning.id);
END
$$;
COMMENT ON FUNCTION postern.effect_stop_clock(postern.move) IS 'A dispute stops the clock until an officer decides, at most 72 hours';

CREATE FUNCTION postern.effect_resume_clock(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_warning postern.warning;
BEGIN
    SELECT w.* INTO v_warning FROM postern.warning w
     WHERE w.unit = m.unit AND w.closed_at IS NULL AND w.stopped_at IS NOT NULL;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('action', 'ignored');
    END IF;
    UPDATE postern.warning
       SET stopped_at = NULL, state = CASE state WHEN 'disputed' THEN 'running' ELSE state END,
           deadline = CASE state WHEN 'disputed' THEN deadline + (m.at - stopped_at) ELSE deadline END
     WHERE id = v_warning.id;
    IF v_warning.state = 'disputed' THEN
        PERFORM postern.arm_warning(v_warning.id);
    END IF;
    RETURN jsonb_build_object('action', 'clock-resumed', 'warning_id', v_warning.id);
END
$$;
COMMENT ON FUNCTION postern.effect_resume_clock(postern.move) IS 'The clock goes on where it stood: the deadline moves by the time of the dispute';

CREATE FUNCTION postern.effect_extend(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_to timestamptz := (m.detail ->> 'until')::timestamptz;
    v_warning_id bigint;
BEGIN
    UPDATE postern.warning SET deadline = v_to, extended_to = v_to
     WHERE unit = m.unit AND state = 'running' AND deadline < v_to RETURNING id INTO v_warning_id;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('action', 'refused', 'message', 'The new deadline is not later than the old one');
    END IF;
    PERFORM postern.arm_warning(v_warning_id);
    RETURN jsonb_build_object('action', 'extended', 'warning_id', v_warning_id, 'deadline', postern.time_json(v_to));
END
$$;
COMMENT ON FUNCTION postern.effect_extend(postern.move) IS 'The deadline moves to detail.until';

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

-- ------------------------------------------------------------------------------------- transition

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
