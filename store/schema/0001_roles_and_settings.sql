-- SPDX-License-Identifier: Apache-2.0
-- Roles, settings and the clock. Tables follow in 0002 and 0003, the functions that decide a unit's
-- fate from 0005 on, what people query in 0016.
--
-- Run by `postern schema install` as a superuser, one transaction per file. Each file switches to
-- postern_owner and back (RESET ROLE), so that everything here belongs to one role without login.
-- A test installation (`--test`) runs test/clock.sql after the last migration; nothing else in
-- this folder can move the clock.
--
-- Rules of this schema:
--  * time is postern.now(); nothing calls now() or current_timestamp;
--  * whoever changes a unit locks its ip_state row first, then everything else of that unit;
--  * every function is one transaction's worth of work and may be called again after a crash.
--
-- Own error codes: PT001 partition count differs · PT002 import removes too much · PT003 import row
-- is bad (the message names the line) · PT004 pair (state, event) missing · PT005 refused by a
-- guard of the freeze or the audit · PT006 not allowed or not possible, the message says why.

DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['owner', 'freezer', 'officer', 'auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postern_' || r) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', 'postern_' || r);
        END IF;
    END LOOP;
    FOREACH r IN ARRAY ARRAY['ingest', 'desk', 'mailer', 'enforcer', 'api', 'analyst', 'monitor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postern_' || r) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', 'postern_' || r);
        END IF;
    END LOOP;
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO postern_owner', current_database());
END
$$;

COMMENT ON ROLE postern_owner IS 'Postern: owns every object of schema postern; nobody logs in as it';
COMMENT ON ROLE postern_freezer IS 'Postern: owns commit_freeze(), the only thing that may insert into ip_freeze; nobody logs in as it';
COMMENT ON ROLE postern_ingest IS 'Postern: postern-scorer';
COMMENT ON ROLE postern_desk IS 'Postern: postern-dispatch --work=verdict,deadline';
COMMENT ON ROLE postern_mailer IS 'Postern: postern-dispatch --work=mail';
COMMENT ON ROLE postern_enforcer IS 'Postern: postern-dispatch --work=enforce';
COMMENT ON ROLE postern_api IS 'Postern: postern-api';
COMMENT ON ROLE postern_analyst IS 'Postern: reads api_v1: the abuse team and postern-report';
COMMENT ON ROLE postern_monitor IS 'Postern: reads what is due and what alarms: doctor, readiness';
COMMENT ON ROLE postern_officer IS 'Postern: people who import customers, release, exempt, change settings and the mode; granted to their own logins';
COMMENT ON ROLE postern_auditor IS 'Postern: reads everything, changes nothing; granted to people''s own logins';

CREATE SCHEMA IF NOT EXISTS postern;
ALTER SCHEMA postern OWNER TO postern_owner;
CREATE SCHEMA IF NOT EXISTS api_v1 AUTHORIZATION postern_owner;

SET LOCAL ROLE postern_owner;

COMMENT ON SCHEMA postern IS 'Postern: what was seen, what was decided, what is due. Programs act through functions; people read schema api_v1.';
COMMENT ON SCHEMA api_v1 IS 'Postern for SQL users: stable, commented views and functions. Columns are added, never renamed or removed.';

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA postern GRANT SELECT ON TABLES TO postern_auditor;

GRANT USAGE ON SCHEMA postern TO postern_ingest, postern_desk, postern_mailer, postern_enforcer,
    postern_api, postern_monitor, postern_officer, postern_auditor, postern_freezer, postern_analyst;
GRANT USAGE ON SCHEMA api_v1 TO postern_analyst, postern_officer, postern_auditor, postern_monitor,
    postern_desk;

-- ------------------------------------------------------------------------------------- basics

CREATE DOMAIN postern.unit AS inet
    CONSTRAINT unit_is_a_prefix CHECK (VALUE = network(VALUE))
    CONSTRAINT unit_is_not_mapped CHECK (NOT VALUE <<= inet '::ffff:0.0.0.0/96');
COMMENT ON DOMAIN postern.unit IS 'What is judged and blocked: an IPv4 address, or the customer''s IPv6 prefix (/64 unless the assignment says otherwise). Never an IPv4-mapped address.';

CREATE TABLE postern.setting (
    key text PRIMARY KEY,
    value text NOT NULL,
    kind text NOT NULL DEFAULT 'text' CHECK (kind IN ('text', 'int', 'number', 'ints', 'choice')),
    low numeric,
    high numeric,
    choices text[],
    note text NOT NULL,
    changed_at timestamptz,
    changed_by text
);
COMMENT ON TABLE postern.setting IS 'What an operator may tune in the database; changed by set_setting() and set_mode()';
COMMENT ON COLUMN postern.setting.kind IS 'text, int, number (low … high), ints (a comma-separated list), choice (one of choices)';
COMMENT ON COLUMN postern.setting.note IS 'One sentence for the operator: meaning and unit';

CREATE FUNCTION postern.now() RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT clock_timestamp()';
COMMENT ON FUNCTION postern.now() IS 'The database''s clock: every deadline and timer is measured by it. The machine''s clock, except in a test installation (test/clock.sql).';
GRANT EXECUTE ON FUNCTION postern.now() TO PUBLIC;

CREATE FUNCTION postern.setting(p_key text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT value FROM postern.setting WHERE key = p_key';
COMMENT ON FUNCTION postern.setting(text) IS 'The value of a setting; NULL if there is none of that name';
GRANT EXECUTE ON FUNCTION postern.setting(text) TO PUBLIC;

CREATE FUNCTION postern.check_setting() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_part text;
BEGIN
    IF NEW.kind = 'choice' AND NOT NEW.value = ANY (NEW.choices) THEN
        RAISE EXCEPTION 'setting % is one of %, not "%"', NEW.key,
            array_to_string(NEW.choices, ', '), NEW.value USING ERRCODE = 'PT006';
    ELSIF NEW.kind IN ('int', 'number', 'ints') THEN
        FOREACH v_part IN ARRAY string_to_array(NEW.value, ',') LOOP
            IF btrim(v_part) !~ (CASE NEW.kind WHEN 'number' THEN '^-?\d{1,15}(\.\d{1,9})?$'
                                               ELSE '^-?\d{1,9}$' END) THEN
                RAISE EXCEPTION 'setting % takes %, not "%"', NEW.key,
                    CASE NEW.kind WHEN 'ints' THEN 'whole numbers with commas between'
                                  WHEN 'int' THEN 'a whole number' ELSE 'a number' END,
                    NEW.value USING ERRCODE = 'PT006';
            END IF;
            IF btrim(v_part)::numeric < NEW.low OR btrim(v_part)::numeric > NEW.high THEN
                RAISE EXCEPTION 'setting % lies between % and %, not %', NEW.key, NEW.low,
                    coalesce(NEW.high::text, 'any height'), btrim(v_part) USING ERRCODE = 'PT006';
            END IF;
        END LOOP;
        IF NEW.value = '' OR (NEW.kind <> 'ints' AND NEW.value LIKE '%,%') THEN
            RAISE EXCEPTION 'setting % takes one value, not "%"', NEW.key, NEW.value
                USING ERRCODE = 'PT006';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION postern.check_setting() IS 'Refuses a value that does not fit its setting''s kind and range';
CREATE TRIGGER check_setting BEFORE INSERT OR UPDATE ON postern.setting
    FOR EACH ROW EXECUTE FUNCTION postern.check_setting();

INSERT INTO postern.setting (key, value, kind, low, high, choices, note) VALUES
 ('mode', 'shadow', 'choice', NULL, NULL, '{shadow,enforce}', 'shadow: record what would be done; enforce: do it. Changed by set_mode()'),
 ('authserv_id', '', 'text', NULL, NULL, NULL, 'The name our own mail server writes into Authentication-Results; results of others are never trusted'),
 ('block.at', '900', 'int', 300, 1000, NULL, 'Evidence from which a verdict of band block closes ports without a warning first'),
 ('watch.hours', '24', 'int', 1, 720, NULL, 'How long a unit counts as watched after a verdict, hours'),
 ('deadline.hours', '24', 'int', 4, 168, NULL, 'Time to put things right, counted from the moment the mail server accepted the warning, hours'),
 ('deadline.grace_hours', '4', 'int', 0, 24, NULL, 'Spam sent this soon after the accepted warning is not held against the customer, hours'),
 ('deadline.dispute_hours', '72', 'int', 1, 720, NULL, 'The longest time for which a dispute stops the clock, hours'),
 ('ladder', '3600,86400,604800,2592000', 'ints', 60, 31536000, NULL, 'Shortest time a block lasts, by level, seconds; the last one repeats'),
 ('ladder.decay_days', '30', 'int', 1, 3650, NULL, 'The level falls by one for so many days without a block, days'),
 ('probation.days', '30', 'int', 1, 365, NULL, 'After a release or a resolved warning a flag blocks at once for so long, days'),
 ('complaint.warn_at', '1.0', 'number', 0.1, 100, NULL, 'Sum of weights that warns'),
 ('complaint.window_days', '7', 'int', 1, 30, NULL, 'Complaints of so many days are added up, days'),
 ('complaint.max_age_days', '30', 'int', 1, 365, NULL, 'A complaint about older spam is stored and not counted, days'),
 ('complaint.sources', '3', 'int', 1, 100, NULL, 'So many different reporters replace an authenticated one'),
 ('complaint.weight_unauthenticated', '0.6', 'number', 0, 1, NULL, 'Share of an enrolled reporter''s weight if the mail was not authenticated'),
 ('complaint.weight_anonymous', '0.2', 'number', 0, 1, NULL, 'Weight of a reporter who is not enrolled'),
 ('breaker', 'closed', 'choice', NULL, NULL, '{closed,open}', 'open: no new warnings and no new blocks; verdicts are kept and marked as held back'),
 ('breaker.blocks_per_hour', '200', 'int', 0, 1000000, NULL, 'More new blocks than this within an hour hold further ones back and alarm; 0: no limit'),
 ('freeze.mode', 'propose', 'choice', NULL, NULL, '{propose,auto}', 'propose: a person approves each freeze; auto: none does'),
 ('mail.from', 'Abuse desk <abuse@localhost>', 'text', NULL, NULL, NULL, 'From header of mails to customers'),
 ('mail.bounce', 'bounces@localhost', 'text', NULL, NULL, NULL, 'Mailbox that takes bounces; each mail''s envelope adds +TOKEN to its local part'),
 ('mail.domain', 'localhost', 'text', NULL, NULL, NULL, 'Right side of our Message-IDs'),
 ('mail.locale', 'en', 'text', NULL, NULL, NULL, 'Language of customers who have none of their own'),
 ('mail.tz', 'UTC', 'text', NULL, NULL, NULL, 'Time zone of customers who have none of their own'),
 ('mail.transport', '', 'text', NULL, NULL, NULL, 'Transport hint handed to the mailer (smtp://…, maildir:…); empty: the mailer''s own configuration'),
 ('mail.resends', '10', 'int', 1, 100, NULL, 'A mail in whose sending a worker died is sent again so often, with the same Message-ID; then it is uncertain'),
 ('mail.give_up_hours', '120', 'int', 1, 720, NULL, 'A mail that no server took for so long is given up, hours'),
 ('page.url', '', 'text', NULL, NULL, NULL, 'Where customers find their addresses; mails link to PAGE/ip/UNIT; empty: there is no page, mails name none'),
 ('import.max_removed_percent', '10', 'int', 0, 100, NULL, 'customers import refuses to remove more than this share without --force, per cent');

RESET ROLE;
