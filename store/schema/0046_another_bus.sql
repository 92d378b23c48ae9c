-- SPDX-License-Identifier: Apache-2.0
-- Another bus: decisions that were applied in the log of before are applied before the first message of the next, once.

SET LOCAL ROLE postern_owner;

GRANT UPDATE (position) ON postern.scorer_input_applied TO postern_ingest;
COMMENT ON COLUMN postern.scorer_input_applied.position IS 'Before the message at this position; -2: before all, the log was replaced since';

CREATE FUNCTION postern.change_partitions(p_partitions int) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_input bigint;
    v_epoch bigint;
BEGIN
    UPDATE postern.setting s SET value = p_partitions::text, changed_at = postern.now(), changed_by = session_user
     WHERE s.key = 'bus.partitions' AND p_partitions BETWEEN 1 AND 4096;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is no number of partitions, or no scorer has been here yet', p_partitions USING ERRCODE = 'PT006';
    END IF;
    -- What every partition has applied that ever read something.
    SELECT coalesce(min(o.input_id) FILTER (WHERE o.topic = 'postern.smtp' AND o.position >= 0), 0), max(o.epoch)
      INTO v_input, v_epoch FROM postern.bus_offset o;
    DELETE FROM postern.bus_offset;
    DELETE FROM postern.bus_producer;
    DELETE FROM postern.scorer_input_applied;
    INSERT INTO postern.bus_offset (topic, partition, epoch, input_id, updated_at)
    SELECT t.topic, p, v_epoch, CASE WHEN t.topic = 'postern.smtp' THEN v_input ELSE 0 END, postern.now()
      FROM generate_series(0, p_partitions - 1) AS p, (VALUES ('postern.smtp'), ('postern.evidence')) AS t (topic);
    INSERT INTO postern.scorer_input_applied (partition, input_id, position)
    SELECT p, i.id, -2 FROM postern.scorer_input i, generate_series(0, p_partitions - 1) AS p WHERE i.id <= v_input;
    UPDATE postern.unit_envelope SET since = -1, partition = -1;
    UPDATE postern.unit_waiting SET partition = -1 WHERE fate = 'waiting';
END
$$;
COMMENT ON FUNCTION postern.change_partitions(int) IS 'For a new, empty bus with so many partitions (docs/scaling.md): positions begin anew, whoever a unit belongs to now reads what was learned of it, and what was decided stays decided. Not while a scorer runs';
REVOKE ALL ON FUNCTION postern.change_partitions(int) FROM PUBLIC;

RESET ROLE;
