-- SPDX-License-Identifier: Apache-2.0
-- Before a hoster goes to enforce: what would have been done, unit by unit, and what is not ready.

SET LOCAL ROLE postern_owner;

CREATE FUNCTION postern.shadow_week(OUT unit postern.unit, OUT customer text, OUT customer_name text, OUT action text,
        OUT first_at timestamptz, OUT times bigint, OUT reason text, OUT since text) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT s.unit, s.customer, u.name, s.action, min(s.at), sum(s.times), (array_agg(split_part(s.reason, E'\n', 1) ORDER BY s.at DESC))[1],
           CASE WHEN EXISTS (SELECT FROM postern.audit_event e WHERE e.unit = s.unit AND e.event = 'review'
                                AND e.detail ->> 'false_positive' = 'true' AND e.at >= min(s.at)) THEN 'false alarm'
                WHEN EXISTS (SELECT FROM postern.exemption e WHERE e.net >>= s.unit AND e.during @> postern.now()) THEN 'exempt'
                WHEN EXISTS (SELECT FROM postern.never_block n WHERE n.net >>= s.unit) THEN 'never-block' ELSE '' END
      FROM postern.shadow_action s LEFT JOIN postern.customer u ON u.id = s.customer
     WHERE s.at > postern.now() - interval '7 days'
     GROUP BY s.unit, s.customer, u.name, s.action
$$;
COMMENT ON FUNCTION postern.shadow_week() IS 'What would have been done in the last 7 days, a row for each unit, tenant and action; since: what a person has done about it (false alarm, exempt, never-block)';

CREATE FUNCTION postern.enforce_readiness(OUT what text, OUT remedy text) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    WITH mode AS (SELECT coalesce((SELECT max(e.at) FROM postern.audit_event e WHERE e.event = 'mode' AND e.detail ->> 'new' = 'shadow'),
                                  (SELECT e.at FROM postern.audit_event e ORDER BY e.id LIMIT 1), postern.now()) AS since),
    people AS (SELECT count(*) AS n, count(*) FILTER (WHERE NOT EXISTS (SELECT FROM postern.contact k WHERE k.customer = c.id)) AS silent
                 FROM postern.customer c WHERE c.removed_at IS NULL)
    SELECT x.what, x.remedy FROM (
        SELECT 1, format('shadow mode has run for %s: seven days are the least in which the detector learns what is usual',
                         postern.duration_text(date_trunc('hour', greatest(postern.now() - m.since, interval '1 hour')))), 'wait'
          FROM mode m WHERE m.since > postern.now() - interval '7 days'
        UNION ALL
        SELECT 2, 'no network is ours: nothing is ever judged', 'postern networks add'
         WHERE NOT EXISTS (SELECT FROM postern.networks_in_force)
        UNION ALL
        SELECT 3, 'mails would come from ' || postern.setting('mail.from') || ', bounces go to ' || postern.setting('mail.bounce'),
               'SELECT postern.set_setting(''mail.from'', …), mail.bounce, mail.domain'
         WHERE concat(postern.setting('mail.from'), postern.setting('mail.bounce'), postern.setting('mail.domain')) LIKE '%localhost%'
        UNION ALL
        SELECT 4, 'nothing would be closed in the network: adapter null alone is enabled', 'postern enforcement enable hook'
         WHERE NOT EXISTS (SELECT FROM postern.adapter a WHERE a.enabled AND a.name <> 'null')
        UNION ALL
        SELECT 5, 'setting enforcement is ' || postern.setting('enforcement'), 'postern enforcement start'
         WHERE postern.setting('enforcement') <> 'on'
        UNION ALL
        SELECT 6, 'the breaker is open: nobody is warned or blocked', 'SELECT postern.set_setting(''breaker'', ''closed'', ''me'')'
         WHERE postern.setting('breaker') = 'open'
        UNION ALL
        SELECT 7, format('%s of %s customers have no contact: they would be blocked without being told, and never warned', p.silent, p.n),
               'add contacts to the list and import it'
          FROM people p WHERE p.silent > 0
        UNION ALL
        SELECT 8, 'never_block is empty: nothing protects our own resolvers, relays and monitoring', 'SELECT postern.never_block_add(…)'
         WHERE NOT EXISTS (SELECT FROM postern.never_block)
        UNION ALL
        SELECT 9, format('%s mails wait from an earlier time in this mode and would leave at once', count(*)), 'SELECT * FROM api_v1.mail_status'
          FROM postern.outbox o WHERE o.state IN ('pending', 'sending') HAVING count(*) > 0
    ) AS x (place, what, remedy) ORDER BY x.place
$$;
COMMENT ON FUNCTION postern.enforce_readiness() IS 'What is not ready for mode enforce, with what to do; no row: all is';
GRANT EXECUTE ON FUNCTION postern.shadow_week(), postern.enforce_readiness() TO postern_officer, postern_monitor, postern_auditor;

RESET ROLE;
