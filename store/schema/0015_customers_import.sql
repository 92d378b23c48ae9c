-- SPDX-License-Identifier: Apache-2.0
-- Customers come from the hoster's own system.
--
--     customers_import_begin()      makes the temporary table import_row, all text
--     COPY import_row …             the file, with its line numbers
--     customers_import_diff()       what would change; PT003 names the line of a bad row
--     customers_import_apply(…)     does it; the same file again changes nothing
--
-- import_row belongs to postern_owner, so that what these functions read is a plain table and not
-- something that runs a caller's code with the owner's rights.

SET LOCAL ROLE postern_owner;

CREATE TYPE postern.import_line AS (
    line int,
    net cidr,
    customer text,
    name text,
    type text,
    service text,
    unit_len int,
    shared boolean,
    contacts text,
    locale text,
    tz text
);
COMMENT ON TYPE postern.import_line IS 'One line of an import, checked';

CREATE FUNCTION postern.customers_import_begin() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF to_regclass('pg_temp.import_row') IS NOT NULL THEN
        DROP TABLE pg_temp.import_row;
    END IF;
    CREATE TEMPORARY TABLE import_row (net text, customer text, name text, type text, service text,
        unit_len text, shared text, contacts text, locale text, tz text, line int);
    GRANT SELECT, INSERT, DELETE, TRUNCATE ON pg_temp.import_row TO PUBLIC;
END
$$;
COMMENT ON FUNCTION postern.customers_import_begin() IS 'Makes the temporary table import_row(net, customer, name, type, service, unit_len, shared, contacts, locale, tz, line), empty';

CREATE FUNCTION postern.import_check(r postern.import_line, p_zones text[]) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT CASE
        WHEN r.net IS NULL THEN 'net is missing'
        WHEN r.customer = '' THEN 'customer is missing'
        WHEN length(r.customer) > 200 THEN 'customer is longer than 200 characters'
        WHEN r.net <<= inet '::ffff:0.0.0.0/96' THEN format('net %s is an IPv4 address in IPv6 form: write it as IPv4', r.net)
        WHEN family(r.net) = 4 AND r.unit_len <> 32 THEN 'unit_len of an IPv4 net is 32 or empty'
        WHEN family(r.net) = 6 AND r.unit_len NOT BETWEEN 48 AND 64 THEN 'unit_len of an IPv6 net is 48 to 64, or empty for 64'
        WHEN r.locale !~ '^[a-z]{2,3}(-[A-Z]{2})?$' THEN format('locale "%s" is not like en or de-AT', r.locale)
        WHEN NOT r.tz = ANY (p_zones) THEN format('tz "%s" is no time zone like Europe/Berlin', r.tz)
        ELSE (SELECT format('contact "%s" is not like abuse:name@example.net (security, abuse or owner)', c)
                FROM regexp_split_to_table(btrim(r.contacts, ' ;,'), '[\s;,]+') AS c
               WHERE c <> '' AND c !~ '^((security|abuse|owner):)?[^\s<>,;:"@]{1,64}@[^\s<>,;:"@]{1,180}$' LIMIT 1) END
$$;
COMMENT ON FUNCTION postern.import_check(postern.import_line, text[]) IS 'What is wrong with a line; NULL: nothing';

CREATE FUNCTION postern.customers_import_rows() RETURNS SETOF postern.import_line
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    x record;
    r postern.import_line;
    v_wrong text;
    v_zones text[];
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('pg_temp.import_row')
                      AND c.relkind = 'r' AND c.relowner = 'postern_owner'::regrole) THEN
        RAISE EXCEPTION 'there is nothing to import' USING ERRCODE = 'PT006',
            HINT = 'SELECT postern.customers_import_begin(), then COPY import_row.';
    END IF;
    SELECT array_agg(z.name) INTO v_zones FROM pg_timezone_names z;
    FOR x IN EXECUTE 'SELECT * FROM pg_temp.import_row ORDER BY line' LOOP
        r := ROW (x.line, nullif(btrim(x.net), '')::cidr, btrim(coalesce(x.customer, '')),
                  coalesce(nullif(btrim(x.name), ''), btrim(x.customer)), btrim(coalesce(x.type, '')),
                  btrim(coalesce(x.service, '')), nullif(btrim(x.unit_len), '')::int,
                  coalesce(nullif(btrim(x.shared), '')::boolean, false), btrim(coalesce(x.contacts, '')),
                  nullif(btrim(x.locale), ''), nullif(btrim(x.tz), ''));
        r.unit_len := coalesce(r.unit_len, CASE family(r.net) WHEN 4 THEN 32 ELSE 64 END);
        v_wrong := postern.import_check(r, v_zones);
        IF v_wrong IS NOT NULL THEN
            RAISE EXCEPTION 'line %: %', r.line, v_wrong USING ERRCODE = 'PT003';
        END IF;
        RETURN NEXT r;
    END LOOP;
EXCEPTION
    WHEN data_exception OR invalid_text_representation OR numeric_value_out_of_range THEN
        RAISE EXCEPTION 'line %: %', x.line, SQLERRM USING ERRCODE = 'PT003';
END
$$;
COMMENT ON FUNCTION postern.customers_import_rows() IS 'The lines of import_row, checked; PT003 names the first bad one';

CREATE FUNCTION postern.import_contacts(p_lines postern.import_line[],
        OUT customer text, OUT net cidr, OUT kind text, OUT email text) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    -- The contacts of a customer's first line hold for all addresses, others for their own net.
    SELECT DISTINCT l.customer, CASE WHEN l.contacts = f.contacts THEN NULL ELSE l.net END,
           CASE WHEN c LIKE '%:%' THEN split_part(c, ':', 1) ELSE 'abuse' END,
           CASE WHEN c LIKE '%:%' THEN split_part(c, ':', 2) ELSE c END
      FROM unnest(p_lines) AS l
      JOIN (SELECT DISTINCT ON (customer) customer, contacts FROM unnest(p_lines) AS x ORDER BY customer, line) AS f
        ON f.customer = l.customer,
           LATERAL regexp_split_to_table(btrim(l.contacts, ' ;,'), '[\s;,]+') AS c
     WHERE c <> ''
$$;
COMMENT ON FUNCTION postern.import_contacts(postern.import_line[]) IS 'Contacts of the checked lines';

CREATE FUNCTION postern.import_lines() RETURNS postern.import_line[]
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_lines postern.import_line[];
    v_bad record;
BEGIN
    SELECT coalesce(array_agg(r ORDER BY r.line), '{}') INTO v_lines FROM postern.customers_import_rows() AS r;
    SELECT b.line, b.net, b.customer, min(a.line) AS first, min(a.customer) AS other INTO v_bad
      FROM unnest(v_lines) AS a JOIN unnest(v_lines) AS b ON a.net = b.net AND a.line < b.line
     WHERE (a.customer, a.type, a.service, a.unit_len, a.shared)
           IS DISTINCT FROM (b.customer, b.type, b.service, b.unit_len, b.shared)
     GROUP BY b.line, b.net, b.customer ORDER BY b.line LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'line %: net % stands in line % already, %', v_bad.line, v_bad.net, v_bad.first,
            CASE WHEN v_bad.other = v_bad.customer THEN 'with other values'
                 ELSE format('for customer %s instead of %s', v_bad.other, v_bad.customer) END
            USING ERRCODE = 'PT003';
    END IF;
    SELECT b.line, b.customer, a.line AS first INTO v_bad
      FROM (SELECT DISTINCT ON (customer) * FROM unnest(v_lines) AS x ORDER BY customer, line) AS a
      JOIN unnest(v_lines) AS b ON a.customer = b.customer
     WHERE (a.name, a.locale, a.tz) IS DISTINCT FROM (b.name, b.locale, b.tz) ORDER BY b.line LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'line %: customer % has another name, locale or tz than in line %', v_bad.line, v_bad.customer, v_bad.first
            USING ERRCODE = 'PT003';
    END IF;
    RETURN v_lines;
END
$$;
COMMENT ON FUNCTION postern.import_lines() IS 'All lines of an import, checked alone and against one another';

CREATE FUNCTION postern.import_changes(p_lines postern.import_line[],
        OUT change text, OUT net cidr, OUT customer text, OUT detail text) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    WITH wanted AS MATERIALIZED (SELECT DISTINCT ON (net) * FROM unnest(p_lines) AS l ORDER BY net, line),
    present AS MATERIALIZED (SELECT a.* FROM postern.ip_assignment a WHERE a.during @> postern.now()),
    people AS MATERIALIZED (SELECT DISTINCT ON (customer) * FROM unnest(p_lines) AS l ORDER BY customer, line),
    mailboxes AS MATERIALIZED (SELECT * FROM postern.import_contacts(p_lines))
    SELECT CASE WHEN p.net IS NULL THEN 'add' WHEN p.customer <> w.customer THEN 'move' ELSE 'change' END,
           w.net, w.customer,
           concat_ws(', ', CASE WHEN p.customer <> w.customer THEN 'from ' || p.customer END,
               CASE WHEN p.type <> w.type THEN format('type "%s" to "%s"', p.type, w.type) END,
               CASE WHEN p.service_name <> w.service THEN format('service "%s" to "%s"', p.service_name, w.service) END,
               CASE WHEN p.unit_len <> w.unit_len THEN format('unit_len %s to %s', p.unit_len, w.unit_len) END,
               CASE WHEN p.shared <> w.shared THEN format('shared %s to %s', p.shared, w.shared) END)
      FROM wanted w LEFT JOIN present p ON p.net = w.net
     WHERE (p.customer, p.type, p.service_name, p.unit_len, p.shared)
           IS DISTINCT FROM (w.customer, w.type, w.service, w.unit_len, w.shared)
    UNION ALL
    SELECT 'remove', p.net, p.customer, '' FROM present p
     WHERE NOT EXISTS (SELECT FROM wanted w WHERE w.net = p.net)
    UNION ALL
    SELECT CASE WHEN c.id IS NULL OR c.removed_at IS NOT NULL THEN 'customer-add' ELSE 'customer-change' END,
           NULL, w.customer, w.name
      FROM people w LEFT JOIN postern.customer c ON c.id = w.customer
     WHERE (c.name, c.locale, c.tz) IS DISTINCT FROM (w.name, w.locale, w.tz) OR c.removed_at IS NOT NULL
    UNION ALL
    SELECT 'customer-remove', NULL, c.id, c.name FROM postern.customer c
     WHERE c.removed_at IS NULL AND NOT EXISTS (SELECT FROM people w WHERE w.customer = c.id)
    UNION ALL
    SELECT 'contact-add', m.net, m.customer, m.kind || ':' || m.email FROM mailboxes m
     WHERE NOT EXISTS (SELECT FROM postern.contact k
                        WHERE (k.customer, k.kind, k.email) = (m.customer, m.kind, m.email) AND k.net IS NOT DISTINCT FROM m.net)
    UNION ALL
    SELECT 'contact-remove', k.net, k.customer, k.kind || ':' || k.email
      FROM postern.contact k JOIN people w ON w.customer = k.customer
     WHERE NOT EXISTS (SELECT FROM mailboxes m
                        WHERE (k.customer, k.kind, k.email) = (m.customer, m.kind, m.email) AND k.net IS NOT DISTINCT FROM m.net)
    UNION ALL
    SELECT 'note', w.net, w.customer, 'lies in none of our networks: nothing about it is judged (postern networks add)'
      FROM wanted w
     WHERE NOT EXISTS (SELECT FROM postern.network n WHERE n.net >>= w.net AND n.during @> postern.now())
    UNION ALL
    SELECT 'note', w.net, w.customer, format('is smaller than its unit (/%s): verdicts on it stay unassigned', w.unit_len)
      FROM wanted w WHERE masklen(w.net) > w.unit_len
$$;
COMMENT ON FUNCTION postern.import_changes(postern.import_line[]) IS 'What an import would change: add, move, change, remove; customer-…, contact-…; note';

CREATE FUNCTION postern.customers_import_diff(OUT change text, OUT net cidr, OUT customer text, OUT detail text) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT c.change, c.net, c.customer, c.detail FROM postern.import_changes(postern.import_lines()) AS c
     ORDER BY array_position(ARRAY['remove', 'move', 'change', 'add', 'customer-remove', 'customer-change',
                                   'customer-add', 'contact-remove', 'contact-add', 'note'], c.change), c.net, c.customer
$$;
COMMENT ON FUNCTION postern.customers_import_diff() IS 'What customers_import_apply() would change, removals first; empty: nothing';

CREATE FUNCTION postern.import_assignments(p_lines postern.import_line[], p_at timestamptz) RETURNS cidr[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_ended cidr[];
    v_added cidr[];
BEGIN
    -- Tenancies that end: removed, or the customer is another one. Less than a microsecond is none.
    WITH gone AS (
        SELECT a.id FROM postern.ip_assignment a
         WHERE a.during @> p_at
           AND NOT EXISTS (SELECT FROM unnest(p_lines) AS w WHERE w.net = a.net AND w.customer = a.customer)),
    ended AS (
        UPDATE postern.ip_assignment a
           SET during = tstzrange(lower(a.during), greatest(p_at, lower(a.during) + interval '1 microsecond'))
          FROM gone WHERE a.id = gone.id RETURNING a.net)
    SELECT coalesce(array_agg(e.net), '{}') INTO v_ended FROM ended e;
    -- Same tenancy, other words.
    INSERT INTO postern.scorer_input (kind, unit, unit_len, created_at)
    SELECT 'unit_len', w.net, w.unit_len, p_at
      FROM (SELECT DISTINCT ON (net) * FROM unnest(p_lines) AS l ORDER BY net, line) AS w
      LEFT JOIN postern.ip_assignment a ON a.net = w.net AND a.during @> p_at
     WHERE family(w.net) = 6 AND w.unit_len <> coalesce(a.unit_len, 64);
    UPDATE postern.ip_assignment a
       SET type = w.type, service_name = w.service, unit_len = w.unit_len, shared = w.shared
      FROM unnest(p_lines) AS w
     WHERE a.net = w.net AND a.during @> p_at
       AND (a.type, a.service_name, a.unit_len, a.shared) IS DISTINCT FROM (w.type, w.service, w.unit_len, w.shared);
    -- New tenancies: from the beginning of time if nobody had any of it before, else from now.
    WITH fresh AS (
        SELECT DISTINCT ON (w.net) w.*,
               (SELECT max(coalesce(upper(a.during), p_at)) FROM postern.ip_assignment a WHERE a.net && w.net) AS had
          FROM unnest(p_lines) AS w
         WHERE NOT EXISTS (SELECT FROM postern.ip_assignment a WHERE a.net = w.net AND a.during @> p_at
                              AND a.customer = w.customer)
         ORDER BY w.net, w.line),
    added AS (
        INSERT INTO postern.ip_assignment (net, customer, type, service_name, unit_len, shared, during)
        SELECT f.net, f.customer, f.type, f.service, f.unit_len, f.shared,
               tstzrange(CASE WHEN f.had IS NOT NULL THEN greatest(p_at, f.had) END, NULL)
          FROM fresh f RETURNING net, lower_inf(during) AS first)
    SELECT coalesce(array_agg(a.net) FILTER (WHERE NOT a.first), '{}') INTO v_added FROM added a;
    RETURN v_ended || v_added;
END
$$;
COMMENT ON FUNCTION postern.import_assignments(postern.import_line[], timestamptz) IS 'Brings the tenancies up to date; returns the nets whose addresses may have changed hands';

CREATE FUNCTION postern.hand_over_units(p_nets cidr[], p_actor text) RETURNS int
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_unit postern.unit;
    v_old text;
    v_new text;
    v_count int := 0;
BEGIN
    FOR v_unit IN
        SELECT DISTINCT s.unit FROM unnest(p_nets) AS n JOIN postern.ip_state s ON s.unit <<= n ORDER BY s.unit
    LOOP
        SELECT s.customer INTO v_old FROM postern.ip_state s WHERE s.unit = v_unit FOR UPDATE;
        v_new := (postern.tenancy_at(v_unit, postern.now())).customer;
        CONTINUE WHEN v_new IS NOT DISTINCT FROM v_old;
        PERFORM postern.transition(v_unit, 'reassigned', p_actor, jsonb_build_object('customer', v_new));
        v_count := v_count + 1;
    END LOOP;
    INSERT INTO postern.scorer_input (kind, unit, created_at)
    SELECT DISTINCT 'reassigned', n::inet, postern.now() FROM unnest(p_nets) AS n;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION postern.hand_over_units(cidr[], text) IS 'Units in these nets that have another tenant now start clear for the new one';

CREATE FUNCTION postern.customers_import_apply(p_force boolean, p_actor text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_lines postern.import_line[];
    v_counts jsonb;
    v_present bigint;
    v_removed bigint;
    v_limit int := postern.setting('import.max_removed_percent')::int;
    v_now timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('postern.customers_import'));
    v_lines := postern.import_lines();
    v_now := postern.now();
    SELECT coalesce(jsonb_object_agg(c.change, c.n), '{}') INTO v_counts
      FROM (SELECT x.change, count(*) AS n FROM postern.import_changes(v_lines) AS x GROUP BY x.change) AS c;
    SELECT count(*) INTO v_present FROM postern.ip_assignment a WHERE a.during @> v_now;
    v_removed := coalesce((v_counts ->> 'remove')::bigint, 0);
    IF v_removed * 100 > v_present * v_limit AND NOT coalesce(p_force, false) THEN
        RAISE EXCEPTION 'the file would remove % of % assignments, more than % %%', v_removed, v_present, v_limit
            USING ERRCODE = 'PT002', HINT = 'Is the file whole? If it is meant, import it with --force.';
    END IF;
    IF v_counts - 'note' = '{}' THEN
        RETURN v_counts;
    END IF;

    INSERT INTO postern.customer AS c (id, name, locale, tz, imported_at)
    SELECT DISTINCT ON (l.customer) l.customer, l.name, l.locale, l.tz, v_now FROM unnest(v_lines) AS l
     ORDER BY l.customer, l.line
    ON CONFLICT (id) DO UPDATE
       SET name = excluded.name, locale = excluded.locale, tz = excluded.tz, imported_at = v_now, removed_at = NULL
     WHERE (c.name, c.locale, c.tz, c.removed_at) IS DISTINCT FROM (excluded.name, excluded.locale, excluded.tz, NULL);
    UPDATE postern.customer c SET removed_at = v_now
     WHERE c.removed_at IS NULL AND NOT EXISTS (SELECT FROM unnest(v_lines) AS l WHERE l.customer = c.id);
    WITH mailboxes AS MATERIALIZED (SELECT * FROM postern.import_contacts(v_lines))
    DELETE FROM postern.contact k
     USING (SELECT DISTINCT l.customer FROM unnest(v_lines) AS l) AS c
     WHERE k.customer = c.customer
       AND NOT EXISTS (SELECT FROM mailboxes m
                        WHERE (k.customer, k.kind, k.email) = (m.customer, m.kind, m.email) AND k.net IS NOT DISTINCT FROM m.net);
    INSERT INTO postern.contact (customer, net, kind, email)
    SELECT m.customer, m.net, m.kind, m.email FROM postern.import_contacts(v_lines) AS m
    ON CONFLICT DO NOTHING;
    v_counts := v_counts || jsonb_build_object('handed-over',
        postern.hand_over_units(postern.import_assignments(v_lines, v_now), coalesce(nullif(p_actor, ''), session_user)));
    PERFORM postern.audit(p_actor, 'import', NULL, v_counts);
    RETURN v_counts;
END
$$;
COMMENT ON FUNCTION postern.customers_import_apply(boolean, text) IS 'Brings customers, contacts and assignments to what import_row says. PT002 if more than 10 % of the assignments would go and it is not forced. Returns the number of changes by kind; the same file again: {}';

GRANT EXECUTE ON FUNCTION postern.customers_import_begin(), postern.customers_import_diff(),
    postern.customers_import_apply(boolean, text) TO postern_officer;

RESET ROLE;
