-- SPDX-License-Identifier: Apache-2.0
-- What the dispatcher calls: apply verdicts and complaints, fire timers, send mails, carry out
-- orders. Each is one transaction and may be called again after a crash: what was done is not done
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
    END IF;
    UPDATE postern.verdict
       SET applied_at = postern.now(), action = v_result ->> 'action', customer = v_customer,
           case_id = coalesce((v_result ->> 'case_id')::bigint, case_id), apply_error = NULL
     WHERE id = v.id;
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
    RETURN v_result ->> 'action';
END
$$;
COMMENT ON FUNCTION postern.fire_timer(bigint) IS 'Does what a due timer is for; a second call changes nothing. Returns what became of it: reminded, resolved, blocked, clock-resumed, probation-over, cancelled, held (asked again in an hour), early';

-- ------------------------------------------------------------------------------------------ mails

CREATE FUNCTION postern.claim_mail(p_worker text, p_lease interval, p_max int,
        OUT id bigint, OUT kind text, OUT contact_email text, OUT locale text, OUT tz text,
        OUT message_id text, OUT references_id text, OUT envelope_from text, OUT vars jsonb,
        OUT attempts int, OUT state text, OUT transport_hint text) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF postern.mode() = 'shadow' THEN
        RETURN;
    END IF;
    PERFORM postern.settle_mail();
    RETURN QUERY
        WITH due AS (
            SELECT o.id FROM postern.outbox o
             WHERE o.state IN ('pending', 'sending') AND o.next_at <= postern.now()
               AND (o.lease_until IS NULL OR o.lease_until <= postern.now())
               AND (o.state = 'pending' OR o.resends < 1)
             ORDER BY o.next_at, o.id LIMIT p_max
               FOR UPDATE SKIP LOCKED)
        UPDATE postern.outbox o
           SET worker = p_worker, lease_until = postern.now() + p_lease, attempts = o.attempts + 1,
               vars = o.vars || coalesce(postern.warning_vars(o.warning_id, o.tz), '{}')
          FROM due WHERE o.id = due.id
        RETURNING o.id, o.kind, o.contact_email, o.locale, o.tz, o.message_id, o.references_id,
                  o.envelope_from, o.vars, o.attempts, o.state, nullif(postern.setting('mail.transport'), '');
END
$$;
COMMENT ON FUNCTION postern.claim_mail(text, interval, int) IS 'Takes due mails for a worker until the lease runs out. state sending: a worker died within DATA, this is the one resend, with the same Message-ID. None in shadow mode';

CREATE FUNCTION postern.mail_sending(p_id bigint, p_worker text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    UPDATE postern.outbox
       SET resends = resends + CASE state WHEN 'sending' THEN 1 ELSE 0 END, state = 'sending'
     WHERE id = p_id AND worker = p_worker AND lease_until > postern.now()
       AND (state = 'pending' OR state = 'sending' AND resends < 1);
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION postern.mail_sending(bigint, text) IS 'Called and committed before DATA. false: the mail is no longer this worker''s, do not send it';

CREATE FUNCTION postern.retry_delay(p_attempts int, p_id bigint) RETURNS interval
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT make_interval(secs => (ARRAY[300, 900, 3600, 10800, 21600, 43200, 86400])[least(greatest(p_attempts, 1), 7)]
                                 * (0.9 + 0.2 * (abs(hashint8(p_id * 31 + p_attempts)::bigint) % 1000) / 1000.0))
$$;
COMMENT ON FUNCTION postern.retry_delay(int, bigint) IS '5 min, 15 min, 1 h, 3 h, 6 h, 12 h, 24 h, each 10 % up or down, so that mails do not come back in one bunch';

CREATE FUNCTION postern.mail_gave_up(p_mail postern.outbox, p_why text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_tried text[];
    v_next bigint;
BEGIN
    UPDATE postern.contact SET bounced_at = postern.now()
     WHERE customer = p_mail.customer AND lower(email) = lower(p_mail.contact_email);
    -- The same occasion goes to the next contact who has not had it.
    SELECT array_agg(lower(o.contact_email)) INTO v_tried FROM postern.outbox o
     WHERE o.case_id = p_mail.case_id AND o.kind = p_mail.kind
       AND left(o.dedup_key, -length(o.contact_email)) = left(p_mail.dedup_key, -length(p_mail.contact_email));
    INSERT INTO postern.outbox (dedup_key, kind, unit, customer, case_id, warning_id, contact_email,
        locale, tz, message_id, references_id, envelope_from, vars, next_at, created_at)
    SELECT left(p_mail.dedup_key, -length(p_mail.contact_email)) || lower(t.email), p_mail.kind, p_mail.unit,
           p_mail.customer, p_mail.case_id, p_mail.warning_id, t.email, p_mail.locale, p_mail.tz,
           format('%s.%s.%s@%s', c.public_id, p_mail.kind, k.token, postern.setting('mail.domain')),
           p_mail.references_id, regexp_replace(postern.setting('mail.bounce'), '@', '+' || k.token || '@'),
           p_mail.vars, postern.now(), postern.now()
      FROM postern.contact_for(p_mail.customer, p_mail.unit, v_tried) AS t,
           (SELECT substr(replace(gen_random_uuid()::text, '-', ''), 1, 20) AS token) AS k,
           postern.spam_case c
     WHERE c.id = p_mail.case_id AND t.email IS NOT NULL
    ON CONFLICT (dedup_key) DO NOTHING
    RETURNING id INTO v_next;
    PERFORM postern.raise_alarm('mail-failed', format('mail %s of case %s', p_mail.kind,
                (SELECT c.public_id FROM postern.spam_case c WHERE c.id = p_mail.case_id)),
        format('%s to %s: %s%s', p_why, p_mail.contact_email, coalesce(p_mail.detail, ''),
               CASE WHEN v_next IS NULL THEN '; no other contact' ELSE '; goes to the next contact' END));
    IF p_mail.kind = 'warning' THEN
        PERFORM postern.transition(p_mail.unit, 'mail_failed', 'mailer', jsonb_strip_nulls(jsonb_build_object(
            'mail_id', p_mail.id, 'warning_id', p_mail.warning_id, 'next_mail_id', v_next,
            'reason', 'no contact''s mail server accepted the warning')));
    END IF;
END
$$;
COMMENT ON FUNCTION postern.mail_gave_up(postern.outbox, text) IS 'A mail that will not arrive: next contact, alarm; without one the warning''s deadline is suspended';

CREATE FUNCTION postern.mail_outcome(p_id bigint, p_worker text, p_outcome text, p_code int, p_detail text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    o postern.outbox;
    v_now timestamptz := postern.now();
    v_state text;
BEGIN
    SELECT x.* INTO o FROM postern.outbox x WHERE x.id = p_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no mail %', p_id USING ERRCODE = 'PT006';
    END IF;
    PERFORM FROM postern.ip_state s WHERE s.unit = o.unit FOR UPDATE;
    SELECT x.* INTO STRICT o FROM postern.outbox x WHERE x.id = p_id FOR UPDATE;
    -- An accepted mail is accepted, whoever says so; anything else only its worker may say.
    IF o.state NOT IN ('pending', 'sending', 'uncertain') OR (p_outcome <> 'done' AND o.worker IS DISTINCT FROM p_worker) THEN
        RETURN o.state;
    END IF;
    v_state := CASE p_outcome
        WHEN 'done' THEN 'done'
        WHEN 'refused' THEN 'failed'
        WHEN 'retry' THEN CASE WHEN o.created_at + postern.setting_interval('mail.give_up_hours') <= v_now
                               THEN 'failed' ELSE 'pending' END
        WHEN 'uncertain' THEN CASE WHEN o.resends >= 1 THEN 'uncertain' ELSE 'sending' END END;
    IF v_state IS NULL THEN
        RAISE EXCEPTION 'a mail''s outcome is done, retry, refused or uncertain, not "%"', p_outcome
            USING ERRCODE = 'PT006';
    END IF;
    UPDATE postern.outbox
       SET state = v_state, code = p_code, detail = left(p_detail, 2000), lease_until = NULL, worker = NULL,
           accepted_at = CASE v_state WHEN 'done' THEN v_now END,
           -- A server that answers has not taken it: the next try is a first one again.
           resends = CASE v_state WHEN 'pending' THEN 0 ELSE resends END,
           next_at = CASE WHEN v_state IN ('pending', 'sending')
                          THEN v_now + postern.retry_delay(attempts, id) ELSE next_at END
     WHERE id = o.id RETURNING * INTO STRICT o;
    IF v_state = 'done' AND o.kind = 'warning' THEN
        PERFORM postern.transition(o.unit, 'mail_accepted', 'mailer',
            jsonb_build_object('mail_id', o.id, 'warning_id', o.warning_id));
    ELSIF v_state = 'failed' THEN
        PERFORM postern.mail_gave_up(o, CASE p_outcome WHEN 'refused' THEN 'refused' ELSE 'given up' END);
    ELSIF v_state = 'uncertain' THEN
        PERFORM postern.mail_uncertain(o);
    END IF;
    RETURN v_state;
END
$$;
COMMENT ON FUNCTION postern.mail_outcome(bigint, text, text, int, text) IS 'What became of a mail: done (a warning''s clock starts), retry (on the schedule, then given up), refused (next contact, alarm), uncertain (broken off after DATA: resent once). A second call changes nothing. Returns the mail''s state';

CREATE FUNCTION postern.mail_uncertain(p_mail postern.outbox) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    PERFORM postern.raise_alarm('mail-uncertain', format('mail %s of case %s', p_mail.kind,
                (SELECT c.public_id FROM postern.spam_case c WHERE c.id = p_mail.case_id)),
        format('broken off twice after DATA to %s: it may or may not have arrived', p_mail.contact_email));
    IF p_mail.kind = 'warning' THEN
        PERFORM postern.transition(p_mail.unit, 'mail_failed', 'mailer',
            jsonb_build_object('mail_id', p_mail.id, 'warning_id', p_mail.warning_id,
                               'reason', 'nobody knows whether the warning arrived'));
    END IF;
END
$$;
COMMENT ON FUNCTION postern.mail_uncertain(postern.outbox) IS 'Twice broken off: alarms; a warning''s deadline is suspended';

CREATE FUNCTION postern.settle_mail() RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    o postern.outbox;
    v_count int := 0;
BEGIN
    FOR o IN SELECT x.* FROM postern.outbox x
              WHERE x.state = 'sending' AND x.resends >= 1 AND x.lease_until <= postern.now() ORDER BY x.id
    LOOP
        PERFORM FROM postern.ip_state s WHERE s.unit = o.unit FOR UPDATE;
        UPDATE postern.outbox SET state = 'uncertain', worker = NULL, lease_until = NULL
         WHERE id = o.id AND state = 'sending' AND resends >= 1 AND lease_until <= postern.now() RETURNING * INTO o;
        CONTINUE WHEN NOT FOUND;
        PERFORM postern.mail_uncertain(o);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION postern.settle_mail() IS 'Mails whose resend died within DATA too become uncertain and alarm. claim_mail() does it too; returns how many';

CREATE FUNCTION postern.mail_bounced(p_envelope_from text, p_detail text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    o postern.outbox;
BEGIN
    SELECT x.* INTO o FROM postern.outbox x WHERE lower(x.envelope_from) = lower(p_envelope_from);
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    PERFORM FROM postern.ip_state s WHERE s.unit = o.unit FOR UPDATE;
    UPDATE postern.outbox SET state = 'failed', detail = left(p_detail, 2000)
     WHERE id = o.id AND state IN ('done', 'uncertain') RETURNING * INTO o;
    IF NOT FOUND THEN
        RETURN 'known';
    END IF;
    PERFORM postern.mail_gave_up(o, 'bounced');
    RETURN 'failed';
END
$$;
COMMENT ON FUNCTION postern.mail_bounced(text, text) IS 'A bounce came back to a mail''s own envelope address: next contact, or the deadline is suspended';

-- ----------------------------------------------------------------------------------------- orders

CREATE FUNCTION postern.claim_orders(p_adapter text, p_worker text, p_max int,
        OUT unit postern.unit, OUT generation bigint, OUT action text, OUT ports int[], OUT reason text) RETURNS SETOF record
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    WITH due AS (
        SELECT e.unit FROM postern.enforcement e
         WHERE e.adapter = p_adapter AND e.state <> 'applied' AND e.next_at <= postern.now()
           AND (e.lease_until IS NULL OR e.lease_until <= postern.now())
         ORDER BY e.next_at, e.unit LIMIT p_max FOR UPDATE SKIP LOCKED)
    UPDATE postern.enforcement e
       SET worker = p_worker, lease_until = postern.now() + interval '1 minute', attempts = e.attempts + 1
      FROM due WHERE e.unit = due.unit AND e.adapter = p_adapter
    RETURNING e.unit, e.desired_generation, e.action, e.ports, e.reason
$$;
COMMENT ON FUNCTION postern.claim_orders(text, text, int) IS 'Takes due orders for an adapter''s worker, for a minute';

CREATE FUNCTION postern.order_outcome(p_adapter text, p_unit inet, p_generation bigint, p_outcome text, p_detail text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    e postern.enforcement;
    v_now timestamptz := postern.now();
BEGIN
    IF p_outcome NOT IN ('done', 'retry', 'refused', 'uncertain') THEN
        RAISE EXCEPTION 'an order''s outcome is done, retry, refused or uncertain, not "%"', p_outcome
            USING ERRCODE = 'PT006';
    END IF;
    PERFORM FROM postern.ip_state s WHERE s.unit = p_unit FOR UPDATE;
    SELECT x.* INTO e FROM postern.enforcement x
     WHERE x.unit = p_unit AND x.adapter = p_adapter FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'adapter % has no order about %', p_adapter, p_unit USING ERRCODE = 'PT006';
    ELSIF p_generation <> e.desired_generation OR e.state = 'applied' THEN
        -- A newer wish is under way, or it is settled: an older answer changes nothing.
        RETURN e.state;
    END IF;
    UPDATE postern.enforcement x
       SET worker = NULL, lease_until = NULL, error = CASE p_outcome WHEN 'done' THEN NULL ELSE left(p_detail, 2000) END,
           state = CASE p_outcome WHEN 'done' THEN 'applied' WHEN 'refused' THEN 'failed' ELSE 'pending' END,
           applied_generation = CASE p_outcome WHEN 'done' THEN p_generation ELSE applied_generation END,
           applied_action = CASE p_outcome WHEN 'done' THEN action ELSE applied_action END,
           applied_at = CASE p_outcome WHEN 'done' THEN v_now ELSE applied_at END,
           next_at = v_now + CASE p_outcome WHEN 'refused' THEN interval '1 hour'
                                            ELSE least(interval '5 minutes', interval '5 seconds' * 2 ^ least(attempts, 6)) END
     WHERE x.unit = e.unit AND x.adapter = e.adapter RETURNING * INTO STRICT e;
    IF p_outcome = 'refused' THEN
        PERFORM postern.raise_alarm('order-failed', format('%s: %s', p_adapter, postern.unit_text(p_unit)),
            format('%s was refused: %s', e.action, coalesce(p_detail, '')));
    ELSIF p_outcome = 'done' AND postern.confirmed(e.unit) THEN
        PERFORM postern.transition(e.unit, 'network_confirmed', p_adapter,
            jsonb_build_object('order', e.action, 'generation', p_generation));
    END IF;
    RETURN e.state;
END
$$;
COMMENT ON FUNCTION postern.order_outcome(text, inet, bigint, text, text) IS 'What became of an order. done from every required adapter moves unblocking to clear. An answer to an older generation changes nothing. Returns the order''s state';

-- -------------------------------------------------------------------------------------------- due

CREATE VIEW postern.due AS
    SELECT 'verdict' AS kind, count(*) AS count, min(created_at) AS oldest FROM postern.verdict
     WHERE applied_at IS NULL AND (apply_after IS NULL OR apply_after <= postern.now())
    UNION ALL
    SELECT 'complaint', count(*), min(created_at) FROM postern.complaint
     WHERE applied_at IS NULL AND (apply_after IS NULL OR apply_after <= postern.now())
    UNION ALL
    SELECT 'timer', count(*), min(due_at) FROM postern.timer
     WHERE fired_at IS NULL AND due_at <= postern.now()
    UNION ALL
    SELECT 'mail', count(*), min(next_at) FROM postern.outbox
     WHERE state IN ('pending', 'sending') AND next_at <= postern.now() AND postern.mode() = 'enforce'
    UNION ALL
    SELECT 'order', count(*), min(e.next_at) FROM postern.enforcement e JOIN postern.adapter a ON a.name = e.adapter
     WHERE a.enabled AND e.state <> 'applied' AND e.next_at <= postern.now();
COMMENT ON VIEW postern.due IS 'Work that could be done now, by kind, zeros included: doctor --wait-idle and readiness look here';
COMMENT ON COLUMN postern.due.oldest IS 'Since when the oldest piece is due';

GRANT EXECUTE ON FUNCTION postern.claim_verdicts(int), postern.apply_verdict(bigint),
    postern.claim_complaints(int), postern.apply_complaint(bigint), postern.note_apply_error(text, bigint, text),
    postern.due_timers(int), postern.fire_timer(bigint) TO postern_desk;
GRANT EXECUTE ON FUNCTION postern.claim_mail(text, interval, int), postern.mail_sending(bigint, text),
    postern.mail_outcome(bigint, text, text, int, text), postern.settle_mail() TO postern_mailer;
GRANT EXECUTE ON FUNCTION postern.mail_bounced(text, text) TO postern_desk, postern_mailer;
GRANT EXECUTE ON FUNCTION postern.claim_orders(text, text, int),
    postern.order_outcome(text, inet, bigint, text, text) TO postern_enforcer;
GRANT EXECUTE ON FUNCTION postern.note_apply_error(text, bigint, text) TO postern_mailer, postern_enforcer;
GRANT SELECT ON postern.due TO postern_desk, postern_mailer, postern_enforcer, postern_monitor,
    postern_officer, postern_analyst, postern_auditor;
GRANT SELECT ON postern.outbox TO postern_mailer;
GRANT SELECT ON postern.enforcement TO postern_enforcer;

RESET ROLE;
