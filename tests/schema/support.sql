-- SPDX-License-Identifier: Apache-2.0
-- Builders for the tests, in schema t. Each test file starts with \ir support.sql and has a
-- database of its own.
\set QUIET 1
\set ON_ERROR_STOP 1
\set ON_ERROR_ROLLBACK off
\pset format unaligned
\pset tuples_only true
\pset pager off
SET search_path = public, pg_catalog;

CREATE SCHEMA t;
GRANT USAGE ON SCHEMA t TO PUBLIC;

-- The clock stands still at a moment until it is moved.
CREATE FUNCTION t.at(p_at timestamptz) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    EXECUTE format('COPY (SELECT %L) TO %L', to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        current_setting('data_directory') || '/clock_' || current_database());
    UPDATE postern.setting SET value = 'file:' || current_setting('data_directory') || '/clock_' || current_database()
     WHERE key = 'test.clock';
END
$$;
CREATE FUNCTION t.later(p_by interval) RETURNS void LANGUAGE sql AS 'SELECT t.at(postern.now() + p_by)';

-- Two customers: C1 has 192.0.2.0/25 and 2001:db8:1::/48, C2 the rest of 192.0.2.0/24.
CREATE FUNCTION t.import(p_lines text[], p_force boolean DEFAULT false) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM postern.customers_import_begin();
    EXECUTE 'INSERT INTO pg_temp.import_row SELECT l[1], l[2], l[3], l[4], l[5], l[6], l[7], l[8], l[9], l[10], n + 1
               FROM (SELECT string_to_array(x || repeat(''|'', 9), ''|''), n FROM unnest($1) WITH ORDINALITY AS u (x, n)) AS s (l, n)'
      USING p_lines;
    RETURN postern.customers_import_apply(p_force, 'tester');
END
$$;
CREATE FUNCTION t.two_customers() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM t.at('2026-05-01 12:00 UTC');
    PERFORM postern.network_add('192.0.2.0/24', 'lab', 'tester'), postern.network_add('2001:db8::/32', 'lab', 'tester');
    PERFORM t.import(ARRAY[
        '192.0.2.0/25|C1|Alice Ltd|vps|vps-1|||security:sec@alice.example abuse:abuse@alice.example|en|Europe/Berlin',
        '2001:db8:1::/48|C1|Alice Ltd|vps|vps-6|56||security:sec@alice.example abuse:abuse@alice.example|en|Europe/Berlin',
        '192.0.2.128/25|C2|Bob|dedicated|ded-1|||bob@bob.example']);
    PERFORM postern.reporter_enrol('trusted.example', 1.0, '', 'tester');
END
$$;
CREATE FUNCTION t.enforce() RETURNS void LANGUAGE sql AS $$
    SELECT t.two_customers();
    SELECT postern.set_mode('enforce', 'tester');
    SELECT postern.set_setting('mail.warning_hold', '0', 'tester');
    SELECT postern.set_setting('mail.digest_from', '0', 'tester');
$$;

-- A verdict as the scorer writes it; crossed now. Returns its id.
CREATE SEQUENCE t.episode;
CREATE FUNCTION t.verdict(p_unit inet, p_band text, p_pair text DEFAULT 'smtp', p_at timestamptz DEFAULT NULL,
        p_evidence real DEFAULT NULL, p_sessions float8 DEFAULT 80) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_at timestamptz := coalesce(p_at, postern.now());
    v_e real := coalesce(p_evidence, CASE p_band WHEN 'watch' THEN 350 WHEN 'flag' THEN 650 ELSE 930 END);
    v_id bigint;
BEGIN
    INSERT INTO postern.verdict (unit, partition, position, episode, band, crossed_at, received_at, first_at, last_at,
        evidence, score, sessions_seen, sessions_low, destinations_seen, usual, window_s, channel, pair, failed, ports,
        sampling, cold, exporters, reasons, samples, model)
    VALUES (p_unit, 0, 1, v_at - nextval('t.episode') * interval '1 millisecond', p_band, v_at, v_at, v_at - interval '1 minute', v_at,
        v_e, v_e, 100, p_sessions, 90, 9, 60, 'D', p_pair, 3, CASE p_pair WHEN 'smtp' THEN '{25}' ELSE '{465,587}' END::int[],
        1, true, '{10.0.0.1}', '[{"name": "burst", "points": 0, "text": "90 new destinations in 60 s; its usual most is 9."}]',
        jsonb_build_array(jsonb_build_object('at_ns', (extract(epoch FROM v_at) - 30) * 1000000000, 'destination', '198.51.100.7', 'port', 25),
                          jsonb_build_object('at_ns', (extract(epoch FROM v_at) - 20) * 1000000000, 'destination', '198.51.100.8', 'port', 25)), 'edet-1')
    RETURNING id INTO v_id;
    RETURN v_id;
END
$$;
-- … and applied. Returns what became of it.
CREATE FUNCTION t.hit(p_unit inet, p_band text, p_pair text DEFAULT 'smtp', p_at timestamptz DEFAULT NULL) RETURNS text
    LANGUAGE sql AS 'SELECT postern.apply_verdict(t.verdict(p_unit, p_band, p_pair, p_at))';

CREATE FUNCTION t.complaint(p_ip inet, p_reporter text DEFAULT 'trusted.example', p_auth boolean DEFAULT true,
        p_at timestamptz DEFAULT NULL, p_category text DEFAULT 'spam', p_outcome text DEFAULT 'complaint',
        p_feedback text DEFAULT 'abuse') RETURNS bigint LANGUAGE sql AS $$
    SELECT postern.record_evidence(0, 1, p_outcome, 'arf', p_feedback, p_category, p_ip, 0, coalesce(p_at, postern.now()),
        postern.now(), 'spam-' || n || '@spammer.example', 'victim.example', p_reporter, p_auth, 'report-' || n, NULL, 1, 1000,
        sha256(n::text::bytea))
      FROM (SELECT nextval('t.episode') AS n) AS x
$$;
CREATE FUNCTION t.complain(p_ip inet, p_reporter text DEFAULT 'trusted.example', p_auth boolean DEFAULT true,
        p_at timestamptz DEFAULT NULL, p_category text DEFAULT 'spam') RETURNS text
    LANGUAGE sql AS 'SELECT postern.apply_complaint(t.complaint(p_ip, p_reporter, p_auth, p_at, p_category))';

-- The programs' parts: a mail server that accepts everything, a network that confirms everything.
CREATE FUNCTION t.post(p_outcome text DEFAULT 'done') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    m record;
    v_count bigint := 0;
BEGIN
    FOR m IN SELECT * FROM postern.claim_mail('post', '1 minute', 100) LOOP
        CONTINUE WHEN NOT postern.mail_sending(m.id, 'post');
        PERFORM postern.mail_outcome(m.id, 'post', p_outcome, 250, 'as the test wants it');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END
$$;
CREATE FUNCTION t.network(p_outcome text DEFAULT 'done') RETURNS bigint LANGUAGE sql AS $$
    SELECT count(postern.order_outcome('null', o.unit, o.generation, p_outcome, 'as the test wants it'))
      FROM postern.claim_orders('null', 'network', 100) AS o
$$;
CREATE FUNCTION t.timers() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(postern.fire_timer(id), ' '), '') FROM postern.due_timers(100) AS id
$$;
CREATE FUNCTION t.state(p_unit inet) RETURNS text LANGUAGE sql AS
    'SELECT coalesce((SELECT state FROM postern.ip_state WHERE unit = p_unit), ''clear'')';
CREATE FUNCTION t.mails(p_unit inet) RETURNS text LANGUAGE sql AS
    'SELECT coalesce(string_agg(kind || '' '' || state, '', '' ORDER BY id), '''') FROM postern.outbox WHERE unit = p_unit';

-- A bit of everything, for queries to find.
CREATE FUNCTION t.some_history() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM t.enforce();
    INSERT INTO postern.smtp_activity VALUES ('192.0.2.1', postern.now() - interval '1 hour', 100, 90, 5000, 400, 3, 1);
    INSERT INTO postern.exporter_loss (hour, exporter, domain, received, lost_network) VALUES (postern.now(), '10.0.0.1', 0, 1000, 10);
    PERFORM t.hit('192.0.2.1', 'watch'), t.hit('192.0.2.1', 'flag'), t.hit('192.0.2.1', 'block');
    PERFORM t.hit('192.0.2.200', 'flag', 'submission'), t.complain('192.0.2.3');
    PERFORM t.post(), t.network();
    PERFORM t.later('2 hours');
    PERFORM postern.request_unblock('192.0.2.1', 'C1');
    PERFORM t.network(), t.post();
    PERFORM t.hit('192.0.2.1', 'flag'), t.post(), t.network();
    PERFORM postern.ip_release('192.0.2.1', 'a newsletter that was announced', true, 'officer');
    PERFORM t.network();
END
$$;
