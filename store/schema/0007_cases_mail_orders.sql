-- SPDX-License-Identifier: Apache-2.0
-- What a transition leaves behind: cases with evidence, mails to customers, orders to the network,
-- timers. Called by the effects in 0009 and 0010, by nobody else.

SET LOCAL ROLE postern_owner;

-- ------------------------------------------------------------------------------------------ cases

CREATE FUNCTION postern.open_case(p_unit postern.unit, p_customer text, p_shadow boolean) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_id bigint;
    v_number text := nextval('postern.spam_case_number')::text;
    v_now timestamptz := postern.now();
BEGIN
    INSERT INTO postern.spam_case (public_id, unit, customer, opened_at, last_at, shadow)
    VALUES (format('PST-%s-%s', to_char(v_now AT TIME ZONE 'UTC', 'YYYY'),
                   lpad(v_number, greatest(6, length(v_number)), '0')),
            p_unit, p_customer, v_now, v_now, p_shadow)
    RETURNING id INTO v_id;
    IF NOT p_shadow THEN
        UPDATE postern.ip_state SET case_id = v_id WHERE unit = p_unit;
    END IF;
    -- What was reported before the case was opened belongs to it.
    PERFORM postern.add_complaint_evidence(v_id, c.id)
       FROM postern.complaint c
      WHERE c.unit = p_unit AND c.customer = p_customer AND c.counted
        AND c.received_at >= v_now - postern.setting_interval('complaint.window_days');
    RETURN v_id;
END
$$;
COMMENT ON FUNCTION postern.open_case(postern.unit, text, boolean) IS 'Opens a case for a unit and tenant, with the counted complaints of the last days in it';

CREATE FUNCTION postern.close_case(p_case_id bigint, p_outcome text) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    UPDATE postern.spam_case SET closed_at = postern.now(), last_at = postern.now(), outcome = p_outcome
     WHERE id = p_case_id AND closed_at IS NULL;
    UPDATE postern.ip_state SET case_id = NULL WHERE case_id = p_case_id;
$$;
COMMENT ON FUNCTION postern.close_case(bigint, text) IS 'Closes a case with its outcome';

CREATE FUNCTION postern.worst_category(p_case_id bigint) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT coalesce((SELECT postern.known_category(c.category)
                       FROM postern.evidence e JOIN postern.complaint c ON c.id = e.complaint_id
                      WHERE e.case_id = p_case_id AND c.authenticated AND c.enrolled
                      ORDER BY postern.severity(postern.known_category(c.category)) DESC LIMIT 1), 'spam')
$$;
COMMENT ON FUNCTION postern.worst_category(bigint) IS 'The worst category that a trusted reporter named in a case; spam otherwise';

CREATE FUNCTION postern.add_verdict_evidence(p_case_id bigint, p_verdict_id bigint) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    -- The bands of one episode show the same flows: each stands once, with the highest score.
    INSERT INTO postern.evidence AS e (case_id, kind, at, destination, port, score, verdict_id)
    SELECT DISTINCT p_case_id, 'flow',
           to_timestamp((s ->> 'at_ns')::numeric / 1000000000),
           (s ->> 'destination')::inet, (s ->> 'port')::int, v.score, v.id
      FROM postern.verdict v,
           LATERAL jsonb_array_elements(CASE jsonb_typeof(v.samples) WHEN 'array' THEN v.samples
                                             ELSE '[]' END) AS s
     WHERE v.id = p_verdict_id
    ON CONFLICT (case_id, at, destination, port) WHERE kind = 'flow'
    DO UPDATE SET score = greatest(e.score, excluded.score), verdict_id = excluded.verdict_id;
    UPDATE postern.verdict SET case_id = p_case_id WHERE id = p_verdict_id;
    UPDATE postern.spam_case SET last_at = postern.now() WHERE id = p_case_id;
$$;
COMMENT ON FUNCTION postern.add_verdict_evidence(bigint, bigint) IS 'Adds a verdict''s flow samples to a case';

CREATE FUNCTION postern.add_complaint_evidence(p_case_id bigint, p_complaint_id bigint) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    INSERT INTO postern.evidence (case_id, kind, at, message_id, reporter, complaint_id)
    SELECT p_case_id, 'complaint', coalesce(c.arrived_at, c.received_at), c.message_id, c.reporter, c.id
      FROM postern.complaint c WHERE c.id = p_complaint_id
    ON CONFLICT DO NOTHING;
    UPDATE postern.complaint SET case_id = coalesce(case_id, p_case_id) WHERE id = p_complaint_id;
    UPDATE postern.spam_case SET last_at = postern.now(), category = postern.worst_category(id)
     WHERE id = p_case_id;
    UPDATE postern.warning w SET category = c.category
      FROM postern.spam_case c
     WHERE c.id = p_case_id AND w.case_id = c.id AND w.closed_at IS NULL
       AND postern.severity(c.category) > postern.severity(w.category);
$$;
COMMENT ON FUNCTION postern.add_complaint_evidence(bigint, bigint) IS 'Adds a complaint to a case; the worst trusted category names the case and its open warning';

-- ------------------------------------------------------------------------------------------ mails

CREATE FUNCTION postern.contact_for(p_customer text, p_unit postern.unit, p_not_to text[],
        OUT email text, OUT locale text, OUT tz text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT k.email, coalesce(c.locale, postern.setting('mail.locale')), coalesce(c.tz, postern.setting('mail.tz'))
      FROM postern.contact k JOIN postern.customer c ON c.id = k.customer
     WHERE k.customer = p_customer AND (k.net IS NULL OR k.net >>= p_unit)
       AND NOT lower(k.email) = ANY (p_not_to)
     -- A mailbox on the very address comes last, one that bounced lately before it.
     ORDER BY (k.email LIKE '%@[' || host(p_unit) || ']'),
              coalesce(k.bounced_at > postern.now() - interval '30 days', false),
              masklen(k.net) DESC NULLS LAST,
              array_position(ARRAY['security', 'abuse', 'owner'], k.kind), k.id
     LIMIT 1
$$;
COMMENT ON FUNCTION postern.contact_for(text, postern.unit, text[]) IS 'Who is told about a unit: the most specific net wins, then security, abuse, owner';

CREATE FUNCTION postern.mail_evidence(p_case_id bigint, p_tz text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'time', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
               'time_local', postern.time_text(at, p_tz),
               'destination', coalesce(host(destination), '–'), 'port', coalesce(port::text, '–'),
               'message_id', coalesce(message_id, '–'), 'score', coalesce(score::text, '–'))
               ORDER BY at, id), '[]')
      FROM (SELECT e.* FROM postern.evidence e WHERE e.case_id = p_case_id
             ORDER BY (e.message_id IS NULL), e.at DESC, e.id DESC LIMIT 20) AS newest
$$;
COMMENT ON FUNCTION postern.mail_evidence(bigint, text) IS 'At most 20 lines of a case''s evidence for a mail; lines with a Message-ID go first';

CREATE FUNCTION postern.warning_vars(p_warning_id bigint, p_tz text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT jsonb_build_object(
               'deadline', postern.time_text(d.at, 'UTC'), 'deadline_local', postern.time_text(d.at, p_tz),
               'deadline_iso', postern.time_json(d.at),
               'deadline_hours', round(extract(epoch FROM w.duration) / 3600)::int,
               'remaining', postern.duration_text(make_interval(secs =>
                    greatest(60, round(extract(epoch FROM d.at - postern.now()) / 60) * 60))),
               'warned_at', postern.time_text(coalesce(w.accepted_at, w.opened_at), 'UTC'),
               'then_scope', postern.measure_for(w.category, w.repeat),
               'then_ports', to_jsonb(w.ports), 'repeat', w.repeat, 'cause', w.cause)
      FROM postern.warning w,
           LATERAL (SELECT coalesce(w.deadline, date_trunc('minute', postern.now()) + w.duration) AS at) AS d
     WHERE w.id = p_warning_id
$$;
COMMENT ON FUNCTION postern.warning_vars(bigint, text) IS 'Deadline and what follows it, for a mail. Before the warning is accepted: the deadline if it were accepted now, to the minute before; the real one is never earlier';

CREATE FUNCTION postern.block_vars(p_block_id bigint, p_tz text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT jsonb_build_object(
               'blocked_at', postern.time_text(lower(b.during), 'UTC'),
               'hold_until', postern.time_text(b.hold_until, 'UTC'),
               'hold_until_local', postern.time_text(b.hold_until, p_tz),
               'hold_until_iso', postern.time_json(b.hold_until),
               'hold', postern.duration_text(b.hold_until - lower(b.during)),
               'next_hold', postern.duration_text(postern.hold_of(b.level + 1)),
               'ports', to_jsonb(b.ports), 'scope', b.scope, 'level', b.level,
               'cause', b.cause, 'false_positive', b.false_positive)
      FROM postern.block b WHERE b.id = p_block_id
$$;
COMMENT ON FUNCTION postern.block_vars(bigint, text) IS 'Hold, ports and level of a block, for a mail';

CREATE FUNCTION postern.mail_vars(p_kind text, p_case_id bigint, p_warning_id bigint, p_block_id bigint,
        p_reason text, p_tz text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
               'kind', p_kind, 'case', c.public_id, 'unit', postern.unit_text(c.unit),
               'customer', c.customer, 'customer_name', u.name,
               'service_name', a.service_name, 'service_type', a.type,
               'category', c.category, 'at', postern.time_text(postern.now(), 'UTC'),
               'reasons', to_jsonb(string_to_array(p_reason, E'\n')),
               'evidence', postern.mail_evidence(c.id, p_tz),
               'evidence_total', (SELECT count(*) FROM postern.evidence e WHERE e.case_id = c.id),
               'page_url', nullif(rtrim(postern.setting('page.url'), '/'), '') || '/ip/'
                           || replace(postern.unit_text(c.unit), '/', '%2F'),
               'tz', p_tz, 'automated', true))
           || coalesce(postern.warning_vars(p_warning_id, p_tz), '{}')
           || coalesce(postern.block_vars(p_block_id, p_tz), '{}')
      FROM postern.spam_case c JOIN postern.customer u ON u.id = c.customer,
           LATERAL (SELECT t.service_name, t.type FROM postern.tenancy_at(c.unit, c.opened_at) AS t) AS a
     WHERE c.id = p_case_id
$$;
COMMENT ON FUNCTION postern.mail_vars(text, bigint, bigint, bigint, text, text) IS 'Everything a template may show (docs/schema.md lists it)';

CREATE FUNCTION postern.enqueue_mail(p_kind text, p_case_id bigint, p_warning_id bigint, p_block_id bigint,
        p_reason text, p_occasion text, p_not_to text[] DEFAULT '{}') RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_case postern.spam_case;
    v_to record;
    v_token text := substr(replace(gen_random_uuid()::text, '-', ''), 1, 20);
    v_bounce text := postern.setting('mail.bounce');
    v_id bigint;
BEGIN
    SELECT c.* INTO STRICT v_case FROM postern.spam_case c WHERE c.id = p_case_id;
    SELECT t.* INTO v_to FROM postern.contact_for(v_case.customer, v_case.unit, p_not_to) AS t;
    IF v_to.email IS NULL THEN
        PERFORM postern.raise_alarm('no-contact', 'customer ' || v_case.customer,
            format('mail %s of case %s (%s) has nobody to go to', p_kind, v_case.public_id, postern.unit_text(v_case.unit)));
        RETURN NULL;
    END IF;
    INSERT INTO postern.outbox (dedup_key, kind, unit, customer, case_id, warning_id, contact_email,
        locale, tz, message_id, references_id, envelope_from, vars, next_at, created_at)
    VALUES (format('%s:%s:%s:%s', v_case.public_id, p_kind, p_occasion, lower(v_to.email)), p_kind, v_case.unit,
        v_case.customer, v_case.id, p_warning_id, v_to.email, v_to.locale, v_to.tz,
        format('%s.%s.%s@%s', v_case.public_id, p_kind, v_token, postern.setting('mail.domain')),
        v_case.first_message_id,
        regexp_replace(v_bounce, '@', '+' || v_token || '@'),
        postern.mail_vars(p_kind, p_case_id, p_warning_id, p_block_id, p_reason, v_to.tz),
        postern.now(), postern.now())
    ON CONFLICT (dedup_key) DO NOTHING
    RETURNING id INTO v_id;
    UPDATE postern.spam_case c SET first_message_id = o.message_id
      FROM postern.outbox o
     WHERE c.id = p_case_id AND o.id = v_id AND c.first_message_id IS NULL;
    RETURN v_id;
END
$$;
COMMENT ON FUNCTION postern.enqueue_mail(text, bigint, bigint, bigint, text, text, text[]) IS 'Writes one mail to the best contact who is not among those named. Returns its id; NULL if nobody is left (alarms) or the occasion has its mail already';

CREATE FUNCTION postern.supersede_mails(p_case_id bigint, p_kinds text[]) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    UPDATE postern.outbox SET state = 'superseded', lease_until = NULL, worker = NULL
     WHERE case_id = p_case_id AND kind = ANY (p_kinds) AND state = 'pending';
    UPDATE postern.spam_case c SET first_message_id = NULL
      FROM postern.outbox o
     WHERE c.id = p_case_id AND o.message_id = c.first_message_id AND o.state = 'superseded';
$$;
COMMENT ON FUNCTION postern.supersede_mails(bigint, text[]) IS 'Mails that were not begun and are no longer true are not sent';

-- ----------------------------------------------------------------------------------------- orders

CREATE FUNCTION postern.set_order(p_unit postern.unit, p_action text, p_ports int[], p_reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    INSERT INTO postern.enforcement AS e (unit, adapter, action, ports, reason, desired_at, next_at)
    SELECT p_unit, a.name, p_action, p_ports, p_reason, postern.now(), postern.now()
      FROM postern.adapter a WHERE a.enabled ORDER BY a.name
    ON CONFLICT (unit, adapter) DO UPDATE
       SET action = excluded.action, ports = excluded.ports, reason = excluded.reason,
           desired_generation = e.desired_generation + 1, desired_at = excluded.desired_at,
           next_at = excluded.next_at, state = 'pending', attempts = 0, error = NULL,
           worker = NULL, lease_until = NULL;
    IF NOT EXISTS (SELECT FROM postern.enforcement e JOIN postern.adapter a ON a.name = e.adapter
                    WHERE e.unit = p_unit AND a.enabled AND a.required) THEN
        RAISE EXCEPTION 'no adapter is enabled and required: nothing would carry out %', p_action
            USING ERRCODE = 'PT006', HINT = 'Enable one in table postern.adapter; null touches nothing.';
    END IF;
END
$$;
COMMENT ON FUNCTION postern.set_order(postern.unit, text, int[], text) IS 'States what the network should do about a unit: a new generation for every enabled adapter';

CREATE FUNCTION postern.confirmed(p_unit postern.unit) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT NOT EXISTS (SELECT FROM postern.enforcement e JOIN postern.adapter a ON a.name = e.adapter
                        WHERE e.unit = p_unit AND a.enabled AND a.required
                          AND e.applied_generation < e.desired_generation)
$$;
COMMENT ON FUNCTION postern.confirmed(postern.unit) IS 'Has every required adapter confirmed the newest order?';

-- ----------------------------------------------------------------------------------------- timers

CREATE FUNCTION postern.set_timer(p_kind text, p_unit postern.unit, p_warning_id bigint, p_due_at timestamptz,
        p_key text) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    INSERT INTO postern.timer AS t (dedup_key, kind, unit, warning_id, due_at, created_at)
    VALUES (format('%s:%s:%s', p_kind, p_key, extract(epoch FROM p_due_at)), p_kind, p_unit,
            p_warning_id, p_due_at, postern.now())
    ON CONFLICT (dedup_key) DO UPDATE SET fired_at = NULL, result = NULL WHERE t.result = 'cancelled'
$$;
COMMENT ON FUNCTION postern.set_timer(text, postern.unit, bigint, timestamptz, text) IS 'Sets a timer; the same one twice is one, a cancelled one comes back';

CREATE FUNCTION postern.cancel_timers(p_unit postern.unit, p_kinds text[]) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    UPDATE postern.timer SET fired_at = postern.now(), result = 'cancelled'
     WHERE unit = p_unit AND kind = ANY (p_kinds) AND fired_at IS NULL
$$;
COMMENT ON FUNCTION postern.cancel_timers(postern.unit, text[]) IS 'Takes a unit''s timers of these kinds out of play';

CREATE FUNCTION postern.arm_warning(p_warning_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_warning postern.warning;
    v_half timestamptz;
BEGIN
    SELECT w.* INTO STRICT v_warning FROM postern.warning w WHERE w.id = p_warning_id;
    PERFORM postern.cancel_timers(v_warning.unit, '{reminder,deadline,dispute_over}');
    v_half := v_warning.accepted_at + (v_warning.deadline - v_warning.accepted_at) / 2;
    PERFORM postern.set_timer('reminder', v_warning.unit, v_warning.id, due, v_warning.id::text)
       FROM unnest(ARRAY[v_half, v_warning.deadline - interval '1 hour']) AS due
      WHERE due > postern.now() AND due < v_warning.deadline;
    PERFORM postern.set_timer('deadline', v_warning.unit, v_warning.id, v_warning.deadline, v_warning.id::text);
END
$$;
COMMENT ON FUNCTION postern.arm_warning(bigint) IS 'Sets the timers of a running warning anew: reminders at half time and one hour before, and the deadline';

RESET ROLE;
