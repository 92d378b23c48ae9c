-- SPDX-License-Identifier: Apache-2.0
-- Whose addresses they are, and what the scorer writes about them in its ticks.

SET LOCAL ROLE postern_owner;

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

RESET ROLE;
