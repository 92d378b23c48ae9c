-- SPDX-License-Identifier: Apache-2.0
-- Address space that is sold: shown before it ends, its orders are withdrawn at once, and given again
-- if it comes back. Imports that overtake one another.

SET LOCAL ROLE postern_owner;

CREATE FUNCTION postern.network_end_preview(p_net cidr, OUT what text, OUT units bigint, OUT detail text) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    WITH other AS (SELECT n.net FROM postern.network n WHERE n.during @> postern.now() AND n.net <> p_net AND n.net && p_net)
    SELECT w.what, w.units, w.detail FROM (
        SELECT 1 AS place, 'network' AS what, count(*) AS units,
               min(coalesce('ours since ' || to_char(lower(n.during), 'YYYY-MM-DD'), 'ours always') || coalesce(', ' || nullif(n.note, ''), '')) AS detail
          FROM postern.network n WHERE n.net = p_net AND n.during @> postern.now()
        UNION ALL
        SELECT 2, 'stays', count(*), string_agg(o.net::text, ' ' ORDER BY o.net) FROM other o
        UNION ALL
        SELECT 3, 'assigned', count(*), count(DISTINCT a.customer) || ' customers'
          FROM postern.ip_assignment a WHERE a.net <<= p_net AND a.during @> postern.now()
           AND NOT EXISTS (SELECT FROM other o WHERE o.net >>= a.net)
        UNION ALL
        SELECT CASE s.state WHEN 'frozen' THEN 6 WHEN 'warned' THEN 5 ELSE 4 END, CASE s.state WHEN 'frozen' THEN 'frozen' WHEN 'warned' THEN 'warned' ELSE 'blocked' END,
               count(*), string_agg(postern.unit_text(s.unit), ' ' ORDER BY s.unit) FILTER (WHERE s.n <= 20) || CASE WHEN count(*) > 20 THEN ' …' ELSE '' END
          FROM (SELECT x.unit, x.state, row_number() OVER (PARTITION BY x.state ORDER BY x.unit) AS n FROM postern.ip_state x
                 WHERE x.unit <<= p_net AND x.state <> 'clear' AND NOT EXISTS (SELECT FROM other o WHERE o.net >>= x.unit)) AS s
         GROUP BY 1, 2) AS w
     WHERE w.units > 0 ORDER BY w.place
$$;
COMMENT ON FUNCTION postern.network_end_preview(cidr) IS 'What network_end() would leave behind. network: the row itself (missing: it is not ours); stays: other networks of ours that hold some of it; assigned; blocked, warned, frozen units';
GRANT EXECUTE ON FUNCTION postern.network_end_preview(cidr) TO postern_officer;

CREATE FUNCTION postern.order_net_again(p_net cidr) RETURNS int
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT coalesce(sum(postern.order_again(x.adapter, x.units, true)), 0)::int
      FROM (SELECT e.adapter, array_agg(e.unit::inet) AS units FROM postern.enforcement e
             WHERE e.unit >= p_net AND e.unit <= set_masklen(broadcast(p_net), CASE family(p_net) WHEN 4 THEN 32 ELSE 128 END)
               AND e.unit <<= p_net AND e.action <> 'open'
               AND (e.applied_action <> 'open') IS DISTINCT FROM postern.is_ours(e.unit, postern.now())
             GROUP BY e.adapter) AS x
$$;
COMMENT ON FUNCTION postern.order_net_again(cidr) IS 'Closed and no longer ours, or ours and open though it is wanted closed: these orders are due again. Returns how many';

CREATE OR REPLACE FUNCTION postern.network_add(p_net cidr, p_note text, p_actor text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF p_net <<= inet '::ffff:0.0.0.0/96' OR masklen(p_net) = 0 THEN
        RAISE EXCEPTION '% is no network of yours', p_net USING ERRCODE = 'PT006';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('postern.network'));
    IF EXISTS (SELECT FROM postern.network n WHERE n.net = p_net AND n.during @> postern.now()) THEN
        RETURN 'known';
    END IF;
    -- The first time an address is ours it always was; later times begin now.
    INSERT INTO postern.network (net, during, note, actor)
    VALUES (p_net,
            tstzrange(CASE WHEN EXISTS (SELECT FROM postern.network n WHERE n.net && p_net AND NOT n.during @> postern.now())
                           THEN greatest(postern.now(), (SELECT max(upper(n.during)) FROM postern.network n WHERE n.net = p_net)) END, NULL),
            coalesce(p_note, ''), coalesce(nullif(p_actor, ''), session_user));
    PERFORM postern.order_net_again(p_net);
    PERFORM postern.audit(p_actor, 'network-add', NULL, jsonb_build_object('net', p_net, 'note', p_note));
    PERFORM pg_notify('postern_work', 'enforce');
    RETURN 'added';
END
$$;

CREATE OR REPLACE FUNCTION postern.network_end(p_net cidr, p_actor text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_now timestamptz := postern.now();
    v_unit postern.unit;
    v_orders int;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('postern.network'));
    UPDATE postern.network
       SET during = tstzrange(lower(during), greatest(v_now, lower(during) + interval '1 microsecond'))
     WHERE net = p_net AND during @> v_now;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    FOR v_unit IN SELECT s.unit FROM postern.ip_state s WHERE s.unit <<= p_net ORDER BY s.unit LOOP
        CONTINUE WHEN postern.is_ours(v_unit, greatest(postern.now(), v_now + interval '2 microseconds'));
        PERFORM FROM postern.ip_state s WHERE s.unit = v_unit FOR UPDATE;
        PERFORM postern.transition(v_unit, 'sold', coalesce(nullif(p_actor, ''), session_user));
    END LOOP;
    v_orders := postern.order_net_again(p_net);
    PERFORM postern.audit(p_actor, 'network-end', NULL, jsonb_build_object('net', p_net, 'orders', v_orders));
    PERFORM pg_notify('postern_work', 'enforce');
    RETURN 'ended';
END
$$;
COMMENT ON FUNCTION postern.network_end(cidr, text) IS 'Address space that is no longer ours: ended, or unknown. What is closed in it is opened in the network now, freezes too; their rows stay. Units that another network of ours holds are not touched';

-- ------------------------------------------------------------------------------------------ imports

CREATE FUNCTION postern.customers_import_digest() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT md5(coalesce(string_agg(md5(concat_ws('|', c.change, c.net, c.customer, c.detail)), '' ORDER BY c.change, c.net, c.customer, c.detail), ''))
      FROM postern.import_changes(postern.import_lines()) AS c
$$;
COMMENT ON FUNCTION postern.customers_import_digest() IS 'Names the difference that customers_import_diff() shows: hand it to customers_import_apply() where a person has looked at it';

CREATE FUNCTION postern.customers_import_apply(p_force boolean, p_actor text, p_seen text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    -- Imports wait for one another: what follows sees what the one before has done.
    PERFORM pg_advisory_xact_lock(hashtext('postern.customers_import'));
    IF p_seen <> postern.customers_import_digest() THEN
        RAISE EXCEPTION 'somebody else has changed the customers since this difference was shown; nothing was changed'
            USING ERRCODE = 'PT006', HINT = 'Import again and look at the new difference.';
    END IF;
    RETURN postern.customers_import_apply(p_force, p_actor);
END
$$;
COMMENT ON FUNCTION postern.customers_import_apply(boolean, text, text) IS 'As without p_seen, if the difference is still the one that customers_import_digest() named. NULL: whatever it is now';
GRANT EXECUTE ON FUNCTION postern.customers_import_digest(), postern.customers_import_apply(boolean, text, text) TO postern_officer;

RESET ROLE;
