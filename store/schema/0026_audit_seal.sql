-- SPDX-License-Identifier: Apache-2.0
-- The audit is sealed: once a minute the committed rows that are not sealed yet are chained by
-- hash, as due work of dispatch. Chaining within each transaction would make all writers wait for
-- each other. Whoever changes, removes or slips in a sealed row afterwards (a superuser can) breaks
-- the chain, and verify_audit() names the row. Whoever makes the whole chain anew ends in another
-- digest than the one that the NOC report carried out of the house.

SET LOCAL ROLE postern_owner;

CREATE TABLE postern.audit_unsealed (
    audit_id bigint PRIMARY KEY
);
COMMENT ON TABLE postern.audit_unsealed IS 'Audit rows that no seal covers yet. A queue of its own, because transactions commit in another order than they draw ids: whichever row is there, is committed';

CREATE TABLE postern.audit_seal (
    id bigint PRIMARY KEY CHECK (id >= 1),
    sealed_at timestamptz NOT NULL,
    audit_ids bigint[] NOT NULL CHECK (cardinality(audit_ids) >= 1),
    marks bytea NOT NULL CHECK (length(marks) = 8 * cardinality(audit_ids)),
    digest bytea NOT NULL CHECK (length(digest) = 32)
);
COMMENT ON TABLE postern.audit_seal IS 'Seals over the audit, each chained to the one before. Never changed or removed';
COMMENT ON COLUMN postern.audit_seal.id IS '1, 2, 3 … without holes';
COMMENT ON COLUMN postern.audit_seal.audit_ids IS 'Rows of audit_event that it covers, in the order of the chain';
COMMENT ON COLUMN postern.audit_seal.marks IS 'First 8 bytes of each row''s hash: they tell which row was changed';
COMMENT ON COLUMN postern.audit_seal.digest IS 'SHA-256 over the digest of the seal before and the hash of each row';

CREATE FUNCTION postern.audit_hash(a postern.audit_event) RETURNS bytea
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT sha256(convert_to(jsonb_build_array(a.id, extract(epoch FROM a.at), a.actor, a.login, a.unit::text,
        a.customer, a.case_id, a.event, a.from_state, a.to_state, a.effect, a.detail)::text, 'UTF8'))
$$;
COMMENT ON FUNCTION postern.audit_hash(postern.audit_event) IS 'SHA-256 over every column of an audit row; the same in every session and after a restore';

CREATE FUNCTION postern.queue_for_seal() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    INSERT INTO postern.audit_unsealed (audit_id) VALUES (NEW.id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.queue_for_seal() IS 'Trigger: the next seal covers the new row';
CREATE TRIGGER queue_for_seal AFTER INSERT ON postern.audit_event
    FOR EACH ROW EXECUTE FUNCTION postern.queue_for_seal();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON postern.audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION postern.refuse_change();
ALTER TABLE postern.audit_event ENABLE ALWAYS TRIGGER queue_for_seal;
ALTER TABLE postern.audit_seal ENABLE ALWAYS TRIGGER refuse_change;

CREATE FUNCTION postern.seal_audit(p_max int) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_last postern.audit_seal;
    v_ids bigint[];
    v_hashes bytea;
    v_marks bytea;
BEGIN
    -- One at a time; who comes second finds the first one's seal.
    PERFORM pg_advisory_xact_lock(hashtext('postern.audit_seal'));
    SELECT s.* INTO v_last FROM postern.audit_seal s ORDER BY s.id DESC LIMIT 1;
    WITH taken AS (
        DELETE FROM postern.audit_unsealed u
         WHERE u.audit_id IN (SELECT x.audit_id FROM postern.audit_unsealed x ORDER BY x.audit_id LIMIT p_max)
        RETURNING u.audit_id)
    SELECT array_agg(a.id ORDER BY a.id), string_agg(h.hash, '' ORDER BY a.id), string_agg(substr(h.hash, 1, 8), '' ORDER BY a.id)
      INTO v_ids, v_hashes, v_marks
      FROM taken JOIN postern.audit_event a ON a.id = taken.audit_id,
           LATERAL (SELECT postern.audit_hash(a) AS hash) AS h;
    IF v_ids IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO postern.audit_seal (id, sealed_at, audit_ids, marks, digest)
    VALUES (coalesce(v_last.id, 0) + 1, postern.now(), v_ids, v_marks,
            sha256(coalesce(v_last.digest, ''::bytea) || v_hashes));
    RETURN cardinality(v_ids);
END
$$;
COMMENT ON FUNCTION postern.seal_audit(int) IS 'Seals committed audit rows, so many at most; returns how many. Called once a minute';

CREATE FUNCTION postern.verify_audit(p_digest text DEFAULT NULL,
        OUT place bigint, OUT seal_id bigint, OUT audit_id bigint, OUT problem text) RETURNS SETOF record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    s postern.audit_seal;
    v_next bigint := 1;
    v_before bytea := ''::bytea;
    v_hashes bytea;
    v_found boolean := p_digest IS NULL;
BEGIN
    place := 0;
    FOR s IN SELECT x.* FROM postern.audit_seal x ORDER BY x.id LOOP
        seal_id := s.id;
        audit_id := NULL;
        IF s.id <> v_next THEN
            place := place + 1;
            problem := format('seal %s is missing', v_next);
            RETURN NEXT;
        END IF;
        v_next := s.id + 1;
        FOR audit_id, problem IN
            SELECT u.id, CASE WHEN a.id IS NULL THEN 'row removed' ELSE 'row changed' END
              FROM unnest(s.audit_ids) WITH ORDINALITY AS u (id, n) LEFT JOIN postern.audit_event a ON a.id = u.id
             WHERE a.id IS NULL OR substr(postern.audit_hash(a), 1, 8) <> substr(s.marks, (u.n * 8 - 7)::int, 8)
             ORDER BY u.n
        LOOP
            place := place + 1;
            RETURN NEXT;
        END LOOP;
        SELECT string_agg(postern.audit_hash(a), '' ORDER BY u.n) INTO v_hashes
          FROM unnest(s.audit_ids) WITH ORDINALITY AS u (id, n) JOIN postern.audit_event a ON a.id = u.id;
        IF s.digest <> sha256(v_before || coalesce(v_hashes, ''::bytea)) THEN
            place := place + 1;
            audit_id := NULL;
            problem := 'digest does not fit its rows and the seal before';
            RETURN NEXT;
        END IF;
        v_before := s.digest;
        v_found := v_found OR encode(s.digest, 'hex') = lower(p_digest);
    END LOOP;
    seal_id := NULL;
    FOR audit_id IN
        SELECT a.id FROM postern.audit_event a
         WHERE NOT EXISTS (SELECT FROM postern.audit_unsealed u WHERE u.audit_id = a.id)
        EXCEPT SELECT unnest(x.audit_ids) FROM postern.audit_seal x ORDER BY 1
    LOOP
        place := place + 1;
        problem := 'row slipped in: no seal covers it and none waits to';
        RETURN NEXT;
    END LOOP;
    FOR audit_id IN
        SELECT u.audit_id FROM postern.audit_unsealed u
         WHERE NOT EXISTS (SELECT FROM postern.audit_event a WHERE a.id = u.audit_id) ORDER BY 1
    LOOP
        place := place + 1;
        problem := 'row removed before it was sealed';
        RETURN NEXT;
    END LOOP;
    IF NOT v_found THEN
        place := place + 1;
        audit_id := NULL;
        problem := 'no seal has the digest ' || p_digest;
        RETURN NEXT;
    END IF;
END
$$;
COMMENT ON FUNCTION postern.verify_audit(text) IS 'Everything that is wrong with the audit, in the order of the chain; no row: nothing is. A digest from an earlier report must stand in the chain';

CREATE VIEW api_v1.audit_seals AS
    SELECT s.id, s.sealed_at, cardinality(s.audit_ids) AS rows, encode(s.digest, 'hex') AS digest FROM postern.audit_seal s;
COMMENT ON VIEW api_v1.audit_seals IS 'Seals over the audit, one a minute where anything happened; the newest digest stands for everything before it';
COMMENT ON COLUMN api_v1.audit_seals.digest IS 'SHA-256 in hex. postern audit verify --digest asks whether the chain still goes through it';

CREATE VIEW api_v1.audit_unsealed AS
    SELECT count(*) AS rows, min(a.at) AS oldest FROM postern.audit_unsealed u JOIN postern.audit_event a ON a.id = u.audit_id;
COMMENT ON VIEW api_v1.audit_unsealed IS 'Audit rows that wait for their seal: normally of the last minute';

INSERT INTO postern.audit_unsealed (audit_id) SELECT a.id FROM postern.audit_event a;

GRANT EXECUTE ON FUNCTION postern.seal_audit(int) TO postern_desk;
GRANT EXECUTE ON FUNCTION postern.verify_audit(text) TO postern_auditor, postern_officer, postern_monitor;
GRANT SELECT ON api_v1.audit_seals, api_v1.audit_unsealed TO postern_analyst, postern_officer, postern_auditor, postern_monitor;

RESET ROLE;
