-- SPDX-License-Identifier: Apache-2.0
-- Roles, settings, tables, and what the scorer calls. The functions that decide a unit's fate
-- follow in 0002 and later.
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
    EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO postern_owner', current_database());
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
 ('mail.give_up_hours', '120', 'int', 1, 720, NULL, 'A mail that no server took for so long is given up, hours'),
 ('page.url', '', 'text', NULL, NULL, NULL, 'Where customers find their addresses; mails link to PAGE/ip/UNIT; empty: there is no page, mails name none'),
 ('import.max_removed_percent', '10', 'int', 0, 100, NULL, 'customers import refuses to remove more than this share without --force, per cent');

-- ------------------------------------------------- networks, customers, what belongs to whom

CREATE TABLE postern.network (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    net cidr NOT NULL,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    note text NOT NULL DEFAULT '',
    actor text NOT NULL,
    CONSTRAINT network_once EXCLUDE USING gist (net inet_ops WITH =, during WITH &&)
);
COMMENT ON TABLE postern.network IS 'Our own address space. Only addresses inside a network in force are judged';
COMMENT ON COLUMN postern.network.during IS 'When it was ours; the first row of a prefix has no lower bound';

CREATE TABLE postern.customer (
    id text PRIMARY KEY CHECK (id <> '' AND length(id) <= 200),
    name text NOT NULL,
    locale text,
    tz text,
    imported_at timestamptz NOT NULL,
    removed_at timestamptz
);
COMMENT ON TABLE postern.customer IS 'Customers as the hoster''s own system names them (customers import)';
COMMENT ON COLUMN postern.customer.id IS 'The hoster''s customer number';
COMMENT ON COLUMN postern.customer.locale IS 'Language of mails: en, de …; NULL: setting mail.locale';
COMMENT ON COLUMN postern.customer.tz IS 'IANA time zone; NULL: setting mail.tz';
COMMENT ON COLUMN postern.customer.removed_at IS 'When an import no longer named them; history keeps the row';

CREATE TABLE postern.contact (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer text NOT NULL REFERENCES postern.customer (id),
    net cidr,
    kind text NOT NULL CHECK (kind IN ('security', 'abuse', 'owner')),
    email text NOT NULL CHECK (email ~ '^[^[:space:]<>,;"@]+@[^[:space:]<>,;"@]+$' AND length(email) <= 254),
    bounced_at timestamptz,
    UNIQUE NULLS NOT DISTINCT (customer, net, kind, email)
);
COMMENT ON TABLE postern.contact IS 'Who gets mail for a customer. The most specific net wins, then security, abuse, owner';
COMMENT ON COLUMN postern.contact.net IS 'Only for addresses in it; NULL: for all of the customer''s';
COMMENT ON COLUMN postern.contact.bounced_at IS 'Last time a mail server refused this address for good';

CREATE TABLE postern.ip_assignment (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    net cidr NOT NULL,
    customer text NOT NULL REFERENCES postern.customer (id),
    type text NOT NULL DEFAULT '',
    service_name text NOT NULL DEFAULT '',
    unit_len int NOT NULL CHECK (unit_len = 32 AND family(net) = 4
                                 OR unit_len BETWEEN 48 AND 64 AND family(net) = 6),
    shared boolean NOT NULL DEFAULT false,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    CONSTRAINT ip_assignment_once EXCLUDE USING gist (net inet_ops WITH =, during WITH &&)
);
CREATE INDEX ip_assignment_customer ON postern.ip_assignment (customer);
COMMENT ON TABLE postern.ip_assignment IS 'Which customer had which addresses when. Nested nets are allowed (resellers): the most specific one wins';
COMMENT ON COLUMN postern.ip_assignment.type IS 'What it is used for, in the hoster''s words: dedicated, vps, cloud …';
COMMENT ON COLUMN postern.ip_assignment.unit_len IS 'Length of the prefix that is judged and blocked as one: 32, or 48 … 64 for IPv6';
COMMENT ON COLUMN postern.ip_assignment.shared IS 'Many users behind one address (NAT, shared hosting, relay): never frozen';
COMMENT ON COLUMN postern.ip_assignment.during IS 'The tenancy. The first one of an address has no lower bound';

CREATE TABLE postern.never_block (
    net cidr PRIMARY KEY,
    reason text NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE postern.never_block IS 'Our own infrastructure: verdicts are stored and stand in the NOC report; no mail, no block, no freeze';

CREATE TABLE postern.exemption (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    net cidr NOT NULL,
    kind text NOT NULL DEFAULT 'volume' CHECK (kind IN ('volume', 'all')),
    ceiling double precision CHECK (ceiling > 0),
    during tstzrange NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    actor text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX exemption_net ON postern.exemption USING gist (net inet_ops);
COMMENT ON TABLE postern.exemption IS 'Addresses that may send much: an exemption has an end, an author and a reason';
COMMENT ON COLUMN postern.exemption.kind IS 'volume: verdicts do not act; all: complaints do not act either';
COMMENT ON COLUMN postern.exemption.ceiling IS 'Sessions in a verdict''s window up to which it holds; NULL: any number';
COMMENT ON COLUMN postern.exemption.during IS 'From its creation to its end (exclusive)';

CREATE TABLE postern.reporter (
    domain text PRIMARY KEY CHECK (domain = lower(domain)),
    weight double precision NOT NULL DEFAULT 1.0 CHECK (weight BETWEEN 0 AND 10),
    enrolled_at timestamptz NOT NULL,
    note text NOT NULL DEFAULT ''
);
COMMENT ON TABLE postern.reporter IS 'Reporters we enrolled: their authenticated complaints count in full. Everyone else is anonymous';
COMMENT ON COLUMN postern.reporter.weight IS 'Weight of an authenticated complaint; 1.0 is enough to warn';

-- --------------------------------------------------------- written by the scorer (one tick each)

CREATE TABLE postern.bus_offset (
    topic text NOT NULL,
    partition int NOT NULL CHECK (partition >= 0),
    position bigint NOT NULL DEFAULT -2,
    epoch bigint NOT NULL DEFAULT 0,
    owner text NOT NULL DEFAULT '',
    input_id bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE postern.bus_offset IS 'How far the scorer has read. The truth: moved in the transaction that writes the results';
COMMENT ON COLUMN postern.bus_offset.position IS 'Offset of the next message; -2: the oldest retained one';
COMMENT ON COLUMN postern.bus_offset.epoch IS 'Grows with each take_partition(). A commit names its epoch: a scorer that lost the partition commits nothing';
COMMENT ON COLUMN postern.bus_offset.owner IS 'Who took it last, for people';
COMMENT ON COLUMN postern.bus_offset.input_id IS 'Last scorer_input that was applied (row of postern.smtp)';

CREATE TABLE postern.bus_producer (
    topic text NOT NULL,
    partition int NOT NULL,
    producer text NOT NULL CHECK (length(producer) <= 200),
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, producer)
);
COMMENT ON TABLE postern.bus_producer IS 'Last batch taken from each producer: a batch that was sent twice counts once';

CREATE TABLE postern.scorer_input (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('released', 'exempted', 'false_positive', 'unit_len', 'reassigned')),
    unit inet NOT NULL,
    ceiling double precision,
    unit_len int,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE postern.scorer_input IS 'Decisions that change scoring. Each tick reads the new ones and commits the last id with its position';
COMMENT ON COLUMN postern.scorer_input.unit IS 'A unit, or for exempted, unit_len and reassigned a net';
COMMENT ON COLUMN postern.scorer_input.ceiling IS 'exempted: sessions an hour up to which the exemption holds; NULL: any number; 0: it ended';

CREATE FUNCTION postern.queue_up() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('postern.' || TG_TABLE_NAME));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.queue_up() IS 'Trigger, before the statement takes its ids: writers wait for one another until commit, so ids become visible in their order and a reader that remembers the last one misses none';
CREATE TRIGGER queue_up BEFORE INSERT ON postern.scorer_input
    FOR EACH STATEMENT EXECUTE FUNCTION postern.queue_up();

CREATE TABLE postern.scorer_input_applied (
    partition int NOT NULL,
    input_id bigint NOT NULL REFERENCES postern.scorer_input (id),
    position bigint NOT NULL,
    PRIMARY KEY (partition, input_id)
);
COMMENT ON TABLE postern.scorer_input_applied IS 'Before which position of postern.smtp a partition applied an input, so that a replay applies it at the same place';

CREATE TABLE postern.verdict (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit postern.unit NOT NULL,
    partition int NOT NULL,
    position bigint NOT NULL,
    episode timestamptz NOT NULL,
    band text NOT NULL CHECK (band IN ('watch', 'flag', 'block')),
    crossed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    ended_at timestamptz,
    evidence real NOT NULL,
    score int NOT NULL,
    sessions_seen double precision NOT NULL,
    sessions_low double precision NOT NULL,
    destinations_seen double precision NOT NULL,
    usual double precision NOT NULL,
    window_s int NOT NULL,
    channel text NOT NULL CHECK (channel IN ('S', 'D')),
    pair text NOT NULL CHECK (pair IN ('smtp', 'submission')),
    failed bigint NOT NULL,
    ports int[] NOT NULL,
    sampling double precision NOT NULL,
    cold boolean NOT NULL,
    exporters inet[] NOT NULL,
    reasons jsonb NOT NULL DEFAULT '[]',
    samples jsonb NOT NULL DEFAULT '[]',
    model text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT postern.now(),
    applied_at timestamptz,
    action text,
    customer text,
    case_id bigint,
    apply_error text,
    apply_tries int NOT NULL DEFAULT 0,
    apply_after timestamptz,
    UNIQUE (unit, episode, band)
);
CREATE INDEX verdict_unit ON postern.verdict USING gist (unit inet_ops);
CREATE INDEX verdict_crossed ON postern.verdict (crossed_at);
CREATE INDEX verdict_due ON postern.verdict (crossed_at, id) WHERE applied_at IS NULL;
CREATE INDEX verdict_case ON postern.verdict (case_id) WHERE case_id IS NOT NULL;
COMMENT ON TABLE postern.verdict IS 'The scorer''s statements: a unit crossed a band. One per unit, episode and band; the episode''s end completes its evidence and never applies it again';
COMMENT ON COLUMN postern.verdict.position IS 'Bus offset of the batch that crossed';
COMMENT ON COLUMN postern.verdict.episode IS 'Event time of the episode''s first sighting; names the episode';
COMMENT ON COLUMN postern.verdict.band IS 'watch, flag (warns) or block (blocks at once)';
COMMENT ON COLUMN postern.verdict.crossed_at IS 'Event time of the crossing';
COMMENT ON COLUMN postern.verdict.received_at IS 'When the record that crossed reached the collector';
COMMENT ON COLUMN postern.verdict.ended_at IS 'When the episode was over: the row is final';
COMMENT ON COLUMN postern.verdict.evidence IS '0 … 1000: a unit within its habits reaches E on at most 10^(-E/100) of its days';
COMMENT ON COLUMN postern.verdict.score IS '0 … 1000: evidence and the named reasons together';
COMMENT ON COLUMN postern.verdict.sessions_seen IS 'Mail sessions seen in the current and the previous window, as sampled';
COMMENT ON COLUMN postern.verdict.sessions_low IS 'Lower bound on the true number of sessions';
COMMENT ON COLUMN postern.verdict.usual IS 'What this unit is expected to show in the window at most';
COMMENT ON COLUMN postern.verdict.window_s IS 'Length of the window that decided, seconds';
COMMENT ON COLUMN postern.verdict.channel IS 'S: sessions decided, D: destinations decided';
COMMENT ON COLUMN postern.verdict.pair IS 'smtp: port 25; submission: 465, 587, 2525';
COMMENT ON COLUMN postern.verdict.failed IS 'Sessions that look like failed openings';
COMMENT ON COLUMN postern.verdict.sampling IS 'Effective N of 1:N over all exporters';
COMMENT ON COLUMN postern.verdict.cold IS 'The unit had no history of mail';
COMMENT ON COLUMN postern.verdict.reasons IS 'Array of {name, points, text}: text is a sentence for the customer';
COMMENT ON COLUMN postern.verdict.samples IS 'Array of flows {at_ns (UTC), destination, port, src_port, packets, bytes, tcp_flags}, at most 16';
COMMENT ON COLUMN postern.verdict.applied_at IS 'When apply_verdict() took it; NULL: due';
COMMENT ON COLUMN postern.verdict.action IS 'What apply_verdict() did: none, watched, warned, blocked, appended, unassigned, other-tenancy, exempt, never-block, held, shadow-…';
COMMENT ON COLUMN postern.verdict.customer IS 'Tenant at the time of the crossing';
COMMENT ON COLUMN postern.verdict.apply_error IS 'Why it could not be applied; alarms';

CREATE TABLE postern.complaint (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition int,
    position bigint,
    outcome text NOT NULL CHECK (outcome IN ('complaint', 'not-a-complaint', 'bounce')),
    format text,
    feedback_type text,
    category text,
    source_ip inet,
    source_port int,
    arrived_at timestamptz,
    received_at timestamptz NOT NULL,
    message_id text,
    reported_domain text,
    reporter text,
    authenticated boolean NOT NULL DEFAULT false,
    report_id text,
    sha256 bytea NOT NULL,
    incidents int NOT NULL DEFAULT 1,
    size_bytes bigint,
    created_at timestamptz NOT NULL DEFAULT postern.now(),
    enrolled boolean,
    weight double precision,
    counted boolean,
    unit postern.unit,
    customer text,
    case_id bigint,
    applied_at timestamptz,
    action text,
    apply_error text,
    apply_tries int NOT NULL DEFAULT 0,
    apply_after timestamptz
);
CREATE INDEX complaint_unit ON postern.complaint (unit, received_at);
CREATE INDEX complaint_unit_net ON postern.complaint USING gist (unit inet_ops);
CREATE INDEX complaint_received ON postern.complaint (received_at);
CREATE INDEX complaint_due ON postern.complaint (id) WHERE applied_at IS NULL;
COMMENT ON TABLE postern.complaint IS 'What others reported about our addresses. Stored always, counted only if it is attributed to the current tenancy';
COMMENT ON COLUMN postern.complaint.format IS 'arf, xarf, …: which reader understood it';
COMMENT ON COLUMN postern.complaint.category IS 'spam, phishing, malware, botnet, other: chooses the measure';
COMMENT ON COLUMN postern.complaint.source_ip IS 'The accused address as reported';
COMMENT ON COLUMN postern.complaint.arrived_at IS 'When the spam was sent, as reported; NULL: unknown';
COMMENT ON COLUMN postern.complaint.received_at IS 'When the report reached us';
COMMENT ON COLUMN postern.complaint.message_id IS 'Message-ID of the spam, without <>';
COMMENT ON COLUMN postern.complaint.reporter IS 'Domain of the reporter: as authenticated, else as claimed';
COMMENT ON COLUMN postern.complaint.authenticated IS 'Our own mail server vouches for the reporter''s domain';
COMMENT ON COLUMN postern.complaint.enrolled IS 'The reporter stood in table reporter when it was applied';
COMMENT ON COLUMN postern.complaint.weight IS 'Authenticated and enrolled 1.0, enrolled 0.6, anonymous 0.2 (settings)';
COMMENT ON COLUMN postern.complaint.counted IS 'It counts towards a warning; otherwise action says why not';
COMMENT ON COLUMN postern.complaint.unit IS 'The unit that holds source_ip, if it is ours';
COMMENT ON COLUMN postern.complaint.customer IS 'Tenant when the spam was sent';

CREATE TABLE postern.complaint_seen (
    dedup_key text PRIMARY KEY,
    complaint_id bigint,
    seen_at timestamptz NOT NULL
);
COMMENT ON TABLE postern.complaint_seen IS 'Reports that arrived before: the same one counts once, however often it is sent';
COMMENT ON COLUMN postern.complaint_seen.dedup_key IS 'Hash of reporter, report id (else content) and incident';

CREATE TABLE postern.complaint_unparsed (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition int,
    position bigint,
    format text,
    reporter text,
    reason text NOT NULL,
    sha256 bytea NOT NULL,
    size_bytes bigint,
    received_at timestamptz NOT NULL
);
COMMENT ON TABLE postern.complaint_unparsed IS 'Mails that look like complaints and could not be read: they alarm, they never vanish';

CREATE TABLE postern.smtp_activity (
    unit postern.unit NOT NULL,
    bucket timestamptz NOT NULL,
    sessions bigint NOT NULL DEFAULT 0,
    destinations bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    packets bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    ports int NOT NULL DEFAULT 0,
    PRIMARY KEY (unit, bucket)
) PARTITION BY RANGE (bucket);
CREATE TABLE postern.smtp_activity_default PARTITION OF postern.smtp_activity DEFAULT;
COMMENT ON TABLE postern.smtp_activity IS 'What each unit sent, in steps of 5 minutes of event time; partitioned by month';
COMMENT ON TABLE postern.smtp_activity_default IS 'Activity of months that have no partition yet; make_partitions() moves it';
COMMENT ON COLUMN postern.smtp_activity.sessions IS 'New mail sessions, as sampled';
COMMENT ON COLUMN postern.smtp_activity.destinations IS 'New destinations, as sampled';
COMMENT ON COLUMN postern.smtp_activity.failed IS 'Sessions that look like failed openings';
COMMENT ON COLUMN postern.smtp_activity.ports IS 'Mail ports seen, added bits: 1 = 25, 2 = 465, 4 = 587, 8 = 2525';

CREATE TABLE postern.exporter_loss (
    hour timestamptz NOT NULL,
    exporter inet NOT NULL,
    domain bigint NOT NULL,
    received bigint NOT NULL DEFAULT 0,
    lost_network bigint NOT NULL DEFAULT 0,
    lost_kernel bigint NOT NULL DEFAULT 0,
    lost_malformed bigint NOT NULL DEFAULT 0,
    lost_no_template bigint NOT NULL DEFAULT 0,
    lost_not_admitted bigint NOT NULL DEFAULT 0,
    lost_queue bigint NOT NULL DEFAULT 0,
    lost_spool bigint NOT NULL DEFAULT 0,
    lost_bus bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, exporter, domain)
);
COMMENT ON TABLE postern.exporter_loss IS 'Records received and lost per exporter and hour: what was not seen is known';
COMMENT ON COLUMN postern.exporter_loss.domain IS 'Observation domain (IPFIX), source id (v9), engine (v5)';
COMMENT ON COLUMN postern.exporter_loss.lost_network IS 'Gaps of the sequence: lost before our socket';
COMMENT ON COLUMN postern.exporter_loss.lost_kernel IS 'The socket''s queue was full';
COMMENT ON COLUMN postern.exporter_loss.lost_malformed IS 'Datagrams or records that break their format';
COMMENT ON COLUMN postern.exporter_loss.lost_no_template IS 'Data whose template never came';
COMMENT ON COLUMN postern.exporter_loss.lost_not_admitted IS 'Exporter not on the list, or over its bounds';
COMMENT ON COLUMN postern.exporter_loss.lost_queue IS 'The collector''s own queue was full';
COMMENT ON COLUMN postern.exporter_loss.lost_spool IS 'The spool threw its oldest away';
COMMENT ON COLUMN postern.exporter_loss.lost_bus IS 'The bus gave a batch up';

-- --------------------------------------------------------------- what became of a unit, and why

CREATE TABLE postern.spam_case (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE,
    unit postern.unit NOT NULL,
    customer text NOT NULL REFERENCES postern.customer (id),
    opened_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    closed_at timestamptz,
    outcome text CHECK (outcome IN ('released', 'resolved', 'false-positive', 'withdrawn', 'reassigned', 'frozen', 'shadow')),
    category text NOT NULL DEFAULT 'spam',
    shadow boolean NOT NULL DEFAULT false,
    first_message_id text,
    CHECK ((closed_at IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX spam_case_one_open ON postern.spam_case (unit, shadow) WHERE closed_at IS NULL;
CREATE INDEX spam_case_customer ON postern.spam_case (customer, opened_at);
CREATE INDEX spam_case_unit ON postern.spam_case USING gist (unit inet_ops);
CREATE SEQUENCE postern.spam_case_number;
COMMENT ON TABLE postern.spam_case IS 'Everything about one unit and one tenant, from the first warning or block until all is well again';
COMMENT ON COLUMN postern.spam_case.public_id IS 'PST-2026-000123: what customers and people quote';
COMMENT ON COLUMN postern.spam_case.category IS 'spam, phishing, malware, botnet, other: the worst that was reported';
COMMENT ON COLUMN postern.spam_case.outcome IS 'How it ended';
COMMENT ON COLUMN postern.spam_case.shadow IS 'Recorded in shadow mode: nobody was told, nothing was blocked';
COMMENT ON COLUMN postern.spam_case.first_message_id IS 'Message-ID of the case''s first mail: later ones refer to it';
COMMENT ON SEQUENCE postern.spam_case_number IS 'Number part of public ids; may have holes';

CREATE TABLE postern.evidence (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id bigint NOT NULL REFERENCES postern.spam_case (id),
    kind text NOT NULL CHECK (kind IN ('flow', 'complaint', 'bounce')),
    at timestamptz NOT NULL,
    destination inet,
    port int,
    message_id text,
    score int,
    reporter text,
    verdict_id bigint REFERENCES postern.verdict (id),
    complaint_id bigint REFERENCES postern.complaint (id)
);
CREATE INDEX evidence_case ON postern.evidence (case_id, at);
CREATE UNIQUE INDEX evidence_complaint_once ON postern.evidence (case_id, complaint_id) WHERE complaint_id IS NOT NULL;
CREATE UNIQUE INDEX evidence_flow_once ON postern.evidence (case_id, at, destination, port) WHERE kind = 'flow';
COMMENT ON TABLE postern.evidence IS 'Single mails and flows that a case rests on';
COMMENT ON COLUMN postern.evidence.message_id IS 'Known from complaints only; flows do not tell';
COMMENT ON COLUMN postern.evidence.score IS 'Score of the verdict it belongs to';

CREATE TABLE postern.ip_state (
    unit postern.unit PRIMARY KEY,
    customer text REFERENCES postern.customer (id),
    state text NOT NULL DEFAULT 'clear' CHECK (state IN ('clear', 'warned', 'blocked', 'unblocking', 'freeze_proposed', 'freeze_scheduled', 'frozen')),
    prior_state text,
    level int NOT NULL DEFAULT 0 CHECK (level >= 0),
    watched_until timestamptz,
    probation_until timestamptz,
    case_id bigint REFERENCES postern.spam_case (id),
    changed_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 0
);
CREATE INDEX ip_state_net ON postern.ip_state USING gist (unit inet_ops);
CREATE INDEX ip_state_state ON postern.ip_state (state) WHERE state <> 'clear';
COMMENT ON TABLE postern.ip_state IS 'Where a unit stands now. Changed by transition() only; its row lock serialises everything about the unit';
COMMENT ON COLUMN postern.ip_state.customer IS 'The tenant whom state, level and case belong to';
COMMENT ON COLUMN postern.ip_state.prior_state IS 'Where a freeze proposal goes back to';
COMMENT ON COLUMN postern.ip_state.level IS 'Step of the ladder reached by the last block of this customer and unit';
COMMENT ON COLUMN postern.ip_state.watched_until IS 'Being watched is a date, not a state';
COMMENT ON COLUMN postern.ip_state.probation_until IS 'Until then a flag blocks at once';
COMMENT ON COLUMN postern.ip_state.case_id IS 'The open case';
COMMENT ON COLUMN postern.ip_state.version IS 'Grows with every transition';

CREATE TABLE postern.block (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit postern.unit NOT NULL,
    customer text NOT NULL REFERENCES postern.customer (id),
    case_id bigint NOT NULL REFERENCES postern.spam_case (id),
    scope text NOT NULL CHECK (scope IN ('ports', 'address')),
    ports int[] NOT NULL,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    hold_until timestamptz NOT NULL,
    level int NOT NULL CHECK (level >= 1),
    cause text NOT NULL CHECK (cause IN ('verdict', 'deadline', 'relapse', 'freeze')),
    reason text NOT NULL,
    actor text NOT NULL,
    verdict_id bigint REFERENCES postern.verdict (id),
    enforced_at timestamptz,
    release_asked_at timestamptz,
    released_by text,
    release_reason text,
    false_positive boolean NOT NULL DEFAULT false,
    CHECK (scope = 'address' OR 25 = ANY (ports)),
    CONSTRAINT block_one_at_a_time EXCLUDE USING gist (unit inet_ops WITH &&, during WITH &&)
);
CREATE INDEX block_customer ON postern.block (customer, unit);
CREATE INDEX block_started ON postern.block (lower(during));
CREATE INDEX block_open ON postern.block (unit) WHERE upper_inf(during);
COMMENT ON TABLE postern.block IS 'Block history: every time a unit''s mail ports or its whole address were closed';
COMMENT ON COLUMN postern.block.scope IS 'ports: mail ports only; address: everything, reversibly';
COMMENT ON COLUMN postern.block.ports IS '25 always; 465, 587, 2525 where submission was abused; empty for scope address';
COMMENT ON COLUMN postern.block.during IS 'From the decision until the network confirmed that it is open again; no upper bound: in force';
COMMENT ON COLUMN postern.block.hold_until IS 'The customer may unblock from then on; never moved';
COMMENT ON COLUMN postern.block.level IS 'Step of the ladder: how often before, with decay';
COMMENT ON COLUMN postern.block.cause IS 'verdict: at once; deadline: a warning was not heeded; relapse: spam while being released; freeze: ports closed when a freeze was proposed';
COMMENT ON COLUMN postern.block.reason IS 'A sentence for customer and desk';
COMMENT ON COLUMN postern.block.enforced_at IS 'When every required adapter had confirmed it';
COMMENT ON COLUMN postern.block.release_asked_at IS 'When the release began (customer or officer)';
COMMENT ON COLUMN postern.block.false_positive IS 'An officer said so: the level does not count';

CREATE TABLE postern.warning (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id bigint NOT NULL REFERENCES postern.spam_case (id),
    unit postern.unit NOT NULL,
    customer text NOT NULL REFERENCES postern.customer (id),
    cause text NOT NULL CHECK (cause IN ('verdict', 'complaint')),
    category text NOT NULL,
    repeat int NOT NULL CHECK (repeat >= 1),
    reason text NOT NULL,
    ports int[] NOT NULL DEFAULT '{25}',
    state text NOT NULL CHECK (state IN ('mailing', 'running', 'disputed', 'suspended', 'resolved', 'missed', 'overtaken', 'withdrawn')),
    opened_at timestamptz NOT NULL,
    duration interval NOT NULL,
    accepted_at timestamptz,
    deadline timestamptz,
    extended_to timestamptz,
    stopped_at timestamptz,
    fixed_at timestamptz,
    closed_at timestamptz,
    CHECK (state <> 'running' OR deadline IS NOT NULL),
    CHECK ((deadline IS NULL) = (accepted_at IS NULL))
);
CREATE UNIQUE INDEX warning_one_open ON postern.warning (unit) WHERE closed_at IS NULL;
CREATE INDEX warning_case ON postern.warning (case_id);
CREATE INDEX warning_deadline ON postern.warning (deadline) WHERE closed_at IS NULL;
COMMENT ON TABLE postern.warning IS 'A warning with its deadline. The clock starts when the customer''s mail server accepted the mail';
COMMENT ON COLUMN postern.warning.repeat IS 'How often this customer and unit were warned in this category, this time included';
COMMENT ON COLUMN postern.warning.ports IS 'Ports that a block after the deadline closes';
COMMENT ON COLUMN postern.warning.state IS 'mailing: not accepted yet; running: the clock runs; disputed: an officer decides; suspended: the mail cannot be delivered, a person decides; resolved, missed, overtaken by a block, withdrawn: closed';
COMMENT ON COLUMN postern.warning.duration IS 'Time that the customer has';
COMMENT ON COLUMN postern.warning.accepted_at IS 'When a mail server accepted the warning';
COMMENT ON COLUMN postern.warning.deadline IS 'accepted_at + duration, moved by extension or dispute';
COMMENT ON COLUMN postern.warning.stopped_at IS 'disputed: when the clock stopped';
COMMENT ON COLUMN postern.warning.fixed_at IS 'The customer stated that it is fixed; the deadline stays as the moment of proof';

CREATE TABLE postern.statement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id bigint NOT NULL REFERENCES postern.spam_case (id),
    kind text NOT NULL CHECK (kind IN ('fixed', 'disputed')),
    text text NOT NULL CHECK (length(text) <= 10000),
    actor text NOT NULL,
    made_at timestamptz NOT NULL,
    accepted boolean NOT NULL
);
CREATE INDEX statement_case ON postern.statement (case_id);
COMMENT ON TABLE postern.statement IS 'What customers said about a case';
COMMENT ON COLUMN postern.statement.accepted IS 'It changed something (once per case and kind while warned); otherwise only kept';

CREATE TABLE postern.timer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dedup_key text NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('reminder', 'deadline', 'dispute_over', 'probation_over')),
    unit postern.unit NOT NULL,
    warning_id bigint REFERENCES postern.warning (id),
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    fired_at timestamptz,
    result text,
    error text,
    tries int NOT NULL DEFAULT 0
);
CREATE INDEX timer_due ON postern.timer (due_at) WHERE fired_at IS NULL;
CREATE INDEX timer_unit ON postern.timer (unit) WHERE fired_at IS NULL;
COMMENT ON TABLE postern.timer IS 'Everything that happens by time alone. Fired once; a cancelled one is fired with result cancelled';

CREATE TABLE postern.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dedup_key text NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('warning', 'reminder', 'blocked', 'resolved', 'released', 'freeze-notice', 'frozen', 'digest')),
    unit postern.unit,
    customer text NOT NULL REFERENCES postern.customer (id),
    case_id bigint REFERENCES postern.spam_case (id),
    warning_id bigint REFERENCES postern.warning (id),
    contact_email text NOT NULL,
    locale text NOT NULL,
    tz text NOT NULL,
    message_id text NOT NULL UNIQUE,
    references_id text,
    envelope_from text NOT NULL,
    vars jsonb NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sending', 'done', 'failed', 'uncertain', 'superseded')),
    attempts int NOT NULL DEFAULT 0,
    resends int NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    worker text,
    lease_until timestamptz,
    created_at timestamptz NOT NULL,
    accepted_at timestamptz,
    code int,
    detail text
);
CREATE INDEX outbox_due ON postern.outbox (next_at) WHERE state IN ('pending', 'sending');
CREATE INDEX outbox_case ON postern.outbox (case_id);
CREATE INDEX outbox_customer ON postern.outbox (customer, created_at);
COMMENT ON TABLE postern.outbox IS 'Mails to customers, written in the transaction of the change they tell of, sent by postern-dispatch --work=mail';
COMMENT ON COLUMN postern.outbox.dedup_key IS 'Names the occasion and the recipient: one occasion makes one mail';
COMMENT ON COLUMN postern.outbox.message_id IS 'Without <>. The same for ever, also when the mail is sent again after a crash';
COMMENT ON COLUMN postern.outbox.references_id IS 'Message-ID of the case''s first mail; NULL for that one';
COMMENT ON COLUMN postern.outbox.envelope_from IS 'Own bounce address of this mail (VERP)';
COMMENT ON COLUMN postern.outbox.vars IS 'Everything a template may show; docs/schema.md lists it';
COMMENT ON COLUMN postern.outbox.state IS 'pending; sending: committed before DATA; done: accepted; failed: refused or given up; uncertain: broken off twice after DATA; superseded: not sent, a later event made it untrue';
COMMENT ON COLUMN postern.outbox.resends IS 'Times it was sent again after breaking off within DATA: at most one';
COMMENT ON COLUMN postern.outbox.lease_until IS 'Its worker has it until then';

CREATE TABLE postern.adapter (
    name text PRIMARY KEY,
    enabled boolean NOT NULL,
    required boolean NOT NULL,
    note text NOT NULL DEFAULT ''
);
COMMENT ON TABLE postern.adapter IS 'Ways into the network. A unit counts as open when every required one has confirmed';
INSERT INTO postern.adapter VALUES ('null', true, true, 'Touches nothing and confirms at once');

CREATE TABLE postern.enforcement (
    unit postern.unit NOT NULL,
    adapter text NOT NULL REFERENCES postern.adapter (name),
    action text NOT NULL CHECK (action IN ('open', 'block_ports', 'block_address', 'freeze')),
    ports int[] NOT NULL DEFAULT '{}',
    reason text NOT NULL,
    desired_generation bigint NOT NULL DEFAULT 1,
    desired_at timestamptz NOT NULL,
    applied_generation bigint NOT NULL DEFAULT 0,
    applied_action text,
    applied_at timestamptz,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'applied', 'failed')),
    attempts int NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL,
    worker text,
    lease_until timestamptz,
    error text,
    PRIMARY KEY (unit, adapter)
);
CREATE INDEX enforcement_due ON postern.enforcement (adapter, next_at) WHERE state <> 'applied';
COMMENT ON TABLE postern.enforcement IS 'What the network should do about a unit, and what each adapter confirmed';
COMMENT ON COLUMN postern.enforcement.action IS 'What is wanted: open, block_ports, block_address, freeze';
COMMENT ON COLUMN postern.enforcement.desired_generation IS 'Grows with every new wish; a confirmation of an older one settles nothing';
COMMENT ON COLUMN postern.enforcement.applied_generation IS 'The newest generation that the adapter confirmed';
COMMENT ON COLUMN postern.enforcement.state IS 'pending; applied: the newest wish is confirmed; failed: refused, tried again hourly, alarms';

CREATE TABLE postern.measure (
    category text NOT NULL CHECK (category IN ('spam', 'phishing', 'malware', 'botnet', 'other')),
    repeat_from int NOT NULL CHECK (repeat_from >= 1),
    scope text NOT NULL CHECK (scope IN ('ports', 'address')),
    note text NOT NULL,
    PRIMARY KEY (category, repeat_from)
);
COMMENT ON TABLE postern.measure IS 'What a missed deadline leads to, by what was reported and how often. The row with the greatest repeat_from not above the count decides';
INSERT INTO postern.measure VALUES
 ('spam', 1, 'ports', 'Spam closes the mail ports'),
 ('other', 1, 'ports', 'Everything else that is mailed closes the mail ports'),
 ('phishing', 1, 'ports', 'First time: the mail ports'),
 ('phishing', 2, 'address', 'From the second time on: the whole address, until it is released'),
 ('malware', 1, 'ports', 'First time: the mail ports'),
 ('malware', 2, 'address', 'From the second time on: the whole address, until it is released'),
 ('botnet', 1, 'ports', 'First time: the mail ports'),
 ('botnet', 2, 'address', 'From the second time on: the whole address, until it is released');

CREATE TABLE postern.freeze_proposal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit postern.unit NOT NULL,
    customer text REFERENCES postern.customer (id),
    case_id bigint REFERENCES postern.spam_case (id),
    zone text NOT NULL,
    state text NOT NULL DEFAULT 'proposed' CHECK (state IN ('proposed', 'scheduled', 'committed', 'withdrawn')),
    proposer text NOT NULL,
    proposed_at timestamptz NOT NULL,
    approver text,
    approved_at timestamptz,
    freeze_at timestamptz,
    confirmed_at timestamptz,
    evidence_digest bytea,
    note text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX freeze_proposal_one_open ON postern.freeze_proposal (unit) WHERE state IN ('proposed', 'scheduled');
COMMENT ON TABLE postern.freeze_proposal IS 'The way to a freeze: proposed by a person or a listing, approved, announced, carried out';
COMMENT ON COLUMN postern.freeze_proposal.confirmed_at IS 'Last time the listing was seen while the list answered its test points rightly';
COMMENT ON COLUMN postern.freeze_proposal.freeze_at IS 'Not before; the customer was told';

CREATE TABLE postern.ip_freeze (
    unit postern.unit PRIMARY KEY,
    frozen_at timestamptz NOT NULL,
    customer text REFERENCES postern.customer (id),
    case_id bigint REFERENCES postern.spam_case (id),
    proposal_id bigint NOT NULL UNIQUE REFERENCES postern.freeze_proposal (id),
    zone text NOT NULL,
    proposer text NOT NULL,
    approver text NOT NULL,
    evidence_digest bytea
);
COMMENT ON TABLE postern.ip_freeze IS 'Addresses closed for ever. Rows come from commit_freeze() only and are never changed or removed: triggers that fire always refuse it';

CREATE TABLE postern.shadow_action (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id bigint NOT NULL REFERENCES postern.spam_case (id),
    unit postern.unit NOT NULL,
    customer text NOT NULL,
    action text NOT NULL CHECK (action IN ('warned', 'blocked')),
    at timestamptz NOT NULL,
    reason text NOT NULL,
    times int NOT NULL DEFAULT 1,
    UNIQUE (case_id, action)
);
CREATE INDEX shadow_action_at ON postern.shadow_action (at);
COMMENT ON TABLE postern.shadow_action IS 'What would have been done, had the mode been enforce';

CREATE TABLE postern.noc_alarm (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL,
    raised_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    times int NOT NULL DEFAULT 1,
    cleared_at timestamptz,
    cleared_by text
);
CREATE UNIQUE INDEX noc_alarm_one_open ON postern.noc_alarm (kind, subject) WHERE cleared_at IS NULL;
COMMENT ON TABLE postern.noc_alarm IS 'What a person has to look at. The same thing again counts up instead of adding a row';
COMMENT ON COLUMN postern.noc_alarm.kind IS 'unreadable-complaint, apply-error, mail-failed, mail-uncertain, no-contact, deadline-suspended, order-failed, breaker, …: docs/schema.md lists them';

CREATE TABLE postern.audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    login text NOT NULL,
    unit postern.unit,
    customer text,
    case_id bigint,
    event text NOT NULL,
    from_state text,
    to_state text,
    effect text,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_event_unit ON postern.audit_event USING gist (unit inet_ops);
CREATE INDEX audit_event_at ON postern.audit_event (at);
COMMENT ON TABLE postern.audit_event IS 'Every transition and every change by people, in order. Never changed or removed';
COMMENT ON COLUMN postern.audit_event.actor IS 'Who, as the caller names itself: customer, officer, dispatcher';
COMMENT ON COLUMN postern.audit_event.login IS 'Who, as PostgreSQL knows: session_user';
COMMENT ON COLUMN postern.audit_event.event IS 'Event of table state_transition, or what a person changed (mode, setting, import …)';

ALTER TABLE postern.verdict ADD FOREIGN KEY (case_id) REFERENCES postern.spam_case (id);
ALTER TABLE postern.complaint ADD FOREIGN KEY (case_id) REFERENCES postern.spam_case (id);

-- ------------------------------------------------------------------------ guards of the two records

CREATE FUNCTION postern.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: its rows are kept for ever', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'PT005';
END
$$;
COMMENT ON FUNCTION postern.refuse_change() IS 'Trigger: refuses whatever fired it';

CREATE FUNCTION postern.only_the_freezer() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF current_user <> 'postern_freezer' THEN
        RAISE EXCEPTION 'INSERT into ip_freeze is refused: only commit_freeze() freezes'
            USING ERRCODE = 'PT005';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.only_the_freezer() IS 'Trigger: refuses rows that do not come from commit_freeze()';

CREATE FUNCTION postern.frozen_stays() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF OLD.state = 'frozen' AND (TG_OP = 'DELETE' OR NEW.state <> 'frozen' OR NEW.unit <> OLD.unit) THEN
        RAISE EXCEPTION '% is frozen for ever', OLD.unit USING ERRCODE = 'PT005';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION postern.frozen_stays() IS 'Trigger: a frozen unit never leaves its state';

CREATE FUNCTION postern.frozen_block_stays() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    IF upper_inf(OLD.during) AND (TG_OP = 'DELETE' OR NOT upper_inf(NEW.during) OR NEW.unit <> OLD.unit)
       AND EXISTS (SELECT FROM postern.ip_freeze f WHERE f.unit = OLD.unit) THEN
        RAISE EXCEPTION '% is frozen: its block cannot close', OLD.unit USING ERRCODE = 'PT005';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION postern.frozen_block_stays() IS 'Trigger: the block of a frozen unit never closes';

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON postern.ip_freeze
    FOR EACH STATEMENT EXECUTE FUNCTION postern.refuse_change();
CREATE TRIGGER only_the_freezer BEFORE INSERT ON postern.ip_freeze
    FOR EACH STATEMENT EXECUTE FUNCTION postern.only_the_freezer();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON postern.audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION postern.refuse_change();
CREATE TRIGGER frozen_stays BEFORE UPDATE OR DELETE ON postern.ip_state
    FOR EACH ROW EXECUTE FUNCTION postern.frozen_stays();
CREATE TRIGGER frozen_stays BEFORE UPDATE OR DELETE ON postern.block
    FOR EACH ROW EXECUTE FUNCTION postern.frozen_block_stays();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON postern.ip_state
    FOR EACH STATEMENT EXECUTE FUNCTION postern.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON postern.block
    FOR EACH STATEMENT EXECUTE FUNCTION postern.refuse_change();
-- ALWAYS: session_replication_role = replica does not switch them off.
ALTER TABLE postern.ip_freeze ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE postern.ip_freeze ENABLE ALWAYS TRIGGER only_the_freezer;
ALTER TABLE postern.audit_event ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE postern.ip_state ENABLE ALWAYS TRIGGER frozen_stays;
ALTER TABLE postern.ip_state ENABLE ALWAYS TRIGGER refuse_truncate;
ALTER TABLE postern.block ENABLE ALWAYS TRIGGER frozen_stays;
ALTER TABLE postern.block ENABLE ALWAYS TRIGGER refuse_truncate;

-- ------------------------------------------------------------------------- what the scorer calls

CREATE FUNCTION postern.wake() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('postern_work', TG_ARGV[0]);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.wake() IS 'Trigger: NOTIFY postern_work, with the kind of work as payload. Only wakes: everyone also polls';
CREATE TRIGGER wake AFTER INSERT ON postern.verdict
    FOR EACH STATEMENT EXECUTE FUNCTION postern.wake('verdict');
CREATE TRIGGER wake AFTER INSERT ON postern.complaint
    FOR EACH STATEMENT EXECUTE FUNCTION postern.wake('complaint');
CREATE TRIGGER wake AFTER INSERT ON postern.timer
    FOR EACH STATEMENT EXECUTE FUNCTION postern.wake('deadline');
CREATE TRIGGER wake AFTER INSERT ON postern.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION postern.wake('mail');
CREATE TRIGGER wake AFTER INSERT OR UPDATE OF desired_generation ON postern.enforcement
    FOR EACH STATEMENT EXECUTE FUNCTION postern.wake('enforce');

CREATE FUNCTION postern.raise_alarm(p_kind text, p_subject text, p_detail text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    INSERT INTO postern.noc_alarm AS a (kind, subject, detail, raised_at, last_at)
    VALUES (p_kind, left(p_subject, 500), left(p_detail, 4000), postern.now(), postern.now())
    ON CONFLICT (kind, subject) WHERE cleared_at IS NULL
    DO UPDATE SET times = a.times + 1, last_at = excluded.last_at, detail = excluded.detail
$$;
COMMENT ON FUNCTION postern.raise_alarm(text, text, text) IS 'Raises an alarm, or counts it up if it stands already';

CREATE FUNCTION postern.take_partition(p_partition int, p_partitions int, p_owner text,
        OUT epoch bigint, OUT smtp_position bigint, OUT evidence_position bigint, OUT input_id bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_known int;
BEGIN
    IF p_partitions NOT BETWEEN 1 AND 4096 OR p_partition NOT BETWEEN 0 AND p_partitions - 1 THEN
        RAISE EXCEPTION 'partition % of % is none: partitions are 0 to count - 1, count is 1 to 4096',
            p_partition, p_partitions USING ERRCODE = 'PT006';
    END IF;
    INSERT INTO postern.setting (key, value, kind, low, high, note, changed_at, changed_by)
    VALUES ('bus.partitions', p_partitions, 'int', 1, 4096,
            'Partitions of the bus; set by the first scorer, changed by the procedure in docs/scaling.md',
            postern.now(), p_owner)
    ON CONFLICT (key) DO NOTHING;
    SELECT s.value::int INTO STRICT v_known FROM postern.setting s WHERE s.key = 'bus.partitions';
    IF v_known <> p_partitions THEN
        RAISE EXCEPTION 'the bus has % partitions, the database was filled from %', p_partitions, v_known
            USING ERRCODE = 'PT001',
                  HINT = 'Use the bus that belongs to this database, or follow docs/scaling.md to change the count.';
    END IF;
    INSERT INTO postern.bus_offset (topic, partition, updated_at)
    VALUES ('postern.smtp', p_partition, postern.now()), ('postern.evidence', p_partition, postern.now())
    ON CONFLICT DO NOTHING;
    -- Both rows in one order, so that two takers queue up; both get the same epoch.
    PERFORM FROM postern.bus_offset o WHERE o.partition = p_partition ORDER BY o.topic FOR UPDATE;
    SELECT max(o.epoch) + 1 INTO epoch FROM postern.bus_offset o WHERE o.partition = p_partition;
    UPDATE postern.bus_offset o
       SET epoch = take_partition.epoch, owner = p_owner, updated_at = postern.now()
     WHERE o.partition = p_partition;
    SELECT s.position, e.position, s.input_id
      INTO STRICT smtp_position, evidence_position, input_id
      FROM postern.bus_offset s, postern.bus_offset e
     WHERE s.topic = 'postern.smtp' AND s.partition = p_partition
       AND e.topic = 'postern.evidence' AND e.partition = p_partition;
END
$$;
COMMENT ON FUNCTION postern.take_partition(int, int, text) IS 'Makes the caller the partition''s scorer: whoever had it before can commit no more. Returns the new epoch and where to go on. PT001 if the bus has another number of partitions than before';

CREATE FUNCTION postern.record_evidence(p_partition int, p_position bigint, p_outcome text,
        p_format text, p_feedback_type text, p_category text, p_source_ip inet, p_source_port int,
        p_arrived_at timestamptz, p_received_at timestamptz, p_message_id text,
        p_reported_domain text, p_reporter text, p_authenticated boolean, p_report_id text,
        p_reason text, p_incidents int, p_size_bytes bigint, p_sha256 bytea) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_key text;
    v_id bigint;
    v_received timestamptz := coalesce(p_received_at, postern.now());
BEGIN
    -- A report may hold several incidents: each is its own message and must not hide the others.
    v_key := encode(sha256(convert_to(concat_ws(E'\n', p_outcome, lower(p_reporter), p_authenticated,
                 CASE WHEN p_report_id <> '' THEN 'id:' || p_report_id
                      ELSE 'sha:' || encode(p_sha256, 'hex') END,
                 coalesce(host(p_source_ip), '-'), coalesce(p_message_id, '-'),
                 coalesce(extract(epoch FROM p_arrived_at)::text, '-')), 'UTF8')), 'hex');
    INSERT INTO postern.complaint_seen (dedup_key, seen_at) VALUES (v_key, postern.now())
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF p_outcome NOT IN ('complaint', 'not-a-complaint', 'bounce') THEN
        INSERT INTO postern.complaint_unparsed (partition, position, format, reporter, reason,
            sha256, size_bytes, received_at)
        VALUES (p_partition, p_position, p_format, p_reporter, coalesce(p_reason, p_outcome),
            p_sha256, p_size_bytes, v_received);
        PERFORM postern.raise_alarm('unreadable-complaint', coalesce(nullif(p_reporter, ''), 'unknown reporter'),
            coalesce(p_reason, 'no reason given') || ' (sha256 ' || encode(p_sha256, 'hex') || ')');
        RETURN NULL;
    END IF;
    INSERT INTO postern.complaint (partition, position, outcome, format, feedback_type, category,
        source_ip, source_port, arrived_at, received_at, message_id, reported_domain, reporter,
        authenticated, report_id, incidents, size_bytes, sha256)
    VALUES (p_partition, p_position, p_outcome, p_format, p_feedback_type, p_category,
        p_source_ip, p_source_port, p_arrived_at, v_received, p_message_id, p_reported_domain,
        lower(p_reporter), coalesce(p_authenticated, false), p_report_id, greatest(p_incidents, 1),
        p_size_bytes, p_sha256)
    RETURNING id INTO v_id;
    UPDATE postern.complaint_seen SET complaint_id = v_id WHERE dedup_key = v_key;
    RETURN v_id;
END
$$;
COMMENT ON FUNCTION postern.record_evidence(int, bigint, text, text, text, text, inet, int, timestamptz, timestamptz, text, text, text, boolean, text, text, int, bigint, bytea)
    IS 'Stores one Evidence of the bus: a complaint row, or an unreadable one that alarms. Returns the complaint''s id; NULL if it was seen before or unreadable';

CREATE FUNCTION postern.make_partitions() RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_month timestamptz;
    v_name text;
    v_made int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('postern.make_partitions'));
    FOR v_month IN
        SELECT date_trunc('month', postern.now(), 'UTC') + make_interval(months => i)
          FROM generate_series(0, 2) i
        UNION
        SELECT DISTINCT date_trunc('month', bucket, 'UTC') FROM postern.smtp_activity_default
         WHERE isfinite(bucket)
    LOOP
        v_name := 'smtp_activity_' || to_char(v_month AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass(format('postern.%I', v_name)) IS NOT NULL;
        EXECUTE format('CREATE TABLE postern.%I (LIKE postern.smtp_activity INCLUDING ALL)', v_name);
        EXECUTE format('WITH moved AS (DELETE FROM postern.smtp_activity_default
                            WHERE bucket >= $1 AND bucket < $2 RETURNING *)
                        INSERT INTO postern.%I SELECT * FROM moved', v_name)
            USING v_month, (v_month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        EXECUTE format('ALTER TABLE postern.smtp_activity ATTACH PARTITION postern.%I FOR VALUES FROM (%L) TO (%L)',
            v_name, v_month, (v_month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
        EXECUTE format('COMMENT ON TABLE postern.%I IS %L', v_name, 'Activity of one month, UTC');
        v_made := v_made + 1;
    END LOOP;
    RETURN v_made;
END
$$;
COMMENT ON FUNCTION postern.make_partitions() IS 'Makes the monthly partitions of smtp_activity that are missing (this month and two ahead, and whatever lies in the default one). Returns how many. Called outside the scorer''s tick';

CREATE VIEW postern.assignments_for_scoring AS
    SELECT net, unit_len, customer FROM postern.ip_assignment WHERE during @> postern.now();
COMMENT ON VIEW postern.assignments_for_scoring IS 'Which prefix is judged with which unit length, now';
CREATE VIEW postern.exemptions_for_scoring AS
    SELECT net, ceiling, upper(during) AS until FROM postern.exemption WHERE during @> postern.now();
COMMENT ON VIEW postern.exemptions_for_scoring IS 'Exemptions in force, now; ceiling NULL: any number of sessions';
CREATE VIEW postern.networks_in_force AS
    SELECT DISTINCT net FROM postern.network WHERE during @> postern.now();
COMMENT ON VIEW postern.networks_in_force IS 'Our own address space, now: what postern networks export writes';

-- ---------------------------------------------------------------------------------- who may what

GRANT SELECT, INSERT ON postern.verdict TO postern_ingest;
GRANT UPDATE (last_at, ended_at, evidence, score, sessions_seen, sessions_low, destinations_seen,
    usual, window_s, channel, pair, failed, ports, sampling, exporters, reasons, samples)
    ON postern.verdict TO postern_ingest;
GRANT SELECT, INSERT, UPDATE ON postern.smtp_activity, postern.exporter_loss, postern.bus_producer TO postern_ingest;
GRANT SELECT ON postern.bus_offset, postern.scorer_input, postern.setting,
    postern.assignments_for_scoring, postern.exemptions_for_scoring, postern.networks_in_force TO postern_ingest;
GRANT UPDATE (position, input_id, updated_at) ON postern.bus_offset TO postern_ingest;
GRANT SELECT, INSERT ON postern.scorer_input_applied TO postern_ingest;
GRANT EXECUTE ON FUNCTION postern.take_partition(int, int, text), postern.make_partitions(),
    postern.record_evidence(int, bigint, text, text, text, text, inet, int, timestamptz, timestamptz, text, text, text, boolean, text, text, int, bigint, bytea)
    TO postern_ingest;
GRANT EXECUTE ON FUNCTION postern.make_partitions(), postern.raise_alarm(text, text, text) TO postern_desk;
GRANT EXECUTE ON FUNCTION postern.raise_alarm(text, text, text) TO postern_mailer, postern_enforcer;
GRANT SELECT ON ALL TABLES IN SCHEMA postern TO postern_auditor;
GRANT SELECT ON postern.setting, postern.noc_alarm, postern.bus_offset, postern.networks_in_force,
    postern.adapter TO postern_monitor;
GRANT SELECT ON postern.setting TO postern_desk, postern_mailer, postern_enforcer, postern_api,
    postern_officer, postern_analyst;
GRANT SELECT ON postern.networks_in_force TO postern_desk, postern_officer, postern_analyst;
GRANT SELECT ON postern.adapter TO postern_enforcer;

RESET ROLE;
