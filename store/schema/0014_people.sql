-- SPDX-License-Identifier: Apache-2.0
-- What people and the API do: modes and settings, unblocking, releasing, statements, exemptions,
-- networks, customers. And commit_freeze(), the only way to a frozen address.

SET LOCAL ROLE postern_owner;

CREATE FUNCTION postern.audit(p_actor text, p_event text, p_unit inet, p_detail jsonb) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    INSERT INTO postern.audit_event (at, actor, login, unit, event, detail)
    VALUES (postern.now(), coalesce(nullif(p_actor, ''), session_user), session_user, p_unit, p_event, p_detail)
$$;
COMMENT ON FUNCTION postern.audit(text, text, inet, jsonb) IS 'Audit row of a change that is no transition';

-- ------------------------------------------------------------------------------- mode and settings

CREATE FUNCTION postern.set_setting(p_key text, p_value text, p_actor text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_old text;
BEGIN
    IF p_key IN ('mode', 'bus.partitions') OR p_key LIKE 'test.%' THEN
        RAISE EXCEPTION 'setting % is not changed this way', p_key USING ERRCODE = 'PT006',
            HINT = CASE p_key WHEN 'mode' THEN 'postern mode shadow|enforce' ELSE 'It belongs to the installation.' END;
    END IF;
    SELECT s.value INTO v_old FROM postern.setting s WHERE s.key = p_key FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no setting "%"', p_key USING ERRCODE = 'PT006',
            HINT = 'SELECT key, value, note FROM postern.setting';
    END IF;
    UPDATE postern.setting SET value = p_value, changed_at = postern.now(), changed_by = p_actor WHERE key = p_key;
    PERFORM postern.audit(p_actor, 'setting', NULL, jsonb_build_object('key', p_key, 'old', v_old, 'new', p_value));
END
$$;
COMMENT ON FUNCTION postern.set_setting(text, text, text) IS 'Changes a setting; refuses what is out of range';

CREATE FUNCTION postern.set_mode(p_mode text, p_actor text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_old text;
BEGIN
    SELECT s.value INTO STRICT v_old FROM postern.setting s WHERE s.key = 'mode' FOR UPDATE;
    UPDATE postern.setting SET value = p_mode, changed_at = postern.now(), changed_by = p_actor WHERE key = 'mode';
    IF p_mode = 'enforce' THEN
        PERFORM postern.close_case(c.id, 'shadow') FROM postern.spam_case c WHERE c.shadow AND c.closed_at IS NULL;
    END IF;
    PERFORM postern.audit(p_actor, 'mode', NULL, jsonb_build_object('old', v_old, 'new', p_mode));
    PERFORM pg_notify('postern_work', 'mail');
END
$$;
COMMENT ON FUNCTION postern.set_mode(text, text) IS 'shadow or enforce. What was recorded in shadow mode stays as it is: enforce acts on what comes later';

CREATE FUNCTION postern.mode_preview(OUT unit postern.unit, OUT customer text, OUT action text,
        OUT at timestamptz, OUT reason text) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT s.unit, s.customer, s.action, s.at, s.reason FROM postern.shadow_action s
     WHERE s.at > postern.now() - interval '7 days' ORDER BY s.at, s.id
$$;
COMMENT ON FUNCTION postern.mode_preview() IS 'What would have been done in the last 7 days, had the mode been enforce';

CREATE FUNCTION postern.clear_alarm(p_id bigint, p_actor text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    UPDATE postern.noc_alarm SET cleared_at = postern.now(), cleared_by = p_actor
     WHERE id = p_id AND cleared_at IS NULL;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION postern.clear_alarm(bigint, text) IS 'A person has looked at it';

-- ------------------------------------------------------------------- unblocking, releasing, saying

CREATE FUNCTION postern.find_unit(p_address inet) RETURNS postern.unit
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT coalesce((SELECT s.unit FROM postern.ip_state s
                      WHERE s.unit >>= postern.unfold(p_address) ORDER BY masklen(s.unit) DESC LIMIT 1),
                    postern.unit_of(p_address, postern.now()))
$$;
COMMENT ON FUNCTION postern.find_unit(inet) IS 'The unit that an address (or the unit itself) belongs to now';

CREATE FUNCTION postern.request_unblock(p_unit inet, p_customer text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_unit postern.unit := postern.find_unit(p_unit);
    v_state postern.ip_state;
BEGIN
    SELECT s.* INTO v_state FROM postern.ip_state s WHERE s.unit = v_unit FOR UPDATE;
    -- Not his and not known are the same answer.
    IF (postern.tenancy_at(v_unit, postern.now())).customer IS DISTINCT FROM p_customer OR p_customer IS NULL THEN
        RETURN jsonb_build_object('action', 'not-found', 'message', 'There is no such IP address among yours');
    ELSIF v_state.unit IS NULL THEN
        RETURN jsonb_build_object('action', 'refused', 'message', 'This IP address is not blocked', 'state', 'clear');
    END IF;
    RETURN postern.transition(v_unit, 'unblock_asked', 'customer ' || p_customer)
           || jsonb_build_object('unit', postern.unit_text(v_unit));
END
$$;
COMMENT ON FUNCTION postern.request_unblock(inet, text) IS 'The customer unblocks. {action: unblocking | ignored (under way) | too-early {remaining_seconds, unblockable_at} | no-statement | refused | not-found, message, state}';

CREATE FUNCTION postern.make_statement(p_unit inet, p_customer text, p_kind text, p_text text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_unit postern.unit := postern.find_unit(p_unit);
BEGIN
    IF p_kind NOT IN ('fixed', 'disputed') THEN
        RAISE EXCEPTION 'a statement is fixed or disputed, not "%"', p_kind USING ERRCODE = 'PT006';
    END IF;
    PERFORM FROM postern.ip_state s WHERE s.unit = v_unit FOR UPDATE;
    IF NOT FOUND OR p_customer IS NULL
       OR (postern.tenancy_at(v_unit, postern.now())).customer IS DISTINCT FROM p_customer THEN
        RETURN jsonb_build_object('action', 'not-found', 'message', 'There is no such IP address among yours');
    END IF;
    RETURN postern.transition(v_unit, 'statement_' || p_kind, 'customer ' || p_customer,
                              jsonb_build_object('text', left(p_text, 10000)));
END
$$;
COMMENT ON FUNCTION postern.make_statement(inet, text, text, text) IS 'What the customer says about a warning or block: fixed (the deadline stays) or disputed (the clock stops until an officer decides)';

CREATE FUNCTION postern.officer_event(p_unit inet, p_event text, p_actor text, p_detail jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_unit postern.unit := postern.find_unit(p_unit);
BEGIN
    PERFORM FROM postern.ip_state s WHERE s.unit = v_unit FOR UPDATE;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('action', 'not-found', 'unit', postern.unit_text(v_unit),
            'message', format('nothing is known about %s', postern.unit_text(v_unit)));
    END IF;
    RETURN postern.transition(v_unit, p_event, coalesce(nullif(p_actor, ''), session_user), p_detail)
           || jsonb_build_object('unit', postern.unit_text(v_unit));
END
$$;
COMMENT ON FUNCTION postern.officer_event(inet, text, text, jsonb) IS 'A person''s decision about one unit';

CREATE FUNCTION postern.ip_release(p_unit inet, p_reason text, p_false_positive boolean, p_actor text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF coalesce(btrim(p_reason), '') = '' THEN
        RAISE EXCEPTION 'a release needs a reason' USING ERRCODE = 'PT006';
    END IF;
    RETURN postern.officer_event(p_unit, CASE WHEN p_false_positive THEN 'false_positive' ELSE 'released' END,
                                 p_actor, jsonb_build_object('reason', btrim(p_reason)));
END
$$;
COMMENT ON FUNCTION postern.ip_release(inet, text, boolean, text) IS 'An officer releases a block or withdraws a warning. false_positive: the level does not count, the detector hears of it. {action: unblocking | withdrawn | noted | ignored | refused | not-found, message, state}';

CREATE FUNCTION postern.extend_deadline(p_unit inet, p_until timestamptz, p_reason text, p_actor text) RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT postern.officer_event(p_unit, ''extended'', p_actor, jsonb_build_object(''until'', p_until, ''reason'', p_reason))';
COMMENT ON FUNCTION postern.extend_deadline(inet, timestamptz, text, text) IS 'An officer gives more time';

CREATE FUNCTION postern.decide_dispute(p_unit inet, p_accepted boolean, p_reason text, p_actor text) RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT postern.officer_event(p_unit, CASE WHEN p_accepted THEN 'false_positive' ELSE 'dispute_ended' END,
                                 p_actor, jsonb_build_object('reason', p_reason))
$$;
COMMENT ON FUNCTION postern.decide_dispute(inet, boolean, text, text) IS 'An officer decides a dispute: accepted withdraws the warning, otherwise the clock goes on';

CREATE FUNCTION postern.ip_exempt(p_net cidr, p_ceiling double precision, p_until timestamptz, p_reason text,
        p_actor text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    IF p_until IS NULL OR p_until <= postern.now() OR NOT isfinite(p_until) THEN
        RAISE EXCEPTION 'an exemption needs an end that lies ahead' USING ERRCODE = 'PT006';
    ELSIF coalesce(btrim(p_reason), '') = '' THEN
        RAISE EXCEPTION 'an exemption needs a reason' USING ERRCODE = 'PT006';
    END IF;
    INSERT INTO postern.exemption (net, ceiling, during, reason, actor, created_at)
    VALUES (p_net, p_ceiling, tstzrange(postern.now(), p_until), btrim(p_reason),
            coalesce(nullif(p_actor, ''), session_user), postern.now())
    RETURNING id INTO v_id;
    PERFORM postern.tell_exemption(p_net);
    PERFORM postern.set_timer('exemption_over', p_net, NULL, p_until, v_id::text);
    PERFORM postern.audit(p_actor, 'exempt', NULL, jsonb_build_object('id', v_id, 'net', p_net, 'ceiling', p_ceiling,
        'until', p_until, 'reason', p_reason));
    RETURN v_id;
END
$$;
COMMENT ON FUNCTION postern.ip_exempt(cidr, double precision, timestamptz, text, text) IS 'Verdicts on these addresses do not act until then, up to so many sessions (NULL: any number)';

CREATE FUNCTION postern.never_block_add(p_net cidr, p_reason text, p_actor text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    INSERT INTO postern.never_block (net, reason, actor, created_at)
    VALUES (p_net, p_reason, coalesce(nullif(p_actor, ''), session_user), postern.now()) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM postern.audit(p_actor, 'never-block', NULL, jsonb_build_object('net', p_net, 'reason', p_reason));
        RETURN true;
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION postern.never_block_add(cidr, text, text) IS 'Our own infrastructure: never warned, blocked or frozen. false: it stands there already';

CREATE FUNCTION postern.reporter_enrol(p_domain text, p_weight double precision, p_note text, p_actor text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    INSERT INTO postern.reporter (domain, weight, enrolled_at, note)
    VALUES (lower(btrim(p_domain)), coalesce(p_weight, 1.0), postern.now(), coalesce(p_note, ''))
    ON CONFLICT (domain) DO UPDATE SET weight = excluded.weight, note = excluded.note;
    PERFORM postern.audit(p_actor, 'reporter', NULL, jsonb_build_object('domain', lower(p_domain), 'weight', p_weight));
END
$$;
COMMENT ON FUNCTION postern.reporter_enrol(text, double precision, text, text) IS 'Enrols a reporter, or changes the weight';

-- ---------------------------------------------------------------------------------------- networks

CREATE FUNCTION postern.network_add(p_net cidr, p_note text, p_actor text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF p_net <<= inet '::ffff:0.0.0.0/96' OR masklen(p_net) = 0 THEN
        RAISE EXCEPTION '% is no network of yours', p_net USING ERRCODE = 'PT006';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('postern.network'));
    IF EXISTS (SELECT FROM postern.network n WHERE n.net = p_net AND n.during @> postern.now()) THEN
        RETURN 'known';
    END IF;
    -- The first time an address is ours it always was; later times begin now.
    INSERT INTO postern.network (net, during, note, actor)
    VALUES (p_net,
            tstzrange(CASE WHEN EXISTS (SELECT FROM postern.network n WHERE n.net && p_net AND NOT n.during @> postern.now())
                           THEN postern.now() END, NULL),
            coalesce(p_note, ''), coalesce(nullif(p_actor, ''), session_user));
    PERFORM postern.audit(p_actor, 'network-add', NULL, jsonb_build_object('net', p_net, 'note', p_note));
    RETURN 'added';
END
$$;
COMMENT ON FUNCTION postern.network_add(cidr, text, text) IS 'Adds our own address space: added, or known';

CREATE FUNCTION postern.network_end(p_net cidr, p_actor text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_now timestamptz := postern.now();
    v_unit postern.unit;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('postern.network'));
    UPDATE postern.network
       SET during = tstzrange(lower(during), greatest(v_now, lower(during) + interval '1 microsecond'))
     WHERE net = p_net AND during @> v_now;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    FOR v_unit IN SELECT s.unit FROM postern.ip_state s WHERE s.unit <<= p_net ORDER BY s.unit LOOP
        PERFORM FROM postern.ip_state s WHERE s.unit = v_unit FOR UPDATE;
        PERFORM postern.transition(v_unit, 'sold', coalesce(nullif(p_actor, ''), session_user));
    END LOOP;
    PERFORM postern.audit(p_actor, 'network-end', NULL, jsonb_build_object('net', p_net));
    RETURN 'ended';
END
$$;
COMMENT ON FUNCTION postern.network_end(cidr, text) IS 'Address space that is no longer ours: ended, or unknown';

-- ------------------------------------------------------------------------------------------ freeze

CREATE FUNCTION postern.commit_freeze(p_proposal_id bigint) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    p postern.freeze_proposal;
    v_result jsonb;
BEGIN
    SELECT x.* INTO p FROM postern.freeze_proposal x WHERE x.id = p_proposal_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no freeze proposal %', p_proposal_id USING ERRCODE = 'PT006';
    END IF;
    PERFORM postern.lock_unit(p.unit, p.customer);
    SELECT x.* INTO STRICT p FROM postern.freeze_proposal x WHERE x.id = p_proposal_id;
    IF p.state = 'committed' THEN
        RETURN jsonb_build_object('action', 'ignored', 'state', 'frozen');
    ELSIF p.state <> 'scheduled' OR p.approver IS NULL OR p.freeze_at > postern.now() OR p.freeze_at IS NULL THEN
        RAISE EXCEPTION 'freeze proposal % is not approved and due', p_proposal_id USING ERRCODE = 'PT005';
    ELSIF p.confirmed_at IS NULL OR p.confirmed_at < postern.now() - interval '1 hour' THEN
        RAISE EXCEPTION 'freeze proposal %: the listing was not seen on a healthy list within the last hour', p_proposal_id
            USING ERRCODE = 'PT005';
    END IF;
    v_result := postern.transition(p.unit, 'freeze_due', 'freezer', jsonb_build_object('proposal_id', p.id));
    IF v_result ->> 'action' <> 'frozen' THEN
        RETURN v_result;
    END IF;
    INSERT INTO postern.ip_freeze (unit, frozen_at, customer, case_id, proposal_id, zone, proposer, approver, evidence_digest)
    VALUES (p.unit, postern.now(), p.customer, p.case_id, p.id, p.zone, p.proposer, p.approver, p.evidence_digest);
    RETURN v_result;
END
$$;
COMMENT ON FUNCTION postern.commit_freeze(bigint) IS 'Freezes an address for ever: the proposal is approved, announced and due, and the listing was confirmed within the hour. The only thing that may insert into ip_freeze';
GRANT SELECT ON postern.freeze_proposal TO postern_freezer;
GRANT INSERT ON postern.ip_freeze TO postern_freezer;
GRANT EXECUTE ON FUNCTION postern.commit_freeze(bigint) TO postern_desk;

-- ---------------------------------------------------------------------------------- who may what

GRANT EXECUTE ON FUNCTION postern.set_setting(text, text, text), postern.set_mode(text, text),
    postern.mode_preview(), postern.clear_alarm(bigint, text),
    postern.ip_release(inet, text, boolean, text), postern.extend_deadline(inet, timestamptz, text, text),
    postern.decide_dispute(inet, boolean, text, text),
    postern.ip_exempt(cidr, double precision, timestamptz, text, text),
    postern.never_block_add(cidr, text, text), postern.reporter_enrol(text, double precision, text, text),
    postern.network_add(cidr, text, text), postern.network_end(cidr, text) TO postern_officer;
GRANT EXECUTE ON FUNCTION postern.mode_preview() TO postern_analyst, postern_monitor, postern_auditor;
GRANT EXECUTE ON FUNCTION postern.request_unblock(inet, text),
    postern.make_statement(inet, text, text, text) TO postern_api, postern_officer;
GRANT SELECT ON postern.noc_alarm, postern.shadow_action, postern.reporter, postern.never_block,
    postern.exemption, postern.freeze_proposal TO postern_officer, postern_analyst;

RESET ROLE;
ALTER FUNCTION postern.commit_freeze(bigint) OWNER TO postern_freezer;
