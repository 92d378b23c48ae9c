-- SPDX-License-Identifier: Apache-2.0
-- Small questions about units, tenancies, levels and texts that the following files ask.

SET LOCAL ROLE postern_owner;

CREATE FUNCTION postern.setting_number(p_key text) RETURNS double precision
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT value::double precision FROM postern.setting WHERE key = p_key';
COMMENT ON FUNCTION postern.setting_number(text) IS 'The value of a numeric setting';

CREATE FUNCTION postern.setting_interval(p_key text) RETURNS interval
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE WHEN p_key LIKE '%hours' THEN make_interval(hours => value::int)
                WHEN p_key LIKE '%days' THEN make_interval(hours => 24 * value::int) END
      FROM postern.setting WHERE key = p_key
$$;
COMMENT ON FUNCTION postern.setting_interval(text) IS 'The value of a setting whose name ends in hours or days';

CREATE FUNCTION postern.mode() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT value FROM postern.setting WHERE key = ''mode''';
COMMENT ON FUNCTION postern.mode() IS 'shadow or enforce';
GRANT EXECUTE ON FUNCTION postern.mode() TO PUBLIC;

-- ------------------------------------------------------------------------------ units, tenancies

CREATE FUNCTION postern.unit_text(p_unit inet) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT CASE family(p_unit) WHEN 4 THEN host(p_unit) ELSE host(p_unit) || ''/'' || masklen(p_unit) END';
COMMENT ON FUNCTION postern.unit_text(inet) IS 'A unit as people write it: 192.0.2.1, 2001:db8:1::/64';
GRANT EXECUTE ON FUNCTION postern.unit_text(inet) TO PUBLIC;

CREATE FUNCTION postern.unfold(p_address inet) RETURNS inet
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE WHEN p_address <<= inet '::ffff:0.0.0.0/96'
                THEN set_masklen(inet '0.0.0.0' + (p_address - inet '::ffff:0.0.0.0'), 32)
                ELSE p_address END
$$;
COMMENT ON FUNCTION postern.unfold(inet) IS 'An IPv4-mapped address as IPv4; others as they are';

CREATE FUNCTION postern.tenancy_at(p_unit inet, p_at timestamptz) RETURNS postern.ip_assignment
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT a.* FROM postern.ip_assignment a
     WHERE a.net >>= p_unit AND a.during @> p_at
     ORDER BY masklen(a.net) DESC LIMIT 1
$$;
COMMENT ON FUNCTION postern.tenancy_at(inet, timestamptz) IS 'The assignment that held an address or unit at that time; the most specific wins; NULLs: nobody''s';

CREATE FUNCTION postern.unit_of(p_address inet, p_at timestamptz) RETURNS postern.unit
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE WHEN family(a) = 4 THEN set_masklen(a, 32)
                ELSE network(set_masklen(a, greatest(48, least(64, coalesce(
                         ((postern.tenancy_at(set_masklen(a, 128), p_at)).unit_len), 64)))))::inet END
      FROM (SELECT postern.unfold(p_address) AS a) AS x
$$;
COMMENT ON FUNCTION postern.unit_of(inet, timestamptz) IS 'The unit that holds an address at that time';

CREATE FUNCTION postern.is_ours(p_unit inet, p_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT EXISTS (SELECT FROM postern.network n WHERE n.net >>= p_unit AND n.during @> p_at)';
COMMENT ON FUNCTION postern.is_ours(inet, timestamptz) IS 'Does it lie in a network that was ours at that time?';

CREATE FUNCTION postern.lock_unit(p_unit postern.unit, p_customer text) RETURNS postern.ip_state
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_state postern.ip_state;
BEGIN
    INSERT INTO postern.ip_state (unit, customer, changed_at)
    VALUES (p_unit, p_customer, postern.now()) ON CONFLICT (unit) DO NOTHING;
    SELECT s.* INTO STRICT v_state FROM postern.ip_state s WHERE s.unit = p_unit FOR UPDATE;
    RETURN v_state;
END
$$;
COMMENT ON FUNCTION postern.lock_unit(postern.unit, text) IS 'Locks a unit''s row (making it if there is none). Everyone locks the unit first, so nobody deadlocks';
GRANT EXECUTE ON FUNCTION postern.lock_unit(postern.unit, text) TO postern_freezer;

-- --------------------------------------------------------------------------------- levels, ports

CREATE FUNCTION postern.level_of(p_unit postern.unit, p_customer text, p_at timestamptz) RETURNS int
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_level int := 0;
    v_clean_since timestamptz;
    v_step double precision := extract(epoch FROM postern.setting_interval('ladder.decay_days'));
    v_block record;
BEGIN
    FOR v_block IN
        SELECT lower(b.during) AS opened, coalesce(upper(b.during), p_at) AS closed
          FROM postern.block b
         WHERE b.unit = p_unit AND b.customer = p_customer AND NOT b.false_positive AND b.cause <> 'freeze'
         ORDER BY lower(b.during)
    LOOP
        IF v_level > 0 THEN
            v_level := greatest(0, v_level - floor(greatest(0, extract(epoch FROM v_block.opened - v_clean_since)) / v_step)::int);
        END IF;
        v_level := v_level + 1;
        v_clean_since := v_block.closed;
    END LOOP;
    IF v_level > 0 THEN
        v_level := greatest(0, v_level - floor(greatest(0, extract(epoch FROM p_at - v_clean_since)) / v_step)::int);
    END IF;
    RETURN v_level;
END
$$;
COMMENT ON FUNCTION postern.level_of(postern.unit, text, timestamptz) IS 'Step of the ladder from the block history of this customer and unit: one up per block that was no false positive (nor closed only while a freeze was proposed), one down per clean month';

CREATE FUNCTION postern.hold_of(p_level int) RETURNS interval
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT make_interval(secs => btrim(l[least(greatest(p_level, 1), array_length(l, 1))])::int)
      FROM (SELECT string_to_array(value, ',') FROM postern.setting WHERE key = 'ladder') AS s (l)
$$;
COMMENT ON FUNCTION postern.hold_of(int) IS 'Shortest time a block of that level lasts (setting ladder)';

CREATE FUNCTION postern.ports_for(p_verdict_id bigint) RETURNS int[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM postern.verdict v
                              WHERE v.id = p_verdict_id AND v.pair = 'submission')
                THEN '{25,465,587,2525}'::int[] ELSE '{25}'::int[] END
$$;
COMMENT ON FUNCTION postern.ports_for(bigint) IS 'Ports that a block closes: 25 always, the submission ports too where the winning evidence is their abuse';

CREATE FUNCTION postern.measure_for(p_category text, p_repeat int) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT coalesce((SELECT m.scope FROM postern.measure m
                      WHERE m.category = p_category AND m.repeat_from <= p_repeat
                      ORDER BY m.repeat_from DESC LIMIT 1), 'ports')
$$;
COMMENT ON FUNCTION postern.measure_for(text, int) IS 'ports or address: what a missed deadline leads to';

CREATE FUNCTION postern.severity(p_category text) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT coalesce(array_position(ARRAY[''other'', ''spam'', ''phishing'', ''malware'', ''botnet''], p_category), 1)';
COMMENT ON FUNCTION postern.severity(text) IS 'Orders categories: the worst one names the case';

CREATE FUNCTION postern.known_category(p_category text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT CASE WHEN p_category IN (''spam'', ''phishing'', ''malware'', ''botnet'') THEN p_category ELSE ''other'' END';
COMMENT ON FUNCTION postern.known_category(text) IS 'A complaint''s category in our vocabulary';

-- ----------------------------------------------------------------------------- sentences, times

CREATE FUNCTION postern.time_text(p_at timestamptz, p_tz text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT to_char(p_at AT TIME ZONE p_tz, ''YYYY-MM-DD HH24:MI'') || '' '' || p_tz';
COMMENT ON FUNCTION postern.time_text(timestamptz, text) IS 'A moment for people, in a named time zone';

CREATE FUNCTION postern.time_json(p_at timestamptz) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT to_char(p_at AT TIME ZONE ''UTC'', ''YYYY-MM-DD"T"HH24:MI:SS"Z"'')';
COMMENT ON FUNCTION postern.time_json(timestamptz) IS 'A moment for programs: RFC 3339, UTC, whole seconds';

CREATE FUNCTION postern.duration_text(p_span interval) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE WHEN s >= 172800 AND s % 86400 = 0 THEN s / 86400 || ' days'
                WHEN s = 86400 THEN '24 hours'
                WHEN s >= 7200 AND s % 3600 = 0 THEN s / 3600 || ' hours'
                WHEN s = 3600 THEN '1 hour'
                WHEN s % 60 = 0 THEN s / 60 || ' minutes'
                ELSE s || ' seconds' END
      FROM (SELECT extract(epoch FROM p_span)::bigint AS s) AS x
$$;
COMMENT ON FUNCTION postern.duration_text(interval) IS 'A span for people: 24 hours, 7 days';

CREATE FUNCTION postern.verdict_reasons(p_verdict_id bigint) RETURNS text[]
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE WHEN cardinality(said) > 0 THEN said ELSE ARRAY[format(
               'At least %s mail sessions to %s destinations on port%s %s were seen around %s; %s within %s seconds is the most that is usual for this address.',
               ceil(v.sessions_low), ceil(v.destinations_seen),
               CASE WHEN cardinality(v.ports) = 1 THEN '' ELSE 's' END,
               array_to_string(v.ports, ', '), postern.time_text(v.crossed_at, 'UTC'),
               ceil(v.usual), v.window_s)] END
      FROM postern.verdict v,
           LATERAL (SELECT array_agg(r.value ->> 'text' ORDER BY r.n)
                             FILTER (WHERE r.value ->> 'text' <> '') AS said
                      FROM jsonb_array_elements(CASE jsonb_typeof(v.reasons)
                               WHEN 'array' THEN v.reasons ELSE '[]' END) WITH ORDINALITY AS r (value, n)) AS x
     WHERE v.id = p_verdict_id
$$;
COMMENT ON FUNCTION postern.verdict_reasons(bigint) IS 'What a verdict rests on, in sentences for the customer';

CREATE FUNCTION postern.complaint_reasons(p_unit postern.unit, p_customer text, p_since timestamptz) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT coalesce(array_agg(sentence ORDER BY received_at), '{}')
      FROM (SELECT c.received_at, format('%s reported %s from this address%s%s.',
                       CASE WHEN c.enrolled THEN c.reporter ELSE 'A recipient' END,
                       CASE postern.known_category(c.category) WHEN 'other' THEN 'abuse'
                            ELSE postern.known_category(c.category) END,
                       coalesce(', sent ' || postern.time_text(c.arrived_at, 'UTC'), ''),
                       coalesce(', Message-ID ' || c.message_id, '')) AS sentence
              FROM postern.complaint c
             WHERE c.unit = p_unit AND c.customer = p_customer AND c.counted AND c.received_at >= p_since
             ORDER BY c.received_at DESC LIMIT 5) AS newest
$$;
COMMENT ON FUNCTION postern.complaint_reasons(postern.unit, text, timestamptz) IS 'What was reported about a unit and tenant since then, the newest five, in sentences for the customer';

CREATE FUNCTION postern.trusted_complaint_since(p_unit postern.unit, p_customer text, p_since timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM postern.complaint c
                    WHERE c.unit = p_unit AND c.customer = p_customer AND c.counted
                      AND c.authenticated AND c.enrolled AND c.received_at >= p_since)
$$;
COMMENT ON FUNCTION postern.trusted_complaint_since(postern.unit, text, timestamptz) IS 'Has an authenticated and enrolled reporter complained since then?';

RESET ROLE;
