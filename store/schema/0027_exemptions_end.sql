-- SPDX-License-Identifier: Apache-2.0
-- Exemptions that end early; verdicts under an exemption's ceiling, which are no broken promise;
-- deadlines that pass under an exemption; the count of warnings where a case becomes a worse one;
-- and two look-ups that read whole tables.

SET LOCAL ROLE postern_owner;

CREATE INDEX outbox_warning ON postern.outbox (warning_id) WHERE warning_id IS NOT NULL;
CREATE INDEX warning_unit ON postern.warning (unit);

CREATE FUNCTION postern.ip_exempt_end(p_net cidr, p_reason text, p_actor text) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_now timestamptz := postern.now();
    v_ids bigint[];
BEGIN
    IF coalesce(btrim(p_reason), '') = '' THEN
        RAISE EXCEPTION 'the end of an exemption needs a reason' USING ERRCODE = 'PT006';
    END IF;
    WITH ended AS (
        UPDATE postern.exemption
           SET during = tstzrange(lower(during), greatest(v_now, lower(during) + interval '1 microsecond'))
         WHERE net = p_net AND during @> v_now RETURNING id)
    SELECT array_agg(id ORDER BY id) INTO v_ids FROM ended;
    IF v_ids IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM postern.tell_exemption(p_net);
    UPDATE postern.timer SET fired_at = v_now, result = 'cancelled'
     WHERE kind = 'exemption_over' AND unit = p_net AND fired_at IS NULL
       AND split_part(dedup_key, ':', 2)::bigint = ANY (v_ids);
    PERFORM postern.audit(p_actor, 'exempt-end', NULL, jsonb_build_object('ids', v_ids, 'net', p_net, 'reason', btrim(p_reason)));
    RETURN cardinality(v_ids);
END
$$;
COMMENT ON FUNCTION postern.ip_exempt_end(cidr, text, text) IS 'Ends the exemptions of exactly this net that are in force; returns how many. Verdicts act again from now on, the detector hears of it';
GRANT EXECUTE ON FUNCTION postern.ip_exempt_end(cidr, text, text) TO postern_officer;

-- What an exemption allows is not held against the customer at the deadline either.
CREATE OR REPLACE FUNCTION postern.spam_after_warning(p_warning_id bigint) RETURNS text
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
       AND NOT EXISTS (SELECT FROM postern.exemption e
                        WHERE e.net >>= v.unit AND e.during @> v.crossed_at
                          AND (e.ceiling IS NULL OR e.ceiling >= v.sessions_low))
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

CREATE FUNCTION postern.warning_repeat(p_unit postern.unit, p_customer text, p_category text, p_but bigint) RETURNS int
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    RETURN 1 + (SELECT count(*) FROM postern.warning w
                 WHERE w.unit = p_unit AND w.customer = p_customer AND w.category = p_category
                   AND w.state <> 'withdrawn' AND w.id IS DISTINCT FROM p_but);
END
$$;
COMMENT ON FUNCTION postern.warning_repeat(postern.unit, text, text, bigint) IS 'The how-manieth warning of this customer and unit in that category one would be; withdrawn ones do not count';

CREATE OR REPLACE FUNCTION postern.add_complaint_evidence(p_case_id bigint, p_complaint_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_category text;
BEGIN
    INSERT INTO postern.evidence (case_id, kind, at, message_id, reporter, complaint_id)
    SELECT p_case_id, 'complaint', coalesce(c.arrived_at, c.received_at), c.message_id, c.reporter, c.id
      FROM postern.complaint c WHERE c.id = p_complaint_id
    ON CONFLICT DO NOTHING;
    UPDATE postern.complaint SET case_id = coalesce(case_id, p_case_id) WHERE id = p_complaint_id;
    UPDATE postern.spam_case SET last_at = postern.now(), category = postern.worst_category(id)
     WHERE id = p_case_id RETURNING category INTO v_category;
    -- The measure goes by category and repeat: a worse category is counted by itself.
    UPDATE postern.warning w
       SET category = v_category, repeat = postern.warning_repeat(w.unit, w.customer, v_category, w.id)
     WHERE w.case_id = p_case_id AND w.closed_at IS NULL
       AND postern.severity(v_category) > postern.severity(w.category);
END
$$;

-- A deadline that passes while the unit is protected is asked about again, not forgotten: the unit
-- would stay warned for ever.
CREATE OR REPLACE FUNCTION postern.fire_timer(p_timer_id bigint) RETURNS text
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
    IF v_result ->> 'action' IN ('held', 'exempt', 'never-block') THEN
        -- Shadow mode, the breaker, an exemption holds it back: asked again every hour.
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
COMMENT ON FUNCTION postern.fire_timer(bigint) IS 'Does what a due timer is for; a second call changes nothing. Returns what became of it: reminded, resolved, blocked, clock-resumed, probation-over, told, cancelled, held, exempt, never-block (asked again in an hour), early';

RESET ROLE;
