-- SPDX-License-Identifier: Apache-2.0
-- What the dispatcher calls to send mails and carry out orders, and the view of all that is due.
-- Each function is one transaction and may be called again after a crash.

SET LOCAL ROLE postern_owner;

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
               AND (o.state = 'pending' OR o.resends < postern.setting_number('mail.resends'))
             ORDER BY o.next_at, o.id LIMIT p_max
               FOR UPDATE SKIP LOCKED)
        UPDATE postern.outbox o
           SET worker = p_worker, lease_until = postern.now() + p_lease, attempts = o.attempts + 1,
               vars = o.vars || CASE WHEN o.kind IN ('warning', 'reminder')
                                      THEN coalesce(postern.warning_vars(o.warning_id, o.tz), '{}') ELSE '{}' END
          FROM due WHERE o.id = due.id
        RETURNING o.id, o.kind, o.contact_email, o.locale, o.tz, o.message_id, o.references_id,
                  o.envelope_from, o.vars, o.attempts, o.state, nullif(postern.setting('mail.transport'), '');
END
$$;
COMMENT ON FUNCTION postern.claim_mail(text, interval, int) IS 'Takes due mails for a worker until the lease runs out. state sending: a worker died within DATA, this is a resend, with the same Message-ID. None in shadow mode';

CREATE FUNCTION postern.mail_sending(p_id bigint, p_worker text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    UPDATE postern.outbox
       SET resends = resends + CASE state WHEN 'sending' THEN 1 ELSE 0 END, state = 'sending'
     WHERE id = p_id AND worker = p_worker AND lease_until > postern.now()
       AND (state = 'pending' OR state = 'sending' AND resends < postern.setting_number('mail.resends'));
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
        format('broken off after DATA to %s, %s times: it may or may not have arrived', p_mail.contact_email, p_mail.resends + 1));
    IF p_mail.kind = 'warning' THEN
        PERFORM postern.transition(p_mail.unit, 'mail_failed', 'mailer',
            jsonb_build_object('mail_id', p_mail.id, 'warning_id', p_mail.warning_id,
                               'reason', 'nobody knows whether the warning arrived'));
    END IF;
END
$$;
COMMENT ON FUNCTION postern.mail_uncertain(postern.outbox) IS 'Broken off again and again: alarms; a warning''s deadline is suspended';

CREATE FUNCTION postern.settle_mail() RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    o postern.outbox;
    v_count int := 0;
BEGIN
    FOR o IN SELECT x.* FROM postern.outbox x
              WHERE x.state = 'sending' AND x.resends >= postern.setting_number('mail.resends') AND x.lease_until <= postern.now() ORDER BY x.id
    LOOP
        PERFORM FROM postern.ip_state s WHERE s.unit = o.unit FOR UPDATE;
        UPDATE postern.outbox SET state = 'uncertain', worker = NULL, lease_until = NULL
         WHERE id = o.id AND state = 'sending' AND resends >= postern.setting_number('mail.resends') AND lease_until <= postern.now() RETURNING * INTO o;
        CONTINUE WHEN NOT FOUND;
        PERFORM postern.mail_uncertain(o);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION postern.settle_mail() IS 'Mails within whose DATA worker after worker died (setting mail.resends) become uncertain and alarm. claim_mail() does it too; returns how many';

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
    ELSIF p_outcome = 'done' THEN
        PERFORM postern.settle_alarm('order-failed', format('%s: %s', p_adapter, postern.unit_text(p_unit)));
        IF postern.confirmed(e.unit) THEN
            PERFORM postern.transition(e.unit, 'network_confirmed', p_adapter,
                jsonb_build_object('order', e.action, 'generation', p_generation));
        END IF;
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

GRANT EXECUTE ON FUNCTION postern.claim_mail(text, interval, int), postern.mail_sending(bigint, text),
    postern.mail_outcome(bigint, text, text, int, text), postern.settle_mail() TO postern_mailer;
GRANT EXECUTE ON FUNCTION postern.mail_bounced(text, text) TO postern_desk, postern_mailer;
GRANT EXECUTE ON FUNCTION postern.claim_orders(text, text, int),
    postern.order_outcome(text, inet, bigint, text, text) TO postern_enforcer;
GRANT SELECT ON postern.due TO postern_desk, postern_mailer, postern_enforcer, postern_monitor,
    postern_officer, postern_analyst, postern_auditor;
GRANT SELECT ON postern.outbox TO postern_mailer;
GRANT SELECT ON postern.enforcement TO postern_enforcer;

RESET ROLE;
