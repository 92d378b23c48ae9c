-- SPDX-License-Identifier: Apache-2.0
-- The scorer hears which nets of several units belong to one customer: spam that is spread thinly
-- over a /24 (/56) is judged as one.

SET LOCAL ROLE postern_owner;

ALTER TABLE postern.scorer_input ADD COLUMN owner bigint;
COMMENT ON COLUMN postern.scorer_input.owner IS 'assigned: hash of the customer whose net it is; 0: nobody''s any more';

CREATE FUNCTION postern.owner_hash(p_customer text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, postern, pg_temp
    AS 'SELECT hashtextextended(p_customer, 0) & 9223372036854775807 | 1';
COMMENT ON FUNCTION postern.owner_hash(text) IS 'How the scorer knows a customer: it needs to tell them apart, not to name them';

CREATE FUNCTION postern.neighbours(p_net cidr, p_customer text) RETURNS SETOF cidr
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, postern, pg_temp
AS $$
    SELECT a.net FROM postern.ip_assignment a
     WHERE a.net <<= network(set_masklen(p_net::inet, least(masklen(p_net), CASE family(p_net) WHEN 4 THEN 24 ELSE 56 END)))
       AND a.customer = p_customer AND upper_inf(a.during)
$$;
COMMENT ON FUNCTION postern.neighbours(cidr, text) IS 'Nets of the customer in the same /24 or /56, the net itself included';

CREATE FUNCTION postern.tell_owner() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
DECLARE
    v_nets cidr[];
BEGIN
    IF NOT upper_inf(NEW.during) THEN
        INSERT INTO postern.scorer_input (kind, unit, owner, created_at)
        VALUES ('assigned', NEW.net, 0, postern.now());
    ELSIF masklen(NEW.net) < NEW.unit_len THEN
        INSERT INTO postern.scorer_input (kind, unit, owner, created_at)
        VALUES ('assigned', NEW.net, postern.owner_hash(NEW.customer), postern.now());
    ELSE
        -- A single unit is a neighbourhood from the second one on; the first is told then.
        SELECT array_agg(n) INTO v_nets FROM postern.neighbours(NEW.net, NEW.customer) AS n;
        IF cardinality(v_nets) > 1 THEN
            INSERT INTO postern.scorer_input (kind, unit, owner, created_at)
            SELECT 'assigned', n, postern.owner_hash(NEW.customer), postern.now()
              FROM unnest(v_nets) AS n WHERE n = NEW.net OR cardinality(v_nets) = 2;
        END IF;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION postern.tell_owner() IS 'Trigger: a tenancy began or ended; the scorer hears of it if it could be part of a neighbourhood';
CREATE TRIGGER tell_owner AFTER INSERT ON postern.ip_assignment FOR EACH ROW
    EXECUTE FUNCTION postern.tell_owner();
CREATE TRIGGER tell_owner_ended AFTER UPDATE OF during ON postern.ip_assignment FOR EACH ROW
    WHEN (upper_inf(OLD.during) AND NOT upper_inf(NEW.during))
    EXECUTE FUNCTION postern.tell_owner();

-- What is in force already.
INSERT INTO postern.scorer_input (kind, unit, owner, created_at)
SELECT 'assigned', a.net, postern.owner_hash(a.customer), postern.now()
  FROM postern.ip_assignment a
 WHERE upper_inf(a.during)
   AND (masklen(a.net) < a.unit_len
        OR (SELECT count(*) FROM postern.neighbours(a.net, a.customer)) > 1)
 ORDER BY a.net;

RESET ROLE;
