-- SPDX-License-Identifier: Apache-2.0
-- What comes back to a mail of ours: bounces, which undo its acceptance, and replies, which become
-- statements that wait for the desk. Both arrive as evidence of the bus, told by the mail's secret.

SET LOCAL ROLE postern_owner;

ALTER TABLE postern.complaint ADD COLUMN mail_token text, ADD COLUMN case_ref text,
    ADD COLUMN sender text, ADD COLUMN said text;
COMMENT ON COLUMN postern.complaint.mail_token IS 'Bounce, reply: the secret of the mail that it answers';
COMMENT ON COLUMN postern.complaint.case_ref IS 'Reply: the case that its subject names';
COMMENT ON COLUMN postern.complaint.sender IS 'Reply: who sent it, as From has it';
COMMENT ON COLUMN postern.complaint.said IS 'Reply of a person: his own words; bounce: what the mail server says';

ALTER TABLE postern.statement DROP CONSTRAINT statement_kind_check,
    ADD CONSTRAINT statement_kind_check CHECK (kind IN ('fixed', 'disputed', 'reply')),
    ADD COLUMN mail_id bigint REFERENCES postern.outbox (id),
    ADD COLUMN complaint_id bigint REFERENCES postern.complaint (id),
    ADD COLUMN settled_at timestamptz, ADD COLUMN settled_by text,
    ADD CHECK ((settled_at IS NULL) = (settled_by IS NULL));
CREATE INDEX statement_waiting ON postern.statement (case_id) WHERE kind = 'reply' AND settled_at IS NULL;
COMMENT ON COLUMN postern.statement.kind IS 'fixed, disputed: they act; reply: a mail that a person has to read first';
COMMENT ON COLUMN postern.statement.mail_id IS 'reply: the mail that it answers, proved by its secret; NULL: only the case number was named';
COMMENT ON COLUMN postern.statement.complaint_id IS 'reply: the mail it came in';
COMMENT ON COLUMN postern.statement.settled_at IS 'reply: when somebody of the desk had read it; NULL: it waits';

CREATE FUNCTION postern.mail_token(p_message_id text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path = pg_catalog, postern, pg_temp
    AS $$ SELECT substring(p_message_id FROM '\.([0-9a-f]{20})@') $$;
COMMENT ON FUNCTION postern.mail_token(text) IS 'The secret in a Message-ID of ours; it stands in the envelope address too';
CREATE INDEX outbox_token ON postern.outbox (postern.mail_token(message_id));

-- ------------------------------------------------------------------------------------- recording

CREATE FUNCTION postern.record_evidence(p_partition int, p_position bigint, p_outcome text,
        p_format text, p_feedback_type text, p_category text, p_source_ip inet, p_source_port int,
        p_arrived_at timestamptz, p_received_at timestamptz, p_message_id text,
        p_reported_domain text, p_reporter text, p_authenticated boolean, p_report_id text,
        p_reason text, p_incidents int, p_size_bytes bigint, p_sha256 bytea,
        p_mail_token text, p_case_ref text, p_sender text, p_said text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_id bigint := postern.record_evidence(p_partition, p_position, p_outcome, p_format, p_feedback_type,
        p_category, p_source_ip, p_source_port, p_arrived_at, p_received_at, p_message_id, p_reported_domain,
        p_reporter, p_authenticated, p_report_id, p_reason, p_incidents, p_size_bytes, p_sha256);
BEGIN
    IF p_outcome = 'bounce' OR p_mail_token IS NOT NULL OR p_said IS NOT NULL THEN
        UPDATE postern.complaint
           SET mail_token = p_mail_token, case_ref = p_case_ref, sender = left(p_sender, 998),
               said = left(coalesce(p_said, CASE p_outcome WHEN 'bounce' THEN p_reason END), 4000)
         WHERE id = v_id;
    END IF;
    RETURN v_id;
END
$$;
COMMENT ON FUNCTION postern.record_evidence(int, bigint, text, text, text, text, inet, int, timestamptz, timestamptz, text, text, text, boolean, text, text, int, bigint, bytea, text, text, text, text)
    IS 'The same with what a bounce or reply says of the mail that it answers';

-- -------------------------------------------------------------------------------------- applying

CREATE FUNCTION postern.bounce_mail(p_mail_id bigint, p_detail text) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    o postern.outbox;
BEGIN
    SELECT x.* INTO STRICT o FROM postern.outbox x WHERE x.id = p_mail_id;
    PERFORM FROM postern.ip_state s WHERE s.unit = o.unit FOR UPDATE;
    SELECT x.* INTO STRICT o FROM postern.outbox x WHERE x.id = p_mail_id FOR UPDATE;
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
COMMENT ON FUNCTION postern.bounce_mail(bigint, text) IS 'A mail came back: next contact, or the deadline is suspended. Returns bounced; known (failed already, or never sent); held (its worker has not said yet what became of it)';

CREATE OR REPLACE FUNCTION postern.mail_bounced(p_envelope_from text, p_detail text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    SELECT o.id INTO v_id FROM postern.outbox o
     WHERE postern.mail_token(o.message_id) = substring(lower(p_envelope_from) FROM '\+([0-9a-f]{20})@');
    RETURN CASE WHEN v_id IS NULL THEN 'unknown'
                ELSE coalesce(nullif(postern.bounce_mail(v_id, p_detail), 'bounced'), 'failed') END;
END
$$;

CREATE FUNCTION postern.keep_reply(c postern.complaint, p_case postern.spam_case, p_mail_id bigint) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    -- Case numbers can be guessed: a stranger shall not fill the desk's queue.
    IF p_mail_id IS NULL AND 20 <= (SELECT count(*) FROM postern.statement s
                                     WHERE s.case_id = p_case.id AND s.kind = 'reply' AND s.settled_at IS NULL) THEN
        RETURN 'too-many';
    END IF;
    INSERT INTO postern.statement (case_id, kind, text, actor, made_at, accepted, mail_id, complaint_id)
    VALUES (p_case.id, 'reply', c.said, coalesce(c.sender, 'unknown sender'), c.received_at, false, p_mail_id, c.id);
    PERFORM postern.raise_alarm('reply', p_case.public_id,
        format('%s wrote about case %s: read it in api_v1.replies and settle it', coalesce(c.sender, 'unknown sender'), p_case.public_id));
    RETURN 'reply';
END
$$;
COMMENT ON FUNCTION postern.keep_reply(postern.complaint, postern.spam_case, bigint) IS 'A reply waits as a statement of kind reply; nothing follows from it before a person has read it';

CREATE FUNCTION postern.apply_answer(p_complaint_id bigint) RETURNS text
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
    SELECT k.* INTO v_case FROM postern.spam_case k
     WHERE k.id = o.case_id OR o.id IS NULL AND c.outcome <> 'bounce' AND k.public_id = c.case_ref;
    PERFORM FROM postern.ip_state s WHERE s.unit = v_case.unit FOR UPDATE;
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
    ELSIF c.outcome = 'bounce' AND v_case.id IS NOT NULL THEN
        INSERT INTO postern.evidence (case_id, kind, at, message_id, reporter, complaint_id)
        VALUES (v_case.id, 'bounce', c.received_at, o.message_id, c.reporter, c.id)
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
COMMENT ON FUNCTION postern.apply_answer(bigint) IS 'Applies a bounce or reply; a second call changes nothing. Returns bounced, known, held (asked again in a minute), unknown-mail, reply, too-many, unknown-case';

-- Bounces and replies go their own way; the rest is as it was.
DO $$
DECLARE
    v_definition text := pg_get_functiondef('postern.apply_complaint(bigint)'::regprocedure);
    v_from text := E'        RETURN c.action;\n    END IF;\n    v_at :=';
BEGIN
    ASSERT position(v_from IN v_definition) > 0, 'apply_complaint() is not as expected';
    EXECUTE replace(v_definition, v_from, E'        RETURN c.action;\n'
        '    ELSIF c.outcome = ''bounce'' OR c.said IS NOT NULL THEN\n'
        '        RETURN postern.apply_answer(p_complaint_id);\n    END IF;\n    v_at :=');
END
$$;
COMMENT ON FUNCTION postern.apply_complaint(bigint) IS 'Applies one complaint; a second call changes nothing. Returns what became of it: warned, appended, noted, stored, no-address, not-ours, too-old, from-the-future, unassigned, other-tenancy, never-block, exempt, held, shadow-warned; for bounces and replies what apply_answer() returns';

-- What the customer is shown is what he sent, not what came back to us.
CREATE OR REPLACE FUNCTION postern.mail_evidence(p_case_id bigint, p_tz text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'time', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
               'time_local', postern.time_text(at, p_tz),
               'destination', coalesce(host(destination), '–'), 'port', coalesce(port::text, '–'),
               'message_id', coalesce(message_id, '–'), 'score', coalesce(score::text, '–'))
               ORDER BY at, id), '[]')
      FROM (SELECT e.* FROM postern.evidence e WHERE e.case_id = p_case_id AND e.kind <> 'bounce'
             ORDER BY (e.message_id IS NULL), e.at DESC, e.id DESC LIMIT 20) AS newest
$$;
DO $$
DECLARE
    v_definition text := pg_get_functiondef('postern.mail_vars(text, bigint, bigint, bigint, text, text)'::regprocedure);
    v_from text := 'FROM postern.evidence e WHERE e.case_id = c.id)';
BEGIN
    ASSERT position(v_from IN v_definition) > 0, 'mail_vars() is not as expected';
    EXECUTE replace(v_definition, v_from, 'FROM postern.evidence e WHERE e.case_id = c.id AND e.kind <> ''bounce'')');
END
$$;

-- -------------------------------------------------------------------------------------- the desk

CREATE VIEW api_v1.replies AS
    SELECT s.id, c.public_id AS "case", c.unit, c.customer, s.made_at AS received_at, s.actor AS sender,
           s.mail_id IS NOT NULL AS proved, s.text, c.closed_at IS NULL AS open
      FROM postern.statement s JOIN postern.spam_case c ON c.id = s.case_id
     WHERE s.kind = 'reply' AND s.settled_at IS NULL;
COMMENT ON VIEW api_v1.replies IS 'Replies to our mails that nobody has settled: SELECT postern.settle_reply(id, ''fixed'' | ''disputed'' | ''noted'', ''alice'')';
COMMENT ON COLUMN api_v1.replies.sender IS 'As the mail has it: anybody can write a name';
COMMENT ON COLUMN api_v1.replies.proved IS 'It answers a mail that only its recipient has seen; false: it only names the case';
COMMENT ON COLUMN api_v1.replies.open IS 'Is the case still open?';

CREATE FUNCTION postern.settle_reply(p_statement_id bigint, p_as text, p_actor text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    s postern.statement;
    c postern.spam_case;
    v_result jsonb := jsonb_build_object('action', 'noted');
BEGIN
    IF p_as NOT IN ('fixed', 'disputed', 'noted') THEN
        RAISE EXCEPTION 'a reply is settled as fixed, disputed or noted, not "%"', p_as USING ERRCODE = 'PT006';
    END IF;
    SELECT k.* INTO c FROM postern.statement x JOIN postern.spam_case k ON k.id = x.case_id
     WHERE x.id = p_statement_id AND x.kind = 'reply';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no reply %', p_statement_id USING ERRCODE = 'PT006',
            HINT = 'SELECT * FROM api_v1.replies';
    END IF;
    PERFORM FROM postern.ip_state x WHERE x.unit = c.unit FOR UPDATE;
    UPDATE postern.statement SET settled_at = postern.now(), settled_by = p_actor
     WHERE id = p_statement_id AND settled_at IS NULL RETURNING * INTO s;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('action', 'ignored', 'message', 'It is settled already');
    END IF;
    PERFORM postern.audit(p_actor, 'reply', c.unit, jsonb_build_object('case', c.public_id, 'statement_id', s.id, 'as', p_as));
    IF p_as <> 'noted' THEN
        v_result := postern.make_statement(c.unit, c.customer, p_as, s.text);
    END IF;
    IF NOT EXISTS (SELECT FROM postern.statement x WHERE x.case_id = c.id AND x.kind = 'reply' AND x.settled_at IS NULL) THEN
        PERFORM postern.settle_alarm('reply', c.public_id);
    END IF;
    RETURN v_result;
END
$$;
COMMENT ON FUNCTION postern.settle_reply(bigint, text, text) IS 'A person has read a reply: fixed or disputed makes it the customer''s statement, noted leaves it at that';

GRANT SELECT ON api_v1.replies TO postern_analyst, postern_officer, postern_auditor;
GRANT EXECUTE ON FUNCTION postern.settle_reply(bigint, text, text) TO postern_officer;
GRANT EXECUTE ON FUNCTION postern.record_evidence(int, bigint, text, text, text, text, inet, int, timestamptz, timestamptz, text, text, text, boolean, text, text, int, bigint, bytea, text, text, text, text) TO postern_ingest;

RESET ROLE;
