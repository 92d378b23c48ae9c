-- SPDX-License-Identifier: Apache-2.0
-- What goes after a while is said once: expirable() counts by the same rules by which expire() takes.

SET LOCAL ROLE postern_owner;

CREATE FUNCTION postern.retention_rules(OUT what text, OUT place text, OUT aged_by text, OUT kept_for text, OUT due text, OUT change text) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $rules$
    VALUES
    ('flows of cases', 'evidence', 'at', 'retention.evidence_days', $$x.kind = 'flow'$$, NULL),
    ('flows of verdicts', 'verdict', 'crossed_at', 'retention.evidence_days', $$x.samples <> '[]'$$, $$samples = '[]'$$),
    ('Message-IDs of cases', 'evidence', 'at', 'retention.hash_days',
     $$x.message_id IS NOT NULL AND x.message_id NOT LIKE 'hash:%'$$,
     $$message_id = postern.hashed(t.message_id)$$),
    ('Message-IDs and senders of complaints', 'complaint', 'received_at', 'retention.hash_days',
     $$(x.message_id NOT LIKE 'hash:%' OR x.sender NOT LIKE 'hash:%') AND x.applied_at IS NOT NULL$$,
     $$message_id = postern.hashed(t.message_id), sender = postern.hashed(t.sender)$$),
    -- The occasion's name ends with the mailbox; what a mail says holds Message-IDs, and what the server
    -- said to it mailboxes. A digest goes when all of its cases are closed.
    ('recipients of mails', 'outbox', 'created_at', 'retention.hash_days',
     $$x.contact_email NOT LIKE 'hash:%' AND x.state NOT IN ('pending', 'sending')
       AND NOT EXISTS (SELECT FROM postern.spam_case s WHERE s.id = x.case_id AND s.closed_at IS NULL)
       AND NOT EXISTS (SELECT FROM postern.outbox p JOIN postern.spam_case s ON s.id = p.case_id
                        WHERE p.digest_id = x.id AND s.closed_at IS NULL)$$,
     $$contact_email = postern.hashed(t.contact_email), detail = NULL,
       vars = t.vars - '{evidence,reasons,reason_facts,units}'::text[],
       dedup_key = left(t.dedup_key, -length(t.contact_email)) || postern.hashed(t.contact_email)$$),
    ('answers to our mails', 'complaint', 'received_at', 'retention.evidence_days',
     $$x.said IS NOT NULL AND x.applied_at IS NOT NULL$$, $$said = NULL$$),
    -- That something was said stays.
    ('texts of statements', 'statement', 'made_at', 'retention.evidence_days',
     $$x.text <> '' AND EXISTS (SELECT FROM postern.spam_case s WHERE s.id = x.case_id AND s.closed_at < $1)$$, $$text = ''$$),
    ('senders of replies', 'statement', 'made_at', 'retention.hash_days',
     $$x.kind = 'reply' AND x.actor NOT LIKE 'hash:%'
       AND EXISTS (SELECT FROM postern.spam_case s WHERE s.id = x.case_id AND s.closed_at < $1)$$,
     $$actor = postern.hashed(t.actor)$$),
    ('mailboxes in alarms', 'noc_alarm', 'cleared_at', 'retention.hash_days',
     $$x.kind IN ('mail-failed', 'mail-uncertain', 'reply') AND x.detail <> ''$$, $$detail = ''$$)
$rules$;
COMMENT ON FUNCTION postern.retention_rules() IS 'What is not kept for ever: rows of a table whose column aged_by is older than a setting says, and that are due (x: the row, $1: that time); what changes of them (t), or NULL: they go. Months of activity go by themselves';

CREATE OR REPLACE FUNCTION postern.expirable(OUT what text, OUT rows bigint) RETURNS SETOF record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT x.* FROM postern.retention_rules() AS x LOOP
        EXECUTE format('SELECT count(*) FROM postern.%I x WHERE %s AND x.%I < $1', r.place, r.due, r.aged_by)
           INTO rows USING postern.now() - make_interval(days => postern.setting(r.kept_for)::int);
        what := r.what; RETURN NEXT;
    END LOOP;
    what := 'months of activity';
    rows := (SELECT count(*) FROM postern.expired_months);
    RETURN NEXT;
END
$$;

CREATE OR REPLACE FUNCTION postern.expire(p_max int, OUT what text, OUT rows bigint) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT x.* FROM postern.retention_rules() AS x LOOP
        EXECUTE format(CASE WHEN r.change IS NULL THEN 'DELETE FROM postern.%1$I t' ELSE 'UPDATE postern.%1$I t SET %4$s' END
            || ' WHERE t.id IN (SELECT x.id FROM postern.%1$I x WHERE %2$s AND x.%3$I < $1'
            || ' ORDER BY x.%3$I LIMIT $2 FOR UPDATE SKIP LOCKED)', r.place, r.due, r.aged_by, r.change)
          USING postern.now() - make_interval(days => postern.setting(r.kept_for)::int), p_max;
        GET DIAGNOSTICS rows = ROW_COUNT;
        what := r.what; RETURN NEXT;
    END LOOP;
    what := 'months of activity';
    rows := (SELECT count(*) FROM (SELECT m.name FROM postern.expired_months m ORDER BY m.ended LIMIT 1) AS m
              WHERE postern.drop_month(m.name));
    RETURN NEXT;
END
$$;

RESET ROLE;
