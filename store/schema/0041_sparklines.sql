-- SPDX-License-Identifier: Apache-2.0
-- How a unit's mail went over a time: the report draws it behind each of the top senders.

SET LOCAL ROLE postern_owner;

CREATE FUNCTION api_v1.activity_of(unit inet, from_time timestamptz, to_time timestamptz, slices int) RETURNS bigint[]
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    WITH seen AS (
        SELECT floor(extract(epoch FROM a.bucket - from_time) * slices / extract(epoch FROM to_time - from_time))::int AS slice,
               sum(a.sessions)::bigint AS sessions
          FROM postern.smtp_activity a
         WHERE a.unit = activity_of.unit AND a.bucket >= from_time AND a.bucket < to_time
         GROUP BY 1)
    SELECT array_agg(coalesce(s.sessions, 0) ORDER BY n)
      FROM generate_series(0, least(slices, 1000) - 1) AS n LEFT JOIN seen s ON s.slice = n
$$;
COMMENT ON FUNCTION api_v1.activity_of(inet, timestamptz, timestamptz, int) IS 'New mail sessions of a unit (as sampled) in so many equal slices of a time, at most 1000';
GRANT EXECUTE ON FUNCTION api_v1.activity_of(inet, timestamptz, timestamptz, int) TO postern_analyst, postern_officer, postern_auditor;

RESET ROLE;
