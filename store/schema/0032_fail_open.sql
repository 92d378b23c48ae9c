-- SPDX-License-Identifier: Apache-2.0
-- Blocks that the network forgets by itself when nobody refreshes them (they fail open, freezes do
-- not), a switch that can also open everything, orders that are put off for too long, and orders
-- about address space that was sold.
--
-- An order that is refreshed is one like any other: pending, leased, confirmed. What makes it a
-- refreshment is that its generation was confirmed before and the network still keeps it
-- (expires_at lies ahead): it counts for no limit and tells no unit's state anything new.

SET LOCAL ROLE postern_owner;

UPDATE postern.setting
   SET choices = '{on,off,lift}',
       note = 'off: no adapter gets an order, blocking or opening; what is applied stays until its time to live is over. lift: every block is opened in the network and no new one is closed; freezes stay'
 WHERE key = 'enforcement';

ALTER TABLE postern.adapter ADD COLUMN ttl_s int NOT NULL DEFAULT 0 CHECK (ttl_s = 0 OR ttl_s BETWEEN 60 AND 604800);
COMMENT ON COLUMN postern.adapter.ttl_s IS 'The network forgets a block after so long unless it is refreshed, which happens three times within it, seconds; 0: it keeps it. Freezes are kept in any case';
UPDATE postern.adapter SET ttl_s = 21600 WHERE name = 'hook';

ALTER TABLE postern.enforcement
    ADD COLUMN leased_action text,
    ADD COLUMN pending_since timestamptz,
    ADD COLUMN refresh_at timestamptz,
    ADD COLUMN expires_at timestamptz,
    DROP CONSTRAINT enforcement_state_check,
    ADD CONSTRAINT enforcement_state_check CHECK (state IN ('pending', 'applied', 'failed', 'lifted'));
COMMENT ON COLUMN postern.enforcement.state IS 'pending; applied: the newest wish is confirmed; failed: refused, tried again hourly, alarms; lifted: wanted closed, and opened by setting enforcement = lift';
COMMENT ON COLUMN postern.enforcement.leased_action IS 'What was handed out last: open instead of the action where the space is no longer ours or everything is lifted';
COMMENT ON COLUMN postern.enforcement.pending_since IS 'When an order that was settled became due again; NULL: since desired_at';
COMMENT ON COLUMN postern.enforcement.refresh_at IS 'When the block is given again, so that the network does not forget it; NULL: it does not';
COMMENT ON COLUMN postern.enforcement.expires_at IS 'When the network forgets the block; past: it is open there';
CREATE INDEX enforcement_refresh ON postern.enforcement (adapter, refresh_at) WHERE refresh_at IS NOT NULL;

CREATE FUNCTION postern.is_kept(e postern.enforcement, p_at timestamptz) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT e.applied_generation = e.desired_generation AND e.applied_action = e.action AND coalesce(e.expires_at > p_at, false)
$$;
COMMENT ON FUNCTION postern.is_kept(postern.enforcement, timestamptz) IS 'Is this very order in force in the network until its time to live is over? Giving it again refreshes it';

-- A new wish; and while everything is lifted a block is not waited for.
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
           desired_generation = e.desired_generation + 1, desired_at = excluded.desired_at, pending_since = NULL,
           next_at = excluded.next_at, state = 'pending', attempts = 0, error = NULL;
    IF NOT EXISTS (SELECT FROM postern.enforcement e JOIN postern.adapter a ON a.name = e.adapter
                    WHERE e.unit = p_unit AND a.enabled AND a.required) THEN
        RAISE EXCEPTION 'no adapter is enabled and required: nothing would carry out %', p_action
            USING ERRCODE = 'PT006', HINT = 'postern enforcement enable null; it touches nothing.';
    END IF;
END
$$;

CREATE FUNCTION postern.order_again(p_adapter text, p_units inet[], p_forgotten boolean) RETURNS int
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_count int;
BEGIN
    WITH due AS (
        SELECT e.unit FROM postern.enforcement e
         WHERE e.adapter = p_adapter AND e.unit = ANY (p_units) AND e.state IN ('applied', 'lifted') FOR UPDATE SKIP LOCKED)
    UPDATE postern.enforcement e
       SET state = 'pending', attempts = 0, next_at = postern.now(), pending_since = postern.now(),
           expires_at = CASE WHEN p_forgotten THEN NULL ELSE e.expires_at END
      FROM due WHERE e.unit = due.unit AND e.adapter = p_adapter;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION postern.order_again(text, inet[], boolean) IS 'Settled orders are due once more. forgotten: the network has them no longer. Returns how many';

-- Keeps a /24's share and what is never blocked; a block that is in force already is let through.
DROP FUNCTION postern.claim_orders(text, text, int);
CREATE FUNCTION postern.claim_orders(p_adapter text, p_worker text, p_max int,
        OUT unit postern.unit, OUT generation bigint, OUT action text, OUT ports int[], OUT reason text,
        OUT case_id text, OUT ttl_s int) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_now timestamptz := postern.now();
    v_switch text := postern.setting('enforcement');
    a postern.adapter;
    e postern.enforcement;
    v_kept boolean;
    v_room bigint;
    v_why text;
BEGIN
    SELECT x.* INTO a FROM postern.adapter x WHERE x.name = p_adapter AND x.enabled;
    IF NOT FOUND OR v_switch = 'off' THEN
        RETURN;
    END IF;
    PERFORM postern.order_again(p_adapter, ARRAY(SELECT x.unit FROM postern.enforcement x
        WHERE x.adapter = p_adapter AND x.refresh_at <= v_now AND x.state = 'applied' ORDER BY x.refresh_at LIMIT p_max), false);
    IF a.new_per_minute > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtext('postern.claim_orders ' || p_adapter));
        v_room := a.new_per_minute
            - (SELECT count(*) FROM postern.enforcement x WHERE x.adapter = p_adapter AND x.applied_action <> 'open'
                  AND x.applied_at > v_now - interval '1 minute' AND x.applied_at <= v_now)
            - (SELECT count(*) FROM postern.enforcement x WHERE x.adapter = p_adapter AND x.state <> 'applied'
                  AND x.action <> 'open' AND x.lease_until > v_now AND NOT postern.is_kept(x, v_now));
    END IF;
    FOR e IN SELECT x.* FROM postern.enforcement x
              WHERE x.adapter = p_adapter AND x.state IN ('pending', 'failed') AND x.next_at <= v_now
                AND (x.lease_until IS NULL OR x.lease_until <= v_now)
                AND (x.action = 'open' OR v_room IS NULL OR v_room > 0 OR v_switch = 'lift' OR postern.is_kept(x, v_now))
              ORDER BY x.next_at, x.unit LIMIT p_max FOR UPDATE SKIP LOCKED
    LOOP
        v_kept := postern.is_kept(e, v_now);
        IF e.expires_at <= v_now AND e.applied_action <> 'open' AND e.action <> 'open' THEN
            PERFORM postern.raise_alarm('order-expired', p_adapter, format(
                '%s was open in the network from %s on: nobody had refreshed its block; it is closed again',
                postern.unit_text(e.unit), postern.time_text(e.expires_at, 'UTC')));
        END IF;
        -- Address space that is no longer ours is opened, whatever was wanted of it; so is every block
        -- while all are lifted.
        e.action := CASE WHEN NOT postern.is_ours(e.unit, v_now) THEN 'open'
                         WHEN v_switch = 'lift' AND e.action <> 'freeze' THEN 'open' ELSE e.action END;
        IF e.action <> 'open' THEN
            CONTINUE WHEN v_room <= 0 AND NOT v_kept;
            v_why := postern.why_held(a, e.unit, CASE WHEN v_kept THEN 'freeze' ELSE e.action END);
            IF v_why IS NOT NULL THEN
                UPDATE postern.enforcement x SET error = 'held: ' || v_why, next_at = v_now + interval '5 minutes'
                 WHERE x.unit = e.unit AND x.adapter = p_adapter;
                PERFORM postern.raise_alarm('order-held', format('%s: %s', p_adapter, postern.unit_text(e.unit)), v_why);
                CONTINUE;
            END IF;
            v_room := v_room - CASE WHEN v_kept THEN 0 ELSE 1 END;
        END IF;
        UPDATE postern.enforcement x
           SET worker = p_worker, lease_until = v_now + interval '1 minute', attempts = x.attempts + 1,
               leased_generation = x.desired_generation, leased_action = e.action
         WHERE x.unit = e.unit AND x.adapter = p_adapter;
        unit := e.unit; generation := e.desired_generation; action := e.action; reason := e.reason;
        ports := CASE e.action WHEN 'block_ports' THEN e.ports ELSE '{}' END;
        ttl_s := CASE WHEN e.action IN ('block_ports', 'block_address') THEN nullif(a.ttl_s, 0) END;
        case_id := (SELECT c.public_id FROM postern.ip_state s JOIN postern.spam_case c ON c.id = s.case_id
                     WHERE s.unit = e.unit);
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION postern.claim_orders(text, text, int) IS 'Takes due orders for an adapter''s worker, for a minute. None while the adapter or setting enforcement is off; orders to close only within the adapter''s limits, never for what is never blocked, and only for our own address space. ttl_s: the network is to forget it after so long (NULL: never), it is refreshed before';

CREATE OR REPLACE FUNCTION postern.order_outcome(p_adapter text, p_unit inet, p_generation bigint, p_outcome text, p_detail text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    e postern.enforcement;
    v_now timestamptz := postern.now();
    v_subject text := format('%s: %s', p_adapter, postern.unit_text(p_unit));
    v_known boolean;
    v_kept boolean;
    v_done text;
    v_state text;
    v_taken timestamptz;
    v_ttl interval;
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
    v_done := CASE p_outcome WHEN 'done' THEN coalesce(e.leased_action, e.action) END;
    v_kept := postern.is_kept(e, v_now) AND coalesce(v_done = e.action, true);
    -- From the moment it was handed out: the network's clock began to run after that.
    v_taken := least(v_now, e.lease_until - interval '1 minute');
    v_ttl := (SELECT make_interval(secs => nullif(a.ttl_s, 0)) FROM postern.adapter a
               WHERE a.name = p_adapter AND v_done IN ('block_ports', 'block_address'));
    v_state := CASE WHEN p_outcome = 'refused' THEN 'failed'
                    WHEN p_outcome <> 'done' THEN 'pending'
                    -- Closed while everything was being lifted: open it again.
                    WHEN v_ttl IS NOT NULL AND postern.setting('enforcement') = 'lift' THEN 'pending'
                    WHEN v_done <> e.action AND postern.is_ours(e.unit, v_now) THEN 'lifted'
                    ELSE 'applied' END;
    UPDATE postern.enforcement x
       SET worker = NULL, lease_until = NULL, state = v_state,
           error = CASE p_outcome WHEN 'done' THEN NULL ELSE left(p_detail, 2000) END,
           applied_generation = CASE v_state WHEN 'applied' THEN p_generation ELSE applied_generation END,
           applied_action = coalesce(v_done, applied_action),
           applied_at = CASE WHEN p_outcome = 'done' AND NOT v_kept THEN v_now ELSE applied_at END,
           expires_at = CASE p_outcome WHEN 'done' THEN v_taken + v_ttl ELSE expires_at END,
           refresh_at = CASE p_outcome WHEN 'done' THEN v_taken + v_ttl / 3 ELSE refresh_at END,
           pending_since = CASE WHEN v_state IN ('applied', 'lifted') THEN NULL ELSE pending_since END,
           next_at = v_now + CASE p_outcome WHEN 'refused' THEN interval '1 hour' WHEN 'done' THEN interval '0'
                                            ELSE least(interval '5 minutes', interval '5 seconds' * 2 ^ least(attempts, 6)) END
     WHERE x.unit = e.unit AND x.adapter = e.adapter RETURNING * INTO STRICT e;
    IF p_outcome = 'refused' THEN
        PERFORM postern.raise_alarm('order-failed', v_subject,
            format('%s was refused: %s', e.action, coalesce(p_detail, '')));
    ELSIF p_outcome <> 'done' AND coalesce(e.pending_since, e.desired_at) < v_now - interval '15 minutes' THEN
        PERFORM postern.raise_alarm('order-late', p_adapter, format('%s of %s is wanted since %s and put off: %s',
            replace(e.action, '_', ' '), postern.unit_text(p_unit),
            postern.time_text(coalesce(e.pending_since, e.desired_at), 'UTC'), coalesce(p_detail, 'it says not why')));
    ELSIF p_outcome = 'done' THEN
        PERFORM postern.settle_alarm('order-failed', v_subject);
        PERFORM postern.settle_alarm('order-held', v_subject);
        PERFORM postern.settle_alarm('order-late', p_adapter)
          WHERE EXISTS (SELECT FROM postern.noc_alarm n WHERE n.kind = 'order-late' AND n.subject = p_adapter AND n.cleared_at IS NULL)
            AND NOT EXISTS (SELECT FROM postern.enforcement x
                             WHERE x.adapter = p_adapter AND x.state = 'pending' AND x.error IS NOT NULL
                               AND coalesce(x.pending_since, x.desired_at) < v_now - interval '15 minutes');
        IF v_known AND NOT v_kept AND v_state = 'applied' AND postern.confirmed(e.unit) THEN
            PERFORM postern.transition(e.unit, 'network_confirmed', p_adapter,
                jsonb_build_object('order', e.action, 'generation', p_generation));
        END IF;
    END IF;
    RETURN e.state;
END
$$;

-- The switch moves orders whoever turns it.
CREATE FUNCTION postern.switch_enforcement() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF NEW.value = 'lift' THEN
        UPDATE postern.enforcement e
           SET state = 'pending', attempts = 0, next_at = postern.now(), pending_since = postern.now()
         WHERE e.action IN ('block_ports', 'block_address') AND e.state <> 'lifted';
    ELSIF NEW.value = 'on' THEN
        UPDATE postern.enforcement e
           SET state = 'pending', attempts = 0, next_at = postern.now(), pending_since = postern.now()
         WHERE e.state = 'lifted';
    END IF;
    PERFORM pg_notify('postern_work', 'enforce');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.switch_enforcement() IS 'Trigger: lift makes every block due, to be opened; on makes due what was lifted';
CREATE TRIGGER switch_enforcement AFTER UPDATE OF value ON postern.setting
    FOR EACH ROW WHEN (NEW.key = 'enforcement' AND OLD.value <> NEW.value) EXECUTE FUNCTION postern.switch_enforcement();

CREATE FUNCTION postern.set_enforcement(p_value text, p_reason text, p_actor text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_old text := postern.setting('enforcement');
BEGIN
    IF coalesce(btrim(p_reason), '') = '' THEN
        RAISE EXCEPTION 'the switch needs a reason' USING ERRCODE = 'PT006';
    END IF;
    IF p_value IS DISTINCT FROM v_old THEN
        PERFORM postern.set_setting('enforcement', p_value, p_actor);
        PERFORM postern.audit(p_actor, 'enforcement', NULL,
            jsonb_build_object('old', v_old, 'new', p_value, 'reason', btrim(p_reason)));
    END IF;
    RETURN v_old;
END
$$;
COMMENT ON FUNCTION postern.set_enforcement(text, text, text) IS 'The switch of all adapters, with a reason: on, off (nothing is ordered), lift (every block is opened, freezes stay). Returns what it was';

CREATE FUNCTION postern.set_limits(p_name text, p_new_per_minute int, p_net_share_percent int, p_ttl interval, p_actor text) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_old postern.adapter;
    v_new postern.adapter;
    v_count int := 0;
BEGIN
    SELECT a.* INTO v_old FROM postern.adapter a WHERE a.name = p_name FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no adapter "%"', p_name USING ERRCODE = 'PT006', HINT = 'postern enforcement show';
    ELSIF p_new_per_minute < 0 OR p_net_share_percent NOT BETWEEN 1 AND 100
          OR p_ttl <> interval '0' AND p_ttl NOT BETWEEN interval '1 minute' AND interval '7 days' THEN
        RAISE EXCEPTION 'limits of an adapter: units per minute 0 (any number) or more, 1 to 100 %% of a /24, time to live 0 (for ever) or 1 minute to 7 days'
            USING ERRCODE = 'PT006';
    END IF;
    UPDATE postern.adapter a
       SET new_per_minute = coalesce(p_new_per_minute, a.new_per_minute),
           net_share_percent = coalesce(p_net_share_percent, a.net_share_percent),
           ttl_s = coalesce(extract(epoch FROM p_ttl)::int, a.ttl_s)
     WHERE a.name = p_name RETURNING * INTO v_new;
    IF v_new.ttl_s <> v_old.ttl_s THEN
        -- What is closed learns of it now: it may have been closed for ever, or for longer.
        v_count := postern.order_again(p_name, ARRAY(SELECT e.unit FROM postern.enforcement e
            WHERE e.adapter = p_name AND e.applied_action IN ('block_ports', 'block_address') AND e.state = 'applied'), false);
    END IF;
    PERFORM postern.audit(p_actor, 'adapter', NULL, jsonb_build_object('adapter', p_name,
        'new_per_minute', v_new.new_per_minute, 'net_share_percent', v_new.net_share_percent, 'ttl_s', v_new.ttl_s));
    PERFORM pg_notify('postern_work', 'enforce');
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION postern.set_limits(text, int, int, interval, text) IS 'Limits of an adapter; NULL: as it is. units closed within a minute (0: any number), per cent of an IPv4 /24, after how long the network forgets a block that is not refreshed (0: never). What is closed is ordered again with another time to live; returns how many';

-- ------------------------------------------------------------------------------ what is applied

CREATE OR REPLACE FUNCTION postern.reconcile(p_adapter text, p_since timestamptz, p_listing text, p_error text) RETURNS int
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
    v_sold := postern.order_again(p_adapter, ARRAY(SELECT e.unit FROM postern.enforcement e
        WHERE e.adapter = p_adapter AND e.applied_action <> 'open' AND e.state = 'applied'
          AND NOT postern.is_ours(e.unit, postern.now())), false);
    IF p_listing IS NOT NULL THEN
        INSERT INTO postern.adapter_listing
        SELECT DISTINCT ON (unit) p_adapter, (l ->> 'unit')::postern.unit AS unit, l ->> 'action',
               CASE l ->> 'action' WHEN 'block_ports' THEN ARRAY(SELECT p::int FROM jsonb_array_elements_text(l -> 'ports') AS p ORDER BY 1) ELSE '{}' END
          FROM (SELECT line::jsonb AS l FROM string_to_table(p_listing, E'\n') AS line WHERE btrim(line, E' \t\r') <> '') AS x
         ORDER BY unit, l ->> 'action' DESC;
        -- What ran out and was not refreshed yet is no drift: it is due anyway.
        v_missing := postern.order_again(p_adapter, ARRAY(SELECT e.unit FROM postern.enforcement e
            WHERE e.adapter = p_adapter AND e.applied_action <> 'open' AND e.action <> 'open'
              AND e.state = 'applied' AND e.applied_at < p_since AND coalesce(e.expires_at > p_since, true)
              AND NOT EXISTS (SELECT FROM postern.adapter_listing r
                   WHERE r.adapter = p_adapter AND r.unit = e.unit AND r.action = e.action
                     AND (e.action <> 'block_ports' OR r.ports = ARRAY(SELECT p FROM unnest(e.ports) AS p ORDER BY 1)))), true);
        v_left := postern.order_again(p_adapter, ARRAY(SELECT e.unit FROM postern.adapter_listing r
              JOIN postern.enforcement e ON e.unit = r.unit
             WHERE r.adapter = p_adapter AND e.adapter = p_adapter AND e.applied_at < p_since AND r.action <> 'freeze'
               AND (e.action = 'open' AND e.state = 'applied' OR e.state = 'lifted')), true);
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

CREATE OR REPLACE VIEW api_v1.adapters AS
    SELECT a.name AS adapter, a.enabled, a.required, a.note, a.new_per_minute, a.net_share_percent,
           postern.setting('enforcement') = 'on' AS switched_on,
           (SELECT count(*) FROM postern.enforcement e WHERE e.adapter = a.name AND e.applied_action <> 'open') AS closed,
           (SELECT count(*) FROM postern.enforcement e WHERE e.adapter = a.name AND e.state = 'pending') AS pending,
           (SELECT count(*) FROM postern.enforcement e WHERE e.adapter = a.name AND e.state = 'failed') AS failed,
           a.reconciled_at, a.lists, a.drift, a.reconcile_error,
           a.ttl_s, postern.setting('enforcement') AS switch,
           (SELECT count(*) FROM postern.enforcement e WHERE e.adapter = a.name AND e.state = 'lifted') AS lifted,
           (SELECT count(*) FROM postern.enforcement e WHERE e.adapter = a.name AND e.refresh_at IS NOT NULL
               AND e.expires_at <= postern.now()) AS expired
      FROM postern.adapter a;
CREATE OR REPLACE VIEW api_v1.enforcement_desired AS
    SELECT e.unit::inet AS unit, e.adapter, e.action, e.ports, e.desired_generation, e.desired_at, e.state, e.applied_action, e.applied_at,
           e.attempts, e.error, replace(e.reason, E'\n', ' ') AS reason, e.expires_at
      FROM postern.enforcement e JOIN postern.adapter a ON a.name = e.adapter
     WHERE a.enabled AND postern.is_ours(e.unit, postern.now());
COMMENT ON COLUMN api_v1.enforcement_desired.state IS 'pending; applied: confirmed; failed: refused; lifted: opened by the switch though it is wanted closed';
COMMENT ON COLUMN api_v1.enforcement_desired.expires_at IS 'When the network forgets it unless it is refreshed before; NULL: never';
COMMENT ON COLUMN api_v1.adapters.switched_on IS 'false: setting enforcement is off (no adapter gets an order) or lift';
COMMENT ON COLUMN api_v1.adapters.ttl_s IS 'The network forgets a block after so many seconds unless it is refreshed; 0: never';
COMMENT ON COLUMN api_v1.adapters.switch IS 'Setting enforcement: on; off: no adapter gets an order; lift: every block is opened, freezes stay';
COMMENT ON COLUMN api_v1.adapters.lifted IS 'Blocks that the switch has opened in the network';
COMMENT ON COLUMN api_v1.adapters.expired IS 'Blocks that the network has forgotten because nobody refreshed them: they are open there';

GRANT EXECUTE ON FUNCTION postern.claim_orders(text, text, int) TO postern_enforcer;
GRANT EXECUTE ON FUNCTION postern.set_enforcement(text, text, text), postern.set_limits(text, int, int, interval, text) TO postern_officer;

RESET ROLE;
