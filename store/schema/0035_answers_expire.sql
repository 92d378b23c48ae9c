-- SPDX-License-Identifier: Apache-2.0
-- What customers and mail servers answered is not kept for ever either: the words go with the flows, the
-- mailboxes in details and alarms with the other names. A digest goes when all of its cases are closed.

SET LOCAL ROLE postern_owner;

CREATE INDEX complaint_said ON postern.complaint (received_at) WHERE said IS NOT NULL;

UPDATE postern.setting SET note = 'Flows of cases and verdicts (times, destinations, ports), answers to our mails and the texts of statements are kept for so long, days'
 WHERE key = 'retention.evidence_days';

CREATE OR REPLACE FUNCTION postern.expirable(OUT what text, OUT rows bigint) RETURNS SETOF record
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
       AND NOT EXISTS (SELECT FROM postern.outbox p JOIN postern.spam_case s ON s.id = p.case_id WHERE p.digest_id = o.id AND s.closed_at IS NULL)
    UNION ALL
    SELECT 'answers to our mails', count(*) FROM old, postern.complaint c
     WHERE c.said IS NOT NULL AND c.applied_at IS NOT NULL AND c.received_at < old.flows
    UNION ALL
    SELECT 'texts of statements', count(*) FROM old, postern.statement t JOIN postern.spam_case s ON s.id = t.case_id
     WHERE t.text <> '' AND t.made_at < old.flows AND s.closed_at < old.flows
    UNION ALL
    SELECT 'senders of replies', count(*) FROM old, postern.statement t JOIN postern.spam_case s ON s.id = t.case_id
     WHERE t.kind = 'reply' AND t.actor NOT LIKE 'hash:%' AND t.made_at < old.names AND s.closed_at < old.names
    UNION ALL
    SELECT 'mailboxes in alarms', count(*) FROM old, postern.noc_alarm a
     WHERE a.kind IN ('mail-failed', 'mail-uncertain', 'reply') AND a.cleared_at < old.names AND a.detail <> ''
    UNION ALL
    SELECT 'months of activity', count(*) FROM postern.expired_months
$$;
COMMENT ON FUNCTION postern.expirable() IS 'What expire() would take now, zeros included';

CREATE OR REPLACE FUNCTION postern.expire(p_max int, OUT what text, OUT rows bigint) RETURNS SETOF record
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
    -- The occasion's name ends with the mailbox; what a mail says holds Message-IDs, and what the server
    -- said to it mailboxes.
    UPDATE postern.outbox o
       SET contact_email = postern.hashed(o.contact_email), detail = NULL,
           vars = o.vars - '{evidence,reasons,reason_facts,units}'::text[],
           dedup_key = left(o.dedup_key, -length(o.contact_email)) || postern.hashed(o.contact_email)
     WHERE o.id IN (
        SELECT x.id FROM postern.outbox x
         WHERE x.contact_email NOT LIKE 'hash:%' AND x.created_at < v_names AND x.state NOT IN ('pending', 'sending')
           AND NOT EXISTS (SELECT FROM postern.spam_case s WHERE s.id = x.case_id AND s.closed_at IS NULL)
       AND NOT EXISTS (SELECT FROM postern.outbox p JOIN postern.spam_case s ON s.id = p.case_id WHERE p.digest_id = x.id AND s.closed_at IS NULL)
         ORDER BY x.created_at LIMIT p_max FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS rows = ROW_COUNT;
    what := 'recipients of mails'; RETURN NEXT;
    UPDATE postern.complaint c SET said = NULL WHERE c.id IN (
        SELECT x.id FROM postern.complaint x
         WHERE x.said IS NOT NULL AND x.applied_at IS NOT NULL AND x.received_at < v_flows
         ORDER BY x.received_at LIMIT p_max FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS rows = ROW_COUNT;
    what := 'answers to our mails'; RETURN NEXT;
    -- That something was said stays.
    UPDATE postern.statement t SET text = '' WHERE t.id IN (
        SELECT x.id FROM postern.statement x JOIN postern.spam_case s ON s.id = x.case_id
         WHERE x.text <> '' AND x.made_at < v_flows AND s.closed_at < v_flows
         ORDER BY x.made_at LIMIT p_max FOR UPDATE OF x SKIP LOCKED);
    GET DIAGNOSTICS rows = ROW_COUNT;
    what := 'texts of statements'; RETURN NEXT;
    UPDATE postern.statement t SET actor = postern.hashed(t.actor) WHERE t.id IN (
        SELECT x.id FROM postern.statement x JOIN postern.spam_case s ON s.id = x.case_id
         WHERE x.kind = 'reply' AND x.actor NOT LIKE 'hash:%' AND x.made_at < v_names AND s.closed_at < v_names
         ORDER BY x.made_at LIMIT p_max FOR UPDATE OF x SKIP LOCKED);
    GET DIAGNOSTICS rows = ROW_COUNT;
    what := 'senders of replies'; RETURN NEXT;
    UPDATE postern.noc_alarm a SET detail = '' WHERE a.id IN (
        SELECT x.id FROM postern.noc_alarm x
         WHERE x.kind IN ('mail-failed', 'mail-uncertain', 'reply') AND x.cleared_at < v_names AND x.detail <> ''
         ORDER BY x.id LIMIT p_max FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS rows = ROW_COUNT;
    what := 'mailboxes in alarms'; RETURN NEXT;
    what := 'months of activity';
    rows := (SELECT count(*) FROM (SELECT m.name FROM postern.expired_months m ORDER BY m.ended LIMIT 1) AS m
              WHERE postern.drop_month(m.name));
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION postern.expire(int) IS 'Takes away what is older than the settings retention.*, at most so many rows of each kind and one month of activity: call it again until it says 0. Blocks, cases, warnings, freezes and the audit are kept; of statements, that they were made';

RESET ROLE;
