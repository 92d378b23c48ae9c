-- SPDX-License-Identifier: Apache-2.0
-- Ways into a real network: an officer turns them on and off, limits say how fast and how much they
-- may close, one switch stops them all, and what is applied is compared with what is wanted.

SET LOCAL ROLE postern_owner;

INSERT INTO postern.setting (key, value, kind, choices, note) VALUES
 ('enforcement', 'on', 'choice', '{on,off}', 'off: no adapter gets an order, blocking or opening; what is applied in the network stays as it is');

ALTER TABLE postern.adapter
    ADD COLUMN new_per_minute int NOT NULL DEFAULT 0 CHECK (new_per_minute >= 0),
    ADD COLUMN net_share_percent int NOT NULL DEFAULT 100 CHECK (net_share_percent BETWEEN 1 AND 100),
    ADD COLUMN reconciled_at timestamptz,
    ADD COLUMN lists boolean,
    ADD COLUMN drift int NOT NULL DEFAULT 0,
    ADD COLUMN reconcile_error text;
COMMENT ON COLUMN postern.adapter.name IS 'As in postern-dispatch --adapters';
COMMENT ON COLUMN postern.adapter.enabled IS 'It gets orders';
COMMENT ON COLUMN postern.adapter.required IS 'A unit counts as open, or closed, only when this one has confirmed it';
COMMENT ON COLUMN postern.adapter.new_per_minute IS 'So many units are closed within a minute at most, the others wait; 0: no limit. Opening is never limited';
COMMENT ON COLUMN postern.adapter.net_share_percent IS 'So much of an IPv4 /24 is closed at most; what is above waits for a person. Freezes are not held';
COMMENT ON COLUMN postern.adapter.reconciled_at IS 'When what is applied was last compared with what is wanted';
COMMENT ON COLUMN postern.adapter.lists IS 'It can tell what is applied; NULL: never asked';
COMMENT ON COLUMN postern.adapter.drift IS 'Differences that the last comparison found; their orders were given again';
COMMENT ON COLUMN postern.adapter.reconcile_error IS 'Why the last comparison failed';
INSERT INTO postern.adapter (name, enabled, required, note, new_per_minute, net_share_percent)
VALUES ('hook', false, true, 'The hoster''s own script (deploy/hook)', 60, 50);

ALTER TABLE postern.enforcement ADD COLUMN leased_generation bigint;
COMMENT ON COLUMN postern.enforcement.leased_generation IS 'The generation that was handed out last. While it is carried out a newer one waits, so that an older never ends after it';
CREATE INDEX enforcement_applied ON postern.enforcement (adapter, applied_at);
CREATE INDEX enforcement_closed ON postern.enforcement (adapter, unit) WHERE applied_action <> 'open';

CREATE TABLE postern.adapter_listing (
    adapter text NOT NULL REFERENCES postern.adapter (name),
    unit postern.unit NOT NULL,
    action text NOT NULL CHECK (action IN ('block_ports', 'block_address', 'freeze')),
    ports int[] NOT NULL,
    PRIMARY KEY (adapter, unit)
);
COMMENT ON TABLE postern.adapter_listing IS 'What an adapter said is applied in the network, when it was last asked (adapter.reconciled_at)';
COMMENT ON COLUMN postern.adapter_listing.ports IS 'In order; empty unless block_ports';

CREATE VIEW api_v1.adapters AS
    SELECT a.name AS adapter, a.enabled, a.required, a.note, a.new_per_minute, a.net_share_percent,
           postern.setting('enforcement') = 'on' AS switched_on,
           (SELECT count(*) FROM postern.enforcement e WHERE e.adapter = a.name AND e.applied_action <> 'open') AS closed,
           (SELECT count(*) FROM postern.enforcement e WHERE e.adapter = a.name AND e.state = 'pending') AS pending,
           (SELECT count(*) FROM postern.enforcement e WHERE e.adapter = a.name AND e.state = 'failed') AS failed,
           a.reconciled_at, a.lists, a.drift, a.reconcile_error
      FROM postern.adapter a;
COMMENT ON VIEW api_v1.adapters IS 'Ways into the network: limits, how much is closed through each, whether what is applied is what is wanted';
COMMENT ON COLUMN api_v1.adapters.adapter IS 'As in postern-dispatch --adapters';
COMMENT ON COLUMN api_v1.adapters.enabled IS 'It gets orders';
COMMENT ON COLUMN api_v1.adapters.required IS 'A unit counts as open, or closed, only when this one has confirmed it';
COMMENT ON COLUMN api_v1.adapters.note IS 'What it is, in an officer''s words';
COMMENT ON COLUMN api_v1.adapters.new_per_minute IS 'So many units are closed within a minute at most; 0: no limit';
COMMENT ON COLUMN api_v1.adapters.net_share_percent IS 'So much of an IPv4 /24 is closed at most; what is above waits for a person';
COMMENT ON COLUMN api_v1.adapters.switched_on IS 'false: setting enforcement is off, no adapter gets an order';
COMMENT ON COLUMN api_v1.adapters.closed IS 'Units that it closes now, as far as it confirmed';
COMMENT ON COLUMN api_v1.adapters.pending IS 'Orders on their way';
COMMENT ON COLUMN api_v1.adapters.failed IS 'Orders that it refused';
COMMENT ON COLUMN api_v1.adapters.reconciled_at IS 'When what is applied was last compared with what is wanted';
COMMENT ON COLUMN api_v1.adapters.lists IS 'It can tell what is applied; NULL: never asked';
COMMENT ON COLUMN api_v1.adapters.drift IS 'Differences that the last comparison found; their orders were given again';
COMMENT ON COLUMN api_v1.adapters.reconcile_error IS 'Why the last comparison failed';

-- ------------------------------------------------------------------------------- orders, once more

CREATE OR REPLACE FUNCTION postern.set_order(p_unit postern.unit, p_action text, p_ports int[], p_reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    INSERT INTO postern.enforcement AS e (unit, adapter, action, ports, reason, desired_at, next_at)
    SELECT p_unit, a.name, p_action, p_ports, p_reason, postern.now(), postern.now()
      FROM postern.adapter a WHERE a.enabled ORDER BY a.name
    ON CONFLICT (unit, adapter) DO UPDATE
       SET action = excluded.action, ports = excluded.ports, reason = excluded.reason,
           desired_generation = e.desired_generation + 1, desired_at = excluded.desired_at,
           next_at = excluded.next_at, state = 'pending', attempts = 0, error = NULL;
    IF NOT EXISTS (SELECT FROM postern.enforcement e JOIN postern.adapter a ON a.name = e.adapter
                    WHERE e.unit = p_unit AND a.enabled AND a.required) THEN
        RAISE EXCEPTION 'no adapter is enabled and required: nothing would carry out %', p_action
            USING ERRCODE = 'PT006', HINT = 'SELECT postern.set_adapter(''null'', true, true, ''me''); null touches nothing.';
    END IF;
END
$$;
COMMENT ON FUNCTION postern.set_order(postern.unit, text, int[], text) IS 'States what the network should do about a unit: a new generation for every enabled adapter. One that is being carried out is waited for';

CREATE FUNCTION postern.why_held(p_adapter postern.adapter, p_unit postern.unit, p_action text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_net inet := network(set_masklen(p_unit::inet, 24));
    v_closed bigint;
BEGIN
    IF EXISTS (SELECT FROM postern.never_block n WHERE n.net >>= p_unit OR n.net <<= p_unit) THEN
        RETURN 'it is on the list of what is never blocked';
    ELSIF p_action = 'freeze' OR p_adapter.net_share_percent = 100 OR family(p_unit) <> 4 THEN
        RETURN NULL;
    END IF;
    SELECT count(*) INTO v_closed FROM postern.enforcement e
     WHERE e.adapter = p_adapter.name
       AND (e.applied_action <> 'open' OR e.action <> 'open' AND e.state <> 'applied' AND e.lease_until > postern.now())
       AND e.unit >= v_net AND e.unit <= set_masklen(broadcast(v_net), 32) AND e.unit <> p_unit;
    RETURN CASE WHEN (v_closed + 1) * 100 > 256 * p_adapter.net_share_percent
                THEN format('%s addresses of %s are closed already, the limit of adapter %s is %s %%',
                            v_closed, v_net, p_adapter.name, p_adapter.net_share_percent) END;
END
$$;
COMMENT ON FUNCTION postern.why_held(postern.adapter, postern.unit, text) IS 'Why an order to close is not given for now; NULL: it is';

DROP FUNCTION postern.claim_orders(text, text, int);
CREATE FUNCTION postern.claim_orders(p_adapter text, p_worker text, p_max int,
        OUT unit postern.unit, OUT generation bigint, OUT action text, OUT ports int[], OUT reason text,
        OUT case_id text) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_now timestamptz := postern.now();
    a postern.adapter;
    e postern.enforcement;
    v_room bigint;
    v_why text;
BEGIN
    SELECT x.* INTO a FROM postern.adapter x WHERE x.name = p_adapter AND x.enabled;
    IF NOT FOUND OR postern.setting('enforcement') = 'off' THEN
        RETURN;
    END IF;
    IF a.new_per_minute > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtext('postern.claim_orders ' || p_adapter));
        v_room := a.new_per_minute
            - (SELECT count(*) FROM postern.enforcement x WHERE x.adapter = p_adapter AND x.applied_action <> 'open'
                  AND x.applied_at > v_now - interval '1 minute' AND x.applied_at <= v_now)
            - (SELECT count(*) FROM postern.enforcement x WHERE x.adapter = p_adapter AND x.state <> 'applied'
                  AND x.action <> 'open' AND x.lease_until > v_now);
    END IF;
    FOR e IN SELECT x.* FROM postern.enforcement x
              WHERE x.adapter = p_adapter AND x.state <> 'applied' AND x.next_at <= v_now
                AND (x.lease_until IS NULL OR x.lease_until <= v_now)
                AND (x.action = 'open' OR v_room IS NULL OR v_room > 0)
              ORDER BY x.next_at, x.unit LIMIT p_max FOR UPDATE SKIP LOCKED
    LOOP
        -- Address space that is no longer ours is opened, whatever was wanted of it.
        e.action := CASE WHEN postern.is_ours(e.unit, v_now) THEN e.action ELSE 'open' END;
        IF e.action <> 'open' THEN
            CONTINUE WHEN v_room <= 0;
            v_why := postern.why_held(a, e.unit, e.action);
            IF v_why IS NOT NULL THEN
                UPDATE postern.enforcement x SET error = 'held: ' || v_why, next_at = v_now + interval '5 minutes'
                 WHERE x.unit = e.unit AND x.adapter = p_adapter;
                PERFORM postern.raise_alarm('order-held', format('%s: %s', p_adapter, postern.unit_text(e.unit)), v_why);
                CONTINUE;
            END IF;
            v_room := v_room - 1;
        END IF;
        UPDATE postern.enforcement x
           SET worker = p_worker, lease_until = v_now + interval '1 minute', attempts = x.attempts + 1,
               leased_generation = x.desired_generation
         WHERE x.unit = e.unit AND x.adapter = p_adapter;
        unit := e.unit; generation := e.desired_generation; action := e.action; reason := e.reason;
        ports := CASE e.action WHEN 'block_ports' THEN e.ports ELSE '{}' END;
        case_id := (SELECT c.public_id FROM postern.ip_state s JOIN postern.spam_case c ON c.id = s.case_id
                     WHERE s.unit = e.unit);
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION postern.claim_orders(text, text, int) IS 'Takes due orders for an adapter''s worker, for a minute. None while the adapter or setting enforcement is off; orders to close only within the adapter''s limits, never for what is never blocked, and only for our own address space';

CREATE OR REPLACE FUNCTION postern.order_outcome(p_adapter text, p_unit inet, p_generation bigint, p_outcome text, p_detail text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    e postern.enforcement;
    v_now timestamptz := postern.now();
    v_subject text := format('%s: %s', p_adapter, postern.unit_text(p_unit));
    v_known boolean;
BEGIN
    IF p_outcome NOT IN ('done', 'retry', 'refused', 'uncertain') THEN
        RAISE EXCEPTION 'an order''s outcome is done, retry, refused or uncertain, not "%"', p_outcome
            USING ERRCODE = 'PT006';
    END IF;
    PERFORM FROM postern.ip_state s WHERE s.unit = p_unit FOR UPDATE;
    v_known := FOUND; -- not if reconcile() found it closed and nobody had ever ordered that
    SELECT x.* INTO e FROM postern.enforcement x
     WHERE x.unit = p_unit AND x.adapter = p_adapter FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'adapter % has no order about %', p_adapter, p_unit USING ERRCODE = 'PT006';
    ELSIF p_generation <> e.desired_generation THEN
        -- An older answer settles nothing; the newer order need not wait for it any longer.
        UPDATE postern.enforcement x SET worker = NULL, lease_until = NULL
         WHERE x.unit = e.unit AND x.adapter = e.adapter AND x.leased_generation = p_generation;
        RETURN e.state;
    ELSIF e.state = 'applied' THEN
        RETURN e.state;
    END IF;
    UPDATE postern.enforcement x
       SET worker = NULL, lease_until = NULL, error = CASE p_outcome WHEN 'done' THEN NULL ELSE left(p_detail, 2000) END,
           state = CASE p_outcome WHEN 'done' THEN 'applied' WHEN 'refused' THEN 'failed' ELSE 'pending' END,
           applied_generation = CASE p_outcome WHEN 'done' THEN p_generation ELSE applied_generation END,
           applied_action = CASE WHEN p_outcome <> 'done' THEN applied_action
                                 WHEN postern.is_ours(e.unit, v_now) THEN action ELSE 'open' END,
           applied_at = CASE p_outcome WHEN 'done' THEN v_now ELSE applied_at END,
           next_at = v_now + CASE p_outcome WHEN 'refused' THEN interval '1 hour'
                                            ELSE least(interval '5 minutes', interval '5 seconds' * 2 ^ least(attempts, 6)) END
     WHERE x.unit = e.unit AND x.adapter = e.adapter RETURNING * INTO STRICT e;
    IF p_outcome = 'refused' THEN
        PERFORM postern.raise_alarm('order-failed', v_subject,
            format('%s was refused: %s', e.action, coalesce(p_detail, '')));
    ELSIF p_outcome = 'done' THEN
        PERFORM postern.settle_alarm('order-failed', v_subject);
        PERFORM postern.settle_alarm('order-held', v_subject);
        IF v_known AND postern.confirmed(e.unit) THEN
            PERFORM postern.transition(e.unit, 'network_confirmed', p_adapter,
                jsonb_build_object('order', e.action, 'generation', p_generation));
        END IF;
    END IF;
    RETURN e.state;
END
$$;

-- --------------------------------------------------------------------- what is applied, and what not

CREATE FUNCTION postern.reconcile_begin(p_adapter text, OUT since timestamptz, OUT hindered text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    hindered := CASE
        WHEN NOT EXISTS (SELECT FROM postern.adapter a WHERE a.name = p_adapter AND a.enabled)
        THEN format('adapter %1$s is not enabled: SELECT postern.set_adapter(%1$L, true, true, ''me'')', p_adapter)
        WHEN postern.setting('enforcement') = 'off' THEN 'setting enforcement is off: no order is carried out' END;
    since := postern.now();
END
$$;
COMMENT ON FUNCTION postern.reconcile_begin(text) IS 'Before an adapter is asked what is applied. since: hand it to reconcile(), what is confirmed later is left alone. hindered: why nothing is to be compared now, or carried out';

CREATE FUNCTION postern.reconcile(p_adapter text, p_since timestamptz, p_listing text, p_error text) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_missing int := 0;
    v_left int := 0;
    v_sold int;
    v_unknown text;
BEGIN
    IF p_error IS NOT NULL THEN
        UPDATE postern.adapter SET reconcile_error = left(p_error, 2000), lists = true WHERE name = p_adapter;
        PERFORM postern.raise_alarm('drift-unknown', p_adapter, 'what is applied could not be compared: ' || left(p_error, 2000));
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('postern.reconcile ' || p_adapter));
    DELETE FROM postern.adapter_listing WHERE adapter = p_adapter;
    -- Address space that was sold is opened, listing or not.
    WITH due AS (SELECT e.unit FROM postern.enforcement e
                  WHERE e.adapter = p_adapter AND e.applied_action <> 'open' AND e.state = 'applied'
                    AND NOT postern.is_ours(e.unit, postern.now()) FOR UPDATE SKIP LOCKED)
    UPDATE postern.enforcement e SET state = 'pending', attempts = 0, next_at = postern.now()
      FROM due WHERE e.unit = due.unit AND e.adapter = p_adapter;
    GET DIAGNOSTICS v_sold = ROW_COUNT;
    IF p_listing IS NOT NULL THEN
        INSERT INTO postern.adapter_listing
        SELECT DISTINCT ON (unit) p_adapter, (l ->> 'unit')::postern.unit AS unit, l ->> 'action',
               CASE l ->> 'action' WHEN 'block_ports' THEN ARRAY(SELECT p::int FROM jsonb_array_elements_text(l -> 'ports') AS p ORDER BY 1) ELSE '{}' END
          FROM (SELECT line::jsonb AS l FROM string_to_table(p_listing, E'\n') AS line WHERE btrim(line, E' \t\r') <> '') AS x
         ORDER BY unit, l ->> 'action' DESC;
        WITH due AS (
            SELECT e.unit FROM postern.enforcement e
             WHERE e.adapter = p_adapter AND e.applied_action <> 'open' AND e.action <> 'open'
               AND e.state = 'applied' AND e.applied_at < p_since
               AND NOT EXISTS (SELECT FROM postern.adapter_listing r
                    WHERE r.adapter = p_adapter AND r.unit = e.unit AND r.action = e.action
                      AND (e.action <> 'block_ports' OR r.ports = ARRAY(SELECT p FROM unnest(e.ports) AS p ORDER BY 1)))
               FOR UPDATE SKIP LOCKED)
        UPDATE postern.enforcement e SET state = 'pending', attempts = 0, next_at = postern.now()
          FROM due WHERE e.unit = due.unit AND e.adapter = p_adapter;
        GET DIAGNOSTICS v_missing = ROW_COUNT;
        WITH due AS (
            SELECT e.unit FROM postern.adapter_listing r JOIN postern.enforcement e ON e.unit = r.unit
             WHERE r.adapter = p_adapter AND e.adapter = p_adapter AND e.action = 'open' AND e.state = 'applied' AND e.applied_at < p_since
               AND r.action <> 'freeze'
               FOR UPDATE OF e SKIP LOCKED)
        UPDATE postern.enforcement e SET state = 'pending', attempts = 0, next_at = postern.now()
          FROM due WHERE e.unit = due.unit AND e.adapter = p_adapter;
        GET DIAGNOSTICS v_left = ROW_COUNT;
        -- Closed and never ordered, as this database knows: after an older dump was restored. Blocks are
        -- opened (the detector closes again what still sends), a freeze waits for a person.
        WITH made AS (
            INSERT INTO postern.enforcement (unit, adapter, action, reason, desired_at, next_at)
            SELECT r.unit, p_adapter, 'open', 'closed in the network, and nobody wants it', postern.now(), postern.now()
              FROM postern.adapter_listing r
             WHERE r.adapter = p_adapter AND r.action <> 'freeze' AND postern.is_ours(r.unit, postern.now())
            ON CONFLICT (unit, adapter) DO NOTHING RETURNING 1)
        SELECT v_left + count(*) INTO v_left FROM made;
        SELECT string_agg(postern.unit_text(r.unit), ' ' ORDER BY r.unit) INTO v_unknown
          FROM (SELECT x.unit FROM postern.adapter_listing x
                 WHERE x.adapter = p_adapter AND x.action = 'freeze' AND NOT EXISTS (SELECT FROM postern.ip_freeze f WHERE f.unit = x.unit)
                 LIMIT 50) AS r;
    END IF;
    IF v_unknown IS NOT NULL THEN
        PERFORM postern.raise_alarm('freeze-unknown', p_adapter, 'frozen in the network and not in the database: ' || v_unknown);
    ELSE
        PERFORM postern.settle_alarm('freeze-unknown', p_adapter);
    END IF;
    PERFORM postern.settle_alarm('drift-unknown', p_adapter);
    IF v_missing + v_left + v_sold > 0 THEN
        PERFORM postern.raise_alarm('drift', p_adapter, format(
            '%s were missing or different in the network, %s were closed and should be open, %s are no longer ours; their orders are given again',
            v_missing, v_left, v_sold));
    ELSE
        PERFORM postern.settle_alarm('drift', p_adapter);
    END IF;
    UPDATE postern.adapter SET reconciled_at = postern.now(), reconcile_error = NULL, lists = p_listing IS NOT NULL,
           drift = v_missing + v_left + v_sold WHERE name = p_adapter;
    RETURN v_missing + v_left + v_sold;
END
$$;
COMMENT ON FUNCTION postern.reconcile(text, timestamptz, text, text) IS 'Compares what an adapter says is applied (p_listing: JSON lines {unit, action, ports}; NULL: it cannot tell) with what is wanted and gives again the orders that differ; p_error: it could not be asked. Returns how many; alarms drift, drift-unknown, freeze-unknown';

-- --------------------------------------------------------------------------------- turning on and off

CREATE FUNCTION postern.wanted(p_unit postern.unit, OUT action text, OUT ports int[], OUT reason text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT coalesce(w.action, 'open'), coalesce(w.ports, '{}'), coalesce(w.reason, 'it is open')
      FROM (VALUES (1)) AS one LEFT JOIN LATERAL (
        SELECT 'freeze' AS action, '{}'::int[] AS ports, 'frozen for ever' AS reason, 1 AS place
          FROM postern.ip_freeze f WHERE f.unit = p_unit
        UNION ALL
        SELECT CASE b.scope WHEN 'ports' THEN 'block_ports' ELSE 'block_address' END,
               CASE b.scope WHEN 'ports' THEN b.ports ELSE '{}' END, b.reason, 2
          FROM postern.block b JOIN postern.ip_state s ON s.unit = b.unit
         WHERE b.unit = p_unit AND upper_inf(b.during) AND s.state <> 'unblocking'
        ORDER BY place LIMIT 1) AS w ON true
$$;
COMMENT ON FUNCTION postern.wanted(postern.unit) IS 'What the network should do about a unit, from its freeze and its open block alone';

CREATE FUNCTION postern.set_adapter(p_name text, p_enabled boolean, p_required boolean, p_actor text) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_orders int := 0;
    v_unit postern.unit;
BEGIN
    UPDATE postern.adapter SET enabled = p_enabled, required = p_required WHERE name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no adapter "%"', p_name USING ERRCODE = 'PT006',
            HINT = 'SELECT adapter, note FROM api_v1.adapters';
    ELSIF NOT EXISTS (SELECT FROM postern.adapter WHERE enabled AND required) THEN
        RAISE EXCEPTION 'one adapter must stay enabled and required: nothing would carry out orders'
            USING ERRCODE = 'PT006', HINT = 'Enable the other one first.';
    END IF;
    PERFORM postern.audit(p_actor, 'adapter', NULL,
        jsonb_build_object('adapter', p_name, 'enabled', p_enabled, 'required', p_required));
    IF p_enabled THEN
        -- What was closed or opened while it was off.
        INSERT INTO postern.enforcement AS e (unit, adapter, action, ports, reason, desired_at, next_at)
        SELECT u.unit, p_name, w.action, w.ports, w.reason, postern.now(), postern.now()
          FROM (SELECT b.unit FROM postern.block b WHERE upper_inf(b.during)
                UNION SELECT f.unit FROM postern.ip_freeze f
                UNION SELECT x.unit FROM postern.enforcement x WHERE x.adapter = p_name AND x.action <> 'open') AS u,
               LATERAL postern.wanted(u.unit) AS w
         ORDER BY u.unit
        ON CONFLICT (unit, adapter) DO UPDATE
           SET action = excluded.action, ports = excluded.ports, reason = excluded.reason,
               desired_generation = e.desired_generation + 1, desired_at = excluded.desired_at,
               next_at = excluded.next_at, state = 'pending', attempts = 0, error = NULL
         WHERE (e.action, e.ports) IS DISTINCT FROM (excluded.action, excluded.ports);
        GET DIAGNOSTICS v_orders = ROW_COUNT;
    END IF;
    -- Who waited for this adapter alone need not wait any longer.
    FOR v_unit IN SELECT s.unit FROM postern.ip_state s WHERE s.state = 'unblocking' ORDER BY s.unit LOOP
        PERFORM FROM postern.ip_state s WHERE s.unit = v_unit FOR UPDATE;
        IF postern.confirmed(v_unit) THEN
            PERFORM postern.transition(v_unit, 'network_confirmed', p_actor, '{}');
        END IF;
    END LOOP;
    PERFORM pg_notify('postern_work', 'enforce');
    RETURN v_orders;
END
$$;
COMMENT ON FUNCTION postern.set_adapter(text, boolean, boolean, text) IS 'Turns a way into the network on or off. On: it gets the orders about everything that is closed now. Returns how many orders that made';

CREATE FUNCTION postern.set_adapter_limits(p_name text, p_new_per_minute int, p_net_share_percent int, p_actor text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    UPDATE postern.adapter SET new_per_minute = p_new_per_minute, net_share_percent = p_net_share_percent WHERE name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no adapter "%"', p_name USING ERRCODE = 'PT006',
            HINT = 'SELECT adapter, note FROM api_v1.adapters';
    END IF;
    PERFORM postern.audit(p_actor, 'adapter', NULL, jsonb_build_object('adapter', p_name,
        'new_per_minute', p_new_per_minute, 'net_share_percent', p_net_share_percent));
    PERFORM pg_notify('postern_work', 'enforce');
END
$$;
COMMENT ON FUNCTION postern.set_adapter_limits(text, int, int, text) IS 'How many units an adapter closes within a minute (0: any number), and how much of an IPv4 /24 (per cent)';

GRANT EXECUTE ON FUNCTION postern.claim_orders(text, text, int), postern.reconcile_begin(text),
    postern.reconcile(text, timestamptz, text, text) TO postern_enforcer;
GRANT EXECUTE ON FUNCTION postern.set_adapter(text, boolean, boolean, text),
    postern.set_adapter_limits(text, int, int, text) TO postern_officer;
GRANT SELECT ON api_v1.adapters TO postern_analyst, postern_officer, postern_auditor, postern_monitor;

RESET ROLE;
