-- SPDX-License-Identifier: Apache-2.0
-- Only for `postern schema install --test`, after the last migration: lets postern.now() follow
-- the setting test.clock. A product installation never runs this file and cannot move its clock:
-- there postern.now() reads no setting, and nothing that belongs to postern may read a file.
-- Tests replace the clock's file whole (write another one, rename it): it is reread at each use.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postern_test_clock') THEN
        CREATE ROLE postern_test_clock NOLOGIN;
        GRANT pg_read_server_files TO postern_test_clock;
    END IF;
END
$$;
COMMENT ON ROLE postern_test_clock IS 'Postern test installations: may read the file that the clock follows';
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO postern_test_clock;

CREATE OR REPLACE FUNCTION postern.read_clock_file(p_path text) RETURNS text
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'SELECT pg_catalog.pg_read_file(p_path)';
COMMENT ON FUNCTION postern.read_clock_file(text) IS 'TEST INSTALLATION: the text of the clock''s file';
REVOKE EXECUTE ON FUNCTION postern.read_clock_file(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION postern.read_clock_file(text) TO postern_owner;
ALTER FUNCTION postern.read_clock_file(text) OWNER TO postern_test_clock;

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
            RETURN btrim(postern.read_clock_file(substr(v_spec, 6)), E' \n\t\r')::timestamptz;
        ELSE
            RAISE EXCEPTION 'setting test.clock is system, offset:SECONDS or file:PATH, not "%"', v_spec
                USING ERRCODE = 'PT006';
    END CASE;
END
$$;
COMMENT ON FUNCTION postern.now() IS 'TEST INSTALLATION: the database''s clock as the setting test.clock says';

RESET ROLE;
