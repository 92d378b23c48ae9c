-- SPDX-License-Identifier: Apache-2.0
-- What the scorer calls and reads, and who may touch the tables.

SET LOCAL ROLE postern_owner;

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

CREATE FUNCTION postern.settle_alarm(p_kind text, p_subject text) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    UPDATE postern.noc_alarm SET cleared_at = postern.now(), cleared_by = 'settled by itself'
     WHERE kind = p_kind AND subject = left(p_subject, 500) AND cleared_at IS NULL
$$;
COMMENT ON FUNCTION postern.settle_alarm(text, text) IS 'What an alarm was about has come right without a person';

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
        -- First, so that a tick that writes into it is over, or waits: else each could wait for the other.
        LOCK TABLE postern.smtp_activity_default IN ACCESS EXCLUSIVE MODE;
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
GRANT SELECT ON postern.setting, postern.noc_alarm, postern.bus_offset, postern.networks_in_force,
    postern.adapter TO postern_monitor;
GRANT SELECT ON postern.setting TO postern_desk, postern_mailer, postern_enforcer, postern_api,
    postern_officer, postern_analyst;
GRANT SELECT ON postern.networks_in_force TO postern_desk, postern_officer, postern_analyst;
GRANT SELECT ON postern.adapter TO postern_enforcer;

RESET ROLE;
