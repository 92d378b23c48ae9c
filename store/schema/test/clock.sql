-- SPDX-License-Identifier: Apache-2.0
-- Only for `postern schema install --test`, after the last migration: lets postern.now() follow
-- the setting test.clock. A product installation never runs this file and cannot move its clock:
-- there postern.now() reads no setting and its owner may read no file.

DO $$
BEGIN
    -- file:PATH needs it; granted in this database only.
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO postern_owner;
END
$$;

SET LOCAL ROLE postern_owner;

INSERT INTO postern.setting (key, value, note)
VALUES ('test.clock', 'system', 'Test installation only: system, offset:SECONDS, or file:PATH (RFC 3339 text, reread at each use)')
ON CONFLICT (key) DO NOTHING;

CREATE OR REPLACE FUNCTION postern.now() RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_spec text;
BEGIN
    SELECT value INTO STRICT v_spec FROM postern.setting WHERE key = 'test.clock';
    CASE split_part(v_spec, ':', 1)
        WHEN 'system' THEN
            RETURN clock_timestamp();
        WHEN 'offset' THEN
            RETURN clock_timestamp() + make_interval(secs => substr(v_spec, 8)::double precision);
        WHEN 'file' THEN
            RETURN btrim(pg_read_file(substr(v_spec, 6)), E' \n\t\r')::timestamptz;
        ELSE
            RAISE EXCEPTION 'setting test.clock is system, offset:SECONDS or file:PATH, not "%"', v_spec
                USING ERRCODE = 'PT006';
    END CASE;
END
$$;
COMMENT ON FUNCTION postern.now() IS 'TEST INSTALLATION: the database''s clock as the setting test.clock says';

RESET ROLE;
