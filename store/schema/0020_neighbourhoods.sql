-- SPDX-License-Identifier: Apache-2.0
-- The scorer hears which nets of several units belong to one customer: spam that is spread thinly
-- over a /24 (/56) is judged as one.

SET LOCAL ROLE postern_owner;

ALTER TABLE postern.scorer_input ADD COLUMN owner bigint;
COMMENT ON COLUMN postern.scorer_input.owner IS 'assigned: hash of the customer whose net it is; 0: nobody''s any more';

CREATE FUNCTION postern.owner_hash(p_customer text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT hashtextextended(p_customer, 0) & 9223372036854775807 | 1';
COMMENT ON FUNCTION postern.owner_hash(text) IS 'How the scorer knows a customer: it needs to tell them apart, not to name them';

CREATE FUNCTION postern.neighbourhood(p_net inet) RETURNS inet
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT network(set_masklen(p_net, least(masklen(p_net), CASE family(p_net) WHEN 4 THEN 24 ELSE 56 END)))::inet';
COMMENT ON FUNCTION postern.neighbourhood(inet) IS 'The /24 or /56 that holds a net; a wider net is itself';

CREATE FUNCTION postern.tell_owners(p_ids bigint[]) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
    -- 100,000 tenancies in one statement, of which the planner knows nothing yet.
    SET enable_nestloop = off
AS $$
    WITH fresh AS MATERIALIZED (
        SELECT a.net, a.customer, masklen(a.net) < a.unit_len AS wide
          FROM unnest(p_ids) AS i (id) JOIN postern.ip_assignment a ON a.id = i.id WHERE upper_inf(a.during)),
    -- Ids grow, and imports wait for one another: what is new has the highest.
    oldest AS MATERIALIZED (SELECT min(i.id) AS id FROM unnest(p_ids) AS i (id)),
    -- A single unit is no neighbourhood before the second one; the first is told then.
    single AS MATERIALIZED (
        SELECT a.net, a.customer, postern.neighbourhood(a.net) AS hood, a.id >= o.id AS is_new
          FROM postern.ip_assignment a, oldest o
         WHERE a.customer IN (SELECT f.customer FROM fresh f WHERE NOT f.wide)
           AND upper_inf(a.during) AND masklen(a.net) >= a.unit_len),
    hood AS (
        SELECT customer, hood, count(*) FILTER (WHERE NOT is_new) AS known, count(*) FILTER (WHERE is_new) AS fresh
          FROM single GROUP BY customer, hood HAVING count(*) > 1)
    INSERT INTO postern.scorer_input (kind, unit, owner, created_at)
    SELECT 'assigned', t.net, postern.owner_hash(t.customer), postern.now()
      FROM (SELECT net, customer FROM fresh WHERE wide
            UNION ALL
            SELECT s.net, s.customer FROM single s JOIN hood h USING (customer, hood)
             WHERE h.fresh > 0 AND (s.is_new OR h.known = 1)) AS t
     ORDER BY t.net
$$;
COMMENT ON FUNCTION postern.tell_owners(bigint[]) IS 'Tenancies that began: the scorer hears of those that could be part of a neighbourhood';

CREATE FUNCTION postern.tenancies_began() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    PERFORM postern.tell_owners((SELECT array_agg(id) FROM new_rows));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.tenancies_began() IS 'Trigger: see tell_owners()';
CREATE TRIGGER tenancies_began AFTER INSERT ON postern.ip_assignment
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION postern.tenancies_began();

CREATE FUNCTION postern.tenancies_ended() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    INSERT INTO postern.scorer_input (kind, unit, owner, created_at)
    SELECT 'assigned', n.net, 0, postern.now()
      FROM new_rows n JOIN old_rows o USING (id)
     WHERE upper_inf(o.during) AND NOT upper_inf(n.during) ORDER BY n.net;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.tenancies_ended() IS 'Trigger: the scorer hears of nets that are nobody''s any more';
CREATE TRIGGER tenancies_ended AFTER UPDATE ON postern.ip_assignment
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION postern.tenancies_ended();

-- What is in force already.
DO $$
BEGIN
    PERFORM postern.tell_owners((SELECT array_agg(id) FROM postern.ip_assignment));
END
$$;

RESET ROLE;
