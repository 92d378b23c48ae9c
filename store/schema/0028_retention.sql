-- SPDX-License-Identifier: Apache-2.0
-- What is not kept for ever. Blocks, cases, warnings, freezes and the audit are; the flows they
-- rested on, Message-IDs, mailboxes and traffic go after a while, in small transactions.

SET LOCAL ROLE postern_owner;

INSERT INTO postern.setting (key, value, kind, low, high, note) VALUES
 ('retention.evidence_days', '90', 'int', 31, 3650, 'Flows of cases and verdicts (times, destinations, ports) are kept for so long, days'),
 ('retention.hash_days', '30', 'int', 30, 3650, 'Message-IDs of spam, senders of replies and recipients of our mails of closed cases become hashes after so long, days'),
 ('retention.activity_months', '13', 'int', 2, 120, 'What each unit sent is kept for so long, whole months');

CREATE TABLE postern.hash_key (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    key bytea NOT NULL
);
COMMENT ON TABLE postern.hash_key IS 'Secret of this installation: without it nobody can try mailboxes against the hashes. Drawn once';
COMMENT ON COLUMN postern.hash_key.key IS 'Random';
REVOKE ALL ON postern.hash_key FROM postern_auditor;
INSERT INTO postern.hash_key (key) SELECT sha256(string_agg(gen_random_uuid()::text, '')::bytea) FROM generate_series(1, 4);

CREATE FUNCTION postern.hashed(p_text text) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE WHEN p_text LIKE 'hash:%' THEN p_text
                ELSE 'hash:' || left(encode(sha256(k.key || convert_to(lower(p_text), 'UTF8')), 'hex'), 32) END
      FROM postern.hash_key k
$$;
COMMENT ON FUNCTION postern.hashed(text) IS 'hash:… instead of a Message-ID or mailbox. The same text gives the same hash, so what belongs together still does';

CREATE INDEX evidence_flow_at ON postern.evidence (at) WHERE kind = 'flow';
CREATE INDEX evidence_named ON postern.evidence (at) WHERE message_id IS NOT NULL AND message_id NOT LIKE 'hash:%';
CREATE INDEX verdict_samples ON postern.verdict (crossed_at) WHERE samples <> '[]';
CREATE INDEX complaint_named ON postern.complaint (received_at)
 WHERE message_id NOT LIKE 'hash:%' OR sender NOT LIKE 'hash:%';
CREATE INDEX outbox_named ON postern.outbox (created_at) WHERE contact_email NOT LIKE 'hash:%';

CREATE VIEW postern.expired_months AS
    SELECT p.name, p.month + interval '1 month' AS ended
      FROM (SELECT c.relname AS name, to_date(right(c.relname, 7), 'YYYY_MM') AS month
              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'postern.smtp_activity'::regclass AND c.relname ~ '^smtp_activity_\d{4}_\d{2}$') AS p
     WHERE p.month + interval '1 month' <= (postern.now() AT TIME ZONE 'UTC')
               - make_interval(months => postern.setting('retention.activity_months')::int);
COMMENT ON VIEW postern.expired_months IS 'Partitions of smtp_activity whose whole month is older than setting retention.activity_months';
COMMENT ON COLUMN postern.expired_months.ended IS 'End of its month, UTC';

CREATE FUNCTION postern.expirable(OUT what text, OUT rows bigint) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    WITH old AS (SELECT postern.now() - make_interval(days => postern.setting('retention.evidence_days')::int) AS flows,
                        postern.now() - make_interval(days => postern.setting('retention.hash_days')::int) AS names)
    SELECT 'flows of cases', count(*) FROM old, postern.evidence e WHERE e.kind = 'flow' AND e.at < old.flows
    UNION ALL
    SELECT 'flows of verdicts', count(*) FROM old, postern.verdict v WHERE v.samples <> '[]' AND v.crossed_at < old.flows
    UNION ALL
    SELECT 'Message-IDs of cases', count(*) FROM old, postern.evidence e
     WHERE e.message_id IS NOT NULL AND e.message_id NOT LIKE 'hash:%' AND e.at < old.names
    UNION ALL
    SELECT 'Message-IDs and senders of complaints', count(*) FROM old, postern.complaint c
     WHERE (c.message_id NOT LIKE 'hash:%' OR c.sender NOT LIKE 'hash:%') AND c.received_at < old.names
       AND c.applied_at IS NOT NULL
    UNION ALL
    SELECT 'recipients of mails', count(*) FROM old, postern.outbox o
     WHERE o.contact_email NOT LIKE 'hash:%' AND o.created_at < old.names AND o.state NOT IN ('pending', 'sending')
       AND NOT EXISTS (SELECT FROM postern.spam_case s WHERE s.id = o.case_id AND s.closed_at IS NULL)
    UNION ALL
    SELECT 'months of activity', count(*) FROM postern.expired_months
$$;
COMMENT ON FUNCTION postern.expirable() IS 'What expire() would take now, zeros included';

CREATE FUNCTION postern.drop_month(p_name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
    SET lock_timeout = '2s'
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM postern.expired_months m WHERE m.name = p_name) THEN
        RETURN false;
    END IF;
    EXECUTE format('ALTER TABLE postern.smtp_activity DETACH PARTITION postern.%I', p_name);
    EXECUTE format('DROP TABLE postern.%I', p_name);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false; -- somebody reads it for long: the scorer must not wait behind us, we come again
END
$$;
COMMENT ON FUNCTION postern.drop_month(text) IS 'Drops a month of activity that is old enough. false: it is not, or it is being read';

CREATE FUNCTION postern.expire(p_max int, OUT what text, OUT rows bigint) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_flows timestamptz := postern.now() - make_interval(days => postern.setting('retention.evidence_days')::int);
    v_names timestamptz := postern.now() - make_interval(days => postern.setting('retention.hash_days')::int);
BEGIN
    DELETE FROM postern.evidence e WHERE e.id IN (
        SELECT x.id FROM postern.evidence x WHERE x.kind = 'flow' AND x.at < v_flows
         ORDER BY x.at LIMIT p_max FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS rows = ROW_COUNT;
    what := 'flows of cases'; RETURN NEXT;
    UPDATE postern.verdict v SET samples = '[]' WHERE v.id IN (
        SELECT x.id FROM postern.verdict x WHERE x.samples <> '[]' AND x.crossed_at < v_flows
         ORDER BY x.crossed_at LIMIT p_max FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS rows = ROW_COUNT;
    what := 'flows of verdicts'; RETURN NEXT;
    UPDATE postern.evidence e SET message_id = postern.hashed(e.message_id) WHERE e.id IN (
        SELECT x.id FROM postern.evidence x
         WHERE x.message_id IS NOT NULL AND x.message_id NOT LIKE 'hash:%' AND x.at < v_names
         ORDER BY x.at LIMIT p_max FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS rows = ROW_COUNT;
    what := 'Message-IDs of cases'; RETURN NEXT;
    UPDATE postern.complaint c SET message_id = postern.hashed(c.message_id), sender = postern.hashed(c.sender)
     WHERE c.id IN (
        SELECT x.id FROM postern.complaint x
         WHERE (x.message_id NOT LIKE 'hash:%' OR x.sender NOT LIKE 'hash:%') AND x.received_at < v_names
           AND x.applied_at IS NOT NULL
         ORDER BY x.received_at LIMIT p_max FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS rows = ROW_COUNT;
    what := 'Message-IDs and senders of complaints'; RETURN NEXT;
    -- The occasion's name ends with the mailbox; the evidence in a mail's text holds Message-IDs.
    UPDATE postern.outbox o
       SET contact_email = postern.hashed(o.contact_email), vars = o.vars - 'evidence',
           dedup_key = left(o.dedup_key, -length(o.contact_email)) || postern.hashed(o.contact_email)
     WHERE o.id IN (
        SELECT x.id FROM postern.outbox x
         WHERE x.contact_email NOT LIKE 'hash:%' AND x.created_at < v_names AND x.state NOT IN ('pending', 'sending')
           AND NOT EXISTS (SELECT FROM postern.spam_case s WHERE s.id = x.case_id AND s.closed_at IS NULL)
         ORDER BY x.created_at LIMIT p_max FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS rows = ROW_COUNT;
    what := 'recipients of mails'; RETURN NEXT;
    what := 'months of activity';
    rows := (SELECT count(*) FROM (SELECT m.name FROM postern.expired_months m ORDER BY m.ended LIMIT 1) AS m
              WHERE postern.drop_month(m.name));
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION postern.expire(int) IS 'Takes away what is older than the settings retention.*, at most so many rows of each kind and one month of activity: call it again until it says 0. Blocks, cases, warnings, freezes and the audit are kept';

GRANT EXECUTE ON FUNCTION postern.expirable(), postern.expire(int) TO postern_desk, postern_officer;
-- For the copy of the freezes outside the database, and its comparison.
GRANT SELECT ON api_v1.freezes TO postern_desk, postern_monitor;

RESET ROLE;
