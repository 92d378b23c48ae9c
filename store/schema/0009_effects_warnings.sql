-- SPDX-License-Identifier: Apache-2.0
-- Effects of the state table that watch, warn, keep statements and run the clock of a warning.

SET LOCAL ROLE postern_owner;

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

RESET ROLE;
