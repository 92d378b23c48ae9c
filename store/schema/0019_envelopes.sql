-- SPDX-License-Identifier: Apache-2.0
-- What the scorer learned of units, and what waits to be learned; and that people's decisions about
-- it reach the scorer.

SET LOCAL ROLE postern_owner;

CREATE TABLE postern.unit_envelope (
    unit postern.unit NOT NULL,
    owner bigint NOT NULL DEFAULT 0,
    partition int NOT NULL CHECK (partition >= -1),
    since bigint NOT NULL CHECK (since >= -1),
    day date NOT NULL,
    first_day date NOT NULL,
    mail_day date NOT NULL,
    confirmed_day date,
    mail_days int NOT NULL CHECK (mail_days >= 0),
    flags int NOT NULL,
    smtp_sampling double precision CHECK (smtp_sampling >= 1),
    smtp_days int,
    smtp_most double precision[] CHECK (cardinality(smtp_most) = 10),
    smtp_target double precision[] CHECK (cardinality(smtp_target) = 10),
    smtp_mean double precision[] CHECK (cardinality(smtp_mean) = 4),
    submission_sampling double precision CHECK (submission_sampling >= 1),
    submission_days int,
    submission_most double precision[] CHECK (cardinality(submission_most) = 10),
    submission_target double precision[] CHECK (cardinality(submission_target) = 10),
    submission_mean double precision[] CHECK (cardinality(submission_mean) = 4),
    updated_at timestamptz NOT NULL DEFAULT postern.now(),
    PRIMARY KEY (unit, owner)
);
CREATE INDEX unit_envelope_partition ON postern.unit_envelope (partition, unit, owner);
COMMENT ON TABLE postern.unit_envelope IS 'What each sending unit usually does, in sightings: learned day by day, written by the scorer, read by it where the bus no longer reaches back';
COMMENT ON COLUMN postern.unit_envelope.unit IS 'A unit; where owner is not 0, the neighbourhood (/24, /56) of one customer';
COMMENT ON COLUMN postern.unit_envelope.owner IS 'Hash of the customer whose neighbourhood it is; 0: a unit';
COMMENT ON COLUMN postern.unit_envelope.partition IS 'Of the bus; -1: whichever it belongs to, after the number of partitions changed';
COMMENT ON COLUMN postern.unit_envelope.since IS 'Position of its first sighting in postern.smtp: while the bus still holds that, the log tells everything; -1: before the log';
COMMENT ON COLUMN postern.unit_envelope.day IS 'At whose beginning (UTC, event time) this was in force';
COMMENT ON COLUMN postern.unit_envelope.mail_days IS 'Days with mail that were learned, counted up to 3: from then on it is not cold';
COMMENT ON COLUMN postern.unit_envelope.confirmed_day IS 'Last day on which a complaint, a listing or a confirmed block spoke against it';
COMMENT ON COLUMN postern.unit_envelope.flags IS 'The scorer''s own: days withheld, what was learned of a newcomer';
COMMENT ON COLUMN postern.unit_envelope.smtp_sampling IS 'Effective N of 1:N under which it was counted; NULL: nothing learned on port 25';
COMMENT ON COLUMN postern.unit_envelope.smtp_most IS 'Its usual most: sessions in 10 s, 60 s, 5 min, 30 min, 3 h, then destinations in the same windows';
COMMENT ON COLUMN postern.unit_envelope.smtp_target IS 'Where smtp_most moves to, at most four times a day: decayed maximum, half-life 14 days';
COMMENT ON COLUMN postern.unit_envelope.smtp_mean IS 'A day: sessions and destinations over 14 days, then the same with half-life one day';

CREATE TABLE postern.unit_waiting (
    unit postern.unit NOT NULL,
    owner bigint NOT NULL DEFAULT 0,
    day date NOT NULL,
    partition int NOT NULL CHECK (partition >= -1),
    fate text NOT NULL CHECK (fate IN ('waiting', 'learned', 'false-positive', 'confirmed', 'dropped')),
    smtp_sampling double precision NOT NULL,
    smtp_most double precision[] NOT NULL CHECK (cardinality(smtp_most) = 10),
    smtp_count bigint[] NOT NULL CHECK (cardinality(smtp_count) = 2),
    submission_sampling double precision NOT NULL,
    submission_most double precision[] NOT NULL CHECK (cardinality(submission_most) = 10),
    submission_count bigint[] NOT NULL CHECK (cardinality(submission_count) = 2),
    withheld_at timestamptz NOT NULL DEFAULT postern.now(),
    decided_at timestamptz,
    PRIMARY KEY (unit, owner, day)
);
CREATE INDEX unit_waiting_open ON postern.unit_waiting (partition, unit, owner, day) WHERE fate = 'waiting';
COMMENT ON TABLE postern.unit_waiting IS 'Days whose traffic stood out and is not learned before somebody or a week decided. Rows stay as record of what became of them';
COMMENT ON COLUMN postern.unit_waiting.fate IS 'waiting; learned: seven days without a confirmation; false-positive: an officer said so, learned; confirmed: complaint, listing or confirmed block, dropped; dropped: reassigned, forgotten or no room';
COMMENT ON COLUMN postern.unit_waiting.smtp_most IS 'Largest windows of the day, as in unit_envelope';
COMMENT ON COLUMN postern.unit_waiting.smtp_count IS 'Sessions and destinations of the day, as sampled';

GRANT SELECT, INSERT, UPDATE, DELETE ON postern.unit_envelope TO postern_ingest;
GRANT SELECT, INSERT, UPDATE ON postern.unit_waiting TO postern_ingest;
GRANT SELECT ON postern.unit_envelope, postern.unit_waiting TO postern_officer, postern_analyst;

-- ------------------------------------------------------------------ decisions reach the detector

ALTER TABLE postern.scorer_input DROP CONSTRAINT scorer_input_kind_check;
ALTER TABLE postern.scorer_input ADD CONSTRAINT scorer_input_kind_check
    CHECK (kind IN ('released', 'exempted', 'false_positive', 'unit_len', 'reassigned', 'confirmed', 'assigned'));

CREATE FUNCTION postern.confirm_spam() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_unit postern.unit;
BEGIN
    IF TG_ARGV[0] = 'case' THEN
        SELECT c.unit INTO v_unit FROM postern.spam_case c WHERE c.id = NEW.case_id;
    ELSE
        v_unit := NEW.unit;
    END IF;
    IF v_unit IS NOT NULL THEN
        INSERT INTO postern.scorer_input (kind, unit, created_at) VALUES ('confirmed', v_unit, postern.now());
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.confirm_spam() IS 'Trigger: something says that what the unit sent was spam; the detector does not learn what it withheld. Argument: unit or case, where the unit stands';

-- One report of somebody whom we know and whose mail we could verify; or as many as warn.
CREATE TRIGGER confirm_spam AFTER UPDATE OF counted ON postern.complaint FOR EACH ROW
    WHEN (NEW.counted AND OLD.counted IS DISTINCT FROM NEW.counted AND NEW.authenticated AND NEW.enrolled)
    EXECUTE FUNCTION postern.confirm_spam('unit');
CREATE TRIGGER confirm_spam AFTER INSERT ON postern.warning FOR EACH ROW
    WHEN (NEW.cause = 'complaint') EXECUTE FUNCTION postern.confirm_spam('unit');
-- The customer says that it was so, a deadline passed and the mail went on, or it began again.
CREATE TRIGGER confirm_spam AFTER INSERT ON postern.statement FOR EACH ROW
    WHEN (NEW.kind = 'fixed') EXECUTE FUNCTION postern.confirm_spam('case');
CREATE TRIGGER confirm_spam AFTER INSERT ON postern.block FOR EACH ROW
    WHEN (NEW.cause IN ('deadline', 'relapse')) EXECUTE FUNCTION postern.confirm_spam('unit');
-- A listing, or a person who proposes a freeze.
CREATE TRIGGER confirm_spam AFTER INSERT ON postern.freeze_proposal FOR EACH ROW
    EXECUTE FUNCTION postern.confirm_spam('unit');

-- A false alarm can be called one where nothing was done: in shadow mode, or after the customer
-- unblocked. That is a review, for the detector and the audit.
CREATE OR REPLACE FUNCTION postern.ip_release(p_unit inet, p_reason text, p_false_positive boolean, p_actor text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_unit postern.unit := postern.find_unit(p_unit);
BEGIN
    IF coalesce(btrim(p_reason), '') = '' THEN
        RAISE EXCEPTION 'a release needs a reason' USING ERRCODE = 'PT006';
    END IF;
    IF p_false_positive AND EXISTS (SELECT FROM postern.ip_state s WHERE s.unit = v_unit AND s.state = 'clear') THEN
        PERFORM FROM postern.ip_state s WHERE s.unit = v_unit FOR UPDATE;
        INSERT INTO postern.scorer_input (kind, unit, created_at) VALUES ('false_positive', v_unit, postern.now());
        PERFORM postern.audit(p_actor, 'review', v_unit,
            jsonb_build_object('false_positive', true, 'reason', btrim(p_reason)));
        RETURN jsonb_build_object('action', 'noted', 'state', 'clear', 'unit', postern.unit_text(v_unit),
            'message', 'nothing was closed; the detector learns that it was a false alarm');
    END IF;
    RETURN postern.officer_event(p_unit, CASE WHEN p_false_positive THEN 'false_positive' ELSE 'released' END,
                                 p_actor, jsonb_build_object('reason', btrim(p_reason)));
END
$$;
COMMENT ON FUNCTION postern.ip_release(inet, text, boolean, text) IS 'An officer releases a block or withdraws a warning. false_positive: the level does not count, the detector hears of it, also where nothing was done (shadow mode). {action: unblocking | withdrawn | noted | ignored | refused | not-found, message, state}';

RESET ROLE;
