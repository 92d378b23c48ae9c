-- SPDX-License-Identifier: Apache-2.0
-- Plans at the size of a hoster: a million blocks, ten million rows of activity.
--
-- Where a kind of plan is switched off, PostgreSQL 15 prices what it takes instead at ten thousand
-- millions, and then finds it worth compiling: half a second for each import, 17 ms for each case that
-- is closed. Nothing here runs long enough to be compiled.

SET LOCAL ROLE postern_owner;

ALTER FUNCTION postern.apply_verdict(bigint) SET jit = off;
ALTER FUNCTION postern.apply_complaint(bigint) SET jit = off;
ALTER FUNCTION postern.fire_timer(bigint) SET jit = off;
ALTER FUNCTION postern.tell_owners(bigint[]) SET jit = off;

-- A case that closes looks for its unit; the mails of a case that wait were looked for among all that
-- wait; the end of a unit's last block among all of its blocks.
CREATE INDEX ip_state_case ON postern.ip_state (case_id) WHERE case_id IS NOT NULL;
CREATE INDEX outbox_open ON postern.outbox (case_id) WHERE state IN ('pending', 'sending');
CREATE INDEX block_unit ON postern.block (unit, upper(during));
-- A day of a month: rows come in the order of time, so a few bytes for 128 pages say enough.
CREATE INDEX smtp_activity_bucket ON postern.smtp_activity USING brin (bucket) WITH (autosummarize = on);

-- Called twenty times for each mail, as PL/pgSQL they keep their plans (0017).
CREATE OR REPLACE FUNCTION postern.time_text(p_at timestamptz, p_tz text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    RETURN to_char(p_at AT TIME ZONE p_tz, 'YYYY-MM-DD HH24:MI') || ' ' || p_tz;
END
$$;
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.prosrc, pg_get_functiondef(p.oid) AS text
          FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
         WHERE p.pronamespace = 'postern'::regnamespace AND l.lanname = 'sql'
           AND p.proname IN ('confirmed', 'mail_evidence', 'time_json', 'worst_category')
    LOOP
        EXECUTE replace(replace(f.text, E'\n LANGUAGE sql', E'\n LANGUAGE plpgsql'), f.prosrc,
            format(E'\nBEGIN\n    RETURN (%s\n    );\nEND\n', rtrim(f.prosrc, E' ;\n')));
    END LOOP;
END
$$;

-- ------------------------------------------------------------------------- what the abuse team asks

-- Reads only, so several processes may add up for one question.
ALTER FUNCTION postern.tenancy_at(inet, timestamptz) PARALLEL SAFE;
CREATE OR REPLACE FUNCTION api_v1.top_senders_between(from_time timestamptz, to_time timestamptz,
        OUT unit inet, OUT customer text, OUT customer_name text, OUT sessions bigint, OUT destinations bigint,
        OUT bytes bigint, OUT failed bigint, OUT failed_share numeric, OUT ports int[], OUT state text) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
    SET jit = off
AS $$
    -- Who they are, by the least that tells; then everything about these only.
    WITH most AS MATERIALIZED (
        SELECT a.unit FROM postern.smtp_activity a
         WHERE a.bucket >= from_time AND a.bucket < to_time
         GROUP BY a.unit ORDER BY sum(a.sessions) DESC, a.unit LIMIT 1000),
    sums AS (
        SELECT a.unit, sum(a.sessions)::bigint AS sessions, sum(a.destinations)::bigint AS destinations,
               sum(a.bytes)::bigint AS bytes, sum(a.failed)::bigint AS failed, bit_or(a.ports) AS ports
          FROM most m JOIN postern.smtp_activity a ON a.unit = m.unit AND a.bucket >= from_time AND a.bucket < to_time
         GROUP BY a.unit)
    SELECT m.unit::inet, t.customer, u.name, m.sessions, m.destinations, m.bytes, m.failed,
           round(m.failed::numeric / nullif(m.sessions, 0), 3),
           ARRAY(SELECT p FROM (VALUES (1, 25), (2, 465), (4, 587), (8, 2525)) AS b (bit, p) WHERE m.ports & b.bit <> 0),
           coalesce(s.state, 'clear')
      FROM sums m
      LEFT JOIN LATERAL postern.tenancy_at(m.unit, to_time) AS t ON true
      LEFT JOIN postern.customer u ON u.id = t.customer
      LEFT JOIN postern.ip_state s ON s.unit = m.unit
     ORDER BY m.sessions DESC, m.unit
$$;

CREATE OR REPLACE VIEW api_v1.repeat_offenders AS
    SELECT o.customer, u.name AS customer_name, o.blocks, o.units, o.highest_level, o.first_block, o.last_block, o.open_now
      FROM (SELECT i.customer, sum(i.blocks)::bigint AS blocks, count(*) AS units, max(i.level) AS highest_level,
                   min(i.first_block) AS first_block, max(i.last_block) AS last_block, sum(i.open_now)::bigint AS open_now
              FROM (SELECT b.customer, b.unit, count(*) AS blocks, max(b.level) AS level, min(lower(b.during)) AS first_block,
                           max(lower(b.during)) AS last_block, count(*) FILTER (WHERE upper_inf(b.during)) AS open_now
                      FROM postern.block b
                     WHERE NOT b.false_positive AND lower(b.during) > postern.now() - interval '365 days'
                     GROUP BY b.customer, b.unit) AS i
             GROUP BY i.customer HAVING sum(i.blocks) > 1) AS o
      JOIN postern.customer u ON u.id = o.customer;

-- Months as rows: a question about some of them reads the blocks of these only.
CREATE FUNCTION postern.block_months() RETURNS SETOF timestamp
    LANGUAGE sql STABLE SECURITY DEFINER
    ROWS 12
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT generate_series(date_trunc('month', (SELECT min(lower(b.during)) FROM postern.block b) AT TIME ZONE 'UTC'),
                           postern.now() AT TIME ZONE 'UTC', '1 month')
$$;
COMMENT ON FUNCTION postern.block_months() IS 'First moments (UTC) of the months from the first block until now';
GRANT EXECUTE ON FUNCTION postern.block_months() TO postern_analyst, postern_officer, postern_auditor;
CREATE OR REPLACE VIEW api_v1.false_positive_rate AS
    SELECT m.month AT TIME ZONE 'UTC' AS month, b.cause, coalesce(v.band, '-') AS band, coalesce(v.pair, '-') AS pair,
           count(*) AS blocks, count(*) FILTER (WHERE b.false_positive) AS false_positives,
           round(100.0 * count(*) FILTER (WHERE b.false_positive) / count(*), 2) AS false_positive_percent
      FROM postern.block_months() AS m (month)
      JOIN postern.block b ON lower(b.during) >= m.month AT TIME ZONE 'UTC'
                          AND lower(b.during) < (m.month + interval '1 month') AT TIME ZONE 'UTC'
      LEFT JOIN postern.verdict v ON v.id = b.verdict_id
     GROUP BY m.month, b.cause, 3, 4;

RESET ROLE;

-- For everyone who asks: compiling takes longer than most answers. The database belongs to whoever
-- made it; where that is somebody else, it stays as it is.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;
