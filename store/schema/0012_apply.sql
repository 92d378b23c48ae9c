-- SPDX-License-Identifier: Apache-2.0
-- What the dispatcher calls: apply verdicts and complaints, fire timers; mails and orders follow
-- in 0013. Each is one transaction and may be called again after a crash: what was done is not done
-- twice. All lock the unit first.

SET LOCAL ROLE postern_owner;

-- ----------------------------------------------------------------------------- verdicts, complaints

CREATE FUNCTION postern.claim_verdicts(p_max int) RETURNS SETOF bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT v.id FROM postern.verdict v
     WHERE v.applied_at IS NULL AND (v.apply_after IS NULL OR v.apply_after <= postern.now())
     ORDER BY v.crossed_at, array_position(ARRAY['watch', 'flag', 'block'], v.band), v.id
     LIMIT p_max
$$;
COMMENT ON FUNCTION postern.claim_verdicts(int) IS 'Verdicts that are due, in the order of their crossing, lower bands first. Locks nothing: apply_verdict() does';

CREATE FUNCTION postern.verdict_event(v postern.verdict, s postern.ip_state) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE
        WHEN v.band = 'watch' THEN 'verdict_watch'
        WHEN v.band = 'block' AND v.evidence >= postern.setting_number('block.at') THEN 'verdict_block'
        WHEN coalesce(s.probation_until > postern.now(), false)
          OR postern.trusted_complaint_since(v.unit, s.customer,
                 postern.now() - postern.setting_interval('complaint.window_days')) THEN 'verdict_block'
        ELSE 'verdict_flag' END
$$;
COMMENT ON FUNCTION postern.verdict_event(postern.verdict, postern.ip_state) IS 'Which event a verdict is for its unit: probation and trusted complaints turn a flag into a block';

CREATE FUNCTION postern.apply_verdict(p_verdict_id bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v postern.verdict;
    s postern.ip_state;
    v_customer text;
    v_refusal text;
    v_result jsonb;
BEGIN
    SELECT x.* INTO v FROM postern.verdict x WHERE x.id = p_verdict_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no verdict %', p_verdict_id USING ERRCODE = 'PT006';
    ELSIF v.applied_at IS NOT NULL THEN
        RETURN v.action;
    END IF;
    v_customer := (postern.tenancy_at(v.unit, v.crossed_at)).customer;
    IF v_customer IS NOT NULL THEN
        s := postern.lock_unit(v.unit, (postern.tenancy_at(v.unit, postern.now())).customer);
    END IF;
    SELECT x.* INTO STRICT v FROM postern.verdict x WHERE x.id = p_verdict_id FOR UPDATE;
    IF v.applied_at IS NOT NULL THEN
        RETURN v.action;
    END IF;
    v_refusal := CASE
        WHEN NOT postern.is_ours(v.unit, v.crossed_at) THEN 'not-ours'
        WHEN v_customer IS NULL THEN 'unassigned'
        WHEN s.customer IS DISTINCT FROM v_customer THEN 'other-tenancy'
        -- Seen before the last release: the customer has answered for it already.
        WHEN s.state IN ('clear', 'unblocking') AND EXISTS (
             SELECT FROM postern.block b
              WHERE b.unit = v.unit AND b.customer = v_customer AND b.release_asked_at > v.crossed_at)
            THEN 'overtaken'
    END;
    v_result := jsonb_build_object('action', v_refusal);
    IF v_refusal IS NULL THEN
        v_result := postern.transition(v.unit, postern.verdict_event(v, s), 'detector',
                                       jsonb_build_object('verdict_id', v.id));
        UPDATE postern.ip_state
           SET watched_until = greatest(watched_until, postern.now() + postern.setting_interval('watch.hours'))
         WHERE unit = v.unit AND state <> 'frozen';
    END IF;
    UPDATE postern.verdict
       SET applied_at = postern.now(), action = v_result ->> 'action', customer = v_customer,
           case_id = coalesce((v_result ->> 'case_id')::bigint, case_id), apply_error = NULL
     WHERE id = v.id;
    IF v.apply_error IS NOT NULL THEN
        PERFORM postern.settle_alarm('apply-error', 'verdict ' || v.id);
    END IF;
    RETURN v_result ->> 'action';
END
$$;
COMMENT ON FUNCTION postern.apply_verdict(bigint) IS 'Applies one verdict; a second call changes nothing. Returns what became of it: watched, warned, blocked, appended, ignored, not-ours, unassigned, other-tenancy, overtaken, exempt, never-block, held, shadow-warned, shadow-blocked';

CREATE FUNCTION postern.claim_complaints(p_max int) RETURNS SETOF bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT c.id FROM postern.complaint c
     WHERE c.applied_at IS NULL AND (c.apply_after IS NULL OR c.apply_after <= postern.now())
     ORDER BY c.id LIMIT p_max
$$;
COMMENT ON FUNCTION postern.claim_complaints(int) IS 'Complaints that are due, oldest first. Locks nothing: apply_complaint() does';

CREATE FUNCTION postern.complaint_weight(c postern.complaint, OUT enrolled boolean, OUT weight double precision)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT r.domain IS NOT NULL,
           CASE WHEN r.domain IS NULL THEN postern.setting_number('complaint.weight_anonymous')
                WHEN c.authenticated THEN r.weight
                ELSE r.weight * postern.setting_number('complaint.weight_unauthenticated') END
      FROM (SELECT) AS one LEFT JOIN postern.reporter r ON r.domain = c.reporter
$$;
COMMENT ON FUNCTION postern.complaint_weight(postern.complaint) IS 'Authenticated and enrolled: the reporter''s weight; enrolled: a share of it; anonymous: little. A domain that nobody enrolled is anonymous, authenticated or not: anyone can authenticate a domain of his own';

CREATE FUNCTION postern.complaint_refusal(c postern.complaint, p_unit postern.unit, p_then text, p_now text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE
        WHEN c.outcome <> 'complaint' THEN 'stored'
        WHEN c.feedback_type IN ('not-spam', 'auth-failure') THEN 'stored'
        WHEN c.source_ip IS NULL THEN 'no-address'
        WHEN NOT postern.is_ours(p_unit, coalesce(c.arrived_at, c.received_at)) THEN 'not-ours'
        WHEN coalesce(c.arrived_at, c.received_at) < postern.now() - postern.setting_interval('complaint.max_age_days') THEN 'too-old'
        WHEN c.arrived_at > postern.now() + interval '1 day' THEN 'from-the-future'
        WHEN p_then IS NULL THEN 'unassigned'
        WHEN p_now IS DISTINCT FROM p_then THEN 'other-tenancy' END
$$;
COMMENT ON FUNCTION postern.complaint_refusal(postern.complaint, postern.unit, text, text) IS 'Why a complaint is stored and not counted; NULL: it counts';

CREATE FUNCTION postern.complaints_suffice(p_unit postern.unit, p_customer text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT coalesce(sum(c.weight), 0) >= postern.setting_number('complaint.warn_at') - 1e-9
           AND (coalesce(bool_or(c.authenticated AND c.enrolled), false)
                OR count(DISTINCT coalesce(c.reporter, '')) >= postern.setting_number('complaint.sources'))
      FROM postern.complaint c
     WHERE c.unit = p_unit AND c.customer = p_customer AND c.counted
       AND c.received_at > postern.now() - postern.setting_interval('complaint.window_days')
$$;
COMMENT ON FUNCTION postern.complaints_suffice(postern.unit, text) IS 'Do the complaints of the last days weigh enough to warn: 1.0, from an authenticated and enrolled reporter or from three different ones?';

CREATE FUNCTION postern.apply_complaint(p_complaint_id bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    c postern.complaint;
    s postern.ip_state;
    v_unit postern.unit;
    v_at timestamptz;
    v_then text;
    v_now text;
    v_refusal text;
    v_weight record;
    v_result jsonb;
BEGIN
    SELECT x.* INTO c FROM postern.complaint x WHERE x.id = p_complaint_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no complaint %', p_complaint_id USING ERRCODE = 'PT006';
    ELSIF c.applied_at IS NOT NULL THEN
        RETURN c.action;
    END IF;
    v_at := coalesce(c.arrived_at, c.received_at);
    v_unit := postern.unit_of(c.source_ip, v_at);
    v_then := (postern.tenancy_at(v_unit, v_at)).customer;
    v_now := (postern.tenancy_at(v_unit, postern.now())).customer;
    v_refusal := postern.complaint_refusal(c, v_unit, v_then, v_now);
    IF v_refusal IS NULL THEN
        s := postern.lock_unit(v_unit, v_now);
        v_refusal := CASE WHEN s.customer IS DISTINCT FROM v_then THEN 'other-tenancy' END;
    END IF;
    SELECT x.* INTO STRICT c FROM postern.complaint x WHERE x.id = p_complaint_id FOR UPDATE;
    IF c.applied_at IS NOT NULL THEN
        RETURN c.action;
    END IF;
    SELECT w.* INTO STRICT v_weight FROM postern.complaint_weight(c) AS w;
    UPDATE postern.complaint
       SET unit = CASE WHEN v_refusal IN ('not-ours', 'no-address') THEN NULL ELSE v_unit END,
           customer = v_then, enrolled = v_weight.enrolled, weight = v_weight.weight,
           counted = v_refusal IS NULL
     WHERE id = c.id;
    IF v_refusal IS NULL THEN
        v_result := postern.transition(v_unit,
            CASE WHEN postern.complaints_suffice(v_unit, v_then) THEN 'complaint_warn' ELSE 'complaint' END,
            'complaint', jsonb_build_object('complaint_id', c.id));
    ELSE
        v_result := jsonb_build_object('action', v_refusal);
    END IF;
    UPDATE postern.complaint
       SET applied_at = postern.now(), action = v_result ->> 'action',
           case_id = coalesce((v_result ->> 'case_id')::bigint, case_id), apply_error = NULL
     WHERE id = c.id;
    IF c.apply_error IS NOT NULL THEN
        PERFORM postern.settle_alarm('apply-error', 'complaint ' || c.id);
    END IF;
    RETURN v_result ->> 'action';
END
$$;
COMMENT ON FUNCTION postern.apply_complaint(bigint) IS 'Applies one complaint; a second call changes nothing. Returns what became of it: warned, appended, noted, stored, no-address, not-ours, too-old, from-the-future, unassigned, other-tenancy, never-block, exempt, held, shadow-warned';

CREATE FUNCTION postern.note_apply_error(p_kind text, p_id bigint, p_error text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_error text := left(p_error, 4000);
BEGIN
    -- Tried again after 1, 2, 4 … minutes, at most an hour.
    CASE p_kind
        WHEN 'verdict' THEN
            UPDATE postern.verdict
               SET apply_error = v_error, apply_tries = apply_tries + 1,
                   apply_after = postern.now() + least(interval '1 hour', interval '1 minute' * 2 ^ least(apply_tries, 6))
             WHERE id = p_id AND applied_at IS NULL;
        WHEN 'complaint' THEN
            UPDATE postern.complaint
               SET apply_error = v_error, apply_tries = apply_tries + 1,
                   apply_after = postern.now() + least(interval '1 hour', interval '1 minute' * 2 ^ least(apply_tries, 6))
             WHERE id = p_id AND applied_at IS NULL;
        WHEN 'timer' THEN
            UPDATE postern.timer
               SET error = v_error, tries = tries + 1,
                   due_at = postern.now() + least(interval '1 hour', interval '1 minute' * 2 ^ least(tries, 6))
             WHERE id = p_id AND fired_at IS NULL;
        ELSE NULL;
    END CASE;
    PERFORM postern.raise_alarm('apply-error', format('%s %s', p_kind, p_id), v_error);
END
$$;
COMMENT ON FUNCTION postern.note_apply_error(text, bigint, text) IS 'A verdict, complaint or timer that could not be applied keeps its error, alarms, and is tried again later';

-- ----------------------------------------------------------------------------------------- timers

CREATE FUNCTION postern.due_timers(p_max int) RETURNS SETOF bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT t.id FROM postern.timer t
     WHERE t.fired_at IS NULL AND t.due_at <= postern.now() ORDER BY t.due_at, t.id LIMIT p_max
$$;
COMMENT ON FUNCTION postern.due_timers(int) IS 'Timers that are due, oldest first. Locks nothing: fire_timer() does';

CREATE FUNCTION postern.spam_after_warning(p_warning_id bigint) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    w postern.warning;
    v_since timestamptz;
    v_id bigint;
BEGIN
    SELECT x.* INTO STRICT w FROM postern.warning x WHERE x.id = p_warning_id;
    v_since := w.accepted_at + postern.setting_interval('deadline.grace_hours');
    SELECT v.id INTO v_id FROM postern.verdict v
     WHERE v.unit = w.unit AND greatest(v.crossed_at, v.last_at) > v_since
     ORDER BY v.crossed_at DESC LIMIT 1;
    IF FOUND THEN
        RETURN array_to_string(postern.verdict_reasons(v_id), E'\n');
    END IF;
    SELECT c.id INTO v_id FROM postern.complaint c
     WHERE c.unit = w.unit AND c.customer = w.customer AND c.counted AND c.authenticated AND c.enrolled
       AND c.arrived_at > v_since
     ORDER BY c.arrived_at DESC LIMIT 1;
    IF FOUND THEN
        RETURN array_to_string(postern.complaint_reasons(w.unit, w.customer,
            (SELECT c.received_at FROM postern.complaint c WHERE c.id = v_id)), E'\n');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.spam_after_warning(bigint) IS 'What was seen or reported by a trusted reporter after the accepted warning and its grace, in sentences; NULL: rectified';

CREATE FUNCTION postern.tell_exemption(p_net inet) RETURNS jsonb
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    INSERT INTO postern.scorer_input (kind, unit, ceiling, created_at)
    SELECT 'exempted', p_net,
           CASE WHEN bool_or(e.ceiling IS NULL) THEN NULL ELSE coalesce(max(e.ceiling), 0) END, postern.now()
      FROM postern.exemption e WHERE e.net = p_net AND e.during @> postern.now();
    SELECT jsonb_build_object('action', 'told');
$$;
COMMENT ON FUNCTION postern.tell_exemption(inet) IS 'Tells the scorer what exempts a net now: the highest ceiling in force, 0 if none is';

CREATE FUNCTION postern.fire_timer(p_timer_id bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    t postern.timer;
    v_seen text;
    v_result jsonb;
BEGIN
    SELECT x.* INTO t FROM postern.timer x WHERE x.id = p_timer_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no timer %', p_timer_id USING ERRCODE = 'PT006';
    END IF;
    PERFORM FROM postern.ip_state s WHERE s.unit = t.unit FOR UPDATE;
    SELECT x.* INTO STRICT t FROM postern.timer x WHERE x.id = p_timer_id FOR UPDATE;
    IF t.fired_at IS NOT NULL THEN
        RETURN t.result;
    ELSIF t.due_at > postern.now() THEN
        RETURN 'early';
    END IF;
    IF t.kind IN ('reminder', 'deadline') AND postern.mode() = 'shadow' THEN
        v_result := '{"action": "held"}';
    ELSIF t.kind = 'deadline' THEN
        v_seen := postern.spam_after_warning(t.warning_id);
        v_result := postern.transition(t.unit, CASE WHEN v_seen IS NULL THEN 'deadline_met' ELSE 'deadline_missed' END,
            'timer', jsonb_strip_nulls(jsonb_build_object('timer_id', t.id, 'warning_id', t.warning_id, 'reason', v_seen)));
    ELSIF t.kind = 'exemption_over' THEN
        v_result := postern.tell_exemption(t.unit);
    ELSE
        v_result := postern.transition(t.unit,
            CASE t.kind WHEN 'dispute_over' THEN 'dispute_ended' ELSE t.kind END,
            'timer', jsonb_strip_nulls(jsonb_build_object('timer_id', t.id, 'warning_id', t.warning_id)));
    END IF;
    IF v_result ->> 'action' = 'held' THEN
        -- Shadow mode or the breaker holds it back: asked again every hour.
        UPDATE postern.timer SET due_at = postern.now() + interval '1 hour', result = 'held' WHERE id = t.id;
    ELSE
        UPDATE postern.timer SET fired_at = postern.now(), result = v_result ->> 'action', error = NULL
         WHERE id = t.id;
    END IF;
    IF t.error IS NOT NULL THEN
        PERFORM postern.settle_alarm('apply-error', 'timer ' || t.id);
    END IF;
    RETURN v_result ->> 'action';
END
$$;
COMMENT ON FUNCTION postern.fire_timer(bigint) IS 'Does what a due timer is for; a second call changes nothing. Returns what became of it: reminded, resolved, blocked, clock-resumed, probation-over, told, cancelled, held (asked again in an hour), early';

GRANT EXECUTE ON FUNCTION postern.claim_verdicts(int), postern.apply_verdict(bigint),
    postern.claim_complaints(int), postern.apply_complaint(bigint), postern.note_apply_error(text, bigint, text),
    postern.due_timers(int), postern.fire_timer(bigint) TO postern_desk;
GRANT EXECUTE ON FUNCTION postern.note_apply_error(text, bigint, text) TO postern_mailer, postern_enforcer;

RESET ROLE;
