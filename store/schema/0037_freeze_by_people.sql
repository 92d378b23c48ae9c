-- SPDX-License-Identifier: Apache-2.0
-- Freezes as people decide them: who proposed does not approve (PostgreSQL's logins, not names that
-- a caller gives himself), a cap per day, what is never frozen, confirmation that the address is
-- still listed, and freezes that an older dump has lost.

SET LOCAL ROLE postern_owner;

INSERT INTO postern.setting (key, value, kind, low, high, note) VALUES
 ('freeze.per_day', '5', 'int', 0, 100000, 'So many freezes are approved, and so many carried out, within 24 hours at most; 0: none is');

ALTER TABLE postern.freeze_proposal
    ADD COLUMN by_person boolean NOT NULL DEFAULT false,
    ADD COLUMN proposer_login text,
    ADD COLUMN approver_login text,
    ADD COLUMN confirmed_by text,
    ADD COLUMN asked_at timestamptz,
    ADD COLUMN tried_at timestamptz;
COMMENT ON COLUMN postern.freeze_proposal.by_person IS 'Proposed by a person: then another login approves it';
COMMENT ON COLUMN postern.freeze_proposal.proposer_login IS 'Who proposed it, as PostgreSQL knows (session_user)';
COMMENT ON COLUMN postern.freeze_proposal.approver_login IS 'Who approved it, as PostgreSQL knows';
COMMENT ON COLUMN postern.freeze_proposal.confirmed_by IS 'Who saw it listed last: a check of the list, or a person''s login';
COMMENT ON COLUMN postern.freeze_proposal.asked_at IS 'When the time had come and nobody had confirmed the listing: alarm freeze-unconfirmed';
COMMENT ON COLUMN postern.freeze_proposal.tried_at IS 'When it was last to be carried out: what is refused then is tried again after ten minutes, as long as its confirmation holds';

CREATE TABLE postern.never_freeze (
    net cidr PRIMARY KEY,
    reason text NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE postern.never_freeze IS 'Customers'' addresses that are warned and blocked, and never frozen: NAT pools, shared relays. Beside never_block and shared assignments';
GRANT SELECT ON postern.never_freeze TO postern_officer, postern_analyst;

CREATE FUNCTION postern.need_reason(p_reason text, p_what text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF coalesce(btrim(p_reason), '') = '' THEN
        RAISE EXCEPTION '% needs a reason', p_what USING ERRCODE = 'PT006';
    END IF;
    RETURN btrim(p_reason);
END
$$;
COMMENT ON FUNCTION postern.need_reason(text, text) IS 'The reason without blanks around it; refuses an empty one';

CREATE FUNCTION postern.never_freeze_add(p_net cidr, p_reason text, p_actor text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    INSERT INTO postern.never_freeze (net, reason, actor, created_at)
    VALUES (p_net, postern.need_reason(p_reason, 'never-freeze'), coalesce(nullif(p_actor, ''), session_user), postern.now())
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM postern.audit(p_actor, 'never-freeze', NULL, jsonb_build_object('net', p_net, 'reason', p_reason));
        RETURN true;
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION postern.never_freeze_add(cidr, text, text) IS 'Addresses that may be warned and blocked and are never frozen. false: it stands there already';

CREATE FUNCTION postern.never_freeze_remove(p_net cidr, p_reason text, p_actor text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    PERFORM postern.need_reason(p_reason, 'the end of never-freeze');
    DELETE FROM postern.never_freeze WHERE net = p_net;
    IF FOUND THEN
        PERFORM postern.audit(p_actor, 'never-freeze-end', NULL, jsonb_build_object('net', p_net, 'reason', p_reason));
        RETURN true;
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION postern.never_freeze_remove(cidr, text, text) IS 'Takes exactly this net from the list; false: it does not stand there';

CREATE OR REPLACE FUNCTION postern.guard_may_freeze(m postern.move) RETURNS jsonb
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
        WHEN EXISTS (SELECT FROM postern.never_freeze n WHERE n.net >>= m.unit OR n.net <<= m.unit)
            THEN jsonb_build_object('action', 'never-freeze', 'message',
                     (SELECT format('%s is never frozen: %s', n.net, n.reason) FROM postern.never_freeze n
                       WHERE n.net >>= m.unit OR n.net <<= m.unit ORDER BY n.net LIMIT 1))
        WHEN m.detail ->> 'restored' IS NULL AND
             CASE m.event
                 WHEN 'freeze_approved' THEN (SELECT count(*) FROM postern.freeze_proposal p
                      WHERE p.state IN ('scheduled', 'committed') AND p.approved_at > m.at - interval '24 hours')
                 WHEN 'freeze_due' THEN (SELECT count(*) FROM postern.ip_freeze f
                      WHERE f.frozen_at > m.at - interval '24 hours') END >= postern.setting_number('freeze.per_day')
            THEN jsonb_build_object('action', 'held', 'message', format(
                     'The cap of %s freezes within 24 hours is reached (setting freeze.per_day)', postern.setting('freeze.per_day')))
    END
$$;
COMMENT ON FUNCTION postern.guard_may_freeze(postern.move) IS 'A customer''s, not on the never-freeze list (infrastructure, shared addresses, never_freeze), and the cap of the day is not reached';

-- Refusing a frozen address for ever says why.
CREATE OR REPLACE FUNCTION postern.effect_refuse(m postern.move) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('action', 'refused', 'message', m.note, 'reason', CASE m.from_state
        WHEN 'frozen' THEN (SELECT format('Listed on %s, frozen at %s and announced a day before. It is not opened again: use another address for the service',
                                          coalesce(nullif(f.zone, ''), 'a blocklist'), postern.time_text(f.frozen_at, 'UTC'))
                              FROM postern.ip_freeze f WHERE f.unit = m.unit)
        WHEN 'freeze_scheduled' THEN (SELECT format('Listed on %s, frozen for ever from %s on unless it is delisted before: have it removed from the list and tell us',
                                                    coalesce(nullif(p.zone, ''), 'a blocklist'), postern.time_text(p.freeze_at, 'UTC'))
                                        FROM postern.freeze_proposal p WHERE p.unit = m.unit AND p.state = 'scheduled')
        WHEN 'freeze_proposed' THEN (SELECT format('Listed on %s: have it removed from the list and tell us', coalesce(nullif(p.zone, ''), 'a blocklist'))
                                       FROM postern.freeze_proposal p WHERE p.unit = m.unit AND p.state = 'proposed') END))
$$;

-- ------------------------------------------------------------------------- effects, with logins

CREATE OR REPLACE FUNCTION postern.effect_propose_freeze(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_case_id bigint := postern.case_for(m);
    v_proposal_id bigint;
BEGIN
    UPDATE postern.ip_state SET prior_state = m.from_state WHERE unit = m.unit;
    INSERT INTO postern.freeze_proposal (unit, customer, case_id, zone, proposer, proposed_at, note, by_person, proposer_login)
    VALUES (m.unit, m.customer, v_case_id, coalesce(m.detail ->> 'zone', ''), m.actor, m.at, coalesce(m.detail ->> 'reason', ''),
            coalesce((m.detail ->> 'by_person')::boolean, false), session_user)
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

CREATE OR REPLACE FUNCTION postern.effect_schedule_freeze(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_proposal postern.freeze_proposal;
BEGIN
    SELECT p.* INTO STRICT v_proposal FROM postern.freeze_proposal p WHERE p.unit = m.unit AND p.state = 'proposed';
    -- A person is who PostgreSQL says; a program, which has no login of its own here, who it says it is.
    IF (CASE WHEN v_proposal.by_person THEN v_proposal.proposer_login IS NOT DISTINCT FROM session_user
            ELSE v_proposal.proposer = m.actor END) THEN
        RAISE EXCEPTION 'a freeze that a person proposed is approved by another login: % proposed it, as %', v_proposal.proposer,
            coalesce(v_proposal.proposer_login, 'nobody knows whom')
            USING ERRCODE = 'PT006', HINT = 'Somebody else with a PostgreSQL login of his own runs postern freeze approve.';
    END IF;
    UPDATE postern.freeze_proposal
       SET state = 'scheduled', approver = m.actor, approver_login = session_user, approved_at = m.at, freeze_at = m.at + interval '24 hours'
     WHERE id = v_proposal.id;
    PERFORM postern.enqueue_mail('freeze-notice', m.case_id, NULL, NULL, v_proposal.note, v_proposal.id::text);
    RETURN jsonb_build_object('action', 'freeze-scheduled', 'proposal_id', v_proposal.id,
                              'freeze_at', postern.time_json(m.at + interval '24 hours'));
END
$$;

CREATE OR REPLACE FUNCTION postern.effect_freeze(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    UPDATE postern.freeze_proposal SET state = 'committed' WHERE unit = m.unit AND state = 'scheduled';
    PERFORM postern.set_order(m.unit, 'freeze', '{}', 'frozen for ever');
    PERFORM postern.supersede_mails(m.case_id, '{freeze-notice}');
    PERFORM postern.enqueue_mail('frozen', m.case_id, NULL, NULL, 'The address is frozen for ever.', m.case_id::text);
    PERFORM postern.close_case(m.case_id, 'frozen');
    RETURN jsonb_build_object('action', 'frozen', 'case_id', m.case_id);
END
$$;

CREATE FUNCTION postern.tell_proposal() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF NEW.state = 'proposed' THEN
        PERFORM postern.raise_alarm('freeze-proposed', postern.unit_text(NEW.unit), format(
            'listed on %s, proposed by %s: postern freeze approve or reject', coalesce(nullif(NEW.zone, ''), 'a blocklist'), NEW.proposer));
    ELSE
        PERFORM postern.settle_alarm('freeze-proposed', postern.unit_text(NEW.unit));
    END IF;
    IF NEW.state IN ('committed', 'withdrawn') THEN
        PERFORM postern.settle_alarm('freeze-unconfirmed', postern.unit_text(NEW.unit));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.tell_proposal() IS 'Trigger: a proposal alarms until somebody has decided it';
CREATE TRIGGER tell_proposal AFTER INSERT OR UPDATE OF state ON postern.freeze_proposal
    FOR EACH ROW EXECUTE FUNCTION postern.tell_proposal();

-- ------------------------------------------------------------------------------- what people do

CREATE FUNCTION postern.freeze_propose(p_unit inet, p_zone text, p_reason text, p_actor text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_unit postern.unit := postern.find_unit(p_unit);
    v_customer text := (postern.tenancy_at(v_unit, postern.now())).customer;
BEGIN
    IF coalesce(btrim(p_zone), '') = '' THEN
        RAISE EXCEPTION 'a freeze needs the list that holds the address' USING ERRCODE = 'PT006';
    ELSIF v_customer IS NULL THEN
        RETURN jsonb_build_object('action', 'unassigned', 'unit', postern.unit_text(v_unit), 'message', 'It belongs to no customer');
    END IF;
    PERFORM postern.lock_unit(v_unit, v_customer);
    RETURN postern.transition(v_unit, 'listed', coalesce(nullif(p_actor, ''), session_user), jsonb_build_object(
               'zone', btrim(p_zone), 'reason', postern.need_reason(p_reason, 'a freeze'), 'by_person', true))
           || jsonb_build_object('unit', postern.unit_text(v_unit));
END
$$;
COMMENT ON FUNCTION postern.freeze_propose(inet, text, text, text) IS 'A person proposes to freeze an address that a list holds: the ports are closed meanwhile, another login approves. {action: freeze-proposed | ignored | unassigned | never-freeze | …, message, state}';

CREATE FUNCTION postern.freeze_approve(p_unit inet, p_reason text, p_actor text) RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT postern.officer_event(p_unit, 'freeze_approved', p_actor,
               jsonb_build_object('reason', postern.need_reason(p_reason, 'an approval')))
$$;
COMMENT ON FUNCTION postern.freeze_approve(inet, text, text) IS 'Approves a proposal: the customer is told, 24 hours ahead. Not by the login that proposed it; not beyond freeze.per_day';

CREATE FUNCTION postern.freeze_reject(p_unit inet, p_reason text, p_actor text) RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT postern.officer_event(p_unit, 'freeze_withdrawn', p_actor,
               jsonb_build_object('reason', postern.need_reason(p_reason, 'a rejection')))
$$;
COMMENT ON FUNCTION postern.freeze_reject(inet, text, text) IS 'Rejects a proposal, or takes an announced freeze back: delisted, or the customer''s statement was accepted. Back to blocked if it was, else what the proposal closed is opened';

CREATE FUNCTION postern.freeze_confirm(p_unit inet, p_reason text, p_actor text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_unit postern.unit := postern.find_unit(p_unit);
    v_id bigint;
BEGIN
    PERFORM FROM postern.ip_state s WHERE s.unit = v_unit FOR UPDATE;
    UPDATE postern.freeze_proposal SET confirmed_at = postern.now(), confirmed_by = session_user
     WHERE unit = v_unit AND state = 'scheduled' AND freeze_at - interval '1 hour' <= postern.now() RETURNING id INTO v_id;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('action', 'refused', 'unit', postern.unit_text(v_unit), 'message', coalesce(
            (SELECT format('It is confirmed within the hour before %s, not earlier', postern.time_text(p.freeze_at, 'UTC'))
               FROM postern.freeze_proposal p WHERE p.unit = v_unit AND p.state = 'scheduled'), 'No freeze is announced for it'));
    END IF;
    PERFORM postern.settle_alarm('freeze-unconfirmed', postern.unit_text(v_unit));
    PERFORM postern.audit(p_actor, 'freeze-confirmed', v_unit,
        jsonb_build_object('proposal_id', v_id, 'reason', postern.need_reason(p_reason, 'a confirmation')));
    PERFORM pg_notify('postern_work', 'deadline');
    RETURN jsonb_build_object('action', 'freeze-confirmed', 'unit', postern.unit_text(v_unit), 'state', 'freeze_scheduled');
END
$$;
COMMENT ON FUNCTION postern.freeze_confirm(inet, text, text) IS 'A person has looked at the list: the address is still on it. Within the hour after that the freeze is carried out, once its time has come';

CREATE FUNCTION postern.due_freezes(p_max int) RETURNS SETOF bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    p postern.freeze_proposal;
BEGIN
    FOR p IN UPDATE postern.freeze_proposal x SET asked_at = postern.now()
              WHERE x.state = 'scheduled' AND x.freeze_at <= postern.now() AND x.asked_at IS NULL
                AND (x.confirmed_at IS NULL OR x.confirmed_at < postern.now() - interval '1 hour') RETURNING x.*
    LOOP
        PERFORM postern.raise_alarm('freeze-unconfirmed', postern.unit_text(p.unit), format(
            'the time of its freeze has come, and nobody has seen it on %s within the hour: postern freeze confirm or reject', p.zone));
    END LOOP;
    IF postern.mode() = 'shadow' THEN
        RETURN;
    END IF;
    RETURN QUERY WITH due AS (
            SELECT x.id FROM postern.freeze_proposal x
             WHERE x.state = 'scheduled' AND x.freeze_at <= postern.now()
               AND x.confirmed_at >= postern.now() - interval '1 hour'
               AND (x.tried_at IS NULL OR x.tried_at < greatest(x.confirmed_at, postern.now() - interval '10 minutes'))
               AND (SELECT count(*) FROM postern.ip_freeze f WHERE f.frozen_at > postern.now() - interval '24 hours')
                   < postern.setting_number('freeze.per_day')
             ORDER BY x.freeze_at, x.id LIMIT p_max FOR UPDATE SKIP LOCKED)
        UPDATE postern.freeze_proposal x SET tried_at = postern.now() FROM due WHERE x.id = due.id RETURNING x.id;
END
$$;
COMMENT ON FUNCTION postern.due_freezes(int) IS 'Announced freezes whose time has come and whose listing was seen within the hour: commit_freeze() them. Alarms once about one that nobody confirmed. None in shadow mode, none beyond freeze.per_day';

-- A freeze that the file outside the database has and a restored dump has not: it was decided,
-- announced and carried out once. Its announcement is not repeated.
CREATE FUNCTION postern.freeze_restore(p_unit inet, p_zone text, p_line text, p_actor text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_customer text := (postern.tenancy_at(p_unit, postern.now())).customer;
    v_actor text := coalesce(nullif(p_actor, ''), session_user);
    v_state postern.ip_state;
    v_result jsonb;
    v_id bigint;
BEGIN
    IF v_customer IS NULL THEN
        RETURN jsonb_build_object('action', 'unassigned', 'message', 'It belongs to no customer: import the customers first');
    END IF;
    v_state := postern.lock_unit(p_unit, v_customer);
    IF v_state.state = 'frozen' THEN
        RETURN jsonb_build_object('action', 'ignored', 'message', 'It is frozen');
    END IF;
    -- One that is under way again is taken over.
    UPDATE postern.freeze_proposal SET proposer = 'freeze file', by_person = false, zone = p_zone
     WHERE unit = p_unit AND state IN ('proposed', 'scheduled');
    IF NOT FOUND THEN
        v_result := postern.transition(p_unit, 'listed', 'freeze file', jsonb_build_object('zone', p_zone, 'restored', true,
            'reason', 'The address was frozen for ever: the record was lost with a database that was restored.'));
        IF v_result ->> 'action' <> 'freeze-proposed' THEN
            RETURN v_result;
        END IF;
    END IF;
    IF v_state.state <> 'freeze_scheduled' THEN
        v_result := postern.transition(p_unit, 'freeze_approved', v_actor, jsonb_build_object('restored', true, 'reason', p_line));
        IF v_result ->> 'action' <> 'freeze-scheduled' THEN
            RETURN v_result;
        END IF;
    END IF;
    UPDATE postern.freeze_proposal
       SET freeze_at = postern.now(), confirmed_at = postern.now(), confirmed_by = session_user, note = note || ' ' || p_line
     WHERE unit = p_unit AND state = 'scheduled' RETURNING id INTO v_id;
    RETURN postern.commit_freeze(v_id);
END
$$;
COMMENT ON FUNCTION postern.freeze_restore(inet, text, text, text) IS 'Freezes at once what the signed freeze file says was frozen and this database has lost. {action: frozen | ignored | unassigned | never-freeze, message}';

GRANT EXECUTE ON FUNCTION postern.freeze_propose(inet, text, text, text), postern.freeze_approve(inet, text, text),
    postern.freeze_reject(inet, text, text), postern.freeze_confirm(inet, text, text),
    postern.freeze_restore(inet, text, text, text), postern.never_freeze_add(cidr, text, text),
    postern.never_freeze_remove(cidr, text, text) TO postern_officer;
GRANT EXECUTE ON FUNCTION postern.due_freezes(int) TO postern_desk;
GRANT SELECT ON postern.freeze_proposal TO postern_monitor, postern_auditor;

RESET ROLE;

-- It stays postern_freezer's. What two people decided is looked at once more; no cap holds back what
-- had been decided before a dump was restored.
CREATE OR REPLACE FUNCTION postern.commit_freeze(p_proposal_id bigint) RETURNS jsonb
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
    ELSIF p.by_person AND (p.approver_login IS NULL OR p.approver_login = p.proposer_login) THEN
        RAISE EXCEPTION 'freeze proposal %: who proposed it has also approved it', p_proposal_id USING ERRCODE = 'PT005';
    END IF;
    v_result := postern.transition(p.unit, 'freeze_due', 'freezer', jsonb_strip_nulls(jsonb_build_object('proposal_id', p.id,
                    'restored', CASE WHEN p.proposer = 'freeze file' THEN true END)));
    IF v_result ->> 'action' <> 'frozen' THEN
        RETURN v_result;
    END IF;
    INSERT INTO postern.ip_freeze (unit, frozen_at, customer, case_id, proposal_id, zone, proposer, approver, evidence_digest)
    VALUES (p.unit, postern.now(), p.customer, p.case_id, p.id, p.zone, p.proposer, p.approver, p.evidence_digest);
    RETURN v_result;
END
$$;
GRANT EXECUTE ON FUNCTION postern.commit_freeze(bigint) TO postern_owner;
