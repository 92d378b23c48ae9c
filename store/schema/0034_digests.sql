-- SPDX-License-Identifier: Apache-2.0
-- Much that happens to one customer at once is told in one mail. When a worker asks for mails and as
-- many as mail.digest_from of one kind to one contact are due that nobody has tried yet, they become
-- parts of a digest: a mail of its own in the outbox, with its own Message-ID. What becomes of the
-- digest becomes of each part: its acceptance starts the clocks, its failure goes to the next contact.

SET LOCAL ROLE postern_owner;

INSERT INTO postern.setting (key, value, kind, low, high, note) VALUES
 ('mail.digest_from', '5', 'int', 0, 1000, 'So many mails of one kind to one contact at once go out as one; 0: never'),
 ('mail.digest_hold', '60', 'int', 0, 3600, 'After a mail the next ones of its kind to the same contact wait so long, to be gathered, seconds');

ALTER TABLE postern.outbox DROP CONSTRAINT outbox_state_check,
    ADD COLUMN digest_id bigint REFERENCES postern.outbox (id),
    ADD CONSTRAINT outbox_state_check CHECK (state IN ('pending', 'sending', 'done', 'failed', 'uncertain', 'superseded', 'digested')),
    ADD CHECK (state <> 'digested' OR digest_id IS NOT NULL),
    ADD CHECK ((kind = 'digest') = (unit IS NULL));
CREATE INDEX outbox_parts ON postern.outbox (digest_id) WHERE digest_id IS NOT NULL;
CREATE INDEX outbox_untried ON postern.outbox (customer, kind) WHERE state = 'pending' AND attempts = 0;
COMMENT ON COLUMN postern.outbox.unit IS 'NULL: a digest';
COMMENT ON COLUMN postern.outbox.digest_id IS 'The digest that tells of it';
COMMENT ON COLUMN postern.outbox.state IS 'pending; sending: committed before DATA; done: accepted; failed: refused or given up; uncertain: broken off after DATA and after its resend; superseded: not sent, a later event made it untrue; digested: told by the digest digest_id, whose state is what became of it';

-- -------------------------------------------------------------------------------------- gathering

CREATE FUNCTION postern.first_try(p_kind text, p_customer text, p_email text, p_not bigint, p_hold interval) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_now timestamptz := postern.now();
    v_gather interval := make_interval(secs => postern.setting_number('mail.digest_hold'));
    v_with timestamptz;
BEGIN
    IF postern.setting_number('mail.digest_from') = 0 OR p_kind NOT IN ('warning', 'reminder', 'blocked', 'resolved', 'released') THEN
        RETURN v_now + p_hold;
    END IF;
    -- With those that wait already, unless that would cut its own wait by more than half.
    SELECT min(o.next_at) INTO v_with FROM postern.outbox o
     WHERE o.customer = p_customer AND o.kind = p_kind AND o.state = 'pending' AND o.attempts = 0
       AND o.contact_email = p_email AND o.id IS DISTINCT FROM p_not
       AND o.next_at > v_now AND o.next_at >= v_now + p_hold / 2 AND o.next_at <= v_now + greatest(p_hold, v_gather);
    RETURN coalesce(v_with, v_now + CASE
        WHEN EXISTS (SELECT FROM postern.outbox o
                      WHERE o.customer = p_customer AND o.created_at > v_now - v_gather AND o.kind = p_kind
                        AND o.contact_email = p_email AND o.state <> 'superseded' AND o.id IS DISTINCT FROM p_not)
        THEN greatest(p_hold, v_gather) ELSE p_hold END);
END
$$;
COMMENT ON FUNCTION postern.first_try(text, text, text, bigint, interval) IS 'When a new mail may leave: the first of its kind to a contact at once (or after its own hold), those that follow wait for each other';

CREATE FUNCTION postern.may_gather(o postern.outbox) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT o.kind IN ('warning', 'reminder', 'blocked', 'resolved', 'released')
       AND coalesce(o.vars ->> 'cause', '') <> 'freeze' AND coalesce(o.vars ->> 'false_positive', '') <> 'true'
       AND (o.kind <> 'resolved' OR o.vars ? 'deadline_iso')
$$;
COMMENT ON FUNCTION postern.may_gather(postern.outbox) IS 'May a digest tell of this? Never of a freeze or what leads to one, of our own mistakes, of warnings taken back: these have something of their own to say';

CREATE FUNCTION postern.gather_mail(p_id bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    o postern.outbox;
    v_from int := postern.setting_number('mail.digest_from');
    v_parts bigint[];
    v_token text := substr(replace(gen_random_uuid()::text, '-', ''), 1, 20);
    v_id bigint;
BEGIN
    SELECT x.* INTO STRICT o FROM postern.outbox x WHERE x.id = p_id;
    IF v_from = 0 OR o.state <> 'pending' OR o.attempts > 0 OR NOT postern.may_gather(o) THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(x.id) INTO v_parts FROM (
        SELECT y.id FROM postern.outbox y
         WHERE y.customer = o.customer AND y.kind = o.kind AND y.state = 'pending' AND y.attempts = 0
           AND y.contact_email = o.contact_email AND y.locale = o.locale AND y.tz = o.tz
           AND y.next_at <= postern.now() AND postern.may_gather(y)
         ORDER BY y.next_at, y.id LIMIT 250 FOR UPDATE SKIP LOCKED) AS x;
    IF coalesce(cardinality(v_parts), 0) < greatest(v_from, 2) THEN
        RETURN NULL;
    END IF;
    INSERT INTO postern.outbox (dedup_key, kind, customer, contact_email, locale, tz, message_id, references_id,
        envelope_from, vars, next_at, created_at)
    SELECT format('digest:%s:%s', v_token, lower(o.contact_email)), 'digest', o.customer, o.contact_email, o.locale, o.tz,
           format('digest.%s.%s@%s', o.kind, v_token, postern.setting('mail.domain')),
           -- A mail that all of them refer to: the digest that warned of them, for example.
           CASE WHEN count(DISTINCT x.references_id) = 1 AND count(x.references_id) = count(*) THEN min(x.references_id) END,
           regexp_replace(postern.setting('mail.bounce'), '@', '+' || v_token || '@'),
           jsonb_build_object('kind', 'digest', 'of', o.kind), min(x.next_at) - interval '1 microsecond', postern.now()
      FROM postern.outbox x WHERE x.id = ANY (v_parts)
    RETURNING id INTO v_id;
    UPDATE postern.outbox SET state = 'digested', digest_id = v_id WHERE id = ANY (v_parts);
    -- Later mails of these cases refer to the mail that was sent.
    UPDATE postern.spam_case c SET first_message_id = d.message_id
      FROM postern.outbox x, postern.outbox d
     WHERE x.id = ANY (v_parts) AND d.id = v_id AND c.id = x.case_id AND c.first_message_id = x.message_id;
    RETURN v_id;
END
$$;
COMMENT ON FUNCTION postern.gather_mail(bigint) IS 'Makes a digest of a due mail and those like it, if they are many: returns its id, else NULL';

-- ------------------------------------------------------------------------------- what a digest says

CREATE FUNCTION postern.mail_parts(p_mail_id bigint) RETURNS SETOF postern.outbox
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT o.* FROM postern.outbox o
     WHERE o.id = p_mail_id AND o.kind <> 'digest' OR o.digest_id = p_mail_id AND o.state = 'digested' ORDER BY o.unit, o.id
$$;
COMMENT ON FUNCTION postern.mail_parts(bigint) IS 'The mails that a digest tells of; any other mail is its own part';

CREATE FUNCTION postern.digest_vars(p_of text, p_parts jsonb[]) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('kind', 'digest', 'of', p_of, 'count', count(*),
               'customer', min(v ->> 'customer'), 'customer_name', min(v ->> 'customer_name'),
               'deadline_iso', CASE WHEN p_of IN ('warning', 'reminder') THEN postern.time_json(min((v ->> 'deadline_iso')::timestamptz)) END,
               'deadline_hours', min((v ->> 'deadline_hours')::int),
               'then_scope', CASE WHEN count(DISTINCT v ->> 'then_scope') > 1 THEN 'mixed' ELSE min(v ->> 'then_scope') END,
               'then_ports', max(v ->> 'then_ports')::jsonb,
               'scope', CASE WHEN count(DISTINCT v ->> 'scope') > 1 THEN 'mixed' ELSE min(v ->> 'scope') END,
               'ports', max(v ->> 'ports')::jsonb,
               'cause', CASE WHEN count(DISTINCT v ->> 'cause') = 1 THEN min(v ->> 'cause') END,
               'automated', bool_and((v ->> 'automated')::boolean),
               'units', jsonb_agg(jsonb_build_object('unit', v ->> 'unit', 'case', v ->> 'case', 'service', v ->> 'service_name',
                   'until_iso', CASE WHEN p_of IN ('warning', 'reminder') THEN v ->> 'deadline_iso' WHEN p_of = 'blocked' THEN v ->> 'hold_until_iso' END,
                   'reasons', jsonb_build_array(coalesce(v -> 'reasons' ->> 0, '')),
                   'reason_facts', jsonb_build_array(coalesce(v -> 'reason_facts' -> 0, '{}')),
                   'newest', v -> 'evidence' -> -1, 'page_url', v ->> 'page_url') ORDER BY (v ->> 'unit')::inet)))
      FROM unnest(p_parts) AS v
$$;
COMMENT ON FUNCTION postern.digest_vars(text, jsonb[]) IS 'What a digest says, from the data of its parts: units (unit, case, service, until_iso, the first reason, the newest evidence, page_url) and what they have in common';

CREATE FUNCTION postern.late_vars(o postern.outbox) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN o.kind <> 'digest' THEN postern.part_vars(o.kind, o.case_id, o.warning_id, o.tz, o.vars)
        ELSE (SELECT postern.digest_vars(o.vars ->> 'of',
                         array_agg(p.vars || postern.part_vars(p.kind, p.case_id, p.warning_id, p.tz, p.vars)))
                FROM postern.mail_parts(o.id) AS p) END;
END
$$;
COMMENT ON FUNCTION postern.late_vars(postern.outbox) IS 'What a mail''s data gain when it is taken';

-- ------------------------------------------------------------------------------------ the life of it

CREATE FUNCTION postern.lock_mail(p_id bigint) RETURNS postern.outbox
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    o postern.outbox;
BEGIN
    -- The units first, as everyone does, and in the order of all who lock several.
    PERFORM FROM postern.ip_state s
      WHERE s.unit IN (SELECT p.unit FROM postern.mail_parts(p_id) AS p) ORDER BY s.unit FOR UPDATE;
    SELECT x.* INTO STRICT o FROM postern.outbox x WHERE x.id = p_id FOR UPDATE;
    RETURN o;
END
$$;
COMMENT ON FUNCTION postern.lock_mail(bigint) IS 'Locks the units that a mail is about, then the mail';

CREATE OR REPLACE FUNCTION postern.claim_mail(p_worker text, p_lease interval, p_max int,
        OUT id bigint, OUT kind text, OUT contact_email text, OUT locale text, OUT tz text,
        OUT message_id text, OUT references_id text, OUT envelope_from text, OUT vars jsonb,
        OUT attempts int, OUT state text, OUT transport_hint text) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_ids bigint[];
BEGIN
    IF postern.mode() = 'shadow' THEN
        RETURN;
    END IF;
    PERFORM postern.settle_mail();
    -- Until none of those that it is to have can be gathered.
    LOOP
        v_ids := ARRAY(
            SELECT o.id FROM postern.outbox o
             WHERE o.state IN ('pending', 'sending') AND o.next_at <= postern.now()
               AND (o.lease_until IS NULL OR o.lease_until <= postern.now())
               AND (o.state = 'pending' OR o.resends < postern.setting_number('mail.resends'))
             ORDER BY o.next_at, o.id LIMIT p_max
               FOR UPDATE SKIP LOCKED);
        EXIT WHEN (SELECT count(postern.gather_mail(x)) FROM unnest(v_ids) AS x) = 0;
    END LOOP;
    RETURN QUERY
        UPDATE postern.outbox o
           SET worker = p_worker, lease_until = postern.now() + p_lease, attempts = o.attempts + 1,
               vars = o.vars || postern.late_vars(o)
         WHERE o.id = ANY (v_ids)
        RETURNING o.id, o.kind, o.contact_email, o.locale, o.tz, o.message_id, o.references_id,
                  o.envelope_from, o.vars, o.attempts, o.state, nullif(postern.setting('mail.transport'), '');
END
$$;
COMMENT ON FUNCTION postern.claim_mail(text, interval, int) IS 'Takes due mails for a worker until the lease runs out; many of one kind to one contact become a digest first. state sending: a worker died within DATA, this is a resend, with the same Message-ID. None in shadow mode';

CREATE FUNCTION postern.next_contact_mail(p_mail postern.outbox) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_tried text[];
    v_next bigint;
BEGIN
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
    RETURN v_next;
END
$$;
COMMENT ON FUNCTION postern.next_contact_mail(postern.outbox) IS 'The same occasion for the next contact who has not had it; NULL: nobody is left';

CREATE FUNCTION postern.mail_name(p_mail postern.outbox) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE WHEN p_mail.kind = 'digest' THEN format('digest %s (%s) of customer %s', p_mail.id, p_mail.vars ->> 'of', p_mail.customer)
                ELSE format('mail %s of case %s', p_mail.kind, (SELECT c.public_id FROM postern.spam_case c WHERE c.id = p_mail.case_id)) END
$$;
COMMENT ON FUNCTION postern.mail_name(postern.outbox) IS 'A mail as alarms name it';

CREATE OR REPLACE FUNCTION postern.mail_gave_up(p_mail postern.outbox, p_why text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    p postern.outbox;
    v_next bigint;
    v_left int := 0;
    v_parts int := 0;
BEGIN
    UPDATE postern.contact SET bounced_at = postern.now()
     WHERE customer = p_mail.customer AND lower(email) = lower(p_mail.contact_email);
    FOR p IN SELECT * FROM postern.mail_parts(p_mail.id) LOOP
        v_next := postern.next_contact_mail(p);
        v_parts := v_parts + 1;
        v_left := v_left + CASE WHEN v_next IS NULL THEN 1 ELSE 0 END;
        IF p.kind = 'warning' THEN
            PERFORM postern.transition(p.unit, 'mail_failed', 'mailer', jsonb_strip_nulls(jsonb_build_object(
                'mail_id', p_mail.id, 'warning_id', p.warning_id, 'next_mail_id', v_next,
                'reason', 'no contact''s mail server accepted the warning')));
        END IF;
    END LOOP;
    PERFORM postern.raise_alarm('mail-failed', postern.mail_name(p_mail),
        format('%s to %s: %s%s', p_why, p_mail.contact_email, coalesce(p_mail.detail, ''),
               CASE WHEN v_left = 0 THEN '; goes to the next contact' WHEN v_left = v_parts THEN '; no other contact'
                    ELSE format('; no other contact for %s of %s', v_left, v_parts) END));
END
$$;
COMMENT ON FUNCTION postern.mail_gave_up(postern.outbox, text) IS 'A mail that will not arrive: next contact, alarm; without one the warning''s deadline is suspended. Of a digest: each of its parts';

CREATE OR REPLACE FUNCTION postern.mail_uncertain(p_mail postern.outbox) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    PERFORM postern.raise_alarm('mail-uncertain', postern.mail_name(p_mail),
        format('broken off after DATA to %s, %s times: it may or may not have arrived', p_mail.contact_email, p_mail.resends + 1));
    PERFORM postern.transition(p.unit, 'mail_failed', 'mailer',
                jsonb_build_object('mail_id', p_mail.id, 'warning_id', p.warning_id,
                                   'reason', 'nobody knows whether the warning arrived'))
       FROM postern.mail_parts(p_mail.id) AS p WHERE p.kind = 'warning';
END
$$;

CREATE OR REPLACE FUNCTION postern.mail_outcome(p_id bigint, p_worker text, p_outcome text, p_code int, p_detail text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    o postern.outbox;
    v_now timestamptz := postern.now();
    v_state text;
BEGIN
    IF NOT EXISTS (SELECT FROM postern.outbox x WHERE x.id = p_id) THEN
        RAISE EXCEPTION 'there is no mail %', p_id USING ERRCODE = 'PT006';
    END IF;
    o := postern.lock_mail(p_id);
    -- An accepted mail is accepted, whoever says so; anything else only its worker may say.
    IF o.state NOT IN ('pending', 'sending', 'uncertain') OR (p_outcome <> 'done' AND o.worker IS DISTINCT FROM p_worker) THEN
        RETURN o.state;
    END IF;
    v_state := CASE p_outcome
        WHEN 'done' THEN 'done'
        WHEN 'refused' THEN 'failed'
        WHEN 'retry' THEN CASE WHEN o.created_at + postern.setting_interval('mail.give_up_hours') <= v_now
                               THEN 'failed' ELSE 'pending' END
        WHEN 'uncertain' THEN CASE WHEN o.broken >= 1 THEN 'uncertain' ELSE 'sending' END END;
    IF v_state IS NULL THEN
        RAISE EXCEPTION 'a mail''s outcome is done, retry, refused or uncertain, not "%"', p_outcome
            USING ERRCODE = 'PT006';
    END IF;
    UPDATE postern.outbox
       SET state = v_state, code = p_code, detail = left(p_detail, 2000), lease_until = NULL, worker = NULL,
           accepted_at = CASE v_state WHEN 'done' THEN v_now END,
           -- A server that answers has not taken it: the next try is a first one again.
           resends = CASE v_state WHEN 'pending' THEN 0 ELSE resends END,
           broken = CASE WHEN v_state = 'pending' THEN 0 WHEN p_outcome = 'uncertain' THEN broken + 1 ELSE broken END,
           next_at = CASE WHEN v_state IN ('pending', 'sending')
                          THEN v_now + postern.retry_delay(attempts, id) ELSE next_at END
     WHERE id = o.id RETURNING * INTO STRICT o;
    IF v_state = 'done' THEN
        UPDATE postern.outbox SET accepted_at = v_now, code = p_code WHERE digest_id = o.id AND state = 'digested';
        PERFORM postern.transition(p.unit, 'mail_accepted', 'mailer',
                    jsonb_build_object('mail_id', o.id, 'warning_id', p.warning_id))
           FROM postern.mail_parts(o.id) AS p WHERE p.kind = 'warning';
    ELSIF v_state = 'failed' THEN
        PERFORM postern.mail_gave_up(o, CASE p_outcome WHEN 'refused' THEN 'refused' ELSE 'given up' END);
    ELSIF v_state = 'uncertain' THEN
        PERFORM postern.mail_uncertain(o);
    END IF;
    RETURN v_state;
END
$$;
COMMENT ON FUNCTION postern.mail_outcome(bigint, text, text, int, text) IS 'What became of a mail: done (a warning''s clock starts), retry (on the schedule, then given up), refused (next contact, alarm), uncertain (broken off after DATA: resent once). What becomes of a digest becomes of each warning in it. A second call changes nothing. Returns the mail''s state';

CREATE OR REPLACE FUNCTION postern.settle_mail() RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_id bigint;
    o postern.outbox;
    v_count int := 0;
BEGIN
    FOR v_id IN SELECT x.id FROM postern.outbox x
                 WHERE x.state = 'sending' AND x.resends >= postern.setting_number('mail.resends') AND x.lease_until <= postern.now() ORDER BY x.id
    LOOP
        PERFORM postern.lock_mail(v_id);
        UPDATE postern.outbox SET state = 'uncertain', worker = NULL, lease_until = NULL
         WHERE id = v_id AND state = 'sending' AND resends >= postern.setting_number('mail.resends') AND lease_until <= postern.now() RETURNING * INTO o;
        CONTINUE WHEN NOT FOUND;
        PERFORM postern.mail_uncertain(o);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END
$$;

-- A part that is no longer true leaves a digest that nobody has begun to send; a worker that has it in
-- hand loses it, and it is made anew.
CREATE OR REPLACE FUNCTION postern.supersede_mails(p_case_id bigint, p_kinds text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_digest_id bigint;
BEGIN
    UPDATE postern.outbox SET state = 'superseded', lease_until = NULL, worker = NULL
     WHERE case_id = p_case_id AND kind = ANY (p_kinds) AND state = 'pending';
    UPDATE postern.spam_case c SET first_message_id = NULL
      FROM postern.outbox o
     WHERE c.id = p_case_id AND o.message_id = c.first_message_id AND o.state = 'superseded';
    FOR v_digest_id IN
        SELECT d.id FROM postern.outbox d
         WHERE d.state = 'pending' AND d.id IN (SELECT o.digest_id FROM postern.outbox o
                     WHERE o.case_id = p_case_id AND o.kind = ANY (p_kinds) AND o.state = 'digested')
         ORDER BY d.id FOR UPDATE
    LOOP
        UPDATE postern.outbox SET state = 'superseded'
         WHERE digest_id = v_digest_id AND case_id = p_case_id AND kind = ANY (p_kinds);
        UPDATE postern.spam_case c SET first_message_id = NULL
          FROM postern.outbox d WHERE c.id = p_case_id AND d.id = v_digest_id AND d.message_id = c.first_message_id;
        UPDATE postern.outbox d
           SET worker = NULL, lease_until = NULL,
               state = CASE WHEN EXISTS (SELECT FROM postern.mail_parts(d.id)) THEN 'pending' ELSE 'superseded' END
         WHERE d.id = v_digest_id;
    END LOOP;
END
$$;
COMMENT ON FUNCTION postern.supersede_mails(bigint, text[]) IS 'Mails that were not begun and are no longer true are not sent, neither alone nor in a digest';

-- ----------------------------------------------------------------------- writing, so that it can gather

CREATE OR REPLACE FUNCTION postern.enqueue_mail(p_kind text, p_case_id bigint, p_warning_id bigint, p_block_id bigint,
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
        postern.first_try(p_kind, v_case.customer, v_to.email, NULL, '0'), postern.now())
    ON CONFLICT (dedup_key) DO NOTHING
    RETURNING id INTO v_id;
    UPDATE postern.spam_case c SET first_message_id = o.message_id
      FROM postern.outbox o
     WHERE c.id = p_case_id AND o.id = v_id AND c.first_message_id IS NULL;
    RETURN v_id;
END
$$;

CREATE OR REPLACE FUNCTION postern.effect_warn(m postern.move) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_case_id bigint := postern.case_for(m);
    v_category text := postern.worst_category(v_case_id);
    v_reason text := postern.reasons_for(m);
    v_cause text := CASE WHEN m.detail ? 'verdict_id' THEN 'verdict' ELSE 'complaint' END;
    v_warning_id bigint;
    v_mail_id bigint;
BEGIN
    INSERT INTO postern.warning (case_id, unit, customer, cause, category, repeat, reason, ports,
        state, opened_at, duration)
    VALUES (v_case_id, m.unit, m.customer, v_cause, v_category,
        postern.warning_repeat(m.unit, m.customer, v_category, NULL),
        v_reason, postern.ports_for((m.detail ->> 'verdict_id')::bigint), 'mailing', m.at,
        postern.setting_interval('deadline.hours'))
    RETURNING id INTO v_warning_id;
    v_mail_id := postern.enqueue_mail('warning', v_case_id, v_warning_id, NULL, v_reason, v_warning_id::text);
    IF v_mail_id IS NULL THEN
        PERFORM postern.suspend_warning(v_warning_id, 'the customer has no contact');
    ELSIF v_cause = 'verdict' THEN
        UPDATE postern.outbox o SET next_at = postern.first_try('warning', o.customer, o.contact_email, o.id,
                   make_interval(secs => postern.setting_number('mail.warning_hold')))
         WHERE o.id = v_mail_id;
    ELSE
        PERFORM postern.ask_listing(v_warning_id, v_mail_id);
    END IF;
    RETURN jsonb_build_object('action', 'warned', 'case_id', v_case_id, 'warning_id', v_warning_id);
END
$$;

CREATE OR REPLACE FUNCTION postern.answer_listing(p_warning_id bigint, p_answer text, p_zones text[] DEFAULT '{}') RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    -- The unit first, as everyone does.
    PERFORM FROM postern.ip_state s JOIN postern.listing_check l ON l.unit = s.unit
      WHERE l.warning_id = p_warning_id FOR UPDATE OF s;
    UPDATE postern.listing_check SET answered_at = postern.now(), answer = p_answer, zones = coalesce(p_zones, '{}')
     WHERE warning_id = p_warning_id AND answered_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE postern.outbox o
       SET next_at = least(o.next_at, postern.first_try('warning', o.customer, o.contact_email, o.id, '0')),
           vars = o.vars || jsonb_build_object('listing', p_answer, 'listing_zones', to_jsonb(coalesce(p_zones, '{}')))
     WHERE o.warning_id = p_warning_id AND o.kind = 'warning' AND o.state = 'pending' AND o.attempts = 0;
    RETURN true;
END
$$;

-- One that waits to be sent is enough, also where it waits in a digest.
DO $$
DECLARE
    v_definition text := pg_get_functiondef('postern.effect_remind(postern.move)'::regprocedure);
    v_from text := 'o.kind = ''reminder'' AND o.state = ''pending''';
BEGIN
    ASSERT position(v_from IN v_definition) > 0, 'effect_remind() is not as expected';
    EXECUTE replace(v_definition, v_from, 'o.kind = ''reminder''
                  AND (o.state = ''pending'' OR o.state = ''digested'' AND EXISTS (
                       SELECT FROM postern.outbox d WHERE d.id = o.digest_id AND d.state = ''pending''))');
END
$$;

-- --------------------------------------------------------------------------------- what comes back

CREATE OR REPLACE FUNCTION postern.bounce_mail(p_mail_id bigint, p_detail text) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    o postern.outbox := postern.lock_mail(p_mail_id);
BEGIN
    IF o.state = 'sending' AND o.lease_until > postern.now() THEN
        RETURN 'held'; -- faster than the outcome of its worker
    ELSIF o.state NOT IN ('sending', 'done', 'uncertain') THEN
        RETURN 'known';
    END IF;
    UPDATE postern.outbox SET state = 'failed', detail = left(p_detail, 2000), worker = NULL, lease_until = NULL
     WHERE id = o.id RETURNING * INTO STRICT o;
    PERFORM postern.mail_gave_up(o, 'bounced');
    RETURN 'bounced';
END
$$;
COMMENT ON FUNCTION postern.bounce_mail(bigint, text) IS 'A mail came back: next contact, or the deadline is suspended; a digest, each of its parts. Returns bounced; known (failed already, or never sent); held (its worker has not said yet what became of it)';

CREATE OR REPLACE FUNCTION postern.apply_answer(p_complaint_id bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    c postern.complaint;
    o postern.outbox;
    v_case postern.spam_case;
    v_action text;
BEGIN
    SELECT x.* INTO STRICT c FROM postern.complaint x WHERE x.id = p_complaint_id;
    SELECT x.* INTO o FROM postern.outbox x WHERE postern.mail_token(x.message_id) = c.mail_token;
    -- A digest is about several cases: the one that the subject names, else the first.
    SELECT k.* INTO v_case FROM postern.spam_case k
     WHERE k.id IN (SELECT p.case_id FROM postern.mail_parts(o.id) AS p)
        OR o.id IS NULL AND c.outcome <> 'bounce' AND k.public_id = c.case_ref
     ORDER BY (k.public_id = c.case_ref) IS TRUE DESC, k.id LIMIT 1;
    IF o.id IS NOT NULL THEN
        PERFORM postern.lock_mail(o.id);
    ELSE
        PERFORM FROM postern.ip_state s WHERE s.unit = v_case.unit FOR UPDATE;
    END IF;
    SELECT x.* INTO STRICT c FROM postern.complaint x WHERE x.id = p_complaint_id FOR UPDATE;
    IF c.applied_at IS NOT NULL THEN
        RETURN c.action;
    END IF;
    v_action := CASE
        WHEN c.outcome = 'bounce' AND o.id IS NULL THEN 'unknown-mail'
        WHEN c.outcome = 'bounce' THEN postern.bounce_mail(o.id, c.said)
        WHEN v_case.id IS NULL THEN 'unknown-case'
        ELSE postern.keep_reply(c, v_case, o.id) END;
    IF v_action = 'held' THEN
        UPDATE postern.complaint SET apply_after = postern.now() + interval '1 minute' WHERE id = c.id;
        RETURN v_action;
    ELSIF c.outcome = 'bounce' THEN
        INSERT INTO postern.evidence (case_id, kind, at, message_id, reporter, complaint_id)
        SELECT p.case_id, 'bounce', c.received_at, o.message_id, c.reporter, c.id FROM postern.mail_parts(o.id) AS p
        ON CONFLICT DO NOTHING;
    END IF;
    UPDATE postern.complaint
       SET applied_at = postern.now(), action = v_action, counted = false, case_id = v_case.id, apply_error = NULL
     WHERE id = c.id;
    IF c.apply_error IS NOT NULL THEN
        PERFORM postern.settle_alarm('apply-error', 'complaint ' || c.id);
    END IF;
    RETURN v_action;
END
$$;

CREATE OR REPLACE FUNCTION postern.settle_reply(p_statement_id bigint, p_as text, p_actor text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    s postern.statement;
    c postern.spam_case;
    v_ref text;
    v_result jsonb := jsonb_build_object('action', 'noted');
    p record;
BEGIN
    IF p_as NOT IN ('fixed', 'disputed', 'noted') THEN
        RAISE EXCEPTION 'a reply is settled as fixed, disputed or noted, not "%"', p_as USING ERRCODE = 'PT006';
    END IF;
    SELECT x.* INTO s FROM postern.statement x WHERE x.id = p_statement_id AND x.kind = 'reply';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no reply %', p_statement_id USING ERRCODE = 'PT006',
            HINT = 'SELECT * FROM api_v1.replies';
    END IF;
    SELECT k.* INTO STRICT c FROM postern.spam_case k WHERE k.id = s.case_id;
    IF s.mail_id IS NOT NULL THEN
        PERFORM postern.lock_mail(s.mail_id);
    ELSE
        PERFORM FROM postern.ip_state x WHERE x.unit = c.unit FOR UPDATE;
    END IF;
    UPDATE postern.statement SET settled_at = postern.now(), settled_by = p_actor
     WHERE id = p_statement_id AND settled_at IS NULL RETURNING * INTO s;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('action', 'ignored', 'message', 'It is settled already');
    END IF;
    PERFORM postern.audit(p_actor, 'reply', c.unit, jsonb_build_object('case', c.public_id, 'statement_id', s.id, 'as', p_as));
    IF p_as <> 'noted' THEN
        v_result := postern.make_statement(c.unit, c.customer, p_as, s.text);
        -- An answer to a digest that names no case speaks of all that it told of.
        v_ref := (SELECT x.case_ref FROM postern.complaint x WHERE x.id = s.complaint_id);
        FOR p IN SELECT DISTINCT x.unit, x.customer FROM postern.mail_parts(s.mail_id) AS x
                  WHERE x.case_id <> c.id AND v_ref IS DISTINCT FROM c.public_id ORDER BY x.unit LOOP
            PERFORM postern.make_statement(p.unit, p.customer, p_as, s.text);
        END LOOP;
    END IF;
    IF NOT EXISTS (SELECT FROM postern.statement x WHERE x.case_id = c.id AND x.kind = 'reply' AND x.settled_at IS NULL) THEN
        PERFORM postern.settle_alarm('reply', c.public_id);
    END IF;
    RETURN v_result;
END
$$;
COMMENT ON FUNCTION postern.settle_reply(bigint, text, text) IS 'A person has read a reply: fixed or disputed makes it the customer''s statement, noted leaves it at that. A reply to a digest that names no case speaks of all of them';

-- ------------------------------------------------------------------------------------- what is seen

CREATE OR REPLACE VIEW api_v1.mail_status AS
    SELECT o.id, c.public_id AS case_id, o.unit::inet AS unit, o.customer, o.kind, o.contact_email, o.state, o.attempts, o.created_at,
           o.next_at, o.accepted_at, o.accepted_at - o.created_at AS time_to_accept, o.code, o.detail, o.message_id, o.digest_id
      FROM postern.outbox o LEFT JOIN postern.spam_case c ON c.id = o.case_id;
COMMENT ON COLUMN api_v1.mail_status.state IS 'pending, sending, done (accepted), failed, uncertain, superseded (never sent: a later event made it untrue), digested (told by the digest digest_id)';
COMMENT ON COLUMN api_v1.mail_status.digest_id IS 'The digest that tells of it; its state is what became of it';

-- ---------------------------------------------------------------------------------------- previews

-- The same data, also of mails about a freeze and of digests.
CREATE FUNCTION postern.digest_preview(p_case postern.spam_case, p_tz text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_of text := CASE WHEN EXISTS (SELECT FROM postern.block b WHERE b.case_id = p_case.id) THEN 'blocked' ELSE 'warning' END;
    v_parts jsonb[];
BEGIN
    SELECT array_agg(x.vars || postern.part_vars(v_of, x.case_id, x.warning_id, p_tz, x.vars)) INTO v_parts
      FROM (SELECT c.id AS case_id, w.id AS warning_id,
                   postern.mail_vars(v_of, c.id, w.id, b.id, coalesce(b.reason, w.reason), p_tz) AS vars
              FROM postern.spam_case c
              LEFT JOIN LATERAL (SELECT y.* FROM postern.block y WHERE y.case_id = c.id ORDER BY y.id DESC LIMIT 1) AS b ON v_of = 'blocked'
              LEFT JOIN LATERAL (SELECT y.* FROM postern.warning y WHERE y.case_id = c.id ORDER BY y.id DESC LIMIT 1) AS w ON v_of = 'warning'
             WHERE c.customer = p_case.customer AND (c.id = p_case.id OR c.closed_at IS NULL AND NOT c.shadow)
               AND coalesce(b.id, w.id) IS NOT NULL
             ORDER BY c.id DESC LIMIT 250) AS x;
    IF v_parts IS NULL THEN
        RAISE EXCEPTION 'case % never had a warning or block: there is nothing that a digest could say', p_case.public_id USING ERRCODE = 'PT006';
    END IF;
    RETURN postern.digest_vars(v_of, v_parts);
END
$$;
COMMENT ON FUNCTION postern.digest_preview(postern.spam_case, text) IS 'What a digest would say now of a case and all open ones of its customer: of their blocks, if the case had one, else of their warnings';

CREATE OR REPLACE FUNCTION postern.mail_preview(p_kind text, p_case text, p_locale text,
        OUT contact_email text, OUT locale text, OUT tz text, OUT mail_from text, OUT vars jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    c postern.spam_case;
    v_warning postern.warning;
    v_block postern.block;
    v_about text := CASE WHEN p_kind IN ('warning', 'reminder', 'resolved') THEN 'warning'
                         WHEN p_kind IN ('blocked', 'released') THEN 'block'
                         WHEN p_kind IN ('freeze-notice', 'frozen') THEN 'freeze proposal' END;
BEGIN
    SELECT x.* INTO c FROM postern.spam_case x
     WHERE x.public_id = upper(p_case)
        OR p_case ~ '^\d{1,12}$' AND x.public_id LIKE 'PST-____-' || lpad(p_case, greatest(6, length(p_case)), '0')
     ORDER BY x.id DESC LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no case %', p_case USING ERRCODE = 'PT006',
            HINT = 'Cases are named like PST-2026-000123; the number alone will do.';
    END IF;
    SELECT w.* INTO v_warning FROM postern.warning w WHERE w.case_id = c.id ORDER BY w.id DESC LIMIT 1;
    SELECT b.* INTO v_block FROM postern.block b WHERE b.case_id = c.id ORDER BY b.id DESC LIMIT 1;
    IF v_about IS NULL AND p_kind <> 'digest' THEN
        RAISE EXCEPTION 'there are no mails "%"', p_kind USING ERRCODE = 'PT006',
            HINT = 'warning, reminder, blocked, resolved, released, freeze-notice, frozen, digest';
    ELSIF v_about = 'warning' AND v_warning.id IS NULL OR v_about = 'block' AND v_block.id IS NULL
       OR v_about = 'freeze proposal' AND NOT EXISTS (SELECT FROM postern.freeze_proposal p WHERE p.case_id = c.id) THEN
        RAISE EXCEPTION 'case % never had a %: there is nothing that a mail "%" could say', c.public_id, v_about, p_kind
            USING ERRCODE = 'PT006';
    END IF;
    SELECT t.email, t.locale, t.tz INTO contact_email, locale, tz
      FROM postern.contact_for(c.customer, c.unit, '{}') AS t;
    locale := coalesce(nullif(p_locale, ''), locale, postern.setting('mail.locale'));
    tz := coalesce(tz, postern.setting('mail.tz'));
    mail_from := postern.setting('mail.from');
    IF p_kind = 'digest' THEN
        vars := postern.digest_preview(c, tz);
        RETURN;
    END IF;
    vars := postern.mail_vars(p_kind, c.id, CASE v_about WHEN 'warning' THEN v_warning.id END,
        CASE v_about WHEN 'block' THEN v_block.id END,
        CASE v_about WHEN 'warning' THEN v_warning.reason WHEN 'block' THEN v_block.reason
             ELSE (SELECT p.note FROM postern.freeze_proposal p WHERE p.case_id = c.id ORDER BY p.id DESC LIMIT 1) END, tz);
    vars := vars || postern.part_vars(p_kind, c.id, CASE v_about WHEN 'warning' THEN v_warning.id END, tz, vars);
END
$$;


RESET ROLE;
