-- SPDX-License-Identifier: Apache-2.0
-- The place of the blocklist check before the first mail about complaints: the mail says whether the
-- address is listed, and waits for the answer, ten minutes at most. Nobody asks lists yet: the answer
-- is "unknown" at once, and nothing waits.

SET LOCAL ROLE postern_owner;

CREATE TABLE postern.listing_check (
    warning_id bigint PRIMARY KEY REFERENCES postern.warning (id),
    unit postern.unit NOT NULL,
    asked_at timestamptz NOT NULL,
    answer_by timestamptz NOT NULL,
    answered_at timestamptz,
    answer text CHECK (answer IN ('listed', 'not-listed', 'unknown')),
    zones text[] NOT NULL DEFAULT '{}',
    CHECK ((answered_at IS NULL) = (answer IS NULL))
);
CREATE INDEX listing_check_open ON postern.listing_check (asked_at) WHERE answered_at IS NULL;
COMMENT ON TABLE postern.listing_check IS 'Is a unit that was complained about on a blocklist? Its warning waits for the answer, until answer_by';
COMMENT ON COLUMN postern.listing_check.answer_by IS 'The mail goes out then, answered or not';
COMMENT ON COLUMN postern.listing_check.answer IS 'listed, not-listed, unknown; NULL: nobody has answered yet';
COMMENT ON COLUMN postern.listing_check.zones IS 'Lists that hold it';

CREATE FUNCTION postern.answer_listing(p_warning_id bigint, p_answer text, p_zones text[] DEFAULT '{}') RETURNS boolean
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
       SET next_at = least(o.next_at, postern.now()),
           vars = o.vars || jsonb_build_object('listing', p_answer, 'listing_zones', to_jsonb(coalesce(p_zones, '{}')))
     WHERE o.warning_id = p_warning_id AND o.kind = 'warning' AND o.state = 'pending' AND o.attempts = 0;
    RETURN true;
END
$$;
COMMENT ON FUNCTION postern.answer_listing(bigint, text, text[]) IS 'listed, not-listed or unknown: the warning''s mail says so and waits no longer. false: it was answered before';

CREATE FUNCTION postern.ask_listing(p_warning_id bigint, p_mail_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_by timestamptz := postern.now() + interval '10 minutes';
BEGIN
    INSERT INTO postern.listing_check (warning_id, unit, asked_at, answer_by)
    SELECT w.id, w.unit, postern.now(), v_by FROM postern.warning w WHERE w.id = p_warning_id;
    UPDATE postern.outbox SET next_at = v_by WHERE id = p_mail_id;
    -- Nobody asks lists yet.
    PERFORM postern.answer_listing(p_warning_id, 'unknown');
END
$$;
COMMENT ON FUNCTION postern.ask_listing(bigint, bigint) IS 'Asks whether a warned unit is listed; its mail waits for the answer, ten minutes at most';

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
        UPDATE postern.outbox SET next_at = m.at + make_interval(secs => postern.setting_number('mail.warning_hold'))
         WHERE id = v_mail_id;
    ELSE
        PERFORM postern.ask_listing(v_warning_id, v_mail_id);
    END IF;
    RETURN jsonb_build_object('action', 'warned', 'case_id', v_case_id, 'warning_id', v_warning_id);
END
$$;
COMMENT ON FUNCTION postern.effect_warn(postern.move) IS 'Case, warning, mail; the clock starts when the mail is accepted. The mail of a verdict waits for mail.warning_hold seconds, that of a complaint for the answer of the blocklists';

RESET ROLE;
